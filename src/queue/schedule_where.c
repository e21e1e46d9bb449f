/* schedule_where.c: destinations: which are known, which are open, and where a row may go now. Trusts our own
 * rows and the settings. Called by schedule.c and its neighbours.
 */
#include "queue/schedule_parts.h"

#include <stdlib.h>
#include <string.h>

#define DESTINATION_IDLE_MS 600000

struct destination_limits schedule_limits(const struct queue *q)
{
    uint64_t window = q->settings->queue.per_destination;
    return (struct destination_limits){.window = window < 1 ? 1 : (uint32_t)window,
                                       .first_ms = q->settings->queue.retry_first,
                                       .longest_ms = q->settings->queue.retry_max};
}

static bool is_idle(const struct destination *d)
{
    return !d->waiting && !d->pace.running && !d->backlog && !d->fetching && d->shut == OPEN;
}

static void free_destination(struct schedule *s, struct destination *d)
{
    if (!list_empty(&d->hungry))
        s->hungry_count--;
    list_remove(&d->ready);
    list_remove(&d->hungry);
    list_remove(&d->paced);
    free(d);
}

void schedule_forget_idle(struct queue *q, bool all)
{
    struct schedule *s = q->schedule;
    struct vec doomed = VEC_NEW(struct destination *, SCHEDULE_DESTINATIONS_MAX);
    uint64_t now = loop_now_ms(q->loop);
    size_t at = 0;
    for (struct destination *d; (d = map_next(s->destinations, &at, NULL)) != NULL;) {
        struct destination **item =
            is_idle(d) && (all || now - d->used_ms > DESTINATION_IDLE_MS) ? vec_push(&doomed) : NULL;
        if (item)
            *item = d;
    }
    for (size_t i = 0; i < doomed.len; i++) {
        struct destination *d = *VEC_AT(&doomed, struct destination *, i);
        (void)map_remove(s->destinations, d->key);
        free_destination(s, d);
    }
    vec_free(&doomed);
}

void schedule_read_key(struct schedule *s, struct destination *d)
{
    d->local = slice_eq(d->key, SLICE(ROUTES_LOCAL)) || slice_eq(d->key, SLICE(ROUTES_TOLD));
    if (!d->local && !routes_read(s->q->routes, d->key, &d->route))
        d->route =
            (struct route){.kind = RELAY_ROUTE_DIRECT}; /* of settings that are gone; rows are placed anew */
}

/* NULL when there are too many. */
struct destination *schedule_destination(struct schedule *s, struct slice key)
{
    struct destination *d = map_get(s->destinations, key);
    if (d)
        return d;
    if (map_count(s->destinations) >= SCHEDULE_DESTINATIONS_MAX)
        schedule_forget_idle(s->q, true);
    const struct destination_limits limits = schedule_limits(s->q);
    d = mem_zero(1, sizeof *d + key.len);
    uint8_t *copy = (uint8_t *)(d + 1);
    if (key.len)
        memcpy(copy, key.ptr, key.len);
    d->key = slice_make(copy, key.len);
    destination_pace_init(&d->pace, &limits);
    list_init(&d->flows[0]);
    list_init(&d->flows[1]);
    list_init(&d->ready);
    list_init(&d->hungry);
    list_init(&d->paced);
    d->used_ms = loop_now_ms(s->q->loop);
    schedule_read_key(s, d);
    if (!map_put(s->destinations, d->key, d)) {
        free(d);
        return NULL;
    }
    return d;
}

void schedule_show_state(const struct destination *d)
{
    if (d->route.kind == RELAY_ROUTE_RELAY && !d->route.reserved)
        metric_set(METRIC_RELAY_STATE, d->route.relay, d->shut);
}

bool schedule_is_shut(const struct schedule *s, struct destination *d)
{
    if (d->shut != OPEN && queue_now_ms(s->q) >= d->shut_until_ms) {
        d->shut = OPEN;
        schedule_show_state(d);
    }
    return d->shut != OPEN;
}

/* The open destination for a row: that of its route, or of the relay that takes over. NULL: none, and
 * `until_ms` is when to look again. */
struct destination *schedule_choose(struct schedule *s, struct queued_row *row, uint64_t *until_ms)
{
    AUTO_BUF struct buf keys = buf_new((SCHEDULE_CHAIN_MAX + 1) * (ROUTES_KEY_MAX + WIRE_NAME_MAX));
    struct slice key = row->route;
    *until_ms = SPOOL_FAR;
    for (int i = 0; i < SCHEDULE_CHAIN_MAX; i++) {
        struct route route;
        struct destination *d = schedule_destination(s, key);
        if (!d)
            *until_ms = queue_now_ms(s->q) + SCHEDULE_LOOK_IDLE_MS;
        if (!d || !schedule_is_shut(s, d))
            return d;
        if (d->shut_until_ms < *until_ms)
            *until_ms = d->shut_until_ms;
        buf_clear(&keys);
        if (!routes_read(s->q->routes, key, &route) ||
            !routes_next(s->q->routes, &route, row->sender, row->target, &keys))
            break;
        struct destination *next = schedule_destination(s, buf_slice(&keys));
        if (!next || next == d)
            break;
        key = next->key;
    }
    return NULL;
}

/* Settings or relay maps may have changed since the row was written. */
void schedule_refresh_route(struct schedule *s, struct queued *message, struct queued_row *row)
{
    struct route route;
    if (routes_read(s->q->routes, row->route, &route))
        return;
    AUTO_BUF struct buf key = buf_new(ROUTES_KEY_MAX + WIRE_NAME_MAX);
    routes_find(s->q->routes, row->sender, row->target, &key);
    row->route = arena_dup(message->arena, buf_slice(&key));
}

/* Whether rows of this route could go anywhere now, as far as that can be told without them. */
bool schedule_may_leave(struct schedule *s, struct destination *d, uint64_t *until_ms)
{
    *until_ms = SPOOL_FAR;
    for (int i = 0; i < SCHEDULE_CHAIN_MAX && d; i++) {
        AUTO_BUF struct buf key = buf_new(ROUTES_KEY_MAX);
        struct route route;
        if (!schedule_is_shut(s, d))
            return true;
        if (d->shut_until_ms < *until_ms)
            *until_ms = d->shut_until_ms;
        if (!routes_read(s->q->routes, d->key, &route))
            return true;
        if (!routes_next(s->q->routes, &route, SLICE_EMPTY, SLICE_EMPTY, &key))
            return false;
        if (slice_eq(buf_slice(&key), SLICE("direct:")))
            return true; /* each to its own destination */
        d = schedule_destination(s, buf_slice(&key));
    }
    return false;
}
