/* rows.c: reads and changes rows of the queue for the commands. Runs on the database's thread; what it reads
 * the queue has written itself. Called by control_queue.c. */
#include "queue/rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* ---- reading ---- */

struct read_op {
    struct spool_op op;
    struct rows_cursor from;
    const struct slice *ids;
    size_t id_count;
    struct arena *arena;
    struct rows_page page;
    rows_done *done;
    void *ctx;
};

#define COLUMNS                                                                                              \
    "SELECT r.message, r.ordinal, m.sender, m.session, m.account, m.envid, m.message_id, m.created, m.size," \
    " m.ret, m.smtputf8, m.eightbit, m.requiretls, r.kind, r.target, r.address, r.orcpt, r.notify, "         \
    "r.claimed,"                                                                                             \
    " r.due, r.attempts, r.error, r.code, r.enhanced, r.remote, r.route, r.hold, m.subject"                  \
    " FROM queue_recipient r JOIN queue_message m ON m.id = r.message"
#define ORDER " ORDER BY r.message, r.ordinal LIMIT ?3"

static struct rows_row *add_row(struct read_op *r, const struct db_rows *rows)
{
    struct rows_row *row = &r->page.rows[r->page.count++];
    struct slice *texts[] = {&row->id,         &row->sender, &row->session, &row->account, &row->envid,
                             &row->message_id, &row->target, &row->address, &row->orcpt,   &row->error,
                             &row->enhanced,   &row->remote, &row->route,   &row->hold,    &row->subject};
    static const int columns[] = {0, 2, 3, 4, 5, 6, 14, 15, 16, 21, 23, 24, 25, 26, 27};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *texts[i] = arena_dup(r->arena, slice_sub(db_slice(rows, columns[i]), 0, WIRE_NAME_MAX));
    row->ordinal = (uint32_t)db_u64(rows, 1);
    row->created_ms = db_u64(rows, 7);
    row->size = db_u64(rows, 8);
    row->ret = (uint32_t)db_u64(rows, 9);
    row->smtputf8 = db_u64(rows, 10);
    row->eightbit = db_u64(rows, 11);
    row->requiretls = db_u64(rows, 12);
    row->local = db_u64(rows, 13) == 0;
    row->notify = (uint32_t)db_u64(rows, 17);
    row->claimed = (uint32_t)db_u64(rows, 18);
    row->due_ms = db_u64(rows, 19);
    row->attempts = (uint32_t)db_u64(rows, 20);
    row->code = (uint32_t)db_u64(rows, 22);
    return row;
}

static enum err read_some(struct db *db, struct read_op *r, const char *sql, struct slice id,
                          uint32_t ordinal, struct why *why)
{
    struct db_rows rows;
    size_t room = ROWS_PAGE - r->page.count;
    enum err err = db_query(db, sql, DB_ARGS(DB_TEXT(id), DB_U64(ordinal), DB_U64(room)), &rows, why);
    if (err)
        return err;
    while (db_next(&rows)) {
        const struct rows_row *row = add_row(r, &rows);
        size_t len = row->id.len < QUEUE_ID_LEN ? row->id.len : QUEUE_ID_LEN;
        memcpy(r->page.next.id, row->id.ptr, len);
        r->page.next.ordinal = row->ordinal + 1;
    }
    return db_end(&rows, why);
}

static enum err read_ids(struct db *db, struct read_op *r, struct why *why)
{
    struct rows_cursor *next = &r->page.next;
    enum err err = ERR_OK;
    while (!err && next->id_index < r->id_count) {
        err = read_some(db, r, COLUMNS " WHERE r.message = ?1 AND r.ordinal >= ?2" ORDER,
                        r->ids[next->id_index], next->ordinal, why);
        if (r->page.count == ROWS_PAGE)
            return err;
        next->id_index++;
        next->ordinal = 0;
    }
    r->page.last = true;
    return err;
}

static enum err run_read(struct db *db, struct spool_op *op, struct why *why)
{
    struct read_op *r = CONTAINER_OF(op, struct read_op, op);
    arena_reset(r->arena);
    r->page = (struct rows_page){.rows = ARENA_ARRAY(r->arena, struct rows_row, ROWS_PAGE), .next = r->from};
    if (r->id_count)
        return read_ids(db, r, why);
    enum err err =
        read_some(db, r, COLUMNS " WHERE r.message >= ?1 AND NOT (r.message = ?1 AND r.ordinal < ?2)" ORDER,
                  slice_of(r->from.id), r->from.ordinal, why);
    r->page.last = r->page.count < ROWS_PAGE;
    return err;
}

