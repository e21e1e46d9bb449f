/* spool_sql.c: the schema of system.db and the operations on it. Runs on the database's thread; what it reads
 * was written by itself. The due-index is (claimed, due): however much waits costs nothing until it is due.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "queue/spool.h"
#include "queue/trace.h"

#define TEXT_MAX_OUT (4u << 20) /* of what one command prints */

/* kind: 0 an account of ours, 1 another server. claimed: 1 while a process works on it. */
static const struct db_step steps[] = {
    {.sql = "CREATE TABLE queue_message ("
            " id TEXT PRIMARY KEY, sender TEXT NOT NULL, received BLOB NOT NULL, session TEXT NOT NULL,"
            " account TEXT NOT NULL, envid TEXT NOT NULL, ret INTEGER NOT NULL, smtputf8 INTEGER NOT NULL,"
            " eightbit INTEGER NOT NULL, requiretls INTEGER NOT NULL, size INTEGER NOT NULL,"
            " created INTEGER NOT NULL, client TEXT NOT NULL) WITHOUT ROWID;"
            "CREATE TABLE queue_recipient ("
            " message TEXT NOT NULL, ordinal INTEGER NOT NULL, kind INTEGER NOT NULL, target TEXT NOT NULL,"
            " address TEXT NOT NULL, orcpt TEXT NOT NULL, notify INTEGER NOT NULL, claimed INTEGER NOT NULL,"
            " due INTEGER NOT NULL, attempts INTEGER NOT NULL, error TEXT NOT NULL,"
            " PRIMARY KEY (message, ordinal)) WITHOUT ROWID;"
            "CREATE INDEX queue_due ON queue_recipient (claimed, due);"
            "CREATE TABLE trace (number INTEGER PRIMARY KEY, time INTEGER NOT NULL, session TEXT NOT NULL,"
            " id TEXT NOT NULL, event TEXT NOT NULL);"},
};
const struct db_schema spool_schema = {.name = "queue database", .steps = steps, .count = ARRAY_LEN(steps)};

/* ---- put ---- */

struct put {
    struct spool_op op;
    struct spool_message message;
    spool_done *done;
    void *ctx;
};

static enum err put_row(struct db *db, const struct spool_message *m, uint32_t ordinal, struct why *why)
{
    const struct txn_target *target = VEC_AT(m->targets, struct txn_target, ordinal);
    const struct txn_recipient *to = VEC_AT(m->recipients, struct txn_recipient, target->recipient);
    return db_run(
        db,
        "INSERT INTO queue_recipient (message, ordinal, kind, target, address, orcpt, notify, claimed, due,"
        " attempts, error) VALUES (?, ?, 0, ?, ?, ?, ?, 1, ?, 0, '')",
        DB_ARGS(DB_TEXT(m->queued->id), DB_U64(ordinal), DB_TEXT(target->address), DB_TEXT(to->address),
                DB_TEXT(to->orcpt), DB_U64(to->notify), DB_U64(m->created_unix_ms)),
        why);
}

static enum err run_put(struct db *db, struct spool_op *op, struct why *why)
{
    const struct spool_message *m = &CONTAINER_OF(op, struct put, op)->message;
    enum err err =
        db_run(db,
               "INSERT INTO queue_message (id, sender, received, session, account, envid, ret, smtputf8, "
               "eightbit, requiretls,"
               " size, created, client) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
               DB_ARGS(DB_TEXT(m->queued->id), DB_TEXT(m->queued->sender), DB_BLOB(m->queued->received),
                       DB_TEXT(m->queued->session), DB_TEXT(m->account), DB_TEXT(m->mail->envid),
                       DB_U64(m->mail->ret), DB_U64(m->mail->smtputf8), DB_U64(m->mail->eightbit),
                       DB_U64(m->mail->requiretls), DB_U64(m->size), DB_U64(m->created_unix_ms),
                       DB_TEXT(m->mail->client)),
               why);
    for (uint32_t i = 0; !err && i < m->targets->len; i++)
        err = put_row(db, m, i, why);
    return err;
}

