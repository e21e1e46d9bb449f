/* The contract's example parses, its mistakes are found, it survives coding; and the metrics and log lines
 * made from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "settings/compat.h"
#include "settings/metrics.h"
#include "settings/settings.h"

static const char contract[] =
    "hostname: mail.example.org\n"
    "data: /var/lib/rockdove\n"
    "tls:\n"
    "  - { cert: /etc/rockdove/tls/fullchain.pem, key: /etc/rockdove/tls/privkey.pem }\n"
    "listeners:\n"
    "  - { name: mx,               service: mx,         address: \"[::]:25\",    tls: starttls }\n"
    "  - { name: smtps,            service: submission, address: \"[::]:465\",   tls: implicit }\n"
    "  - { name: submission,       service: submission, address: \"[::]:587\",   tls: starttls }\n"
    "  - { name: imaps-proxy,      service: imap,       address: \"[::]:10993\", tls: implicit, proxy: "
    "required }\n"
    "  - { name: metrics,          service: metrics,    address: \"[::]:9166\",  tls: none }      # never on "
    "the mail Service\n"
    "proxy_trusted_networks: [ 10.0.20.0/24 ]\n"
    "trusted_networks: [ 10.10.0.0/16, \"2001:db8::/32\" ]\n"
    "domains:\n"
    "  - { name: example.org, catch_all: spam@example.org }\n"
    "accounts:\n"
    "  - { file: /etc/rockdove/postfix-accounts.cf }\n"
    "  - { file: /run/secrets/accounts.json, format: json }\n"
    "aliases:\n"
    "  - { file: /etc/rockdove/postfix-virtual.cf }\n"
    "dkim:\n"
    "  - { domain: example.org, selector: mail, key_file: /run/secrets/dkim_key }\n"
    "srs: { domain: example.org, secret_file: /run/secrets/srs }\n"
    "relay: { host: smtp-relay.example.net, port: 587, tls: required, sasl_file: /run/secrets/sasl_passwd, "
    "daily: 300 }\n"
    "limits:\n"
    "  mx: { connections_per_minute: 10, messages_per_minute: 30 }\n"
    "  imap: { connections_per_user_and_address: 50 }\n"
    "  auth_failure_delay: 5s\n"
    "  message_size: 50M\n"
    "bans: observe\n"
    "sender_identity: enforce\n"
    "resolver: { servers: [ \"127.0.0.1:53\" ], trust_anchor: /etc/rockdove/root.key, unblock_zones: [ test "
    "] }\n"
    "log:\n"
    "  - { to: stderr, format: text }\n"
    "  - { to: /var/log/rockdove/mail.log, format: postfix }\n"
    "imap: { hide_capabilities: [ { account: bob@example.org, names: [ MOVE, CONDSTORE ] } ] }\n";

struct loaded {
    struct settings *settings;
    struct conf_origin *origin;
    struct problems *problems;
    enum err err;
};

static struct loaded load(struct arena *arena, const char *yaml, const struct settings_probe *probe)
{
    struct loaded l = {.problems = problems_new_in(arena)};
    l.err = settings_parse_in(arena, slice_of(yaml), SLICE("r.yaml"), NULL, NULL, &l.settings, &l.origin,
                              l.problems);
    settings_check(l.settings, l.origin, SLICE("r.yaml"), probe, l.problems);
    return l;
}

static void assert_said(const struct loaded *l, const char *expected)
{
    AUTO_BUF struct buf text = buf_new(1 << 20);
    problems_print(l->problems, &text);
    buf_add_byte(&text, 0);
    if (!strstr((const char *)text.data, expected))
        fail_msg("missing: %s\nin:\n%s", expected, (const char *)text.data);
}

static void test_contract(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(8 << 20);
    struct loaded l = load(arena, contract, NULL);
    assert_int_equal(l.err, ERR_OK);
    assert_int_equal(l.problems->errors, 0);
    const struct settings *s = l.settings;
    assert_int_equal(s->listeners.count, 5);
    assert_int_equal(s->listeners.items[3].proxy, SETTINGS_PROXY_REQUIRED);
    assert_int_equal(s->listeners.items[3].address.port, 10993);
    assert_int_equal(s->accounts.items[1].format, SETTINGS_ACCOUNTS_JSON);
    assert_int_equal(s->limits.auth_failure_delay, 5000);
    assert_int_equal(s->limits.message_size, 50 << 20);
    assert_int_equal(s->relay.daily, 300);
    assert_int_equal(s->timeouts.imap_idle, 31 * 60000);
    assert_int_equal(s->log.items[1].format, LOG_FORMAT_POSTFIX);
    assert_int_equal(s->resolver.servers.items[0].port, 53);
    assert_true(settings_hides(s, SLICE("Bob@example.org"), SLICE("move")));
    assert_false(settings_hides(s, SLICE("alice@example.org"), SLICE("MOVE")));
    struct netaddr address;
    assert_true(netaddr_parse(SLICE("10.10.255.1"), &address));
    assert_true(settings_is_trusted(s, &address));
    assert_false(settings_is_proxy(s, &address));
    assert_true(netaddr_parse(SLICE("2001:db8:1::1"), &address));
    assert_true(settings_is_trusted(s, &address));
    assert_int_equal(s->limits.mx.connections_per_minute, 10);
}

static void test_coding(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(8 << 20);
    struct loaded l = load(arena, contract, NULL);
    AUTO_BUF struct buf bytes = buf_new(1 << 20), shown = buf_new(1 << 20), again = buf_new(1 << 20);
    struct settings *back = NULL;
    struct why why;
    settings_encode(l.settings, &bytes);
    assert_int_equal(settings_decode_in(arena, buf_slice(&bytes), &back, &why), ERR_OK);
    conf_show(&settings_table, l.settings, &shown);
    conf_show(&settings_table, back, &again);
    if (!slice_eq(buf_slice(&shown), buf_slice(&again)))
        fail_msg("%.*s\n---\n%.*s", SLICE_ARG(buf_slice(&shown)), SLICE_ARG(buf_slice(&again)));
    buf_add_byte(&shown, 0);
    struct loaded reread = load(arena, (const char *)shown.data, NULL);
    assert_int_equal(reread.problems->errors, 0);
}

static const char *unreadable(void *arg, struct slice path)
{
    (void)arg;
    return slice_search(path, SLICE("privkey")) >= 0 ? "Permission denied" : NULL;
}

static bool no_ipv6(void *arg)
{
    (void)arg;
    return false;
}

static void test_checks(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(8 << 20);
    struct settings_probe probe = {.unreadable = unreadable, .has_ipv6 = no_ipv6};
    struct loaded l = load(arena, contract, &probe);
    assert_said(&l, "r.yaml:4: error: key /etc/rockdove/tls/privkey.pem: Permission denied");
    assert_said(&l, "r.yaml:6: warning: listener mx: the kernel has no IPv6");
    l = load(arena,
             "hostname: mail\ndata: here\nlisteners:\n"
             "  - { name: a, service: imap, address: \"127.0.0.1:143\", tls: none }\n"
             "  - { name: a, service: submission, address: \"[::]:143\", tls: none, insecure_auth: true }\n"
             "  - { name: c, service: imap, address: \"127.0.0.1:993\", tls: implicit, proxy: required }\n"
             "  - { name: d, service: metrics, address: \"127.0.0.1:9166\" }\n"
             "  - { name: e, service: pop3, address: \"127.0.0.1:110\", tls: none }\n"
             "proxy_trusted_networks: [ ]\n",
             NULL);
    assert_said(&l, "r.yaml:4: error: listener a: without TLS nobody can log in there");
    assert_said(&l, "r.yaml:8: error: listener e: without TLS nobody can log in there");
    assert_said(&l, "r.yaml:5: error: two listeners are called a");
    assert_said(&l, "r.yaml:5: error: listeners a and a both want [::]:143");
    assert_said(&l, "r.yaml:5: warning: listener a: passwords may travel without TLS");
    assert_said(&l, "r.yaml:6: error: listener c: TLS needs a certificate");
    assert_said(&l, "r.yaml:6: error: listener c: proxy: required, but nobody may send a PROXY header");
    assert_said(&l, "r.yaml:7: error: listener d: HTTP has no STARTTLS");
    assert_said(&l, "r.yaml:1: warning: hostname has no domain");
    assert_said(&l, "r.yaml:2: warning: data is a relative path");
    assert_said(&l, "no listener takes mail from outside");
    l = load(arena, "hostnam: x\nproxy_trusted_networks: 10.0.0.0/8\n", NULL);
    assert_int_equal(l.err, ERR_BAD);
    assert_said(&l, "r.yaml:1: error: unknown key \"hostnam\"\n    did you mean \"hostname\"?");
    assert_said(&l, "hostname is missing");
    assert_said(&l, "r.yaml:2: warning: proxy_trusted_networks[1] is wide");
    assert_int_equal(l.settings->log.count, 1);
}

static void test_door(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(8 << 20);
    struct loaded l =
        load(arena,
             "hostname: mail.example.org\ndata: /d\nlisteners:\n"
             "  - { name: m, service: mx, address: \"[::]:25\", tls: none }\n"
             "before_greeting: { lists: [ { zone: bl.example, answers: 127.0.0.4/30, weight: 2 } ] }\n"
             "crowdsec: { url: \"http://127.0.0.1:8080/\", key_file: /key }\n",
             NULL);
    assert_int_equal(l.problems->errors, 0);
    const struct settings *s = l.settings;
    assert_int_equal(s->before_greeting.wait, 3000);
    assert_true(s->before_greeting.reject_early);
    assert_int_equal(s->before_greeting.lists.items[0].weight, 2);
    assert_int_equal(s->before_greeting.lists.items[0].answers.items[0].bits, 126);
    assert_int_equal(s->crowdsec.types.count, 0);
    assert_int_equal(s->ban_policy.owner_memory, 30ull * 86400 * 1000);
    assert_int_equal(s->limits.ipv6_prefix, 64);
    l = load(arena,
             "hostname: mail.example.org\n"
             "before_greeting: { wait: 0, text: \"\\e\", reject_score: 5, lists: [ { zone: a_b }, { zone: "
             "A_b } ] }\n"
             "bans: local\nban_policy: { first: 2h, max: 1h }\n"
             "crowdsec: { url: \"ftp://x/\", machine: m }\n",
             NULL);
    assert_said(&l, "zone is no domain");
    assert_said(&l, "A_b is asked twice");
    assert_said(&l, "nobody is ever refused");
    assert_said(&l, "leaves the lists no time");
    assert_said(&l, "text has no effect");
    assert_said(&l, "cannot be a line of a greeting");
    assert_said(&l, "ban_policy.first is longer");
    assert_said(&l, "two programs ban the same");
    assert_said(&l, "does not begin with http://");
    assert_said(&l, "without a bouncer's key");
    assert_said(&l, "needs both machine and machine_file");
    l = load(arena, "hostname: mail.example.org\ncrowdsec: { machine: m }\n", NULL);
    assert_said(&l, "no effect without its url");
}

static void test_relays(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(8 << 20);
    struct loaded l = load(arena,
                           "hostname: mail.example.org\ndata: /d\nlisteners:\n"
                           "  - { name: m, service: mx, address: \"[::]:25\", tls: none }\n"
                           "relay: { host: a.example, next: b }\n"
                           "relays:\n"
                           "  - { name: b, host: b.example, daily: 300, reserve: 80, next: direct,\n"
                           "      reserve_senders: [ probe@example.org ], day_begins: \"22:00\" }\n",
                           NULL);
    assert_int_equal(l.problems->errors, 0);
    assert_true(slice_eq(settings_relay_at(l.settings, 0)->name, SLICE("default")));
    assert_int_equal(settings_relay_by_name(l.settings, SLICE("b")), 1);
    assert_int_equal(settings_relay_by_name(l.settings, SLICE("c")), -1);
    assert_int_equal(settings_relay_at(l.settings, 1)->reserve, 80);
    assert_null(settings_relay_at(l.settings, 2));
    l = load(arena,
             "hostname: mail.example.org\n"
             "relay: { host: a.example, next: b, day_begins: \"24:00\" }\n"
             "relays:\n"
             "  - { name: b, host: b.example, next: default }\n"
             "  - { name: b, next: nobody, reserve: 5 }\n"
             "  - { host: c.example, tls: none, sasl_file: /secret }\n"
             "direct: { source_ipv4: \"::1\", ehlo: a_b }\n"
             "srs: { domain: example.org }\n"
             "queue: { retry_first: 5h }\n",
             NULL);
    static const char *const said[] = {
        "r.yaml:2: error: relay default: day_begins is no time of day",
        "r.yaml:2: error: relay default: the chain of next leads back to it",
        "r.yaml:5: error: two relays are called b",
        "r.yaml:5: error: relay b has no host",
        "r.yaml:5: error: relay b: no relay is called nobody",
        "r.yaml:5: error: relay b: a reserve is a part of daily",
        "r.yaml:6: error: a relay in relays has no name",
        "r.yaml:6: warning: relay : without TLS we do not log in there",
        "r.yaml:7: error: direct.source_ipv4 is no IPv4 address",
        "r.yaml:7: error: direct.ehlo is no host name",
        "r.yaml:8: error: srs needs both its domain and its secret_file",
        "r.yaml:9: error: queue.retry_first is longer than queue.retry_max",
    };
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        assert_said(&l, said[i]);
}

static void test_manual(void **state)
{
    (void)state;
    AUTO_BUF struct buf manual = buf_new(1 << 20);
    conf_print_manual(&settings_table, &manual);
    assert_true(buf_ok(&manual));
    assert_true(slice_search(buf_slice(&manual), SLICE("### `listeners[].proxy`")) > 0);
    assert_true(slice_search(buf_slice(&manual), SLICE("## `free_space_reserve`")) > 0);
}

static void assert_line(const struct compat_line *line, const char *program, const char *expected)
{
    assert_string_equal(line->program, program);
    if (!slice_eq(slice_make(line->text, line->len), slice_of(expected)))
        fail_msg("%.*s\nexpected %s", (int)line->len, line->text, expected);
}

/* Whom tools that ban may see. */
static void test_compat_whom(void **state)
{
    (void)state;
    static struct conf_network own, proxy, monitor;
    assert_true(conf_read_network(SLICE("192.0.2.0/28"), &own) &&
                conf_read_network(SLICE("10.0.0.0/8"), &proxy) &&
                conf_read_network(SLICE("2001:db8:1::/48"), &monitor));
    struct settings settings = {.trusted_networks = {.items = &own, .count = 1},
                                .proxy_trusted_networks = {.items = &proxy, .count = 1}};
    settings.ban_policy.except.items = &monitor;
    settings.ban_policy.except.count = 1;
    static const struct {
        const char *address;
        bool wanted;
    } rows[] = {{"203.0.113.1", true}, {"2001:db8::1", true}, {"192.0.2.1", false}, {"192.0.2.16", true},
                {"10.1.2.3", false},   {"127.0.0.1", false},  {"::1", false},       {"2001:db8:1::7", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct netaddr addr;
        assert_true(netaddr_parse(slice_of(rows[i].address), &addr));
        assert_int_equal(compat_may_ban(&settings, &addr), rows[i].wanted);
    }
    assert_false(compat_may_ban(&settings, &(struct netaddr){.family = NETADDR_UNIX}));
}

static void test_compat(void **state)
{
    (void)state;
    struct settings_listener mx = {.service = SETTINGS_MX},
                             smtps = {.service = SETTINGS_SUBMISSION, .tls = SETTINGS_TLS_IMPLICIT},
                             submission = {.service = SETTINGS_SUBMISSION, .tls = SETTINGS_TLS_STARTTLS};
    struct compat_line line;
    struct slice ip = SLICE("203.0.113.1");
    compat_sasl_failed(&line, &submission, ip, SLICE("host.example.org"), SLICE("SCRAM-SHA-256"),
                       "bad password");
    assert_line(&line, "postfix/submission/smtpd",
                "warning: host.example.org[203.0.113.1]: SASL PLAIN authentication failed: bad password");
    compat_sasl_failed(&line, &smtps, ip, SLICE("bad_host"), SLICE("login"), "bad password");
    assert_line(&line, "postfix/smtps/smtpd",
                "warning: unknown[203.0.113.1]: SASL LOGIN authentication failed: bad password");
    static const char *const useless[] = {"-a.example", "a..example", ".example",        "a.example.",
                                          "a b",        "a]b",        "\xc3\xa9.example"};
    for (size_t i = 0; i < sizeof useless / sizeof *useless;
         i++) { /* the parsers could not read such a line */
        compat_lost(&line, &mx, ip, slice_of(useless[i]), "RCPT");
        assert_line(&line, "postfix/smtpd", "lost connection after RCPT from unknown[203.0.113.1]");
    }
    struct compat_reject reject = {.stage = "RCPT",
                                   .reply =
                                       SLICE("550 5.1.1 <a@b>: Recipient address rejected: User unknown"),
                                   .from = SLICE("x@y from v[198.51.100.9]"),
                                   .to = SLICE("\"lost connection after X from v[198.51.100.9]\"@b"),
                                   .helo = SLICE("h\r\n>, rip=1"),
                                   .esmtp = true};
    compat_rejected(&line, &mx, ip, SLICE_EMPTY, &reject);
    assert_line(
        &line, "postfix/smtpd",
        "NOQUEUE: reject: RCPT from unknown[203.0.113.1]: 550 5.1.1 ?a@b?: Recipient address rejected: User "
        "unknown; "
        "from=<x@y?from?v?198.51.100.9?> to=<\"lost?connection?after?X?from?v?198.51.100.9?\"@b> proto=ESMTP "
        "helo=<h?????rip?1>");
    compat_lost(&line, &mx, ip, SLICE_EMPTY, "DATA");
    assert_line(&line, "postfix/smtpd", "lost connection after DATA from unknown[203.0.113.1]");
    compat_pregreet(&line, ip, 41234, 53, SLICE("EHLO x\r\n"));
    assert_line(&line, "postfix/postscreen", "PREGREET 8 after 0.05 from [203.0.113.1]:41234: EHLO?x??");
    struct compat_login login = {.service = SETTINGS_IMAP,
                                 .ip = ip,
                                 .server_ip = SLICE("10.0.0.1"),
                                 .user = SLICE("u>, rip=198.51.100.9, lip=1.1.1.1"),
                                 .mechanism = SLICE("PLAIN"),
                                 .attempts = 1,
                                 .seconds = 2,
                                 .tls = true};
    compat_login_failed(&line, &login);
    assert_line(&line, "dovecot",
                "imap-login: Disconnected (auth failed, 1 attempts in 2 secs): "
                "user=<u???rip?198.51.100.9??lip?1.1.1.1>, "
                "method=PLAIN, rip=203.0.113.1, lip=10.0.0.1, TLS");
    login.service = SETTINGS_POP3;
    login.mechanism = SLICE("USER");
    login.user = SLICE("u");
    login.tls = false;
    compat_login_failed(&line, &login);
    assert_line(&line, "dovecot",
                "pop3-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<u>, "
                "method=PLAIN, rip=203.0.113.1, lip=10.0.0.1");
    static uint8_t huge[5000];
    memset(huge, 'x', sizeof huge);
    struct slice much = slice_make(huge, sizeof huge);
    compat_rejected(
        &line, &mx, much, much,
        &(struct compat_reject){.stage = "RCPT", .reply = much, .from = much, .to = much, .helo = much});
    assert_in_range(line.len, 1, COMPAT_LINE_MAX);
}

static void test_metrics(void **state)
{
    (void)state;
    assert_int_equal(metric_attach(&metrics_table, -1, "test", NULL), ERR_OK);
    assert_true(metric_block_size(&metrics_table) <= 16384);
    for (size_t i = 0; i < METRIC_ID_COUNT; i++)
        assert_non_null(metrics_table.defs[i].name);
    metric_add(METRIC_LOGINS, METRIC_LOGIN_AT(METRIC_IMAP, METRIC_LOGIN_FAILED), 2);
    metric_add(METRIC_SMTP_COMMANDS, metrics_command(&metrics_smtp_commands, SLICE("RCPT")), 1);
    metric_add(METRIC_SMTP_COMMANDS, metrics_command(&metrics_smtp_commands, SLICE("XYZZY")), 1);
    assert_int_equal(metric_get(METRIC_LOGINS, METRIC_LOGIN_AT(METRIC_IMAP, METRIC_LOGIN_FAILED)), 2);
    AUTO_BUF struct buf text = buf_new(1 << 20);
    metric_render(&metrics_table, NULL, 0, &text);
    assert_true(slice_search(buf_slice(&text),
                             SLICE("rockdove_logins_total{service=\"imap\",result=\"failed\"} 0\n")) > 0);
    assert_true(slice_search(buf_slice(&text), SLICE("rockdove_role_restarts_total{role=\"store\"} 0\n")) >
                0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contract),    cmocka_unit_test(test_coding), cmocka_unit_test(test_checks),
        cmocka_unit_test(test_relays),      cmocka_unit_test(test_door),   cmocka_unit_test(test_manual),
        cmocka_unit_test(test_compat_whom), cmocka_unit_test(test_compat), cmocka_unit_test(test_metrics),
    };
    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
