/* date.c: calendar arithmetic, the formats we write, and the strict ones we read (IMAP, ISO 8601). */
#include "grammar/date.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "grammar/date_scan.h"

#define DAY_SECONDS    86400
#define DAYS_TO_1970   719528 /* from 1 January of the year 0 */
#define DAYS_400_YEARS 146097

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char weekdays[] = "SunMonTueWedThuFriSat";
static const uint16_t month_start[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};

static bool is_leap(int32_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days from year 0 to the start of `year` (0 to 9999). */
static int64_t year_start(int64_t year)
{
    return year * 365 + (year + 3) / 4 - (year + 99) / 100 + (year + 399) / 400;
}

static int64_t start_of_month(int32_t year, unsigned month)
{
    return year_start(year) + month_start[month - 1] + (month > 2 && is_leap(year));
}

int64_t date_days(int32_t year, unsigned month, unsigned day)
{
    return start_of_month(year, month) + (int64_t)day - 1 - DAYS_TO_1970;
}

unsigned date_month_days(int32_t year, unsigned month)
{
    return (unsigned)(month_start[month] - month_start[month - 1]) + (month == 2 && is_leap(year));
}

static int64_t clamp_seconds(int64_t seconds)
{
    if (seconds < DATE_SECONDS_MIN)
        return DATE_SECONDS_MIN;
    return seconds > DATE_SECONDS_MAX ? DATE_SECONDS_MAX : seconds;
}

struct date_civil date_civil(int64_t seconds, int zone)
{
    int64_t local = clamp_seconds(clamp_seconds(seconds) + (int64_t)zone * 60) - DATE_SECONDS_MIN;
    int64_t day = local / DAY_SECONDS; /* from year 0 */
    unsigned rest = (unsigned)(local % DAY_SECONDS), month = 1;
    int32_t year = (int32_t)(day * 400 / DAYS_400_YEARS);
    while (year_start(year + 1) <= day)
        year++;
    while (year_start(year) > day)
        year--;
    while (month < 12 && start_of_month(year, month + 1) <= day)
        month++;
    return (struct date_civil){
        .year = year,
        .month = (uint8_t)month,
        .day = (uint8_t)(day - start_of_month(year, month) + 1),
        .hour = (uint8_t)(rest / 3600),
        .minute = (uint8_t)(rest / 60 % 60),
        .second = (uint8_t)(rest % 60),
        .weekday = (uint8_t)((day + 6) % 7), /* 1 January of the year 0 was a Saturday */
    };
}

int64_t date_local_day(const struct date_time *date)
{
    int64_t local = date->seconds + (int64_t)date->zone * 60;
    return local / DAY_SECONDS - (local % DAY_SECONDS < 0);
}

struct date_text date_format_rfc5322(int64_t seconds, int zone)
{
    struct date_text out;
    struct date_civil c = date_civil(seconds, zone);
    unsigned offset = (unsigned)(zone < 0 ? -zone : zone) % 1440;
    (void)snprintf(out.text, sizeof out.text, "%.3s, %02u %.3s %04u %02u:%02u:%02u %c%02u%02u",
                   weekdays + 3 * c.weekday, c.day, months + 3 * (c.month - 1), (unsigned)c.year, c.hour,
                   c.minute, c.second, zone < 0 ? '-' : '+', offset / 60, offset % 60);
    return out;
}

static void put_two(char *at, unsigned number)
{
    at[0] = (char)('0' + number / 10 % 10);
    at[1] = (char)('0' + number % 10);
}

/* Digit by digit: a FETCH of a mailbox writes one for each message. Years have four digits (RFC 9051,
 * date-year), whatever a clock says. */
struct date_text date_format_imap(int64_t seconds, int zone)
{
    struct date_text out = {"00-Jan-0000 00:00:00 +0000"};
    struct date_civil c = date_civil(seconds, zone);
    unsigned offset = (unsigned)(zone < 0 ? -zone : zone) % 1440, year = (unsigned)c.year % 10000;
    put_two(out.text, c.day);
    if (c.day < 10)
        out.text[0] = ' ';
    memcpy(out.text + 3, months + (ptrdiff_t)3 * (c.month - 1), 3);
    put_two(out.text + 7, year / 100);
    put_two(out.text + 9, year % 100);
    put_two(out.text + 12, c.hour);
    put_two(out.text + 15, c.minute);
    put_two(out.text + 18, c.second);
    out.text[21] = zone < 0 ? '-' : '+';
    put_two(out.text + 22, offset / 60);
    put_two(out.text + 24, offset % 60);
    return out;
}

struct date_text date_format_iso(int64_t seconds)
{
    struct date_text out;
    struct date_civil c = date_civil(seconds, 0);
    (void)snprintf(out.text, sizeof out.text, "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)c.year, c.month,
                   c.day, c.hour, c.minute, c.second);
    return out;
}

struct date_text date_format_iso_ms(int64_t milliseconds)
{
    struct date_text out;
    int64_t seconds = milliseconds / 1000, rest = milliseconds % 1000;
    if (rest < 0)
        seconds--, rest += 1000;
    struct date_civil c = date_civil(seconds, 0);
    (void)snprintf(out.text, sizeof out.text, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)c.year,
                   c.month, c.day, c.hour, c.minute, c.second, (unsigned)rest);
    return out;
}

struct date_text date_format_syslog(int64_t seconds)
{
    struct date_text out;
    struct date_civil c = date_civil(seconds, 0);
    (void)snprintf(out.text, sizeof out.text, "%.3s %2u %02u:%02u:%02u", months + 3 * (c.month - 1), c.day,
                   c.hour, c.minute, c.second);
    return out;
}

