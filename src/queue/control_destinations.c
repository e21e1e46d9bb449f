/* control_destinations.c: how much waits for each route. What waits and what is held is counted by two walks
 * through indexes, on the database's thread; what is in memory is counted there. Reads our own rows only.
 * Called by control_queue.c. */
#include "queue/control_destinations.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "queue/print.h"
#include "queue/queue_clock.h"
#include "queue/routes.h"
#include "queue/schedule.h"
#include "queue/spool.h"

#define COUNTING_ARENA (4u << 20)
#define TEXT_MAX       (2u << 20)

struct place {
    struct slice route;
    uint64_t waiting, held, active; /* recipients */
    uint64_t due_ms;                /* of the first that waits; 0: none */
};

struct counting {
    struct spool_op op;
    struct queue *q;
    struct control_sink sink;
    bool json;
    uint64_t limit;
    struct arena *arena;
    struct place *places;
    size_t count;
};

/* ---- on the database's thread ---- */

#define COUNTED                                                                                              \
    "SELECT route, sum(waiting), sum(held), ifnull(min(due), 0) FROM ("                                      \
    "SELECT route, count(*) AS waiting, 0 AS held, min(due) AS due FROM queue_recipient WHERE claimed = 0"   \
    " GROUP BY route UNION ALL "                                                                             \
    "SELECT route, 0, count(*), NULL FROM queue_recipient WHERE claimed = 2 GROUP BY route)"                 \
    " GROUP BY route ORDER BY sum(waiting) + sum(held) DESC, route LIMIT ?"

static enum err run_count(struct db *db, struct spool_op *op, struct why *why)
{
    struct counting *c = CONTAINER_OF(op, struct counting, op);
    struct db_rows rows;
    arena_reset(c->arena);
    c->count = 0;
    c->places = ARENA_ARRAY(c->arena, struct place, (size_t)c->limit);
    enum err err = db_query(db, COUNTED, DB_ARGS(DB_U64(c->limit)), &rows, why);
    if (err)
        return err;
    while (db_next(&rows) && c->count < c->limit)
        c->places[c->count++] = (struct place){.route = arena_dup(c->arena, db_slice(&rows, 0)),
                                               .waiting = db_u64(&rows, 1),
                                               .held = db_u64(&rows, 2),
                                               .due_ms = db_u64(&rows, 3)};
    return db_end(&rows, why);
}

/* ---- on the loop ---- */

/* Rows in memory: bounded by the messages there (QUEUE_ACTIVE_MAX). Routes that have nothing else come last.
 */
static void count_active(struct counting *c)
{
    struct map *known = map_new((size_t)c->limit);
    for (size_t i = 0; i < c->count; i++)
        if (!map_put(known, c->places[i].route, &c->places[i]))
            break;
    LIST_EACH(&c->q->active, node)
    {
        const struct queued *message = CONTAINER_OF(node, struct queued, node);
        for (uint32_t i = 0; i < message->count; i++) {
            const struct queued_row *row = &message->rows[i];
            struct place *place = row->state == ROW_ENDING ? NULL : map_get(known, row->route);
            if (row->state != ROW_ENDING && !place && c->count < c->limit) {
                place = &c->places[c->count++];
                *place = (struct place){.route = row->route};
                if (!map_put(known, place->route, place))
                    c->count--;
            }
            if (place)
                place->active++;
        }
    }
    map_free(&known);
}

static void add_text(struct counting *c, const struct place *p, struct buf *out)
{
    uint32_t running, window;
    uint64_t until;
    const char *state = schedule_route_state(c->q, p->route, &until);
    schedule_route_load(c->q, p->route, &running, &window);
    print_add_plain(out, p->route);
    buf_addf(out, "  waiting=%llu  sending=%llu  held=%llu", (unsigned long long)p->waiting,
             (unsigned long long)p->active, (unsigned long long)p->held);
    if (running)
        buf_addf(out, "  connections=%u/%u", running, window);
    if (p->due_ms) {
        char due[CLOCK_TEXT_MAX];
        clock_rfc3339(queue_clock_wall(c->q->clock, p->due_ms), due);
        buf_addf(out, "  next=%s", due);
    }
    buf_addf(out, "%s%s\n", *state ? "  " : "", state);
}

static void add_json(struct counting *c, const struct place *p, struct buf *out)
{
    uint32_t running, window;
    uint64_t until;
    const char *state = schedule_route_state(c->q, p->route, &until);
    schedule_route_load(c->q, p->route, &running, &window);
    buf_add_str(out, "{\"route\":");
    buf_add_json_string(out, p->route);
    print_add_number(out, "waiting", p->waiting);
    print_add_number(out, "sending", p->active);
    print_add_number(out, "held", p->held);
    print_add_number(out, "connections", running);
    print_add_number(out, "window", window);
    print_add_time(out, "next", p->due_ms ? queue_clock_wall(c->q->clock, p->due_ms) : 0);
    print_add_member(out, "waits", slice_of(state));
    print_add_time(out, "until", until ? queue_clock_wall(c->q->clock, until) : 0);
    buf_add_byte(out, '}');
}

static void print(struct counting *c, struct buf *out)
{
    count_active(c);
    if (c->json)
        buf_add_byte(out, '[');
    for (size_t i = 0; i < c->count; i++) {
        if (c->json && i)
            buf_add_str(out, ",\n");
        (c->json ? add_json : add_text)(c, &c->places[i], out);
    }
    if (c->json)
        buf_add_str(out, "]\n");
    else if (!c->count)
        buf_add_str(out, "the queue is empty\n");
}

static void finish_count(struct spool_op *op)
{
    struct counting *c = CONTAINER_OF(op, struct counting, op);
    AUTO_BUF struct buf out = buf_new(TEXT_MAX);
    if (op->err)
        buf_addf(&out, "the queue cannot be read now: %s\n", op->why.text);
    else if (!c->q->drained)
        print(c, &out);
    c->sink.output(c->sink.ctx, buf_slice(&out), op->err ? 1 : 0, false);
    arena_free(&c->arena);
    free(c);
}

void control_destinations(struct queue *q, uint64_t limit, bool json, const struct control_sink *sink)
{
    struct counting *c = mem_zero(1, sizeof *c);
    *c = (struct counting){.op = {.run = run_count, .finish = finish_count},
                           .q = q,
                           .sink = *sink,
                           .json = json,
                           .limit = !limit                      ? DESTINATIONS_LISTED
                                    : limit < DESTINATIONS_MOST ? limit
                                                                : DESTINATIONS_MOST,
                           .arena = arena_new(COUNTING_ARENA)};
    spool_submit(q->spool, &c->op);
}
