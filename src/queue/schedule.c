/* schedule.c: whose turn it is. Rows for other servers stand in memory by destination, in two classes, there
 * by sender; what is due of a route and has no room stays in the database until there is some. Trusts our own
 * rows and relay's results as send.c has checked them. Called by deliver.c, send.c, settle.c, the commands.
 */
#include "queue/schedule.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "grammar/address.h"
#include "queue/relay_quota.h"
#include "queue/send.h"
#include "queue/settle.h"
#include "queue/spool.h"
#include "settings/metrics.h"
#include "wire/relay.h"

#define DESTINATIONS_MAX    20000 /* in memory; more than that wait for a minute */
#define DESTINATION_IDLE_MS 600000
#define SENDERS_MAX         100000
#define CHAIN_MAX           8    /* relays that take over from each other */
#define LETTERS_IN_A_ROW    8    /* then one piece of mass mail */
#define SENDER_ALWAYS       20   /* messages of one sender that have room though others fill the memory */
#define FETCH_ROWS          500  /* of one route at once, when it is alone */
#define FETCH_ROWS_MANY     20   /* when many routes have something */
#define FETCHES_MAX         8    /* at once */
#define HUNGRY_MAX          5000 /* routes whose due rows are to be fetched; more are not asked for */
#define CLASS_ROWS          20   /* a message for more recipients is mass mail */
#define CLASS_BYTES         1000000
#define LOOK_IDLE_MS        60000 /* looked at least this often */
#define LOOK_AGAIN_MS       5000  /* after an error */

enum shut { OPEN, SHUT_FAILED, SHUT_QUOTA, SHUT_LOGIN };

struct destination {
    struct slice key; /* the bytes stand behind the struct */
    struct route route;
    bool local;
    struct destination_pace pace;
    enum shut shut;
    uint64_t shut_until_ms; /* queue_now_ms() */
    struct list flows[2];   /* letters, mass mail: struct flow, in turn */
    uint32_t waiting;       /* groups */
    uint32_t letters;       /* begun in a row */
    bool backlog;           /* rows in the database are due */
    bool fetching;
    struct list ready;  /* in s->ready: something of it may begin */
    struct list hungry; /* in s->hungry: something of it is to be fetched */
    struct list paced;  /* in s->paced: waits for its pause */
    uint64_t used_ms;
};

/* Whose mail it is. */
struct sender {
    uint32_t messages; /* in memory */
    uint32_t flows;
    size_t len;
    uint8_t name[];
};

/* Groups of one sender, class and destination. */
struct flow_key {
    struct destination *to;
    struct sender *sender;
    uintptr_t rank;
};
struct flow {
    struct list node;
    struct flow_key key;
    struct list groups;
};

/* Rows of one message that leave together. */
struct group {
    struct list node;
    struct queued *message;
    struct slice sender;
    bool seven_bit;
    struct vec rows; /* struct queued_row * */
    size_t next;     /* the first not begun */
};

struct recall {
    struct list node;
    schedule_recalled *done;
    void *ctx;
};

struct schedule {
    struct queue *q;
    struct map *destinations, *senders, *flows;
    struct list ready, hungry, paced;
    size_t hungry_count;
    uint32_t running, fetches, backs;
    struct list recalls;
    struct list jobs; /* under way */
    struct loop_timer *look_timer, *pace_timer;
    uint64_t look_at_ms; /* of the loop's clock; 0: not armed */
    bool looking, look_again, swept, more;
};

static void pump_soon(struct schedule *s);
static void feed(struct schedule *s);
static void be_hungry(struct schedule *s, struct destination *d);
static void place(struct schedule *s, struct queued *message, struct queued_row **rows, size_t count,
                  bool seven_bit);

/* ---- destinations ---- */

static struct destination_limits limits_of(const struct queue *q)
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
    struct vec doomed = VEC_NEW(struct destination *, DESTINATIONS_MAX);
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

static void read_key(struct schedule *s, struct destination *d)
{
    d->local = slice_eq(d->key, SLICE(ROUTES_LOCAL));
    if (!d->local && !routes_read(s->q->routes, d->key, &d->route))
        d->route =
            (struct route){.kind = RELAY_ROUTE_DIRECT}; /* of settings that are gone; rows are placed anew */
}

