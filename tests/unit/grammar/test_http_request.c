/* test_http_request.c: heads of HTTP requests: good, cut anywhere, and those which could be read in two ways.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "grammar/http_request.h"

static enum http_state parse(const char *text, struct http_request *r)
{
    size_t consumed = 0;
    enum http_state state = http_request_parse(slice_of(text), r, &consumed);
    if (state == HTTP_DONE)
        assert_true(consumed <= strlen(text) && slice_ends(slice_make(text, consumed), SLICE("\r\n\r\n")));
    return state;
}

static const struct {
    const char *text;
    enum http_state state;
    enum http_method method;
    const char *path, *query;
    bool keep_alive;
} cases[] = {
    {"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", HTTP_DONE, HTTP_GET, "/metrics", "", true},
    {"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", HTTP_DONE, HTTP_GET, "/", "", true},
    {"HEAD /livez?a=b?c HTTP/1.0\r\n\r\n", HTTP_DONE, HTTP_HEAD, "/livez", "a=b?c", false},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", HTTP_DONE, HTTP_GET, "/", "", true},
    {"GET / HTTP/1.1\r\nHost: x\r\nConnection: x, Close\r\n\r\nmore", HTTP_DONE, HTTP_GET, "/", "", false},
    {"BREW /pot HTTP/1.1\r\nHost:\r\n\r\n", HTTP_DONE, HTTP_OTHER_METHOD, "/pot", "", true},
    {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", HTTP_DONE, HTTP_POST, "/", "", true},
    {"GET / HTTP/1.1\r\n\r\n", HTTP_BAD},                       /* no Host */
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", HTTP_BAD}, /* two */
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\nHost: a\n\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", HTTP_BAD},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", HTTP_BAD},
    {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD},
    {"GET / x HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD},
    {"GET /\r\n\r\n", HTTP_BAD},
    {"(GET) / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD},
    {"\x16\x03\x01\x02\n", HTTP_BAD},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", HTTP_NO_VERSION},
    {"GET / HTTP/1.1\r\nHost: a\r\n", HTTP_MORE},
    {"GET / HT", HTTP_MORE},
    {"", HTTP_MORE},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_request r = {0};
        if (parse(cases[i].text, &r) != cases[i].state)
            fail_msg("case %zu: %s", i, cases[i].text);
        if (cases[i].state != HTTP_DONE)
            continue;
        assert_int_equal(r.method, cases[i].method);
        assert_true(slice_eq(r.path, slice_of(cases[i].path)));
        assert_true(slice_eq(r.query, slice_of(cases[i].query)));
        assert_int_equal(r.keep_alive, cases[i].keep_alive);
    }
}

static void test_bounds(void **state)
{
    (void)state;
    static char text[HTTP_HEAD_MAX + 100];
    struct http_request r;
    memset(text, 'a', sizeof text - 1);
    memcpy(text, "GET /", 5);
    text[HTTP_HEAD_MAX - 1] = 0;
    assert_int_equal(parse(text, &r), HTTP_MORE);
    text[HTTP_HEAD_MAX - 1] = 'a';
    assert_int_equal(parse(text, &r), HTTP_TOO_LARGE);
    size_t at = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (unsigned i = 0; i < HTTP_FIELDS_MAX; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "X: y\r\n");
    (void)snprintf(text + at, sizeof text - at, "\r\n");
    assert_int_equal(parse(text, &r), HTTP_TOO_LARGE);
}

/* Every piece that is too short wants more. */
static void test_cut_anywhere(void **state)
{
    (void)state;
    static const char text[] =
        "GET /metrics?x HTTP/1.1\r\nHost: mail.example.test:9166\r\nAccept: */*\r\n\r\n";
    for (size_t i = 0; i < sizeof text - 1; i++) {
        struct http_request r;
        size_t consumed;
        assert_int_equal(http_request_parse(slice_make(text, i), &r, &consumed), HTTP_MORE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_cut_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
