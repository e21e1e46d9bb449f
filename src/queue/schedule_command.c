/* schedule_command.c: the operator's part: routes forget their failures, rows go back to the database so that
 * a command may change them, what is shown of a route; other settings and secrets. Called by the commands and
 * by role.c.
 */
#include "queue/schedule_parts.h"

#include <stdlib.h>

static void forget(struct queue *q, struct slice host)
{
    const struct wire_relay_forget message = {.host = slice_sub(host, 0, 256)};
    if (queue_has(q, ROLE_RELAY) && wire_send(role_link(q->run, ROLE_RELAY), WIRE_RELAY_FORGET, &message))
        log_warn("queue.retry", LOG_CSTR("why", "relay could not be told"));
}

static void unblock(struct schedule *s, struct destination *d)
{
    const struct destination_limits limits = schedule_limits(s->q);
    uint32_t running = d->pace.running;
    d->shut = OPEN;
    schedule_show_state(d);
    destination_pace_init(&d->pace, &limits);
    d->pace.running = running;
    spool_route_due(s->q->spool, d->key, queue_now_ms(s->q), false);
    schedule_make_ready(s, d);
}

void schedule_unblock(struct queue *q, struct slice route)
{
    struct schedule *s = q->schedule;
    size_t at = 0;
    struct destination *one = route.len ? map_get(s->destinations, route) : NULL;
    if (one)
        unblock(s, one);
    if (!route.len)
        for (struct destination *d; (d = map_next(s->destinations, &at, NULL)) != NULL;)
            unblock(s, d);
    if (one && one->route.kind != RELAY_ROUTE_RELAY)
        forget(q, one->route.host);
    else
        forget(q, SLICE_EMPTY);
    schedule_look(q);
    schedule_pump(q);
}

static void end_recalls(struct schedule *s)
{
    if (s->fetches || s->backs)
        return;
    for (struct list *node; (node = list_pop_front(&s->recalls)) != NULL;) {
        struct recall *recall = CONTAINER_OF(node, struct recall, node);
        recall->done(recall->ctx);
        free(recall);
    }
    schedule_look(s->q);
}

static void on_barrier(void *ctx, enum err err, bool gone)
{
    struct schedule *s = ctx;
    (void)err;
    (void)gone;
    s->backs--;
    end_recalls(s);
}

/* All that was submitted before is on disk when this is answered, what fetches brought included. */
static void recall_all(void *arg)
{
    struct schedule *s = arg;
    size_t at = 0;
    uint64_t now = queue_now_ms(s->q);
    for (struct destination *d; (d = map_next(s->destinations, &at, NULL)) != NULL;)
        if (d->waiting)
            schedule_evacuate(s, d, false, now);
    s->backs++;
    spool_results(s->q->spool, SLICE_EMPTY, NULL, 0, NULL, NULL, on_barrier, s);
}

static void on_quiet(void *ctx, enum err err, bool gone)
{
    struct schedule *s = ctx;
    (void)err;
    (void)gone;
    s->backs--;
    recall_all(s);
}

void schedule_recall(struct queue *q, schedule_recalled *done, void *ctx)
{
    struct schedule *s = q->schedule;
    struct recall *recall = mem_zero(1, sizeof *recall);
    recall->done = done;
    recall->ctx = ctx;
    list_push_back(&s->recalls, &recall->node);
    /* fetches under way are answered before this is: nothing is fetched while someone waits for a recall */
    s->backs++;
    spool_results(q->spool, SLICE_EMPTY, NULL, 0, NULL, NULL, on_quiet, s);
}

const char *schedule_route_state(const struct queue *q, struct slice route, uint64_t *until_ms)
{
    static const char *const names[] = {[OPEN] = "",
                                        [SHUT_FAILED] = "not reached",
                                        [SHUT_QUOTA] = "waiting for quota",
                                        [SHUT_LOGIN] = "login refused"};
    const struct destination *d = map_get(q->schedule->destinations, route);
    *until_ms = 0;
    if (!d)
        return "";
    bool is_over = d->shut != OPEN && queue_now_ms(q) >= d->shut_until_ms;
    if (d->shut != OPEN && !is_over && d->shut_until_ms != SPOOL_FAR)
        *until_ms = d->shut_until_ms;
    if ((d->shut == OPEN || is_over) && d->pace.pause_ms)
        return "slowed down";
    return is_over ? "" : names[d->shut];
}

void schedule_route_load(const struct queue *q, struct slice route, uint32_t *running, uint32_t *window)
{
    const struct destination *d = map_get(q->schedule->destinations, route);
    *running = d ? d->pace.running : 0;
    *window = d ? d->pace.window : 0;
}

uint32_t schedule_running(const struct queue *q)
{
    return q->schedule->running;
}

/* Relays whose place one that is open again can take. */
static void look_at_refused(struct schedule *s)
{
    size_t at = 0;
    for (struct destination *d; (d = map_next(s->destinations, &at, NULL)) != NULL;)
        if (d->shut == SHUT_LOGIN)
            spool_route_due(s->q->spool, d->key, queue_now_ms(s->q), false);
}

bool schedule_on_secret_changed(void *ctx, struct ipc_link *link, struct ipc_packet *packet,
                                const void *message)
{
    struct queue *q = ctx;
    const struct wire_relay_secret_changed *m = message;
    struct schedule *s = q->schedule;
    size_t at = 0;
    (void)link;
    (void)packet;
    for (struct destination *d; (d = map_next(s->destinations, &at, NULL)) != NULL;) {
        bool same = d->route.kind == RELAY_ROUTE_RELAY
                        ? d->route.relay == m->relay
                        : d->route.kind == RELAY_ROUTE_MAP && m->relay == UINT32_MAX;
        if (d->shut == SHUT_LOGIN && same) {
            log_info("relay.login", LOG_STR("route", d->key),
                     LOG_CSTR("what", "the secret is another: tried again"));
            unblock(s, d);
        }
    }
    look_at_refused(s);
    schedule_look(q);
    return true;
}

void schedule_relay_up(struct queue *q)
{
    schedule_pump(q);
    schedule_feed(q->schedule);
}

/* The keys of routes mean something else now, and some may mean nothing. Only what has something waiting is
 * remembered over the second pass, in which idle ones may be forgotten. */
void schedule_reload(struct queue *q)
{
    struct schedule *s = q->schedule;
    struct vec all = VEC_NEW(struct destination *, 2 * SCHEDULE_DESTINATIONS_MAX);
    size_t at = 0;
    for (struct destination *d; (d = map_next(s->destinations, &at, NULL)) != NULL;) {
        schedule_read_key(s, d);
        if (d->shut == SHUT_QUOTA || d->shut == SHUT_LOGIN)
            unblock(s, d); /* the limit or the login may be another, or the relay may be gone */
        struct destination **item = d->waiting ? vec_push(&all) : NULL;
        if (item)
            *item = d;
    }
    for (size_t i = 0; i < all.len; i++)
        schedule_evacuate(s, *VEC_AT(&all, struct destination *, i), true, 0);
    vec_free(&all);
    schedule_look(q);
}
