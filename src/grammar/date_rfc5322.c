/* date_rfc5322.c: the Date field as people's programs really write it. Reads messages of strangers.
 *
 * date-time = [day-of-week ","] day month year hour ":" minute [":" second] zone  (RFC 5322 section 3.3)
 *
 * The words are not taken in that order but by what they look like, so that ctime(), ISO dates, glued zones
 * and missing parts are understood by one small table of tries.
 */
#include "grammar/date_scan.h"
#include "grammar/header.h"

/* A date is over long before this. */
#define DATE_VALUE_MAX 512
#define DATE_WORDS_MAX 24

struct reading {
    struct date_fields f;
    bool has_day, has_year, has_time;
    struct date_time zone; /* only its zone fields */
};

/* obs-zone (RFC 5322 section 4.3); military letters and other names mean an unknown zone there. */
static const struct {
    const char *name;
    int16_t minutes;
} zones[] = {
    {"UT", 0},     {"GMT", 0},    {"UTC", 0},    {"Z", 0},      {"EST", -300}, {"EDT", -240},
    {"CST", -360}, {"CDT", -300}, {"MST", -420}, {"MDT", -360}, {"PST", -480}, {"PDT", -420},
};

static void take_zone_name(struct slice name, struct reading *r)
{
    for (size_t i = 0; i < sizeof zones / sizeof *zones; i++)
        if (slice_ieq(name, slice_of(zones[i].name)))
            r->zone = (struct date_time){.zone = zones[i].minutes, .zone_known = true};
}

/* "+0100", "+01:00", "+01", "+100". */
static bool try_offset(struct slice word, struct reading *r)
{
    unsigned number;
    struct slice s = word;
    struct date_time zone;
    if (date_take_offset(&s, &zone) && s.len == 0) {
        r->zone = zone;
        return true;
    }
    bool west = word.len && word.ptr[0] == '-';
    s = word;
    if (!date_take_byte(&s, west ? '-' : '+') || !date_take_digits(&s, 1, 3, &number) || s.len)
        return false;
    int minutes = (int)(word.len == 4 ? number / 100 * 60 + number % 100 : number * 60);
    if (minutes > 1439)
        return false;
    r->zone =
        (struct date_time){.zone = (int16_t)(west ? -minutes : minutes), .zone_known = minutes || !west};
    return true;
}

/* obs-year: two digits are 1950 to 2049, three count from 1900 (RFC 5322 section 4.3). */
static void set_year(struct reading *r, unsigned number, size_t digits)
{
    if (digits <= 2)
        number += number < 50 ? 2000 : 1900;
    else if (digits == 3)
        number += 1900;
    r->f.year = number;
    r->has_year = true;
}

/* A lone number is the day first, then the year, then (with four digits) a zone whose sign was lost. */
static bool try_number(struct slice word, struct reading *r)
{
    unsigned number;
    struct slice s = word;
    if (!date_take_digits(&s, 1, 4, &number) || s.len)
        return false;
    if (!r->has_day && word.len <= 2) {
        r->f.day = number;
        r->has_day = true;
    } else if (!r->has_year) {
        set_year(r, number, word.len);
    } else if (r->has_time && word.len == 4 && number % 100 < 60 && number < 2400) {
        r->zone = (struct date_time){.zone = (int16_t)(number / 100 * 60 + number % 100), .zone_known = true};
    }
    return true;
}

static bool take_colon(struct slice *s)
{
    return date_take_byte(s, ':') || date_take_byte(s, '.');
}

/* hour ":" minute [":" second], a fraction or a zone may be glued to it. A time out of range is midnight. */
static bool try_time(struct slice word, struct reading *r)
{
    unsigned hour, minute, second = 0, fraction;
    struct slice s = word;
    if (!date_take_digits(&s, 1, 2, &hour) || !take_colon(&s) || !date_take_digits(&s, 1, 2, &minute))
        return false;
    if (take_colon(&s) && !date_take_digits(&s, 1, 2, &second))
        return false;
    if (take_colon(&s) && !date_take_digits(&s, 1, 9, &fraction))
        return false;
    r->has_time = true;
    if (hour < 24 && minute < 60 && second <= 60)
        r->f.hour = hour, r->f.minute = minute, r->f.second = second;
    if (s.len && !try_offset(s, r))
        take_zone_name(s, r);
    return true;
}

