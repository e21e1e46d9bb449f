/* Message sets, flags, response strings, section names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "grammar/imap_fetch.h"
#include "grammar/imap_flags.h"
#include "grammar/imap_set.h"
#include "grammar/imap_write.h"

static void assert_text(struct buf *b, const char *expected)
{
    buf_add_byte(b, 0);
    assert_string_equal((const char *)b->data, expected);
}

static void test_sets(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t star;
        const char *normal; /* NULL: BAD */
        uint64_t numbers;
    } rows[] = {
        {"1", 9, "1", 1},
        {"2,4:7,9,12:*", 15, "2,4:7,9,12:15", 10}, /* RFC 9051 section 9 */
        {"*:4,5:7", 10, "4:10", 7},
        {"*", 3, "3", 1},
        {"*", 0, "", 0},
        {"1:*", 0, "", 0},
        {"5:*", 3, "3:5", 3},
        {"3:1", 9, "1:3", 3},
        {"4,2,3,1", 9, "1:4", 4},
        {"1:3,2:5,7", 9, "1:5,7", 6},
        {"1:4294967295", 9, "1:4294967295", 4294967295},
        {"4294967295,4294967295", 9, "4294967295", 1},
        {"0", 9, NULL, 0},
        {"4294967296", 9, NULL, 0},
        {"", 9, NULL, 0},
        {"1,", 9, NULL, 0},
        {",1", 9, NULL, 0},
        {"1,,2", 9, NULL, 0},
        {"1:", 9, NULL, 0},
        {":1", 9, NULL, 0},
        {"1:2:3", 9, NULL, 0},
        {"**", 9, NULL, 0},
        {"-1", 9, NULL, 0},
        {"a", 9, NULL, 0},
        {"$,1", 9, NULL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena AUTO_ARENA = arena_new(100000);
        struct imap_set set;
        struct why why;
        enum err err = imap_set_parse_in(arena, slice_of(rows[i].text), &set, &why);
        assert_int_equal(err, rows[i].normal ? ERR_OK : ERR_BAD);
        if (!rows[i].normal)
            continue;
        imap_set_normalise(&set, rows[i].star);
        AUTO_BUF struct buf out = buf_new(1000);
        imap_set_write(&out, &set);
        assert_text(&out, rows[i].normal);
        assert_int_equal(imap_set_numbers(&set), rows[i].numbers);
    }
}

static void test_set_bounds(void **state)
{
    (void)state;
    struct arena *arena AUTO_ARENA = arena_new(1 << 20);
    AUTO_BUF struct buf text = buf_new(1 << 20);
    struct imap_set set;
    struct why why;
    for (int i = 0; i < IMAP_SET_RANGES_MAX; i++)
        buf_addf(&text, "%s%d", i ? "," : "", 2 * i + 1);
    assert_int_equal(imap_set_parse_in(arena, buf_slice(&text), &set, &why), ERR_OK);
    assert_int_equal(set.count, IMAP_SET_RANGES_MAX);
    buf_add_str(&text, ",7");
    assert_int_equal(imap_set_parse_in(arena, buf_slice(&text), &set, &why), ERR_BAD);
}

