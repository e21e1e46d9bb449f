/* spool.h: the rows of queued messages and the trace, in system.db.
 *
 * Operations gather while the one before is on its way to disk; all that gathered share one transaction and
 * one fsync, on a thread of its own. Answers come back on the loop's thread, in order. Nothing here is on the
 * way of a message with a single local recipient. Used by commit.c, deliver.c, trace.c and control.c.
 *
 * The tables (schema 3), for whoever writes operations of his own (spool_submit):
 *   queue_message    id, sender, received, signature, session, account, envid, ret, smtputf8, eightbit,
 *                    utf8_header, requiretls, size, created, client, message_id, warned,
 *                    subject (plain text, for notifications),
 *                    to_sign (held for want of a key: what a signature covers, keys.h)
 *   queue_recipient  message, ordinal, kind (0 local, 1 remote), target, address, orcpt, notify,
 *                    claimed (SPOOL_WAITING, SPOOL_CLAIMED, SPOOL_HELD), due, attempts, error (text of the
 *                    last answer), code, enhanced, remote, sender, route, priority, hold (reason)
 *   queue_route      route, due: when something of this route is to be looked at; whoever makes a row
 *                    waiting also runs SPOOL_ROUTE_DUE_SQL for its route (or spool_route_due())
 * Times are those of queue_now_ms(). Only this process's memory may change rows that are claimed: see
 * schedule_recall().
 */
#ifndef QUEUE_SPOOL_H
#define QUEUE_SPOOL_H

#include "db/db.h"
#include "queue/context.h"
#include "queue/queue_clock.h"
#include "queue/relay_quota.h"

#define SPOOL_PATH         "system.db"
#define SPOOL_BATCH_MAX    2000 /* operations in one transaction */
#define SPOOL_RETRY_MS     5000
#define SPOOL_ROUTES_MAX   500        /* due routes told at once */
#define SPOOL_OVERDUE_MAX  100        /* messages looked at for their age at once */
#define SPOOL_FAR          INT64_MAX  /* due: the process looks after it by itself */
#define SPOOL_ATTEMPTS_MAX 200000     /* rows of attempts kept */
#define SPOOL_WAL_MAX      (8u << 20) /* bytes of log after which the database is folded */
#define SPOOL_IDS_MAX      1000000    /* messages in the queue; with more, no file is removed as left over */
#define SPOOL_TRACE_MAX    200000     /* rows of the trace */
#define SPOOL_FIND_MAX     1000       /* rows one `trace` prints */

/* What else changes in the transaction of a put: rows of another message that end with it, or stay and are
 * marked as warned. */
struct spool_change {
    struct slice id;
    uint32_t ordinal;
    bool warned; /* the row stays */
};

/* A message that is to be queued, for deliver_put(). */
struct spool_message {
    struct slice id;
    const struct wire_queue_mail *mail; /* sender, envid, ret, smtputf8, requiretls, client, session count */
    struct slice received;              /* our header block, whole lines */
    struct slice signature; /* DKIM-Signature fields, put in front of `received` for remote rows */
    struct slice account;   /* submitter, or empty */
    struct slice message_id, subject;
    struct slice to_sign; /* held for want of a key: keys_facts_add(); else empty */
    struct slice hold;    /* not empty: its rows are born held, for this reason */
    uint64_t size;
    bool eightbit, utf8_header;   /* as scan found */
    const struct vec *recipients; /* struct txn_recipient */
    const struct vec *targets;    /* struct txn_target; row i is target i */
    const struct spool_change *changes;
    size_t change_count;
};

enum { SPOOL_WAITING, SPOOL_CLAIMED, SPOOL_HELD };

/* What a claimed row was before: a command may have claimed one that was held. Only held rows have a reason.
 */
#define SPOOL_BEFORE_CLAIM_SQL "CASE WHEN hold = '' THEN 0 ELSE 2 END"

/* Arguments: route, due. */
#define SPOOL_ROUTE_DUE_SQL                                                                                  \
    "INSERT INTO queue_route (route, due) VALUES (?, ?)"                                                     \
    " ON CONFLICT (route) DO UPDATE SET due = min(due, excluded.due)"

/* Argument: id. The message goes when it has no rows. */
#define SPOOL_END_MESSAGE_SQL                                                                                \
    "DELETE FROM queue_message WHERE id = ?1"                                                                \
    " AND NOT EXISTS (SELECT 1 FROM queue_recipient WHERE message = ?1)"

typedef void spool_done(void *ctx, enum err err, const struct why *why);

/* Opens (and migrates) the database. Call after confinement. */
enum err spool_open(struct loop *loop, const char *path, struct spool **spool, struct why *why) MUST_CHECK;
/* What is submitted from now on waits for spool_close(). Takes NULL. */
void spool_stop(struct spool *spool);
/* Waits for what is under way, runs the rest on this thread, closes. The loop must not be turned afterwards.
 * Takes NULL. */
void spool_close(struct spool **spool);
/* Operations not answered yet. */
size_t spool_pending(const struct spool *spool);

/* Ends or marks rows as `changes` say, without a put; a message that has no rows after it ends too, and its
 * file (deliver.c). Copies; repeated until it succeeds. */
void spool_change(struct spool *spool, const struct spool_change *changes, size_t count, spool_done *done,
                  void *ctx);
/* The message and its rows: claimed by this process, or waiting (from `due_ms` on), or held. The text of
 * `message` (and of `hold`, `client`) must live until `done`. */
struct spool_put {
    const struct queued *message;
    struct slice client, hold;
    uint32_t state; /* SPOOL_WAITING, SPOOL_CLAIMED, SPOOL_HELD */
    uint32_t priority;
    uint64_t due_ms;
    const struct spool_change *changes; /* copied */
    size_t change_count;
};
void spool_put(struct spool *spool, const struct spool_put *put, spool_done *done, void *ctx);

