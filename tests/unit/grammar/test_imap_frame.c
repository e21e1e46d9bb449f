/* Framing of IMAP commands: every input is also fed octet by octet and must give the same answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "grammar/imap_frame.h"

static const struct imap_frame_limits small = {.line = 60, .literals = 20};

/* Runs the framer as a session does and writes down what it answered. `step` octets arrive at a time. */
static void drive(struct slice input, size_t step, struct buf *log)
{
    struct imap_framer framer = imap_framer_new(small);
    AUTO_BUF struct buf in = buf_new(100000);
    size_t given = 0;
    uint64_t message = 0; /* octets of an APPEND still to come */
    for (int turn = 0; turn < 100000; turn++) {
        if (message > 0 && in.len > 0) {
            size_t n = message < in.len ? (size_t)message : in.len;
            message -= n;
            buf_consume(&in, n);
            if (message == 0)
                imap_framer_after_message(&framer);
            continue;
        }
        struct imap_frame f = {.state = IMAP_FRAME_MORE};
        if (message == 0)
            f = imap_framer_next(&framer, buf_slice(&in));
        switch (f.state) {
        case IMAP_FRAME_MORE:
            if (given == input.len)
                return;
            buf_add(&in, slice_sub(input, given, step));
            given += step < input.len - given ? step : input.len - given;
            continue;
        case IMAP_FRAME_CONTINUE:
            buf_addf(log, "+%d ", (int)f.literal);
            continue;
        case IMAP_FRAME_COMPLETE:
            buf_addf(log, "[%.*s] ", (int)f.len - 2, (const char *)in.data);
            break;
        case IMAP_FRAME_MESSAGE:
            buf_addf(log, "(%.*s|%d%s) ", (int)f.len - 2, (const char *)in.data, (int)f.literal,
                     f.sync ? "" : "+");
            message = f.literal;
            if (message == 0)
                imap_framer_after_message(&framer);
            break;
        case IMAP_FRAME_SKIP:
            break;
        case IMAP_FRAME_BAD:
        case IMAP_FRAME_CLOSE:
            buf_addf(log, "%s<%.*s> ", f.state == IMAP_FRAME_BAD ? "BAD" : "CLOSE", SLICE_ARG(f.tag));
            if (f.state == IMAP_FRAME_CLOSE)
                return;
            break;
        }
        buf_consume(&in, f.len);
    }
    fail_msg("the framer does not come to an end");
}

