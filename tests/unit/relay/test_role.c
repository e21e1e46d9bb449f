/* The relay role, whole: requests of queue in, scripted servers outside, results out. */
#include "../role_rig.h"
#include "script.h"

#include "relay/relay.h"
#include "wire/relay.h"

#define PEERS (1u << ROLE_QUEUE | 1u << ROLE_DNS)

struct test {
    struct script server;
    unsigned secret_changes;
    uint32_t changed;
};

/* A record set in wire form. */
static void answer_dns(struct ipc_link *link, struct ipc_packet *packet)
{
    struct wire_dns_query q;
    AUTO_BUF struct buf records = buf_new(10000);
    assert_int_equal(wire_decode(WIRE_DNS_QUERY, packet->body, &q), ERR_OK);
    struct wire_dns_answer answer = {.status = DNS_NODATA, .ttl = 60, .canonical = q.name};
    if (q.rrtype == 15 && slice_eq(q.name, SLICE("example.org"))) {
        wire_strings_add(&records, SLICE("\0\012\3mx1\7example\3org\0"));
        wire_strings_add(&records, SLICE("\0\024\3mx2\7example\3org\0"));
    } else if (q.rrtype == 1 && slice_starts(q.name, SLICE("mx1."))) {
        wire_strings_add(&records, SLICE("\177\0\0\2"));
    } else if (q.rrtype == 1 && slice_starts(q.name, SLICE("mx2."))) {
        wire_strings_add(&records, SLICE("\177\0\0\1"));
    }
    if (records.len)
        answer.status = DNS_OK;
    answer.records = buf_slice(&records);
    wire_reply(link, packet->request, WIRE_DNS_ANSWER, false, &answer);
}

static bool handle(struct rig *rig, enum role self, struct ipc_link *link, struct ipc_packet *packet)
{
    struct test *t = rig->test;
    if (self == ROLE_DNS && packet->type == WIRE_DNS_QUERY) {
        answer_dns(link, packet);
        return true;
    }
    struct wire_relay_secret_changed m;
    assert_int_equal(packet->type, WIRE_RELAY_SECRET_CHANGED);
    assert_int_equal(wire_decode(WIRE_RELAY_SECRET_CHANGED, packet->body, &m), ERR_OK);
    t->secret_changes++;
    t->changed = m.relay;
    return true;
}

/* The loop must be there before the server, the server's port before the settings: a port is taken first. */
static uint16_t free_port(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    (void)close(fd);
    return ntohs(in.sin_port);
}

static void make_yaml(char *yaml, size_t size, uint16_t port, const char *tls, bool login)
{
    (void)snprintf(
        yaml, size,
        "hostname: client.example.net\n"
        "data: /tmp/unused\n"
        "listeners: [ { name: mx, service: mx, address: \"127.0.0.1:1\", tls: none } ]\n"
        "relay: { host: \"[127.0.0.1]\", port: %u, tls: %s, insecure_auth: true%s }\n"
        "direct: { port: %u, tls: %s, dane: false, mta_sts: false, allow_networks: [ 127.0.0.0/8 ] }\n"
        "relay_timeouts: { connect: 1s, greeting: 1s, command: 1s, data: 1s, end_of_data: 1s, idle: 10s }\n",
        port, tls, login ? ", sasl_file: /s" : "", port, tls);
}

static struct rig *start_with(struct test *t, const char *const *scripts, const char *tls, const char *secret,
                              struct tls_context *context)
{
    char yaml[1000];
    uint16_t port = free_port();
    const struct rig_file files[] = {{SUP_FILE_RELAY_SECRET, 0, "/s", secret ? secret : ""}, {0}};
    *t = (struct test){0};
    make_yaml(yaml, sizeof yaml, port, tls, secret != NULL);
    struct rig *rig = rig_new(&relay_role, PEERS, yaml, secret ? files : NULL, handle, t);
    script_open_at(&t->server, rig->loop, scripts, context, port);
    return rig;
}

static struct rig *start(struct test *t, const char *const *scripts)
{
    return start_with(t, scripts, "none", NULL, NULL);
}

