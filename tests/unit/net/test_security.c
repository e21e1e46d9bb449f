/* test_security.c: offences on their way: what auth hears, how a flood is gathered, who is never told of. */
#include "net_test.h"

#include "net/security.h"

struct fixture {
    struct loop *loop;
    struct ipc_link *ours, *auths;
    struct security *security;
    struct settings settings;
    struct settings_listener listener;
    struct conf_network trusted, proxies;
    unsigned notices, points;
    unsigned counts[8]; /* of the first notices */
    uint32_t kinds;
    struct wire_offence last;
    uint8_t client[16];
    char detail[SECURITY_DETAIL_MAX + 1];
};

static bool on_notice(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct fixture *f = ctx;
    (void)link;
    assert_int_equal(packet->type, WIRE_OFFENCE);
    assert_true(wire_allowed(WIRE_OFFENCE, ROLE_SMTP, ROLE_AUTH));
    assert_int_equal(wire_decode(WIRE_OFFENCE, packet->body, &f->last), ERR_OK);
    if (f->notices < ARRAY_LEN(f->counts))
        f->counts[f->notices] = f->last.count;
    f->notices++;
    f->points += f->last.count;
    f->kinds |= 1u << f->last.kind;
    memcpy(f->client, f->last.client.ptr, f->last.client.len);
    memcpy(f->detail, f->last.detail.ptr, f->last.detail.len);
    f->detail[f->last.detail.len] = 0;
    return true;
}

static void on_down(void *ctx, struct ipc_link *link)
{
    (void)ctx;
    (void)link;
}

static const struct ipc_ops ops = {.packet = on_notice, .down = on_down};

static void setup(struct fixture *f)
{
    int fds[2];
    memset(f, 0, sizeof *f);
    f->loop = loop_new();
    f->listener.name = SLICE("mx");
    f->settings.listeners.items = &f->listener;
    f->settings.listeners.count = 1;
    assert_true(conf_read_network(SLICE("10.1.0.0/16"), &f->trusted));
    assert_true(conf_read_network(SLICE("10.2.0.0/16"), &f->proxies));
    f->settings.trusted_networks.items = &f->trusted;
    f->settings.proxy_trusted_networks.items = &f->proxies;
    f->settings.trusted_networks.count = f->settings.proxy_trusted_networks.count = 1;
    f->ours = ipc_link_new(f->loop, "auth", &ops, f);
    f->auths = ipc_link_new(f->loop, "smtp", &ops, f);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    ipc_link_attach(f->ours, fds[0]);
    ipc_link_attach(f->auths, fds[1]);
    f->security = security_new(f->loop);
    security_use(f->security, f->ours, &f->settings);
}

static void teardown(struct fixture *f)
{
    security_free(&f->security);
    ipc_link_free(&f->ours);
    ipc_link_free(&f->auths);
    loop_free(&f->loop);
}

static void report(struct fixture *f, enum offence kind, const char *address, const char *detail)
{
    struct netaddr client = {.family = NETADDR_UNIX};
    if (*address)
        assert_true(netaddr_parse(slice_of(address), &client));
    security_report(f->security, &(struct security_event){.kind = kind,
                                                          .client = &client,
                                                          .session = SLICE("abc"),
                                                          .detail = slice_of(detail)});
}

/* Until auth has heard `*what` reach `count`. A fixed time would not do: the notice leaves with a timer, and
 * where this process has to wait for the processor, that timer and the end of the time fire in one turn of
 * the loop, before anybody reads. */
static void hear(struct fixture *f, const unsigned *what, unsigned count)
{
    uint64_t end = loop_now_ms(f->loop) + TEST_PATIENCE_MS;
    while (*what < count && loop_now_ms(f->loop) < end)
        run_for(f->loop, 2);
    assert_int_equal(*what, count);
}

