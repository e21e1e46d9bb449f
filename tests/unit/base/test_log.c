/* Log lines: no byte of a client ends a line or a value early. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <jansson.h>

#include "base/log.h"

static const struct log_head head = {
    .role = "smtp", .hostname = "mail.example.org", .pid = 77, .unix_ms = 1795231801123u};

#define LINE(format, out, ...)                                                                               \
    log_format_line(format, &head, LOG_LEVEL_INFO, "smtp.test", LOG_FIELDS(__VA_ARGS__), out)

static void assert_line(const char *line, size_t len, const char *expected)
{
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(line, expected, len);
}

static void test_text(void **state)
{
    (void)state;
    char line[LOG_LINE_MAX];
    size_t len = LINE(LOG_FORMAT_TEXT, line, LOG_STR("a", SLICE("plain")), LOG_STR("b", SLICE("two words")),
                      LOG_STR("c", SLICE_EMPTY), LOG_U64("n", 7), LOG_I64("i", -7), LOG_MS("took", 12),
                      LOG_BOOL("tls", true));
    assert_line(line, len,
                "2026-11-21T03:30:01.123Z smtp info smtp.test a=plain b=\"two words\" c=\"\" n=7 i=-7 "
                "took=12ms tls=true\n");
    len = LINE(LOG_FORMAT_TEXT, line, LOG_STR("a", SLICE("x\r\n2026 fake\" b=1\\\x1b[0m\0\xff")));
    assert_line(line, len,
                "2026-11-21T03:30:01.123Z smtp info smtp.test a=\"x\\r\\n2026 fake\\\" "
                "b=1\\\\\\x1b[0m\\x00\\xff\"\n");
    len = LINE(LOG_FORMAT_TEXT, line, LOG_STR("a", SLICE("J\xc3\xb6rg \xe2\x80\xae\xe2\x80\xa8\xc2\x85")));
    assert_line(line, len,
                "2026-11-21T03:30:01.123Z smtp info smtp.test a=\"J\xc3\xb6rg "
                "\\xe2\\x80\\xae\\xe2\\x80\\xa8\\xc2\\x85\"\n");
    assert_int_equal(LINE(LOG_FORMAT_TEXT, line), strlen("2026-11-21T03:30:01.123Z smtp info smtp.test\n"));
}

/* Whatever bytes: one line feed, at the end; valid JSON; bounded. */
static void test_any_bytes(void **state)
{
    (void)state;
    static uint8_t bytes[20000];
    uint64_t seed = 99;
    for (int round = 0; round < 300; round++) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = (uint8_t)(seed >> 56);
        }
        char line[LOG_LINE_MAX];
        struct slice value = slice_make(bytes, (size_t)(seed >> 40) % sizeof bytes);
        for (int format = 0; format < LOG_FORMAT_COUNT; format++) {
            size_t len = LINE((enum log_format)format, line, LOG_STR("a", value), LOG_STR("b", value),
                              LOG_STR("c", value), LOG_STR("d", value), LOG_STR("e", value),
                              LOG_COMPAT("postfix/smtpd", value), LOG_U64("z", 1));
            assert_in_range(len, 1, LOG_LINE_MAX);
            assert_ptr_equal(memchr(line, '\n', len), line + len - 1);
            if (format != LOG_FORMAT_JSON)
                continue;
            json_t *root = json_loadb(line, len, JSON_ALLOW_NUL, NULL);
            assert_non_null(root);
            json_decref(root);
        }
    }
}

static void test_json(void **state)
{
    (void)state;
    char line[LOG_LINE_MAX];
    size_t len =
        LINE(LOG_FORMAT_JSON, line, LOG_STR("a", SLICE("x\"\n\xff")), LOG_MS("took", 12), LOG_U64("n", 1));
    assert_line(
        line, len,
        "{\"time\":\"2026-11-21T03:30:01.123Z\",\"role\":\"smtp\",\"level\":\"info\",\"event\":\"smtp.test\","
        "\"a\":\"x\\\"\\n\\ufffd\",\"took_ms\":12,\"n\":1}\n");
}

static void test_postfix(void **state)
{
    (void)state;
    char line[LOG_LINE_MAX], time[CLOCK_TEXT_MAX], expected[256];
    assert_int_equal(LINE(LOG_FORMAT_POSTFIX, line, LOG_STR("a", SLICE("x"))), 0);
    size_t len = LINE(LOG_FORMAT_POSTFIX, line, LOG_STR("a", SLICE("x")),
                      LOG_COMPAT("postfix/smtpd", SLICE("lost\nme\xff")));
    (void)clock_syslog(head.unix_ms, time);
    (void)snprintf(expected, sizeof expected, "%s mail.example.org postfix/smtpd[77]: lost?me?\n", time);
    assert_line(line, len, expected);
    char safe[64];
    struct slice evil = SLICE("a b[c]<d>,e=\x01\xc3\xa9z");
    len = log_compat_sanitize(evil, safe, sizeof safe);
    assert_line(safe, len, "a?b?c??d??e????z");
    assert_int_equal(log_compat_sanitize(evil, safe, 3), 3);
}

static size_t read_pipe(int fd, char *out, size_t max)
{
    ssize_t n = read(fd, out, max);
    return n > 0 ? (size_t)n : 0;
}

static void test_outputs_and_brake(void **state)
{
    (void)state;
    int ends[2];
    static char out[65536];
    assert_int_equal(pipe(ends), 0);
    struct log_output output = {.fd = ends[1], .format = LOG_FORMAT_TEXT, .level = LOG_LEVEL_INFO};
    log_setup("imap", SLICE("mail_1"), &output, 1);
    assert_true(log_wants(LOG_LEVEL_INFO));
    assert_false(log_wants(LOG_LEVEL_DEBUG));
    log_debug("imap.silent");
    for (int i = 0; i < 100; i++)
        log_warn("imap.same", LOG_STR("peer", SLICE("store")), LOG_MS("took", (uint64_t)i));
    log_warn("imap.same", LOG_STR("peer", SLICE("auth")));
    size_t len = read_pipe(ends[0], out, sizeof out), lines = 0;
    for (size_t i = 0; i < len; i++)
        lines += out[i] == '\n';
    assert_int_equal(lines, LOG_REPEAT_MAX + 1);
    assert_int_equal(log_suppressed(), 100 - LOG_REPEAT_MAX);
    log_setup("imap", SLICE("mail"), NULL, 0);
    log_error("imap.nowhere");
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),    cmocka_unit_test(test_any_bytes),         cmocka_unit_test(test_json),
        cmocka_unit_test(test_postfix), cmocka_unit_test(test_outputs_and_brake),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
