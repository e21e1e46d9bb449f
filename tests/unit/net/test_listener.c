/* test_listener.c: arrivals over TCP on loopback: PROXY headers in every form and cut, implicit TLS, the
 * health checks of load balancers, running out of descriptors. */
#include "net_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>

#include "grammar/proxy.h"
#include "net/listener.h"
#include "settings/metrics.h"

struct fixture {
    struct loop *loop;
    struct settings settings;
    struct settings_listener listener_settings;
    struct conf_network proxies[1];
    struct listener *listener;
    struct tls_context *tls;
    int fd;
    uint16_t port;
    /* what arrived last */
    struct stream *stream;
    bool arrived, lost, ended;
    struct netaddr asked;
    unsigned questions, closed;
    unsigned arrivals, losses;
    struct listener_arrival arrival;
    enum listener_loss loss;
    char client[NETADDR_TEXT_MAX];
    struct buf got;
};

static void on_readable(void *ctx, struct stream *stream)
{
    struct fixture *f = ctx;
    buf_add(&f->got, stream_input(stream));
    stream_consume(stream, stream_input(stream).len);
}

static void on_ended(void *ctx, struct stream *stream, enum stream_end end)
{
    struct fixture *f = ctx;
    (void)stream;
    (void)end;
    f->ended = true;
    stream_free(&f->stream);
}

static const struct stream_ops owner_ops = {.readable = on_readable, .ended = on_ended};

static void on_arrived(void *ctx, struct stream *stream, const struct listener_arrival *arrival)
{
    struct fixture *f = ctx;
    stream_free(&f->stream);
    f->arrived = true;
    f->arrivals++;
    f->arrival = *arrival;
    f->stream = stream;
    (void)snprintf(f->client, sizeof f->client, "%s", netaddr_text_port(stream_client(stream)).text);
    stream_set_owner(stream, &owner_ops, f);
    stream_write(stream, SLICE("220 hello\r\n"));
}

static void on_lost(void *ctx, const struct listener_arrival *arrival, const struct netaddr *client,
                    enum listener_loss loss, const char *text)
{
    struct fixture *f = ctx;
    (void)arrival;
    (void)client;
    assert_non_null(text);
    f->lost = true;
    f->losses++;
    f->loss = loss;
}

static const char *refuses; /* what on_asked() answers */

static void on_closed(void *arg)
{
    struct fixture *f = arg;
    f->closed++;
}

static const char *on_asked(void *ctx, struct stream *stream, const struct listener_arrival *arrival)
{
    struct fixture *f = ctx;
    assert_false(arrival->probe);
    f->asked = *stream_client(stream);
    f->questions++;
    stream_on_close(stream, on_closed, f);
    return refuses;
}

static const struct listener_ops ops = {.refusal = on_asked, .arrived = on_arrived, .lost = on_lost};

static void setup(struct fixture *f, enum settings_proxy proxy, struct tls_context *tls)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    memset(f, 0, sizeof *f);
    f->loop = loop_new();
    f->got = buf_new(1 << 20);
    f->tls = tls;
    f->listener_settings = (struct settings_listener){
        .service = SETTINGS_MX, .proxy = proxy, .tls = tls ? SETTINGS_TLS_IMPLICIT : SETTINGS_TLS_NONE};
    f->settings.listeners.items = &f->listener_settings;
    f->settings.listeners.count = 1;
    assert_true(conf_read_network(SLICE("127.0.0.0/8"), &f->proxies[0]));
    f->settings.proxy_trusted_networks.items = f->proxies;
    f->settings.proxy_trusted_networks.count = 1;
    f->settings.timeouts.handshake = 300;
    f->settings.timeouts.proxy_header = 300;
    f->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(f->fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(f->fd, 100), 0);
    assert_int_equal(getsockname(f->fd, (struct sockaddr *)&at, &len), 0);
    f->port = ntohs(at.sin_port);
    f->listener = listener_new(f->loop, f->fd, 0, &f->settings, tls, &ops, f);
}

static void teardown(struct fixture *f)
{
    listener_free(&f->listener);
    stream_free(&f->stream);
    run_for(f->loop, 1);
    (void)close(f->fd);
    buf_free(&f->got);
    loop_free(&f->loop);
}

