/* schedule_fetch.c: what is due of a route and has no room stays in the database until there is some: which
 * routes have something, and fetching it in portions. Trusts our own rows. Called by schedule.c and its
 * neighbours.
 */
#include "queue/schedule_parts.h"

#include <stdlib.h>

#define FETCH_ROWS    500  /* of one route at once, when it is alone */
#define FETCHES_MAX   8    /* at once */
#define HUNGRY_MAX    5000 /* routes whose due rows are to be fetched; more are not asked for */
#define LOOK_AGAIN_MS 5000 /* after an error */

void schedule_be_hungry(struct schedule *s, struct destination *d)
{
    if (!d->backlog || d->fetching || !list_empty(&d->hungry))
        return;
    list_push_back(&s->hungry, &d->hungry);
    s->hungry_count++;
}

static void on_found(void *ctx, struct queued *message)
{
    (void)ctx;
    deliver_begin(message->q, message);
}

struct fetching {
    struct schedule *s;
    struct destination *d;
};

static void on_fetched(void *ctx, enum err err, size_t rows, uint64_t next_ms)
{
    struct fetching *fetching = ctx;
    struct schedule *s = fetching->s;
    struct destination *d = fetching->d;
    uint64_t now = queue_now_ms(s->q);
    free(fetching);
    d->fetching = false;
    s->fetches--;
    (void)rows;
    if (!err && next_ms > now) {
        d->backlog = false;
        if (next_ms != UINT64_MAX)
            schedule_look_in(s->q, next_ms - now);
    }
    schedule_be_hungry(s, d);
    if (err)
        schedule_look_in(s->q, LOOK_AGAIN_MS);
    else
        schedule_feed(s);
}

static uint32_t room_of(const struct schedule *s, const struct destination *d)
{
    uint32_t most = s->hungry_count > FETCHES_MAX ? SCHEDULE_FETCH_MANY : FETCH_ROWS;
    return d->waiting < most ? most : 0;
}

static void fetch(struct schedule *s, struct destination *d, uint32_t limit)
{
    struct fetching *fetching = mem_alloc(sizeof *fetching);
    *fetching = (struct fetching){.s = s, .d = d};
    d->fetching = true;
    d->used_ms = loop_now_ms(s->q->loop);
    s->fetches++;
    spool_fetch(s->q->spool, s->q, d->key, queue_now_ms(s->q), limit, on_found, on_fetched, fetching);
}

void schedule_feed(struct schedule *s)
{
    struct queue *q = s->q;
    if (q->draining || !q->spool || !queue_has(q, ROLE_STORE) || !list_empty(&s->recalls))
        return;
    size_t looked = 0, most = s->hungry_count;
    while (looked++ < most && s->fetches < FETCHES_MAX && q->active_count < QUEUE_ACTIVE_MAX / 2) {
        struct destination *d = CONTAINER_OF(list_pop_front(&s->hungry), struct destination, hungry);
        uint64_t until_ms;
        uint32_t room = room_of(s, d);
        s->hungry_count--;
        if (!schedule_may_leave(s, d, &until_ms)) {
            d->backlog = false;
            spool_route_due(q->spool, d->key, until_ms, true);
            if (until_ms != SPOOL_FAR) /* the look that led here may have taken the place of that one */
                schedule_look_in(q, until_ms > queue_now_ms(q) ? until_ms - queue_now_ms(q) : 0);
        } else if (!d->local && !queue_has(q, ROLE_RELAY)) {
            schedule_be_hungry(s, d);
        } else if (room) { /* else it comes back when it has sent some */
            fetch(s, d, room);
        }
    }
    if (s->more && s->hungry_count < HUNGRY_MAX / 2)
        schedule_look_in(q, 0);
}

static void on_routes(void *ctx, enum err err, struct slice routes, uint64_t next_ms)
{
    struct queue *q = ctx;
    struct schedule *s = q->schedule;
    struct slice key;
    uint64_t now = queue_now_ms(q), wait = SCHEDULE_LOOK_IDLE_MS;
    s->looking = false;
    if (err) {
        schedule_look_in(q, LOOK_AGAIN_MS);
        return;
    }
    s->swept = true;
    while (wire_strings_take(&routes, &key)) {
        struct destination *d = schedule_destination(s, key);
        if (!d) {
            spool_route_due(q->spool, key, now + SCHEDULE_LOOK_IDLE_MS, true);
            continue;
        }
        d->backlog = true;
        schedule_be_hungry(s, d);
    }
    s->more = next_ms <= now;
    if (next_ms > now && next_ms - now < wait)
        wait = next_ms - now;
    if (s->look_again || (s->more && s->hungry_count < HUNGRY_MAX))
        wait = 0;
    s->look_again = false;
    schedule_look_in(q, wait);
    schedule_feed(s);
}

void schedule_on_look(void *arg)
{
    struct queue *q = arg;
    struct schedule *s = q->schedule;
    s->look_at_ms = 0;
    if (q->draining)
        return;
    if (s->looking) {
        s->look_again = true;
        return;
    }
    if (s->hungry_count >= HUNGRY_MAX) {
        schedule_look_in(q, LOOK_AGAIN_MS);
        schedule_feed(s);
        return;
    }
    s->looking = true;
    spool_routes(q->spool, queue_now_ms(q), !s->swept, on_routes, q);
}

void schedule_look_in(struct queue *q, uint64_t ms)
{
    struct schedule *s = q->schedule;
    if (ms > SCHEDULE_LOOK_IDLE_MS)
        ms = SCHEDULE_LOOK_IDLE_MS;
    uint64_t at = loop_now_ms(q->loop) + ms;
    if (s->look_at_ms && s->look_at_ms <= at)
        return;
    s->look_at_ms = at;
    loop_timer_set(s->look_timer, ms);
}

void schedule_look(struct queue *q)
{
    schedule_look_in(q, 0);
}