static void stop(struct rig *rig, struct test *t)
{
    if (t->server.failed)
        fail_msg("relay said \"%.*s\"", SLICE_ARG(buf_slice(&t->server.said)));
    script_close(&t->server);
    rig_for(rig, 5);
    rig_free(rig);
}

static void send_as(struct rig *rig, const struct wire_relay_send *way, struct rig_answer *answer)
{
    AUTO_BUF struct buf to = buf_new(1000);
    const struct relay_recipient a = {.ordinal = 7, .address = SLICE("a@example.org")};
    const struct relay_recipient b = {.ordinal = 9, .address = SLICE("b@example.org")};
    relay_recipient_add(&to, &a);
    relay_recipient_add(&to, &b);
    struct wire_relay_send m = *way;
    m.size = 8;
    m.sender = SLICE("s@example.net");
    m.prefix = SLICE("X: y\r\n");
    m.recipients = buf_slice(&to);
    m.queue_id = SLICE("q1");
    m.session = SLICE("s1");
    int fd = rig_memfd(SLICE("A: b\r\n\r\n"));
    void **pair = arena_must(rig->arena, 2 * sizeof(void *));
    pair[0] = answer;
    pair[1] = rig;
    *answer = (struct rig_answer){0};
    (void)wire_call_fds(rig->peers[ROLE_QUEUE], WIRE_RELAY_SEND, &m, &fd, 1, RIG_PATIENCE_MS, rig_on_answer,
                        pair);
    (void)close(fd);
}

static void ask(struct rig *rig, uint32_t route, struct rig_answer *answer)
{
    const struct wire_relay_send way = {.route = route, .host = SLICE("example.org")};
    send_as(rig, &way, answer);
}

static const char *const outcomes[] = {"sent", "later", "refused", "seven-bit", "login", "unknown"};

/* "7 sent 250 2.0.0,9 …" */
static void get(struct rig *rig, struct rig_answer *answer, struct wire_relay_sent *sent, const char *wanted)
{
    AUTO_BUF struct buf text = buf_new(10000);
    rig_get(rig, answer, WIRE_RELAY_SENT, sent);
    struct slice list = sent->results;
    struct relay_result r;
    while (relay_result_take(&list, &r))
        buf_addf(&text, "%s%u %s %u %.*s", text.len ? "," : "", r.ordinal, outcomes[r.outcome], r.code,
                 SLICE_ARG(r.enhanced));
    if (!slice_eq(buf_slice(&text), slice_of(wanted)))
        fail_msg("got \"%.*s\", wanted \"%s\"", SLICE_ARG(buf_slice(&text)), wanted);
}

#define HELLO "S 220 mx ESMTP\nC EHLO client.example.net\nS 250-mx\nS 250 PIPELINING\n"
#define SEND                                                                                                 \
    "C MAIL\nC RCPT\nC RCPT\nC DATA\nS 250 a\nS 250 b\nS 250 b\nS 354 c\nD X: y|A: b||\nS 250 2.0.0 d\n"
#define OK "7 sent 250 2.0.0,9 sent 250 2.0.0"

static void test_connections_are_kept(void **state)
{
    (void)state;
    static const char *const scripts[] = {HELLO SEND SEND "C QUIT\n", NULL};
    struct test t;
    struct rig_answer first, second;
    struct wire_relay_sent sent;
    struct rig *rig = start(&t, scripts);
    ask(rig, RELAY_ROUTE_RELAY, &first);
    get(rig, &first, &sent, OK);
    assert_false(sent.reused);
    assert_int_equal(sent.scope, RELAY_SCOPE_MESSAGE);
    assert_true(slice_eq(sent.address, SLICE("127.0.0.1")));
    assert_true(slice_eq(sent.remote, SLICE("127.0.0.1")));
    ask(rig, RELAY_ROUTE_RELAY, &second);
    get(rig, &second, &sent, OK);
    assert_true(sent.reused);
    const struct wire_relay_forget forget = {.host = SLICE("127.0.0.1")};
    rig_tell(rig, ROLE_QUEUE, WIRE_RELAY_FORGET, &forget);
    rig_for(rig, 30);
    assert_true(t.server.over);
    stop(rig, &t);
}

