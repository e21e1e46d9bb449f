/* test_admission.c: who is let in by address alone: bans, connections per minute, a network's share. */
#include "net_test.h"

#include "base/clock.h"
#include "net/admission.h"
#include "net/ban_list.h"
#include "settings/metrics.h"

#define STREAMS_MAX 100

static const struct netaddr gateway = {.family = NETADDR_V4, .bytes = {10, 9, 9, 9}};

static bool is_gateway(void *ctx, const struct netaddr *client)
{
    (void)ctx;
    return netaddr_same_host(client, &gateway);
}

static const struct service_ops ops = {.is_gateway = is_gateway};

struct fixture {
    struct loop *loop;
    struct service service;
    struct settings settings;
    struct conf_network trusted, proxies;
    struct settings_listener listeners[5];
    struct stream *streams[STREAMS_MAX];
    int fds[STREAMS_MAX];
    size_t count;
};

static void setup(struct fixture *f)
{
    static const struct settings_listener listeners[] = {
        {.name = {(const uint8_t *)"mx", 2}, .service = SETTINGS_MX},
        {.name = {(const uint8_t *)"sub", 3}, .service = SETTINGS_SUBMISSION},
        {.name = {(const uint8_t *)"imap", 4}, .service = SETTINGS_IMAP},
        {.name = {(const uint8_t *)"metrics", 7}, .service = SETTINGS_METRICS},
        {.name = {(const uint8_t *)"pop3", 4}, .service = SETTINGS_POP3},
    };
    memset(f, 0, sizeof *f);
    memcpy(f->listeners, listeners, sizeof listeners);
    f->settings.listeners.items = f->listeners;
    f->settings.listeners.count = ARRAY_LEN(listeners);
    assert_true(conf_read_network(SLICE("10.1.0.0/16"), &f->trusted));
    assert_true(conf_read_network(SLICE("10.2.0.0/16"), &f->proxies));
    f->settings.trusted_networks.items = &f->trusted;
    f->settings.proxy_trusted_networks.items = &f->proxies;
    f->settings.trusted_networks.count = f->settings.proxy_trusted_networks.count = 1;
    f->settings.limits.addresses = 100;
    f->settings.limits.ipv4_prefix = 32;
    f->settings.limits.ipv6_prefix = 64;
    f->settings.limits.network_share = 25;
    f->settings.limits.smtp_sessions = f->settings.limits.imap_sessions = 1000;
    f->loop = loop_new();
    service_init(&f->service, f->loop, &ops, f);
    admission_use(&f->service, &f->settings);
}

static void hang_up(struct fixture *f, size_t i)
{
    stream_free(&f->streams[i]);
    (void)close(f->fds[i]);
}

static void teardown(struct fixture *f)
{
    for (size_t i = 0; i < f->count / 2; i++)
        if (f->streams[i])
            hang_up(f, i);
    service_free(&f->service); /* the others outlive it */
    for (size_t i = f->count / 2; i < f->count; i++)
        if (f->streams[i])
            hang_up(f, i);
    loop_free(&f->loop);
}

/* What the client at `address` is told by the listener; NULL: it is in. */
static const char *knock(struct fixture *f, uint32_t listener, const char *address)
{
    static const struct stream_ops none = {0};
    const struct listener_arrival arrival = {.index = listener, .settings = &f->listeners[listener]};
    struct netaddr client;
    int fds[2];
    assert_true(f->count < STREAMS_MAX);
    assert_true(netaddr_parse(slice_of(address), &client));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    f->fds[f->count] = fds[1];
    struct stream *stream = f->streams[f->count++] = stream_new(f->loop, fds[0], &client, &none, NULL);
    return admission_refusal(&f->service, stream, &arrival);
}

static void ban(struct fixture *f, const char *network, uint64_t until)
{
    struct ban_entry entry = {.until = until};
    struct ipc_packet packet = {.fd_count = 1};
    struct why why = {""};
    assert_true(conf_read_network(slice_of(network), &entry.network));
    assert_int_equal(ban_list_make(&entry, 1, &packet.fds[0], &why), ERR_OK);
    assert_true(service_take_bans(&f->service, &packet));
    (void)close(packet.fds[0]);
}

