/* Command lines out of a stream, cut at every place. */
#include "check.h"
#include "grammar/smtp_command.h"

#define MAX 8

static const char *const names[] = {"ok", "more", "long", "lf", "cr", "nul"};

/* "state:line" for every answer but MORE. */
static struct slice run(struct arena *arena, struct slice input, size_t cut)
{
    struct slice text = SLICE_EMPTY, line = SLICE_EMPTY;
    struct buf held = buf_new(100);
    bool skipping = false;
    for (size_t at = 0; at < input.len;) {
        size_t len = at < cut ? cut - at : 1;
        buf_add(&held, slice_sub(input, at, len));
        at += len;
        struct slice rest = buf_slice(&held);
        enum smtp_line_state state;
        while ((state = smtp_line_take(&rest, MAX, &skipping, &line)) != SMTP_LINE_MORE)
            text = arena_printf(arena, "%.*s%s%s%s%.*s", SLICE_ARG(text), text.len ? "," : "", names[state],
                                state == SMTP_LINE_TOO_LONG ? "" : ":",
                                SLICE_ARG(state == SMTP_LINE_TOO_LONG ? SLICE_EMPTY : line));
        assert_true(rest.len < MAX);
        buf_consume(&held, held.len - rest.len);
    }
    buf_free(&held);
    return text;
}

static void test_lines(void **state)
{
    (void)state;
    static const struct {
        const char *input, *wanted;
    } rows[] = {
        {"", ""},
        {"NOOP\r\n", "ok:NOOP"},
        {"a\r\nb\r\nc", "ok:a,ok:b"},
        {"\r\n", "ok:"},
        {"\n", "lf:"},
        {"a\nb\r\n", "lf:a,ok:b"},
        {"a\rb\r\n", "cr:a\rb"},
        {"a\r\r\n", "cr:a\r"},
        {"123456\r\n", "ok:123456"},
        {"1234567\r\nQ\r\n", "long,ok:Q"},
        {"12345678901234567890\r\nQ\r\n", "long,ok:Q"},
        {"12345678901234567890", "long"},
        {"1234567\n\r\n", "lf:1234567,ok:"},
        {"12345678\n\r\n", "long,ok:"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t cut = 0; cut <= strlen(rows[i].input); cut++) {
            AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
            assert_text(run(arena, slice_of(rows[i].input), cut), rows[i].wanted, i);
        }
    }
}

static void test_nul(void **state)
{
    (void)state;
    struct slice input = slice_make("a\0b\r\nQ\r\n", 8), line;
    bool skipping = false;
    assert_int_equal(smtp_line_take(&input, MAX, &skipping, &line), SMTP_LINE_NUL);
    assert_int_equal(smtp_line_take(&input, MAX, &skipping, &line), SMTP_LINE_OK);
    assert_text(line, "Q", 0);
    assert_int_equal(smtp_line_take(&input, MAX, &skipping, &line), SMTP_LINE_MORE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines), cmocka_unit_test(test_nul)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
