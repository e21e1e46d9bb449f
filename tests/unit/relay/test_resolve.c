/* Where mail goes and how securely: domains and relays against a table of DNS answers. */
#include "fake_dns.h"

#include "policy/mx.h"
#include "relay/resolve.h"

#define ARENA (4u << 20) /* as a job of the role has */

static const struct fake_row zone[] = {
    /* plain */
    {"plain.test", RR_MX, DNS_OK, false, "20 b.plain.test|10 a.plain.test"},
    {"a.plain.test", RR_A, DNS_OK, false, "8.8.8.8"},
    {"a.plain.test", RR_AAAA, DNS_OK, false, "2a00::8"},
    {"b.plain.test", RR_A, DNS_OK, false, "9.9.9.9"},
    /* no MX */
    {"implicit.test", RR_AAAA, DNS_OK, false, "2a00::1"},
    {"null.test", RR_MX, DNS_OK, false, "0 ."},
    {"bad.test", RR_MX, DNS_OK, false, "10 192.0.2.1"},
    {"failed.test", RR_MX, DNS_FAILED, false, ""},
    {"bogus.test", RR_MX, DNS_BOGUS, false, ""},
    {"lost.test", RR_MX, DNS_OK, false, "10 gone.test"},
    {"half.test", RR_MX, DNS_OK, false, "10 broken.test|20 a.plain.test"},
    {"broken.test", RR_A, DNS_FAILED, false, ""},
    {"down.test", RR_MX, DNS_OK, false, "10 broken.test"},
    {"loop.test", RR_MX, DNS_OK, false, "10 mail.example.org|20 a.plain.test"},
    {"mail.example.org", RR_A, DNS_OK, false, "7.7.7.7"},
    {"inner.test", RR_MX, DNS_OK, false, "10 inner-mx.test"},
    {"inner-mx.test", RR_A, DNS_OK, false, "127.0.0.1|10.0.0.1"},
    {"allowed.test", RR_A, DNS_OK, false, "172.16.5.5"},
    {"slow.test", RR_MX, DNS_OK, false, "10 slow-mx.test"},
    {"slow-mx.test", RR_A, DNS_OK, false, "8.8.8.8"},
    {"slow-mx.test", RR_AAAA, SILENT, false, ""},
    /* DANE */
    {"dane.test", RR_MX, DNS_OK, true, "10 mx.dane.test"},
    {"mx.dane.test", RR_A, DNS_OK, true, "8.8.4.4"},
    {"_25._tcp.mx.dane.test", RR_TLSA, DNS_OK, true, "3 1 1|1 1 1"},
    {"unusable.test", RR_MX, DNS_OK, true, "10 mx.unusable.test"},
    {"mx.unusable.test", RR_A, DNS_OK, true, "8.8.4.4"},
    {"_25._tcp.mx.unusable.test", RR_TLSA, DNS_OK, true, "1 1 1"},
    {"insecuremx.test", RR_MX, DNS_OK, false, "10 mx.dane.test"},
    {"insecurehost.test", RR_MX, DNS_OK, true, "10 a.plain.test"},
    {"_25._tcp.a.plain.test", RR_TLSA, DNS_OK, true, "3 1 1"},
    {"tlsafail.test", RR_MX, DNS_OK, true, "10 mx.tlsafail.test"},
    {"mx.tlsafail.test", RR_A, DNS_OK, true, "8.8.4.4"},
    {"_25._tcp.mx.tlsafail.test", RR_TLSA, DNS_BOGUS, false, ""},
    {"tlsahalf.test", RR_MX, DNS_OK, true, "10 mx.tlsafail.test|20 mx.none.test"},
    {"mx.none.test", RR_A, DNS_OK, true, "8.8.4.5"},
    {"cname.test", RR_MX, DNS_OK, true, "10 alias.test"},
    {"alias.test", RR_A, DNS_OK, true, "8.8.4.4", "mx.dane.test"},
    {"cname2.test", RR_MX, DNS_OK, true, "10 alias2.test"},
    {"alias2.test", RR_A, DNS_OK, true, "8.8.4.5", "mx.none.test"},
    {"_25._tcp.alias2.test", RR_TLSA, DNS_OK, true, "2 0 1"},
    /* relays */
    {"relay.test", RR_A, DNS_OK, false, "127.0.0.1"},
    {"relaymx.test", RR_MX, DNS_OK, false, "10 relay.test"},
};

