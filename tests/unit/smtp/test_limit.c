/* test_limit.c: what an address, an account and a sender domain may do in a minute, which replies are
 * offences. The commands around are test_session.c's and the system tests'. */
#include "../net/net_test.h"

#include "smtp/session.h"

struct fixture {
    struct loop *loop;
    struct settings settings;
    struct conf_network trusted;
    struct settings_listener listeners[2];
    struct service_port *mx, *submission;
    struct smtp *smtp;
    struct ipc_link *ours, *auths;
    struct smtp_session *s;
    int client;
    unsigned told[OFFENCE_COUNT];
};

static bool on_packet(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct fixture *f = ctx;
    struct wire_offence m;
    (void)link;
    assert_int_equal(packet->type, WIRE_OFFENCE);
    assert_int_equal(wire_decode(WIRE_OFFENCE, packet->body, &m), ERR_OK);
    assert_true(m.kind < OFFENCE_COUNT);
    f->told[m.kind] += m.count;
    return true;
}

static void on_down(void *ctx, struct ipc_link *link)
{
    (void)ctx;
    (void)link;
}

static const struct ipc_ops ops = {.packet = on_packet, .down = on_down};
static struct slice traps[] = {{(const uint8_t *)"trap@example.test", 17}};

static void setup(struct fixture *f)
{
    int fds[2];
    memset(f, 0, sizeof *f);
    f->loop = loop_new();
    f->settings.hostname = SLICE("mx.example.test");
    f->settings.limits.smtp_sessions = 10;
    f->settings.limits.sessions_per_address = 5;
    f->settings.limits.ipv4_prefix = 32;
    f->settings.limits.ipv6_prefix = 64;
    f->settings.timeouts.smtp_command = 60000;
    f->settings.ban_policy.spam_traps.items = traps;
    f->settings.ban_policy.spam_traps.count = 1;
    f->listeners[0] = (struct settings_listener){.name = SLICE("mx"), .service = SETTINGS_MX};
    f->listeners[1] = (struct settings_listener){.name = SLICE("sub"), .service = SETTINGS_SUBMISSION};
    f->settings.listeners.items = f->listeners;
    f->settings.listeners.count = 2;
    f->smtp = smtp_new(f->loop, &f->settings);
    f->ours = ipc_link_new(f->loop, "auth", &ops, f);
    f->auths = ipc_link_new(f->loop, "smtp", &ops, f);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    ipc_link_attach(f->ours, fds[0]);
    ipc_link_attach(f->auths, fds[1]);
    f->smtp->queue = f->smtp->store = f->smtp->auth = f->ours;
    security_use(f->smtp->service.security, f->ours, &f->settings);
    f->mx = service_port_new(&f->listeners[0], 0);
    f->submission = service_port_new(&f->listeners[1], 1);
    f->client = -1;
}

static struct smtp_session *arrive_as(struct fixture *f, const char *address, bool trusted, bool account)
{
    static const struct stream_ops none = {0};
    struct netaddr peer;
    int fds[2];
    assert_true(netaddr_parse(slice_of(address), &peer));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    const struct listener_arrival arrival = {.settings = &f->listeners[account], .trusted = trusted};
    size_t before = f->smtp->service.session_count;
    smtp_session_begin(f->smtp, stream_new(f->loop, fds[0], &peer, &none, NULL), &arrival,
                       account ? f->submission : f->mx);
    f->client = fds[1];
    if (f->smtp->service.session_count == before)
        return NULL;
    struct smtp_session *s = CONTAINER_OF(f->smtp->service.sessions.prev, struct smtp_session, node);
    if (account) {
        s->account = SLICE("user@example.test");
        memset(s->grant.name, 7, sizeof s->grant.name);
    }
    return s;
}

static void arrive(struct fixture *f, const char *address, bool trusted, bool account)
{
    f->s = arrive_as(f, address, trusted, account);
    assert_non_null(f->s);
}

static void leave(struct fixture *f)
{
    f->s->grant = (struct grant){0};
    smtp_session_free(&f->s);
    (void)close(f->client);
}

static void teardown(struct fixture *f)
{
    run_for(f->loop, 10);
    smtp_free(f->smtp);
    service_port_free(&f->mx);
    service_port_free(&f->submission);
    ipc_link_free(&f->ours);
    ipc_link_free(&f->auths);
    loop_free(&f->loop);
}

/* The name of the limit in the reply; "": it may. */
static const char *mail(struct fixture *f, const char *from, uint64_t size)
{
    static char text[200];
    struct smtp_reply_text reply = {0};
    const struct smtp_mail m = {.from.text = slice_of(from), .has_size = size > 0, .size = size};
    if (smtp_limit_mail(f->s, &m, &reply))
        return "";
    assert_int_equal(reply.code, 450);
    assert_string_equal(reply.status, "4.7.1");
    const char *begin = strchr(reply.text, '(');
    assert_non_null(begin);
    (void)snprintf(text, sizeof text, "%.*s", (int)strcspn(begin + 1, ")"), begin + 1);
    return text;
}

