/* The pace of one destination: it grows with success, shrinks when asked, closes on failure, opens again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "queue/destination.h"

static const struct destination_limits limits = {.window = 20, .first_ms = 1000, .longest_ms = 8000};

static uint64_t round_trip(struct destination_pace *pace, enum destination_end end, uint64_t now)
{
    destination_begun(pace, now);
    return destination_ended(pace, &limits, end, now);
}

static void test_grows_and_shrinks(void **state)
{
    (void)state;
    struct destination_pace pace;
    destination_pace_init(&pace, &limits);
    assert_int_equal(pace.window, DESTINATION_WINDOW_FIRST);
    for (int i = 0; i < 30; i++)
        assert_int_equal(round_trip(&pace, DESTINATION_WELL, 0), 0);
    assert_int_equal(pace.window, 20);
    assert_int_equal(round_trip(&pace, DESTINATION_SLOW, 0), 0);
    assert_int_equal(pace.window, 10);
    for (int i = 0; i < 9; i++)
        (void)round_trip(&pace, DESTINATION_WELL, 0);
    assert_int_equal(pace.window, 10); /* once bitten: one more for each window */
    (void)round_trip(&pace, DESTINATION_WELL, 0);
    assert_int_equal(pace.window, 11);
    assert_int_equal(round_trip(&pace, DESTINATION_UNTRIED, 0), 0);
    assert_int_equal(pace.window, 11);
}

static void test_full(void **state)
{
    (void)state;
    struct destination_pace pace;
    destination_pace_init(&pace, &limits);
    for (int i = 0; i < DESTINATION_WINDOW_FIRST; i++) {
        assert_int_equal(destination_wait(&pace, 0), 0);
        destination_begun(&pace, 0);
    }
    assert_true(destination_wait(&pace, 0) == UINT64_MAX);
    (void)destination_ended(&pace, &limits, DESTINATION_WELL, 0);
    assert_int_equal(destination_wait(&pace, 0), 0);
}

static void test_pause(void **state)
{
    (void)state;
    struct destination_pace pace;
    destination_pace_init(&pace, &limits);
    for (int i = 0; i < 4; i++)
        (void)round_trip(&pace, DESTINATION_SLOW, 100);
    assert_int_equal(pace.window, 1);
    assert_true(pace.pause_ms >= DESTINATION_PAUSE_FIRST);
    destination_begun(&pace, 1000);
    assert_int_equal(destination_ended(&pace, &limits, DESTINATION_SLOW, 1000), 0);
    assert_true(destination_wait(&pace, 1000) > 0);
    for (int i = 0; i < 4; i++)
        (void)round_trip(&pace, DESTINATION_WELL, 2000);
    assert_int_equal(destination_wait(&pace, 2000), 0);
}

/* Five that fail together close it once; the next failure closes it for longer; a success forgets that. */
static void test_closes(void **state)
{
    (void)state;
    struct destination_pace pace;
    destination_pace_init(&pace, &limits);
    for (int i = 0; i < 5; i++)
        destination_begun(&pace, 0);
    uint64_t wait = destination_ended(&pace, &limits, DESTINATION_FAILED, 10);
    assert_in_range(wait, 900, 1100);
    for (int i = 0; i < 4; i++)
        assert_int_equal(destination_ended(&pace, &limits, DESTINATION_FAILED, 20), 0);
    assert_int_equal(pace.running, 0);
    assert_int_equal(destination_wait(&pace, 10), wait);
    uint64_t now = 10 + wait;
    assert_int_equal(destination_wait(&pace, now), 0);
    destination_begun(&pace, now);
    assert_true(destination_wait(&pace, now) == UINT64_MAX); /* one to try it out */
    wait = destination_ended(&pace, &limits, DESTINATION_FAILED, now);
    assert_in_range(wait, 1800, 2200);
    now += wait;
    assert_int_equal(round_trip(&pace, DESTINATION_WELL, now), 0);
    assert_int_equal(pace.closings, 0);
}

/* One bad connection among many good ones only slows down. */
static void test_proven(void **state)
{
    (void)state;
    struct destination_pace pace;
    destination_pace_init(&pace, &limits);
    for (int i = 0; i < 30; i++)
        (void)round_trip(&pace, DESTINATION_WELL, 0);
    assert_int_equal(round_trip(&pace, DESTINATION_FAILED, 0), 0);
    assert_int_equal(pace.window, 10);
    assert_int_equal(round_trip(&pace, DESTINATION_FAILED, 0), 0);
    assert_true(round_trip(&pace, DESTINATION_FAILED, 0) > 0);
}

static void test_backoff(void **state)
{
    (void)state;
    static const struct {
        uint32_t attempts;
        uint64_t middle;
    } rows[] = {{0, 1000}, {1, 2000}, {2, 4000}, {3, 8000}, {4, 8000}, {4000000000u, 8000}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t low = UINT64_MAX, high = 0;
        for (uint64_t chance = 0; chance < 10000; chance++) {
            uint64_t ms = destination_backoff(1000, 8000, rows[i].attempts, chance);
            low = ms < low ? ms : low;
            high = ms > high ? ms : high;
        }
        assert_int_equal(low, rows[i].middle * 9 / 10);
        assert_int_equal(high, rows[i].middle * 11 / 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows_and_shrinks),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_closes),
        cmocka_unit_test(test_proven),
        cmocka_unit_test(test_backoff),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
