/* test_greet.c: strangers before the greeting, with a dns role that answers, lies or hangs, and an auth that
 * writes down what it is told. */
#include "../net/net_test.h"

#include <assert.h>
#include <stdio.h>

#include "net/security.h"
#include "policy/dns_list.h"
#include "policy/rdata.h"
#include "smtp/greet.h"

#define PATIENCE_MS 5000
#define TOLD_MS     50 /* auth is told of offences by then */
#define WAIT_MS     200
#define LATE_MS     400 /* how late a machine under load may be */

enum manner { MANNER_GOOD, MANNER_SILENT, MANNER_LISTS_ALL, MANNER_EMPTY, MANNER_REFUSES, MANNER_PARKED };

struct client {
    int fd;
    bool eof;
    struct buf got;
};

struct fake {
    struct loop *loop;
    struct smtp *smtp;
    struct settings settings;
    struct settings_listener listeners[2];
    struct settings_dns_list lists[3];
    struct conf_network networks[2];
    struct service_port *ports[2];        /* mx, submission */
    struct ipc_link *mine[2], *theirs[2]; /* auth, dns */
    /* what the peers saw */
    unsigned offences[OFFENCE_COUNT], points, queries, held;
    char detail[300];
    struct buf saved[8];
    uint32_t saved_flags[8];
    unsigned saves;
    uint32_t held_requests[64];
    /* how dns behaves: per list */
    enum manner manners[3];
};

/* ---- the peers ---- */

static bool on_auth(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct fake *f = ctx;
    (void)link;
    if (packet->type == WIRE_OFFENCE) {
        struct wire_offence m;
        assert_int_equal(wire_decode(WIRE_OFFENCE, packet->body, &m), ERR_OK);
        f->offences[m.kind] += m.count;
        (void)snprintf(f->detail, sizeof f->detail, "%.*s", SLICE_ARG(m.detail));
    } else if (packet->type == WIRE_DOOR_SAVE) {
        struct wire_door_save m;
        assert_int_equal(wire_decode(WIRE_DOOR_SAVE, packet->body, &m), ERR_OK);
        f->saved[f->saves] = buf_new(WIRE_BLOB_MAX);
        f->saved_flags[f->saves] = m.flags;
        buf_add(&f->saved[f->saves++], m.data);
    }
    return true;
}

static void answer(struct ipc_link *link, uint32_t request, const char *address)
{
    AUTO_BUF struct buf records = buf_new(1000);
    struct netaddr a;
    if (*address) {
        assert_true(netaddr_parse(slice_of(address), &a));
        wire_strings_add(&records, slice_make(a.bytes, 4));
    }
    const struct wire_dns_answer m = {.status = *address ? DNS_OK : DNS_NXDOMAIN,
                                      .records = buf_slice(&records)};
    wire_reply(link, request, WIRE_DNS_ANSWER, false, &m);
}

/* Who is listed has 66 at the end. */
static const char *right_answer(struct slice name)
{
    bool listed = slice_starts(name, SLICE("2.0.0.127.")) || slice_starts(name, SLICE("66."));
    return listed ? "127.0.0.2" : "";
}

static bool on_dns(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct fake *f = ctx;
    struct wire_dns_query m;
    assert_int_equal(wire_decode(WIRE_DNS_QUERY, packet->body, &m), ERR_OK);
    if (m.rrtype != RR_A) { /* a client's name */
        answer(link, packet->request, "");
        return true;
    }
    f->queries++;
    ptrdiff_t at = slice_search(m.name, SLICE(".list"));
    assert_true(at > 0);
    switch (f->manners[m.name.ptr[at + 5] - '0']) {
    case MANNER_GOOD:
        answer(link, packet->request, right_answer(m.name));
        break;
    case MANNER_SILENT:
        f->held_requests[f->held++ % ARRAY_LEN(f->held_requests)] = packet->request;
        break;
    case MANNER_LISTS_ALL:
        answer(link, packet->request, "127.0.0.2");
        break;
    case MANNER_EMPTY:
        answer(link, packet->request, "");
        break;
    case MANNER_REFUSES:
        answer(link, packet->request, "127.255.255.254");
        break;
    case MANNER_PARKED:
        answer(link, packet->request, "203.0.113.80");
        break;
    }
    return true;
}

