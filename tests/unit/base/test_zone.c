/* The zone of the machine, as POSIX writes zones: no zone files are needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <time.h>

#include "base/zone.h"

#define DAY 86400

static void use(const char *name)
{
    assert_int_equal(setenv("TZ", name, 1), 0);
    zone_load();
}

static void test_utc(void **state)
{
    (void)state;
    assert_int_equal(zone_minutes(0), 0); /* not loaded yet */
    use("UTC0");
    assert_int_equal(zone_minutes(0), 0);
    assert_int_equal(zone_minutes(UINT32_MAX), 0);
    assert_int_equal(zone_day(DAY - 1), 0);
    assert_int_equal(zone_day(DAY), 1);
}

/* Helsinki, 25 March 2007: from 03:00 to 04:00; 28 October: from 04:00 to 03:00. */
static void test_summer(void **state)
{
    (void)state;
    static const struct {
        int64_t at;
        int minutes;
        int64_t day;
    } rows[] = {
        {1174769999, 120, 13596}, /* 24-Mar-2007 22:59:59 */
        {1174773600, 120, 13597}, /* 25-Mar-2007 00:00:00 */
        {1174784399, 120, 13597}, {1174784400, 180, 13597},
        {1174856399, 180, 13597}, {1174856400, 180, 13598}, /* 26-Mar-2007 00:00:00 */
        {1193533199, 180, 13814}, {1193533200, 120, 13814}, /* 28-Oct-2007 03:00:00, the second time */
        {UINT32_MAX, 120, 49710}, {4294967296 + DAY, 120, 49711},
    };
    use("EET-2EEST,M3.5.0/3,M10.5.0/4");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(zone_minutes(rows[i].at), rows[i].minutes);
        assert_int_equal(zone_day(rows[i].at), rows[i].day);
    }
}

/* As libc has it, at any moment, in zones east and west and with odd minutes. */
static void test_others(void **state)
{
    (void)state;
    static const char *const zones[] = {"CET-1CEST,M3.5.0,M10.5.0/3", "EST5EDT,M3.2.0,M11.1.0",
                                        "<+0545>-5:45", "<-0330>3:30<-0230>,M3.2.0,M11.1.0",
                                        "AEST-10AEDT,M10.1.0,M4.1.0/3"};
    for (size_t i = 0; i < sizeof zones / sizeof *zones; i++) {
        use(zones[i]);
        for (time_t at = 0; at < (time_t)UINT32_MAX; at += 1234567) {
            struct tm local;
            assert_non_null(localtime_r(&at, &local));
            assert_int_equal(zone_minutes(at), local.tm_gmtoff / 60);
            int64_t seconds = local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec;
            assert_int_equal(zone_day(at) * DAY + seconds, at + local.tm_gmtoff);
        }
    }
    use("EST5");
    assert_int_equal(zone_day(0), -1);
    assert_int_equal(zone_day(5 * 3600 - 1), -1);
    assert_int_equal(zone_day(5 * 3600), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utc),
        cmocka_unit_test(test_summer),
        cmocka_unit_test(test_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
