/* schedule.c: whose turn it is. Rows for other servers stand in memory by destination, in two classes, there
 * by sender. Trusts our own rows and relay's results as send.c has checked them. Called by deliver.c, send.c
 * and settle.c.
 */
#include "queue/schedule_parts.h"

#include <stdlib.h>

#include "queue/relay_quota.h"
#include "queue/settle.h"
#include "wire/relay.h"

#define SENDERS_MAX 100000

static void pump_soon(struct schedule *s);

/* ---- placing rows ---- */

void schedule_make_ready(struct schedule *s, struct destination *d)
{
    if (d->waiting && list_empty(&d->ready) && list_empty(&d->paced)) {
        list_push_back(&s->ready, &d->ready);
        pump_soon(s);
    }
}

static void place(struct schedule *s, struct queued *message, struct queued_row **rows, size_t count,
                  bool seven_bit)
{
    struct settling back;
    settle_begin(&back, message);
    for (size_t i = 0; i < count; i++) {
        struct queued_row *row = rows[i];
        uint64_t until_ms;
        schedule_refresh_route(s, message, row);
        struct destination *to = schedule_choose(s, row, &until_ms);
        if (!to) {
            settle_back(&back, row, until_ms);
            continue;
        }
        struct group *group = schedule_group(s, message, to, row->sender, seven_bit);
        struct queued_row **item = vec_push(&group->rows);
        if (!item)
            abort(); /* a message has no more rows */
        *item = row;
        row->state = ROW_WAITING;
        schedule_make_ready(s, to);
    }
    settle_finish(&back);
}

void schedule_add(struct queue *q, struct queued *message)
{
    struct vec rows = VEC_NEW(struct queued_row *, QUEUE_TXN_TARGETS);
    for (uint32_t i = 0; i < message->count; i++) {
        const struct queued_row *one = &message->rows[i];
        struct queued_row **row = one->local || one->state != ROW_WAITING ? NULL : vec_push(&rows);
        if (row)
            *row = &message->rows[i];
    }
    if (rows.len)
        place(q->schedule, message, rows.items, rows.len, false);
    vec_free(&rows);
}

void schedule_again(struct job *job, struct queued_row **rows, uint32_t count)
{
    place(job->q->schedule, job->message, rows, count, true);
}

/* Takes all waiting groups of `d` away; those with `place_again` find another destination if there is one,
 * the others go back to the database. */
void schedule_evacuate(struct schedule *s, struct destination *d, bool place_again, uint64_t route_due_ms)
{
    struct list groups;
    list_init(&groups);
    for (unsigned rank = 0; rank < 2; rank++) {
        for (struct list *node; (node = d->flows[rank].next) != &d->flows[rank];) {
            struct flow *flow = CONTAINER_OF(node, struct flow, node);
            while (!list_empty(&flow->groups))
                list_push_back(&groups, list_pop_front(&flow->groups));
            schedule_free_flow(s, flow);
        }
    }
    d->waiting = 0;
    list_remove(&d->ready);
    list_remove(&d->paced);
    schedule_be_hungry(s, d); /* what has no room here waits for its groups to leave */
    for (struct list *node; (node = groups.next) != &groups;) {
        struct group *group = CONTAINER_OF(node, struct group, node);
        struct queued_row **rows = VEC_AT(&group->rows, struct queued_row *, group->next);
        size_t count = group->rows.len - group->next;
        if (place_again) {
            place(s, group->message, rows, count, group->seven_bit);
        } else {
            struct settling back;
            settle_begin(&back, group->message);
            for (size_t i = 0; i < count; i++)
                settle_back(&back, rows[i], route_due_ms);
            settle_finish(&back);
        }
        schedule_free_group(group);
    }
}

static void shut(struct schedule *s, struct destination *d, enum shut why, uint64_t until_ms)
{
    d->shut = why;
    d->shut_until_ms = until_ms;
    metric_add(METRIC_QUEUE_ROUTES_STOPPED, why - 1, 1);
    schedule_show_state(d);
    schedule_evacuate(s, d, true, 0);
    schedule_be_hungry(s, d);
    schedule_look_in(s->q, until_ms == SPOOL_FAR ? 0 : until_ms - queue_now_ms(s->q));
}

/* ---- beginning ---- */

static void shut_for_quota(struct schedule *s, struct destination *d)
{
    struct relay_quota_state state;
    uint64_t wall = clock_unix_ms();
    relay_quota_state(s->q, d->route.relay, &state);
    uint64_t wait = state.ends_ms > wall ? state.ends_ms - wall : SCHEDULE_LOOK_IDLE_MS;
    log_warn("queue.quota", LOG_STR("route", d->key), LOG_U64("used", state.used),
             LOG_U64("limit", state.limit), LOG_MS("wait", wait));
    shut(s, d, SHUT_QUOTA, queue_now_ms(s->q) + wait);
}