/* "GMT", "GMT+0100", "PM", month and weekday names. */
static bool try_name(struct slice word, struct reading *r)
{
    size_t len = 0;
    while (len < word.len && ascii_is_alpha(word.ptr[len]))
        len++;
    struct slice name = slice_sub(word, 0, len), rest = slice_from(word, len);
    unsigned month = date_month_index(name);
    if (len == 0)
        return false;
    if (month && !r->f.month)
        r->f.month = month;
    else if (slice_ieq(name, SLICE("PM")) && r->f.hour < 12)
        r->f.hour += 12;
    else if (slice_ieq(name, SLICE("AM")) && r->f.hour == 12)
        r->f.hour = 0;
    else if (!date_is_weekday(name) && !try_offset(rest, r))
        take_zone_name(name, r);
    return true;
}

/* "2026-11-21", also with "T03:42:49+01:00" behind it. */
static bool try_iso_day(struct slice word, struct reading *r)
{
    unsigned year, month, day;
    struct slice s = word;
    if (!date_take_digits(&s, 4, 4, &year) || !date_take_byte(&s, '-') ||
        !date_take_digits(&s, 1, 2, &month) || !date_take_byte(&s, '-') || !date_take_digits(&s, 1, 2, &day))
        return false;
    r->f.year = year, r->f.month = month, r->f.day = day;
    r->has_day = r->has_year = true;
    if (date_take_byte(&s, 'T'))
        (void)try_time(s, r);
    return true;
}

/* "21-Nov-2026", "21/Nov/26". */
static bool try_glued_day(struct slice word, struct reading *r)
{
    unsigned day, year;
    struct slice s = word;
    if (!date_take_digits(&s, 1, 2, &day) || (!date_take_byte(&s, '-') && !date_take_byte(&s, '/')))
        return false;
    unsigned month = date_month_index(s);
    s = slice_from(s, 3);
    if (!month || (!date_take_byte(&s, '-') && !date_take_byte(&s, '/')))
        return false;
    size_t digits = s.len;
    if (!date_take_digits(&s, 2, 4, &year) || s.len)
        return false;
    r->f.day = day, r->f.month = month;
    r->has_day = true;
    set_year(r, year, digits);
    return true;
}

static void take_word(struct slice word, struct reading *r)
{
    static bool (*const tries[])(struct slice, struct reading *) = {
        try_iso_day, try_glued_day, try_time, try_number, try_offset, try_name,
    };
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++)
        if (tries[i](word, r))
            return;
}

/* Comments and blanks become one blank, commas too; none are left around ":", where obs-hour and its like
 * allow them. */
static struct slice normalise(struct slice value, uint8_t out[DATE_VALUE_MAX])
{
    size_t len = 0;
    bool blank = false;
    for (struct slice s = slice_sub(value, 0, DATE_VALUE_MAX); s.len; s = slice_from(s, 1)) {
        struct slice rest = header_skip_cfws(s);
        blank = blank || rest.len < s.len || s.ptr[0] == ',';
        s = rest;
        if (s.len == 0 || s.ptr[0] == ',')
            continue;
        if (blank && len && s.ptr[0] != ':' && out[len - 1] != ':')
            out[len++] = ' ';
        blank = false;
        out[len++] = s.ptr[0];
    }
    return slice_make(out, len);
}

bool date_parse_rfc5322(struct slice value, struct date_time *date)
{
    struct reading r = {0};
    struct date_time parsed;
    uint8_t text[DATE_VALUE_MAX];
    struct slice rest = normalise(value, text), word;
    for (size_t i = 0; i < DATE_WORDS_MAX && slice_token(&rest, ' ', &word); i++)
        take_word(word, &r);
    parsed = r.zone;
    if (!r.has_day || !r.has_year || !r.f.month || !date_fields_seconds(&r.f, &parsed.seconds))
        return false;
    parsed.seconds -= parsed.zone * 60;
    *date = parsed;
    return true;
}
