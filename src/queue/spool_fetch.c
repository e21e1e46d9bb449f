/* spool_fetch.c: what is due, read back from the database: routes first, then rows of one route. Also what
 * has grown old, how much there is, and the ids of all messages. Runs on the database's thread but for the
 * functions others call; what it reads was written by ourselves. Called by schedule.c, overdue.c,
 * deliver.c. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "queue/spool.h"

#define ROUTES_BYTES_MAX (256u * 1024u)
#define MASS_SHARE       4 /* of so many rows one is mass mail, when there is both */

/* ---- a message with its rows ---- */

static void read_row(struct queued *message, const struct db_rows *rows, struct queued_row *row)
{
    struct arena *arena = message->arena;
    *row = (struct queued_row){.ordinal = (uint32_t)db_u64(rows, 0),
                               .local = db_u64(rows, 1) == 0,
                               .target = arena_dup(arena, db_slice(rows, 2)),
                               .address = arena_dup(arena, db_slice(rows, 3)),
                               .orcpt = arena_dup(arena, db_slice(rows, 4)),
                               .notify = (uint32_t)db_u64(rows, 5),
                               .attempts = (uint32_t)db_u64(rows, 6),
                               .text = arena_dup(arena, db_slice(rows, 7)),
                               .code = (uint32_t)db_u64(rows, 8),
                               .enhanced = arena_dup(arena, db_slice(rows, 9)),
                               .remote = arena_dup(arena, db_slice(rows, 10)),
                               .sender = arena_dup(arena, db_slice(rows, 11)),
                               .route = arena_dup(arena, db_slice(rows, 12))};
}

#define ROW_COLUMNS                                                                                          \
    "ordinal, kind, target, address, orcpt, notify, attempts, error, code, enhanced, remote, sender, route"

static enum err collect_row(struct db_rows *rows, struct queued *message, struct vec *list)
{
    while (db_next(rows)) {
        struct queued_row *row = vec_push(list);
        if (!row)
            return ERR_INTERNAL;
        read_row(message, rows, row);
    }
    return ERR_OK;
}

static void take_rows(struct queued *message, struct vec *list)
{
    message->count = (uint32_t)list->len;
    if (!list->len)
        return;
    message->rows = ARENA_ARRAY(message->arena, struct queued_row, list->len);
    memcpy(message->rows, list->items, list->len * sizeof(struct queued_row));
}

static enum err read_head(struct db *db, struct queued *m, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(db,
                            "SELECT sender, received, signature, session, account, envid, ret, smtputf8,"
                            " eightbit, utf8_header, requiretls, size, created, message_id, warned, subject,"
                            " to_sign,"
                            " (SELECT count(*) FROM queue_recipient WHERE message = id)"
                            " FROM queue_message WHERE id = ?",
                            DB_ARGS(DB_TEXT(m->id)), &rows, why);
    if (err)
        return err;
    if (db_next(&rows)) {
        m->sender = arena_dup(m->arena, db_slice(&rows, 0));
        m->received = arena_dup(m->arena, db_slice(&rows, 1));
        m->signature = arena_dup(m->arena, db_slice(&rows, 2));
        m->session = arena_dup(m->arena, db_slice(&rows, 3));
        m->account = arena_dup(m->arena, db_slice(&rows, 4));
        m->envid = arena_dup(m->arena, db_slice(&rows, 5));
        m->ret = (uint32_t)db_u64(&rows, 6);
        m->smtputf8 = db_u64(&rows, 7) != 0;
        m->eightbit = db_u64(&rows, 8) != 0;
        m->utf8_header = db_u64(&rows, 9) != 0;
        m->requiretls = db_u64(&rows, 10) != 0;
        m->size = db_u64(&rows, 11);
        m->created_ms = db_u64(&rows, 12);
        m->message_id = arena_dup(m->arena, db_slice(&rows, 13));
        m->warned = db_u64(&rows, 14) != 0;
        m->subject = arena_dup(m->arena, db_slice(&rows, 15));
        m->to_sign = arena_dup(m->arena, db_slice(&rows, 16));
        m->all = (uint32_t)db_u64(&rows, 17);
    }
    return db_end(&rows, why);
}