/* How many of the group's rows fit into one transaction. */
static uint32_t measure(const struct schedule *s, const struct group *group)
{
    size_t bytes = 0, at = group->next;
    uint64_t most = s->q->settings->queue.recipients;
    if (most > WIRE_RELAY_RECIPIENTS_MAX)
        most = WIRE_RELAY_RECIPIENTS_MAX;
    for (; at < group->rows.len && at - group->next < most; at++) {
        const struct queued_row *row = *VEC_AT(&group->rows, struct queued_row *, at);
        bytes += row->target.len + row->orcpt.len + 20;
        if (bytes > SEND_RECIPIENTS_BYTES && at > group->next)
            break;
    }
    return (uint32_t)(at - group->next);
}

/* The rows leave the group; group and flow go when that was all. */
static struct job *take_job(struct schedule *s, struct destination *d, struct flow *flow, uint32_t count)
{
    struct group *group = CONTAINER_OF(flow->groups.next, struct group, node);
    struct job *job = mem_zero(1, sizeof *job + count * sizeof job->rows[0]);
    *job = (struct job){.q = s->q,
                        .message = group->message,
                        .to = d,
                        .key = d->key,
                        .route = d->route,
                        .sender = group->sender,
                        .seven_bit = group->seven_bit,
                        .begun_ms = loop_now_ms(s->q->loop),
                        .count = count};
    list_init(&job->node);
    for (uint32_t i = 0; i < count; i++) {
        job->rows[i] = *VEC_AT(&group->rows, struct queued_row *, group->next++);
        job->rows[i]->state = ROW_RUNNING;
    }
    list_remove(&flow->node);
    list_push_back(&d->flows[flow->key.rank], &flow->node);
    if (group->next == group->rows.len) {
        schedule_free_group(group);
        d->waiting--;
        if (list_empty(&flow->groups))
            schedule_free_flow(s, flow);
        if (d->waiting <= SCHEDULE_FETCH_MANY / 2)
            schedule_be_hungry(s, d);
    }
    list_push_back(&s->jobs, &job->all);
    return job;
}

static void begin_one(struct schedule *s, struct destination *d)
{
    struct flow *flow = schedule_pick_flow(d);
    uint32_t count = measure(s, CONTAINER_OF(flow->groups.next, struct group, node)), taken = count;
    if (d->route.kind == RELAY_ROUTE_RELAY)
        taken = relay_quota_take(s->q, d->route.relay, d->route.reserved, count);
    if (!taken) {
        shut_for_quota(s, d);
        return;
    }
    struct job *job = take_job(s, d, flow, taken);
    job->taken = taken;
    s->running++;
    job->message->sending++;
    d->used_ms = job->begun_ms;
    destination_begun(&d->pace, job->begun_ms);
    send_begin(job);
}

static void wait_for_pause(struct schedule *s, struct destination *d, uint64_t wait_ms)
{
    list_push_back(&s->paced, &d->paced);
    loop_timer_set(s->pace_timer, wait_ms < DESTINATION_PAUSE_FIRST ? wait_ms : DESTINATION_PAUSE_FIRST);
}

static void on_pace(void *arg)
{
    struct schedule *s = arg;
    for (struct list *node; (node = list_pop_front(&s->paced)) != NULL;)
        schedule_make_ready(s, CONTAINER_OF(node, struct destination, paced));
}

void schedule_pump(struct queue *q)
{
    struct schedule *s = q->schedule;
    if (q->draining || !queue_has(q, ROLE_RELAY) || !queue_has(q, ROLE_STORE))
        return;
    while (s->running < q->settings->queue.connections && !list_empty(&s->ready)) {
        struct destination *d = CONTAINER_OF(list_pop_front(&s->ready), struct destination, ready);
        uint64_t wait = destination_wait(&d->pace, loop_now_ms(q->loop));
        if (wait == UINT64_MAX)
            continue; /* the end of one of its jobs makes it ready */
        if (wait) {
            wait_for_pause(s, d, wait);
            continue;
        }
        begin_one(s, d);
        schedule_make_ready(s, d);
    }
}

static void pump_soon(struct schedule *s)
{
    loop_timer_set(s->pace_timer, 0);
}

/* ---- the end of a transaction ---- */

static void alarm_login(const struct job *job)
{
    log_error("relay.login", LOG_STR("route", job->key),
              LOG_CSTR("why", "the relay refuses our name and password: its mail waits until they change"));
}