/* NULL when there are too many. */
static struct destination *destination_of(struct schedule *s, struct slice key)
{
    struct destination *d = map_get(s->destinations, key);
    if (d)
        return d;
    if (map_count(s->destinations) >= DESTINATIONS_MAX)
        schedule_forget_idle(s->q, true);
    const struct destination_limits limits = limits_of(s->q);
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
    read_key(s, d);
    if (!map_put(s->destinations, d->key, d)) {
        free(d);
        return NULL;
    }
    return d;
}

static void show_state(const struct destination *d)
{
    if (d->route.kind == RELAY_ROUTE_RELAY && !d->route.reserved)
        metric_set(METRIC_RELAY_STATE, d->route.relay, d->shut);
}

static bool is_shut(const struct schedule *s, struct destination *d)
{
    if (d->shut != OPEN && queue_now_ms(s->q) >= d->shut_until_ms) {
        d->shut = OPEN;
        show_state(d);
    }
    return d->shut != OPEN;
}

/* The open destination for a row: that of its route, or of the relay that takes over. NULL: none, and
 * `until_ms` is when to look again. */
static struct destination *choose(struct schedule *s, struct queued_row *row, uint64_t *until_ms)
{
    AUTO_BUF struct buf keys = buf_new((CHAIN_MAX + 1) * (ROUTES_KEY_MAX + WIRE_NAME_MAX));
    struct slice key = row->route;
    *until_ms = SPOOL_FAR;
    for (int i = 0; i < CHAIN_MAX; i++) {
        struct route route;
        struct destination *d = destination_of(s, key);
        if (!d)
            *until_ms = queue_now_ms(s->q) + LOOK_IDLE_MS;
        if (!d || !is_shut(s, d))
            return d;
        if (d->shut_until_ms < *until_ms)
            *until_ms = d->shut_until_ms;
        buf_clear(&keys);
        if (!routes_read(s->q->routes, key, &route) ||
            !routes_next(s->q->routes, &route, row->sender, row->target, &keys))
            break;
        struct destination *next = destination_of(s, buf_slice(&keys));
        if (!next || next == d)
            break;
        key = next->key;
    }
    return NULL;
}

/* Settings or relay maps may have changed since the row was written. */
static void refresh_route(struct schedule *s, struct queued *message, struct queued_row *row)
{
    struct route route;
    if (routes_read(s->q->routes, row->route, &route))
        return;
    AUTO_BUF struct buf key = buf_new(ROUTES_KEY_MAX + WIRE_NAME_MAX);
    routes_find(s->q->routes, row->sender, row->target, &key);
    row->route = arena_dup(message->arena, buf_slice(&key));
}

/* ---- senders and flows ---- */

/* The account, else the domain of the envelope sender. */
static struct slice sender_name(struct slice account, struct slice sender)
{
    if (account.len)
        return account;
    return address_domain_of(sender);
}

static struct slice sender_key(const struct sender *sender)
{
    return slice_make(sender->name, sender->len);
}

static struct sender *sender_of(struct schedule *s, struct slice name)
{
    struct sender *sender = map_get(s->senders, name);
    if (sender)
        return sender;
    sender = mem_zero(1, sizeof *sender + name.len);
    sender->len = name.len;
    if (name.len)
        memcpy(sender->name, name.ptr, name.len);
    if (!map_put(s->senders, sender_key(sender), sender))
        abort(); /* bounded by the messages in memory */
    return sender;
}

static void release_sender(struct schedule *s, struct sender *sender)
{
    if (sender->messages || sender->flows)
        return;
    (void)map_remove(s->senders, sender_key(sender));
    free(sender);
}

static struct slice flow_key_of(const struct flow_key *key)
{
    return slice_make(key, sizeof *key);
}

static struct flow *flow_of(struct schedule *s, struct destination *to, struct sender *sender, unsigned rank)
{
    const struct flow_key key = {.to = to, .sender = sender, .rank = rank};
    struct flow *flow = map_get(s->flows, flow_key_of(&key));
    if (flow)
        return flow;
    flow = mem_zero(1, sizeof *flow);
    flow->key = key;
    list_init(&flow->groups);
    if (!map_put(s->flows, flow_key_of(&flow->key), flow))
        abort(); /* bounded by the rows in memory */
    sender->flows++;
    list_push_back(&to->flows[rank], &flow->node);
    return flow;
}

static void free_flow(struct schedule *s, struct flow *flow)
{
    (void)map_remove(s->flows, flow_key_of(&flow->key));
    list_remove(&flow->node);
    flow->key.sender->flows--;
    release_sender(s, flow->key.sender);
    free(flow);
}