struct rig {
    struct fake_dns dns;
    struct settings settings;
    struct resolve *resolve;
    struct arena *arena;
    const struct resolve_answer *answer;
    bool answered;
};

static void on_done(void *ctx, const struct resolve_answer *answer)
{
    struct rig *rig = ctx;
    assert_false(rig->answered);
    rig->answer = answer;
    rig->answered = true;
}

static int set_up(void **state)
{
    static struct conf_network allowed;
    struct rig *rig = mem_zero(1, sizeof *rig);
    assert_true(conf_read_network(SLICE("172.16.0.0/12"), &allowed));
    fake_dns_new(&rig->dns, zone, ARRAY_LEN(zone));
    rig->settings.hostname = SLICE("mail.example.org");
    rig->settings.direct.port = 25;
    rig->settings.direct.tls = SETTINGS_RELAY_OPPORTUNISTIC;
    rig->settings.direct.dane = true;
    rig->settings.direct.allow_networks.items = &allowed;
    rig->settings.direct.allow_networks.count = 1;
    rig->resolve = resolve_new(rig->dns.loop, rig->dns.ours, &rig->settings, NULL, NULL);
    rig->arena = arena_new(ARENA);
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    resolve_free(&rig->resolve);
    fake_dns_free(&rig->dns);
    arena_free(&rig->arena);
    free(rig);
    return 0;
}

static void ask(struct rig *rig, const struct resolve_question *q)
{
    rig->answered = false;
    (void)resolve_begin(rig->resolve, q, rig->arena, on_done, rig);
    assert_false(rig->answered);
    fake_until(&rig->dns, &rig->answered);
}

static void ask_direct(struct rig *rig, const char *domain, bool requiretls)
{
    struct resolve_question q = resolve_question_direct(&rig->settings, slice_of(domain), requiretls);
    ask(rig, &q);
}

/* "a.plain.test=[2a00::8]:25,8.8.8.8:25 level/policy b.plain.test=…" */
static const char *shown(const struct resolve_answer *answer)
{
    static const char *const levels[] = {"none", "may", "must", "verify"};
    static char text[2000];
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < answer->host_count; i++) {
        const struct resolve_host *h = &answer->hosts[i];
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%.*s", i ? " " : "", SLICE_ARG(h->name));
        for (size_t a = 0; a < h->address_count; a++)
            at += (size_t)snprintf(text + at, sizeof text - at, "%c%s", a ? ',' : '=',
                                   netaddr_text_port(&h->addresses[a]).text);
        at += (size_t)snprintf(text + at, sizeof text - at, " %s/%s", levels[h->level], h->policy);
    }
    if (answer->outcome != RESOLVE_FOUND)
        (void)snprintf(text + at, sizeof text - at, "%s %s",
                       answer->outcome == RESOLVE_PERMANENT ? "never" : "later", answer->enhanced);
    return text;
}

static void test_domains(void **state)
{
    static const struct {
        const char *domain, *answer;
    } rows[] = {
        {"plain.test", "a.plain.test=[2a00::8]:25,8.8.8.8:25 may/opportunistic b.plain.test=9.9.9.9:25 "
                       "may/opportunistic"},
        {"PLAIN.test", "a.plain.test=[2a00::8]:25,8.8.8.8:25 may/opportunistic b.plain.test=9.9.9.9:25 "
                       "may/opportunistic"},
        {"implicit.test", "implicit.test=[2a00::1]:25 may/opportunistic"},
        {"null.test", "never 5.1.10"},
        {"bad.test", "never 5.4.4"},
        {"nowhere.test", "never 5.1.2"},
        {"failed.test", "later 4.4.3"},
        {"bogus.test", "later 4.4.3"},
        {"lost.test", "never 5.4.4"},
        {"half.test", "a.plain.test=[2a00::8]:25,8.8.8.8:25 may/opportunistic"},
        {"down.test", "later 4.4.3"},
        {"loop.test", "never 5.4.6"},
        {"mail.example.org", "never 5.4.6"},
        {"inner.test", "never 5.4.4"},
        {"allowed.test", "allowed.test=172.16.5.5:25 may/opportunistic"},
        {"ex*mple.test", "never 5.1.2"},
        {"", "never 5.1.2"},
        {"[8.8.8.8]", "8.8.8.8=8.8.8.8:25 may/opportunistic"},
        {"[IPv6:2a00::1]", "2a00::1=[2a00::1]:25 may/opportunistic"},
        {"[127.0.0.1]", "never 5.4.4"},
        /* DANE */
        {"dane.test", "mx.dane.test=8.8.4.4:25 verify/dane"},
        {"unusable.test", "mx.unusable.test=8.8.4.4:25 must/dane"},
        {"insecuremx.test", "mx.dane.test=8.8.4.4:25 may/opportunistic"},
        {"insecurehost.test", "a.plain.test=[2a00::8]:25,8.8.8.8:25 may/opportunistic"},
        {"tlsafail.test", "later 4.7.5"},
        {"tlsahalf.test", "mx.none.test=8.8.4.5:25 may/opportunistic"},
        {"cname.test", "alias.test=8.8.4.4:25 verify/dane"},
        {"cname2.test", "alias2.test=8.8.4.5:25 verify/dane"},
    };
    struct rig *rig = *state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ask_direct(rig, rows[i].domain, false);
        assert_string_equal(shown(rig->answer), rows[i].answer);
        if (rig->answer->outcome != RESOLVE_FOUND)
            assert_true(rig->answer->text.len > 0);
    }
}