/* A host in brackets and the MX of that name are two ways, and may be two servers. */
static void test_brackets_are_another_way(void **state)
{
    (void)state;
    static const char *const scripts[] = {HELLO SEND SEND, HELLO SEND, NULL};
    static const struct {
        bool brackets, reused;
    } rows[] = {{true, false}, {true, true}, {false, false}};
    struct test t;
    struct rig *rig = start(&t, scripts);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rig_answer answer;
        struct wire_relay_sent sent;
        const struct wire_relay_send way = {.route = RELAY_ROUTE_MAP,
                                            .host = SLICE("mx2.example.org"),
                                            .port = t.server.port,
                                            .no_mx = rows[i].brackets};
        send_as(rig, &way, &answer);
        get(rig, &answer, &sent, OK);
        assert_int_equal(sent.reused, rows[i].reused);
    }
    stop(rig, &t);
}

static void test_stale(void **state)
{
    (void)state;
    static const char *const scripts[] = {HELLO SEND "C MAIL\nX \n", HELLO SEND, NULL};
    struct test t;
    struct rig_answer answer;
    struct wire_relay_sent sent;
    struct rig *rig = start(&t, scripts);
    ask(rig, RELAY_ROUTE_RELAY, &answer);
    get(rig, &answer, &sent, OK);
    ask(rig, RELAY_ROUTE_RELAY, &answer);
    get(rig, &answer, &sent, OK);
    assert_false(sent.reused);
    stop(rig, &t);
}

static void test_closed_while_idle(void **state)
{
    (void)state;
    static const char *const scripts[] = {HELLO SEND "S 421 4.4.2 idle\nX \n", HELLO SEND, NULL};
    struct test t;
    struct rig_answer answer;
    struct wire_relay_sent sent;
    struct rig *rig = start(&t, scripts);
    ask(rig, RELAY_ROUTE_RELAY, &answer);
    get(rig, &answer, &sent, OK);
    rig_for(rig, 20);
    ask(rig, RELAY_ROUTE_RELAY, &answer);
    get(rig, &answer, &sent, OK);
    stop(rig, &t);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *script, *wanted;
        unsigned scope, slow;
    } rows[] = {
        {HELLO "C MAIL\nC RCPT\nC RCPT\nC DATA\nS 250 a\nS 550 5.1.1 no\nS 450 4.2.0 later\nS 554 none\n",
         "7 refused 550 5.1.1,9 later 450 4.2.0", RELAY_SCOPE_MESSAGE, 1},
        {"S 421 4.3.2 too busy\n", "7 later 421 4.3.2,9 later 421 4.3.2", RELAY_SCOPE_DESTINATION, 1},
        {"S 220 mx\nC EHLO\nX \n", "7 later 0 4.4.2,9 later 0 4.4.2", RELAY_SCOPE_DESTINATION, 0},
        {HELLO "C MAIL\nC RCPT\nC RCPT\nC DATA\nS 250 a\nS 250 a\nS 250 a\nS 354 a\nD *\nX \n",
         "7 unknown 0 4.4.2,9 unknown 0 4.4.2", RELAY_SCOPE_MESSAGE, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *const scripts[] = {rows[i].script, NULL};
        struct test t;
        struct rig_answer answer;
        struct wire_relay_sent sent;
        struct rig *rig = start(&t, scripts);
        ask(rig, RELAY_ROUTE_RELAY, &answer);
        get(rig, &answer, &sent, rows[i].wanted);
        assert_int_equal(sent.scope, rows[i].scope);
        assert_int_equal(sent.slow_down, rows[i].slow);
        stop(rig, &t);
    }
}

static void test_nobody_listens(void **state)
{
    (void)state;
    static const char *const scripts[] = {NULL};
    struct test t;
    struct rig_answer answer;
    struct wire_relay_sent sent;
    struct rig *rig = start(&t, scripts);
    script_close(&t.server);
    ask(rig, RELAY_ROUTE_RELAY, &answer);
    get(rig, &answer, &sent, "7 later 0 4.4.1,9 later 0 4.4.1");
    assert_int_equal(sent.scope, RELAY_SCOPE_DESTINATION);
    rig_free(rig);
}