static void finish_put(struct spool_op *op)
{
    struct put *put = CONTAINER_OF(op, struct put, op);
    put->done(put->ctx, op->err, &op->why);
    free(put);
}

void spool_put(struct spool *spool, const struct spool_message *message, spool_done *done, void *ctx)
{
    struct put *put = mem_zero(1, sizeof *put);
    *put = (struct put){
        .op = {.run = run_put, .finish = finish_put}, .message = *message, .done = done, .ctx = ctx};
    spool_submit(spool, &put->op);
}

/* ---- what changes one row ---- */

struct change {
    struct spool_op op;
    char id[QUEUE_ID_LEN + 1];
    uint32_t ordinal, attempts;
    uint64_t due;
    spool_done *done;
    void *ctx;
    size_t error_len;
    char error[];
};

static struct change *change_new(enum err (*run)(struct db *, struct spool_op *, struct why *),
                                 struct slice id, struct slice error)
{
    struct change *c = mem_zero(1, sizeof *c + error.len);
    c->op.run = run;
    c->op.insistent = true;
    memcpy(c->id, id.ptr, id.len < QUEUE_ID_LEN ? id.len : QUEUE_ID_LEN);
    c->error_len = error.len;
    if (error.len)
        memcpy(c->error, error.ptr, error.len);
    return c;
}

static void finish_change(struct spool_op *op)
{
    struct change *c = CONTAINER_OF(op, struct change, op);
    if (c->done)
        c->done(c->ctx, op->err, &op->why);
    free(c);
}

static enum err run_settle(struct db *db, struct spool_op *op, struct why *why)
{
    const struct change *c = CONTAINER_OF(op, struct change, op);
    return db_run(db, "DELETE FROM queue_recipient WHERE message = ? AND ordinal = ?",
                  DB_ARGS(DB_TEXT(slice_of(c->id)), DB_U64(c->ordinal)), why);
}

void spool_settle(struct spool *spool, struct slice id, uint32_t ordinal, spool_done *done, void *ctx)
{
    struct change *c = change_new(run_settle, id, SLICE_EMPTY);
    c->op.finish = finish_change;
    c->ordinal = ordinal;
    c->done = done;
    c->ctx = ctx;
    spool_submit(spool, &c->op);
}

static enum err run_defer(struct db *db, struct spool_op *op, struct why *why)
{
    const struct change *c = CONTAINER_OF(op, struct change, op);
    return db_run(db,
                  "UPDATE queue_recipient SET claimed = 0, attempts = ?, due = ?, error = ?"
                  " WHERE message = ? AND ordinal = ?",
                  DB_ARGS(DB_U64(c->attempts), DB_U64(c->due), DB_TEXT(slice_make(c->error, c->error_len)),
                          DB_TEXT(slice_of(c->id)), DB_U64(c->ordinal)),
                  why);
}

void spool_defer(struct spool *spool, struct slice id, uint32_t ordinal, uint32_t attempts,
                 uint64_t due_unix_ms, struct slice error)
{
    struct change *c = change_new(run_defer, id, error);
    c->op.finish = finish_change;
    c->ordinal = ordinal;
    c->attempts = attempts;
    c->due = due_unix_ms;
    spool_submit(spool, &c->op);
}

static enum err run_forget(struct db *db, struct spool_op *op, struct why *why)
{
    const struct change *c = CONTAINER_OF(op, struct change, op);
    struct slice id = slice_of(c->id);
    return db_run(db,
                  "DELETE FROM queue_message WHERE id = ?1"
                  " AND NOT EXISTS (SELECT 1 FROM queue_recipient WHERE message = ?1)",
                  DB_ARGS(DB_TEXT(id)), why);
}

void spool_forget(struct spool *spool, struct slice id)
{
    struct change *c = change_new(run_forget, id, SLICE_EMPTY);
    c->op.finish = finish_change;
    spool_submit(spool, &c->op);
}

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

/* ---- what is due ---- */