static void test_frames(void **state)
{
    (void)state;
    static const struct {
        const char *input, *expected;
    } rows[] = {
        {"a NOOP\r\n", "[a NOOP] "},
        {"a NOOP\r\nb CAPABILITY\r\nc", "[a NOOP] [b CAPABILITY] "},
        {"a LOGIN {3}\r\nbob {2}\r\npw\r\nb NOOP\r\n", "+3 +2 [a LOGIN {3}\r\nbob {2}\r\npw] [b NOOP] "},
        {"a LOGIN {3+}\r\nbob {0+}\r\n\r\nb NOOP\r\n", "[a LOGIN {3+}\r\nbob {0+}\r\n] [b NOOP] "},
        {"a LOGIN {0}\r\n x\r\n", "+0 [a LOGIN {0}\r\n x] "},
        /* a literal may hold anything, also line ends and announcements */
        {"a X {6+}\r\n{9}\r\nz\r\n", "[a X {6+}\r\n{9}\r\nz] "},
        /* not announcements */
        {"a X {}\r\n", "[a X {}] "},
        {"a X {1x}\r\n", "[a X {1x}] "},
        {"a X {12} \r\n", "[a X {12} ] "},
        /* APPEND hands over at its message */
        {"a APPEND Sent (\\Seen) {5}\r\nhello\r\nb NOOP\r\n", "(a APPEND Sent (\\Seen) {5}|5) [] [b NOOP] "},
        {"a append Sent {5+}\r\nhello (\\Seen) {3}\r\nabc\r\n",
         "(a append Sent {5+}|5+) ( (\\Seen) {3}|3) [] "},
        {"a APPEND {5}\r\nINBOX {4+}\r\nabcd\r\nb NOOP\r\n",
         "+5 (a APPEND {5}\r\nINBOX {4+}|4+) [] [b NOOP] "},
        {"a UID REPLACE 4 x {1+}\r\nh\r\na replace * {1}\r\nx {1}\r\nh\r\n",
         "(a UID REPLACE 4 x {1+}|1+) [] +1 (a replace * {1}\r\nx {1}|1) [] "},
        {"a REPLACE x {1}\r\nh\r\n", "+1 [a REPLACE x {1}\r\nh] "},
        /* what a URL of CATENATE is sent as belongs to the command */
        {"a APPEND URL {2}\r\nhi\r\n", "(a APPEND URL {2}|2) [] "},
        {"a APPEND x CATENATE (URL {2+}\r\n/a URL {2+}\r\n/b text {2}\r\nhi url {2+}\r\n/c)\r\n",
         "(a APPEND x CATENATE (URL {2+}\r\n/a URL {2+}\r\n/b text {2}|2) [ url {2+}\r\n/c)] "},
        {"a APPEND INBOX ~{2}\r\nab\r\n", "(a APPEND INBOX ~{2}|2) [] "},
        {"a APPEND INBOX {99999999}\r\n", "(a APPEND INBOX {99999999}|99999999) "},
        {"a APPEND INBOX {0+}\r\n\r\nb NOOP\r\n", "(a APPEND INBOX {0+}|0+) [] [b NOOP] "},
        /* refused: the rest of the command is dropped, the next is read */
        {"a LOGIN {21}\r\nb NOOP\r\n", "BAD<a> [b NOOP] "},
        {"a LOGIN {21+}\r\nLOGOUT\r\n012345678901 x\r\nb NOOP\r\n", "BAD<a> [b NOOP] "},
        {"a LOGIN {15+}\r\n012345678901234 {15+}\r\n012345678901234 {3}\r\nb NOOP\r\n", "BAD<a> [b NOOP] "},
        {"a 01234567890123456789012345678901234567890123456789012345678901234567890123456789\r\nb NOOP\r\n",
         "BAD<a> [b NOOP] "},
        {"a 01234567890123456789012345678901234567890123456789012345678901234567890 {4+}\r\n\nz\r\n\r\nb "
         "NOOP\r\n",
         "BAD<a> [b NOOP] "},
        {"a X {3+}\r\nabc 012345678901234567890123456789012345678901234567890123456789\r\nb NOOP\r\n",
         "BAD<a> [b NOOP] "},
        {"a X {3}\r\nabc 012345678901234567890123456789012345678901234567890123456789\r\nb NOOP\r\n",
         "+3 BAD<a> [b NOOP] "},
        {"a LOGIN {99999999+}\r\n", "CLOSE<a> "},
        {"a LOGIN {99999999999999999999}\r\nb NOOP\r\n", "BAD<a> [b NOOP] "},
        {"a LOGIN {99999999999999999999+}\r\nb NOOP\r\n", "CLOSE<a> "},
        /* line ends are exact */
        {"a NOOP\nb NOOP\r\n", "BAD<a> [b NOOP] "},
        {"a NO\rOP\r\nb NOOP\r\n", "BAD<a> [b NOOP] "},
        {"a X {3+}\r\nabc\nb NOOP\r\n", "BAD<a> [b NOOP] "},
        {"\r\n\r\nb NOOP\r\n", "[] [] [b NOOP] "},
        {"+ x\n", "BAD<> "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t step = 1; step < 100; step = step * 2 + 1) {
            AUTO_BUF struct buf log = buf_new(10000);
            drive(slice_of(rows[i].input), step, &log);
            buf_add_byte(&log, 0);
            assert_string_equal((const char *)log.data, rows[i].expected);
        }
}

static void test_nul(void **state)
{
    (void)state;
    AUTO_BUF struct buf log = buf_new(1000);
    drive(SLICE("a NO\0OP\r\nb NOOP\r\n"), 1, &log);
    buf_add_byte(&log, 0);
    assert_string_equal((const char *)log.data, "BAD<a> [b NOOP] ");
}

static void test_endless_line_closes(void **state)
{
    (void)state;
    struct imap_framer framer = imap_framer_new(small);
    AUTO_BUF struct buf chunk = buf_new(10000);
    for (int i = 0; i < 1000; i++)
        buf_add_str(&chunk, "aaaaaaaa");
    size_t dropped = 0, held = 0;
    for (int i = 0; i < 100000; i++) {
        struct imap_frame f = imap_framer_next(&framer, slice_make(chunk.data, held));
        if (f.state == IMAP_FRAME_CLOSE) {
            assert_true(dropped > IMAP_SKIP_MAX - 10000);
            return;
        }
        if (f.state == IMAP_FRAME_MORE)
            held = chunk.len;
        held -= f.len;
        dropped += f.len;
    }
    fail_msg("an endless line is read for ever");
}

static void test_lines(void **state)
{
    (void)state;
    static const struct {
        const char *input;
        bool ok;
        size_t used, len;
    } rows[] = {
        {"DONE\r\nx", true, 6, 4},
        {"DONE", false, 0, 0},
        {"DONE\n", false, 5, 0},
        {"\r\n", true, 2, 0},
        {"\n", false, 1, 0},
        {"0123456789\r\n", true, 12, 10},
        {"01234567890\r\n", false, 13, 0},
        {"01234567890123", false, 14, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct slice line = {0};
        size_t used;
        assert_int_equal(imap_line_take(slice_of(rows[i].input), 10, &line, &used), rows[i].ok);
        assert_int_equal(used, rows[i].used);
        assert_int_equal(line.len, rows[i].len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_endless_line_closes),
        cmocka_unit_test(test_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