static bool rcpt(struct fixture *f, const char *limit)
{
    struct smtp_reply_text reply = {0};
    if (smtp_limit_rcpt(f->s, &reply))
        return true;
    assert_int_equal(reply.code, 450);
    assert_non_null(strstr(reply.text, limit));
    return false;
}

static void test_messages(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    f.settings.limits.mx.messages_per_minute = 2;
    f.settings.limits.submission.messages_per_minute = 1;
    for (int i = 0; i < 2; i++) { /* over two sessions */
        arrive(&f, "192.0.2.1", false, false);
        assert_string_equal(mail(&f, "a@b.test", 0), "");
        leave(&f);
    }
    arrive(&f, "192.0.2.1", false, false);
    assert_string_equal(mail(&f, "a@b.test", 0), "mx.messages_per_minute");
    leave(&f);
    arrive(&f, "192.0.2.2", false, false);
    assert_string_equal(mail(&f, "a@b.test", 0), "");
    leave(&f);
    for (int i = 0; i < 3; i++) { /* our own have no limit; an account has its own, from wherever */
        arrive(&f, "192.0.2.1", true, false);
        assert_string_equal(mail(&f, "a@b.test", 0), "");
        leave(&f);
        arrive(&f, "127.0.0.1", false, false);
        assert_string_equal(mail(&f, "a@b.test", 0), "");
        leave(&f);
        arrive(&f, i ? "192.0.2.1" : "192.0.2.7", i == 2, true);
        assert_string_equal(mail(&f, "a@b.test", 0), i ? "submission.messages_per_minute" : "");
        leave(&f);
    }
    run_for(f.loop, 60);
    assert_int_equal(f.told[OFFENCE_LIMIT], 1); /* the stranger's */
    teardown(&f);
}

static void test_bytes(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    f.settings.limits.mx.bytes_per_minute = 1000;
    arrive(&f, "192.0.2.1", false, false);
    assert_string_equal(mail(&f, "a@b.test", 900), "");
    assert_string_equal(mail(&f, "a@b.test", 900), ""); /* nothing came so far */
    smtp_limit_text(f.s, 600);
    assert_string_equal(mail(&f, "a@b.test", 900), "mx.bytes_per_minute");
    assert_string_equal(mail(&f, "a@b.test", 0), "");
    smtp_limit_text(f.s, 5000);
    assert_string_equal(mail(&f, "a@b.test", 0), "mx.bytes_per_minute");
    leave(&f);
    teardown(&f);
}

/* Counted when accepted, from wherever. */
static void test_sender_domain(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    f.settings.limits.mx.domain_messages_per_minute = 2;
    arrive(&f, "192.0.2.1", false, false);
    for (int i = 0; i < 5; i++)
        assert_string_equal(mail(&f, "a@B.test", 0), "");
    f.s->txn.sender = SLICE("a@b.test");
    smtp_limit_accepted(f.s);
    smtp_limit_accepted(f.s);
    leave(&f);
    arrive(&f, "198.51.100.1", false, false);
    assert_string_equal(mail(&f, "other@b.TEST", 0), "mx.domain_messages_per_minute");
    assert_string_equal(mail(&f, "a@c.test", 0), "");
    assert_string_equal(mail(&f, "", 0), "");
    leave(&f);
    run_for(f.loop, 60);
    assert_int_equal(f.told[OFFENCE_LIMIT], 0); /* whose fault it is nobody knows */
    teardown(&f);
}

static void test_recipients(void **state)
{
    (void)state;
    static const struct wire_smtp_reply unknown = {
        .code = 550, .enhanced = {(const uint8_t *)"5.1.1", 5}, .text = {(const uint8_t *)"no", 2}};
    struct fixture f;
    setup(&f);
    f.settings.limits.mx.recipients_per_minute = 5;
    f.settings.limits.mx.failed_recipients_per_minute = 2;
    arrive(&f, "192.0.2.1", false, false);
    assert_true(rcpt(&f, ""));
    smtp_limit_refused(f.s, SLICE("x@example.test"), &unknown);
    assert_true(rcpt(&f, ""));
    smtp_limit_refused(f.s, SLICE("y@example.test"), &unknown);
    assert_false(rcpt(&f, "mx.failed_recipients_per_minute"));
    leave(&f);
    arrive(&f, "192.0.2.2", false, false);
    for (int i = 0; i < 5; i++)
        assert_true(rcpt(&f, ""));
    assert_false(rcpt(&f, "mx.recipients_per_minute"));
    leave(&f);
    teardown(&f);
}

