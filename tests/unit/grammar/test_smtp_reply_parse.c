/* Replies of remote servers: whole, cut at any byte, and everything that is none. */
#include "check.h"
#include "grammar/smtp_reply_parse.h"

static struct slice judge(struct arena *arena, struct slice input)
{
    struct smtp_reply reply;
    enum smtp_reply_fault fault = SMTP_REPLY_SOUND;
    size_t used = 0;
    switch (smtp_reply_parse(input, &reply, &used, &fault)) {
    case SMTP_REPLY_MORE:
        return SLICE("more");
    case SMTP_REPLY_BAD:
        return slice_of(smtp_reply_fault_text(fault));
    case SMTP_REPLY_DONE:
        break;
    }
    AUTO_BUF struct buf text = buf_new(100000);
    smtp_reply_text(&reply, 1000, &text);
    struct slice rest = slice_from(input, used);
    return arena_printf(arena, "%u %u.%u.%u %zu %.*s|%.*s", reply.code, reply.class, reply.subject,
                        reply.detail, reply.lines, SLICE_ARG(buf_slice(&text)), SLICE_ARG(rest));
}

static const struct {
    const char *input, *wanted; /* "code class.subject.detail lines text|rest", "more", or the fault */
} rows[] = {
    {"250 Ok\r\n", "250 0.0.0 1 Ok|"},
    {"250 2.1.0 Ok\r\nx", "250 2.1.0 1 Ok|x"},
    {"250-a\r\n250-b\r\n250 c\r\n220 z\r\n", "250 0.0.0 3 a b c|220 z\r\n"},
    {"550-5.1.1 No such\r\n550 5.1.1 user\r\n", "550 5.1.1 2 No such user|"},
    {"550-No such\r\n550 5.1.1 user\r\n", "550 5.1.1 2 No such user|"},
    {"550-5.1.1 No such\r\n550 user\r\n", "550 5.1.1 2 No such user|"},
    {"450 4.7.1\r\n", "450 4.7.1 1 |"},
    {"550 4.7.1 x\r\n", "550 0.0.0 1 4.7.1 x|"},
    {"354 3.0.0 x\r\n", "354 0.0.0 1 3.0.0 x|"},
    {"250 2.1000.0 x\r\n", "250 0.0.0 1 2.1000.0 x|"},
    {"250 2..0 x\r\n", "250 0.0.0 1 2..0 x|"},
    {"571 5.7.1 x\r\n", "571 5.7.1 1 x|"},
    {"250\r\n", "250 0.0.0 1 |"},
    {"250-\r\n250\r\n", "250 0.0.0 2 |"},
    {"250 a\tb\r\n", "250 0.0.0 1 a b|"},
    {"250 gr\303\274n \377 \302\205\r\n", "250 0.0.0 1 gr\303\274n ? ?|"},
    {"250 Ok", "more"},
    {"250 Ok\r", "more"},
    {"250-a\r\n", "more"},
    {"2", "more"},
    {"", "more"},
    {"250 Ok\n", "a line of the reply ends in LF alone"},
    {"250-a\n250 b\r\n", "a line of the reply ends in LF alone"},
    {"\n", "a line of the reply ends in LF alone"},
    {"250 a\rb\r\n", "250 0.0.0 1 a?b|"},
    {"250 a\r\r\n", "250 0.0.0 1 a|"},
    {"550 a\001b\r\n", "550 0.0.0 1 a?b|"},
    {"550-5.1.1 a\177b\r\n550 5.1.1 \007\r\n", "550 5.1.1 2 a?b ?|"},
    {"550 5.7.1\033 \033[2J\r\n", "550 0.0.0 1 5.7.1? ?[2J|"},
    {"250 a\001b\n", "a line of the reply ends in LF alone"},
    {"25\0010 a\r\n", "the reply is not SMTP"},
    {"250\001a\r\n", "the reply is not SMTP"},
    {"2\r50 a\r\n", "the reply is not SMTP"},
    {"25 Ok\r\n", "the reply is not SMTP"},
    {"\r\n", "the reply is not SMTP"},
    {"199 x\r\n", "the reply is not SMTP"},
    {"600 x\r\n", "the reply is not SMTP"},
    {"250x\r\n", "the reply is not SMTP"},
    {"250\tx\r\n", "the reply is not SMTP"},
    {"+25 x\r\n", "the reply is not SMTP"},
    {"HTTP/1.1 400\r\n", "the reply is not SMTP"},
    {"HTTP/1.1", "the reply is not SMTP"},
    {"250-a\r\nb\r\n", "the reply is not SMTP"},
    {"250-a\r\n251 b\r\n", "the reply changes its code between lines"},
    {"250-a\r\n550 b\r\n", "the reply changes its code between lines"},
};