/* Notices keep their order, so what must not be told would be heard before the next that must. */
static void test_what_auth_hears(void **state)
{
    (void)state;
    static const struct {
        const char *client;
        enum offence kind;
        bool told;
    } rows[] = {
        {"192.0.2.1", OFFENCE_EARLY_TALKER, true},
        {"2001:db8::1", OFFENCE_SPAM_TRAP, true},
        {"192.0.2.1", OFFENCE_LIMIT, true},
        {"192.0.2.1", OFFENCE_BANNED, false},
        {"10.1.2.3", OFFENCE_LIMIT, false},
        {"10.2.2.3", OFFENCE_LIMIT, false},
        {"127.0.0.1", OFFENCE_LIMIT, false},
        {"::1", OFFENCE_LIMIT, false},
        {"", OFFENCE_LIMIT, false},
        {"192.0.2.2", OFFENCE_COUNT, false},
        {"192.0.2.3", OFFENCE_LIMIT, true},
    };
    struct fixture f;
    unsigned told = 0;
    setup(&f);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        report(&f, rows[i].kind, rows[i].client, "the detail\r\n");
        if (!rows[i].told)
            continue;
        hear(&f, &f.notices, ++told);
        assert_int_equal(f.last.kind, rows[i].kind);
        assert_int_equal(f.last.count, 1);
        assert_int_equal(f.last.client.len, strchr(rows[i].client, ':') ? 16 : 4);
        assert_string_equal(f.detail, "the detail\r\n");
    }
    teardown(&f);
}

/* The first is told at once, those behind it a second later in one notice; nothing gets lost. */
static void test_floods_are_gathered(void **state)
{
    (void)state;
    struct fixture f;
    char long_detail[1000];
    memset(long_detail, 'x', sizeof long_detail - 1);
    long_detail[sizeof long_detail - 1] = 0;
    setup(&f);
    for (int i = 0; i < 500; i++) {
        report(&f, OFFENCE_EARLY_TALKER, "192.0.2.1", "first");
        report(&f, OFFENCE_LIMIT, "192.0.2.1", "mx.connections");
        report(&f, OFFENCE_EARLY_TALKER, "192.0.2.2", "first");
    }
    report(&f, OFFENCE_EARLY_TALKER, "192.0.2.2", long_detail);
    hear(&f, &f.points, 1501);
    assert_int_equal(f.notices, 6);
    assert_int_equal(f.counts[0] + f.counts[1] + f.counts[2], 3);
    assert_int_equal(strlen(f.detail), SECURITY_DETAIL_MAX);
    run_for(f.loop, SECURITY_GATHER_MS + 50);
    assert_int_equal(f.notices, 6);
    report(&f, OFFENCE_LIMIT, "192.0.2.1", "again"); /* at once again */
    hear(&f, &f.notices, 7);
    report(&f, OFFENCE_LIMIT, "192.0.2.1", "at the end");
    security_free(&f.security);
    hear(&f, &f.points, 1503);
    teardown(&f);
}

/* More addresses than are gathered: each is told of. */
static void test_many_addresses(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    for (unsigned i = 0; i < 9000; i++) {
        char address[20];
        (void)snprintf(address, sizeof address, "198.18.%u.%u", i >> 8, i & 0xff);
        report(&f, OFFENCE_EARLY_TALKER, address, "");
        if (i % 100 == 0)
            run_for(f.loop, 5);
    }
    hear(&f, &f.points, 9000);
    teardown(&f);
}

static void test_auth_is_away(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    security_use(f.security, NULL, &f.settings);
    report(&f, OFFENCE_LIMIT, "192.0.2.1", "");
    security_use(f.security, f.ours, &f.settings);
    ipc_link_close(f.ours);
    report(&f, OFFENCE_LISTED, "192.0.2.1", "");
    run_for(f.loop, 20);
    assert_int_equal(f.notices, 0);
    teardown(&f);
}

static void test_names(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < OFFENCE_COUNT; kind++)
        assert_true(strlen(security_name((enum offence)kind)) > 4);
    assert_string_equal(security_name(OFFENCE_RELAY_ATTEMPT), "relay_attempt");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_auth_hears), cmocka_unit_test(test_floods_are_gathered),
        cmocka_unit_test(test_many_addresses),  cmocka_unit_test(test_auth_is_away),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
