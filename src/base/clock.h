/* clock.h: time. Monotonic for waiting and measuring, wall clock for what people and protocols read. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/slice.h"

/* Since an arbitrary point; never goes back; the same for every process of the machine (CLOCK_MONOTONIC). */
uint64_t clock_mono_ns(void);
uint64_t clock_mono_ms(void);
/* Since 1970-01-01T00:00:00Z. */
uint64_t clock_unix_ms(void);
int64_t clock_unix_s(void);

/* Bytes needed for either text with its NUL. */
#define CLOCK_TEXT_MAX 32
/* "2026-11-21T03:30:01.123Z" (RFC 3339, always UTC). Returns its length. */
size_t clock_rfc3339(uint64_t unix_ms, char text[CLOCK_TEXT_MAX]);
/* "Nov 21 03:30:01" (RFC 3164 section 4.1.2), in local time as syslog has it. Returns its length. */
size_t clock_syslog(uint64_t unix_ms, char text[CLOCK_TEXT_MAX]);

#endif
