/* The ground: slices, buffers, arenas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"

static void test_slice_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t max;
        bool ok;
        uint64_t value;
    } rows[] = {
        {"0", 10, true, 0},
        {"10", 10, true, 10},
        {"11", 10, false, 0},
        {"", 10, false, 0},
        {"+1", 10, false, 0},
        {"5", 4, false, 0},
        {"4294967295", UINT32_MAX, true, UINT32_MAX},
        {"4294967296", UINT32_MAX, false, 0},
        {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t got = 0;
        assert_int_equal(slice_u64(slice_of(rows[i].text), rows[i].max, &got), rows[i].ok);
        assert_int_equal(got, rows[i].value);
    }
}

static void test_slice_search(void **state)
{
    (void)state;
    assert_int_equal(slice_isearch(SLICE("Hello World"), SLICE("world")), 6);
    assert_int_equal(slice_search(SLICE("Hello World"), SLICE("world")), -1);
    assert_int_equal(slice_isearch(SLICE("wor"), SLICE("world")), -1);
    assert_true(slice_ieq(SLICE("ABC"), SLICE("abc")));
    assert_true(slice_is_utf8(SLICE("\xc3\xa9\xf0\x9f\x98\x80")));
    assert_false(slice_is_utf8(SLICE("\xc0\x80")));
    assert_false(slice_is_utf8(SLICE("\xed\xa0\x80")));
    struct slice rest = SLICE("a,b,"), part;
    assert_true(slice_token(&rest, ',', &part) && slice_eq(part, SLICE("a")));
    assert_true(slice_token(&rest, ',', &part) && slice_eq(part, SLICE("b")));
    assert_false(slice_token(&rest, ',', &part));
}

/* A fault is found wherever it stands beside runs of ASCII, which go eight bytes at a time. */
static void test_slice_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
    } rows[] = {
        {"", true},
        {"\x7f", true},
        {"\xc3\xa9", true},
        {"\xe2\x82\xac", true},
        {"\xc3", false},
        {"\x80", false},
        {"\xff", false},
        {"\xe2\x82", false},
        {"\xc1\x81", false},
        {"\xf4\x90\x80\x80", false},
        {"\xf0\x8f\xbf\xbf", false},
        {"\xe2\x28\xa1", false},
    };
    for (size_t before = 0; before < 20; before++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            AUTO_BUF struct buf b = buf_new(100);
            buf_addf(&b, "%.*s%s", (int)before, "abcdefghijklmnopqrstuvwxyz", rows[i].text);
            assert_int_equal(slice_is_utf8(buf_slice(&b)), rows[i].ok);
            buf_addf(&b, "%.*s", (int)before, "abcdefghijklmnopqrstuvwxyz");
            assert_int_equal(slice_is_utf8(buf_slice(&b)), rows[i].ok);
        }
}

static void test_buf_reserve_nothing(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = buf_new(10), none = buf_new(0);
    assert_non_null(buf_reserve(&b, 0));
    assert_non_null(buf_reserve(&none, 0));
    assert_true(buf_ok(&b) && buf_ok(&none));
    assert_null(buf_reserve(&none, 1));
    assert_false(buf_ok(&none));
    buf_add(&b, SLICE("1234567890"));
    assert_non_null(buf_reserve(&b, 0));
    assert_true(buf_ok(&b));
}

static void test_buf_maximum(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = buf_new(10);
    buf_add(&b, SLICE("12345"));
    buf_addf(&b, "%d", 67890);
    assert_true(buf_ok(&b));
    assert_true(slice_eq(buf_slice(&b), SLICE("1234567890")));
    buf_add_byte(&b, 'x');
    assert_false(buf_ok(&b));
    assert_int_equal(b.len, 10);
    buf_clear(&b);
    assert_true(buf_ok(&b));
}

static void test_buf_integers(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, 1, 127, 128, 300, UINT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        AUTO_BUF struct buf b = buf_new(100);
        buf_add_varint(&b, values[i]);
        buf_add_le64(&b, values[i]);
        buf_add_le32(&b, (uint32_t)values[i]);
        struct slice s = buf_slice(&b);
        uint64_t v = 0;
        uint32_t w = 0;
        assert_true(slice_take_varint(&s, &v) && v == values[i]);
        assert_true(slice_take_le64(&s, &v) && v == values[i]);
        assert_true(slice_take_le32(&s, &w) && w == (uint32_t)values[i]);
        assert_int_equal(s.len, 0);
        assert_false(slice_take_le16(&s, &(uint16_t){0}));
    }
}

static void test_buf_json(void **state)
{
    (void)state;
    static const struct {
        struct slice text;
        const char *json;
    } rows[] = {
        {SLICE(""), "\"\""},
        {SLICE("plain text"), "\"plain text\""},
        {SLICE("say \"hi\"\\"), "\"say \\\"hi\\\"\\\\\""},
        {SLICE("a\0b\r\n\t\x1b\x7f"), "\"a\\u0000b\\u000d\\u000a\\u0009\\u001b\\u007f\""},
        {SLICE("gr\xc3\xbc\xc3\x9f\xf0\x9f\x98\x80"), "\"gr\xc3\xbc\xc3\x9f\xf0\x9f\x98\x80\""},
        {SLICE("\xff\xfe"), "\"\\ufffd\\ufffd\""},
        {SLICE("\xc0\x80"), "\"\\ufffd\\ufffd\""},            /* overlong */
        {SLICE("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\""}, /* a surrogate */
        {SLICE("\xe2\x82"), "\"\\ufffd\\ufffd\""},            /* cut off at the end */
        {SLICE("\xc3\"x"), "\"\\ufffd\\\"x\""},               /* swallows no quote */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_BUF struct buf b = buf_new(1000);
        buf_add_json_string(&b, rows[i].text);
        if (!slice_eq(buf_slice(&b), slice_of(rows[i].json)))
            fail_msg("row %zu: %.*s", i, SLICE_ARG(buf_slice(&b)));
    }
}

static void count_up(void *arg)
{
    ++*(int *)arg;
}

static void test_arena(void **state)
{
    (void)state;
    struct arena *arena = arena_new(10000);
    int deferred = 0;
    arena_defer(arena, count_up, &deferred);
    for (int i = 0; i < 10; i++)
        assert_non_null(arena_try(arena, 500));
    assert_null(arena_try(arena, 9000));
    arena_reset(arena);
    assert_int_equal(deferred, 1);
    assert_non_null(arena_try(arena, 7000));
    assert_true(slice_eq(arena_printf(arena, "%s-%d", "a", 1), SLICE("a-1")));
    arena_free(&arena);
    assert_null(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slice_numbers), cmocka_unit_test(test_slice_search),
        cmocka_unit_test(test_slice_utf8),    cmocka_unit_test(test_buf_reserve_nothing),
        cmocka_unit_test(test_buf_maximum),   cmocka_unit_test(test_buf_integers),
        cmocka_unit_test(test_buf_json),      cmocka_unit_test(test_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
