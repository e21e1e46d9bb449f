/* destination.c: the pace of one destination. Pure; called by schedule.c. */
#include "queue/destination.h"

#include <string.h>

void destination_pace_init(struct destination_pace *pace, const struct destination_limits *limits)
{
    memset(pace, 0, sizeof *pace);
    pace->window = DESTINATION_WINDOW_FIRST < limits->window ? DESTINATION_WINDOW_FIRST : limits->window;
}

uint64_t destination_wait(const struct destination_pace *pace, uint64_t now_ms)
{
    if (pace->running >= pace->window)
        return UINT64_MAX;
    if (pace->closed_until_ms > now_ms)
        return pace->closed_until_ms - now_ms;
    return pace->next_ms > now_ms ? pace->next_ms - now_ms : 0;
}

void destination_begun(struct destination_pace *pace, uint64_t now_ms)
{
    pace->running++;
    if (pace->pause_ms)
        pace->next_ms = now_ms + pace->pause_ms;
}

static void shrink(struct destination_pace *pace)
{
    pace->strained = true;
    pace->credit = 0;
    if (pace->window > 1)
        pace->window /= 2;
    else if (!pace->pause_ms)
        pace->pause_ms = DESTINATION_PAUSE_FIRST;
    else
        pace->pause_ms =
            pace->pause_ms * 2 < DESTINATION_PAUSE_MAX ? pace->pause_ms * 2 : DESTINATION_PAUSE_MAX;
}

/* One more for each success until the other side has once asked for less; then one more for each window. */
static void grow(struct destination_pace *pace, const struct destination_limits *limits)
{
    pace->failures = pace->closings = 0;
    pace->proven = true;
    if (pace->pause_ms) {
        pace->pause_ms = pace->pause_ms > DESTINATION_PAUSE_FIRST ? pace->pause_ms / 2 : 0;
        pace->next_ms = 0;
        return;
    }
    if (++pace->credit < (pace->strained ? pace->window : 1))
        return;
    pace->credit = 0;
    if (pace->window < limits->window)
        pace->window++;
}

uint64_t destination_backoff(uint64_t first_ms, uint64_t longest_ms, uint32_t attempts, uint64_t chance)
{
    uint64_t ms = first_ms < longest_ms ? first_ms : longest_ms;
    for (uint32_t i = 0; i < attempts && ms < longest_ms; i++)
        ms *= 2;
    if (ms > longest_ms)
        ms = longest_ms;
    return ms - ms / 10 + chance % (ms / 5 + 1);
}

uint64_t destination_ended(struct destination_pace *pace, const struct destination_limits *limits,
                           enum destination_end end, uint64_t now_ms)
{
    if (pace->running)
        pace->running--;
    if (pace->window > limits->window)
        pace->window = limits->window; /* the settings are others */
    if (end == DESTINATION_UNTRIED)
        return 0;
    if (end == DESTINATION_WELL) {
        grow(pace, limits);
        return 0;
    }
    if (now_ms < pace->closed_until_ms)
        return 0; /* one more of those that were under way */
    shrink(pace);
    if (end == DESTINATION_SLOW)
        return 0;
    if (++pace->failures < pace->window && pace->proven)
        return 0;
    uint64_t wait =
        destination_backoff(limits->first_ms, limits->longest_ms, pace->closings, now_ms * 2654435761u);
    pace->closings++;
    pace->window = 1;
    pace->pause_ms = pace->next_ms = 0;
    pace->failures = 0;
    pace->proven = false;
    pace->closed_until_ms = now_ms + wait;
    return wait;
}