struct due_op {
    struct spool_op op;
    struct queue *q;
    uint64_t now, next, messages;
    bool sweep;
    struct list found; /* struct queued */
    spool_found *give;
    spool_due_done *done;
    void *ctx;
};

static enum err read_rows(struct db *db, struct queued *message, struct why *why)
{
    struct db_rows rows;
    struct vec list = VEC_NEW(struct queued_row, QUEUE_TXN_TARGETS);
    enum err err = db_query(db,
                            "SELECT ordinal, attempts, target FROM queue_recipient"
                            " WHERE message = ? AND claimed = 1 AND kind = 0 ORDER BY ordinal",
                            DB_ARGS(DB_TEXT(message->id)), &rows, why);
    if (err)
        return err;
    while (db_next(&rows)) {
        struct queued_row *row = vec_push(&list);
        if (row)
            *row = (struct queued_row){.ordinal = (uint32_t)db_u64(&rows, 0),
                                       .attempts = (uint32_t)db_u64(&rows, 1),
                                       .account = arena_dup(message->arena, db_slice(&rows, 2))};
    }
    err = db_end(&rows, why);
    if (!err && list.len) {
        message->rows = ARENA_ARRAY(message->arena, struct queued_row, list.len);
        memcpy(message->rows, list.items, list.len * sizeof(struct queued_row));
        message->count = (uint32_t)list.len;
    }
    vec_free(&list);
    return err;
}

static enum err read_message(struct db *db, struct due_op *due, struct slice id, struct why *why)
{
    struct queued *message = deliver_new(due->q);
    list_push_back(&due->found, &message->node);
    message->id = arena_dup(message->arena, id);
    struct db_rows rows;
    enum err err = db_query(db,
                            "SELECT sender, received, session,"
                            " (SELECT count(*) FROM queue_recipient WHERE message = id)"
                            " FROM queue_message WHERE id = ?",
                            DB_ARGS(DB_TEXT(message->id)), &rows, why);
    if (err)
        return err;
    uint64_t all = 0;
    if (db_next(&rows)) {
        message->sender = arena_dup(message->arena, db_slice(&rows, 0));
        message->received = arena_dup(message->arena, db_slice(&rows, 1));
        message->session = arena_dup(message->arena, db_slice(&rows, 2));
        all = db_u64(&rows, 3);
    }
    err = db_end(&rows, why);
    if (!err)
        err = read_rows(db, message, why);
    message->last_batch = message->count == all;
    return err;
}

/* The ids first: a walk is not disturbed by the updates that follow. */
static enum err collect_ids(struct db *db, const char *sql, const struct db_value *args, struct vec *ids,
                            struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(db, sql, args, &rows, why);
    if (err)
        return err;
    while (db_next(&rows)) {
        struct slice id = db_slice(&rows, 0);
        char *copy = id.len == QUEUE_ID_LEN ? vec_push(ids) : NULL;
        if (copy)
            memcpy(copy, id.ptr, QUEUE_ID_LEN);
    }
    return db_end(&rows, why);
}

static struct slice id_at(const struct vec *ids, size_t i)
{
    return slice_make((const char *)ids->items + i * (QUEUE_ID_LEN + 1), QUEUE_ID_LEN);
}

static enum err claim(struct db *db, struct due_op *due, struct slice id, struct why *why)
{
    enum err err = db_run(db,
                          "UPDATE queue_recipient SET claimed = 1"
                          " WHERE message = ? AND claimed = 0 AND due <= ? AND kind = 0",
                          DB_ARGS(DB_TEXT(id), DB_U64(due->now)), why);
    return err ? err : read_message(db, due, id, why);
}

static void drop_found(struct due_op *due)
{
    for (struct list *node; (node = list_pop_front(&due->found)) != NULL;)
        deliver_free(CONTAINER_OF(node, struct queued, node));
}

