/* The table of strangers that passed: bounds, order of forgetting, time, saving and reading again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/coll.h"
#include "smtp/known.h"

#define MONTH (30u * 24 * 60)

static struct netaddr number(uint32_t n)
{
    return netaddr_v4((const uint8_t[]){10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}, 1);
}

static struct netaddr parse(const char *text)
{
    struct netaddr addr;
    assert_true(netaddr_parse(slice_of(text), &addr));
    return addr;
}

static bool has(struct smtp_known *k, uint32_t n)
{
    const struct netaddr addr = number(n);
    return smtp_known_has(k, &addr, 0, MONTH, NULL);
}

static void add(struct smtp_known *k, uint32_t n)
{
    const struct netaddr addr = number(n);
    smtp_known_add(k, &addr, 0);
}

static void test_clients(void **state)
{
    static const struct {
        const char *passed, *asked;
        bool known;
    } rows[] = {
        {"203.0.113.7", "203.0.113.7", true},
        {"203.0.113.7", "203.0.113.8", false},
        {"203.0.113.7", "::ffff:203.0.113.7", true},
        {"2001:db8:0:1::7", "2001:db8:0:1:ffff::9", true}, /* one /64 */
        {"2001:db8:0:1::7", "2001:db8:0:2::7", false},
        {"203.0.113.7", "cb00:7107::", false}, /* the same first bytes */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct smtp_known *k = smtp_known_new(10);
        struct netaddr passed = parse(rows[i].passed), asked = parse(rows[i].asked);
        assert_false(smtp_known_has(k, &asked, 0, MONTH, NULL));
        smtp_known_add(k, &passed, 0);
        smtp_known_add(k, &passed, 0);
        assert_int_equal(smtp_known_count(k), 1);
        assert_int_equal(smtp_known_has(k, &asked, 0, MONTH, NULL), rows[i].known);
        smtp_known_forget(k, &asked);
        assert_int_equal(smtp_known_count(k), !rows[i].known);
        smtp_known_free(&k);
    }
    struct smtp_known *k = smtp_known_new(10);
    smtp_known_add(k, &(struct netaddr){.family = NETADDR_UNIX}, 0);
    assert_int_equal(smtp_known_count(k), 0);
    assert_false(smtp_known_has(k, &(struct netaddr){.family = NETADDR_UNIX}, 0, MONTH, NULL));
    smtp_known_free(&k);
    smtp_known_free(&k);
}

static void test_time(void **state)
{
    struct smtp_known *k = smtp_known_new(10);
    const struct netaddr a = number(1), b = number(2);
    uint64_t listed = 7;
    (void)state;
    smtp_known_add(k, &a, 1000);
    assert_true(smtp_known_has(k, &a, 1000, 60, &listed));
    assert_int_equal(listed, 0);
    smtp_known_asked(k, &a, 1001);
    smtp_known_asked(k, &b, 1001); /* unknown: stays so */
    assert_true(smtp_known_has(k, &a, 1060, 60, &listed));
    assert_int_equal(listed, 1001);
    assert_false(smtp_known_has(k, &a, 1061, 60, NULL));
    assert_int_equal(smtp_known_count(k), 0);
    smtp_known_free(&k);
}

static void test_oldest_goes_first(void **state)
{
    struct smtp_known *k = smtp_known_new(3);
    (void)state;
    for (uint32_t n = 1; n <= 3; n++)
        add(k, n);
    assert_true(has(k, 1)); /* used again */
    add(k, 4);
    assert_int_equal(smtp_known_count(k), 3);
    assert_false(has(k, 2));
    add(k, 5);
    assert_false(has(k, 3));
    assert_true(has(k, 1) && has(k, 4) && has(k, 5));
    smtp_known_free(&k);
}

/* Against a plain array, in some thousand steps with a small table. */
static void test_as_a_model(void **state)
{
    enum { MAX = 100, NAMES = 300 };
    struct smtp_known *k = smtp_known_new(MAX);
    unsigned used[NAMES] = {0}, clock = 0, count = 0; /* 0: not in it */
    (void)state;
    srand(1);
    for (int step = 0; step < 20000; step++) {
        uint32_t n = (uint32_t)rand() % NAMES;
        const struct netaddr addr = number(n);
        switch (rand() % 4) {
        case 0:
            assert_int_equal(has(k, n), used[n] != 0);
            used[n] = used[n] ? ++clock : 0;
            break;
        case 1:
            smtp_known_forget(k, &addr);
            count -= used[n] != 0;
            used[n] = 0;
            break;
        default:
            add(k, n);
            if (!used[n] && count++ == MAX) {
                size_t oldest = 0; /* MAX of them are used */
                for (size_t i = 1; i < NAMES; i++)
                    if (used[i] && (!used[oldest] || used[i] < used[oldest]))
                        oldest = i;
                used[oldest] = 0;
                count--;
            }
            used[n] = ++clock;
        }
        assert_int_equal(smtp_known_count(k), count);
    }
    smtp_known_free(&k);
}

