/* The queue's clock: steps of the wall clock do not move it, NTP's small steps and the passing of time do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "queue/queue_clock.h"

#define DAY 86400000ull
#define NOW 1700000000000ull

static void test_runs(void **state)
{
    (void)state;
    struct queue_clock clock;
    queue_clock_begin(&clock, NULL, "boot-a", NOW, 5000);
    assert_int_equal(queue_clock_look(&clock, NOW, 5000), NOW);
    assert_int_equal(queue_clock_look(&clock, NOW + DAY, 5000 + DAY), NOW + DAY);
    assert_int_equal(queue_clock_look(&clock, NOW + DAY + 1500, 5000 + DAY), NOW + DAY + 1500); /* slewed */
    assert_int_equal(clock.kept.correction_ms, 0);
}

static void test_steps(void **state)
{
    (void)state;
    static const int64_t steps[] = {(int64_t)(400 * DAY), -(int64_t)(400 * DAY), 3600000, -3600000};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct queue_clock clock;
        queue_clock_begin(&clock, NULL, "boot-a", NOW, 5000);
        clock.changed = false;
        uint64_t wall = (uint64_t)((int64_t)NOW + steps[i]);
        assert_int_equal(queue_clock_look(&clock, wall, 5000), NOW);
        assert_true(clock.changed);
        assert_int_equal(queue_clock_look(&clock, wall + 1000, 6000), NOW + 1000);
        assert_int_equal(queue_clock_wall(&clock, NOW + 1000), wall + 1000);
    }
}

/* The step is remembered, and one made while we did not run is seen. */
static void test_restart(void **state)
{
    (void)state;
    struct queue_clock clock, next;
    queue_clock_begin(&clock, NULL, "boot-a", NOW, 5000);
    (void)queue_clock_look(&clock, NOW + 10 * DAY, 5000);
    queue_clock_begin(&next, &clock.kept, "boot-a", NOW + 10 * DAY + 1000, 6000);
    assert_int_equal(queue_clock_look(&next, NOW + 10 * DAY + 1000, 6000), NOW + 1000);
    queue_clock_begin(&next, &clock.kept, "boot-a", NOW + 30 * DAY, 7000);
    assert_int_equal(queue_clock_look(&next, NOW + 30 * DAY, 7000), NOW + 2000);
}

/* Another boot: the machine may have been off for long; but time never goes back. */
static void test_reboot(void **state)
{
    (void)state;
    struct queue_clock clock, next;
    queue_clock_begin(&clock, NULL, "boot-a", NOW, 5000);
    queue_clock_begin(&next, &clock.kept, "boot-b", NOW + DAY, 100);
    assert_int_equal(queue_clock_look(&next, NOW + DAY, 100), NOW + DAY);
    queue_clock_begin(&next, &clock.kept, "boot-c", 1000, 100); /* no battery */
    assert_int_equal(queue_clock_look(&next, 1000, 100), NOW);
    assert_int_equal(queue_clock_look(&next, 2000, 1100), NOW + 1000);
    queue_clock_begin(&next, &clock.kept, "", NOW + DAY, 100); /* a kernel that does not tell its boot */
    assert_int_equal(queue_clock_look(&next, NOW + DAY, 100), NOW + DAY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_runs), cmocka_unit_test(test_steps),
                                       cmocka_unit_test(test_restart), cmocka_unit_test(test_reboot)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
