/* spool_sql.c: the trace, the ids of all messages, texts for people. Runs on the database's thread but for
 * the functions others call; what it reads was written by ourselves. Called by trace.c, deliver.c and
 * control.c. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "queue/spool.h"
#include "queue/trace.h"

#define TEXT_MAX_OUT (4u << 20) /* of what one command prints */

/* ---- trace ---- */

struct trace_op {
    struct spool_op op;
    uint8_t *records;
    size_t len;
};

static enum err run_trace(struct db *db, struct spool_op *op, struct why *why)
{
    const struct trace_op *t = CONTAINER_OF(op, struct trace_op, op);
    struct slice records = slice_make(t->records, t->len), session, id, text;
    uint64_t time;
    enum err err = ERR_OK;
    while (!err && trace_take(&records, &time, &session, &id, &text))
        err = db_run(db, "INSERT INTO trace (time, session, id, event) VALUES (?, ?, ?, ?)",
                     DB_ARGS(DB_U64(time), DB_TEXT(session), DB_TEXT(id), DB_TEXT(text)), why);
    if (!err && db_last_id(db) > SPOOL_TRACE_MAX)
        err = db_run(db, "DELETE FROM trace WHERE number <= ?",
                     DB_ARGS(DB_U64(db_last_id(db) - SPOOL_TRACE_MAX)), why);
    return err;
}

static void finish_trace(struct spool_op *op)
{
    struct trace_op *t = CONTAINER_OF(op, struct trace_op, op);
    free(t->records);
    free(t);
}

void spool_trace(struct spool *spool, uint8_t *records, size_t len)
{
    struct trace_op *t = mem_zero(1, sizeof *t);
    *t = (struct trace_op){.op = {.run = run_trace, .finish = finish_trace}, .records = records, .len = len};
    spool_submit(spool, &t->op);
}

/* ---- all ids ---- */

struct ids_op {
    struct spool_op op;
    struct buf ids;
    spool_ids_done *done;
    void *ctx;
};

static enum err run_ids(struct db *db, struct spool_op *op, struct why *why)
{
    struct ids_op *all = CONTAINER_OF(op, struct ids_op, op);
    struct db_rows rows;
    buf_clear(&all->ids);
    enum err err = db_query(db, "SELECT id FROM queue_message", DB_NO_ARGS, &rows, why);
    if (err)
        return err;
    while (db_next(&rows)) {
        struct slice id = db_slice(&rows, 0);
        if (id.len == QUEUE_ID_LEN)
            buf_add(&all->ids, id);
    }
    err = db_end(&rows, why);
    return !err && !buf_ok(&all->ids) ? err_set(why, ERR_LATER, "too many messages in the queue") : err;
}

static void finish_ids(struct spool_op *op)
{
    struct ids_op *all = CONTAINER_OF(op, struct ids_op, op);
    all->done(all->ctx, op->err, buf_slice(&all->ids));
    buf_free(&all->ids);
    free(all);
}

void spool_ids(struct spool *spool, spool_ids_done *done, void *ctx)
{
    struct ids_op *all = mem_zero(1, sizeof *all);
    *all = (struct ids_op){.op = {.run = run_ids, .finish = finish_ids},
                           .ids = buf_new((size_t)SPOOL_IDS_MAX * QUEUE_ID_LEN),
                           .done = done,
                           .ctx = ctx};
    spool_submit(spool, &all->op);
}

/* ---- for people ---- */

struct text_op {
    struct spool_op op;
    char id[QUEUE_ID_LEN * 4 + 1];
    bool json;
    struct buf out;
    spool_text *done;
    void *ctx;
};

static void add_event(struct text_op *t, const struct db_rows *rows, bool first)
{
    char time[CLOCK_TEXT_MAX];
    clock_rfc3339(db_u64(rows, 0), time);
    if (!t->json) {
        buf_addf(&t->out, "%s  %.*s  %.*s  %.*s\n", time, SLICE_ARG(db_slice(rows, 1)),
                 SLICE_ARG(db_slice(rows, 2)), SLICE_ARG(db_slice(rows, 3)));
        return;
    }
    buf_addf(&t->out, "%s{\"time\":\"%s\",\"session\":", first ? "" : ",", time);
    buf_add_json_string(&t->out, db_slice(rows, 1));
    buf_add_str(&t->out, ",\"id\":");
    buf_add_json_string(&t->out, db_slice(rows, 2));
    buf_add_str(&t->out, ",\"event\":");
    buf_add_json_string(&t->out, db_slice(rows, 3));
    buf_add_byte(&t->out, '}');
}

/* All events of the id, and of the session that brought it. No index: the table is bounded, and a trace is
 * rare. */
static enum err run_trace_find(struct db *db, struct spool_op *op, struct why *why)
{
    struct text_op *t = CONTAINER_OF(op, struct text_op, op);
    struct db_rows rows;
    enum err err =
        db_query(db,
                 "SELECT time, session, id, event FROM trace WHERE id = ?1 OR session = ?1 OR (id = '' "
                 "AND session <> ''"
                 " AND session IN (SELECT session FROM trace WHERE id = ?1)) ORDER BY number LIMIT ?2",
                 DB_ARGS(DB_TEXT(slice_of(t->id)), DB_U64(SPOOL_FIND_MAX)), &rows, why);
    if (err)
        return err;
    bool first = true;
    buf_clear(&t->out);
    if (t->json)
        buf_add_byte(&t->out, '[');
    for (; db_next(&rows); first = false)
        add_event(t, &rows, first);
    if (t->json)
        buf_add_str(&t->out, "]\n");
    else if (first)
        buf_add_str(&t->out, "nothing found\n");
    return db_end(&rows, why);
}

static void finish_text(struct spool_op *op)
{
    struct text_op *t = CONTAINER_OF(op, struct text_op, op);
    t->done(t->ctx, op->err, op->err ? slice_of(op->why.text) : buf_slice(&t->out));
    buf_free(&t->out);
    free(t);
}

void spool_trace_find(struct spool *spool, struct slice id, bool json, spool_text *done, void *ctx)
{
    struct text_op *t = mem_zero(1, sizeof *t);
    *t = (struct text_op){.op = {.run = run_trace_find, .finish = finish_text},
                          .json = json,
                          .out = buf_new(TEXT_MAX_OUT),
                          .done = done,
                          .ctx = ctx};
    size_t len = id.len < sizeof t->id - 1 ? id.len : sizeof t->id - 1;
    memcpy(t->id, id.ptr, len);
    spool_submit(spool, &t->op);
}
