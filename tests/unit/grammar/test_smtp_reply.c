/* Replies as we build them. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build),
        cmocka_unit_test(test_long_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