static void test_bans(void **state)
{
    (void)state;
    static const struct {
        uint32_t listener;
        const char *address, *told; /* NULL: it is in */
    } rows[] = {
        {0, "192.0.2.1", "521 5.7.1 "}, {1, "192.0.2.1", "521 5.7.1 "},
        {2, "192.0.2.77", "* BYE "},    {4, "192.0.2.1", "-ERR [SYS/PERM] "},
        {3, "192.0.2.1", ""},           {0, "192.0.3.1", NULL},
        {0, "2001:db8::1", NULL},
    };
    struct fixture f;
    struct ipc_packet broken = {.fd_count = 0};
    setup(&f);
    assert_null(knock(&f, 0, "192.0.2.1"));
    ban(&f, "192.0.2.0/24", UINT64_MAX);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *told = knock(&f, rows[i].listener, rows[i].address);
        assert_int_equal(told != NULL, rows[i].told != NULL);
        assert_true(!told || strncmp(told, rows[i].told, strlen(rows[i].told)) == 0);
    }
    assert_false(service_take_bans(&f.service, &broken));
    assert_non_null(knock(&f, 0, "192.0.2.1")); /* the list before is still there */
    ban(&f, "192.0.2.0/24", (uint64_t)clock_unix_s() - 1);
    assert_null(knock(&f, 0, "192.0.2.1"));
    ban(&f, "0.0.0.0/0", UINT64_MAX);
    assert_non_null(knock(&f, 0, "192.0.2.1"));
    assert_null(knock(&f, 0, "10.1.0.1")); /* trusted */
    assert_null(knock(&f, 0, "10.2.0.1")); /* a proxy */
    assert_null(knock(&f, 0, "10.9.9.9")); /* a gateway */
    assert_null(knock(&f, 0, "127.0.0.1"));
    teardown(&f);
}

static void test_connections_per_minute(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    f.settings.limits.mx.connections_per_minute = 3;
    f.settings.limits.imap.connections_per_minute = 1;
    for (int i = 0; i < 3; i++)
        assert_null(knock(&f, 0, "192.0.2.1"));
    const char *told = knock(&f, 0, "192.0.2.1");
    assert_non_null(told);
    assert_true(strncmp(told, "421 4.7.0 ", 10) == 0 && strstr(told, "mx.connections_per_minute"));
    assert_null(knock(&f, 0, "192.0.2.2"));
    assert_null(knock(&f, 1, "192.0.2.1")); /* no limit there */
    assert_null(knock(&f, 2, "192.0.2.1")); /* its own */
    assert_non_null(knock(&f, 2, "192.0.2.1"));
    assert_null(knock(&f, 4, "192.0.2.1")); /* the same limit, but counted for itself */
    told = knock(&f, 4, "192.0.2.1");
    assert_true(told && strncmp(told, "-ERR [SYS/TEMP] ", 16) == 0 &&
                strstr(told, "imap.connections_per_minute"));
    assert_null(knock(&f, 0, "2001:db8::1"));
    assert_null(knock(&f, 0, "2001:db8::2"));
    assert_null(knock(&f, 0, "2001:db8::3"));
    assert_non_null(knock(&f, 0, "2001:db8::4")); /* a /64 is one client */
    assert_null(knock(&f, 0, "2001:db8:0:1::4"));
    for (int i = 0; i < 5; i++) {
        assert_null(knock(&f, 0, "10.1.2.3"));
        assert_null(knock(&f, 0, "10.9.9.9"));
    }
    teardown(&f);
}

/* All strangers of a listener together. */
static void test_listener(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    f.listeners[0].connections_per_minute = 2;
    assert_null(knock(&f, 0, "192.0.2.1"));
    assert_null(knock(&f, 0, "2001:db8::1"));
    const char *told = knock(&f, 0, "198.51.100.1");
    assert_true(told && strstr(told, "421 4.7.0 ") && strstr(told, "listener connections"));
    assert_null(knock(&f, 0, "10.1.2.3")); /* one of ours */
    assert_null(knock(&f, 1, "198.51.100.1"));
    teardown(&f);
}

/* A quarter of 40 places for one network, once three quarters are taken. */
static void test_network_share(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    f.settings.limits.smtp_sessions = 40;
    for (int i = 0; i < 20; i++)
        assert_null(knock(&f, 0, i % 2 ? "192.0.2.1" : "192.0.2.2"));
    f.service.session_count = 30;
    assert_null(knock(&f, 0, "192.0.2.3"));
    f.service.session_count = 31;
    const char *told = knock(&f, 0, "192.0.2.4");
    assert_true(told && strstr(told, "network_share"));
    for (int i = 0; i < 10; i++)
        assert_null(knock(&f, 0, "198.51.100.1"));
    assert_non_null(knock(&f, 0, "198.51.100.1"));
    assert_null(knock(&f, 0, "2001:db8::1"));
    for (size_t i = 0; i < 10; i++) /* 21 are there: the 10th from now on leaves 11 */
        hang_up(&f, i);
    assert_non_null(knock(&f, 0, "192.0.2.5"));
    hang_up(&f, 10);
    hang_up(&f, 11);
    assert_null(knock(&f, 0, "192.0.2.5"));
    assert_null(knock(&f, 0, "10.1.0.1"));
    f.service.session_count = 81; /* with those in handshakes */
    assert_non_null(knock(&f, 0, "203.0.113.1"));
    assert_null(knock(&f, 0, "10.1.0.1"));
    f.service.session_count = 0;
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bans),
        cmocka_unit_test(test_connections_per_minute),
        cmocka_unit_test(test_network_share),
        cmocka_unit_test(test_listener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