static void reopen(struct schedule *s, const char *kind, struct slice name)
{
    AUTO_BUF struct buf key = buf_new(ROUTES_KEY_MAX);
    buf_addf(&key, "%s:%.*s", kind, SLICE_ARG(name));
    struct destination *d = map_get(s->destinations, buf_slice(&key));
    struct relay_quota_state state;
    if (!d || d->shut != SHUT_QUOTA)
        return;
    relay_quota_state(s->q, d->route.relay, &state);
    if (state.limit && state.used + (d->route.reserved ? 0 : state.reserve) >= state.limit)
        return;
    d->shut = OPEN;
    schedule_show_state(d);
    spool_route_due(s->q->spool, d->key, queue_now_ms(s->q), false);
    schedule_look(s->q);
}

/* What the relay did not take after all is there for those that wait for its next day. */
static void reopen_quota(struct schedule *s, const struct job *job)
{
    if (job->route.kind != RELAY_ROUTE_RELAY)
        return;
    reopen(s, "relay", job->route.name);
    reopen(s, "reserve", job->route.name);
}

void schedule_ended(struct job *job, enum destination_end end, bool login)
{
    struct queue *q = job->q;
    struct schedule *s = q->schedule;
    struct destination *d = job->to;
    const struct destination_limits limits = schedule_limits(q);
    uint64_t wait =
        destination_ended(&d->pace, &limits, login ? DESTINATION_UNTRIED : end, loop_now_ms(q->loop));
    s->running--;
    d->used_ms = loop_now_ms(q->loop);
    reopen_quota(s, job);
    if (login && d->shut != SHUT_LOGIN) {
        alarm_login(job);
        shut(s, d, SHUT_LOGIN, SPOOL_FAR);
    } else if (wait && d->shut == OPEN) {
        log_warn("queue.closed", LOG_STR("route", d->key), LOG_MS("wait", wait));
        shut(s, d, SHUT_FAILED, queue_now_ms(q) + wait);
    }
    list_remove(&job->all);
    free(job);
    schedule_make_ready(s, d);
    schedule_pump(q);
    schedule_feed(s);
}

/* ---- the whole ---- */

static void on_ready(void *arg)
{
    struct schedule *s = arg;
    on_pace(s);
    schedule_pump(s->q);
}

struct schedule *schedule_new(struct queue *q)
{
    struct schedule *s = mem_zero(1, sizeof *s);
    s->q = q;
    s->destinations = map_new(2 * SCHEDULE_DESTINATIONS_MAX);
    s->senders = map_new(SENDERS_MAX);
    s->flows = map_new((size_t)QUEUE_ACTIVE_MAX * QUEUE_TXN_TARGETS);
    list_init(&s->ready);
    list_init(&s->hungry);
    list_init(&s->paced);
    list_init(&s->recalls);
    list_init(&s->jobs);
    s->look_timer = loop_timer_new(q->loop, schedule_on_look, q);
    s->pace_timer = loop_timer_new(q->loop, on_ready, s);
    return s;
}

static void free_waiting(struct schedule *s, struct destination *d)
{
    for (unsigned rank = 0; rank < 2; rank++) {
        for (struct list *node; (node = d->flows[rank].next) != &d->flows[rank];) {
            struct flow *flow = CONTAINER_OF(node, struct flow, node);
            for (struct list *group; (group = flow->groups.next) != &flow->groups;)
                schedule_free_group(CONTAINER_OF(group, struct group, node));
            schedule_free_flow(s, flow);
        }
    }
}

void schedule_free(struct schedule **schedule)
{
    struct schedule *s = *schedule;
    size_t at = 0;
    if (!s)
        return;
    for (struct destination *d; (d = map_next(s->destinations, &at, NULL)) != NULL;)
        free_waiting(s, d);
    at = 0;
    for (struct destination *d; (d = map_next(s->destinations, &at, NULL)) != NULL;)
        free(d);
    at = 0;
    for (struct sender *sender; (sender = map_next(s->senders, &at, NULL)) != NULL;)
        free(sender);
    for (struct list *node; (node = list_pop_front(&s->recalls)) != NULL;)
        free(CONTAINER_OF(node, struct recall, node));
    for (struct list *node; (node = list_pop_front(&s->jobs)) != NULL;)
        free(CONTAINER_OF(node, struct job, all));
    map_free(&s->destinations);
    map_free(&s->senders);
    map_free(&s->flows);
    loop_timer_free(&s->look_timer);
    loop_timer_free(&s->pace_timer);
    free(s);
    *schedule = NULL;
}