/* The first MX is not there, the second one is. */
static void test_next_host(void **state)
{
    (void)state;
    static const char *const scripts[] = {HELLO SEND, NULL};
    struct test t;
    struct rig_answer answer;
    struct wire_relay_sent sent;
    struct rig *rig = start(&t, scripts);
    ask(rig, RELAY_ROUTE_DIRECT, &answer);
    get(rig, &answer, &sent, OK);
    assert_true(slice_eq(sent.remote, SLICE("mx2.example.org")));
    stop(rig, &t);
}

static void test_login(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        "S 220 mx\nC EHLO\nS 250-mx\nS 250 AUTH PLAIN\nC AUTH PLAIN AHVzZXIAd3Jvbmc=\nS 535 5.7.8 no\n",
        "S 220 mx\nC EHLO\nS 250-mx\nS 250-PIPELINING\nS 250 AUTH PLAIN\nC AUTH PLAIN AHVzZXIAcGVuY2ls\nS "
        "235 ok\n" SEND "C QUIT\n",
        NULL};
    char yaml[1000];
    const struct rig_file files[] = {{SUP_FILE_RELAY_SECRET, 0, "/s", "[127.0.0.1] user:pencil\n"}, {0}};
    struct test t;
    struct rig_answer answer;
    struct wire_relay_sent sent;
    struct rig *rig = start_with(&t, scripts, "none", "[127.0.0.1] user:wrong\n", NULL);
    ask(rig, RELAY_ROUTE_RELAY, &answer);
    get(rig, &answer, &sent, "7 login 535 5.7.8,9 login 535 5.7.8");
    assert_int_equal(sent.scope, RELAY_SCOPE_DESTINATION);
    make_yaml(yaml, sizeof yaml, t.server.port, "none", true);
    rig_reload(rig, yaml, files);
    assert_int_equal(t.secret_changes, 1);
    assert_int_equal(t.changed, 0);
    ask(rig, RELAY_ROUTE_RELAY, &answer);
    get(rig, &answer, &sent, OK);
    rig_reload(rig, yaml, files); /* the same again: nothing changed */
    assert_int_equal(t.secret_changes, 1);
    stop(rig, &t);
}

static void test_no_secret(void **state)
{
    (void)state;
    static const char *const scripts[] = {NULL};
    struct test t;
    struct rig_answer answer;
    struct wire_relay_sent sent;
    struct rig *rig = start_with(&t, scripts, "none", "[another.example] user:x\n", NULL);
    ask(rig, RELAY_ROUTE_RELAY, &answer);
    get(rig, &answer, &sent, "7 login 0 4.7.0,9 login 0 4.7.0");
    stop(rig, &t);
}

/* The file of passwords of the relay maps could not be read: nothing goes out without them, nothing bounces.
 */
static void test_no_map_secret(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        "S 220 mx\nC EHLO\nS 250-mx\nS 250 PIPELINING\nC MAIL\nC RCPT\nC RCPT\nC DATA\nS 530 5.7.0 log in\n"
        "S 503 no\nS 503 no\nS 503 no\n",
        NULL};
    char yaml[1200];
    struct test t = {0};
    uint16_t port = free_port();
    make_yaml(yaml, sizeof yaml, port, "none", false);
    (void)snprintf(yaml + strlen(yaml), sizeof yaml - strlen(yaml), "%s",
                   "relay_maps: [ { file: /m, sasl_file: /s } ]\n");
    struct rig *rig = rig_new(&relay_role, PEERS, yaml, NULL, handle, &t);
    script_open_at(&t.server, rig->loop, scripts, NULL, port);
    struct rig_answer answer;
    struct wire_relay_sent sent;
    const struct wire_relay_send way = {
        .route = RELAY_ROUTE_MAP, .host = SLICE("mx2.example.org"), .port = port, .no_mx = true};
    send_as(rig, &way, &answer);
    get(rig, &answer, &sent, "7 later 0 4.7.0,9 later 0 4.7.0");
    stop(rig, &t);
}