/* The names a certificate may be for, and whose TLSA records count (RFC 7672 section 2.2.2, 3.2.2). */
static void test_dane_names(void **state)
{
    struct rig *rig = *state;
    ask_direct(rig, "cname.test", false);
    const struct tls_peer *peer = &rig->answer->hosts[0].peer;
    assert_int_equal(peer->check, TLS_CHECK_DANE);
    assert_true(slice_eq(peer->server_name, SLICE("mx.dane.test")));
    assert_int_equal(peer->name_count, 3);
    assert_true(slice_eq(peer->names[0], SLICE("mx.dane.test")));
    assert_true(slice_eq(peer->names[1], SLICE("alias.test")));
    assert_true(slice_eq(peer->names[2], SLICE("cname.test")));
    assert_int_equal(peer->tlsa_count, 1);
    assert_int_equal(peer->tlsa[0].usage, 3);
    assert_int_equal(peer->tlsa[0].data.len, 32);
    ask_direct(rig, "cname2.test", false);
    peer = &rig->answer->hosts[0].peer;
    assert_true(slice_eq(peer->server_name, SLICE("alias2.test")));
    assert_int_equal(peer->tlsa[0].usage, 2);
}

/* RFC 8689: a verified name, or nothing. */
static void test_requiretls(void **state)
{
    static const struct {
        const char *domain, *answer;
    } rows[] = {
        {"plain.test", "never 5.7.30"},
        {"dane.test", "mx.dane.test=8.8.4.4:25 verify/dane"},
        {"tlsahalf.test", "mx.none.test=8.8.4.5:25 verify/opportunistic"}, /* a secure MX record */
        {"unusable.test", "mx.unusable.test=8.8.4.4:25 verify/dane"},
        {"[8.8.8.8]", "never 5.7.30"},
    };
    struct rig *rig = *state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ask_direct(rig, rows[i].domain, true);
        assert_string_equal(shown(rig->answer), rows[i].answer);
    }
}

/* "Verify" as the administrator's word trusts the MX record; the sender's REQUIRETLS does not
 * (section 4.2.1).
 */
static void test_requiretls_verify(void **state)
{
    static const struct {
        const char *domain, *answer;
    } rows[] = {
        {"plain.test", "never 5.7.30"},
        {"tlsahalf.test", "mx.none.test=8.8.4.5:25 verify/verify"},
        {"dane.test", "mx.dane.test=8.8.4.4:25 verify/dane"},
        {"[8.8.8.8]", "8.8.8.8=8.8.8.8:25 verify/verify"},
    };
    struct rig *rig = *state;
    rig->settings.direct.tls = SETTINGS_RELAY_VERIFY;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ask_direct(rig, rows[i].domain, true);
        assert_string_equal(shown(rig->answer), rows[i].answer);
    }
}

