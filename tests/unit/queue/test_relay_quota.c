/* When a relay's day begins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "queue/relay_quota.h"

#define HOUR 3600000ull
#define DAY  RELAY_QUOTA_DAY_MS

static void test_window(void **state)
{
    (void)state;
    static const struct {
        const char *begins;
        uint64_t now, window;
    } rows[] = {
        {"00:00", 10 * DAY, 10 * DAY},
        {"00:00", 11 * DAY - 1, 10 * DAY},
        {"22:00", 10 * DAY + 21 * HOUR, 9 * DAY + 22 * HOUR},
        {"22:00", 10 * DAY + 22 * HOUR, 10 * DAY + 22 * HOUR},
        {"06:30", 10 * DAY + 6 * HOUR + HOUR / 2 - 1, 9 * DAY + 6 * HOUR + HOUR / 2},
        {"06:30", 10 * DAY + 7 * HOUR, 10 * DAY + 6 * HOUR + HOUR / 2},
        {"22:00", HOUR, 0}, /* before the first one there was */
        {"", 10 * DAY + HOUR, 10 * DAY},
        {"24:00", 10 * DAY + HOUR, 10 * DAY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(relay_quota_window(rows[i].now, slice_of(rows[i].begins)), rows[i].window);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_window)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
