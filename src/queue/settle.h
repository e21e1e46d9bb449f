/* settle.h: what becomes of rows that have their answer: deleted, put off, or bounced. Called by send.c,
 * deliver.c and schedule.c. */
#ifndef QUEUE_SETTLE_H
#define QUEUE_SETTLE_H

#include "policy/dsn.h"
#include "queue/spool.h"

#define SETTLE_BOUNCE_AGAIN_MS 30000 /* a notification that could not be written is tried again */
#define SETTLE_TEXT_MAX        1000  /* bytes of an answer that are kept */

/* Rows of one message that end together. Stack of the caller; begin, add, finish. */
struct settling {
    struct queued *message;
    struct vec results; /* struct spool_result */
    struct vec bounces; /* struct settle_bounce: failed */
    struct vec news;    /* struct settle_bounce: done, told of when that is on disk */
    struct relay_usage usage;
    bool attempted;
    struct spool_attempt attempt;
};

void settle_begin(struct settling *s, struct queued *message);
/* The answer is kept with the row. Texts are copied (printable, bounded). */
void settle_answer(struct queued *message, struct queued_row *row, uint32_t code, struct slice enhanced,
                   struct slice text, struct slice remote);
/* Done. `told`: nobody further on tells the sender, who may want to hear of it; `action` says what. */
void settle_done(struct settling *s, struct queued_row *row, bool tell, enum dsn_action action);
/* True: the row was done before, only its sender is still to be told (ROUTES_TOLD). settle_told() does that.
 */
bool settle_is_told(const struct queued_row *row);
void settle_told(struct settling *s, struct queued_row *row);
/* Once more after `wait_ms`, but the message is too old then: bounced. True: it waits. */
bool settle_later(struct settling *s, struct queued_row *row, uint64_t wait_ms);
/* Once more when the route is looked at again; the answer is kept, it is no attempt. */
void settle_stay(struct settling *s, struct queued_row *row, uint64_t route_due_ms);
/* Was not tried: waits as before. */
void settle_back(struct settling *s, struct queued_row *row, uint64_t route_due_ms);
void settle_failed(struct settling *s, struct queued_row *row, enum dsn_reason reason);
/* Writes it all; the rows leave the message when that is on disk. */
void settle_finish(struct settling *s);
/* Marks what waits as told: one notification of the delay. The message (of spool_overdue()) is freed after.
 */
void settle_warn(struct queued *message);
/* The role is ending: forgets the notifications that could not be written. */
void settle_stop(struct queue *q);

#endif
