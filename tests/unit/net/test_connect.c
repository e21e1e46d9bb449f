/* test_connect.c: outgoing connections on loopback: made, refused, too late, from a chosen address, given up.
 */
#include "net_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "net/connect.h"

struct result {
    bool done;
    int fd, error;
};

static void on_done(void *ctx, int fd, int error)
{
    struct result *r = ctx;
    *r = (struct result){true, fd, error};
}

static int listen_at(const char *address, int backlog, uint16_t *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(inet_pton(AF_INET, address, &in.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *port = ntohs(in.sin_port);
    return fd;
}

static struct netaddr address(const char *text, uint16_t port)
{
    struct netaddr addr;
    assert_true(netaddr_parse(slice_of(text), &addr));
    addr.port = port;
    return addr;
}

static struct result call(struct loop *loop, const struct netaddr *to, const struct netaddr *from,
                          uint64_t ms)
{
    struct result r = {.fd = -1};
    (void)connect_begin(loop, to, from, ms, on_done, &r);
    assert_false(r.done); /* never from inside the call */
    run_until(loop, &r.done);
    return r;
}

static void test_made(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    uint16_t port;
    int listener = listen_at("127.0.0.1", 5, &port);
    const struct netaddr to = address("127.0.0.1", port), from = address("127.0.0.9", 4711);
    struct result r = call(loop, &to, &from, 1000);
    assert_true(r.fd >= 0 && r.error == 0);
    assert_true(fcntl(r.fd, F_GETFL) & O_NONBLOCK);
    struct sockaddr_in in;
    socklen_t len = sizeof in;
    assert_int_equal(getsockname(r.fd, (struct sockaddr *)&in, &len), 0);
    assert_int_equal(ntohl(in.sin_addr.s_addr), 0x7f000009);
    (void)close(r.fd);
    const struct netaddr six = address("::1", 0);
    r = call(loop, &to, &six, 1000); /* a source of another family is left out */
    assert_true(r.fd >= 0);
    (void)close(r.fd);
    (void)close(listener);
    loop_free(&loop);
}

static void test_failures(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    uint16_t port;
    int listener = listen_at("127.0.0.1", 5, &port);
    const struct netaddr to = address("127.0.0.1", port), stranger = address("192.0.2.1", 0), none = {0};
    struct result r = call(loop, &to, &stranger, 1000);
    assert_int_equal(r.error, EADDRNOTAVAIL);
    assert_int_equal(r.fd, -1);
    (void)close(listener);
    r = call(loop, &to, NULL, 1000);
    assert_int_equal(r.error, ECONNREFUSED);
    assert_string_equal(connect_error_text(r.error), "connection refused");
    r = call(loop, &none, NULL, 1000);
    assert_int_equal(r.error, EAFNOSUPPORT);
    loop_free(&loop);
}

/* A listener whose queue is full answers nobody. */
static void test_time_is_over(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    uint16_t port;
    int listener = listen_at("127.0.0.1", 0, &port), filled[8];
    const struct netaddr to = address("127.0.0.1", port);
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(0x7f000001)};
    for (size_t i = 0; i < ARRAY_LEN(filled); i++) {
        filled[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(filled[i], (struct sockaddr *)&in, sizeof in);
    }
    run_for(loop, 20);
    struct result r = call(loop, &to, NULL, 100);
    assert_int_equal(r.error, ETIMEDOUT);
    for (size_t i = 0; i < ARRAY_LEN(filled); i++)
        (void)close(filled[i]);
    (void)close(listener);
    loop_free(&loop);
}

static void test_given_up(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    uint16_t port;
    int listener = listen_at("127.0.0.1", 5, &port);
    const struct netaddr to = address("127.0.0.1", port), none = {0};
    struct result r = {.fd = -1};
    struct connecting *c = connect_begin(loop, &to, NULL, 1000, on_done, &r);
    connect_cancel(&c);
    assert_null(c);
    c = connect_begin(loop, &none, NULL, 1000, on_done, &r);
    connect_cancel(&c);
    connect_cancel(&c);
    connect_cancel(NULL);
    run_for(loop, 20);
    assert_false(r.done);
    (void)close(listener);
    loop_free(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_time_is_over),
        cmocka_unit_test(test_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