static void test_offences(void **state)
{
    (void)state;
    static const struct {
        uint16_t code;
        const char *enhanced, *address;
        enum offence kind; /* OFFENCE_COUNT: none */
    } rows[] = {
        {550, "5.1.1", "nobody@example.test", OFFENCE_UNKNOWN_RECIPIENT},
        {550, "5.7.1", "a@elsewhere.test", OFFENCE_RELAY_ATTEMPT},
        {550, "5.1.1", "Trap@Example.test", OFFENCE_SPAM_TRAP},
        {552, "5.2.2", "full@example.test", OFFENCE_COUNT},
        {450, "4.1.1", "nobody@example.test", OFFENCE_COUNT},
        {250, "2.1.5", "user@example.test", OFFENCE_COUNT},
    };
    struct fixture f;
    setup(&f);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int own = 0; own < 3; own++) { /* a stranger, a trusted network, an account */
            const struct wire_smtp_reply r = {.code = rows[i].code, .enhanced = slice_of(rows[i].enhanced)};
            char address[20];
            (void)snprintf(address, sizeof address, "192.0.2.%zu", i + 1);
            memset(f.told, 0, sizeof f.told);
            arrive(&f, address, own == 1, own == 2);
            smtp_limit_refused(f.s, slice_of(rows[i].address), &r);
            assert_int_equal(smtp_limit_is_trap(f.s, slice_of(rows[i].address)), i == 2 && own == 0);
            leave(&f);
            run_for(f.loop, 60);
            for (int kind = 0; kind < OFFENCE_COUNT; kind++)
                assert_int_equal(f.told[kind], own == 0 && kind == (int)rows[i].kind);
        }
    teardown(&f);
}

/* A broken program of somebody who has logged in is no attack. */
static void test_hopeless(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    for (int own = 0; own < 3; own++) { /* a stranger, a trusted network, an account */
        memset(f.told, 0, sizeof f.told);
        arrive(&f, "192.0.2.1", own == 1, own == 2);
        f.s->errors = SMTP_ERRORS_MAX;
        smtp_limit_hopeless(f.s);
        leave(&f);
        run_for(f.loop, 1100);
        assert_int_equal(f.told[OFFENCE_PROTOCOL_ABUSE], own == 0);
    }
    teardown(&f);
}

static void test_sessions_at_once(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    f.settings.limits.mx.connections = 2;
    struct smtp_session *open[4];
    int fds[4];
    for (int i = 0; i < 2; i++) {
        open[i] = arrive_as(&f, "192.0.2.1", false, false);
        fds[i] = f.client;
        assert_non_null(open[i]);
    }
    assert_null(arrive_as(&f, "192.0.2.1", false, false));
    char text[200] = "";
    assert_true(read(f.client, text, sizeof text - 1) > 0);
    assert_true(strncmp(text, "421 4.7.0 ", 10) == 0 && strstr(text, "mx.connections"));
    (void)close(f.client);
    open[2] = arrive_as(&f, "192.0.2.1", false, true); /* on submission only the other one counts */
    fds[2] = f.client;
    open[3] = arrive_as(&f, "192.0.2.1", true, false);
    fds[3] = f.client;
    f.s = open[0];
    f.client = fds[0];
    leave(&f);
    open[0] = arrive_as(&f, "192.0.2.1", false, false); /* there is room again */
    fds[0] = f.client;
    for (int i = 0; i < 4; i++) {
        f.s = open[i];
        f.client = fds[i];
        assert_non_null(f.s);
        leave(&f);
    }
    run_for(f.loop, 60);
    assert_int_equal(f.told[OFFENCE_LIMIT], 1);
    teardown(&f);
}

static void test_time(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f);
    arrive(&f, "192.0.2.1", false, false);
    assert_int_equal(smtp_limit_time(f.s, 60000), 60000);
    f.settings.timeouts.mx_session = 1000000;
    f.s->started_ms = loop_now_ms(f.loop) - 970000;
    assert_in_range(smtp_limit_time(f.s, 60000), 29000, 30000);
    f.s->started_ms -= 100000;
    assert_int_equal(smtp_limit_time(f.s, 60000), 1);
    f.s->trusted = true;
    assert_int_equal(smtp_limit_time(f.s, 60000), 60000);
    f.s->trusted = false;
    f.settings.timeouts.mx_session = 0;
    f.smtp->service.session_count += 8; /* crowded: strangers are hurried */
    assert_int_equal(smtp_limit_time(f.s, 60000), 15000);
    assert_int_equal(smtp_limit_time(f.s, 5000), 5000);
    f.smtp->service.session_count -= 8;
    leave(&f);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),         cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_sender_domain),    cmocka_unit_test(test_recipients),
        cmocka_unit_test(test_offences),         cmocka_unit_test(test_hopeless),
        cmocka_unit_test(test_sessions_at_once), cmocka_unit_test(test_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
