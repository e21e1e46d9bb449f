/* Whether DNS agrees with our name in EHLO; and the key records DNS shows. */
#include "fake_dns.h"

#include "relay/dkim_check.h"
#include "relay/identity.h"
#include "settings/metrics.h"

static struct settings settings_for(const char *ehlo, const char *source)
{
    struct settings s = {0};
    s.hostname = SLICE("unused.test");
    s.direct.ehlo = slice_of(ehlo);
    s.direct.source_ipv4 = slice_of(source);
    return s;
}

static void test_states(void **state)
{
    static const struct fake_row zone[] = {
        {"good.test", RR_A, DNS_OK, false, "8.8.8.8"},
        {"8.8.8.8.in-addr.arpa", RR_PTR, DNS_OK, false, "other.test|GOOD.test"},
        {"noptr.test", RR_A, DNS_OK, false, "8.8.4.4"},
        {"other.test", RR_A, DNS_OK, false, "9.9.9.9"},
        {"9.9.9.9.in-addr.arpa", RR_PTR, DNS_OK, false, "host-9.isp.test"},
        {"failed.test", RR_A, DNS_FAILED, false, ""},
        {"inner.test", RR_A, DNS_OK, false, "10.0.0.5"},
    };
    static const struct {
        const char *ehlo, *source;
        enum identity_state state;
        const char *text;
    } rows[] = {
        {"good.test", NULL, IDENTITY_GOOD, ""},
        {"good.test", "8.8.8.8", IDENTITY_GOOD, ""},
        {"noptr.test", NULL, IDENTITY_NO_PTR, "8.8.4.4 has no PTR record"},
        {"other.test", NULL, IDENTITY_OTHER_PTR,
         "9.9.9.9 has another name by its PTR record: host-9.isp.test"},
        {"nowhere.test", NULL, IDENTITY_NO_ADDRESS, "the EHLO name leads to no address"},
        {"failed.test", NULL, IDENTITY_UNKNOWN, ""},
        {"inner.test", NULL, IDENTITY_GOOD, ""}, /* nobody outside sees that address */
        {"good.test", "8.8.4.4", IDENTITY_OTHER_ADDRESS,
         "8.8.4.4 is a source address, but the EHLO name does not lead to it; 8.8.4.4 has no PTR record"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fake_dns dns;
        struct settings settings = settings_for(rows[i].ehlo, rows[i].source);
        size_t count;
        fake_dns_new(&dns, zone, ARRAY_LEN(zone));
        struct identity *id = identity_new(dns.loop, dns.ours, &settings);
        assert_int_equal(identity_state(id), IDENTITY_UNKNOWN);
        identity_update(id, &settings); /* looks at once */
        fake_for(&dns, 60);
        assert_string_equal(identity_state_name(identity_state(id)), identity_state_name(rows[i].state));
        assert_true(slice_eq(identity_text(id), slice_of(rows[i].text)));
        for (unsigned s = 0; s < IDENTITY_STATE_COUNT; s++)
            assert_int_equal(metric_get(METRIC_RELAY_IDENTITY, s), s == rows[i].state);
        const struct netaddr *own = identity_addresses(id, &count);
        bool found = false;
        struct netaddr eight;
        assert_true(netaddr_parse(SLICE("8.8.8.8"), &eight));
        for (size_t k = 0; k < count; k++) {
            assert_false(netaddr_is_loopback(&own[k]));
            found |= netaddr_same_host(&own[k], &eight);
        }
        assert_int_equal(found, strcmp(rows[i].ehlo, "good.test") == 0);
        identity_update(id, &settings); /* freed at work */
        fake_turn(&dns);
        identity_free(&id);
        fake_dns_free(&dns);
    }
}

/* ---- dkim_check ---- */

struct asker {
    struct fake_dns dns;
    struct ipc_link *queue, *relay;
    struct dkim_check *check;
    bool answered, forbids;
    unsigned status;
    char algorithm[32];
    size_t key_len;
};

static bool on_check(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct asker *a = ctx;
    struct wire_dkim_check question;
    assert_int_equal(wire_decode(WIRE_DKIM_CHECK, packet->body, &question), ERR_OK);
    return dkim_check_begin(a->check, link, packet, &question);
}

static void on_published(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct asker *a = ctx;
    struct wire_dkim_published p;
    assert_int_equal(wire_answer(err, packet, WIRE_DKIM_PUBLISHED, &p), ERR_OK);
    a->answered = true;
    a->status = p.status;
    a->key_len = p.key.len;
    a->forbids = p.forbids != 0;
    (void)snprintf(a->algorithm, sizeof a->algorithm, "%.*s", SLICE_ARG(p.algorithm));
}

static void test_dkim(void **state)
{
    static const char ed25519[] = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    static const struct fake_row zone[] = {
        {"mail._domainkey.a.test", RR_TXT, DNS_OK, false, ed25519},
        {"two._domainkey.a.test", RR_TXT, DNS_OK, false,
         "v=spf1 -all|v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="},
        {"gone._domainkey.a.test", RR_TXT, DNS_OK, false, "v=DKIM1; k=ed25519; p="},
        {"sha1._domainkey.a.test", RR_TXT, DNS_OK, false,
         "v=DKIM1; k=ed25519; h=sha1; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="},
        {"other._domainkey.a.test", RR_TXT, DNS_OK, false,
         "v=DKIM1; k=ed25519; s=other; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="},
        {"all._domainkey.a.test", RR_TXT, DNS_OK, false,
         "v=DKIM1; k=ed25519; h=sha1:sha256; s=*; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="},
        {"spf._domainkey.a.test", RR_TXT, DNS_OK, false, "v=spf1 -all"},
        {"failed._domainkey.a.test", RR_TXT, DNS_FAILED, false, ""},
        {"bogus._domainkey.a.test", RR_TXT, DNS_BOGUS, false, ""},
        {"slow._domainkey.a.test", RR_TXT, SILENT, false, ""},
    };
    static const struct {
        const char *selector;
        unsigned status;
        const char *algorithm;
        size_t key_len;
        bool forbids;
    } rows[] = {
        {"sha1", DNS_OK, "ed25519", 32, true},
        {"other", DNS_OK, "ed25519", 32, true},
        {"all", DNS_OK, "ed25519", 32},
        {"mail", DNS_OK, "ed25519", 32},
        {"two", DNS_OK, "ed25519", 32},
        {"gone", DNS_OK, "ed25519", 0},
        {"spf", DNS_NODATA, "", 0},
        {"none", DNS_NXDOMAIN, "", 0},
        {"failed", DNS_FAILED, "", 0},
        {"bogus", DNS_BOGUS, "", 0},
    };
    static const struct ipc_ops relay_ops = {.packet = on_check, .down = fake_on_down};
    static const struct ipc_ops queue_ops = {.packet = fake_refuse, .down = fake_on_down};
    struct asker a = {0};
    int fds[2];
    (void)state;
    fake_dns_new(&a.dns, zone, ARRAY_LEN(zone));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    a.relay = ipc_link_new(a.dns.loop, "queue", &relay_ops, &a);
    a.queue = ipc_link_new(a.dns.loop, "relay", &queue_ops, &a);
    ipc_link_attach(a.relay, fds[0]);
    ipc_link_attach(a.queue, fds[1]);
    a.check = dkim_check_new(a.dns.ours);
    struct wire_dkim_check question = {.domain = SLICE("a.test")};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        question.selector = slice_of(rows[i].selector);
        a.answered = false;
        (void)wire_call(a.queue, WIRE_DKIM_CHECK, &question, 5000, on_published, &a);
        fake_until(&a.dns, &a.answered);
        assert_int_equal(a.status, rows[i].status);
        assert_string_equal(a.algorithm, rows[i].algorithm);
        assert_int_equal(a.key_len, rows[i].key_len);
        assert_int_equal(a.forbids, rows[i].forbids);
    }
    question.selector = SLICE("slow");
    for (unsigned i = 0; i < 2; i++) /* forgotten, and freed at work */
    {
        uint32_t request = wire_call(a.queue, WIRE_DKIM_CHECK, &question, 5000, on_published, &a);
        fake_for(&a.dns, 10);
        ipc_cancel(a.queue, request);
        if (i == 0)
            dkim_check_forget(a.check);
    }
    dkim_check_free(&a.check);
    ipc_link_free(&a.relay);
    ipc_link_free(&a.queue);
    fake_dns_free(&a.dns);
}

int main(void)
{
    assert_int_equal(metric_attach(&metrics_table, -1, "relay", NULL), ERR_OK);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_dkim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
