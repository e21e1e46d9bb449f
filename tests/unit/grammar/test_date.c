/* Dates: what mail holds, what IMAP says, and the calendar beneath. */
#include "check.h"
#include "grammar/date.h"

static void test_calendar(void **state)
{
    (void)state;
    assert_int_equal(date_days(1970, 1, 1), 0);
    assert_int_equal(date_days(2000, 3, 1), 11017);
    int64_t day = date_days(0, 1, 1);
    unsigned weekday = 6; /* 1 January of the year 0 */
    for (int32_t year = 0; year <= 9999; year++) {
        for (unsigned month = 1; month <= 12; month++) {
            static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
            bool leap = month == 2 && year % 4 == 0 && (year % 100 || year % 400 == 0);
            assert_true(date_days(year, month, 1) == day);
            struct date_civil c = date_civil(day * 86400 + 86399, 0);
            assert_true(c.year == year && c.month == month && c.day == 1 && c.weekday == weekday % 7);
            assert_true(c.hour == 23 && c.minute == 59 && c.second == 59);
            day += days[month - 1] + leap;
            weekday += days[month - 1] + leap;
        }
    }
    assert_true(day * 86400 - 1 == DATE_SECONDS_MAX);
    assert_true(date_days(0, 1, 1) * 86400 == DATE_SECONDS_MIN);
}

static void test_format(void **state)
{
    (void)state;
    int64_t t = 1795232569; /* 2026-11-21 03:42:49 UTC */
    assert_string_equal(date_format_rfc5322(t, 0).text, "Sat, 21 Nov 2026 03:42:49 +0000");
    assert_string_equal(date_format_rfc5322(t, 60).text, "Sat, 21 Nov 2026 04:42:49 +0100");
    assert_string_equal(date_format_rfc5322(t, -330).text, "Fri, 20 Nov 2026 22:12:49 -0530");
    assert_string_equal(date_format_imap(t, 0).text, "21-Nov-2026 03:42:49 +0000");
    assert_string_equal(date_format_imap(t - 20 * 86400, 0).text, " 1-Nov-2026 03:42:49 +0000");
    assert_string_equal(date_format_iso(t).text, "2026-11-21T03:42:49Z");
    assert_string_equal(date_format_iso_ms(t * 1000 + 7).text, "2026-11-21T03:42:49.007Z");
    assert_string_equal(date_format_iso_ms(-1).text, "1969-12-31T23:59:59.999Z");
    assert_string_equal(date_format_syslog(t - 20 * 86400).text, "Nov  1 03:42:49");
    assert_string_equal(date_format_rfc5322(0, 0).text, "Thu, 01 Jan 1970 00:00:00 +0000");
    assert_string_equal(date_format_iso(INT64_MAX).text, "9999-12-31T23:59:59Z");
    assert_string_equal(date_format_iso(INT64_MIN).text, "0000-01-01T00:00:00Z");
    assert_string_equal(date_format_rfc5322(INT64_MAX, 1439).text, "Fri, 31 Dec 9999 23:59:59 +2359");
}