bool date_take_digits(struct slice *s, size_t least, size_t most, unsigned *number)
{
    size_t len = 0;
    unsigned value = 0;
    while (len < most && len < s->len && ascii_is_digit(s->ptr[len]))
        value = value * 10 + (unsigned)(s->ptr[len++] - '0');
    if (len < least)
        return false;
    *number = value;
    *s = slice_from(*s, len);
    return true;
}

bool date_take_byte(struct slice *s, uint8_t byte)
{
    if (s->len == 0 || ascii_lower(s->ptr[0]) != ascii_lower(byte))
        return false;
    *s = slice_from(*s, 1);
    return true;
}

unsigned date_name_index(struct slice name, const char *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (name.len >= 3 && slice_ieq(slice_sub(name, 0, 3), slice_make(names + (size_t)3 * i, 3)))
            return i + 1;
    return 0;
}

unsigned date_month_index(struct slice name)
{
    return date_name_index(name, months, 12);
}

bool date_is_weekday(struct slice name)
{
    return date_name_index(name, weekdays, 7) != 0;
}

bool date_fields_seconds(const struct date_fields *f, int64_t *seconds)
{
    if (f->year > 9999 || f->month < 1 || f->month > 12 || f->day < 1 ||
        f->day > date_month_days((int32_t)f->year, f->month) || f->hour > 23 || f->minute > 59 ||
        f->second > 60)
        return false;
    *seconds = date_days((int32_t)f->year, f->month, f->day) * DAY_SECONDS + (int64_t)f->hour * 3600 +
               (int64_t)f->minute * 60 + f->second;
    return true;
}

/* date = date-day "-" date-month "-" date-year;  date-day = 1*2DIGIT  (RFC 3501 section 9) */
static bool take_imap_day(struct slice *s, struct date_fields *f)
{
    if (!date_take_digits(s, 1, 2, &f->day) || !date_take_byte(s, '-'))
        return false;
    f->month = date_month_index(slice_sub(*s, 0, 3));
    *s = slice_from(*s, 3);
    return f->month && date_take_byte(s, '-') && date_take_digits(s, 4, 4, &f->year);
}

/* time = 2DIGIT ":" 2DIGIT ":" 2DIGIT */
static bool take_clock(struct slice *s, struct date_fields *f)
{
    return date_take_digits(s, 2, 2, &f->hour) && date_take_byte(s, ':') &&
           date_take_digits(s, 2, 2, &f->minute) && date_take_byte(s, ':') &&
           date_take_digits(s, 2, 2, &f->second);
}

bool date_parse_imap_day(struct slice text, int64_t *day)
{
    struct date_fields f = {0};
    int64_t seconds;
    if (!take_imap_day(&text, &f) || text.len || !date_fields_seconds(&f, &seconds))
        return false;
    *day = date_days((int32_t)f.year, f.month, f.day);
    return true;
}

/* ("+" / "-") 2DIGIT [":"] 2DIGIT */
bool date_take_offset(struct slice *s, struct date_time *date)
{
    unsigned hours, minutes;
    bool west = s->len && s->ptr[0] == '-';
    if (!date_take_byte(s, west ? '-' : '+') || !date_take_digits(s, 2, 2, &hours))
        return false;
    (void)date_take_byte(s, ':');
    if (!date_take_digits(s, 2, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    int zone = (int)(hours * 60 + minutes);
    date->zone = (int16_t)(west ? -zone : zone);
    date->zone_known = !(west && zone == 0);
    return true;
}

/* date-time without quotes = date-day-fixed "-" date-month "-" date-year SP time SP zone */
bool date_parse_imap(struct slice text, struct date_time *date)
{
    struct date_fields f = {0};
    struct date_time parsed = {0};
    (void)date_take_byte(&text, ' ');
    if (!take_imap_day(&text, &f) || !date_take_byte(&text, ' ') || !take_clock(&text, &f) ||
        !date_take_byte(&text, ' ') || !date_take_offset(&text, &parsed) || text.len ||
        !date_fields_seconds(&f, &parsed.seconds))
        return false;
    parsed.seconds -= parsed.zone * 60;
    *date = parsed;
    return true;
}

/* full-date = 4DIGIT "-" 2DIGIT "-" 2DIGIT  (RFC 3339 section 5.6) */
static bool take_iso_day(struct slice *s, struct date_fields *f)
{
    return date_take_digits(s, 4, 4, &f->year) && date_take_byte(s, '-') &&
           date_take_digits(s, 2, 2, &f->month) && date_take_byte(s, '-') &&
           date_take_digits(s, 2, 2, &f->day);
}

/* date-time = full-date ("T" / " ") partial-time ("Z" / offset) */
bool date_parse_iso(struct slice text, struct date_time *date)
{
    struct date_fields f = {0};
    struct date_time parsed = {0};
    unsigned fraction;
    if (!take_iso_day(&text, &f) || (!date_take_byte(&text, 'T') && !date_take_byte(&text, ' ')) ||
        !take_clock(&text, &f))
        return false;
    if (date_take_byte(&text, '.') && !date_take_digits(&text, 1, 9, &fraction))
        return false;
    if (date_take_byte(&text, 'Z'))
        parsed.zone_known = true;
    else if (!date_take_offset(&text, &parsed))
        return false;
    if (text.len || !date_fields_seconds(&f, &parsed.seconds))
        return false;
    parsed.seconds -= parsed.zone * 60;
    *date = parsed;
    return true;
}