/* The message of `id` on `found`, without rows. */
static struct queued *add_message(struct queue *q, struct list *found, struct slice id)
{
    struct queued *message = deliver_new(q);
    message->id = arena_dup(message->arena, id);
    list_push_back(found, &message->node);
    return message;
}

static void drop_found(struct list *found)
{
    for (struct list *node; (node = list_pop_front(found)) != NULL;)
        deliver_free(CONTAINER_OF(node, struct queued, node));
}

static size_t give_found(struct list *found, spool_found *give, void *ctx)
{
    size_t rows = 0;
    for (struct list *node; (node = list_pop_front(found)) != NULL;) {
        struct queued *message = CONTAINER_OF(node, struct queued, node);
        rows += message->count;
        give(ctx, message);
    }
    return rows;
}

/* ---- which rows ---- */

/* Names of rows; the walk that finds them is not disturbed by the updates that follow. */
struct row_name {
    char id[QUEUE_ID_LEN + 1];
    uint32_t ordinal;
};

static enum err collect_names(struct db *db, const char *sql, const struct db_value *args, struct vec *names,
                              struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(db, sql, args, &rows, why);
    if (err)
        return err;
    while (db_next(&rows)) {
        struct slice id = db_slice(&rows, 0);
        struct row_name *name = id.len == QUEUE_ID_LEN ? vec_push(names) : NULL;
        if (!name)
            continue;
        memcpy(name->id, id.ptr, QUEUE_ID_LEN);
        name->ordinal = (uint32_t)db_u64(&rows, 1);
    }
    return db_end(&rows, why);
}