static void test_rfc5322(void **state)
{
    (void)state;
    static const struct {
        const char *value, *wanted; /* UTC; NULL: no date */
        int zone;                   /* 9999: unknown */
    } rows[] = {
        {"Fri, 21 Nov 1997 09:55:06 -0600", "1997-11-21T15:55:06Z", -360},
        {"21 Nov 97 09:55:06 GMT", "1997-11-21T09:55:06Z", 0},
        {"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", "1997-11-21T15:55:06Z",
         -360}, /* RFC 5322 appendix A.6.3 */
        {"Tue, 1 Jul 2003 10:52:37 +0200", "2003-07-01T08:52:37Z", 120},
        {"Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n               -0330 "
         "(Newfoundland Time)",
         "1969-02-14T03:02:00Z", -210},
        {"Mon, 24 Nov 1997 14:22:01 -0800", "1997-11-24T22:22:01Z", -480},
        {"21 Nov 2026 03:42 +0000", "2026-11-21T03:42:00Z", 0},
        {"21 Nov 2026 03:42:49", "2026-11-21T03:42:49Z", 9999},
        {"21 Nov 2026 03:42:49 -0000", "2026-11-21T03:42:49Z", 9999},
        {"21 Nov 2026 03:42:49 EST", "2026-11-21T08:42:49Z", -300},
        {"21 Nov 2026 03:42:49 pdt", "2026-11-21T10:42:49Z", -420},
        {"21 Nov 2026 03:42:49 UT", "2026-11-21T03:42:49Z", 0},
        {"21 Nov 2026 03:42:49 Z", "2026-11-21T03:42:49Z", 0},
        {"21 Nov 2026 03:42:49 A", "2026-11-21T03:42:49Z", 9999},
        {"21 Nov 2026 03:42:49 CET", "2026-11-21T03:42:49Z", 9999},
        {"21 Nov 2026 03:42:49 GMT+0100 (CET)", "2026-11-21T02:42:49Z", 60},
        {"21 Nov 2026 03:42:49 +01:00", "2026-11-21T02:42:49Z", 60},
        {"21 Nov 2026 03:42:49 +1", "2026-11-21T02:42:49Z", 60},
        {"21 Nov 2026 03:42:49 +530", "2026-11-20T22:12:49Z", 330},
        {"21 Nov 2026 03:42:49+0100", "2026-11-21T02:42:49Z", 60},
        {"21 Nov 2026 03:42:49 0100", "2026-11-21T02:42:49Z", 60},
        {"21 Nov 2026 03:42:49 +9999", "2026-11-21T03:42:49Z", 9999},
        {"21 Nov 49 00:00:00 +0000", "2049-11-21T00:00:00Z", 0},
        {"21 Nov 50 00:00:00 +0000", "1950-11-21T00:00:00Z", 0},
        {"21 Nov 126 00:00:00 +0000", "2026-11-21T00:00:00Z", 0},
        {"Sat Nov 21 03:42:49 2026", "2026-11-21T03:42:49Z", 9999},
        {"Sat Nov 21 03:42:49 GMT 2026", "2026-11-21T03:42:49Z", 0},
        {"Saturday, November 21, 2026 3:42 PM", "2026-11-21T15:42:00Z", 9999},
        {"Nov 21 2026 12:01 AM", "2026-11-21T00:01:00Z", 9999},
        {"2026-11-21T03:42:49Z", "2026-11-21T03:42:49Z", 0},
        {"2026-11-21T03:42:49.123+01:00", "2026-11-21T02:42:49Z", 60},
        {"2026-11-21 03:42:49 +0100", "2026-11-21T02:42:49Z", 60},
        {"21-Nov-2026 03:42:49 +0000", "2026-11-21T03:42:49Z", 0},
        {"21/Nov/26 03:42:49", "2026-11-21T03:42:49Z", 9999},
        {"Sat,21 Nov 2026,03:42:49 +0000", "2026-11-21T03:42:49Z", 0},
        {"Foo, 21 Nov 2026 03:42:49 +0000", "2026-11-21T03:42:49Z", 0},
        {"21 Nov 2026", "2026-11-21T00:00:00Z", 9999},
        {"21 Nov 2026 25:61:00 +0000", "2026-11-21T00:00:00Z", 0},
        {"31 Dec 2016 23:59:60 +0000", "2017-01-01T00:00:00Z", 0},
        {"29 Feb 2024 00:00:00 +0000", "2024-02-29T00:00:00Z", 0},
        {"29 Feb 2026 00:00:00 +0000", NULL, 0},
        {"31 Nov 2026 00:00:00 +0000", NULL, 0},
        {"0 Nov 2026 00:00:00 +0000", NULL, 0},
        {"21 2026 00:00:00 +0000", NULL, 0},
        {"Nov 2026", NULL, 0},
        {"", NULL, 0},
        {"junk", NULL, 0},
        {"(21 Nov 2026", NULL, 0},
        {"::::::", NULL, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct date_time date = {.seconds = 77};
        assert_row(date_parse_rfc5322(slice_of(rows[i].value), &date) == (rows[i].wanted != NULL), i);
        assert_row(rows[i].wanted || date.seconds == 77, i);
        if (!rows[i].wanted)
            continue;
        assert_text(slice_of(date_format_iso(date.seconds).text), rows[i].wanted, i);
        assert_row(date.zone_known == (rows[i].zone != 9999), i);
        assert_row(date.zone == (rows[i].zone == 9999 ? 0 : rows[i].zone), i);
    }
}

static void test_imap(void **state)
{
    (void)state;
    static const struct {
        const char *text, *wanted;
    } rows[] = {
        {"21-Nov-2026 03:42:49 +0000", "2026-11-21T03:42:49Z"},
        {" 1-feb-2026 23:00:00 -0130", "2026-02-02T00:30:00Z"},
        {"01-Feb-2026 23:00:00 +0000", "2026-02-01T23:00:00Z"},
        {"1-Feb-2026 23:00:00 +0000", "2026-02-01T23:00:00Z"},
        {"21-Nov-2026 3:42:49 +0000", NULL},
        {"21-Nov-2026 03:42:49", NULL},
        {"21-Nov-2026 03:42:49 GMT", NULL},
        {"21-Nov-26 03:42:49 +0000", NULL},
        {"32-Nov-2026 03:42:49 +0000", NULL},
        {"21-Foo-2026 03:42:49 +0000", NULL},
        {"21-Nov-2026 24:42:49 +0000", NULL},
        {"21-Nov-2026 03:42:49 +2400", NULL},
        {"21-Nov-2026 03:42:49 +0000 ", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct date_time date;
        assert_row(date_parse_imap(slice_of(rows[i].text), &date) == (rows[i].wanted != NULL), i);
        if (rows[i].wanted)
            assert_text(slice_of(date_format_iso(date.seconds).text), rows[i].wanted, i);
    }
    int64_t day = 0;
    assert_true(date_parse_imap_day(SLICE("1-Feb-2026"), &day) && day == date_days(2026, 2, 1));
    assert_true(date_parse_imap_day(SLICE("01-FEB-2026"), &day));
    assert_false(date_parse_imap_day(SLICE("30-Feb-2026"), &day));
    assert_false(date_parse_imap_day(SLICE("1-Feb-2026 "), &day));
    assert_false(date_parse_imap_day(SLICE("1-February-2026"), &day));
    struct date_time late = {.seconds = date_days(2026, 2, 1) * 86400 + 23 * 3600, .zone = 120};
    assert_int_equal(date_local_day(&late), date_days(2026, 2, 2));
    late = (struct date_time){.seconds = -1};
    assert_int_equal(date_local_day(&late), -1);
}

static void test_iso(void **state)
{
    (void)state;
    static const struct {
        const char *text, *wanted;
    } rows[] = {
        {"2026-11-21T03:42:49Z", "2026-11-21T03:42:49Z"},
        {"2026-11-21t03:42:49.5z", "2026-11-21T03:42:49Z"},
        {"2026-11-21 03:42:49-01:30", "2026-11-21T05:12:49Z"},
        {"2026-11-21T03:42:49", NULL},
        {"2026-11-21", NULL},
        {"2026-13-21T03:42:49Z", NULL},
        {"2026-11-21T03:42:49.Z", NULL},
        {"2026-11-21T03:42:49Zx", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct date_time date;
        assert_row(date_parse_iso(slice_of(rows[i].text), &date) == (rows[i].wanted != NULL), i);
        if (rows[i].wanted)
            assert_text(slice_of(date_format_iso(date.seconds).text), rows[i].wanted, i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calendar), cmocka_unit_test(test_format), cmocka_unit_test(test_rfc5322),
        cmocka_unit_test(test_imap),     cmocka_unit_test(test_iso),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
