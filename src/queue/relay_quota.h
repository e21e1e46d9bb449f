/* relay_quota.h: how much each relay has taken in its window of a day, and how much it may. What is sent is
 * counted on disk together with the rows it settles. Called by schedule.c, send.c, the commands. */
#ifndef QUEUE_RELAY_QUOTA_H
#define QUEUE_RELAY_QUOTA_H

#include "queue/context.h"

#define RELAY_QUOTA_DAY_MS  86400000ull
#define RELAY_QUOTA_WARN_AT 80 /* percent */

struct relay_quotas;

struct relay_quota_state {
    uint64_t limit;   /* 0: none; the rest is 0 then */
    uint64_t reserve; /* of it, for reserve_senders */
    uint64_t used;    /* in this window, what is under way included */
    uint64_t begins_ms, ends_ms;
};

struct relay_quotas *relay_quotas_new(struct queue *q);
void relay_quotas_free(struct relay_quotas **quotas);
/* The settings are others. */
void relay_quotas_reload(struct queue *q);
/* What was counted, as the database has it; called once at the start. */
void relay_quotas_load(struct queue *q, struct slice relay, uint64_t window_ms, uint64_t used);

/* Takes up to `wanted` from what is left for this kind of sender; returns how many. Without a limit: all. */
uint32_t relay_quota_take(struct queue *q, uint32_t relay, bool reserved, uint32_t wanted) MUST_CHECK;
/* What the database is to count; `used` may be 0. The name lives as long as the settings. */
struct relay_usage {
    struct slice relay;
    uint64_t window_ms, used;
};
/* Of `taken`, `used` were accepted by the relay; the others are given back. */
void relay_quota_settle(struct queue *q, uint32_t relay, uint32_t taken, uint32_t used,
                        struct relay_usage *usage);
/* `rockdove relay count`: `n` messages went past the queue. Counted in memory at once and on disk soon.
 * False: no such relay, or it has no limit. */
bool relay_quota_count(struct queue *q, uint32_t relay, uint64_t n) MUST_CHECK;
/* Times are the wall clock's. */
void relay_quota_state(struct queue *q, uint32_t relay, struct relay_quota_state *state);

/* When the window that holds `now_ms` began. `day_begins`: "HH:MM" in UTC. Pure. */
uint64_t relay_quota_window(uint64_t now_ms, struct slice day_begins);

#endif