static void on_down(void *ctx, struct ipc_link *link)
{
    (void)ctx;
    (void)link;
}

static bool on_nothing(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    (void)ctx;
    (void)link;
    (void)packet;
    return false;
}

static const struct ipc_ops my_ops = {.packet = on_nothing, .down = on_down};
static const struct ipc_ops peer_ops[2] = {{.packet = on_auth, .down = on_down},
                                           {.packet = on_dns, .down = on_down}};

/* ---- the rig ---- */

static void make_settings(struct fake *f)
{
    static const char *const zones[] = {"list0.test", "list1.test", "list2.test"};
    f->settings.hostname = SLICE("mx.example.test");
    f->settings.limits.message_size = 1000000;
    f->settings.limits.recipients = 100;
    f->settings.limits.smtp_sessions = 2000;
    f->settings.limits.sessions_per_address = 2000;
    f->settings.limits.ipv4_prefix = 32;
    f->settings.limits.ipv6_prefix = 64;
    f->settings.limits.network_share = 100;
    f->settings.timeouts.smtp_command = 60000;
    f->settings.timeouts.smtp_data = 60000;
    f->settings.before_greeting.wait = WAIT_MS;
    f->settings.before_greeting.remember = 3600000;
    f->settings.before_greeting.reject_early = true;
    for (size_t i = 0; i < ARRAY_LEN(zones); i++)
        f->lists[i] = (struct settings_dns_list){.zone = slice_of(zones[i]), .weight = 2};
    f->settings.before_greeting.lists.items = f->lists;
    f->listeners[0] = (struct settings_listener){.name = SLICE("mx"), .service = SETTINGS_MX};
    f->listeners[1] = (struct settings_listener){.name = SLICE("subm"), .service = SETTINGS_SUBMISSION};
    f->settings.listeners.items = f->listeners;
    f->settings.listeners.count = 2;
    assert_true(conf_read_network(SLICE("10.1.0.0/16"), &f->networks[0]));
    assert_true(conf_read_network(SLICE("10.2.0.0/16"), &f->networks[1]));
    f->settings.trusted_networks.items = &f->networks[0];
    f->settings.trusted_networks.count = 1;
    f->settings.proxy_trusted_networks.items = &f->networks[1];
    f->settings.proxy_trusted_networks.count = 1;
}

static void setup(struct fake *f)
{
    static const char *const names[] = {"auth", "dns"};
    memset(f, 0, sizeof *f);
    f->loop = loop_new();
    make_settings(f);
    f->smtp = smtp_new(f->loop, &f->settings);
    for (unsigned i = 0; i < 2; i++) {
        int fds[2];
        f->mine[i] = ipc_link_new(f->loop, names[i], &my_ops, f);
        f->theirs[i] = ipc_link_new(f->loop, "smtp", &peer_ops[i], f);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
        ipc_link_attach(f->mine[i], fds[0]);
        ipc_link_attach(f->theirs[i], fds[1]);
        f->ports[i] = service_port_new(&f->listeners[i], i);
    }
    f->smtp->auth = f->mine[0];
    f->smtp->dns = f->mine[1];
    security_use(f->smtp->service.security, f->smtp->auth, &f->settings);
    smtp_greeter_start(f->smtp->greeter);
}

static void stop(void *arg)
{
    loop_stop(arg);
}

static void turns(struct fake *f, unsigned ms)
{
    struct loop_timer *timer = loop_timer_new(f->loop, stop, f->loop);
    loop_timer_set(timer, ms);
    loop_run(f->loop);
    loop_timer_free(&timer);
}

static void teardown(struct fake *f)
{
    turns(f, 5);
    assert_int_equal(f->smtp->service.session_count, 0);
    assert_true(list_empty(&f->smtp->greeter->waiting));
    smtp_free(f->smtp);
    for (unsigned i = 0; i < 2; i++) {
        ipc_link_close(f->mine[i]);
        ipc_link_free(&f->mine[i]);
        ipc_link_free(&f->theirs[i]);
        service_port_free(&f->ports[i]);
    }
    for (unsigned i = 0; i < ARRAY_LEN(f->saved); i++)
        buf_free(&f->saved[i]);
    loop_free(&f->loop);
}