static int dial(struct fixture *f)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(f->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static void reset(int fd)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    (void)close(fd);
}

static const uint8_t local_header[] = "\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
#define LOCAL_LEN 16

static size_t header_v2(uint8_t out[PROXY_V2_WRITE_MAX], bool checksum)
{
    struct netaddr source, destination;
    assert_true(netaddr_parse_port(SLICE("[2001:db8::7]:4711"), &source));
    assert_true(netaddr_parse_port(SLICE("[2001:db8::1]:25"), &destination));
    return proxy_write_v2(&source, &destination, checksum, out);
}

static void test_direct(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, SETTINGS_PROXY_OFF, NULL);
    int fd = dial(&f);
    run_until(f.loop, &f.arrived);
    assert_true(strncmp(f.client, "127.0.0.1:", 10) == 0);
    assert_false(f.arrival.probe || f.arrival.by_proxy);
    char text[20] = "";
    assert_int_equal(read(fd, text, sizeof text), 11);
    assert_int_equal(write(fd, "EHLO\r\n", 6), 6);
    run_for(f.loop, 20);
    assert_true(slice_eq(buf_slice(&f.got), SLICE("EHLO\r\n")));
    (void)close(fd);
    run_until(f.loop, &f.ended);
    teardown(&f);
}

static void test_headers(void **state)
{
    (void)state;
    static const char v1[] = "PROXY TCP4 203.0.113.5 192.0.2.1 4711 25\r\n";
    static const char unknown[] = "PROXY UNKNOWN\r\n";
    uint8_t v2[PROXY_V2_WRITE_MAX], checked[PROXY_V2_WRITE_MAX];
    const struct {
        const void *bytes;
        size_t len;
        const char *client;
        bool probe;
    } cases[] = {
        {v1, sizeof v1 - 1, "203.0.113.5:4711", false},
        {v2, header_v2(v2, false), "[2001:db8::7]:4711", false},
        {checked, header_v2(checked, true), "[2001:db8::7]:4711", false},
        {unknown, sizeof unknown - 1, NULL, false},
        {local_header, LOCAL_LEN, NULL, true},
    };
    for (int proxy = SETTINGS_PROXY_REQUIRED; proxy <= SETTINGS_PROXY_OPTIONAL; proxy++)
        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
            for (int slow = 0; slow < 2; slow++) {
                struct fixture f;
                setup(&f, (enum settings_proxy)proxy, NULL);
                f.settings.timeouts.proxy_header = 5000;
                int fd = dial(&f);
                if (slow) {
                    for (size_t at = 0; at < cases[i].len; at++) {
                        assert_int_equal(write(fd, (const uint8_t *)cases[i].bytes + at, 1), 1);
                        run_for(f.loop, 1);
                    }
                    assert_int_equal(write(fd, "EHLO\r\n", 6), 6);
                } else { /* all in one */
                    uint8_t all[200];
                    memcpy(all, cases[i].bytes, cases[i].len);
                    memcpy(all + cases[i].len, "EHLO\r\n", 6);
                    assert_int_equal(write(fd, all, cases[i].len + 6), cases[i].len + 6);
                }
                run_until(f.loop, &f.arrived);
                run_for(f.loop, 10);
                assert_true(slice_eq(buf_slice(&f.got), SLICE("EHLO\r\n")));
                if (cases[i].client)
                    assert_string_equal(f.client, cases[i].client);
                else
                    assert_true(strncmp(f.client, "127.0.0.1:", 10) == 0);
                assert_int_equal(f.arrival.probe, cases[i].probe);
                assert_true(f.arrival.by_proxy);
                (void)close(fd);
                teardown(&f);
            }
}

