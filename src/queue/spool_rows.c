/* spool_rows.c: what became of rows, what relays have taken, outcomes of attempts, the clock. Runs on the
 * database's thread but for the functions others call; trusts its callers. Called by settle.c, schedule.c,
 * relay_quota.c and role.c. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "queue/relay_quota.h"
#include "queue/routes.h"
#include "queue/spool.h"

#define RESULTS_ARENA_MAX (64u << 20)

/* ---- results ---- */

/* One row, copied: nothing of the message is looked at on the database's thread. */
struct result {
    enum spool_what what;
    uint32_t ordinal, attempts, code;
    uint64_t due_ms, route_due_ms;
    struct slice route, enhanced, text, remote;
};

struct results {
    struct spool_op op;
    struct arena *arena;
    struct slice id;
    struct result *items;
    size_t count;
    struct relay_usage usage;
    bool attempted;
    struct spool_attempt attempt;
    bool gone;
    spool_results_done *done;
    void *ctx;
};

static enum err add_usage(struct db *db, const struct relay_usage *usage, struct why *why)
{
    if (!usage->relay.len || !usage->used)
        return ERR_OK;
    return db_run(db,
                  "INSERT INTO relay_usage (relay, window, used) VALUES (?, ?, ?)"
                  " ON CONFLICT (relay, window) DO UPDATE SET used = used + excluded.used",
                  DB_ARGS(DB_TEXT(usage->relay), DB_U64(usage->window_ms), DB_U64(usage->used)), why);
}

static enum err add_attempt(struct db *db, const struct spool_attempt *a, struct why *why)
{
    return db_run(db,
                  "INSERT INTO attempt (hour, domain, mx, policy, tls_result, outcome, count)"
                  " VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1",
                  DB_ARGS(DB_U64(a->hour), DB_TEXT(a->domain), DB_TEXT(a->mx), DB_TEXT(a->policy),
                          DB_TEXT(a->tls_result), DB_U64(a->outcome)),
                  why);
}

static enum err run_later(struct db *db, struct slice id, const struct result *r, struct why *why)
{
    enum err err = db_run(
        db,
        "UPDATE queue_recipient SET claimed = 0, attempts = ?, due = ?, error = ?, code = ?,"
        " enhanced = ?, remote = ?, route = ? WHERE message = ? AND ordinal = ?",
        DB_ARGS(DB_U64(r->attempts), DB_U64(r->due_ms), DB_TEXT(r->text), DB_U64(r->code),
                DB_TEXT(r->enhanced), DB_TEXT(r->remote), DB_TEXT(r->route), DB_TEXT(id), DB_U64(r->ordinal)),
        why);
    return err ? err
               : db_run(db, SPOOL_ROUTE_DUE_SQL, DB_ARGS(DB_TEXT(r->route), DB_U64(r->route_due_ms)), why);
}

static enum err run_told(struct db *db, struct slice id, const struct result *r, struct why *why)
{
    return db_run(db,
                  "UPDATE queue_recipient SET attempts = ?, error = ?, code = ?, enhanced = ?, remote = ?,"
                  " route = '" ROUTES_TOLD "' WHERE message = ? AND ordinal = ?",
                  DB_ARGS(DB_U64(r->attempts), DB_TEXT(r->text), DB_U64(r->code), DB_TEXT(r->enhanced),
                          DB_TEXT(r->remote), DB_TEXT(id), DB_U64(r->ordinal)),
                  why);
}

static enum err run_back(struct db *db, struct slice id, const struct result *r, struct why *why)
{
    enum err err =
        db_run(db, "UPDATE queue_recipient SET claimed = 0, route = ? WHERE message = ? AND ordinal = ?",
               DB_ARGS(DB_TEXT(r->route), DB_TEXT(id), DB_U64(r->ordinal)), why);
    return err ? err
               : db_run(db, SPOOL_ROUTE_DUE_SQL, DB_ARGS(DB_TEXT(r->route), DB_U64(r->route_due_ms)), why);
}

static enum err run_result(struct db *db, struct slice id, const struct result *r, struct why *why)
{
    switch (r->what) {
    case SPOOL_ROW_LATER:
        return run_later(db, id, r, why);
    case SPOOL_ROW_TOLD:
        return run_told(db, id, r, why);
    case SPOOL_ROW_BACK:
        return run_back(db, id, r, why);
    case SPOOL_ROW_END:
        break;
    }
    return db_run(db, "DELETE FROM queue_recipient WHERE message = ? AND ordinal = ?",
                  DB_ARGS(DB_TEXT(id), DB_U64(r->ordinal)), why);
}

