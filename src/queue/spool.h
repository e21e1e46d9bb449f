/* spool.h: the rows of queued messages and the trace, in system.db.
 *
 * Operations gather while the one before is on its way to disk; all that gathered share one transaction and
 * one fsync, on a thread of its own. Answers come back on the loop's thread, in order. Nothing here is on the
 * way of a message with a single local recipient. Used by commit.c, deliver.c, trace.c and control.c.
 *
 * The tables (schema 2), for whoever writes operations of his own (spool_submit):
 *   queue_message    id, sender, received, signature, session, account, envid, ret, smtputf8, eightbit,
 *                    utf8_header, requiretls, size, created, client, message_id, warned
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

#define SPOOL_PATH      "system.db"
#define SPOOL_BATCH_MAX 2000 /* operations in one transaction */
#define SPOOL_RETRY_MS  5000
#define SPOOL_DUE_MAX   500        /* messages fetched at once */
#define SPOOL_WAL_MAX   (8u << 20) /* bytes of log after which the database is folded */
#define SPOOL_IDS_MAX   1000000    /* messages in the queue; with more, no file is removed as left over */
#define SPOOL_TRACE_MAX 200000     /* rows of the trace */
#define SPOOL_FIND_MAX  1000       /* rows one `trace` prints */
#define SPOOL_LIST_MAX  5000       /* rows one `queue list` prints */

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
    struct slice message_id;
    struct slice hold; /* not empty: its rows are born held, for this reason */
    uint64_t size;
    bool eightbit, utf8_header;   /* as scan found */
    const struct vec *recipients; /* struct txn_recipient */
    const struct vec *targets;    /* struct txn_target; row i is target i */
    const struct spool_change *changes;
    size_t change_count;
    struct queued *queued;
    uint64_t created_unix_ms;
};

enum { SPOOL_WAITING, SPOOL_CLAIMED, SPOOL_HELD };

/* Arguments: route, due. */
#define SPOOL_ROUTE_DUE_SQL                                                                                  \
    "INSERT INTO queue_route (route, due) VALUES (?, ?)"                                                     \
    " ON CONFLICT (route) DO UPDATE SET due = min(due, excluded.due)"

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
 * file. Copies. `gone` messages' files are dropped by this (deliver.c). */
void spool_change(struct spool *spool, const struct spool_change *changes, size_t count, spool_done *done,
                  void *ctx);
/* The message and its rows, claimed by this process. What `message` points to must live until `done`. */
void spool_put(struct spool *spool, const struct spool_message *message, spool_done *done, void *ctx);
/* The row is delivered: deleted. The texts are copied. These three are repeated until they succeed; `done`
 * may be NULL. */
void spool_settle(struct spool *spool, struct slice id, uint32_t ordinal, spool_done *done, void *ctx);
/* The row waits until `due_unix_ms`. */
void spool_defer(struct spool *spool, struct slice id, uint32_t ordinal, uint32_t attempts,
                 uint64_t due_unix_ms, struct slice error);
/* The message has no rows any more and its file is gone. */
void spool_forget(struct spool *spool, struct slice id);
/* Events of the trace: records of trace.c, in order; the block is freed here. Best effort. */
void spool_trace(struct spool *spool, uint8_t *records, size_t len);

/* Claims what is due now. `found` gets each message with its rows (the callee's now); then `done` with the
 * time when the next is due (UINT64_MAX: nothing waits) and the number of messages in the queue. With `sweep`
 * (once, at start), what an earlier process had claimed is free again, and messages without rows (only their
 * file may be left) come too, with count 0. */
typedef void spool_found(void *ctx, struct queued *message);
typedef void spool_due_done(void *ctx, enum err err, uint64_t next_unix_ms, uint64_t messages);
void spool_due(struct spool *spool, struct queue *q, uint64_t now_unix_ms, bool sweep, spool_found *found,
               spool_due_done *done, void *ctx);

/* The ids of all messages in the queue, each QUEUE_ID_LEN bytes, one behind the other. */
typedef void spool_ids_done(void *ctx, enum err err, struct slice ids);
void spool_ids(struct spool *spool, spool_ids_done *done, void *ctx);

/* Text for the administrator, gathered on the database's thread. */
typedef void spool_text(void *ctx, enum err err, struct slice text);
void spool_trace_find(struct spool *spool, struct slice id, bool json, spool_text *done, void *ctx);
void spool_list(struct spool *spool, bool json, spool_text *done, void *ctx);

/* ---- for spool.c and spool_sql.c ---- */

struct spool_op {
    struct list node;
    enum err (*run)(struct db *db, struct spool_op *op, struct why *why); /* on the database's thread */
    void (*finish)(struct spool_op *op); /* on the loop; frees the operation */
    bool insistent;                      /* repeated until it succeeds */
    enum err err;
    struct why why;
};

/* Runs the operation with the next transaction. */
void spool_submit(struct spool *spool, struct spool_op *op);

extern const struct db_schema spool_schema;

#endif
