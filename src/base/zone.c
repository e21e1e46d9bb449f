/* zone.c: when the local clock was, or will be, set forwards and backwards. Input: the system's zone files,
 * read by libc. Called by the roles at their start, and wherever days are compared. */
#include "base/zone.h"

#include <stddef.h>
#include <time.h>

#define CHANGES_MAX 1024 /* twice a year, and more often in some years of some zones */
#define DAY         86400
#define STEP        (7 * DAY)  /* no zone changes twice within a week */
#define LAST        UINT32_MAX /* INTERNALDATE ends there */

static struct {
    size_t count;
    struct change {
        int64_t from; /* valid from this moment on */
        int minutes;
    } changes[CHANGES_MAX];
} zone;

static int ask_system(int64_t seconds)
{
    time_t at = (time_t)seconds;
    struct tm local;
    return localtime_r(&at, &local) ? (int)(local.tm_gmtoff / 60) : 0;
}

/* The first moment behind `before` at which the offset is no longer that of `before`. */
static int64_t find_change(int64_t before, int64_t after)
{
    int minutes = ask_system(before);
    while (after - before > 1) {
        int64_t middle = before + (after - before) / 2;
        if (ask_system(middle) == minutes)
            before = middle;
        else
            after = middle;
    }
    return after;
}

static void add_change(int64_t from)
{
    if (zone.count < CHANGES_MAX)
        zone.changes[zone.count++] = (struct change){from, ask_system(from)};
}

void zone_load(void)
{
    tzset();
    zone.count = 0;
    add_change(0);
    for (int64_t at = 0; at < LAST; at += STEP)
        if (ask_system(at) != ask_system(at + STEP))
            add_change(find_change(at, at + STEP));
}

int zone_minutes(int64_t seconds)
{
    size_t low = 0, high = zone.count; /* changes[low - 1] is the last that is not later */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zone.changes[middle].from <= seconds)
            low = middle + 1;
        else
            high = middle;
    }
    return zone.count ? zone.changes[low ? low - 1 : 0].minutes : 0;
}

int64_t zone_day(int64_t seconds)
{
    int64_t local = seconds + (int64_t)zone_minutes(seconds) * 60;
    return local >= 0 ? local / DAY : -((DAY - 1 - local) / DAY);
}