static void test_set_clip(void **state)
{
    (void)state;
    static const struct {
        const char *set;
        uint32_t lo, hi;
        const char *left;
    } rows[] = {
        {"1:3,5,7:9", 1, 9, "1:3,5,7:9"},   {"1:3,5,7:9", 2, 8, "2:3,5,7:8"},
        {"1:3,5,7:9", 4, 6, "5"},           {"1:3,5,7:9", 6, 6, ""},
        {"1:3,5,7:9", 10, 4294967295u, ""}, {"1:4294967295", 7, 4294967295u, "7:4294967295"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena AUTO_ARENA = arena_new(1 << 20);
        AUTO_BUF struct buf out = buf_new(100);
        struct imap_set set;
        struct why why;
        assert_int_equal(imap_set_parse_in(arena, slice_of(rows[i].set), &set, &why), ERR_OK);
        imap_set_normalise(&set, 0);
        imap_set_clip(&set, rows[i].lo, rows[i].hi);
        imap_set_write(&out, &set);
        assert_true(slice_eq(buf_slice(&out), slice_of(rows[i].left)));
    }
}

static void test_set_walk(void **state)
{
    (void)state;
    struct imap_set_builder b = imap_set_builder_new();
    uint32_t numbers[] = {1, 2, 3, 3, 7, 9, 10, 4294967294u, 4294967295u};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        imap_set_builder_add(&b, numbers[i]);
    struct imap_set set = imap_set_builder_view(&b);
    AUTO_BUF struct buf out = buf_new(1000);
    imap_set_write(&out, &set);
    uint32_t n, last = 0, count = 0;
    for (struct imap_set_walk w = {.set = &set}; imap_set_walk_next(&w, &n); last = n, count++)
        assert_true(n > last && imap_set_contains(&set, n));
    assert_int_equal(count, 8);
    assert_false(imap_set_contains(&set, 8));
    assert_false(imap_set_contains(&set, 0));
    assert_int_equal(imap_set_lowest(&set), 1);
    assert_int_equal(imap_set_highest(&set), 4294967295u);
    imap_set_builder_free(&b);
    assert_text(&out, "1:3,7,9:10,4294967294:4294967295");
}

static void test_flags(void **state)
{
    (void)state;
    static const struct {
        const char *text, *written; /* NULL: BAD */
    } rows[] = {
        {"(\\Seen \\Deleted)", "\\Seen \\Deleted"},
        {"\\seen \\ANSWERED", "\\Seen \\Answered"},
        {"()", ""},
        {"(Junk $Forwarded)", "Junk $Forwarded"},
        {"(\\Draft Junk junk $label1)", "\\Draft Junk $label1"},
        {"(\\Recent \\Flagged)", "\\Flagged"}, /* \Recent can not be set */
        {"(\\Unknown)", NULL},
        {"(\\*)", NULL},
        {"(\\)", NULL},
        {"(a(b)", NULL},
        {"(\\Seen  \\Draft)", NULL},
        {"(caf\xc3\xa9)", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena AUTO_ARENA = arena_new(100000);
        struct imap_flags flags;
        struct why why;
        enum err err = imap_flags_parse_in(arena, slice_of(rows[i].text), &flags, &why);
        assert_int_equal(err, rows[i].written ? ERR_OK : ERR_BAD);
        if (!rows[i].written)
            continue;
        AUTO_BUF struct buf out = buf_new(1000);
        imap_flags_write(&out, &flags);
        assert_text(&out, rows[i].written);
    }
}

static void test_strings(void **state)
{
    (void)state;
    static const struct {
        const char *text, *string, *astring;
    } rows[] = {
        {"hello", "\"hello\"", "hello"},
        {"", "\"\"", "\"\""},
        {"a b", "\"a b\"", "\"a b\""},
        {"say \"\\\"", "\"say \\\"\\\\\\\"\"", "\"say \\\"\\\\\\\"\""},
        {"a\r\nb", "{4}\r\na\r\nb", "{4}\r\na\r\nb"},
        {"caf\xc3\xa9", "{5}\r\ncaf\xc3\xa9", "{5}\r\ncaf\xc3\xa9"},
        {"NIL", "\"NIL\"", "\"NIL\""},
        {"a]b", "\"a]b\"", "\"a]b\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_BUF struct buf a = buf_new(1000), b = buf_new(1000);
        imap_write_string(&a, slice_of(rows[i].text));
        imap_write_astring(&b, slice_of(rows[i].text));
        assert_text(&a, rows[i].string);
        assert_text(&b, rows[i].astring);
    }
    AUTO_BUF struct buf out = buf_new(1000);
    imap_write_mailbox(&out, SLICE("Projets \xc3\xa9t\xc3\xa9 & co"), false);
    buf_add_byte(&out, ' ');
    imap_write_mailbox(&out, SLICE("\xc3\xa9t\xc3\xa9"), true);
    buf_add_byte(&out, ' ');
    imap_write_nstring(&out, SLICE_EMPTY);
    buf_add_byte(&out, ' ');
    imap_write_text(&out, SLICE("a\r\nb\xff"));
    assert_text(&out, "\"Projets &AOk-t&AOk- &- co\" \"\xc3\xa9t\xc3\xa9\" NIL a??b?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets),     cmocka_unit_test(test_set_bounds), cmocka_unit_test(test_set_clip),
        cmocka_unit_test(test_set_walk), cmocka_unit_test(test_flags),      cmocka_unit_test(test_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
