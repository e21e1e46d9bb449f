/* upkeep.c: what happens by the clock. Reads our own rows only. Started by role.c. */
#include "queue/upkeep.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "queue/queue_clock.h"
#include "queue/relay_quota.h"
#include "queue/schedule.h"
#include "queue/settle.h"
#include "queue/spool.h"
#include "settings/metrics.h"

#define NOTIFY_NEVER        1
#define TELLINGS_MAX        500 /* messages being told of; with more, none are returned for their age */
#define ATTEMPTS_KEPT_HOURS (30u * 24u)
#define USAGE_KEPT_MS       (8 * RELAY_QUOTA_DAY_MS)

struct upkeep {
    struct queue *q;
    struct loop_timer *timer;
    uint64_t kept_at_ms; /* of the loop's clock */
    bool expiring, warning, counting;
};

/* ---- too old ---- */

static void explain(struct queued *message, struct queued_row *row, enum dsn_reason *reason)
{
    uint64_t until_ms;
    struct slice state = slice_of(schedule_route_state(message->q, row->route, &until_ms));
    *reason = DSN_REASON_NONE;
    if (slice_eq(state, SLICE("waiting for quota")))
        *reason = DSN_REASON_QUOTA;
    else if (slice_eq(state, SLICE("login refused")))
        *reason = DSN_REASON_RELAY;
    if (!row->text.len)
        settle_answer(message, row, 0, SLICE("4.4.7"),
                      state.len ? state : SLICE("it could not be delivered in time"), SLICE_EMPTY);
    row->attempt_ms = 0; /* this is none */
}

static void on_expired(void *ctx, struct queued *message)
{
    struct queue *q = ctx;
    struct settling s;
    deliver_enter(q, message);
    settle_begin(&s, message);
    for (uint32_t i = 0; i < message->count; i++) {
        struct queued_row *row = &message->rows[i];
        enum dsn_reason reason;
        if (settle_is_told(row)) {
            settle_told(&s, row);
            continue;
        }
        explain(message, row, &reason);
        log_info("queue.expired", LOG_STR("id", message->id), LOG_STR("session", message->session),
                 LOG_STR("to", row->target), LOG_STR("route", row->route), LOG_STR("reply", row->text));
        metric_add(METRIC_QUEUE_EXPIRED, 0, 1);
        settle_failed(&s, row, reason);
    }
    settle_finish(&s);
}

static void on_late(void *ctx, struct queued *message)
{
    struct queue *q = ctx;
    bool none = !message->count;
    deliver_enter(q, message);
    if (none)
        return;
    for (uint32_t i = 0; i < message->count; i++) {
        enum dsn_reason reason;
        explain(message, &message->rows[i], &reason);
        if (settle_is_told(&message->rows[i]))
            message->rows[i].notify = NOTIFY_NEVER; /* it is not late */
    }
    settle_warn(message);
}

static void on_expired_all(void *ctx, enum err err, size_t rows, uint64_t next_ms)
{
    struct queue *q = ctx;
    (void)err;
    (void)rows;
    (void)next_ms;
    q->upkeep->expiring = false;
}

static void on_late_all(void *ctx, enum err err, size_t rows, uint64_t next_ms)
{
    struct queue *q = ctx;
    (void)err;
    (void)rows;
    (void)next_ms;
    q->upkeep->warning = false;
}

/* Notifications that cannot be written now hold up no others, but fill no memory either. */
static size_t count_tellings(const struct queue *q)
{
    size_t count = 0;
    LIST_EACH(&q->tellings, node)
    count++;
    return count;
}

static void look_for_old(struct upkeep *u, uint64_t now)
{
    struct queue *q = u->q;
    uint64_t expire = q->settings->queue.expire, warn = q->settings->queue.warn;
    size_t tellings = count_tellings(q);
    if (!schedule_has_swept(q) || tellings > TELLINGS_MAX)
        return;
    if (!u->expiring && now > expire) {
        u->expiring = true;
        spool_overdue(q->spool, q, now - expire, false, on_expired, on_expired_all, q);
    }
    if (tellings)
        return; /* what is being warned of now would be found again */
    if (!u->warning && warn && warn < expire && now > warn) {
        u->warning = true;
        spool_overdue(q->spool, q, now - warn, true, on_late, on_late_all, q);
    }
}

/* ---- how much there is ---- */

static void on_depth(void *ctx, enum err err, const struct spool_depth *depth)
{
    struct queue *q = ctx;
    uint64_t now = queue_now_ms(q);
    q->upkeep->counting = false;
    if (err)
        return;
    uint64_t active = 0;
    LIST_EACH(&q->active, node)
    active += CONTAINER_OF(node, struct queued, node)->pending;
    metric_set(METRIC_QUEUE_MESSAGES, 0, depth->messages);
    metric_set(METRIC_QUEUE_ROWS, METRIC_ROWS_ACTIVE, active);
    metric_set(METRIC_QUEUE_ROWS, METRIC_ROWS_WAITING, depth->waiting);
    metric_set(METRIC_QUEUE_ROWS, METRIC_ROWS_HELD, depth->held);
    metric_set(METRIC_QUEUE_OLDEST_SECONDS, 0,
               depth->oldest_ms && now > depth->oldest_ms ? (now - depth->oldest_ms) / 1000 : 0);
    metric_set(METRIC_QUEUE_SENDING, 0, schedule_running(q));
}

/* ---- all of it ---- */

static void keep(struct upkeep *u, uint64_t now)
{
    struct queue *q = u->q;
    u->kept_at_ms = loop_now_ms(q->loop);
    q->clock->changed = false;
    spool_keep_clock(q->spool, &q->clock->kept);
    spool_forget_old(q->spool, now / 3600000 > ATTEMPTS_KEPT_HOURS ? now / 3600000 - ATTEMPTS_KEPT_HOURS : 0,
                     now > USAGE_KEPT_MS ? now - USAGE_KEPT_MS : 0);
    schedule_forget_idle(q, false);
    relay_quotas_reload(q);
}

static uint64_t interval(const struct queue *q)
{
    uint64_t ms = q->settings->queue.expire, warn = q->settings->queue.warn;
    if (warn && warn < ms)
        ms = warn;
    ms /= 4;
    return ms < UPKEEP_TICK_MS ? UPKEEP_TICK_MS : ms < UPKEEP_EVERY_MS ? ms : UPKEEP_EVERY_MS;
}

static void on_timer(void *arg)
{
    struct upkeep *u = arg;
    struct queue *q = u->q;
    uint64_t now = queue_now_ms(q), loop_now = loop_now_ms(q->loop);
    if (q->draining)
        return;
    if (q->clock->changed || loop_now - u->kept_at_ms >= UPKEEP_KEEP_MS)
        keep(u, now);
    look_for_old(u, now);
    deliver_retry_drops(q);
    if (!u->counting) {
        u->counting = true;
        spool_depth(q->spool, on_depth, q);
    }
    loop_timer_set(u->timer, interval(q));
}

struct upkeep *upkeep_new(struct queue *q)
{
    struct upkeep *u = mem_zero(1, sizeof *u);
    u->q = q;
    u->timer = loop_timer_new(q->loop, on_timer, u);
    loop_timer_set(u->timer, UPKEEP_TICK_MS);
    return u;
}

void upkeep_free(struct upkeep **upkeep)
{
    if (!*upkeep)
        return;
    loop_timer_free(&(*upkeep)->timer);
    free(*upkeep);
    *upkeep = NULL;
}