static void free_group(struct group *group)
{
    list_remove(&group->node);
    vec_free(&group->rows);
    free(group);
}

unsigned schedule_class(uint32_t rows, uint64_t size)
{
    return rows > CLASS_ROWS || size > CLASS_BYTES ? 1 : 0;
}

bool schedule_has_room(const struct queue *q, struct slice account, struct slice sender)
{
    if (q->active_count < QUEUE_ACTIVE_MAX / 2)
        return true;
    const struct sender *known = map_get(q->schedule->senders, sender_name(account, sender));
    return q->active_count < QUEUE_ACTIVE_MAX && (!known || known->messages < SENDER_ALWAYS);
}

void schedule_enter(struct queued *message)
{
    struct sender *sender = sender_of(message->q->schedule, sender_name(message->account, message->sender));
    sender->messages++;
    message->from = sender;
}

void schedule_leave(struct queued *message)
{
    struct sender *sender = message->from;
    if (!sender)
        return;
    message->from = NULL;
    sender->messages--;
    release_sender(message->q->schedule, sender);
    feed(message->q->schedule);
}

/* ---- placing rows ---- */

static void make_ready(struct schedule *s, struct destination *d)
{
    if (d->waiting && list_empty(&d->ready) && list_empty(&d->paced)) {
        list_push_back(&s->ready, &d->ready);
        pump_soon(s);
    }
}

/* The group of this message at `to` for rows with this envelope sender; rows of one message are placed
 * together, so it is the last one of its flow. */
static struct group *group_for(struct schedule *s, struct queued *message, struct destination *to,
                               struct slice sender, bool seven_bit)
{
    struct flow *flow = flow_of(s, to, message->from, schedule_class(message->all, message->size));
    struct list *last = flow->groups.prev;
    struct group *group = last == &flow->groups ? NULL : CONTAINER_OF(last, struct group, node);
    if (group && group->message == message && group->seven_bit == seven_bit &&
        slice_eq(group->sender, sender))
        return group;
    group = mem_zero(1, sizeof *group);
    group->message = message;
    group->sender = sender;
    group->seven_bit = seven_bit;
    group->rows = VEC_NEW(struct queued_row *, QUEUE_TXN_TARGETS);
    list_push_back(&flow->groups, &group->node);
    to->waiting++;
    return group;
}

static void place(struct schedule *s, struct queued *message, struct queued_row **rows, size_t count,
                  bool seven_bit)
{
    struct settling back;
    settle_begin(&back, message);
    for (size_t i = 0; i < count; i++) {
        struct queued_row *row = rows[i];
        uint64_t until_ms;
        refresh_route(s, message, row);
        struct destination *to = choose(s, row, &until_ms);
        if (!to) {
            settle_back(&back, row, until_ms);
            continue;
        }
        struct group *group = group_for(s, message, to, row->sender, seven_bit);
        struct queued_row **item = vec_push(&group->rows);
        if (!item)
            abort(); /* a message has no more rows */
        *item = row;
        row->state = ROW_WAITING;
        make_ready(s, to);
    }
    settle_finish(&back);
}