static enum err sweep(struct db *db, struct due_op *due, struct vec *ids, struct why *why)
{
    enum err err = db_run(db, "UPDATE queue_recipient SET claimed = 0 WHERE claimed = 1", DB_NO_ARGS, why);
    if (!err)
        err = collect_ids(db,
                          "SELECT id FROM queue_message"
                          " WHERE NOT EXISTS (SELECT 1 FROM queue_recipient WHERE message = id)",
                          DB_NO_ARGS, ids, why);
    for (size_t i = 0; !err && i < ids->len; i++)
        err = read_message(db, due, id_at(ids, i), why);
    ids->len = 0;
    return err;
}

static enum err run_due(struct db *db, struct spool_op *op, struct why *why)
{
    struct due_op *due = CONTAINER_OF(op, struct due_op, op);
    struct vec ids = {.max = SPOOL_DUE_MAX, .item_size = QUEUE_ID_LEN + 1};
    drop_found(due);
    enum err err = due->sweep ? sweep(db, due, &ids, why) : ERR_OK;
    if (!err)
        err = collect_ids(db,
                          "SELECT DISTINCT message FROM (SELECT message FROM queue_recipient"
                          " WHERE claimed = 0 AND due <= ? ORDER BY due LIMIT ?)",
                          DB_ARGS(DB_U64(due->now), DB_U64(SPOOL_DUE_MAX)), &ids, why);
    for (size_t i = 0; !err && i < ids.len; i++)
        err = claim(db, due, id_at(&ids, i), why);
    vec_free(&ids);
    if (!err)
        err = db_number(db, "SELECT min(due) FROM queue_recipient WHERE claimed = 0", DB_NO_ARGS, UINT64_MAX,
                        &due->next, why);
    if (!err)
        err = db_number(db, "SELECT count(*) FROM queue_message", DB_NO_ARGS, 0, &due->messages, why);
    return err;
}

static void finish_due(struct spool_op *op)
{
    struct due_op *due = CONTAINER_OF(op, struct due_op, op);
    for (struct list *node; !op->err && (node = list_pop_front(&due->found)) != NULL;)
        due->give(due->ctx, CONTAINER_OF(node, struct queued, node));
    drop_found(due);
    due->done(due->ctx, op->err, due->next, due->messages);
    free(due);
}

void spool_due(struct spool *spool, struct queue *q, uint64_t now_unix_ms, bool sweep_too, spool_found *found,
               spool_due_done *done, void *ctx)
{
    struct due_op *due = mem_zero(1, sizeof *due);
    *due = (struct due_op){.op = {.run = run_due, .finish = finish_due},
                           .q = q,
                           .now = now_unix_ms,
                           .next = UINT64_MAX,
                           .sweep = sweep_too,
                           .give = found,
                           .done = done,
                           .ctx = ctx};
    list_init(&due->found);
    spool_submit(spool, &due->op);
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

static void add_json_string(struct buf *out, struct slice text)
{
    buf_add_byte(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\')
            buf_add_byte(out, '\\');
        if (text.ptr[i] < 0x20)
            buf_addf(out, "\\u%04x", text.ptr[i]);
        else
            buf_add_byte(out, text.ptr[i]);
    }
    buf_add_byte(out, '"');
}

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
    add_json_string(&t->out, db_slice(rows, 1));
    buf_add_str(&t->out, ",\"id\":");
    add_json_string(&t->out, db_slice(rows, 2));
    buf_add_str(&t->out, ",\"event\":");
    add_json_string(&t->out, db_slice(rows, 3));
    buf_add_byte(&t->out, '}');
}

static enum err print_rows(struct db *db, struct text_op *t, const char *sql, const struct db_value *args,
                           void (*add)(struct text_op *, const struct db_rows *, bool), struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(db, sql, args, &rows, why);
    if (err)
        return err;
    bool first = true;
    buf_clear(&t->out);
    if (t->json)
        buf_add_byte(&t->out, '[');
    for (; db_next(&rows); first = false)
        add(t, &rows, first);
    if (t->json)
        buf_add_str(&t->out, "]\n");
    else if (first)
        buf_add_str(&t->out, "nothing found\n");
    return db_end(&rows, why);
}

