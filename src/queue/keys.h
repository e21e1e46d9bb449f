/* keys.h: which DKIM keys sign. auth tells the keys it holds, relay tells what their records say; a key signs
 * unless DNS answers that its record is absent or another. DNS failing is no such answer: the last one holds,
 * and before the first one a key signs. Called by role.c (dispatch), commit.c (signing), control_queue.c. */
#ifndef QUEUE_KEYS_H
#define QUEUE_KEYS_H

#include "queue/context.h"

#define KEYS_MAX        1000    /* keys of all domains */
#define KEYS_PER_DOMAIN 8       /* that sign one message */
#define KEYS_CHECK_MS   3600000 /* between two looks at a record */
#define KEYS_RECHECK_MS 300000  /* while it is absent, different or unknown */
#define KEYS_SIGN_MS    10000   /* deadline of a signature */

struct keys;

struct keys *keys_new(struct queue *q);
/* Takes NULL. */
void keys_free(struct keys **keys);
/* WIRE_DKIM_KEYS. */
bool keys_on_list(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
/* relay is there (again): records not known yet are looked up. */
void keys_relay_up(struct queue *q);

/* What is to be signed, as WIRE_BODY_FACTS (or WIRE_QUEUE_FILE_FD) tells it. */
struct keys_facts {
    struct slice from; /* wire_strings: addresses of the header From; the first one's domain signs */
    struct slice hash, names, fields;
    bool released; /* the operator lets it go: what no key can sign leaves unsigned, whatever the setting */
};
/* As bytes, for a message that is held until a key can sign it; and back. */
void keys_facts_add(struct buf *out, const struct keys_facts *facts);
bool keys_facts_read(struct slice bytes, struct keys_facts *facts) MUST_CHECK;

/* ERR_OK: `header` is what goes in front of the message, DKIM-Signature fields with CRLF, or empty: the
 * domain has no key configured, or none that may sign now (alarmed; mail goes unsigned, the setting's
 * default). ERR_REFUSED: to be held (the setting), `why` says which domain. ERR_LATER: auth does not answer.
 */
typedef void keys_done(void *ctx, enum err err, struct slice header, struct slice why);
/* `done` comes later, never from inside the call. A number for keys_cancel(). */
uint32_t keys_sign(struct queue *q, const struct keys_facts *facts, keys_done *done, void *ctx);
void keys_cancel(struct queue *q, uint32_t signing);
/* Lines for people, or a JSON array: domain, selector, algorithm, state, since, last answer. */
void keys_print(struct queue *q, bool json, struct buf *out);

#endif
