/* clock.c: the two clocks, and their text forms. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static uint64_t read_ns(clockid_t id)
{
    struct timespec now;
    (void)clock_gettime(id, &now); /* cannot fail for these two clocks */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

uint64_t clock_mono_ms(void)
{
    return read_ns(CLOCK_MONOTONIC) / 1000000u;
}

uint64_t clock_unix_ms(void)
{
    return read_ns(CLOCK_REALTIME) / 1000000u;
}

int64_t clock_unix_s(void)
{
    return (int64_t)(read_ns(CLOCK_REALTIME) / 1000000000u);
}

size_t clock_rfc3339(uint64_t unix_ms, char text[CLOCK_TEXT_MAX])
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm tm = {0};
    (void)gmtime_r(&seconds, &tm);
    int len =
        snprintf(text, CLOCK_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(unix_ms % 1000));
    return len > 0 && len < CLOCK_TEXT_MAX ? (size_t)len : 0;
}

size_t clock_syslog(uint64_t unix_ms, char text[CLOCK_TEXT_MAX])
{
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm tm = {0};
    (void)localtime_r(&seconds, &tm);
    int len = snprintf(text, CLOCK_TEXT_MAX, "%s %2d %02d:%02d:%02d", months[tm.tm_mon], tm.tm_mday,
                       tm.tm_hour, tm.tm_min, tm.tm_sec);
    return len > 0 && len < CLOCK_TEXT_MAX ? (size_t)len : 0;
}
