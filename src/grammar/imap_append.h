/* imap_append.h: the messages of APPEND and REPLACE (RFC 9051 section 6.3.12, RFC 3502, RFC 4469, RFC 6855,
 * RFC 8508).
 *
 * Octets of messages are never gathered with the command, so it comes in pieces: up to the announcement of a
 * literal, then from behind its octets up to the next one or the end of the command. Each piece yields steps,
 * done one after the other.
 */
#ifndef GRAMMAR_IMAP_APPEND_H
#define GRAMMAR_IMAP_APPEND_H

#include "base/arena.h"
#include "base/err.h"
#include "grammar/imap_flags.h"

#define IMAP_APPEND_STEPS_MAX 256 /* steps of one piece: URLs, mostly */

struct imap_append_args { /* of one message */
    struct imap_flags flags;
    bool has_date;
    int64_t date; /* seconds since 1970 */
    int zone_minutes;
    bool utf8;     /* RFC 6855: UTF8 (~{…}) */
    bool catenate; /* RFC 4469: its parts follow */
};

enum imap_append_kind {
    IMAP_APPEND_MESSAGE, /* a message begins: `message` */
    IMAP_APPEND_URL,     /* its next part is what `url` names */
    IMAP_APPEND_LITERAL, /* its next part (all of it without CATENATE) follows behind this piece: `octets` of
                            it. Always the last step of a piece. */
    IMAP_APPEND_END      /* the message has all its parts */
};

struct imap_append_step {
    enum imap_append_kind kind;
    struct imap_append_args *message;
    struct slice url;
    uint64_t octets;
    bool binary; /* announced as literal8 (RFC 3516) */
};

struct imap_append {
    struct imap_append_step *steps; /* of this piece */
    size_t count;
    bool last;                        /* the command ends with this piece */
    struct imap_append_args *message; /* begun and not ended: what follows the literal belongs to it */
    bool paren;                       /* the literal stood in "UTF8 (" */
};

/* The piece behind a literal's octets, up to and with its CRLF. `append` holds what the piece before left,
 * and gets the new steps. ERR_BAD with a text for the client. */
enum err imap_append_next_in(struct arena *arena, struct slice input, struct imap_append *append,
                             struct why *why) MUST_CHECK;

#endif