static void test_saved(void **state)
{
    enum { MANY = 5000 };
    struct smtp_known *from = smtp_known_new(SMTP_KNOWN_MAX), *to = smtp_known_new(MANY);
    struct netaddr v6 = parse("2001:db8:1:2::");
    uint32_t at = 0;
    unsigned pieces = 0;
    (void)state;
    for (uint32_t n = 0; n < MANY - 1; n++)
        add(from, n);
    smtp_known_add(from, &v6, 77);
    smtp_known_asked(from, &v6, 78);
    do {
        AUTO_BUF struct buf piece = buf_new(SMTP_KNOWN_PIECE);
        smtp_known_write(from, &at, &piece);
        assert_true(buf_ok(&piece));
        assert_int_equal(smtp_known_read(to, buf_slice(&piece), 1000), ERR_OK);
        pieces++;
    } while (at);
    assert_true(pieces > 1);
    assert_int_equal(smtp_known_count(to), MANY);
    uint64_t listed;
    assert_true(smtp_known_has(to, &v6, 100, MONTH, &listed));
    assert_int_equal(listed, 78);
    assert_false(smtp_known_has(to, &v6, 77 + MONTH + 1, MONTH, NULL));
    add(to, MANY); /* the order came along: the first one goes */
    assert_true(has(to, MANY - 2) && has(to, 1));
    add(to, MANY + 1);
    assert_false(has(to, 0));
    smtp_known_free(&from);
    smtp_known_free(&to);
}

static void test_empty_is_saved(void **state)
{
    struct smtp_known *k = smtp_known_new(10);
    AUTO_BUF struct buf piece = buf_new(SMTP_KNOWN_PIECE);
    uint32_t at = 0;
    (void)state;
    smtp_known_write(k, &at, &piece);
    assert_int_equal(at, 0);
    assert_int_equal(smtp_known_read(k, buf_slice(&piece), 0), ERR_OK);
    assert_int_equal(smtp_known_count(k), 0);
    smtp_known_free(&k);
}

#define FOUR(address, passed) "\4" address passed "\0\0\0\0"

static void test_read(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        enum err err;
        size_t count;
    } rows[] = {
#define ROW(text, err, count) {text, sizeof(text) - 1, err, count}
        ROW("", ERR_BAD, 0),
        ROW("known1", ERR_BAD, 0),
        ROW("known2\n", ERR_BAD, 0),
        ROW("known1\n", ERR_OK, 0),
        ROW("known1\n" FOUR("\1\2\3\4", "\1\0\0\0"), ERR_OK, 1),
        ROW("known1\n" FOUR("\1\2\3\4", "\1\0\0\0") "\4", ERR_BAD, 1),
        ROW("known1\n" FOUR("\1\2\3\4", "\1\0\0"), ERR_BAD, 0),
        ROW("known1\n\5\1\2\3\4\0\0\0\0\0\0\0\0", ERR_BAD, 0),
        ROW("known1\n\6\1\2\3\4\5\6\7\10\0\0\0\0\0\0\0\0", ERR_OK, 1),
        ROW("known1\n" FOUR("\1\2\3\4", "\1\0\0\0") FOUR("\1\2\3\4", "\2\0\0\0"), ERR_OK, 1),
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct smtp_known *k = smtp_known_new(10);
        assert_int_equal(smtp_known_read(k, slice_make(rows[i].bytes, rows[i].len), 100), rows[i].err);
        assert_int_equal(smtp_known_count(k), rows[i].count);
        smtp_known_free(&k);
    }
    /* times of the future, and earlier ones than are known */
    struct smtp_known *k = smtp_known_new(10);
    const struct netaddr addr = parse("1.2.3.4");
    assert_int_equal(smtp_known_read(k, SLICE("known1\n" FOUR("\1\2\3\4", "\377\377\377\377")), 100), ERR_OK);
    assert_int_equal(smtp_known_read(k, SLICE("known1\n" FOUR("\1\2\3\4", "\1\0\0\0")), 100), ERR_OK);
    assert_true(smtp_known_has(k, &addr, 110, 10, NULL));
    assert_false(smtp_known_has(k, &addr, 111, 10, NULL));
    smtp_known_free(&k);
}

static void test_changed(void **state)
{
    struct smtp_known *k = smtp_known_new(10);
    (void)state;
    assert_false(smtp_known_changed(k));
    add(k, 1);
    assert_true(smtp_known_changed(k));
    assert_false(smtp_known_changed(k));
    assert_true(has(k, 1));
    assert_false(smtp_known_changed(k)); /* the order alone is not worth a write */
    const struct netaddr one = number(1);
    smtp_known_forget(k, &one);
    assert_true(smtp_known_changed(k));
    smtp_known_free(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clients),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_oldest_goes_first),
        cmocka_unit_test(test_as_a_model),
        cmocka_unit_test(test_saved),
        cmocka_unit_test(test_empty_is_saved),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
