/* queue_clock.h: the time rows are due, expired and warned by: the wall clock, minus its steps. A clock that
 * is set while the server runs (or restarts) thus neither brings all waiting mail at once nor lets it expire.
 *
 * Small differences to the steady clock (CLOCK_BOOTTIME) are the work of NTP and are followed; larger ones
 * are steps, and are summed up. The sum is kept in the database. Pure but for queue_clock_now(); role.c gives
 * the context.
 */
#ifndef QUEUE_QUEUE_CLOCK_H
#define QUEUE_QUEUE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define QUEUE_CLOCK_STEP_MS 2000 /* between two looks; more than NTP slews in a minute (30 ms) */
#define QUEUE_CLOCK_BOOT_ID 40   /* bytes of the kernel's name for this boot */

/* What is kept on disk. */
struct queue_clock_kept {
    int64_t correction_ms; /* wall clock minus queue's clock */
    int64_t offset_ms;     /* wall clock minus steady clock, when last seen */
    uint64_t seen_ms;      /* queue's clock then */
    char boot[QUEUE_CLOCK_BOOT_ID + 1];
};

struct queue_clock {
    struct queue_clock_kept kept;
    bool known;   /* begun */
    bool changed; /* a step was seen since queue_clock_kept() was last asked for */
};

/* `kept` as read from the database, NULL the first time. Within the same boot a step that happened while we
 * were not running is seen too; after another boot only one that went back behind what we had seen. */
void queue_clock_begin(struct queue_clock *clock, const struct queue_clock_kept *kept, const char *boot,
                       uint64_t wall_ms, uint64_t steady_ms);
/* The time, from what both clocks say. */
uint64_t queue_clock_look(struct queue_clock *clock, uint64_t wall_ms, uint64_t steady_ms);
/* The wall clock's time for people, of a time of the queue. */
uint64_t queue_clock_wall(const struct queue_clock *clock, uint64_t queue_ms);

#endif