static void test_tls(void **state)
{
    (void)state;
#define OFFER "S 220 mx\nC EHLO\nS 250-mx\nS 250 STARTTLS\nC STARTTLS\n"
    static const struct {
        const char *tls;
        const char *const scripts[3];
        const char *wanted, *result;
    } rows[] = {
        {"opportunistic",
         {OFFER "S 220 go\nT \nC EHLO\nS 250-mx\nS 250 PIPELINING\n" SEND, NULL},
         OK,
         "success"},
        {"opportunistic", {OFFER "S 220 go\nX \n", HELLO SEND, NULL}, OK, "validation-failure"},
        {"required", {OFFER "S 220 go\nX \n", NULL}, "7 later 0 4.7.5,9 later 0 4.7.5", "validation-failure"},
        {"required", {HELLO, NULL}, "7 later 0 4.7.4,9 later 0 4.7.4", "starttls-not-supported"},
        {"verify",
         {OFFER "S 220 go\nT \nW \n", NULL},
         "7 later 0 4.7.5,9 later 0 4.7.5",
         "certificate-not-trusted"},
    };
    struct pem pem = make_cert("mx.example.org");
    struct tls_context *context = make_context(&pem, 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct test t;
        struct rig_answer answer;
        struct wire_relay_sent sent;
        struct rig *rig = start_with(&t, rows[i].scripts, rows[i].tls, NULL, context);
        ask(rig, RELAY_ROUTE_RELAY, &answer);
        get(rig, &answer, &sent, rows[i].wanted);
        if (!slice_eq(sent.tls_result, slice_of(rows[i].result)))
            fail_msg("row %zu: %.*s", i, SLICE_ARG(sent.tls_result));
        stop(rig, &t);
    }
    tls_context_free(&context);
    free_cert(&pem);
}

static void test_queue_goes_away(void **state)
{
    (void)state;
    static const char *const scripts[] = {HELLO "C MAIL\nC RCPT\nC RCPT\nC DATA\nW \nW", HELLO SEND, NULL};
    struct test t;
    struct rig_answer answer;
    struct wire_relay_sent sent;
    struct rig *rig = start(&t, scripts);
    ask(rig, RELAY_ROUTE_RELAY, &answer);
    rig_for(rig, 30);
    rig_connect(rig, ROLE_QUEUE);
    rig_for(rig, 10);
    assert_true(answer.done && answer.err == ERR_LATER);
    assert_true(t.server.closed);
    ask(rig, RELAY_ROUTE_RELAY, &answer);
    get(rig, &answer, &sent, OK);
    stop(rig, &t);
}

/* Who is asked before its peers are there would answer "later": a role is ready with its links. */
static void test_ready_with_its_links(void **state)
{
    (void)state;
    static const char *const scripts[] = {HELLO SEND, NULL};
    struct test t;
    struct rig_answer answer;
    struct wire_relay_sent sent;
    rig_late = 1u << ROLE_DNS;
    struct rig *rig = start(&t, scripts);
    rig_late = 0;
    ask(rig, RELAY_ROUTE_DIRECT, &answer);
    get(rig, &answer, &sent, OK);
    stop(rig, &t);
}

static void test_drain(void **state)
{
    (void)state;
    static const char *const scripts[] = {HELLO SEND "C QUIT\n", NULL};
    struct test t;
    struct rig_answer answer;
    struct wire_relay_sent sent;
    struct rig *rig = start(&t, scripts);
    ask(rig, RELAY_ROUTE_RELAY, &answer);
    const struct wire_sup_drain drain = {.ms = 5000};
    assert_int_equal(wire_send(rig->supervisor, WIRE_SUP_DRAIN, &drain), ERR_OK);
    get(rig, &answer, &sent, OK);
    rig_until(rig, &rig->drained);
    stop(rig, &t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections_are_kept),
        cmocka_unit_test(test_brackets_are_another_way),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_closed_while_idle),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_next_host),
        cmocka_unit_test(test_login),
        cmocka_unit_test(test_no_secret),
        cmocka_unit_test(test_no_map_secret),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_queue_goes_away),
        cmocka_unit_test(test_ready_with_its_links),
        cmocka_unit_test(test_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
