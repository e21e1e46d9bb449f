/* bounce.h: tells senders what became of their mail. deliver.c (or whoever ends a recipient) hands in the
 * rows of one message that failed, expired, wait too long, or were delivered where that is to be told; this
 * decides by NOTIFY (RFC 3461 section 4.1) who hears of it, writes the notification (policy/dsn.h), queues
 * it, and settles the rows in the same transaction of the database: after a crash either both happened or
 * neither did, and the rows are handed in again.
 *
 * Never bounced: the null sender. When a notification itself fails, postmaster gets it; when that fails too,
 * it is logged and dropped.
 */
#ifndef QUEUE_BOUNCE_H
#define QUEUE_BOUNCE_H

#include "policy/dsn.h"
#include "queue/context.h"

#define BOUNCE_ROWS_MAX  DSN_RECIPIENTS_MAX /* rows of one notification; more of them make several */
#define BOUNCE_FULL_MAX  (256u * 1024u) /* larger originals come back as their header, whatever RET says */
#define BOUNCE_TEXT_MAX  1100u          /* bytes kept of each text of a row */
#define BOUNCE_ARENA_MAX (8u << 20)     /* of one notification */
#define BOUNCE_OPEN_MAX  64             /* being written at once; further ones wait */

/* The message, as its row has it. Times are those of queue_now_ms(). */
struct bounce_message {
    struct slice id, sender, session, message_id;
    struct slice subject; /* empty: not known */
    struct slice account; /* who submitted it; empty: it came from outside */
    struct slice envid;
    uint32_t ret; /* 0 none, 1 FULL, 2 HDRS */
    bool smtputf8, eightbit, requiretls;
    uint64_t created_ms, size;
};

/* One recipient. DSN_DELAYED: the row stays and is marked as warned; all others: the row goes. */
struct bounce_row {
    uint32_t ordinal;
    uint32_t notify;
    struct slice address, orcpt; /* of RCPT */
    struct slice target;         /* where it went */
    enum dsn_action action;
    enum dsn_reason reason; /* DSN_REASON_NONE: the status tells */
    struct slice status;    /* "5.1.1" */
    struct slice remote;    /* host; empty: our own decision */
    struct slice diagnostic;
    bool is_reply;                            /* the diagnostic is an SMTP reply of `remote` */
    uint64_t last_attempt_ms, retry_until_ms; /* 0: not told */
};

/* A row with its last answer, as it is told of. Texts are the row's, or made in the arena. */
void bounce_row_in(struct arena *arena, const struct queued_row *row, enum dsn_action action,
                   enum dsn_reason reason, struct bounce_row *to);

/* The first `settled` rows are settled (marked) on disk, and so are the notifications about them, if there
 * are any. ERR_OK: those are all. Otherwise nothing has changed for the others: hand them in again later. */
typedef void bounce_done(void *ctx, enum err err, size_t settled);
struct bounces *bounces_new(struct queue *q);
/* Drops what is under way without answering (the role is ending; after spool_close()). Takes NULL. */
void bounces_free(struct bounces **bounces);
/* Any number of rows: BOUNCE_ROWS_MAX at a time are told of and settled, one part after the other, until one
 * fails. Copies what it is given; `done` comes later, once, never from inside the call. */
void bounce_send(struct queue *q, const struct bounce_message *message, const struct bounce_row *rows,
                 size_t count, bounce_done *done, void *ctx);
/* Would anybody be told? False: the rows may be settled without bounce_send(). */
bool bounce_wanted(const struct bounce_message *message, const struct bounce_row *row);
/* Where notifications go that cannot be delivered to a sender: the setting, or postmaster of our first
 * domain. */
struct slice bounce_postmaster_in(struct queue *q, struct arena *arena);

#endif