/* A message that was held for want of a key is signed now: so it leaves from now on. Copies; repeated until
 * it succeeds. */
void spool_signed(struct spool *spool, struct slice id, struct slice signature);

/* What became of rows of one message. */
enum spool_what {
    SPOOL_ROW_END,   /* done: it goes */
    SPOOL_ROW_TOLD,  /* done, but its sender is to be told: stays claimed, on the route ROUTES_TOLD */
    SPOOL_ROW_LATER, /* waits until due_ms, with the answer it got */
    SPOOL_ROW_BACK   /* was not tried: waits as before */
};
struct spool_result {
    enum spool_what what;
    const struct queued_row
        *row; /* attempts, code, enhanced, text, remote are kept (LATER, TOLD), route (LATER) */
    uint64_t due_ms;
    uint64_t route_due_ms; /* when its route is to be looked at (LATER, BACK) */
};
/* One attempt, counted for the reports on TLS. */
struct spool_attempt {
    struct slice domain, mx, policy, tls_result;
    uint32_t outcome; /* enum relay_outcome */
    uint64_t hour;    /* since 1970 */
};
/* `gone`: the message has no rows at all any more. */
typedef void spool_results_done(void *ctx, enum err err, bool gone);
/* Copies; repeated until it succeeds. `usage` (its relay empty: none) is counted in the same transaction.
 * `done` may be NULL. */
void spool_results(struct spool *spool, struct slice id, const struct spool_result *results, size_t count,
                   const struct relay_usage *usage, const struct spool_attempt *attempt,
                   spool_results_done *done, void *ctx);
/* Adds to what a relay has taken. */
void spool_count(struct spool *spool, const struct relay_usage *usage);
/* Attempts of hours before this one are forgotten, and relays' days before this. */
void spool_forget_old(struct spool *spool, uint64_t hour, uint64_t window_ms);
/* The clock's state, for the next start. */
void spool_keep_clock(struct spool *spool, const struct queue_clock_kept *kept);
/* At the start, before anything was submitted, on this thread: the clock's state (false: none yet) and what
 * the relays have taken (relay_quotas_load()). */
enum err spool_load(struct spool *spool, struct queue *q, struct queue_clock_kept *kept, bool *known,
                    struct why *why) MUST_CHECK;

/* This route is to be looked at then (exactly: it was looked at), or at the latest then. */
void spool_route_due(struct spool *spool, struct slice route, uint64_t due_ms, bool exactly);
/* Events of the trace: records of trace.c, in order; the block is freed here. Best effort. */
void spool_trace(struct spool *spool, uint8_t *records, size_t len);

/* Routes of which something is due now, up to SPOOL_ROUTES_MAX: wire_strings. They are not due any more
 * (SPOOL_FAR) until whoever asked has looked. `next_ms`: when the next one is (UINT64_MAX: none). With
 * `sweep` (once, at start), what an earlier process had claimed waits again, and all routes are due it had
 * not finished looking at. */
typedef void spool_routes_done(void *ctx, enum err err, struct slice routes, uint64_t next_ms);
void spool_routes(struct spool *spool, uint64_t now_ms, bool sweep, spool_routes_done *done, void *ctx);
/* Claims up to `limit` rows of this route that are due, oldest first (of four, one may be mass mail). `found`
 * gets each message with its rows (the callee's now); then `done` with the time the next row is due
 * (UINT64_MAX: none waits), which is also when the route is. */
typedef void spool_found(void *ctx, struct queued *message);
typedef void spool_fetched(void *ctx, enum err err, size_t rows, uint64_t next_ms);
void spool_fetch(struct spool *spool, struct queue *q, struct slice route, uint64_t now_ms, uint32_t limit,
                 spool_found *found, spool_fetched *done, void *ctx);
/* Messages of before `created_ms` with waiting rows, up to SPOOL_OVERDUE_MAX, with these rows. To be
 * returned: claimed. To be warned of: those that were not yet; their rows stay waiting. */
void spool_overdue(struct spool *spool, struct queue *q, uint64_t created_ms, bool warn, spool_found *found,
                   spool_fetched *done, void *ctx);

struct spool_depth {
    uint64_t messages, waiting, held, oldest_ms; /* oldest_ms 0: there is none */
};
typedef void spool_depth_done(void *ctx, enum err err, const struct spool_depth *depth);
void spool_depth(struct spool *spool, spool_depth_done *done, void *ctx);

/* The ids of all messages in the queue, each QUEUE_ID_LEN bytes, one behind the other. */
typedef void spool_ids_done(void *ctx, enum err err, struct slice ids);
void spool_ids(struct spool *spool, spool_ids_done *done, void *ctx);

/* Text for the administrator, gathered on the database's thread. */
typedef void spool_text(void *ctx, enum err err, struct slice text);
void spool_trace_find(struct spool *spool, struct slice id, bool json, spool_text *done, void *ctx);

/* ---- for spool.c and spool_sql.c ---- */

struct spool_op {
    struct list node;
    enum err (*run)(struct db *db, struct spool_op *op, struct why *why); /* on the database's thread */
    void (*finish)(struct spool_op *op); /* on the loop; frees the operation */
    bool insistent;                      /* repeated until it succeeds */
    enum err err;
    struct why why;
};

/* Whose messages it keeps (spool_load()). */
struct queue *spool_queue(const struct spool *spool);
/* Runs the operation with the next transaction. */
void spool_submit(struct spool *spool, struct spool_op *op);

extern const struct db_schema spool_schema;
/* spool_load() on an open database. */
enum err spool_load_from(struct db *db, struct queue *q, struct queue_clock_kept *kept, bool *known,
                         struct why *why) MUST_CHECK;

#endif
