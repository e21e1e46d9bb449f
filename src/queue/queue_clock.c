/* queue_clock.c: the queue's clock: the wall clock without its steps. Pure; trusts both clocks' numbers as
 * the kernel gives them. Called by role.c. */
#include "queue/queue_clock.h"

#include <string.h>

static int64_t offset_of(uint64_t wall_ms, uint64_t steady_ms)
{
    return (int64_t)wall_ms - (int64_t)steady_ms;
}

static uint64_t time_of(const struct queue_clock *clock, uint64_t wall_ms)
{
    int64_t ms = (int64_t)wall_ms - clock->kept.correction_ms;
    return ms > 0 ? (uint64_t)ms : 0;
}

void queue_clock_begin(struct queue_clock *clock, const struct queue_clock_kept *kept, const char *boot,
                       uint64_t wall_ms, uint64_t steady_ms)
{
    memset(clock, 0, sizeof *clock);
    bool same_boot = kept && *boot && strncmp(kept->boot, boot, QUEUE_CLOCK_BOOT_ID) == 0;
    if (kept)
        clock->kept = *kept;
    if (!same_boot) {
        clock->kept.offset_ms = offset_of(wall_ms, steady_ms);
        clock->changed = true;
        strncpy(clock->kept.boot, boot, QUEUE_CLOCK_BOOT_ID);
        if (kept && time_of(clock, wall_ms) < kept->seen_ms)
            clock->kept.correction_ms = (int64_t)wall_ms - (int64_t)kept->seen_ms;
    }
    clock->known = true;
    (void)queue_clock_look(clock, wall_ms, steady_ms);
}

uint64_t queue_clock_look(struct queue_clock *clock, uint64_t wall_ms, uint64_t steady_ms)
{
    int64_t offset = offset_of(wall_ms, steady_ms);
    int64_t moved = offset - clock->kept.offset_ms;
    if (clock->known && (moved > QUEUE_CLOCK_STEP_MS || moved < -QUEUE_CLOCK_STEP_MS)) {
        clock->kept.correction_ms += moved;
        clock->changed = true;
    }
    clock->kept.offset_ms = offset;
    clock->kept.seen_ms = time_of(clock, wall_ms);
    return clock->kept.seen_ms;
}

uint64_t queue_clock_wall(const struct queue_clock *clock, uint64_t queue_ms)
{
    int64_t ms = (int64_t)queue_ms + clock->kept.correction_ms;
    return ms > 0 ? (uint64_t)ms : 0;
}
