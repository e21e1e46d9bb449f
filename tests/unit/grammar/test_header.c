/* Header blocks, folding, comments, message ids. */
#include "check.h"
#include "grammar/header.h"

/* Fields as "[name|value]", junk as "[!raw]", line ends shown as '/'. */
static struct slice render(struct arena *arena, struct slice block)
{
    struct header_iter iter = header_iter_new(block);
    struct header_field f;
    AUTO_BUF struct buf out = buf_new(100000);
    size_t at = 0;
    while (header_next(&iter, &f)) {
        assert_int_equal(f.offset, at);
        assert_ptr_equal(f.raw.ptr, block.ptr + at);
        at += f.raw.len;
        buf_add_str(&out, f.junk ? "[!" : "[");
        buf_add(&out, f.junk ? f.raw : f.name);
        if (!f.junk) {
            buf_add_str(&out, "|");
            buf_add(&out, f.value);
        }
        buf_add_str(&out, "]");
    }
    struct slice text = arena_dup(arena, buf_slice(&out));
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '\r' || text.ptr[i] == '\n')
            ((uint8_t *)(uintptr_t)text.ptr)[i] = text.ptr[i] == '\r' ? '<' : '/';
    return text;
}

static void test_fields(void **state)
{
    (void)state;
    static const struct {
        const char *block, *wanted;
    } rows[] = {
        {"", ""},
        {"A: b\r\n", "[A| b]"},
        {"A: b", "[A| b]"},
        {"A:b\r\nC:d\r\n", "[A|b][C|d]"},
        {"A: b\r\n c\r\n\td\r\nE: f\r\n", "[A| b</ c</\td][E| f]"},
        {"A: b\r\n \r\nC: d\r\n", "[A| b</ ][C| d]"},
        {"A : b\r\n", "[A| b]"},
        {"A:\r\n", "[A|]"},
        {"A: b\nC: d\n e\n", "[A| b][C| d/ e]"},
        {"From x@y Mon Jan 1\r\nA: b\r\n", "[!From x@y Mon Jan 1</][A| b]"},
        {" x\r\nA: b\r\n", "[! x</][A| b]"},
        {"junk\r\n more\r\nA: b\r\n", "[!junk</ more</][A| b]"},
        {": b\r\n", "[!: b</]"},
        {"A B: c\r\n", "[!A B: c</]"},
        {"\xc3\xa4: c\r\n", "[!\xc3\xa4: c</]"},
        {"A: b\r\n\r\nbody: x\r\n", "[A| b]"},
        {"A: b\r\nno", "[A| b][!no]"},
        {"A: b\rC: d\r\n", "[A| b<C: d]"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        assert_text(render(arena, slice_of(rows[i].block)), rows[i].wanted, i);
    }
}

static void test_split_and_find(void **state)
{
    (void)state;
    static const struct {
        const char *message, *header, *body;
    } rows[] = {
        {"A: b\r\n\r\nbody\r\n\r\nx", "A: b\r\n", "body\r\n\r\nx"},
        {"\r\nbody", "", "body"},
        {"A: b\r\n", "A: b\r\n", ""},
        {"A: b\n\nbody", "A: b\n", "body"},
        {"", "", ""},
        {"A: b\r\n\r\n", "A: b\r\n", ""},
        {"A\r\n \r\n\r\nb", "A\r\n \r\n", "b"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct slice header, body;
        header_split(slice_of(rows[i].message), &header, &body);
        assert_text(header, rows[i].header, i);
        assert_text(body, rows[i].body, i);
    }
    struct header_field f;
    struct slice block = SLICE("To: 1\r\nto: 2\r\nX: 3\r\n");
    assert_true(header_find(block, SLICE("TO"), &f) && slice_eq(f.value, SLICE(" 1")));
    assert_true(header_find_last(block, SLICE("TO"), &f) && slice_eq(f.value, SLICE(" 2")));
    assert_false(header_find(block, SLICE("T"), &f));
    assert_false(header_find(block, SLICE(""), &f));
}

static void test_bounds(void **state)
{
    (void)state;
    static char block[(HEADER_FIELDS_MAX + 5) * 3];
    for (size_t i = 0; i < sizeof block; i += 3)
        memcpy(block + i, "a:\n", 3);
    struct header_iter iter = header_iter_new(slice_make(block, sizeof block));
    struct header_field f;
    size_t count = 0;
    while (header_next(&iter, &f))
        count++;
    assert_int_equal(count, HEADER_FIELDS_MAX + 1);
    assert_true(f.junk);
    assert_int_equal(f.raw.len, 15);
    memset(block, 'n', HEADER_NAME_MAX + 1);
    block[HEADER_NAME_MAX] = ':';
    iter = header_iter_new(slice_make(block, HEADER_NAME_MAX + 10));
    assert_true(header_next(&iter, &f) && !f.junk && f.name.len == HEADER_NAME_MAX);
    block[HEADER_NAME_MAX] = 'n';
    block[HEADER_NAME_MAX + 1] = ':';
    iter = header_iter_new(slice_make(block, HEADER_NAME_MAX + 10));
    assert_true(header_next(&iter, &f) && f.junk);
}

static void test_unfold_and_comments(void **state)
{
    (void)state;
    static const struct {
        const char *value, *unfolded, *stripped;
    } rows[] = {
        {" a\r\n b", "a b", "a b"},
        {" a\n\tb ", "a\tb", "a\tb"},
        {"a\rb\nc", "a b c", "a b c"},
        {"\r\n a", "a", "a"},
        {"a (b (c) \\) d) e", "a (b (c) \\) d) e", "a   e"},
        {"\"a (b)\" (c)", "\"a (b)\" (c)", "\"a (b)\""},
        {"a (b", "a (b", "a"},
        {"\"a (b)", "\"a (b)", "\"a"},
        {"(a)", "(a)", ""},
        {"a)", "a)", "a)"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        assert_text(header_unfold_in(arena, slice_of(rows[i].value)), rows[i].unfolded, i);
        assert_text(header_strip_comments_in(arena, slice_of(rows[i].value)), rows[i].stripped, i);
    }
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    assert_text(header_unfold_in(arena, slice_make("a\0b", 3)), "a b", 0);
    assert_int_equal(header_comment_len(SLICE("(a)b")), 3);
    assert_int_equal(header_comment_len(SLICE("(ab")), 3);
    assert_int_equal(header_comment_closed_len(SLICE("(ab")), 0);
    assert_int_equal(header_comment_closed_len(SLICE("(a\\)")), 0);
    assert_int_equal(header_quoted_len(SLICE("\"a\\\"b\"c")), 6);
    assert_int_equal(header_quoted_len(SLICE("\"a")), 0);
    assert_text(header_skip_cfws(SLICE(" \r\n\t(x)(y) z")), "z", 0);
    /* deep nesting is bounded, and takes linear time */
    static char deep[200000];
    memset(deep, '(', sizeof deep);
    assert_int_equal(header_comment_len(slice_make(deep, sizeof deep)), sizeof deep);
}

static void test_msgids(void **state)
{
    (void)state;
    static const struct {
        const char *value, *wanted;
    } rows[] = {
        {"<a@b>", "a@b"},
        {" <a@b>\r\n\t<c@d> <e@f>", "a@b,c@d,e@f"},
        {"<a@b><c@d>", "a@b,c@d"},
        {"<a@b>,<c@d>", "a@b,c@d"},
        {"<a@\r\n b>", "a@b"},
        {"< a@b >", "a@b"},
        {"<a>", "a"},
        {"<a b>", ""},
        {"<>", ""},
        {"< >", ""},
        {"Your message of \"Mon, 1 Jan\" <a@b>", "a@b"},
        {"<a@b> from joe@example.org", "a@b"},
        {"a@b c@d", "a@b,c@d"},
        {"no ids here", ""},
        {"<a@b", ""},
        {"<a@b <c@d>", "c@d"},
        {"<Mon, 1 Jan> <a@b>", "a@b"},
        {"", ""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        struct slice rest = slice_of(rows[i].value), id, all = SLICE_EMPTY;
        while (header_msgid_take_in(arena, &rest, &id))
            all = arena_printf(arena, "%.*s%s%.*s", SLICE_ARG(all), all.len ? "," : "", SLICE_ARG(id));
        assert_text(all, rows[i].wanted, i);
    }
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    static char big[HEADER_MSGID_MAX + 3 + 5];
    memset(big, 'x', sizeof big);
    big[0] = '<';
    memcpy(big + HEADER_MSGID_MAX + 2, "><a@b>", 6);
    struct slice rest = slice_make(big, sizeof big), id;
    assert_true(header_msgid_take_in(arena, &rest, &id) && slice_eq(id, SLICE("a@b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields), cmocka_unit_test(test_split_and_find),
        cmocka_unit_test(test_bounds), cmocka_unit_test(test_unfold_and_comments),
        cmocka_unit_test(test_msgids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
