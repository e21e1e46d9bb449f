/* date.h: the dates of mail: RFC 5322, IMAP, ISO 8601. Own arithmetic (proleptic Gregorian); no time zones,
 * locale or clock. Pure. */
#ifndef GRAMMAR_DATE_H
#define GRAMMAR_DATE_H

#include "base/slice.h"

/* Years 0 to 9999: what the formats can write. Seconds outside are clamped when formatted. */
#define DATE_SECONDS_MIN (-62167219200)
#define DATE_SECONDS_MAX 253402300799

struct date_time {
    int64_t seconds; /* since 1970-01-01 00:00:00 UTC */
    int16_t zone;    /* minutes east of UTC, -1439 to 1439 */
    bool zone_known; /* false for "-0000", unknown or missing zones (zone is then 0) */
};

struct date_civil {
    int32_t year;
    uint8_t month, day, hour, minute, second; /* month and day from 1 */
    uint8_t weekday;                          /* 0 is Sunday */
};

/* NUL-terminated, for printf("%s"). */
struct date_text {
    char text[40];
};

/* Days since 1970-01-01; month 1 to 12, day as given. */
int64_t date_days(int32_t year, unsigned month, unsigned day);
/* The parts of a moment as a clock `zone` minutes east of UTC shows them. */
struct date_civil date_civil(int64_t seconds, int zone);
/* The day a clock in the date's own zone shows, since 1970-01-01: what SENTON and the like compare (RFC 3501
 * section 6.4.4). */
int64_t date_local_day(const struct date_time *date);

/* The value of a Date field, obsolete and broken forms included (RFC 5322 sections 3.3 and 4.3, ISO 8601 and
 * ctime() as some programs write). False when no day can be made out; `*date` is then untouched. */
bool date_parse_rfc5322(struct slice value, struct date_time *date) MUST_CHECK;
/* IMAP date-time without its quotes: "21-Nov-2026 03:42:49 +0000", " 1-Feb-2026 …" (RFC 3501 section 9).
 * Strict. */
bool date_parse_imap(struct slice text, struct date_time *date) MUST_CHECK;
/* IMAP date, "1-Feb-2026", as days since 1970-01-01. Strict. */
bool date_parse_imap_day(struct slice text, int64_t *day) MUST_CHECK;
/* "2026-11-21T03:42:49Z", fractions dropped, zone "+01:00" allowed (RFC 3339). */
bool date_parse_iso(struct slice text, struct date_time *date) MUST_CHECK;

/* "Sat, 21 Nov 2026 03:42:49 +0000" */
struct date_text date_format_rfc5322(int64_t seconds, int zone);
/* "21-Nov-2026 03:42:49 +0000", day padded with a blank */
struct date_text date_format_imap(int64_t seconds, int zone);
/* "2026-11-21T03:42:49Z" */
struct date_text date_format_iso(int64_t seconds);
/* The same from milliseconds: "2026-11-21T03:42:49.123Z" */
struct date_text date_format_iso_ms(int64_t milliseconds);
/* "Nov 21 03:42:49", day padded with a blank, UTC: the head of a syslog line (RFC 3164) */
struct date_text date_format_syslog(int64_t seconds);

#endif