void schedule_add(struct queue *q, struct queued *message)
{
    struct vec rows = VEC_NEW(struct queued_row *, QUEUE_TXN_TARGETS);
    for (uint32_t i = 0; i < message->count; i++) {
        struct queued_row **row = message->rows[i].local ? NULL : vec_push(&rows);
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
static void evacuate(struct schedule *s, struct destination *d, bool place_again, uint64_t route_due_ms)
{
    struct list groups;
    list_init(&groups);
    for (unsigned rank = 0; rank < 2; rank++) {
        for (struct list *node; (node = d->flows[rank].next) != &d->flows[rank];) {
            struct flow *flow = CONTAINER_OF(node, struct flow, node);
            while (!list_empty(&flow->groups))
                list_push_back(&groups, list_pop_front(&flow->groups));
            free_flow(s, flow);
        }
    }
    d->waiting = 0;
    list_remove(&d->ready);
    list_remove(&d->paced);
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
        free_group(group);
    }
}

static void shut(struct schedule *s, struct destination *d, enum shut why, uint64_t until_ms)
{
    d->shut = why;
    d->shut_until_ms = until_ms;
    metric_add(METRIC_QUEUE_ROUTES_STOPPED, why - 1, 1);
    show_state(d);
    evacuate(s, d, true, 0);
    be_hungry(s, d);
    if (until_ms != SPOOL_FAR)
        schedule_look_in(s->q, until_ms - queue_now_ms(s->q));
}

/* ---- beginning ---- */

static void shut_for_quota(struct schedule *s, struct destination *d)
{
    struct relay_quota_state state;
    uint64_t wall = clock_unix_ms();
    relay_quota_state(s->q, d->route.relay, &state);
    uint64_t wait = state.ends_ms > wall ? state.ends_ms - wall : LOOK_IDLE_MS;
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

static struct flow *pick_flow(struct destination *d)
{
    bool letters = !list_empty(&d->flows[0]), mass = !list_empty(&d->flows[1]);
    unsigned rank = mass && (!letters || d->letters >= LETTERS_IN_A_ROW) ? 1 : 0;
    d->letters = rank ? 0 : d->letters + 1;
    return CONTAINER_OF(d->flows[rank].next, struct flow, node);
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
        free_group(group);
        d->waiting--;
        if (list_empty(&flow->groups))
            free_flow(s, flow);
        if (d->waiting <= FETCH_ROWS_MANY / 2)
            be_hungry(s, d);
    }
    list_push_back(&s->jobs, &job->all);
    return job;
}

static void begin_one(struct schedule *s, struct destination *d)
{
    struct flow *flow = pick_flow(d);
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
        make_ready(s, CONTAINER_OF(node, struct destination, paced));
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
        make_ready(s, d);
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

void schedule_ended(struct job *job, enum destination_end end, bool login)
{
    struct queue *q = job->q;
    struct schedule *s = q->schedule;
    struct destination *d = job->to;
    const struct destination_limits limits = limits_of(q);
    uint64_t wait =
        destination_ended(&d->pace, &limits, login ? DESTINATION_UNTRIED : end, loop_now_ms(q->loop));
    s->running--;
    d->used_ms = loop_now_ms(q->loop);
    if (login && d->shut != SHUT_LOGIN) {
        alarm_login(job);
        shut(s, d, SHUT_LOGIN, SPOOL_FAR);
    } else if (wait && d->shut == OPEN) {
        log_warn("queue.closed", LOG_STR("route", d->key), LOG_MS("wait", wait));
        shut(s, d, SHUT_FAILED, queue_now_ms(q) + wait);
    }
    list_remove(&job->all);
    free(job);
    make_ready(s, d);
    schedule_pump(q);
    feed(s);
}

/* ---- what waits in the database ---- */

static void be_hungry(struct schedule *s, struct destination *d)
{
    if (!d->backlog || d->fetching || !list_empty(&d->hungry))
        return;
    list_push_back(&s->hungry, &d->hungry);
    s->hungry_count++;
}

static void on_found(void *ctx, struct queued *message)
{
    struct destination *d = ctx;
    (void)d;
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
    be_hungry(s, d);
    if (err)
        schedule_look_in(s->q, LOOK_AGAIN_MS);
    else
        feed(s);
}

/* Whether rows of this route could go anywhere now, as far as that can be told without them. */
static bool may_leave(struct schedule *s, struct destination *d, uint64_t *until_ms)
{
    *until_ms = SPOOL_FAR;
    for (int i = 0; i < CHAIN_MAX && d; i++) {
        AUTO_BUF struct buf key = buf_new(ROUTES_KEY_MAX);
        struct route route;
        if (!is_shut(s, d))
            return true;
        if (d->shut_until_ms < *until_ms)
            *until_ms = d->shut_until_ms;
        if (!routes_read(s->q->routes, d->key, &route))
            return true;
        if (!routes_next(s->q->routes, &route, SLICE_EMPTY, SLICE_EMPTY, &key))
            return false;
        if (slice_eq(buf_slice(&key), SLICE("direct:")))
            return true; /* each to its own destination */
        d = destination_of(s, buf_slice(&key));
    }
    return false;
}

static uint32_t room_of(const struct schedule *s, const struct destination *d)
{
    uint32_t most = s->hungry_count > FETCHES_MAX ? FETCH_ROWS_MANY : FETCH_ROWS;
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

static void end_recalls(struct schedule *s);

static void feed(struct schedule *s)
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
        if (!may_leave(s, d, &until_ms)) {
            d->backlog = false;
            spool_route_due(q->spool, d->key, until_ms, true);
            if (until_ms != SPOOL_FAR) /* the look that led here may have taken the place of that one */
                schedule_look_in(q, until_ms > queue_now_ms(q) ? until_ms - queue_now_ms(q) : 0);
        } else if (!d->local && !queue_has(q, ROLE_RELAY)) {
            be_hungry(s, d);
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
    uint64_t now = queue_now_ms(q), wait = LOOK_IDLE_MS;
    s->looking = false;
    if (err) {
        schedule_look_in(q, LOOK_AGAIN_MS);
        return;
    }
    s->swept = true;
    while (wire_strings_take(&routes, &key)) {
        struct destination *d = destination_of(s, key);
        if (!d) {
            spool_route_due(q->spool, key, now + LOOK_IDLE_MS, true);
            continue;
        }
        d->backlog = true;
        be_hungry(s, d);
    }
    s->more = next_ms <= now;
    if (next_ms > now && next_ms - now < wait)
        wait = next_ms - now;
    if (s->look_again || (s->more && s->hungry_count < HUNGRY_MAX))
        wait = 0;
    s->look_again = false;
    schedule_look_in(q, wait);
    feed(s);
}

static void on_look(void *arg)
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
        feed(s);
        return;
    }
    s->looking = true;
    spool_routes(q->spool, queue_now_ms(q), !s->swept, on_routes, q);
}

void schedule_look_in(struct queue *q, uint64_t ms)
{
    struct schedule *s = q->schedule;
    if (ms > LOOK_IDLE_MS)
        ms = LOOK_IDLE_MS;
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

/* ---- for the commands ---- */

static void forget(struct queue *q, struct slice host)
{
    const struct wire_relay_forget message = {.host = slice_sub(host, 0, 256)};
    if (queue_has(q, ROLE_RELAY) && wire_send(role_link(q->run, ROLE_RELAY), WIRE_RELAY_FORGET, &message))
        log_warn("queue.retry", LOG_CSTR("why", "relay could not be told"));
}

static void unblock(struct schedule *s, struct destination *d)
{
    const struct destination_limits limits = limits_of(s->q);
    uint32_t running = d->pace.running;
    d->shut = OPEN;
    show_state(d);
    destination_pace_init(&d->pace, &limits);
    d->pace.running = running;
    spool_route_due(s->q->spool, d->key, queue_now_ms(s->q), false);
    make_ready(s, d);
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
            evacuate(s, d, false, now);
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
    schedule_look(q);
    return true;
}

void schedule_relay_up(struct queue *q)
{
    schedule_pump(q);
    feed(q->schedule);
}

/* The keys of routes mean something else now, and some may mean nothing. */
void schedule_reload(struct queue *q)
{
    struct schedule *s = q->schedule;
    struct vec all = VEC_NEW(struct destination *, 2 * DESTINATIONS_MAX);
    size_t at = 0;
    for (struct destination *d; (d = map_next(s->destinations, &at, NULL)) != NULL;) {
        struct destination **item = vec_push(&all);
        if (item)
            *item = d;
    }
    for (size_t i = 0; i < all.len; i++) {
        struct destination *d = *VEC_AT(&all, struct destination *, i);
        read_key(s, d);
        if (d->shut == SHUT_QUOTA)
            unblock(s, d); /* the limit may be another */
        if (d->waiting)
            evacuate(s, d, true, 0);
    }
    vec_free(&all);
    schedule_look(q);
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
    s->destinations = map_new(2 * DESTINATIONS_MAX);
    s->senders = map_new(SENDERS_MAX);
    s->flows = map_new((size_t)QUEUE_ACTIVE_MAX * QUEUE_TXN_TARGETS);
    list_init(&s->ready);
    list_init(&s->hungry);
    list_init(&s->paced);
    list_init(&s->recalls);
    list_init(&s->jobs);
    s->look_timer = loop_timer_new(q->loop, on_look, q);
    s->pace_timer = loop_timer_new(q->loop, on_ready, s);
    return s;
}

static void free_waiting(struct schedule *s, struct destination *d)
{
    for (unsigned rank = 0; rank < 2; rank++) {
        for (struct list *node; (node = d->flows[rank].next) != &d->flows[rank];) {
            struct flow *flow = CONTAINER_OF(node, struct flow, node);
            for (struct list *group; (group = flow->groups.next) != &flow->groups;)
                free_group(CONTAINER_OF(group, struct group, node));
            free_flow(s, flow);
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