static void test_bad_headers(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        enum listener_loss loss;
    } cases[] = {
        {"EHLO me\r\n", LISTENER_NO_HEADER},
        {"PROXY TCP4 1.2.3 4 5\r\n", LISTENER_BAD_HEADER},
        {"\r\n\r\n", LISTENER_NO_HEADER}, /* half of one, then silence */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture f;
        setup(&f, SETTINGS_PROXY_REQUIRED, NULL);
        int fd = dial(&f);
        assert_int_equal(write(fd, cases[i].bytes, strlen(cases[i].bytes)), strlen(cases[i].bytes));
        run_until(f.loop, &f.lost);
        assert_int_equal(f.loss, cases[i].loss);
        assert_int_equal(f.arrivals, 0);
        (void)close(fd);
        teardown(&f);
    }
}

static void test_untrusted(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, SETTINGS_PROXY_REQUIRED, NULL);
    assert_true(conf_read_network(SLICE("192.0.2.0/24"), &f.proxies[0]));
    int fd = dial(&f);
    run_until(f.loop, &f.lost);
    assert_int_equal(f.loss, LISTENER_UNTRUSTED);
    (void)close(fd);
    teardown(&f);

    /* optional: served directly, its header is not read */
    setup(&f, SETTINGS_PROXY_OPTIONAL, NULL);
    assert_true(conf_read_network(SLICE("192.0.2.0/24"), &f.proxies[0]));
    fd = dial(&f);
    run_until(f.loop, &f.arrived);
    assert_int_equal(write(fd, local_header, LOCAL_LEN), LOCAL_LEN);
    run_for(f.loop, 20);
    assert_int_equal(f.got.len, LOCAL_LEN);
    assert_false(f.arrival.by_proxy);
    (void)close(fd);
    teardown(&f);
}

static void test_optional_waits_a_moment(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, SETTINGS_PROXY_OPTIONAL, NULL);
    uint64_t start = loop_now_ms(f.loop);
    int fd = dial(&f);
    run_until(f.loop, &f.arrived);
    uint64_t took = loop_now_ms(f.loop) - start;
    assert_true(took >= 190 && took < 1000);
    assert_false(f.arrival.by_proxy);
    (void)close(fd);
    teardown(&f);

    setup(&f, SETTINGS_PROXY_OPTIONAL, NULL);
    fd = dial(&f);
    assert_int_equal(write(fd, "EHLO\r\n", 6), 6); /* a client that speaks first is served at once */
    start = loop_now_ms(f.loop);
    run_until(f.loop, &f.arrived);
    assert_true(loop_now_ms(f.loop) - start < 150);
    run_for(f.loop, 10);
    assert_int_equal(f.got.len, 6);
    (void)close(fd);
    teardown(&f);
}

/* Everything a load balancer does to see whether we are there: no loss is told, only the counter moves. */
static void test_health_checks_are_silent(void **state)
{
    (void)state;
    struct pem pem = make_cert("mail.example.test");
    struct tls_context *tls = make_context(&pem, 1);
    for (int with_tls = 0; with_tls < 2; with_tls++)
        for (int kind = 0; kind < 6; kind++) {
            struct fixture f;
            setup(&f, SETTINGS_PROXY_REQUIRED, with_tls ? tls : NULL);
            uint64_t before = metric_get(METRIC_HEALTH_CHECKS, 0);
            int fd = dial(&f);
            if (kind & 1)
                run_for(f.loop, 10);
            if (kind < 2) { /* nothing at all */
                (void)close(fd);
            } else {
                assert_int_equal(write(fd, local_header, LOCAL_LEN), LOCAL_LEN);
                if (kind >= 4)
                    run_for(f.loop, 10);
                if (kind == 5)
                    (void)close(fd);
                else
                    reset(fd);
            }
            run_for(f.loop, 60);
            assert_int_equal(f.losses, 0);
            if (kind >= 4)
                assert_int_equal(metric_get(METRIC_HEALTH_CHECKS, 0), before + 1);
            teardown(&f);
        }
    tls_context_free(&tls);
    free_cert(&pem);
}