static int compare_names(const void *a, const void *b)
{
    const struct row_name *x = a, *y = b;
    int order = memcmp(x->id, y->id, QUEUE_ID_LEN);
    return order ? order : (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

static enum err read_one(struct db *db, struct queued *message, uint32_t ordinal, struct vec *list,
                         struct why *why)
{
    struct db_rows rows;
    enum err err =
        db_query(db, "SELECT " ROW_COLUMNS " FROM queue_recipient WHERE message = ? AND ordinal = ?",
                 DB_ARGS(DB_TEXT(message->id), DB_U64(ordinal)), &rows, why);
    if (err)
        return err;
    err = collect_row(&rows, message, list);
    enum err end = db_end(&rows, why);
    return end ? end : err;
}

/* ---- rows of a route ---- */

struct fetch {
    struct spool_op op;
    struct queue *q;
    uint64_t now_ms, next_ms;
    uint32_t limit;
    struct list found;
    spool_found *give;
    spool_fetched *done;
    void *ctx;
    size_t len;
    char route[];
};

static struct slice route_of(const struct fetch *f)
{
    return slice_make(f->route, f->len);
}

static enum err claim_rows(struct db *db, struct fetch *f, const struct row_name *names, size_t count,
                           struct why *why)
{
    struct queued *message = add_message(f->q, &f->found, slice_make(names->id, QUEUE_ID_LEN));
    struct vec list = VEC_NEW(struct queued_row, QUEUE_TXN_TARGETS);
    enum err err = read_head(db, message, why);
    for (size_t i = 0; !err && i < count; i++) {
        err = db_run(db, "UPDATE queue_recipient SET claimed = 1 WHERE message = ? AND ordinal = ?",
                     DB_ARGS(DB_TEXT(message->id), DB_U64(names[i].ordinal)), why);
        if (!err)
            err = read_one(db, message, names[i].ordinal, &list, why);
    }
    if (!err)
        take_rows(message, &list);
    vec_free(&list);
    return err;
}

#define DUE_ROWS(priority)                                                                                   \
    "SELECT message, ordinal FROM queue_recipient WHERE claimed = 0 AND route = ? AND priority = " priority  \
    " AND due <= ? ORDER BY due, message, ordinal LIMIT ?"

static enum err find_rows(struct db *db, const struct fetch *f, struct vec *names, struct why *why)
{
    struct slice route = route_of(f);
    enum err err = collect_names(db, DUE_ROWS("1"),
                                 DB_ARGS(DB_TEXT(route), DB_U64(f->now_ms), DB_U64(f->limit)), names, why);
    size_t mass = names->len, share = f->limit / MASS_SHARE + 1;
    if (!err)
        err = collect_names(db, DUE_ROWS("0"), DB_ARGS(DB_TEXT(route), DB_U64(f->now_ms), DB_U64(f->limit)),
                            names, why);
    size_t letters = names->len - mass;
    if (letters + mass > f->limit) { /* letters first, but mass mail is not starved */
        size_t keep = letters + share > f->limit ? share : f->limit - letters;
        keep = keep < mass ? keep : mass;
        struct row_name *all = names->items;
        if (letters + keep > f->limit)
            letters = f->limit - keep;
        memmove(all + keep, all + mass, letters * sizeof *all);
        names->len = keep + letters;
    }
    if (names->len)
        qsort(names->items, names->len, sizeof(struct row_name), compare_names);
    return err;
}

#define FIRST_DUE(priority)                                                                                  \
    "SELECT due FROM queue_recipient WHERE claimed = 0 AND route = ? AND priority = " priority               \
    " ORDER BY due LIMIT 1"

static enum err find_next(struct db *db, struct fetch *f, struct why *why)
{
    uint64_t letter, mass;
    struct slice route = route_of(f);
    enum err err = db_number(db, FIRST_DUE("0"), DB_ARGS(DB_TEXT(route)), UINT64_MAX, &letter, why);
    if (!err)
        err = db_number(db, FIRST_DUE("1"), DB_ARGS(DB_TEXT(route)), UINT64_MAX, &mass, why);
    if (err)
        return err;
    f->next_ms = letter < mass ? letter : mass;
    if (f->next_ms == UINT64_MAX)
        return db_run(db, "DELETE FROM queue_route WHERE route = ?", DB_ARGS(DB_TEXT(route)), why);
    /* what is due already is this process's to fetch */
    uint64_t due = f->next_ms <= f->now_ms ? SPOOL_FAR : f->next_ms;
    return db_run(db, "INSERT OR REPLACE INTO queue_route (route, due) VALUES (?, ?)",
                  DB_ARGS(DB_TEXT(route), DB_U64(due)), why);
}

static enum err run_fetch(struct db *db, struct spool_op *op, struct why *why)
{
    struct fetch *f = CONTAINER_OF(op, struct fetch, op);
    struct vec names = VEC_NEW(struct row_name, 2 * (size_t)f->limit);
    drop_found(&f->found);
    enum err err = find_rows(db, f, &names, why);
    const struct row_name *at = names.items;
    for (size_t i = 0, n; !err && i < names.len; i += n) {
        for (n = 1; i + n < names.len && memcmp(at[i].id, at[i + n].id, QUEUE_ID_LEN) == 0;)
            n++;
        err = claim_rows(db, f, at + i, n, why);
    }
    vec_free(&names);
    return err ? err : find_next(db, f, why);
}

static void finish_fetch(struct spool_op *op)
{
    struct fetch *f = CONTAINER_OF(op, struct fetch, op);
    size_t rows = op->err ? 0 : give_found(&f->found, f->give, f->ctx);
    drop_found(&f->found);
    f->done(f->ctx, op->err, rows, f->next_ms);
    free(f);
}

void spool_fetch(struct spool *spool, struct queue *q, struct slice route, uint64_t now_ms, uint32_t limit,
                 spool_found *found, spool_fetched *done, void *ctx)
{
    struct fetch *f = mem_zero(1, sizeof *f + route.len);
    *f = (struct fetch){.op = {.run = run_fetch, .finish = finish_fetch},
                        .q = q,
                        .now_ms = now_ms,
                        .next_ms = UINT64_MAX,
                        .limit = limit,
                        .give = found,
                        .done = done,
                        .ctx = ctx,
                        .len = route.len};
    if (route.len)
        memcpy(f->route, route.ptr, route.len);
    list_init(&f->found);
    spool_submit(spool, &f->op);
}

/* ---- which routes ---- */

struct routes_op {
    struct spool_op op;
    uint64_t now_ms, next_ms;
    bool sweep;
    struct buf routes;
    spool_routes_done *done;
    void *ctx;
};

/* Rows an earlier process had claimed stand in no index: the table is walked once. */
static enum err sweep(struct db *db, struct why *why)
{
    enum err err = db_run(db,
                          "INSERT INTO queue_route (route, due)"
                          " SELECT DISTINCT route, 0 FROM queue_recipient WHERE claimed = 1"
                          " ON CONFLICT (route) DO UPDATE SET due = 0",
                          DB_NO_ARGS, why);
    if (!err)
        err = db_run(db, "UPDATE queue_recipient SET claimed = " SPOOL_BEFORE_CLAIM_SQL " WHERE claimed = 1",
                     DB_NO_ARGS, why);
    if (!err)
        err = db_run(db, "UPDATE queue_route SET due = 0 WHERE due = ?", DB_ARGS(DB_U64(SPOOL_FAR)), why);
    if (!err) /* the last rows of these had just ended; their files go as those of unknown messages do */
        err = db_run(db,
                     "DELETE FROM queue_message"
                     " WHERE NOT EXISTS (SELECT 1 FROM queue_recipient WHERE message = id)",
                     DB_NO_ARGS, why);
    return err;
}

static enum err list_routes(struct db *db, struct routes_op *r, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(db, "SELECT route FROM queue_route WHERE due <= ? ORDER BY due LIMIT ?",
                            DB_ARGS(DB_U64(r->now_ms), DB_U64(SPOOL_ROUTES_MAX)), &rows, why);
    if (err)
        return err;
    while (db_next(&rows))
        wire_strings_add(&r->routes, db_slice(&rows, 0));
    return db_end(&rows, why);
}

static enum err run_routes(struct db *db, struct spool_op *op, struct why *why)
{
    struct routes_op *r = CONTAINER_OF(op, struct routes_op, op);
    buf_clear(&r->routes);
    enum err err = r->sweep ? sweep(db, why) : ERR_OK;
    if (!err)
        err = list_routes(db, r, why);
    struct slice list = buf_slice(&r->routes), route;
    while (!err && wire_strings_take(&list, &route))
        err = db_run(db, "UPDATE queue_route SET due = ? WHERE route = ?",
                     DB_ARGS(DB_U64(SPOOL_FAR), DB_TEXT(route)), why);
    if (!err)
        err = db_number(db, "SELECT due FROM queue_route WHERE due < ? ORDER BY due LIMIT 1",
                        DB_ARGS(DB_U64(SPOOL_FAR)), UINT64_MAX, &r->next_ms, why);
    return err;
}

static void finish_routes(struct spool_op *op)
{
    struct routes_op *r = CONTAINER_OF(op, struct routes_op, op);
    r->done(r->ctx, op->err, op->err ? SLICE_EMPTY : buf_slice(&r->routes), r->next_ms);
    buf_free(&r->routes);
    free(r);
}

void spool_routes(struct spool *spool, uint64_t now_ms, bool sweep_too, spool_routes_done *done, void *ctx)
{
    struct routes_op *r = mem_zero(1, sizeof *r);
    *r = (struct routes_op){.op = {.run = run_routes, .finish = finish_routes},
                            .now_ms = now_ms,
                            .next_ms = UINT64_MAX,
                            .sweep = sweep_too,
                            .routes = buf_new(ROUTES_BYTES_MAX),
                            .done = done,
                            .ctx = ctx};
    spool_submit(spool, &r->op);
}

/* ---- what has grown old ---- */

struct overdue {
    struct spool_op op;
    struct queue *q;
    uint64_t created_ms;
    bool warn;
    struct list found;
    spool_found *give;
    spool_fetched *done;
    void *ctx;
};

#define OLD(warned)                                                                                          \
    "SELECT id, 0 FROM queue_message WHERE warned = " warned " AND created < ?"                              \
    " AND EXISTS (SELECT 1 FROM queue_recipient WHERE message = id AND claimed = 0)"                         \
    " ORDER BY created LIMIT ?"

static enum err read_waiting(struct db *db, struct overdue *o, struct slice id, struct why *why)
{
    struct queued *message = add_message(o->q, &o->found, id);
    struct vec list = VEC_NEW(struct queued_row, QUEUE_TXN_TARGETS);
    struct db_rows rows;
    enum err err = read_head(db, message, why);
    if (!err)
        err = db_query(db, "SELECT " ROW_COLUMNS " FROM queue_recipient WHERE message = ? AND claimed = 0",
                       DB_ARGS(DB_TEXT(message->id)), &rows, why);
    if (!err) {
        err = collect_row(&rows, message, &list);
        enum err end = db_end(&rows, why);
        err = end ? end : err;
    }
    if (!err)
        take_rows(message, &list);
    vec_free(&list);
    if (!err && !o->warn)
        err = db_run(db, "UPDATE queue_recipient SET claimed = 1 WHERE message = ? AND claimed = 0",
                     DB_ARGS(DB_TEXT(message->id)), why);
    return err;
}

static enum err run_overdue(struct db *db, struct spool_op *op, struct why *why)
{
    struct overdue *o = CONTAINER_OF(op, struct overdue, op);
    struct vec names = VEC_NEW(struct row_name, 2 * SPOOL_OVERDUE_MAX);
    drop_found(&o->found);
    const struct db_value *args = DB_ARGS(DB_U64(o->created_ms), DB_U64(SPOOL_OVERDUE_MAX));
    enum err err = collect_names(db, OLD("0"), args, &names, why);
    if (!err && !o->warn)
        err = collect_names(db, OLD("1"), args, &names, why);
    for (size_t i = 0; !err && i < names.len; i++)
        err = read_waiting(db, o, slice_make(VEC_AT(&names, struct row_name, i)->id, QUEUE_ID_LEN), why);
    vec_free(&names);
    return err;
}

static void finish_overdue(struct spool_op *op)
{
    struct overdue *o = CONTAINER_OF(op, struct overdue, op);
    size_t rows = op->err ? 0 : give_found(&o->found, o->give, o->ctx);
    drop_found(&o->found);
    o->done(o->ctx, op->err, rows, UINT64_MAX);
    free(o);
}

void spool_overdue(struct spool *spool, struct queue *q, uint64_t created_ms, bool warn, spool_found *found,
                   spool_fetched *done, void *ctx)
{
    struct overdue *o = mem_zero(1, sizeof *o);
    *o = (struct overdue){.op = {.run = run_overdue, .finish = finish_overdue},
                          .q = q,
                          .created_ms = created_ms,
                          .warn = warn,
                          .give = found,
                          .done = done,
                          .ctx = ctx};
    list_init(&o->found);
    spool_submit(spool, &o->op);
}

/* ---- how much there is ---- */

struct depth_op {
    struct spool_op op;
    struct spool_depth depth;
    spool_depth_done *done;
    void *ctx;
};

static enum err run_depth(struct db *db, struct spool_op *op, struct why *why)
{
    struct spool_depth *d = &CONTAINER_OF(op, struct depth_op, op)->depth;
    uint64_t other;
    enum err err = db_number(db, "SELECT count(*) FROM queue_message", DB_NO_ARGS, 0, &d->messages, why);
    if (!err)
        err = db_number(db, "SELECT count(*) FROM queue_recipient WHERE claimed = 0", DB_NO_ARGS, 0,
                        &d->waiting, why);
    if (!err)
        err = db_number(db, "SELECT count(*) FROM queue_recipient WHERE claimed = 2", DB_NO_ARGS, 0, &d->held,
                        why);
    if (!err)
        err = db_number(db, "SELECT min(created) FROM queue_message WHERE warned = 0", DB_NO_ARGS, UINT64_MAX,
                        &d->oldest_ms, why);
    if (!err)
        err = db_number(db, "SELECT min(created) FROM queue_message WHERE warned = 1", DB_NO_ARGS, UINT64_MAX,
                        &other, why);
    if (!err && other < d->oldest_ms)
        d->oldest_ms = other;
    if (d->oldest_ms == UINT64_MAX)
        d->oldest_ms = 0;
    return err;
}

static void finish_depth(struct spool_op *op)
{
    struct depth_op *d = CONTAINER_OF(op, struct depth_op, op);
    d->done(d->ctx, op->err, &d->depth);
    free(d);
}

void spool_depth(struct spool *spool, spool_depth_done *done, void *ctx)
{
    struct depth_op *d = mem_zero(1, sizeof *d);
    *d = (struct depth_op){.op = {.run = run_depth, .finish = finish_depth}, .done = done, .ctx = ctx};
    spool_submit(spool, &d->op);
}