/* A stranger's zone: as many hosts as are kept, each with TLSA records as large as an answer may be. */
static void test_large_tlsa(void **state)
{
    static char names[2 * MX_HOSTS_MAX][40];
    static struct fake_row rows[2 * MX_HOSTS_MAX + 1];
    struct rig *rig = *state;
    AUTO_BUF struct buf hosts = buf_new(4000);
    for (unsigned i = 0; i < MX_HOSTS_MAX; i++) {
        char *host = names[2 * i], *tlsa = names[2 * i + 1];
        (void)snprintf(host, sizeof names[0], "mx%u.large.test", i);
        (void)snprintf(tlsa, sizeof names[0], "_25._tcp.%s", host);
        rows[2 * i] = (struct fake_row){host, RR_A, DNS_OK, true, "8.8.4.4", NULL, 0};
        rows[2 * i + 1] =
            (struct fake_row){tlsa, RR_TLSA, DNS_OK, true, "3 1 0 1|3 1 0 2|3 1 0 3|3 1 0 100", NULL, 0};
        buf_addf(&hosts, "%s10 %s", i ? "|" : "", host);
    }
    buf_add_byte(&hosts, 0);
    rows[2 * MX_HOSTS_MAX] =
        (struct fake_row){"large.test", RR_MX, DNS_OK, true, (const char *)hosts.data, NULL, 0};
    rig->dns.rows = rows;
    rig->dns.count = ARRAY_LEN(rows);
    ask_direct(rig, "large.test", false);
    assert_int_equal(rig->answer->host_count, MX_HOSTS_MAX);
    for (size_t i = 0; i < MX_HOSTS_MAX; i++) {
        assert_int_equal(rig->answer->hosts[i].peer.tlsa_count, 4);
        assert_int_equal(rig->answer->hosts[i].peer.tlsa[0].data.len, 16382);
    }
}

static void test_levels(void **state)
{
    static const struct {
        enum settings_relay_tls tls;
        const char *domain, *answer;
    } rows[] = {
        {SETTINGS_RELAY_NONE, "dane.test", "mx.dane.test=8.8.4.4:25 none/none"},
        {SETTINGS_RELAY_REQUIRED, "implicit.test", "implicit.test=[2a00::1]:25 must/required"},
        {SETTINGS_RELAY_VERIFY, "implicit.test", "implicit.test=[2a00::1]:25 verify/verify"},
        {SETTINGS_RELAY_VERIFY, "unusable.test", "mx.unusable.test=8.8.4.4:25 verify/dane"},
    };
    struct rig *rig = *state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        rig->settings.direct.tls = rows[i].tls;
        ask_direct(rig, rows[i].domain, false);
        assert_string_equal(shown(rig->answer), rows[i].answer);
    }
    rig->settings.direct.tls = SETTINGS_RELAY_OPPORTUNISTIC;
    rig->settings.direct.dane = false;
    resolve_update(rig->resolve, &rig->settings);
    ask_direct(rig, "dane.test", false);
    assert_string_equal(shown(rig->answer), "mx.dane.test=8.8.4.4:25 may/opportunistic");
}

/* A relay's host is what the administrator wrote; what is missing there never bounces mail. */
static void test_relays(void **state)
{
    static const struct {
        const char *host;
        uint16_t port;
        enum settings_relay_tls tls;
        const char *answer, *name;
    } rows[] = {
        {"[relay.test]", 25, SETTINGS_RELAY_REQUIRED, "relay.test=127.0.0.1:25 must/relay", NULL},
        {"relay.test", 587, SETTINGS_RELAY_VERIFY, "relay.test=127.0.0.1:587 verify/relay", "relay.test"},
        {"relaymx.test", 25, SETTINGS_RELAY_OPPORTUNISTIC, "relay.test=127.0.0.1:25 may/relay", NULL},
        {"relaymx.test", 25, SETTINGS_RELAY_VERIFY, "relay.test=127.0.0.1:25 verify/relay", "relaymx.test"},
        {"relaymx.test", 587, SETTINGS_RELAY_NONE, "later 4.4.4", NULL},
        {"[127.0.0.1]", 2525, SETTINGS_RELAY_NONE, "127.0.0.1=127.0.0.1:2525 none/relay", NULL},
        {"[IPv6:::1]", 2525, SETTINGS_RELAY_NONE, "::1=[::1]:2525 none/relay", NULL},
        {"[::1]", 2525, SETTINGS_RELAY_VERIFY, "::1=[::1]:2525 verify/relay", "::1"},
        {"127.0.0.1", 25, SETTINGS_RELAY_NONE, "127.0.0.1=127.0.0.1:25 none/relay", NULL},
        {"nowhere.test", 587, SETTINGS_RELAY_REQUIRED, "later 4.4.4", NULL},
        {"null.test", 25, SETTINGS_RELAY_REQUIRED, "later 4.4.4", NULL},
        {"failed.test", 25, SETTINGS_RELAY_REQUIRED, "later 4.4.4", NULL},
    };
    struct rig *rig = *state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct settings_relay relay = {
            .host = slice_of(rows[i].host), .port = rows[i].port, .tls = rows[i].tls};
        struct resolve_question q = resolve_question_relay(&relay);
        ask(rig, &q);
        assert_string_equal(shown(rig->answer), rows[i].answer);
        if (rows[i].name) {
            const struct tls_peer *peer = &rig->answer->hosts[0].peer;
            assert_int_equal(peer->name_count, 1);
            assert_true(slice_eq(peer->names[0], slice_of(rows[i].name)));
        }
    }
    struct resolve_question q =
        resolve_question_map(SLICE("relaymx.test"), 587, false, SETTINGS_RELAY_REQUIRED);
    ask(rig, &q);
    assert_string_equal(shown(rig->answer), "relay.test=127.0.0.1:587 must/relay");
    q = resolve_question_map(SLICE("relay.test"), 587, true, SETTINGS_RELAY_REQUIRED);
    ask(rig, &q);
    assert_string_equal(shown(rig->answer), "relay.test=127.0.0.1:587 must/relay");
}