static void finish_read(struct spool_op *op)
{
    struct read_op *r = CONTAINER_OF(op, struct read_op, op);
    r->done(r->ctx, op->err, &r->page);
    arena_free(&r->arena);
    free(r);
}

void rows_read(struct spool *spool, const struct rows_cursor *cursor, const struct slice *ids,
               size_t id_count, rows_done *done, void *ctx)
{
    struct read_op *r = mem_zero(1, sizeof *r);
    *r = (struct read_op){.op = {.run = run_read, .finish = finish_read},
                          .from = *cursor,
                          .ids = ids,
                          .id_count = id_count,
                          .arena = arena_new(ROWS_ARENA_MAX),
                          .done = done,
                          .ctx = ctx};
    spool_submit(spool, &r->op);
}

/* ---- changing ---- */

struct change_op {
    struct spool_op op;
    enum rows_change change;
    struct rows_key *keys;
    size_t count;
    uint64_t now;
    const char *reason;
    spool_done *done;
    void *ctx;
};

/* 0 waiting, 1 claimed, 2 held: SPOOL_WAITING and its neighbours. */
static const struct {
    const char *sql;
    bool due;
} changes[] = {
    [ROWS_RETRY] = {"UPDATE queue_recipient SET due = ?3 WHERE message = ?1 AND ordinal = ?2 AND claimed = 0"
                    " AND ?4 IS NOT NULL",
                    true},
    [ROWS_HOLD] = {"UPDATE queue_recipient SET claimed = 2, hold = ?4"
                   " WHERE message = ?1 AND ordinal = ?2 AND claimed = 0 AND ?3 IS NOT NULL",
                   false},
    [ROWS_RELEASE] = {"UPDATE queue_recipient SET claimed = 0, due = ?3, hold = ''"
                      " WHERE message = ?1 AND ordinal = ?2 AND claimed = 2 AND ?4 IS NOT NULL",
                      true},
    [ROWS_CLAIM] = {"UPDATE queue_recipient SET claimed = 1"
                    " WHERE message = ?1 AND ordinal = ?2 AND claimed IN (0, 2) AND ?3 IS NOT NULL"
                    " AND ?4 IS NOT NULL",
                    false},
    [ROWS_RETURN] = {"UPDATE queue_recipient SET claimed = " SPOOL_BEFORE_CLAIM_SQL ", due = ?3"
                     " WHERE message = ?1 AND ordinal = ?2 AND claimed = 1 AND ?4 IS NOT NULL",
                     true},
};

static enum err change_row(struct db *db, const struct change_op *c, struct rows_key *key, struct why *why)
{
    enum err err = db_run(
        db, changes[c->change].sql,
        DB_ARGS(DB_TEXT(key->id), DB_U64(key->ordinal), DB_U64(c->now), DB_TEXT(slice_of(c->reason))), why);
    key->changed = !err && db_changes(db) > 0;
    if (!err && key->changed && changes[c->change].due && key->route.len)
        err = db_run(db, SPOOL_ROUTE_DUE_SQL, DB_ARGS(DB_TEXT(key->route), DB_U64(c->now)), why);
    return err;
}

static enum err run_change(struct db *db, struct spool_op *op, struct why *why)
{
    struct change_op *c = CONTAINER_OF(op, struct change_op, op);
    enum err err = ERR_OK;
    for (size_t i = 0; !err && i < c->count; i++)
        err = change_row(db, c, &c->keys[i], why);
    return err;
}

static void finish_change(struct spool_op *op)
{
    struct change_op *c = CONTAINER_OF(op, struct change_op, op);
    c->done(c->ctx, op->err, &op->why);
    free(c);
}

void rows_change(struct spool *spool, enum rows_change change, struct rows_key *keys, size_t count,
                 uint64_t now_ms, const char *reason, spool_done *done, void *ctx)
{
    struct change_op *c = mem_zero(1, sizeof *c);
    *c = (struct change_op){
        .op = {.run = run_change, .finish = finish_change, .insistent = change == ROWS_RETURN},
        .change = change,
        .keys = keys,
        .count = count,
        .now = now_ms,
        .reason = reason ? reason : "",
        .done = done,
        .ctx = ctx};
    spool_submit(spool, &c->op);
}
