/* test_session.c: HTTP connections over a socketpair: pages, keep-alive, refusals, what health means. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/session.h"

static struct metric_block *blocks[ROLE_COUNT];
static struct metric_head *heads[ROLE_COUNT];

static const struct metric_block *test_metrics(struct http *http, enum role role)
{
    (void)http;
    return blocks[role];
}

static void make_blocks(void)
{
    for (int r = ROLE_SUPERVISOR; r <= ROLE_HTTP; r++) {
        struct why why;
        int fd = -1;
        assert_int_equal(metric_block_new(&metrics_table, &fd, &why), ERR_OK);
        heads[r] = mmap(NULL, metric_block_size(&metrics_table), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_ptr_not_equal(heads[r], MAP_FAILED);
        if (metric_attach(&metrics_table, fd, role_name((enum role)r), &why) != ERR_OK)
            fail_msg("%s", why.text);
        assert_int_equal(metric_block_map(&metrics_table, fd, &blocks[r], &why), ERR_OK);
        (void)close(fd);
        atomic_store(&heads[r]->pid, 1);
        atomic_store(&heads[r]->beats, 1);
        atomic_store(&heads[r]->beat_mono_ms, clock_mono_ms());
        atomic_store(&heads[r]->state, METRIC_READY);
    }
    atomic_store(&heads[ROLE_SUPERVISOR]->beat_mono_ms, 1); /* at its start only */
}

struct fixture {
    struct loop *loop;
    struct http *http;
    struct settings settings;
    int fd;
    char text[1 << 20];
};

static void stop(void *arg)
{
    loop_stop(arg);
}

static void turn(struct fixture *f)
{
    struct loop_timer *timer = loop_timer_new(f->loop, stop, f->loop);
    loop_timer_set(timer, 2);
    loop_run(f->loop);
    loop_timer_free(&timer);
}

static void begin(struct fixture *f)
{
    int fds[2];
    static const struct stream_ops none = {0};
    const struct netaddr peer = {.family = NETADDR_V4};
    const struct listener_arrival arrival = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    f->fd = fds[1];
    http_session_begin(f->http, stream_new(f->loop, fds[0], &peer, &none, NULL), &arrival);
}

static void setup(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    f->loop = loop_new();
    f->settings.limits.http_sessions = 3;
    f->http = http_new(f->loop, &f->settings);
    f->http->metrics = test_metrics;
    begin(f);
}

static void teardown(struct fixture *f)
{
    (void)close(f->fd);
    turn(f);
    assert_int_equal(f->http->service.session_count, 0);
    http_free(f->http);
    loop_free(&f->loop);
}

/* What comes back for `request`; "" when nothing did. `*closed`: the server ended the connection. */
static const char *ask(struct fixture *f, const char *request, bool *closed)
{
    size_t at = 0;
    *closed = false;
    assert_int_equal(write(f->fd, request, strlen(request)), strlen(request));
    for (int i = 0; i < 10; i++) {
        turn(f);
        ssize_t got = read(f->fd, f->text + at, sizeof f->text - 1 - at);
        if (got > 0)
            at += (size_t)got;
        *closed = *closed || got == 0;
    }
    f->text[at] = 0;
    return f->text;
}

#define H " HTTP/1.1\r\nHost: x\r\n\r\n"

static void expect(struct fixture *f, const char *request, const char *start, const char *part, bool closes)
{
    bool closed;
    const char *got = ask(f, request, &closed);
    if (strncmp(got, start, strlen(start)) != 0 || !strstr(got, part) || closed != closes)
        fail_msg("%s -> closed %d: %s", request, closed, got);
}

static void test_pages(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    expect(&f, "GET /livez" H, "HTTP/1.1 200 OK\r\n", "\r\n\r\nok\n", false);
    expect(&f, "GET /readyz" H, "HTTP/1.1 200 OK\r\n", "\r\n\r\nok\n", false);
    expect(&f, "GET /metrics" H, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4", "# TYPE ",
           false);
    expect(&f, "GET /nothing" H, "HTTP/1.1 404 ", "not found", false);
    expect(&f, "POST /metrics" H, "HTTP/1.1 405 ", "Allow: GET, HEAD", false);
    bool closed;
    const char *head = ask(&f, "HEAD /livez" H, &closed);
    assert_non_null(strstr(head, "Content-Length: 3\r\n"));
    assert_true(slice_ends(slice_of(head), SLICE("\r\n\r\n")));
    /* two at once, then the last one */
    expect(&f, "GET /livez" H "GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200",
           "404 Not Found", true);
    teardown(&f);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *request, *start;
    } cases[] = {
        {"nonsense\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/3.0\r\n\r\n", "HTTP/1.1 505 "},
        {"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 413 "},
        {"GET /livez HTTP/1.0\r\n\r\n", "HTTP/1.1 200 "},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture f;
        setup(&f);
        expect(&f, cases[i].request, cases[i].start, "Connection: close", true);
        teardown(&f);
    }
    struct fixture f;
    static char large[HTTP_HEAD_MAX + 10];
    setup(&f);
    memset(large, 'a', sizeof large - 1);
    expect(&f, large, "HTTP/1.1 431 ", "", true);
    teardown(&f);
}

static void test_health(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    atomic_store(&heads[ROLE_DNS]->state, METRIC_BROKEN); /* names have no say */
    expect(&f, "GET /readyz" H, "HTTP/1.1 200", "ok", false);
    atomic_store(&heads[ROLE_STORE]->state, METRIC_READY | METRIC_SPACE_LOW);
    expect(&f, "GET /readyz" H, "HTTP/1.1 503", "store: free space", false);
    atomic_store(&heads[ROLE_STORE]->state, METRIC_READY);
    atomic_store(&heads[ROLE_AUTH]->state, 0);
    expect(&f, "GET /readyz" H, "HTTP/1.1 503", "auth: not ready", false);
    atomic_store(&heads[ROLE_AUTH]->state, METRIC_READY);
    atomic_store(&heads[ROLE_SMTP]->state, METRIC_READY | METRIC_DRAINING);
    expect(&f, "GET /readyz" H, "HTTP/1.1 503", "smtp: going down", false);
    expect(&f, "GET /livez" H, "HTTP/1.1 200", "ok", false);
    atomic_store(&heads[ROLE_SMTP]->state, METRIC_READY);
    atomic_store(&heads[ROLE_SCAN]->beat_mono_ms, clock_mono_ms() - 60000);
    expect(&f, "GET /livez" H, "HTTP/1.1 503", "scan hangs", false);
    atomic_store(&heads[ROLE_SCAN]->beat_mono_ms, clock_mono_ms());
    atomic_store(&heads[ROLE_SCAN]->pid, 0); /* died: comes back on its own */
    expect(&f, "GET /livez" H, "HTTP/1.1 200", "ok", false);
    teardown(&f);
}

static void test_session_limit(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    int first = f.fd;
    begin(&f);
    int second = f.fd;
    begin(&f);
    int third = f.fd;
    begin(&f);
    char c;
    turn(&f);
    assert_int_equal(read(f.fd, &c, 1), 0);
    (void)close(first);
    (void)close(second);
    (void)close(third);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_health),
        cmocka_unit_test(test_session_limit),
    };
    make_blocks();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (int r = ROLE_DNS; r <= ROLE_HTTP; r++) {
        (void)munmap(heads[r], metric_block_size(&metrics_table));
        metric_block_unmap(&metrics_table, &blocks[r]);
    }
    return failed;
}
