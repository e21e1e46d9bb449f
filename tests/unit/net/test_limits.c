/* test_limits.c: token buckets: what a minute holds, how it flows back, who is forgotten first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "base/coll.h"
#include "net/limits.h"

static struct limit_key key_of(uint32_t n)
{
    static const struct settings settings = {.limits.ipv4_prefix = 32, .limits.ipv6_prefix = 64};
    const struct netaddr addr = {.family = NETADDR_V4,
                                 .bytes = {10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}};
    return limit_key_address(&settings, SETTINGS_MX, &addr);
}

/* Ten a minute: one after another, as a table of moments. */
static void test_a_minute(void **state)
{
    (void)state;
    static const struct {
        uint64_t at_ms, n;
        bool taken;
        uint64_t wait_ms;
    } steps[] = {
        {1000000, 10, true, 0},    /* all at once */
        {1000000, 1, false, 6000}, /* one flows back every six seconds */
        {1003000, 1, false, 3000},   {1006000, 1, true, 0},     {1006001, 1, false, 5999},
        {1030000, 5, false, 6000},                           /* four are there */
        {1030000, 4, true, 0},       {1100000, 10, true, 0}, /* never more than a minute's worth */
        {1100000, 10, false, 60000}, {1160000, 30, true, 0}, /* three minutes' worth */
        {1160000, 1, false, 126000}, {1280000, 1, false, 6000}, {1286000, 1, true, 0},
    };
    struct limits *l = limits_new(10);
    struct limit_key key = key_of(1), other = key_of(2);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        uint64_t wait = 99, would_wait = 99;
        bool would = limits_would(l, &key, LIMIT_MESSAGES, 10, steps[i].n, steps[i].at_ms, &would_wait);
        bool taken = limits_take(l, &key, LIMIT_MESSAGES, 10, steps[i].n, steps[i].at_ms, &wait);
        assert_int_equal(taken, steps[i].taken);
        assert_int_equal(would, taken);
        assert_int_equal(wait, steps[i].wait_ms);
        assert_int_equal(would_wait, wait);
        /* of another key or kind nothing was taken */
        assert_true(limits_would(l, &other, LIMIT_MESSAGES, 10, 10, steps[i].at_ms, NULL));
        assert_true(limits_would(l, &key, LIMIT_BYTES, 10, 10, steps[i].at_ms, NULL));
    }
    limits_free(&l);
    assert_null(l);
}

static void test_no_limit_and_debt(void **state)
{
    (void)state;
    struct limits *l = limits_new(4);
    struct limit_key key = key_of(1);
    uint64_t wait = 1;
    for (int i = 0; i < 1000; i++)
        assert_true(limits_take(l, &key, LIMIT_BYTES, 0, UINT64_MAX, 5, &wait));
    assert_int_equal(wait, 0);
    assert_int_equal(limits_count(l), 0);
    limits_charge(l, &key, LIMIT_BYTES, 0, 5, 5);
    assert_int_equal(limits_count(l), 0);
    limits_charge(l, &key, LIMIT_BYTES, 1000, UINT64_MAX, 5); /* no debt is for ever */
    assert_false(limits_would(l, &key, LIMIT_BYTES, 1000, 1, 5 + 500000, &wait));
    assert_true(limits_would(l, &key, LIMIT_BYTES, 1000, 1, 5 + LIMITS_DEBT_MINUTES * 60000, &wait));
    assert_true(limits_take(l, &key, LIMIT_RECIPIENTS, UINT64_C(1) << 40, UINT64_C(1) << 40, 5, &wait));
    assert_false(limits_take(l, &key, LIMIT_RECIPIENTS, UINT64_C(1) << 40, UINT64_C(1) << 30, 5, &wait));
    assert_int_equal(wait, 59);
    limits_free(&l);
}