/* IPv6 that does not answer does not hold up IPv4. */
static void test_slow_family(void **state)
{
    struct rig *rig = *state;
    ask_direct(rig, "slow.test", false);
    assert_string_equal(shown(rig->answer), "slow-mx.test=8.8.8.8:25 may/opportunistic");
}

/* Kept for the time of the records, shared by all who ask at once, forgotten on request. */
static void test_memory(void **state)
{
    struct rig *rig = *state;
    struct resolve_question q = resolve_question_direct(&rig->settings, SLICE("plain.test"), false);
    struct rig others[3] = {{.arena = rig->arena}, {.arena = rig->arena}, {.arena = rig->arena}};
    for (size_t i = 0; i < 3; i++)
        (void)resolve_begin(rig->resolve, &q, rig->arena, on_done, &others[i]);
    ask_direct(rig, "plain.test", false);
    for (size_t i = 0; i < 3; i++)
        assert_true(others[i].answered);
    assert_int_equal(rig->dns.asked, 5);
    ask_direct(rig, "plain.test", false);
    assert_int_equal(rig->dns.asked, 5);
    assert_int_equal(resolve_count(rig->resolve), 1);
    resolve_forget(rig->resolve, SLICE("other.test"));
    ask_direct(rig, "plain.test", false);
    assert_int_equal(rig->dns.asked, 5);
    resolve_forget(rig->resolve, SLICE("plain.test"));
    ask_direct(rig, "plain.test", false);
    assert_int_equal(rig->dns.asked, 10);
    /* forgotten while a call still reads it */
    (void)resolve_begin(rig->resolve, &q, rig->arena, on_done, &others[0]);
    others[0].answered = false;
    resolve_forget(rig->resolve, SLICE_EMPTY);
    ask_direct(rig, "plain.test", false);
    assert_true(others[0].answered);
    assert_int_equal(others[0].answer->host_count, 2);
    assert_int_equal(rig->dns.asked, 15);
}

static void test_cancel(void **state)
{
    struct rig *rig = *state;
    struct resolve_question q = resolve_question_direct(&rig->settings, SLICE("plain.test"), false);
    struct resolve_call *call = resolve_begin(rig->resolve, &q, rig->arena, on_done, rig);
    resolve_cancel(&call);
    assert_null(call);
    resolve_cancel(&call);
    fake_for(&rig->dns, 50);
    assert_false(rig->answered);
    call = resolve_begin(rig->resolve, &q, rig->arena, on_done, rig); /* known by now: waits for its turn */
    resolve_cancel(&call);
    q.name = SLICE("slow.test");
    (void)resolve_begin(rig->resolve, &q, rig->arena, on_done, rig); /* freed with questions out */
    fake_for(&rig->dns, 50);
    assert_false(rig->answered);
}

/* The dns role is away: nothing is known, which is no refusal. */
static void test_dns_away(void **state)
{
    struct rig *rig = *state;
    ipc_link_close(rig->dns.theirs);
    fake_for(&rig->dns, 20);
    ask_direct(rig, "plain.test", false);
    assert_string_equal(shown(rig->answer), "later 4.4.3");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_domains),    TEST(test_dane_names), TEST(test_requiretls), TEST(test_requiretls_verify),
        TEST(test_large_tlsa), TEST(test_levels),     TEST(test_relays),     TEST(test_slow_family),
        TEST(test_memory),     TEST(test_cancel),     TEST(test_dns_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
