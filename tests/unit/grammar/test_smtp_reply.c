/* Replies: ours as bytes, a remote server's as a struct. */
#include "check.h"
#include "grammar/smtp_reply.h"

static void test_build(void **state)
{
    (void)state;
    static const struct {
        unsigned code;
        const char *status, *text, *wanted;
    } rows[] = {
        {250, "2.1.0", "Ok", "250 2.1.0 Ok\r\n"},
        {220, NULL, "mail.example.org ESMTP", "220 mail.example.org ESMTP\r\n"},
        {250, NULL, "a\nb\nc", "250-a\r\n250-b\r\n250 c\r\n"},
        {250, "2.0.0", "a\nb", "250-2.0.0 a\r\n250 2.0.0 b\r\n"},
        {334, NULL, "", "334 \r\n"},
        {221, "2.0.0", "", "221 2.0.0\r\n"},
        {550, "5.1.1", "<a\r@b\x01>", "550 5.1.1 <a?@b?>\r\n"},
        {250, NULL, "a\n", "250 a\r\n"},
        {250, NULL, "a\n\nb", "250-a\r\n250-\r\n250 b\r\n"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_BUF struct buf out = buf_new(10000);
        smtp_reply_add(&out, rows[i].code, rows[i].status, slice_of(rows[i].text));
        assert_text(buf_slice(&out), rows[i].wanted, i);
    }
    AUTO_BUF struct buf out = buf_new(10000);
    smtp_reply_addf(&out, 550, "5.1.1", "<%s>: %d", "x", 7);
    smtp_reply_add_text(&out, &(struct smtp_reply_text){354, NULL, "Go"});
    assert_text(buf_slice(&out), "550 5.1.1 <x>: 7\r\n354 Go\r\n", 0);
}

static void test_long_lines(void **state)
{
    (void)state;
    char text[3000];
    memset(text, 'x', sizeof text);
    for (size_t i = 100; i < 2000; i += 100)
        text[i] = ' ';
    AUTO_BUF struct buf out = buf_new(10000);
    smtp_reply_add(&out, 250, "2.0.0", slice_make(text, sizeof text));
    struct slice rest = buf_slice(&out), line;
    size_t letters = 0;
    while (slice_token(&rest, '\n', &line)) {
        assert_true(line.len + 1 <= SMTP_REPLY_LINE_MAX);
        assert_true(slice_starts(line, rest.len ? SLICE("250-2.0.0 x") : SLICE("250 2.0.0 x")));
        for (size_t i = 0; i < line.len; i++)
            letters += line.ptr[i] == 'x';
    }
    assert_int_equal(letters, sizeof text - 19);
    AUTO_BUF struct buf challenge = buf_new(10000);
    memset(text, 'y', sizeof text);
    smtp_reply_add(&challenge, 334, NULL, slice_make(text, sizeof text));
    assert_int_equal(challenge.len, 4 + sizeof text + 2);
}

static void test_remote(void **state)
{
    (void)state;
    static const struct {
        const char *input, *wanted; /* "code class.subject.detail lines text|rest", "more", "bad" */
    } rows[] = {
        {"250 Ok\r\n", "250 0.0.0 1 Ok|"},
        {"250 2.1.0 Ok\r\nx", "250 2.1.0 1 Ok|x"},
        {"250-a\r\n250-b\r\n250 c\r\n220 z\r\n", "250 0.0.0 3 a\nb\nc|220 z\r\n"},
        {"550-5.1.1 No such\r\n550 5.1.1 user\r\n", "550 5.1.1 2 No such\nuser|"},
        {"550-No such\r\n550 5.1.1 user\r\n", "550 5.1.1 2 No such\nuser|"},
        {"450 4.7.1\r\n", "450 4.7.1 1 |"},
        {"550 4.7.1 x\r\n", "550 0.0.0 1 4.7.1 x|"},
        {"354 3.0.0 x\r\n", "354 0.0.0 1 3.0.0 x|"},
        {"250 2.1000.0 x\r\n", "250 0.0.0 1 2.1000.0 x|"},
        {"250 2..0 x\r\n", "250 0.0.0 1 2..0 x|"},
        {"250\r\n", "250 0.0.0 1 |"},
        {"250-\r\n250\r\n", "250 0.0.0 2 \n|"},
        {"250 Ok\n", "250 0.0.0 1 Ok|"},
        {"250 a\001b\177\r\n", "250 0.0.0 1 a?b?|"},
        {"250 Ok", "more"},
        {"250-a\r\n", "more"},
        {"", "more"},
        {"25 Ok\r\n", "bad"},
        {"\r\n", "bad"},
        {"199 x\r\n", "bad"},
        {"600 x\r\n", "bad"},
        {"250x\r\n", "bad"},
        {"HTTP/1.1 400\r\n", "bad"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct slice input = slice_of(rows[i].input);
        for (size_t cut = 0; cut <= input.len; cut++) {
            AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
            struct smtp_reply reply = smtp_reply_new();
            struct why why;
            struct slice first = slice_sub(input, 0, cut), rest = slice_from(input, cut);
            enum smtp_reply_state got = smtp_reply_feed(&reply, &first, &why);
            if (got == SMTP_REPLY_MORE)
                got = smtp_reply_feed(&reply, &rest, &why);
            else if (got == SMTP_REPLY_DONE)
                rest = slice_from(input, cut - first.len);
            struct slice text = buf_slice(&reply.text);
            struct slice all =
                got == SMTP_REPLY_MORE ? SLICE("more")
                : got == SMTP_REPLY_BAD
                    ? SLICE("bad")
                    : arena_printf(arena, "%u %u.%u.%u %zu %.*s|%.*s", reply.code, reply.class, reply.subject,
                                   reply.detail, reply.lines, SLICE_ARG(text), SLICE_ARG(rest));
            assert_text(all, rows[i].wanted, i);
            smtp_reply_free(&reply);
        }
    }
}

static void test_remote_bounds(void **state)
{
    (void)state;
    static char line[SMTP_REPLY_REMOTE_LINE_MAX + 10];
    struct smtp_reply reply = smtp_reply_new();
    struct why why;
    memset(line, 'x', sizeof line);
    memcpy(line, "250-", 4);
    struct slice input = slice_make(line, sizeof line);
    assert_int_equal(smtp_reply_feed(&reply, &input, &why), SMTP_REPLY_BAD);
    smtp_reply_clear(&reply);
    /* text past its bound is dropped, the reply still ends */
    line[3000] = '\r', line[3001] = '\n';
    for (int i = 0; i < 20; i++) {
        input = slice_make(line, 3002);
        assert_int_equal(smtp_reply_feed(&reply, &input, &why), SMTP_REPLY_MORE);
    }
    assert_true(reply.cut && reply.text.len <= SMTP_REPLY_REMOTE_TEXT);
    input = SLICE("250 x\r\n");
    assert_int_equal(smtp_reply_feed(&reply, &input, &why), SMTP_REPLY_DONE);
    assert_int_equal(reply.lines, 21);
    smtp_reply_clear(&reply);
    assert_false(reply.cut);
    enum smtp_reply_state got = SMTP_REPLY_MORE;
    for (int i = 0; i <= SMTP_REPLY_REMOTE_LINES && got == SMTP_REPLY_MORE; i++) {
        input = SLICE("250-x\r\n");
        got = smtp_reply_feed(&reply, &input, &why);
    }
    assert_int_equal(got, SMTP_REPLY_BAD);
    smtp_reply_free(&reply);
    smtp_reply_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_remote),
        cmocka_unit_test(test_remote_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