static enum err run_results(struct db *db, struct spool_op *op, struct why *why)
{
    struct results *r = CONTAINER_OF(op, struct results, op);
    bool ended = false;
    enum err err = ERR_OK;
    for (size_t i = 0; !err && i < r->count; i++) {
        err = run_result(db, r->id, &r->items[i], why);
        ended |= r->items[i].what == SPOOL_ROW_END;
    }
    if (!err)
        err = add_usage(db, &r->usage, why);
    if (!err && r->attempted)
        err = add_attempt(db, &r->attempt, why);
    if (!err && ended)
        err = db_run(db, SPOOL_END_MESSAGE_SQL, DB_ARGS(DB_TEXT(r->id)), why);
    r->gone = !err && ended && db_changes(db) > 0;
    return err;
}

static void finish_results(struct spool_op *op)
{
    struct results *r = CONTAINER_OF(op, struct results, op);
    if (r->done)
        r->done(r->ctx, op->err, r->gone);
    arena_free(&r->arena);
    free(r);
}

static struct results *results_new(enum err (*run)(struct db *, struct spool_op *, struct why *))
{
    struct results *r = mem_zero(1, sizeof *r);
    r->op = (struct spool_op){.run = run, .finish = finish_results, .insistent = true};
    r->arena = arena_new(RESULTS_ARENA_MAX);
    return r;
}

static void copy_result(struct results *r, struct result *to, const struct spool_result *from)
{
    const struct queued_row *row = from->row;
    *to = (struct result){.what = from->what, .ordinal = row->ordinal};
    if (from->what == SPOOL_ROW_END)
        return;
    to->due_ms = from->due_ms;
    to->route_due_ms = from->route_due_ms;
    to->route = arena_dup(r->arena, row->route);
    if (from->what == SPOOL_ROW_BACK)
        return;
    to->attempts = row->attempts;
    to->code = row->code;
    to->enhanced = arena_dup(r->arena, row->enhanced);
    to->text = arena_dup(r->arena, row->text);
    to->remote = arena_dup(r->arena, row->remote);
}

void spool_results(struct spool *spool, struct slice id, const struct spool_result *results, size_t count,
                   const struct relay_usage *usage, const struct spool_attempt *attempt,
                   spool_results_done *done, void *ctx)
{
    struct results *r = results_new(run_results);
    r->id = arena_dup(r->arena, id);
    r->count = count;
    r->items = ARENA_ARRAY(r->arena, struct result, count ? count : 1);
    for (size_t i = 0; i < count; i++)
        copy_result(r, &r->items[i], &results[i]);
    if (usage)
        r->usage = (struct relay_usage){
            .relay = arena_dup(r->arena, usage->relay), .window_ms = usage->window_ms, .used = usage->used};
    if (attempt) {
        r->attempted = true;
        r->attempt = (struct spool_attempt){.domain = arena_dup(r->arena, attempt->domain),
                                            .mx = arena_dup(r->arena, attempt->mx),
                                            .policy = arena_dup(r->arena, attempt->policy),
                                            .tls_result = arena_dup(r->arena, attempt->tls_result),
                                            .outcome = attempt->outcome,
                                            .hour = attempt->hour};
    }
    r->done = done;
    r->ctx = ctx;
    spool_submit(spool, &r->op);
}

void spool_count(struct spool *spool, const struct relay_usage *usage)
{
    spool_results(spool, SLICE_EMPTY, NULL, 0, usage, NULL, NULL, NULL);
}

/* ---- routes ---- */

struct route_op {
    struct spool_op op;
    uint64_t due_ms;
    bool exactly;
    size_t len;
    char route[];
};

static enum err run_route(struct db *db, struct spool_op *op, struct why *why)
{
    const struct route_op *r = CONTAINER_OF(op, struct route_op, op);
    struct slice route = slice_make(r->route, r->len);
    if (r->exactly)
        return db_run(db, "INSERT OR REPLACE INTO queue_route (route, due) VALUES (?, ?)",
                      DB_ARGS(DB_TEXT(route), DB_U64(r->due_ms)), why);
    return db_run(db, SPOOL_ROUTE_DUE_SQL, DB_ARGS(DB_TEXT(route), DB_U64(r->due_ms)), why);
}

static void finish_route(struct spool_op *op)
{
    free(CONTAINER_OF(op, struct route_op, op));
}

