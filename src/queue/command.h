/* command.h: the words of `rockdove queue …` as a struct: verb, filters, ids. Pure: used by the command line,
 * which says at once what is wrong, and by the server, which trusts nobody. */
#ifndef QUEUE_COMMAND_H
#define QUEUE_COMMAND_H

#include "base/err.h"
#include "queue/id.h"

#define COMMAND_IDS_MAX  40   /* ids in one command */
#define COMMAND_TEXT_MAX 1000 /* bytes of one argument */

enum queue_verb {
    QUEUE_LIST,
    QUEUE_SHOW,
    QUEUE_RETRY,
    QUEUE_HOLD,
    QUEUE_RELEASE,
    QUEUE_BOUNCE,
    QUEUE_DELETE,
    QUEUE_FLUSH,
    QUEUE_DESTINATIONS,
    QUEUE_VERB_COUNT
};

/* What becomes of a recipient that is not finished. */
enum queue_state {
    QUEUE_WAITING,  /* its first attempt is to come */
    QUEUE_SENDING,  /* being worked on now */
    QUEUE_DEFERRED, /* tried, and to be tried again */
    QUEUE_QUOTA,    /* waits for the relay's next day */
    QUEUE_STOPPED,  /* its relay refuses our login */
    QUEUE_HELD,     /* stopped by the operator, or by a rule of his */
    QUEUE_STATE_COUNT
};

struct queue_command {
    enum queue_verb verb;
    bool all; /* no filter wanted */
    bool has_sender;
    struct slice sender;         /* an address, "@domain", or empty: the null sender */
    struct slice recipient;      /* an address or "@domain" */
    struct slice domain;         /* of the recipient */
    struct slice reason;         /* part of the last error */
    int state;                   /* enum queue_state, -1: any */
    uint64_t older_ms, newer_ms; /* age of the message; 0: any */
    uint64_t limit;              /* rows of a list; 0: all */
    struct slice ids[COMMAND_IDS_MAX];
    size_t id_count;
};

/* Slices point into the arguments; `arguments[0]` is the verb. ERR_BAD with a text for whoever typed it:
 * unknown word, missing value, and nothing selected where something would be changed. */
enum err queue_command_parse(const struct slice *arguments, size_t count, struct queue_command *command,
                             struct why *why) MUST_CHECK;
/* Ids or filters were given. */
bool queue_command_selects(const struct queue_command *command);
/* "list", "waiting". */
const char *queue_verb_name(enum queue_verb verb);
const char *queue_state_name(enum queue_state state);
/* -1: no state has this name. */
int queue_state_by_name(struct slice name);

#endif
