/* relay_quota.c: counts what each relay takes in its day. Trusts the settings and what the database has kept.
 * Called by schedule.c, send.c and the commands. */
#include "queue/relay_quota.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "queue/spool.h"
#include "settings/metrics.h"

#define QUOTA_RELAYS_MAX 1000
#define QUOTA_NAME_MAX   256

struct quota {
    char name[QUOTA_NAME_MAX + 1]; /* of the relay */
    uint64_t window_ms;            /* wall clock; begin of the window `used` belongs to */
    uint64_t used, taken;          /* taken: under way */
    bool warned;
};

struct relay_quotas {
    struct vec list; /* struct quota *: whatever was ever asked for */
};

static uint64_t wall_now(const struct queue *q)
{
    (void)q;
    return clock_unix_ms();
}

uint64_t relay_quota_window(uint64_t now_ms, struct slice day_begins)
{
    struct slice rest = day_begins, hour_text;
    uint64_t hour = 0, minute = 0;
    if (!slice_token(&rest, ':', &hour_text) || !slice_u64(hour_text, 23, &hour) ||
        !slice_u64(rest, 59, &minute))
        hour = minute = 0;
    uint64_t shift = (hour * 60 + minute) * 60000;
    if (now_ms < shift)
        return 0;
    return (now_ms - shift) / RELAY_QUOTA_DAY_MS * RELAY_QUOTA_DAY_MS + shift;
}

struct relay_quotas *relay_quotas_new(struct queue *q)
{
    (void)q;
    struct relay_quotas *quotas = mem_zero(1, sizeof *quotas);
    quotas->list = VEC_NEW(struct quota *, QUOTA_RELAYS_MAX);
    return quotas;
}

void relay_quotas_free(struct relay_quotas **quotas)
{
    if (!*quotas)
        return;
    for (size_t i = 0; i < (*quotas)->list.len; i++)
        free(*VEC_AT(&(*quotas)->list, struct quota *, i));
    vec_free(&(*quotas)->list);
    free(*quotas);
    *quotas = NULL;
}

static struct quota *quota_of(struct relay_quotas *quotas, struct slice name)
{
    for (size_t i = 0; i < quotas->list.len; i++) {
        struct quota *quota = *VEC_AT(&quotas->list, struct quota *, i);
        if (slice_eq(slice_of(quota->name), name))
            return quota;
    }
    struct quota **made = name.len && name.len <= QUOTA_NAME_MAX ? vec_push(&quotas->list) : NULL;
    if (!made)
        return NULL;
    *made = mem_zero(1, sizeof **made);
    memcpy((*made)->name, name.ptr, name.len);
    return *made;
}

static void show(const struct queue *q, uint32_t index, const struct settings_relay *relay,
                 const struct quota *quota)
{
    (void)q;
    metric_set(METRIC_RELAY_QUOTA_USED, index, quota->used);
    metric_set(METRIC_RELAY_QUOTA_LIMIT, index, relay->daily);
}

/* The relay's counter, in the window of this moment; NULL without a limit. */
static struct quota *current(struct queue *q, uint32_t index, const struct settings_relay **relay)
{
    *relay = settings_relay_at(q->settings, index);
    struct quota *quota = *relay && (*relay)->daily ? quota_of(q->quotas, (*relay)->name) : NULL;
    if (!quota)
        return NULL;
    uint64_t window = relay_quota_window(wall_now(q), (*relay)->day_begins);
    if (window != quota->window_ms) {
        quota->window_ms = window;
        quota->used = 0;
        quota->warned = false;
        show(q, index, *relay, quota);
    }
    return quota;
}

static void warn(struct quota *quota, const struct settings_relay *relay)
{
    if (quota->warned || quota->used * 100 < relay->daily * RELAY_QUOTA_WARN_AT)
        return;
    quota->warned = true;
    log_warn("relay.quota", LOG_STR("relay", relay->name), LOG_U64("used", quota->used),
             LOG_U64("limit", relay->daily));
}

void relay_quotas_load(struct queue *q, struct slice relay, uint64_t window_ms, uint64_t used)
{
    struct quota *quota = quota_of(q->quotas, relay);
    if (!quota || window_ms < quota->window_ms)
        return;
    /* what was counted before the answer came */
    uint64_t before = window_ms == quota->window_ms ? quota->used : 0;
    quota->window_ms = window_ms;
    quota->used = used + before;
}

void relay_quotas_reload(struct queue *q)
{
    const struct settings_relay *relay;
    for (uint32_t i = 0; i <= q->settings->relays.count; i++) {
        struct quota *quota = current(q, i, &relay);
        if (quota)
            show(q, i, relay, quota);
    }
}

uint32_t relay_quota_take(struct queue *q, uint32_t index, bool reserved, uint32_t wanted)
{
    const struct settings_relay *relay;
    struct quota *quota = current(q, index, &relay);
    if (!quota)
        return wanted;
    uint64_t limit = reserved ? relay->daily : relay->daily - relay->reserve;
    uint64_t gone = quota->used + quota->taken;
    uint64_t left = gone < limit ? limit - gone : 0;
    uint32_t got = left < wanted ? (uint32_t)left : wanted;
    quota->taken += got;
    return got;
}

void relay_quota_settle(struct queue *q, uint32_t index, uint32_t taken, uint32_t used,
                        struct relay_usage *usage)
{
    const struct settings_relay *relay;
    struct quota *quota = current(q, index, &relay);
    *usage = (struct relay_usage){0};
    if (!quota)
        return;
    quota->taken -= taken < quota->taken ? taken : quota->taken;
    quota->used += used;
    *usage = (struct relay_usage){.relay = relay->name, .window_ms = quota->window_ms, .used = used};
    warn(quota, relay);
    show(q, index, relay, quota);
}

bool relay_quota_count(struct queue *q, uint32_t index, uint64_t n)
{
    const struct settings_relay *relay;
    struct quota *quota = current(q, index, &relay);
    if (!quota)
        return false;
    quota->used += n;
    warn(quota, relay);
    show(q, index, relay, quota);
    const struct relay_usage usage = {.relay = relay->name, .window_ms = quota->window_ms, .used = n};
    spool_count(q->spool, &usage);
    return true;
}

void relay_quota_state(struct queue *q, uint32_t index, struct relay_quota_state *state)
{
    const struct settings_relay *relay;
    struct quota *quota = current(q, index, &relay);
    *state = (struct relay_quota_state){0};
    if (quota)
        *state = (struct relay_quota_state){.limit = relay->daily,
                                            .reserve = relay->reserve,
                                            .used = quota->used + quota->taken,
                                            .begins_ms = quota->window_ms,
                                            .ends_ms = quota->window_ms + RELAY_QUOTA_DAY_MS};
}