void spool_route_due(struct spool *spool, struct slice route, uint64_t due_ms, bool exactly)
{
    struct route_op *r = mem_zero(1, sizeof *r + route.len);
    r->op = (struct spool_op){.run = run_route, .finish = finish_route, .insistent = true};
    r->due_ms = due_ms;
    r->exactly = exactly;
    r->len = route.len;
    if (route.len)
        memcpy(r->route, route.ptr, route.len);
    spool_submit(spool, &r->op);
}

/* ---- upkeep ---- */

struct upkeep {
    struct spool_op op;
    uint64_t hour, window_ms;
    struct queue_clock_kept kept;
};

static enum err run_forget_old(struct db *db, struct spool_op *op, struct why *why)
{
    const struct upkeep *u = CONTAINER_OF(op, struct upkeep, op);
    uint64_t rows;
    enum err err = db_run(db, "DELETE FROM attempt WHERE hour < ?", DB_ARGS(DB_U64(u->hour)), why);
    if (!err)
        err = db_run(db, "DELETE FROM relay_usage WHERE window < ?", DB_ARGS(DB_U64(u->window_ms)), why);
    if (!err)
        err = db_number(db, "SELECT count(*) FROM attempt", DB_NO_ARGS, 0, &rows, why);
    if (!err && rows > SPOOL_ATTEMPTS_MAX)
        err = db_run(db, "DELETE FROM attempt WHERE hour <= (SELECT hour FROM attempt ORDER BY hour LIMIT 1)",
                     DB_NO_ARGS, why);
    return err;
}

static enum err run_keep_clock(struct db *db, struct spool_op *op, struct why *why)
{
    const struct upkeep *u = CONTAINER_OF(op, struct upkeep, op);
    return db_run(db,
                  "INSERT OR REPLACE INTO queue_clock (one, correction, clock_offset, seen, boot)"
                  " VALUES (1, ?, ?, ?, ?)",
                  DB_ARGS(DB_I64(u->kept.correction_ms), DB_I64(u->kept.offset_ms), DB_U64(u->kept.seen_ms),
                          DB_TEXT(slice_of(u->kept.boot))),
                  why);
}

static void finish_upkeep(struct spool_op *op)
{
    free(CONTAINER_OF(op, struct upkeep, op));
}

void spool_forget_old(struct spool *spool, uint64_t hour, uint64_t window_ms)
{
    struct upkeep *u = mem_zero(1, sizeof *u);
    u->op = (struct spool_op){.run = run_forget_old, .finish = finish_upkeep};
    u->hour = hour;
    u->window_ms = window_ms;
    spool_submit(spool, &u->op);
}

void spool_keep_clock(struct spool *spool, const struct queue_clock_kept *kept)
{
    struct upkeep *u = mem_zero(1, sizeof *u);
    u->op = (struct spool_op){.run = run_keep_clock, .finish = finish_upkeep};
    u->kept = *kept;
    spool_submit(spool, &u->op);
}

/* ---- at the start ---- */

static enum err load_clock(struct db *db, struct queue_clock_kept *kept, bool *known, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(db, "SELECT correction, clock_offset, seen, boot FROM queue_clock WHERE one = 1",
                            DB_NO_ARGS, &rows, why);
    if (err)
        return err;
    *known = db_next(&rows);
    if (*known) {
        *kept = (struct queue_clock_kept){
            .correction_ms = db_i64(&rows, 0), .offset_ms = db_i64(&rows, 1), .seen_ms = db_u64(&rows, 2)};
        struct slice boot = slice_sub(db_slice(&rows, 3), 0, QUEUE_CLOCK_BOOT_ID);
        if (boot.len)
            memcpy(kept->boot, boot.ptr, boot.len);
    }
    return db_end(&rows, why);
}

static enum err load_usage(struct db *db, struct queue *q, struct why *why)
{
    struct db_rows rows;
    enum err err =
        db_query(db, "SELECT relay, window, used FROM relay_usage ORDER BY window", DB_NO_ARGS, &rows, why);
    if (err)
        return err;
    while (db_next(&rows))
        relay_quotas_load(q, db_slice(&rows, 0), db_u64(&rows, 1), db_u64(&rows, 2));
    return db_end(&rows, why);
}

enum err spool_load_from(struct db *db, struct queue *q, struct queue_clock_kept *kept, bool *known,
                         struct why *why)
{
    enum err err = load_clock(db, kept, known, why);
    return err ? err : load_usage(db, q, why);
}