/* The lists are in use, as far as their tests allow. */
static void use_lists(struct fake *f, unsigned count, uint64_t reject_score)
{
    f->settings.before_greeting.lists.count = count;
    f->settings.before_greeting.reject_score = reject_score;
    smtp_greeter_start(f->smtp->greeter);
    turns(f, 10);
    f->queries = 0;
}

struct from {
    const char *address;
    bool probe, submission;
};

static struct client connect_from(struct fake *f, struct from from)
{
    static const struct stream_ops none = {0};
    int fds[2];
    struct netaddr peer;
    assert_true(netaddr_parse(slice_of(from.address), &peer));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    struct stream *stream = stream_new(f->loop, fds[0], &peer, &none, NULL);
    const struct listener_arrival arrival = {.index = from.submission,
                                             .settings = &f->listeners[from.submission],
                                             .probe = from.probe,
                                             .trusted = settings_is_trusted(&f->settings, &peer)};
    smtp_session_begin(f->smtp, stream, &arrival, f->ports[from.submission]);
    return (struct client){.fd = fds[1], .got = buf_new(1u << 16)};
}

static struct client stranger(struct fake *f, const char *address)
{
    return connect_from(f, (struct from){.address = address});
}

static void leave(struct client *c)
{
    (void)close(c->fd);
    buf_free(&c->got);
}

static void receive(struct client *c)
{
    uint8_t *at = buf_reserve(&c->got, 4096);
    ssize_t got = at ? read(c->fd, at, 4096) : -1;
    if (got > 0)
        buf_added(&c->got, (size_t)got);
    c->eof = c->eof || got == 0;
}

