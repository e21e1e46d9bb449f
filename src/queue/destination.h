/* destination.h: how fast one destination takes mail: how many transactions at once, how soon one after the
 * other, and when not at all. Pure: time goes in as a number. Called by schedule.c.
 *
 * The window begins small, doubles while all goes well and halves when the other side asks for less (421,
 * 450, 451) or something fails; from one transaction at a time on, a pause between them grows. A failure that
 * concerns the whole destination closes it for a while unless others have got through lately.
 */
#ifndef QUEUE_DESTINATION_H
#define QUEUE_DESTINATION_H

#include <stdbool.h>
#include <stdint.h>

#define DESTINATION_WINDOW_FIRST 5
#define DESTINATION_PAUSE_FIRST  250   /* ms */
#define DESTINATION_PAUSE_MAX    60000 /* ms */

struct destination_limits {
    uint32_t window;               /* at most */
    uint64_t first_ms, longest_ms; /* how long it stays closed: doubled each time */
};

struct destination_pace {
    uint32_t window, running;
    uint32_t credit;   /* successes since the window last grew */
    uint32_t failures; /* in a row, of the whole destination */
    uint32_t closings; /* in a row */
    bool strained;     /* it has asked for less: from now on the window grows slowly */
    bool proven;       /* something got through since it was last closed */
    uint64_t pause_ms, next_ms;
    uint64_t closed_until_ms;
};

enum destination_end {
    DESTINATION_WELL,   /* the other side took or refused the message as such */
    DESTINATION_SLOW,   /* it asks for less */
    DESTINATION_FAILED, /* nothing could be sent there */
    DESTINATION_UNTRIED /* the other side was not asked */
};

void destination_pace_init(struct destination_pace *pace, const struct destination_limits *limits);
/* How long until a transaction may begin: 0: now; UINT64_MAX: when one of those under way has ended. */
uint64_t destination_wait(const struct destination_pace *pace, uint64_t now_ms);
void destination_begun(struct destination_pace *pace, uint64_t now_ms);
/* A transaction has ended so. The answer: how long the destination is to be left alone; 0: not at all. */
uint64_t destination_ended(struct destination_pace *pace, const struct destination_limits *limits,
                           enum destination_end end, uint64_t now_ms);
/* The wait of attempt number `attempts` (0: after the first): doubled from first to longest, ±10 % by
 * `chance` (any number). */
uint64_t destination_backoff(uint64_t first_ms, uint64_t longest_ms, uint32_t attempts, uint64_t chance);

#endif
