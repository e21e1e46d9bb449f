/* Points: what they add up to, how they fade, what makes a ban and how long it is; which failed logins are
 * guesses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/coll.h"
#include "policy/score.h"

#define MINUTE 60000u

static const struct score_rules rules = {
    .threshold = 100, .half_life_ms = 10 * MINUTE, .first_s = 900, .max_s = 7 * 86400};

static void test_fading(void **state)
{
    (void)state;
    static const struct {
        uint64_t after_ms, points;
    } rows[] = {
        {0, 80},           {5 * MINUTE, 60}, {10 * MINUTE, 40}, {15 * MINUTE, 30},   {20 * MINUTE, 20},
        {30 * MINUTE, 10}, {80 * MINUTE, 0}, {640 * MINUTE, 0}, {UINT64_MAX / 2, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct score score = {0};
        assert_false(score_add(&score, &rules, 80, 1, false, 1000));
        assert_int_equal(score_now(&score, &rules, 1000 + rows[i].after_ms), rows[i].points);
    }
    struct score score = {0};
    assert_false(score_add(&score, &rules, 80, 1, false, 1000));
    assert_int_equal(score_now(&score, &rules, 0), 80); /* a clock that went back */
}

static void test_threshold(void **state)
{
    (void)state;
    struct score score = {0};
    for (int i = 0; i < 9; i++)
        assert_false(score_add(&score, &rules, 10, 1, false, 5));
    assert_int_equal(score_now(&score, &rules, 5), 90);
    assert_true(score_add(&score, &rules, 10, 1, false, 5));
    assert_int_equal(score_now(&score, &rules, 5), 0); /* the next ban has to be earned anew */
    assert_true(score_add(&score, &rules, 2, 50, false, 5));
    assert_false(score_add(&score, &rules, 2, 49, false, 5));
    assert_false(score_add(&score, &rules, 0, 1000000, false, 5));
    assert_true(score_add(&score, &rules, 2, 1, false, 5));
    /* as fast as they fade: never */
    for (uint64_t t = 0; t < 6000; t++)
        assert_false(score_add(&score, &rules, 3, 1, false, t * MINUTE));
    /* a report of any length does not overflow */
    assert_true(score_add(&score, &rules, 50, UINT64_MAX, false, 0));
}

static void test_gentle(void **state)
{
    (void)state;
    struct score score = {0};
    assert_true(score_is_gentle(SCORE_LIMIT) && score_is_gentle(SCORE_LISTED));
    for (int i = 0; i < 10000; i++)
        assert_false(score_add(&score, &rules, score_points(SCORE_LIMIT), 20, true, 5));
    assert_int_equal(score_now(&score, &rules, 5), 50);
    assert_true(score_add(&score, &rules, score_points(SCORE_SPAM_TRAP), 1, false, 5));
    const struct score_rules one = {.threshold = 1, .half_life_ms = 1, .first_s = 1, .max_s = 1};
    score = (struct score){0};
    assert_false(score_add(&score, &one, 1, 1, true, 5));
    assert_true(score_add(&score, &one, 1, 1, false, 5));
    for (int kind = 0; kind < SCORE_KIND_COUNT; kind++)
        assert_true(score_points((enum score_kind)kind) > 0);
    assert_int_equal(score_points(SCORE_KIND_COUNT), 0);
}

static void test_length(void **state)
{
    (void)state;
    static const struct {
        uint64_t earlier, seconds;
    } rows[] = {{0, 900},     {1, 1800},    {2, 3600},           {9, 460800},
                {10, 604800}, {11, 604800}, {UINT64_MAX, 604800}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(score_ban_length(&rules, rows[i].earlier), rows[i].seconds);
    const struct score_rules odd = {.first_s = 100, .max_s = 50};
    assert_int_equal(score_ban_length(&odd, 3), 50);
    const struct score_rules none = {.first_s = 0, .max_s = 50};
    assert_int_equal(score_ban_length(&none, 1000), 0);
}

static void test_logins(void **state)
{
    (void)state;
    struct score_logins logins = {0};
    assert_int_equal(score_login(&logins, 7, 1001), SCORE_LOGIN_GUESSED);
    for (int i = 0; i < 100; i++) /* the phone */
        assert_int_equal(score_login(&logins, 7, 1001), SCORE_LOGIN_REPEATED);
    assert_int_equal(score_login(&logins, 7, 1002), SCORE_LOGIN_GUESSED);
    assert_int_equal(score_login(&logins, 8, 2001), SCORE_LOGIN_NAME);
    assert_int_equal(score_login(&logins, 8, 2002), SCORE_LOGIN_GUESSED);
    assert_int_equal(score_login(&logins, 7, 1001), SCORE_LOGIN_REPEATED);
    assert_int_equal(score_login(&logins, 7, 0), SCORE_LOGIN_BLIND);
    assert_int_equal(score_login(&logins, 7, 0), SCORE_LOGIN_BLIND);
    assert_int_equal(score_login(&logins, 9, 0), SCORE_LOGIN_NAME);
    /* more passwords than are remembered are guesses again */
    for (uint64_t round = 0; round < 3; round++)
        for (uint64_t guess = 0; guess <= SCORE_GUESSES; guess++)
            assert_int_equal(score_login(&logins, 7, 5000 + guess), SCORE_LOGIN_GUESSED);
    /* one password for many accounts */
    for (uint64_t name = 100; name < 140; name++)
        assert_int_equal(score_login(&logins, name, 9000 + name), SCORE_LOGIN_NAME);
    assert_int_equal(score_login_points(SCORE_LOGIN_REPEATED), 0);
    assert_true(score_login_points(SCORE_LOGIN_NAME) > score_login_points(SCORE_LOGIN_GUESSED));
    struct score_logins zero = {0};
    assert_int_equal(score_login(&zero, 0, 1), SCORE_LOGIN_GUESSED);
    assert_int_equal(score_login(&zero, 0, 2), SCORE_LOGIN_GUESSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fading), cmocka_unit_test(test_threshold), cmocka_unit_test(test_gentle),
        cmocka_unit_test(test_length), cmocka_unit_test(test_logins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
