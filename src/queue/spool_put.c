/* spool_put.c: new messages, and the rows that end with them. Runs on the database's thread but for the
 * functions others call; trusts its callers. Called by deliver.c and bounce.c. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "queue/routes.h"
#include "queue/spool.h"

#define SIGNED_ARENA_MAX (1u << 20)

/* ---- rows that end or are marked ---- */

struct changes {
    size_t count;
    struct {
        char id[QUEUE_ID_LEN + 1];
        uint32_t ordinal;
        bool warned, gone;
    } * items;
};

static void copy_changes(struct changes *changes, const struct spool_change *from, size_t count)
{
    changes->count = count;
    changes->items = mem_zero(count ? count : 1, sizeof *changes->items);
    for (size_t i = 0; i < count; i++) {
        memcpy(changes->items[i].id, from[i].id.ptr,
               from[i].id.len < QUEUE_ID_LEN ? from[i].id.len : QUEUE_ID_LEN);
        changes->items[i].ordinal = from[i].ordinal;
        changes->items[i].warned = from[i].warned;
    }
}

static enum err change_one(struct db *db, struct changes *changes, size_t i, struct why *why)
{
    struct slice id = slice_of(changes->items[i].id);
    if (changes->items[i].warned)
        return db_run(db, "UPDATE queue_message SET warned = 1 WHERE id = ?", DB_ARGS(DB_TEXT(id)), why);
    enum err err = db_run(db, "DELETE FROM queue_recipient WHERE message = ? AND ordinal = ?",
                          DB_ARGS(DB_TEXT(id), DB_U64(changes->items[i].ordinal)), why);
    bool last = i + 1 == changes->count || !slice_eq(id, slice_of(changes->items[i + 1].id));
    if (err || !last)
        return err;
    err = db_run(db, SPOOL_END_MESSAGE_SQL, DB_ARGS(DB_TEXT(id)), why);
    changes->items[i].gone = !err && db_changes(db) > 0;
    return err;
}

static enum err run_changes(struct db *db, struct changes *changes, struct why *why)
{
    enum err err = ERR_OK;
    for (size_t i = 0; !err && i < changes->count; i++)
        err = change_one(db, changes, i, why);
    return err;
}

static void end_changes(struct queue *q, struct changes *changes, enum err err)
{
    for (size_t i = 0; !err && i < changes->count; i++)
        if (changes->items[i].gone)
            deliver_drop_file(q, slice_of(changes->items[i].id));
    free(changes->items);
}

struct change_op {
    struct spool_op op;
    struct queue *q;
    struct changes changes;
    spool_done *done;
    void *ctx;
};

static enum err run_change(struct db *db, struct spool_op *op, struct why *why)
{
    return run_changes(db, &CONTAINER_OF(op, struct change_op, op)->changes, why);
}

static void finish_change(struct spool_op *op)
{
    struct change_op *c = CONTAINER_OF(op, struct change_op, op);
    end_changes(c->q, &c->changes, op->err);
    if (c->done)
        c->done(c->ctx, op->err, &op->why);
    free(c);
}

void spool_change(struct spool *spool, const struct spool_change *changes, size_t count, spool_done *done,
                  void *ctx)
{
    struct change_op *c = mem_zero(1, sizeof *c);
    *c = (struct change_op){.op = {.run = run_change, .finish = finish_change, .insistent = true},
                            .q = spool_queue(spool),
                            .done = done,
                            .ctx = ctx};
    copy_changes(&c->changes, changes, count);
    spool_submit(spool, &c->op);
}

/* ---- a new message ---- */

struct put {
    struct spool_op op;
    struct queue *q;
    struct spool_put put;
    struct changes changes;
    spool_done *done;
    void *ctx;
};

