/* spool.c: gathers operations on system.db and runs them together on a thread of its own: one transaction,
 * one fsync. The operations themselves are in spool_sql.c. */
#include "queue/spool.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

struct spool {
    struct loop *loop;
    struct loop_pool *pool;
    struct loop_timer *retry;
    struct db *db;
    struct queue *q;
    struct list waiting, running, failed;
    size_t pending;
    bool busy, stopped;
};

/* ---- on the database's thread ---- */

static enum err run_together(struct spool *spool, struct why *why)
{
    enum err err = db_begin(spool->db, why);
    LIST_EACH(&spool->running, node)
    {
        struct spool_op *op = CONTAINER_OF(node, struct spool_op, node);
        if (!err)
            err = op->run(spool->db, op, why);
    }
    if (!err)
        err = db_commit(spool->db, why);
    if (err)
        db_rollback(spool->db);
    return err;
}

/* One bad operation must not fail its neighbours. */
static void run_alone(struct spool *spool, struct spool_op *op)
{
    op->err = db_begin(spool->db, &op->why);
    if (!op->err)
        op->err = op->run(spool->db, op, &op->why);
    if (!op->err)
        op->err = db_commit(spool->db, &op->why);
    if (op->err)
        db_rollback(spool->db);
}

static void work(void *arg)
{
    struct spool *spool = arg;
    struct why why = {0};
    if (run_together(spool, &why) != ERR_OK)
        LIST_EACH(&spool->running, node)
    run_alone(spool, CONTAINER_OF(node, struct spool_op, node));
}

static void checkpoint(void *arg)
{
    struct spool *spool = arg;
    struct why why;
    if (db_checkpoint(spool->db, &why))
        log_warn("queue.checkpoint", LOG_WHY(&why));
}

/* ---- on the loop ---- */

static void start(struct spool *spool);

static void checkpointed(void *arg)
{
    struct spool *spool = arg;
    spool->busy = false;
    start(spool);
}

static void finish_op(struct spool *spool, struct spool_op *op)
{
    if (op->err)
        log_error("queue.database", LOG_CSTR("err", err_name(op->err)), LOG_WHY(&op->why));
    if (op->err && op->insistent) {
        op->err = ERR_OK;
        list_push_back(&spool->failed, &op->node);
        loop_timer_set(spool->retry, SPOOL_RETRY_MS);
        return;
    }
    spool->pending--;
    op->finish(op);
}

static void worked(void *arg)
{
    struct spool *spool = arg;
    for (struct list *node; (node = list_pop_front(&spool->running)) != NULL;)
        finish_op(spool, CONTAINER_OF(node, struct spool_op, node));
    spool->busy = false;
    if (db_wal_bytes(spool->db) > SPOOL_WAL_MAX) {
        spool->busy = true;
        loop_pool_run(spool->pool, checkpoint, checkpointed, spool);
        return;
    }
    start(spool);
}

static void start(struct spool *spool)
{
    if (spool->busy || spool->stopped || list_empty(&spool->waiting))
        return;
    for (size_t i = 0; i < SPOOL_BATCH_MAX && !list_empty(&spool->waiting); i++)
        list_push_back(&spool->running, list_pop_front(&spool->waiting));
    spool->busy = true;
    loop_pool_run(spool->pool, work, worked, spool);
}

static void on_retry(void *arg)
{
    struct spool *spool = arg;
    for (struct list *node; (node = list_pop_front(&spool->failed)) != NULL;)
        list_push_back(&spool->waiting, node);
    start(spool);
}

void spool_submit(struct spool *spool, struct spool_op *op)
{
    spool->pending++;
    list_push_back(&spool->waiting, &op->node);
    start(spool);
}

size_t spool_pending(const struct spool *spool)
{
    return spool->pending;
}

enum err spool_open(struct loop *loop, const char *path, struct spool **spool, struct why *why)
{
    struct db *db = NULL;
    uint32_t before;
    enum err err = db_open(path, DB_EXCLUSIVE, &spool_schema, &before, &db, why);
    if (err)
        return err;
    struct spool *made = mem_zero(1, sizeof *made);
    made->loop = loop;
    made->db = db;
    list_init(&made->waiting);
    list_init(&made->running);
    list_init(&made->failed);
    made->retry = loop_timer_new(loop, on_retry, made);
    made->pool = loop_pool_new(loop, "spool", 1);
    *spool = made;
    return ERR_OK;
}

enum err spool_load(struct spool *spool, struct queue *q, struct queue_clock_kept *kept, bool *known,
                    struct why *why)
{
    spool->q = q;
    return spool_load_from(spool->db, q, kept, known, why);
}

struct queue *spool_queue(const struct spool *spool)
{
    return spool->q;
}

void spool_stop(struct spool *spool)
{
    if (spool)
        spool->stopped = true;
}

static void end_all(struct list *ops)
{
    for (struct list *node; (node = list_pop_front(ops)) != NULL;) {
        struct spool_op *op = CONTAINER_OF(node, struct spool_op, node);
        op->finish(op);
    }
}

void spool_close(struct spool **spool)
{
    struct spool *s = *spool;
    if (!s)
        return;
    *spool = NULL;
    s->stopped = true;
    loop_pool_free(&s->pool); /* what runs is finished; its answers are the next line */
    end_all(&s->running);
    while (!list_empty(&s->failed))
        list_push_back(&s->waiting, list_pop_front(&s->failed));
    while (!list_empty(&s->waiting))
        list_push_back(&s->running, list_pop_front(&s->waiting));
    work(s);
    end_all(&s->running);
    loop_timer_free(&s->retry);
    db_close(&s->db);
    free(s);
}