static void test_tls(void **state)
{
    (void)state;
    struct pem pems[2] = {make_cert("one.example.test"), make_cert("two.example.test")};
    struct tls_context *tls = make_context(pems, 2);
    static const struct {
        const char *name, *cert;
    } cases[] = {{"one.example.test", "one.example.test"},
                 {"two.example.test", "two.example.test"},
                 {"TWO.example.test", "two.example.test"},
                 {"three.example.test", "one.example.test"},
                 {NULL, "one.example.test"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture f;
        setup(&f, SETTINGS_PROXY_REQUIRED, tls);
        f.settings.timeouts.handshake = 5000;
        int fd = dial(&f);
        /* header and ClientHello in one segment */
        struct test_client client = test_client_new(-1, cases[i].name, NULL);
        BIO *out = BIO_new(BIO_s_mem()), *in = BIO_new(BIO_s_mem());
        BIO_set_mem_eof_return(in, -1);
        SSL_set_bio(client.ssl, in, out);
        (void)SSL_do_handshake(client.ssl);
        uint8_t first[4096];
        size_t len = header_v2(first, false);
        int hello = BIO_read(out, first + len, (int)(sizeof first - len));
        assert_true(hello > 0);
        assert_int_equal(write(fd, first, len + (size_t)hello), len + (size_t)hello);
        set_nonblocking(fd);
        SSL_set_fd(client.ssl, fd);
        test_client_connect(f.loop, &client);
        run_until(f.loop, &f.arrived);
        assert_string_equal(f.client, "[2001:db8::7]:4711");
        assert_true(stream_is_tls(f.stream));
        X509 *cert = SSL_get1_peer_certificate(client.ssl);
        assert_int_equal(X509_check_host(cert, cases[i].cert, strlen(cases[i].cert), 0, NULL), 1);
        X509_free(cert);
        run_for(f.loop, 5);
        char text[20];
        assert_int_equal(SSL_read(client.ssl, text, sizeof text), 11);
        test_client_free(&client);
        (void)close(fd);
        run_until(f.loop, &f.ended);
        assert_int_equal(f.losses, 0);
        teardown(&f);
    }
    /* a stranger that does not speak TLS is told of, and so is one that stops in the middle */
    struct fixture f;
    setup(&f, SETTINGS_PROXY_OFF, tls);
    int fd = dial(&f);
    assert_int_equal(write(fd, "EHLO me, in the clear\r\n", 23), 23);
    run_until(f.loop, &f.lost);
    assert_int_equal(f.loss, LISTENER_TLS);
    (void)close(fd);
    teardown(&f);
    setup(&f, SETTINGS_PROXY_OFF, tls);
    fd = dial(&f);
    assert_int_equal(write(fd, "\x16\x03\x01\x02", 4), 4);
    run_until(f.loop, &f.lost);
    (void)close(fd);
    teardown(&f);
    tls_context_free(&tls);
    free_cert(&pems[0]);
    free_cert(&pems[1]);
}

static void test_bad_pairs(void **state)
{
    (void)state;
    struct pem a = make_cert("a.test"), b = make_cert("b.test");
    struct tls_context *tls = NULL;
    const struct tls_pair cases[] = {
        {slice_of(a.cert), slice_of(b.key), SLICE("a.pem")}, /* not the key of this certificate */
        {SLICE(""), slice_of(a.key), SLICE("a.pem")},
        {slice_of(a.cert), SLICE("garbage"), SLICE("a.pem")},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct why why = {""};
        assert_int_equal(tls_context_new(&cases[i], 1, &tls, &why), ERR_BAD);
        assert_true(strncmp(why.text, "a.pem: ", 7) == 0);
    }
    free_cert(&a);
    free_cert(&b);
}

static void test_out_of_descriptors(void **state)
{
    (void)state;
    struct fixture f;
    struct rlimit old, low;
    setup(&f, SETTINGS_PROXY_OFF, NULL);
    int a = dial(&f);
    int next = dup(0);
    (void)close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    run_for(f.loop, 30);
    assert_int_equal(f.arrivals, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    char c;
    assert_true(read(a, &c, 1) <= 0); /* taken and closed: it knows */
    (void)close(a);
    a = dial(&f);
    run_until(f.loop, &f.arrived);
    (void)close(a);
    teardown(&f);
}

/* A reload in the middle of a preamble: it goes on under the new settings, and both descriptors of the socket
 * accept. */
static void test_reload(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, SETTINGS_PROXY_REQUIRED, NULL);
    f.settings.timeouts.proxy_header = 5000;
    int fd = dial(&f);
    assert_int_equal(write(fd, local_header, 5), 5);
    run_for(f.loop, 10);
    struct settings next = f.settings;
    int other = dup(f.fd);
    listener_update(f.listener, 0, &next, NULL);
    listener_set_fd(f.listener, other);
    (void)close(f.fd);
    f.fd = other;
    memset(&f.settings, 0xee, sizeof f.settings); /* must not be looked at any more */
    assert_int_equal(write(fd, local_header + 5, LOCAL_LEN - 5), LOCAL_LEN - 5);
    run_until(f.loop, &f.arrived);
    f.arrived = false;
    (void)close(fd);
    fd = dial(&f);
    assert_int_equal(write(fd, local_header, LOCAL_LEN), LOCAL_LEN);
    run_until(f.loop, &f.arrived);
    (void)close(fd);
    teardown(&f);
}

/* Asked with the true address, before a handshake; told in the clear or not at all; probes are not asked. */
/* Who is turned away holds no descriptor, though it talked before it was. */
static void test_refused_talkers(void **state)
{
    (void)state;
    struct fixture f;
    char got[100];
    setup(&f, SETTINGS_PROXY_OFF, NULL);
    refuses = "521 5.7.1 No\r\n";
    int fd = dial(&f);
    assert_int_equal(write(fd, "EHLO x\r\n", 8), 8);
    run_for(f.loop, 50);
    assert_int_equal(f.questions, 1);
    assert_int_equal(f.closed, 1);
    set_nonblocking(fd);
    assert_int_equal(read(fd, got, sizeof got), 14);
    assert_int_equal(read(fd, got, sizeof got), 0);
    refuses = NULL;
    (void)close(fd);
    teardown(&f);
}

static void test_refusals(void **state)
{
    (void)state;
    static const char header[] = "PROXY TCP4 203.0.113.5 192.0.2.1 4711 25\r\n";
    struct pem pem = make_cert("mail.example.test");
    for (int i = 0; i < 4; i++) {
        bool implicit = i & 1, probe = i & 2;
        struct fixture f;
        char got[100];
        setup(&f, SETTINGS_PROXY_REQUIRED, implicit ? make_context(&pem, 1) : NULL);
        refuses = "421 4.7.0 No\r\n";
        int fd = dial(&f);
        const void *bytes = probe ? (const void *)local_header : header;
        size_t len = probe ? LOCAL_LEN : sizeof header - 1;
        assert_int_equal(write(fd, bytes, len), len);
        run_for(f.loop, 50);
        set_nonblocking(fd);
        ssize_t n = read(fd, got, sizeof got);
        assert_int_equal(f.questions, !probe);
        assert_int_equal(f.losses, 0);
        if (probe) {
            assert_true(implicit ? n < 0 : n == 11);
        } else {
            assert_int_equal(f.asked.bytes[0], 203);
            assert_int_equal(n, implicit ? 0 : 14);
            assert_int_equal(f.arrivals, 0);
            assert_int_equal(listener_waiting(f.listener), 0);
            assert_true(implicit || read(fd, got, sizeof got) == 0);
        }
        refuses = NULL;
        (void)close(fd);
        teardown(&f);
        tls_context_free(&f.tls);
    }
    free_cert(&pem);
}

static void test_free_with_preambles(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, SETTINGS_PROXY_REQUIRED, NULL);
    int a = dial(&f), b = dial(&f);
    assert_int_equal(write(b, local_header, 5), 5);
    run_for(f.loop, 10);
    listener_free(&f.listener);
    run_for(f.loop, 10);
    char c;
    assert_true(read(a, &c, 1) <= 0);
    assert_true(read(b, &c, 1) <= 0);
    assert_int_equal(f.losses + f.arrivals, 0);
    (void)close(a);
    (void)close(b);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_direct),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_untrusted),
        cmocka_unit_test(test_optional_waits_a_moment),
        cmocka_unit_test(test_health_checks_are_silent),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_bad_pairs),
        cmocka_unit_test(test_out_of_descriptors),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_refused_talkers),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_free_with_preambles),
    };
    struct why why;
    if (metric_attach(&metrics_table, -1, "test", &why) != ERR_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