static void test_replies(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        assert_text(judge(arena, slice_of(rows[i].input)), rows[i].wanted, i);
    }
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    assert_text(judge(arena, slice_make("550 a\0b\r\n", 9)), "550 0.0.0 1 a?b|", 0);
    assert_text(judge(arena, slice_make("2\0000 a\r\n", 8)), "the reply's code holds a NUL byte", 0);
    assert_text(judge(arena, slice_make("250\0a\r\n", 7)), "the reply's code holds a NUL byte", 0);
    assert_text(judge(arena, slice_make("\0", 1)), "the reply's code holds a NUL byte", 0);
}

/* What is not complete is never taken for complete. */
static void test_cuts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        struct slice input = slice_of(rows[i].input), whole = judge(arena, input);
        struct smtp_reply reply;
        enum smtp_reply_fault fault;
        size_t used = input.len;
        (void)!smtp_reply_parse(input, &reply, &used, &fault);
        for (size_t cut = 0; cut < used; cut++) {
            struct slice got = judge(arena, slice_sub(input, 0, cut));
            if (!slice_eq(got, SLICE("more")) && !slice_eq(got, whole))
                fail_msg("row %zu cut %zu: %.*s", i, cut, SLICE_ARG(got));
        }
    }
}

static enum smtp_reply_fault fault_of(struct slice input)
{
    struct smtp_reply reply;
    enum smtp_reply_fault fault = SMTP_REPLY_SOUND;
    size_t used;
    (void)!smtp_reply_parse(input, &reply, &used, &fault);
    return fault;
}

static void test_bounds(void **state)
{
    (void)state;
    static char line[SMTP_REPLY_REMOTE_LINE_MAX + 10];
    memset(line, 'x', sizeof line);
    memcpy(line, "250 ", 4);
    assert_int_equal(fault_of(slice_make(line, SMTP_REPLY_REMOTE_LINE_MAX - 1)), SMTP_REPLY_SOUND);
    assert_int_equal(fault_of(slice_make(line, SMTP_REPLY_REMOTE_LINE_MAX)), SMTP_REPLY_LONG_LINE);
    line[SMTP_REPLY_REMOTE_LINE_MAX - 2] = '\r', line[SMTP_REPLY_REMOTE_LINE_MAX - 1] = '\n';
    assert_int_equal(fault_of(slice_make(line, SMTP_REPLY_REMOTE_LINE_MAX)), SMTP_REPLY_SOUND);

    AUTO_BUF struct buf many = buf_new(1 << 20);
    for (unsigned i = 0; i < SMTP_REPLY_REMOTE_LINES - 1; i++)
        buf_add(&many, SLICE("250-x\r\n"));
    size_t before = many.len;
    buf_add(&many, SLICE("250 x\r\n"));
    assert_int_equal(fault_of(buf_slice(&many)), SMTP_REPLY_SOUND);
    buf_truncate(&many, before);
    buf_add(&many, SLICE("250-x\r\n250 x\r\n"));
    assert_int_equal(fault_of(buf_slice(&many)), SMTP_REPLY_MANY_LINES);

    AUTO_BUF struct buf big = buf_new(1 << 20);
    line[3] = '-';
    while (big.len <= SMTP_REPLY_REMOTE_MAX)
        buf_add(&big, slice_make(line, SMTP_REPLY_REMOTE_LINE_MAX));
    assert_int_equal(fault_of(buf_slice(&big)), SMTP_REPLY_TOO_LONG);
    assert_int_equal(fault_of(slice_sub(buf_slice(&big), 0, SMTP_REPLY_REMOTE_MAX)), SMTP_REPLY_TOO_LONG);
}

static void test_text_is_bounded(void **state)
{
    (void)state;
    struct slice input = SLICE("250-\303\274\303\274\r\n250 \303\274\r\n");
    struct smtp_reply reply;
    enum smtp_reply_fault fault;
    size_t used;
    assert_int_equal(smtp_reply_parse(input, &reply, &used, &fault), SMTP_REPLY_DONE);
    for (size_t max = 0; max < 10; max++) {
        AUTO_BUF struct buf out = buf_new(100);
        buf_add_byte(&out, 'x');
        smtp_reply_text(&reply, max, &out);
        assert_true(out.len <= max + 1);
        assert_true(slice_is_utf8(buf_slice(&out)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_text_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