static enum err put_message(struct db *db, const struct spool_put *put, struct why *why)
{
    const struct queued *m = put->message;
    return db_run(db,
                  "INSERT INTO queue_message (id, sender, received, signature, session, account, envid, ret,"
                  " smtputf8, eightbit, utf8_header, requiretls, size, created, client, message_id, subject,"
                  " to_sign)"
                  " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                  DB_ARGS(DB_TEXT(m->id), DB_TEXT(m->sender), DB_BLOB(m->received), DB_BLOB(m->signature),
                          DB_TEXT(m->session), DB_TEXT(m->account), DB_TEXT(m->envid), DB_U64(m->ret),
                          DB_U64(m->smtputf8), DB_U64(m->eightbit), DB_U64(m->utf8_header),
                          DB_U64(m->requiretls), DB_U64(m->size), DB_U64(m->created_ms), DB_TEXT(put->client),
                          DB_TEXT(m->message_id), DB_TEXT(m->subject), DB_BLOB(m->to_sign)),
                  why);
}

static enum err put_row(struct db *db, const struct spool_put *put, const struct queued_row *row,
                        struct why *why)
{
    enum err err =
        db_run(db,
               "INSERT INTO queue_recipient (message, ordinal, kind, target, address, orcpt, notify, claimed,"
               " due, attempts, error, sender, route, priority, hold)"
               " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '', ?, ?, ?, ?)",
               DB_ARGS(DB_TEXT(put->message->id), DB_U64(row->ordinal), DB_U64(row->local ? 0 : 1),
                       DB_TEXT(row->target), DB_TEXT(row->address), DB_TEXT(row->orcpt), DB_U64(row->notify),
                       DB_U64(put->state), DB_U64(put->due_ms), DB_TEXT(row->sender), DB_TEXT(row->route),
                       DB_U64(put->priority), DB_TEXT(put->hold)),
               why);
    if (!err && put->state == SPOOL_WAITING)
        err = db_run(db, SPOOL_ROUTE_DUE_SQL, DB_ARGS(DB_TEXT(row->route), DB_U64(put->due_ms)), why);
    return err;
}

static enum err run_put(struct db *db, struct spool_op *op, struct why *why)
{
    struct put *p = CONTAINER_OF(op, struct put, op);
    enum err err = put_message(db, &p->put, why);
    for (uint32_t i = 0; !err && i < p->put.message->count; i++)
        err = put_row(db, &p->put, &p->put.message->rows[i], why);
    return err ? err : run_changes(db, &p->changes, why);
}

static void finish_put(struct spool_op *op)
{
    struct put *p = CONTAINER_OF(op, struct put, op);
    end_changes(p->q, &p->changes, op->err);
    p->done(p->ctx, op->err, &op->why);
    free(p);
}

void spool_put(struct spool *spool, const struct spool_put *put, spool_done *done, void *ctx)
{
    struct put *p = mem_zero(1, sizeof *p);
    *p = (struct put){.op = {.run = run_put, .finish = finish_put},
                      .q = spool_queue(spool),
                      .put = *put,
                      .done = done,
                      .ctx = ctx};
    copy_changes(&p->changes, put->changes, put->change_count);
    spool_submit(spool, &p->op);
}

/* ---- a signature that comes later ---- */

struct signed_op {
    struct spool_op op;
    struct arena *arena;
    struct slice id, signature;
};

static enum err run_signed(struct db *db, struct spool_op *op, struct why *why)
{
    const struct signed_op *s = CONTAINER_OF(op, struct signed_op, op);
    return db_run(db, "UPDATE queue_message SET signature = ?, to_sign = x'' WHERE id = ?",
                  DB_ARGS(DB_BLOB(s->signature), DB_TEXT(s->id)), why);
}

static void finish_signed(struct spool_op *op)
{
    struct signed_op *s = CONTAINER_OF(op, struct signed_op, op);
    arena_free(&s->arena);
    free(s);
}

void spool_signed(struct spool *spool, struct slice id, struct slice signature)
{
    struct signed_op *s = mem_zero(1, sizeof *s);
    s->op = (struct spool_op){.run = run_signed, .finish = finish_signed, .insistent = true};
    s->arena = arena_new(SIGNED_ARENA_MAX);
    s->id = arena_dup(s->arena, id);
    s->signature = arena_dup(s->arena, signature);
    spool_submit(spool, &s->op);
}