/* All events of the id, and of the session that brought it. No index: the table is bounded, and a trace is
 * rare. */
static enum err run_trace_find(struct db *db, struct spool_op *op, struct why *why)
{
    struct text_op *t = CONTAINER_OF(op, struct text_op, op);
    struct slice id = slice_of(t->id);
    return print_rows(db, t,
                      "SELECT time, session, id, event FROM trace WHERE id = ?1 OR session = ?1 OR (id = '' "
                      "AND session <> ''"
                      " AND session IN (SELECT session FROM trace WHERE id = ?1)) ORDER BY number LIMIT ?2",
                      DB_ARGS(DB_TEXT(id), DB_U64(SPOOL_FIND_MAX)), add_event, why);
}

static void add_queued(struct text_op *t, const struct db_rows *rows, bool first)
{
    char created[CLOCK_TEXT_MAX], due[CLOCK_TEXT_MAX];
    clock_rfc3339(db_u64(rows, 1), created);
    clock_rfc3339(db_u64(rows, 5), due);
    if (!t->json) {
        buf_addf(&t->out, "%.*s  %s  <%.*s> -> %.*s  attempts=%u  next=%s  %.*s\n",
                 SLICE_ARG(db_slice(rows, 0)), created, SLICE_ARG(db_slice(rows, 2)),
                 SLICE_ARG(db_slice(rows, 3)), (unsigned)db_u64(rows, 4), due, SLICE_ARG(db_slice(rows, 6)));
        return;
    }
    buf_add_str(&t->out, first ? "{\"id\":" : ",{\"id\":");
    add_json_string(&t->out, db_slice(rows, 0));
    buf_addf(&t->out, ",\"created\":\"%s\",\"next\":\"%s\",\"attempts\":%u,\"sender\":", created, due,
             (unsigned)db_u64(rows, 4));
    add_json_string(&t->out, db_slice(rows, 2));
    buf_add_str(&t->out, ",\"target\":");
    add_json_string(&t->out, db_slice(rows, 3));
    buf_add_str(&t->out, ",\"error\":");
    add_json_string(&t->out, db_slice(rows, 6));
    buf_add_byte(&t->out, '}');
}

static enum err run_list(struct db *db, struct spool_op *op, struct why *why)
{
    struct text_op *t = CONTAINER_OF(op, struct text_op, op);
    return print_rows(
        db, t,
        "SELECT m.id, m.created, m.sender, r.target, r.attempts, r.due, r.error FROM queue_message m"
        " JOIN queue_recipient r ON r.message = m.id ORDER BY m.id, r.ordinal LIMIT ?",
        DB_ARGS(DB_U64(SPOOL_LIST_MAX)), add_queued, why);
}

static void finish_text(struct spool_op *op)
{
    struct text_op *t = CONTAINER_OF(op, struct text_op, op);
    t->done(t->ctx, op->err, op->err ? slice_of(op->why.text) : buf_slice(&t->out));
    buf_free(&t->out);
    free(t);
}

static struct text_op *text_new(enum err (*run)(struct db *, struct spool_op *, struct why *), bool json,
                                spool_text *done, void *ctx)
{
    struct text_op *t = mem_zero(1, sizeof *t);
    *t = (struct text_op){.op = {.run = run, .finish = finish_text},
                          .json = json,
                          .out = buf_new(TEXT_MAX_OUT),
                          .done = done,
                          .ctx = ctx};
    return t;
}

void spool_trace_find(struct spool *spool, struct slice id, bool json, spool_text *done, void *ctx)
{
    struct text_op *t = text_new(run_trace_find, json, done, ctx);
    size_t len = id.len < sizeof t->id - 1 ? id.len : sizeof t->id - 1;
    memcpy(t->id, id.ptr, len);
    spool_submit(spool, &t->op);
}

void spool_list(struct spool *spool, bool json, spool_text *done, void *ctx)
{
    struct text_op *t = text_new(run_list, json, done, ctx);
    spool_submit(spool, &t->op);
}