static void say(const struct client *c, const char *text)
{
    assert_int_equal(send(c->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Until all of that was received, in this order, from the beginning on; then it is taken off. The
 * milliseconds it took. */
static uint64_t expect(struct fake *f, struct client *c, const char *text)
{
    uint64_t begun = clock_mono_ms();
    struct slice wanted = slice_of(text);
    while (clock_mono_ms() < begun + PATIENCE_MS) {
        if (slice_starts(buf_slice(&c->got), wanted)) {
            buf_consume(&c->got, wanted.len);
            return clock_mono_ms() - begun;
        }
        if (c->eof || !slice_starts(wanted, slice_sub(buf_slice(&c->got), 0, wanted.len)))
            break;
        turns(f, 1);
        receive(c);
    }
    fail_msg("expected \"%s\", got \"%.*s\"%s", text, SLICE_ARG(buf_slice(&c->got)),
             c->eof ? " and the end" : "");
    return 0;
}

static void expect_end(struct fake *f, struct client *c)
{
    for (int i = 0; i < PATIENCE_MS && !c->eof; i++) {
        turns(f, 1);
        receive(c);
    }
    assert_true(c->eof);
    if (c->got.len)
        fail_msg("expected the end, got \"%.*s\"", SLICE_ARG(buf_slice(&c->got)));
    leave(c);
}

#define GREETING "220 mx.example.test ESMTP Rockdove\r\n"
#define BYE      "221 2.0.0 Bye\r\n"

static void quit(struct fake *f, struct client *c)
{
    say(c, "QUIT\r\n");
    (void)expect(f, c, BYE);
    expect_end(f, c);
}

static void assert_waited(uint64_t ms)
{
    assert_in_range(ms, WAIT_MS - 2, WAIT_MS + LATE_MS);
}

/* ---- the wait ---- */

static void test_strangers_wait_once(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    struct client c = stranger(&f, "203.0.113.7");
    assert_waited(expect(&f, &c, GREETING));
    quit(&f, &c);
    c = stranger(&f, "203.0.113.7");
    assert_true(expect(&f, &c, GREETING) < WAIT_MS * 3 / 4);
    quit(&f, &c);
    c = stranger(&f, "2001:db8::1");
    assert_waited(expect(&f, &c, GREETING));
    quit(&f, &c);
    c = stranger(&f, "2001:db8::2"); /* of the same /64 */
    assert_true(expect(&f, &c, GREETING) < WAIT_MS * 3 / 4);
    quit(&f, &c);
    assert_int_equal(smtp_known_count(f.smtp->greeter->known), 2);
    f.settings.before_greeting.remember = 0;
    c = stranger(&f, "203.0.113.9");
    assert_waited(expect(&f, &c, GREETING));
    quit(&f, &c);
    assert_int_equal(smtp_known_count(f.smtp->greeter->known), 2);
    teardown(&f);
}

static void test_others_do_not_wait(void **state)
{
    static const struct from rows[] = {
        {"127.0.0.1", false, false},  {"::1", false, false},
        {"10.1.2.3", false, false},   /* trusted_networks */
        {"10.2.0.1", false, false},   /* a load balancer that speaks for itself */
        {"203.0.113.7", true, false}, /* its probe */
        {"203.0.113.7", false, true}, /* submission */
    };
    struct fake f;
    (void)state;
    setup(&f);
    f.settings.before_greeting.text = SLICE("one moment");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct client c = connect_from(&f, rows[i]);
        assert_true(expect(&f, &c, GREETING) < WAIT_MS * 3 / 4);
        quit(&f, &c);
    }
    f.settings.before_greeting.wait = 0;
    struct client c = stranger(&f, "203.0.113.8");
    assert_true(expect(&f, &c, GREETING) < WAIT_MS * 3 / 4);
    quit(&f, &c);
    assert_int_equal(smtp_known_count(f.smtp->greeter->known), 0);
    teardown(&f);
}

static void test_two_lines(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    f.settings.before_greeting.text = SLICE("one moment");
    struct client c = stranger(&f, "203.0.113.7");
    assert_true(expect(&f, &c, "220-one moment\r\n") < WAIT_MS * 3 / 4);
    assert_in_range(expect(&f, &c, GREETING), WAIT_MS / 2, WAIT_MS + LATE_MS);
    quit(&f, &c);
    c = stranger(&f, "203.0.113.7"); /* known: one line */
    (void)expect(&f, &c, GREETING);
    quit(&f, &c);
    c = stranger(&f, "203.0.113.8");
    (void)expect(&f, &c, "220-one moment\r\n");
    say(&c, "EHLO bot\r\n");
    (void)expect(&f, &c, "521 5.5.1 You spoke before the greeting\r\n");
    expect_end(&f, &c);
    teardown(&f);
}

/* RFC 5321 and RFC 2920 allow what comes behind the greeting, whatever is sent at once. */
static void test_behind_the_greeting(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    struct client c = stranger(&f, "203.0.113.7");
    (void)expect(&f, &c, GREETING);
    say(&c, "HELO a\r\nQUIT\r\n");
    (void)expect(&f, &c, "250 mx.example.test\r\n" BYE);
    expect_end(&f, &c);
    c = stranger(&f, "203.0.113.8");
    (void)expect(&f, &c, GREETING);
    say(&c, "HELO a\r\nNOOP\r\nRSET\r\nNOOP\r\nQUIT\r\n");
    (void)expect(&f, &c, "250 mx.example.test\r\n250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n" BYE);
    expect_end(&f, &c);
    for (unsigned i = 0; i < OFFENCE_COUNT; i++)
        assert_int_equal(f.offences[i], 0);
    teardown(&f);
}

static void test_many_wait(void **state)
{
    enum { MANY = 300 };
    static struct client c[MANY];
    struct fake f;
    (void)state;
    setup(&f);
    for (unsigned i = 0; i < MANY; i++) {
        char address[32];
        (void)snprintf(address, sizeof address, "203.0.%u.%u", i / 200, i % 200 + 1);
        f.settings.before_greeting.wait = i % 2 ? WAIT_MS : WAIT_MS / 2; /* as after a reload */
        c[i] = stranger(&f, address);
    }
    for (unsigned i = 0; i < MANY; i += 3) { /* some leave meanwhile */
        leave(&c[i]);
        c[i].fd = -1;
    }
    for (unsigned i = 0; i < MANY; i++)
        if (c[i].fd >= 0) {
            (void)expect(&f, &c[i], GREETING);
            leave(&c[i]);
        }
    assert_int_equal(smtp_known_count(f.smtp->greeter->known), MANY - MANY / 3);
    teardown(&f);
}

/* Strangers alone do not fill the role: who is known, our own and users still find a place. */
static void test_reserve(void **state)
{
    enum { MOST = 64, STRANGERS = 56 };
    static struct client c[MOST];
    static const struct from others[] = {
        {"198.51.100.1", false, false}, {"10.1.2.3", false, false}, {"203.0.113.200", false, true}};
    struct fake f;
    (void)state;
    setup(&f);
    f.settings.limits.smtp_sessions = MOST;
    const struct netaddr known = netaddr_v4((const uint8_t[]){198, 51, 100, 1}, 0);
    smtp_known_add(f.smtp->greeter->known, &known, (uint64_t)clock_unix_s() / 60);
    for (unsigned i = 0; i < MOST; i++) {
        char address[32];
        (void)snprintf(address, sizeof address, "203.0.113.%u", i + 1);
        if (i < STRANGERS)
            c[i] = stranger(&f, address);
        else
            c[i] = connect_from(&f, others[i % ARRAY_LEN(others)]);
    }
    for (unsigned i = STRANGERS; i < MOST; i++)
        (void)expect(&f, &c[i], GREETING);
    struct client late = stranger(&f, "203.0.113.100");
    (void)expect(&f, &late, "421 4.3.2 Too many connections (smtp_sessions)\r\n");
    expect_end(&f, &late);
    late = connect_from(&f, others[0]);
    (void)expect(&f, &late, "421 4.3.2 Too many connections (smtp_sessions)\r\n");
    expect_end(&f, &late);
    leave(&c[MOST - 1]);
    turns(&f, 5);
    late = stranger(&f, "203.0.113.101"); /* that place is not a stranger's */
    (void)expect(&f, &late, "421 4.3.2 Too many connections (smtp_sessions)\r\n");
    expect_end(&f, &late);
    late = connect_from(&f, others[0]);
    (void)expect(&f, &late, GREETING);
    leave(&late);
    for (unsigned i = 0; i < MOST - 1; i++)
        leave(&c[i]);
    teardown(&f);
}

static void test_ends_of_the_wait(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    uint64_t left = metric_get(METRIC_EARLY_GREETINGS, METRIC_GREETING_LEFT);
    struct client c = stranger(&f, "203.0.113.7"), d = stranger(&f, "203.0.113.8");
    turns(&f, 5);
    leave(&c); /* without a word */
    assert_int_equal(shutdown(d.fd, SHUT_WR), 0);
    turns(&f, 5);
    assert_int_equal(f.smtp->service.session_count, 0);
    leave(&d);
    assert_int_equal(metric_get(METRIC_EARLY_GREETINGS, METRIC_GREETING_LEFT), left + 2);
    c = stranger(&f, "203.0.113.7");
    turns(&f, 5);
    service_drain(&f.smtp->service, 1000);
    (void)expect(&f, &c, "421 4.3.2 Going down, come back soon\r\n");
    expect_end(&f, &c);
    assert_int_equal(smtp_known_count(f.smtp->greeter->known), 0);
    teardown(&f);
}

/* ---- early talkers ---- */

static void test_early(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    struct client c = stranger(&f, "203.0.113.7");
    say(&c, "E");
    (void)expect(&f, &c, "521 5.5.1 You spoke before the greeting\r\n");
    expect_end(&f, &c);
    turns(&f, TOLD_MS);
    assert_int_equal(f.offences[OFFENCE_EARLY_TALKER], 1);
    assert_string_equal(f.detail, "E");
    assert_int_equal(smtp_known_count(f.smtp->greeter->known), 0);
    c = stranger(&f, "203.0.113.7"); /* no second chance without a wait */
    assert_waited(expect(&f, &c, GREETING));
    quit(&f, &c);
    teardown(&f);
}

static void test_early_only_scores(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    f.settings.before_greeting.reject_early = false;
    struct client c = stranger(&f, "203.0.113.7");
    say(&c, "HELO a\r\n");
    turns(&f, 5);
    say(&c, "QUIT\r\n");
    assert_in_range(expect(&f, &c, GREETING), WAIT_MS / 2, WAIT_MS + LATE_MS);
    (void)expect(&f, &c, "250 mx.example.test\r\n" BYE);
    expect_end(&f, &c);
    turns(&f, TOLD_MS);
    assert_int_equal(f.offences[OFFENCE_EARLY_TALKER], 1);
    assert_string_equal(f.detail, "HELO a\r\n");
    assert_int_equal(smtp_known_count(f.smtp->greeter->known), 0);
    teardown(&f);
}

/* Other protocols get no answer at all, before the greeting or behind it, and one event. */
static void test_other_protocols(void **state)
{
    static const struct {
        const char *text, *detail;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: mx\r\n\r\n", "HTTP"},
        {"POST /x HTTP/1.0\r\n", "HTTP"},
        {"CONNECT a.test:25 HTTP/1.1\r\n", "HTTP"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP"},
        {"\x16\x03\x01\x02", "TLS"},
    };
    struct fake f;
    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_LEN(rows); i++) {
        setup(&f);
        struct client c = stranger(&f, "203.0.113.7");
        if (i % 2)
            (void)expect(&f, &c, GREETING);
        say(&c, rows[i / 2].text);
        expect_end(&f, &c);
        turns(&f, TOLD_MS);
        assert_int_equal(f.offences[OFFENCE_PROTOCOL_ABUSE], 1);
        assert_int_equal(f.offences[OFFENCE_EARLY_TALKER], 0);
        assert_memory_equal(f.detail, rows[i / 2].detail, strlen(rows[i / 2].detail));
        teardown(&f);
    }
}

/* Who is known and speaks with bare line ends is an offender, and not known any more. */
static void test_bare_line_ends(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    struct client c = stranger(&f, "203.0.113.7");
    (void)expect(&f, &c, GREETING);
    assert_int_equal(smtp_known_count(f.smtp->greeter->known), 1);
    say(&c, "NOOP\nRSET\r\n");
    (void)expect(&f, &c, "554 5.5.2 Lines end in CRLF: a bare CR or LF was sent\r\n");
    expect_end(&f, &c);
    turns(&f, TOLD_MS);
    assert_int_equal(f.offences[OFFENCE_PROTOCOL_ABUSE], 1);
    assert_int_equal(smtp_known_count(f.smtp->greeter->known), 0);
    c = connect_from(&f, (struct from){.address = "10.1.2.3"}); /* of our own: the same answer, and no more */
    (void)expect(&f, &c, GREETING);
    say(&c, "NOOP\nRSET\r\n");
    (void)expect(&f, &c, "554 5.5.2 Lines end in CRLF: a bare CR or LF was sent\r\n");
    expect_end(&f, &c);
    turns(&f, TOLD_MS);
    assert_int_equal(f.offences[OFFENCE_PROTOCOL_ABUSE], 1);
    teardown(&f);
}

/* ---- lists ---- */

static void test_lists(void **state)
{
    static const struct {
        const char *address;
        uint64_t reject_score;
        bool allow; /* list 1 is one of good senders */
        enum manner second;
        bool refused;
    } rows[] = {
        {"203.0.113.66", 4, false, MANNER_GOOD, true},
        {"203.0.113.66", 5, false, MANNER_GOOD, false},
        {"203.0.113.66", 2, false, MANNER_EMPTY, true}, /* the other list is off */
        {"203.0.113.66", 3, false, MANNER_LISTS_ALL, false},
        {"203.0.113.66", 3, false, MANNER_REFUSES, false},
        {"203.0.113.66", 3, false, MANNER_PARKED, false},
        {"203.0.113.66", 3, false, MANNER_SILENT, false},
        {"203.0.113.66", 1, true, MANNER_GOOD, false},
        {"203.0.113.66", 0, false, MANNER_GOOD, false}, /* only scores */
        {"203.0.113.7", 1, false, MANNER_LISTS_ALL, false},
        {"203.0.113.7", 1, false, MANNER_PARKED, false},
        {"203.0.113.7", 1, false, MANNER_GOOD, false},
    };
    struct fake f;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        setup(&f);
        f.lists[1].allow = rows[i].allow;
        f.manners[1] = rows[i].second;
        use_lists(&f, 2, rows[i].reject_score);
        struct client c = stranger(&f, rows[i].address);
        if (rows[i].refused) {
            bool both = rows[i].second == MANNER_GOOD;
            assert_waited(
                expect(&f, &c,
                       both ? "554 5.7.1 No mail is taken from 203.0.113.66: it is on list0.test "
                              "list1.test\r\n"
                            : "554 5.7.1 No mail is taken from 203.0.113.66: it is on list0.test\r\n"));
            expect_end(&f, &c);
        } else {
            assert_waited(expect(&f, &c, GREETING));
            quit(&f, &c);
        }
        turns(&f, TOLD_MS);
        assert_int_equal(f.offences[OFFENCE_LISTED], rows[i].refused);
        assert_int_equal(smtp_known_count(f.smtp->greeter->known), !rows[i].refused);
        assert_int_equal(f.queries, rows[i].second == MANNER_GOOD ? 2 : 1);
        teardown(&f);
    }
}

/* A zone that holds a key goes by another name. */
static void test_named_list(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    f.lists[0].name = SLICE("the list");
    use_lists(&f, 1, 1);
    struct client c = stranger(&f, "203.0.113.66");
    (void)expect(&f, &c, "554 5.7.1 No mail is taken from 203.0.113.66: it is on the list\r\n");
    expect_end(&f, &c);
    teardown(&f);
}

/* Lists that worked and hang now keep nobody longer than the wait; what comes late does no harm. */
static void test_dns_hangs(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    use_lists(&f, 2, 1);
    f.manners[0] = f.manners[1] = MANNER_SILENT;
    struct client c = stranger(&f, "203.0.113.66"), d = stranger(&f, "198.51.100.66");
    turns(&f, 5);
    leave(&d);
    assert_waited(expect(&f, &c, GREETING) + 5);
    assert_int_equal(f.held, 4);
    for (unsigned i = 0; i < f.held; i++)
        answer(f.theirs[1], f.held_requests[i], "127.0.0.2");
    quit(&f, &c);
    teardown(&f);
}

/* Lists that die behind our back, each in its way: the first client they would have refused is what their
 * next test is made for, and nobody is refused. */
static void test_lists_die(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    use_lists(&f, 3, 1);
    assert_int_equal(metric_get(METRIC_DNS_LISTS, 0), 3);
    f.manners[0] = MANNER_LISTS_ALL;
    f.manners[1] = MANNER_REFUSES;
    f.manners[2] = MANNER_PARKED;
    struct client c = stranger(&f, "203.0.113.7");
    turns(&f, 5);
    assert_int_equal(f.queries, 3); /* they were tested a moment ago */
    leave(&c);
    turns(&f, DNS_LIST_FRESH_MS);
    f.queries = 0;
    c = stranger(&f, "203.0.113.7");
    assert_waited(expect(&f, &c, GREETING));
    quit(&f, &c);
    assert_int_equal(f.queries, 3 * 3);
    assert_int_equal(metric_get(METRIC_DNS_LISTS, 0), 0);
    assert_int_equal(metric_get(METRIC_DNS_LISTS, 1), 3);
    teardown(&f);
}

/* Who is known is not delayed for the lists, but does not stay known once it is on them. */
static void test_known_is_listed_later(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    f.settings.before_greeting.remember = UINT64_C(86400) * 1000;
    use_lists(&f, 1, 1);
    const struct netaddr bad = netaddr_v4((const uint8_t[]){203, 0, 113, 66}, 0);
    smtp_known_add(f.smtp->greeter->known, &bad, (uint64_t)clock_unix_s() / 60);
    struct client c = stranger(&f, "203.0.113.66");
    assert_true(expect(&f, &c, GREETING) < WAIT_MS * 3 / 4);
    quit(&f, &c);
    assert_int_equal(f.queries, 1);
    assert_int_equal(smtp_known_count(f.smtp->greeter->known), 0);
    c = stranger(&f, "203.0.113.66");
    (void)expect(&f, &c, "554 5.7.1 No mail is taken from 203.0.113.66: it is on list0.test\r\n");
    expect_end(&f, &c);
    /* one that is not: asked once an hour */
    f.queries = 0;
    for (int i = 0; i < 3; i++) {
        c = stranger(&f, "203.0.113.7");
        (void)expect(&f, &c, GREETING);
        quit(&f, &c);
    }
    assert_int_equal(f.queries, 1);
    teardown(&f);
}

/* New settings while answers are awaited, for one who waits and for one who is known. */
static void test_reload(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    use_lists(&f, 2, 1);
    f.manners[0] = f.manners[1] = MANNER_SILENT;
    const struct netaddr known = netaddr_v4((const uint8_t[]){203, 0, 113, 7}, 0);
    smtp_known_add(f.smtp->greeter->known, &known, (uint64_t)clock_unix_s() / 60);
    struct client c = stranger(&f, "203.0.113.66"), d = stranger(&f, "203.0.113.7");
    turns(&f, 5);
    assert_int_equal(f.queries, 4);
    assert_false(list_empty(&f.smtp->greeter->again));
    use_lists(&f, 0, 0);
    assert_true(list_empty(&f.smtp->greeter->again));
    (void)expect(&f, &c, GREETING);
    (void)expect(&f, &d, GREETING);
    quit(&f, &c);
    quit(&f, &d);
    teardown(&f);
}

/* ---- saving ---- */

static void test_saved(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    smtp_greeter_save(f.smtp->greeter);
    turns(&f, 5);
    assert_int_equal(f.saves, 0); /* no news */
    for (uint32_t i = 0; i < 6000; i++) {
        const struct netaddr a = netaddr_v4((const uint8_t[]){100, 0, (uint8_t)(i >> 8), (uint8_t)i}, 0);
        smtp_known_add(f.smtp->greeter->known, &a, (uint64_t)clock_unix_s() / 60);
    }
    smtp_greeter_save(f.smtp->greeter);
    smtp_greeter_save(f.smtp->greeter);
    turns(&f, 5);
    assert_int_equal(f.saves, 3);
    assert_int_equal(f.saved_flags[0], DOOR_FIRST);
    assert_int_equal(f.saved_flags[1], 0);
    assert_int_equal(f.saved_flags[2], DOOR_LAST);
    struct fake g;
    setup(&g);
    for (unsigned i = 0; i < f.saves; i++) {
        const struct wire_door_save m = {.flags = f.saved_flags[i], .data = buf_slice(&f.saved[i])};
        assert_true(smtp_greeter_take(g.smtp->greeter, &m));
    }
    assert_int_equal(smtp_known_count(g.smtp->greeter->known), 6000);
    struct client c = stranger(&g, "100.0.3.7");
    assert_true(expect(&g, &c, GREETING) < WAIT_MS * 3 / 4);
    quit(&g, &c);
    const struct wire_door_save bad = {.data = SLICE("what is this")};
    assert_false(smtp_greeter_take(g.smtp->greeter, &bad));
    teardown(&g);
    teardown(&f);
}

int main(void)
{
    assert(metric_attach(&metrics_table, -1, "smtp", NULL) == ERR_OK);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strangers_wait_once),
        cmocka_unit_test(test_others_do_not_wait),
        cmocka_unit_test(test_two_lines),
        cmocka_unit_test(test_behind_the_greeting),
        cmocka_unit_test(test_many_wait),
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_ends_of_the_wait),
        cmocka_unit_test(test_early),
        cmocka_unit_test(test_early_only_scores),
        cmocka_unit_test(test_other_protocols),
        cmocka_unit_test(test_bare_line_ends),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_named_list),
        cmocka_unit_test(test_dns_hangs),
        cmocka_unit_test(test_lists_die),
        cmocka_unit_test(test_known_is_listed_later),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_saved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