/* A full table forgets whoever was not here for the longest time. */
static void test_the_oldest_go(void **state)
{
    (void)state;
    enum { KEYS = 1000 };
    struct limits *l = limits_new(KEYS);
    struct limit_key faithful = key_of(7);
    for (uint32_t n = 0; n < 5 * KEYS; n++) {
        struct limit_key key = key_of(n);
        assert_int_equal(limits_take(l, &key, LIMIT_MESSAGES, 1, 1, 1000, NULL), n != 7);
        assert_int_equal(limits_take(l, &faithful, LIMIT_MESSAGES, 1, 1, 1000, NULL), n == 0);
        assert_true(limits_count(l) <= KEYS);
    }
    assert_int_equal(limits_count(l), KEYS);
    for (uint32_t n = 0; n < 5 * KEYS; n++) { /* the last 999 and the faithful are there */
        struct limit_key key = key_of(n);
        bool there = n == 7 || n > 5 * KEYS - KEYS;
        assert_int_equal(limits_would(l, &key, LIMIT_MESSAGES, 1, 1, 1000, NULL), !there);
    }
    struct limit_key name = limit_key_name(l, SETTINGS_MX, SLICE("example.org"));
    assert_true(limits_take(l, &name, LIMIT_MESSAGES, 1, 1, 1000, NULL));
    assert_false(limits_take(l, &faithful, LIMIT_MESSAGES, 1, 1, 1000, NULL));
    limits_resize(&l, 10);
    assert_int_equal(limits_count(l), 10);
    name = limit_key_name(l, SETTINGS_MX, SLICE("example.org"));
    assert_false(limits_would(l, &name, LIMIT_MESSAGES, 1, 1, 1000, NULL));
    assert_false(limits_would(l, &faithful, LIMIT_MESSAGES, 1, 1, 1000, NULL));
    limits_resize(&l, 2000);
    assert_int_equal(limits_count(l), 10);
    assert_false(limits_would(l, &faithful, LIMIT_MESSAGES, 1, 1, 1000, NULL));
    limits_free(&l);
}

static void test_keys(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        uint64_t v4, v6;
        bool same;
    } rows[] = {
        {"192.0.2.1", "192.0.2.2", 32, 64, false},         {"192.0.2.1", "192.0.2.2", 24, 64, true},
        {"192.0.2.1", "::ffff:192.0.2.1", 32, 64, true},   {"2001:db8::1", "2001:db8::ffff:1", 32, 64, true},
        {"2001:db8::1", "2001:db8:0:1::1", 32, 64, false}, {"2001:db8::1", "2001:db8:0:1::1", 32, 48, true},
        {"2001:db8::1", "2001:db8::2", 32, 128, false},    {"0.0.0.0", "::", 32, 64, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct settings settings = {.limits.ipv4_prefix = rows[i].v4, .limits.ipv6_prefix = rows[i].v6};
        struct netaddr a, b;
        assert_true(netaddr_parse(slice_of(rows[i].a), &a) && netaddr_parse(slice_of(rows[i].b), &b));
        struct limit_key x = limit_key_address(&settings, SETTINGS_MX, &a),
                         y = limit_key_address(&settings, SETTINGS_MX, &b),
                         z = limit_key_address(&settings, SETTINGS_IMAP, &a);
        assert_int_equal(memcmp(&x, &y, sizeof x) == 0, rows[i].same);
        assert_true(memcmp(&x, &z, sizeof x) != 0);
    }
    struct limits *l = limits_new(1), *m = limits_new(1);
    struct limit_key x = limit_key_name(l, SETTINGS_MX, SLICE("Example.Org")),
                     y = limit_key_name(l, SETTINGS_MX, SLICE("example.org")),
                     z = limit_key_name(l, SETTINGS_MX, SLICE("example.net")),
                     w = limit_key_name(m, SETTINGS_MX, SLICE("example.org")),
                     v = limit_key_name(l, SETTINGS_SUBMISSION, SLICE("example.org"));
    assert_memory_equal(&x, &y, sizeof x);
    assert_memory_not_equal(&x, &z, sizeof x);
    assert_memory_not_equal(&x, &w, sizeof x);
    assert_memory_not_equal(&x, &v, sizeof x);
    limits_free(&l);
    limits_free(&m);
}

/* 100,000 addresses: every one is counted by itself; the figure is for bench/. */
static void test_many(void **state)
{
    (void)state;
    enum { KEYS = 100000 };
    struct limits *l = limits_new(KEYS);
    uint64_t begin = clock_mono_ns();
    for (int round = 0; round < 2; round++)
        for (uint32_t n = 0; n < KEYS; n++) {
            struct limit_key key = key_of(n);
            assert_int_equal(limits_take(l, &key, LIMIT_CONNECTIONS, 1, 1, 77, NULL), round == 0);
        }
    print_message("%lu ns each\n", (unsigned long)((clock_mono_ns() - begin) / (2 * KEYS)));
    assert_int_equal(limits_count(l), KEYS);
    limits_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_minute),      cmocka_unit_test(test_no_limit_and_debt),
        cmocka_unit_test(test_the_oldest_go), cmocka_unit_test(test_keys),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
