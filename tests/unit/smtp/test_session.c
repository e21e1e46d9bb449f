/* test_session.c: whole sessions of the smtp role over a socketpair, with a queue, a store and an auth that
 * only play their parts. Most tests are dialogs: what the client sends, what it must get back. */
#include "../net/net_test.h"

#include <stdio.h>

#include "smtp/session.h"

#define PATIENCE_MS 5000

struct fake {
    struct loop *loop;
    struct smtp *smtp;
    struct settings settings;
    struct settings_listener listeners[2];
    struct service_port *port;
    int client;
    bool eof;
    struct buf got;
    struct ipc_link *mine[3], *theirs[3]; /* queue, store, auth */
    /* what the peers saw */
    unsigned mails, rcpts, commits, resets, chunks, drops, logouts, cancels;
    struct buf body;
    char sender[300], protocol[32], client_name[256], orcpt[100];
    /* how they behave */
    uint32_t hops;
    bool queue_silent, store_fails;
    uint32_t held_rcpts[64], silent_request;
    unsigned held, hold;
    bool keep_loop;
};

/* ---- the peers ---- */

static void answer(struct ipc_link *link, uint32_t request, unsigned code, const char *status,
                   const char *text)
{
    const struct wire_smtp_reply r = {
        .code = code, .enhanced = slice_of(status), .text = slice_of(text), .id = SLICE("qid1")};
    wire_reply(link, request, WIRE_SMTP_REPLY, false, &r);
}

static void copy(char *to, size_t size, struct slice s)
{
    (void)snprintf(to, size, "%.*s", SLICE_ARG(s));
}

static void answer_rcpt(struct ipc_link *link, uint32_t request, struct slice address)
{
    if (slice_starts(address, SLICE("unknown")))
        answer(link, request, 550, "5.1.1", "No such user");
    else if (slice_starts(address, SLICE("full")))
        answer(link, request, 452, "4.2.2", "Mailbox is full");
    else
        answer(link, request, 250, "2.1.5", "Ok");
}

static bool on_queue(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct fake *f = ctx;
    if (packet->type == WIRE_QUEUE_MAIL) {
        struct wire_queue_mail m;
        assert_int_equal(wire_decode(WIRE_QUEUE_MAIL, packet->body, &m), ERR_OK);
        f->mails++;
        copy(f->sender, sizeof f->sender, m.sender);
        copy(f->protocol, sizeof f->protocol, m.protocol);
        copy(f->client_name, sizeof f->client_name, m.client_name);
        assert_int_equal(packet->request != 0, !grant_is_none(&m.grant));
        if (packet->request && slice_starts(m.sender, SLICE("forged")))
            answer(link, packet->request, 553, "5.7.1", "Not your address");
        else if (packet->request)
            answer(link, packet->request, 250, "2.1.0", "Ok");
    } else if (packet->type == WIRE_QUEUE_RCPT) {
        struct wire_queue_rcpt m;
        assert_int_equal(wire_decode(WIRE_QUEUE_RCPT, packet->body, &m), ERR_OK);
        f->rcpts++;
        (void)snprintf(f->orcpt, sizeof f->orcpt, "%.*s", SLICE_ARG(m.orcpt));
        f->silent_request = packet->request;
        if (f->queue_silent)
            return true;
        if (f->hold) {
            f->held_rcpts[f->held++] = packet->request;
            if (f->held < f->hold)
                return true;
            while (f->held--) /* the last one first */
                answer(link, f->held_rcpts[f->held], 250, "2.1.5", f->held % 2 ? "odd" : "even");
            f->held = 0;
        } else {
            answer_rcpt(link, packet->request, m.address);
        }
    } else if (packet->type == WIRE_QUEUE_COMMIT) {
        f->commits++;
        answer(link, packet->request, 250, "2.0.0", "delivered");
    } else if (packet->type == WIRE_QUEUE_RESET) {
        f->resets++;
    }
    return true;
}

static bool on_store(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct fake *f = ctx;
    if (packet->type == WIRE_BODY_DROP) {
        f->drops++;
        return true;
    }
    struct wire_body_chunk m;
    assert_int_equal(wire_decode(WIRE_BODY_CHUNK, packet->body, &m), ERR_OK);
    f->chunks++;
    if (m.flags & BODY_FIRST)
        buf_clear(&f->body);
    buf_add(&f->body, m.data);
    assert_int_equal((m.flags & BODY_LAST) != 0, packet->request != 0);
    if (m.flags & BODY_LAST) {
        const struct wire_body_done done = {
            .err = f->store_fails ? ERR_LATER : ERR_OK, .size = f->body.len, .hops = f->hops};
        wire_reply(link, packet->request, WIRE_BODY_DONE, false, &done);
    }
    return true;
}

static bool on_auth(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    struct fake *f = ctx;
    struct wire_auth_result r = {.status = AUTH_FAILED};
    if (packet->type == WIRE_AUTH_LOGOUT) {
        f->logouts++;
        return true;
    }
    if (packet->type == WIRE_AUTH_CANCEL) {
        f->cancels++;
        return true;
    }
    struct slice data;
    if (packet->type == WIRE_AUTH_BEGIN) {
        struct wire_auth_begin m;
        assert_int_equal(wire_decode(WIRE_AUTH_BEGIN, packet->body, &m), ERR_OK);
        if (!m.has_initial) {
            r = (struct wire_auth_result){
                .status = AUTH_CONTINUE, .exchange = 7, .challenge = SLICE("Username:")};
            wire_reply(link, packet->request, WIRE_AUTH_RESULT, false, &r);
            return true;
        }
        data = m.initial;
    } else {
        struct wire_auth_step m;
        assert_int_equal(wire_decode(WIRE_AUTH_STEP, packet->body, &m), ERR_OK);
        assert_int_equal(m.exchange, 7);
        data = m.data;
    }
    if (slice_eq(data, slice_make("\0user\0secret", 12))) {
        r.status = AUTH_OK;
        r.grant.name[0] = 1;
        r.account = SLICE("user@example.test");
    }
    wire_reply(link, packet->request, WIRE_AUTH_RESULT, false, &r);
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

/* ---- the session ---- */

static void link_up(struct fake *f, unsigned i)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    ipc_link_attach(f->mine[i], fds[0]);
    ipc_link_attach(f->theirs[i], fds[1]);
}

static void on_drained(void *ctx, struct ipc_link *link)
{
    struct fake *f = ctx;
    (void)link;
    smtp_store_drained(f->smtp);
}

static const struct ipc_ops my_ops = {.packet = on_nothing, .down = on_down, .drained = on_drained};
static const struct ipc_ops peer_ops[3] = {{.packet = on_queue, .down = on_down},
                                           {.packet = on_store, .down = on_down},
                                           {.packet = on_auth, .down = on_down}};

static void setup(struct fake *f, enum settings_service service)
{
    static const char *const names[] = {"queue", "store", "auth"};
    const struct wire_auth_mechanisms mechanisms = {.names = SLICE("PLAIN LOGIN")};
    memset(f, 0, sizeof *f);
    f->loop = loop_new();
    f->got = buf_new(16u << 20);
    f->body = buf_new(64u << 20);
    f->settings.hostname = SLICE("mx.example.test");
    f->settings.limits.message_size = 1000000;
    f->settings.limits.recipients = 100;
    f->settings.limits.received_headers = 50;
    f->settings.limits.smtp_sessions = 10;
    f->settings.limits.sessions_per_address = 2;
    f->settings.limits.ipv4_prefix = 32;
    f->settings.limits.ipv6_prefix = 64;
    f->settings.timeouts.smtp_command = 60000;
    f->settings.timeouts.smtp_data = 60000;
    f->listeners[0] =
        (struct settings_listener){.name = SLICE("test"), .service = service, .insecure_auth = true};
    f->smtp = smtp_new(f->loop, &f->settings);
    for (unsigned i = 0; i < 3; i++) {
        f->mine[i] = ipc_link_new(f->loop, names[i], &my_ops, f);
        f->theirs[i] = ipc_link_new(f->loop, "smtp", &peer_ops[i], f);
        link_up(f, i);
    }
    f->smtp->queue = f->mine[0];
    f->smtp->store = f->mine[1];
    f->smtp->auth = f->mine[2];
    assert_true(smtp_take_mechanisms(f->smtp, &mechanisms));
    f->port = service_port_new(&f->listeners[0], 0);
}

static void stop(void *arg)
{
    loop_stop(arg);
}

static void turn(struct fake *f)
{
    struct loop_timer *timer = loop_timer_new(f->loop, stop, f->loop);
    loop_timer_set(timer, 1);
    loop_run(f->loop);
    loop_timer_free(&timer);
}

static int connect_as(struct fake *f, const char *address, bool probe)
{
    int fds[2];
    struct netaddr peer;
    assert_true(netaddr_parse(slice_of(address), &peer));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    static const struct stream_ops none = {0};
    struct stream *stream = stream_new(f->loop, fds[0], &peer, &none, NULL);
    const struct listener_arrival arrival = {.settings = &f->listeners[0], .probe = probe};
    smtp_session_begin(f->smtp, stream, &arrival, f->port);
    return fds[1];
}

static void begin(struct fake *f)
{
    f->client = connect_as(f, "192.0.2.9", false);
}

static void teardown(struct fake *f)
{
    if (f->client >= 0)
        (void)close(f->client);
    for (int i = 0; i < 5; i++)
        turn(f);
    assert_int_equal(f->smtp->service.session_count, 0);
    for (unsigned i = 0; i < 3; i++) {
        ipc_link_close(f->mine[i]);
        ipc_link_free(&f->mine[i]);
        ipc_link_free(&f->theirs[i]);
    }
    smtp_free(f->smtp);
    service_port_free(&f->port);
    buf_free(&f->got);
    buf_free(&f->body);
    if (!f->keep_loop)
        loop_free(&f->loop);
}

static void say(struct fake *f, const char *text)
{
    assert_int_equal(write(f->client, text, strlen(text)), strlen(text));
}

static void receive(struct fake *f)
{
    uint8_t *at = buf_reserve(&f->got, 65536);
    ssize_t got = read(f->client, at, 65536);
    if (got > 0)
        buf_added(&f->got, (size_t)got);
    if (got == 0)
        f->eof = true;
}

/* Takes one reply (all its lines) off what was received; its first line must begin so. */
static void expect(struct fake *f, const char *start)
{
    for (int i = 0; i < PATIENCE_MS; i++) {
        struct slice rest = buf_slice(&f->got);
        ptrdiff_t lf;
        while ((lf = slice_find(rest, '\n')) >= 4) {
            bool last = rest.ptr[3] == ' ';
            rest = slice_from(rest, (size_t)lf + 1);
            if (!last)
                continue;
            if (!slice_starts(buf_slice(&f->got), slice_of(start)))
                fail_msg("expected \"%s\", got \"%.*s\"", start, SLICE_ARG(buf_slice(&f->got)));
            buf_consume(&f->got, f->got.len - rest.len);
            return;
        }
        if (f->eof)
            break;
        turn(f);
        receive(f);
    }
    fail_msg("expected \"%s\", got \"%.*s\"", start, SLICE_ARG(buf_slice(&f->got)));
}

static void expect_closed(struct fake *f)
{
    for (int i = 0; i < PATIENCE_MS && !f->eof; i++) {
        turn(f);
        receive(f);
    }
    assert_true(f->eof);
    assert_int_equal(f->got.len, 0);
}

/* "> text" is sent with CRLF; "< start" is expected; "<!" is the end of the connection. */
static void dialog(struct fake *f, const char *const *lines)
{
    for (; *lines; lines++) {
        const char *line = *lines;
        if (line[0] == '>') {
            say(f, line + 2);
            say(f, "\r\n");
        } else if (strcmp(line, "<!") == 0) {
            expect_closed(f);
        } else {
            expect(f, line + 2);
        }
    }
}
#define DIALOG(f, ...) dialog(f, (const char *const[]){__VA_ARGS__, NULL})

#define GREETING "< 220 mx.example.test ESMTP", "> EHLO client.test", "< 250-mx.example.test\r\n"

/* ---- tests ---- */

static void test_message(void **state)
{
    (void)state;
    struct fake f;
    setup(&f, SETTINGS_MX);
    begin(&f);
    DIALOG(&f, GREETING, "> MAIL FROM:<a@b.test> SIZE=100 BODY=8BITMIME", "< 250 2.1.0",
           "> RCPT TO:<me@example.test>", "< 250 2.1.5", "> RCPT TO:<unknown@example.test>", "< 550 5.1.1",
           "> DATA", "< 354 ", "> Subject: hi\r\n", "> ..dot\r\n.", "< 250 2.0.0 Ok: queued as qid1",
           "> NOOP", "< 250 2.0.0", "> QUIT", "< 221 2.0.0", "<!");
    assert_true(slice_eq(buf_slice(&f.body), SLICE("Subject: hi\r\n\r\n.dot\r\n")));
    assert_string_equal(f.sender, "a@b.test");
    assert_string_equal(f.protocol, "ESMTP");
    assert_int_equal(f.chunks, 1);
    assert_int_equal(f.commits, 1);
    assert_int_equal(f.resets, 0);
    teardown(&f);
}

static void test_pipelined_in_one_packet(void **state)
{
    (void)state;
    struct fake f;
    setup(&f, SETTINGS_MX);
    begin(&f);
    say(&f, "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<one@example.test>\r\nRCPT TO:<unknown@example.test>\r\nRCPT "
            "bad\r\n"
            "RCPT TO:<two@example.test>\r\nDATA\r\nx\r\n.\r\nRSET\r\nMAIL FROM:<c@d.test>\r\nQUIT\r\n");
    DIALOG(&f, "< 220 ", "< 250-", "< 250 2.1.0", "< 250 2.1.5", "< 550 5.1.1", "< 501 5.5.4", "< 250 2.1.5",
           "< 354", "< 250 2.0.0", "< 250 2.0.0", "< 250 2.1.0", "< 221", "<!");
    assert_int_equal(f.commits, 1);
    assert_int_equal(f.resets, 1); /* the second transaction was left open */
    teardown(&f);
}

/* The sender's own name of the recipient goes on with its type. */
static void test_orcpt(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""}, {" ORCPT=rfc822;a+2Bb@x", "rfc822;a+b@x"}, {" ORCPT=X400;/C+3Dde/", "X400;/C=de/"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fake f;
        char text[200];
        setup(&f, SETTINGS_MX);
        begin(&f);
        (void)snprintf(text, sizeof text, "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<one@example.test>%s\r\n",
                       rows[i][0]);
        say(&f, text);
        DIALOG(&f, "< 220 ", "< 250-", "< 250 2.1.0", "< 250 2.1.5");
        assert_string_equal(f.orcpt, rows[i][1]);
        teardown(&f);
    }
}

static void test_answers_out_of_order(void **state)
{
    (void)state;
    struct fake f;
    setup(&f, SETTINGS_MX);
    f.hold = 5;
    begin(&f);
    say(&f, "EHLO x\r\nMAIL FROM:<>\r\n");
    for (int i = 0; i < 5; i++)
        say(&f, "RCPT TO:<r@example.test>\r\n");
    say(&f, "RSET\r\n");
    DIALOG(&f, "< 220 ", "< 250-", "< 250 2.1.0", "< 250 2.1.5 even", "< 250 2.1.5 odd", "< 250 2.1.5 even",
           "< 250 2.1.5 odd", "< 250 2.1.5 even", "< 250 2.0.0");
    assert_int_equal(f.rcpts, 5);
    teardown(&f);
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    static const char all[] = "EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<r@example.test>\r\nDATA\r\nA: "
                              "b\r\n\r\n..\r\n.\r\nQUIT\r\n";
    struct fake f;
    setup(&f, SETTINGS_MX);
    begin(&f);
    for (size_t i = 0; i < sizeof all - 1; i++) {
        assert_int_equal(write(f.client, &all[i], 1), 1);
        turn(&f);
    }
    DIALOG(&f, "< 220 ", "< 250-", "< 250 2.1.0", "< 250 2.1.5", "< 354", "< 250 2.0.0", "< 221", "<!");
    assert_true(slice_eq(buf_slice(&f.body), SLICE("A: b\r\n\r\n.\r\n")));
    teardown(&f);
}

static void test_orders(void **state)
{
    (void)state;
    struct fake f;
    setup(&f, SETTINGS_MX);
    begin(&f);
    DIALOG(&f, "< 220", "> MAIL FROM:<a@b.test>", "< 503 5.5.1", "> RCPT TO:<a@b.test>", "< 503 5.5.1",
           "> DATA", "< 503 5.5.1", "> VRFY me", "< 503 5.5.1", "> NONSENSE", "< 500 5.5.1", "> HELO me",
           "< 250 mx.example.test", "> VRFY me", "< 252 ", "> EXPN all", "< 502 ", "> HELP", "< 214 ",
           "> AUTH PLAIN AHVzZXIAc2VjcmV0", "< 503 5.5.1", "> STARTTLS", "< 502 ",
           "> MAIL FROM:<a@b.test> BODY=BINARYMIME", "< 5", "> MAIL FROM:<a@b.test> FOO=1", "< 555 5.5.4",
           "> MAIL FROM:<a@b.test> SIZE=1000001", "< 552 5.3.4", "> MAIL FROM:<a@b.test>", "< 250",
           "> MAIL FROM:<a@b.test>", "< 503 5.5.1", "> DATA", "< 503 5.5.1", "> RSET", "< 250",
           "> RCPT TO:<a@b.test>", "< 503", "> QUIT", "< 221", "<!");
    teardown(&f);
}

static void test_bdat(void **state)
{
    (void)state;
    struct fake f;
    setup(&f, SETTINGS_MX);
    begin(&f);
    DIALOG(&f, GREETING, "> BDAT 5 LAST\r\nabc", "< 503 5.5.1", "> MAIL FROM:<a@b.test>", "< 250",
           "> BDAT 5\r\nabc", "< 503 5.5.1", "> RCPT TO:<r@b.test>", "< 250", "> BDAT 6\r\nA: b",
           "< 250 2.0.0", "> DATA", "< 503 5.5.1", "> BDAT 7\r\n\r\n.\r\n", "< 250 2.0.0");
    /* "\r\n" of the line above is part of the chunk: 2 + 1 + 2 + 2 */
    DIALOG(&f, "> BDAT 0 LAST", "< 250 2.0.0 Ok: queued", "> BDAT 3\r\nx", "< 503 5.5.1", "> QUIT", "< 221",
           "<!");
    assert_true(slice_eq(buf_slice(&f.body), SLICE("A: b\r\n\r\n.\r\n\r\n")));
    assert_int_equal(f.commits, 1);
    teardown(&f);
}

/* The octets of a chunk out of order are no greeting. */
static void test_bdat_first(void **state)
{
    (void)state;
    struct fake f;
    setup(&f, SETTINGS_MX);
    begin(&f);
    DIALOG(&f, "< 220", "> BDAT 0 LAST", "< 503 5.5.1", "> MAIL FROM:<a@b.test>", "< 503 5.5.1", "> QUIT",
           "< 221", "<!");
    assert_int_equal(f.mails, 0);
    teardown(&f);
}

/* Lines that are none count as errors, too. */
static void test_long_lines(void **state)
{
    (void)state;
    static char line[SMTP_LINE_AUTH_MAX + 3];
    struct fake f;
    memset(line, 'x', sizeof line - 3);
    memcpy(line + sizeof line - 3, "\r\n", 3);
    setup(&f, SETTINGS_MX);
    begin(&f);
    expect(&f, "220");
    for (unsigned i = 0; i < SMTP_ERRORS_MAX; i++) {
        say(&f, line);
        expect(&f, "500 5.5.2");
    }
    DIALOG(&f, "< 421 4.7.0", "<!");
    teardown(&f);

    setup(&f, SETTINGS_SUBMISSION); /* in an exchange: it is over (RFC 4954 section 4) */
    begin(&f);
    DIALOG(&f, GREETING, "> AUTH LOGIN", "< 334");
    say(&f, line);
    DIALOG(&f, "< 500 5.5.6", "> NOOP", "< 250", "> QUIT", "< 221", "<!");
    for (int i = 0; i < 20 && !f.cancels; i++)
        turn(&f);
    assert_int_equal(f.cancels, 1);
    teardown(&f);
}

/* Bytes count also where the message is given up. */
static void test_bytes_given_up(void **state)
{
    (void)state;
    struct fake f;
    setup(&f, SETTINGS_MX);
    f.settings.limits.mx.bytes_per_minute = 6;
    begin(&f);
    DIALOG(&f, GREETING, "> MAIL FROM:<a@b.test>", "< 250", "> RCPT TO:<r@b.test>", "< 250",
           "> BDAT 8\r\nA: b\r\n", "< 250 2.0.0", "> RSET", "< 250", "> MAIL FROM:<a@b.test>", "< 450 4.7.1",
           "> QUIT", "< 221", "<!");
    teardown(&f);
}

static void test_smuggling(void **state)
{
    (void)state;
    static const char *const bodies[] = {"x\r\n\n.\r\nMAIL FROM:<e@vil.test>\r\n.\r\n", "x\n.\n\r\n.\r\n",
                                         "x\r.\r\r\n.\r\n", "x\r\n.\ny\r\n.\r\n", "x\r\n.\ry\r\n.\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct fake f;
        setup(&f, SETTINGS_MX);
        begin(&f);
        DIALOG(&f, GREETING, "> MAIL FROM:<a@b.test>", "< 250", "> RCPT TO:<r@b.test>", "< 250", "> DATA",
               "< 354");
        say(&f, bodies[i]);
        DIALOG(&f, "< 550 5.5.2", "<!");
        assert_int_equal(f.commits, 0);
        assert_int_equal(f.resets, 1);
        teardown(&f);
    }
    static const char *const lines[] = {"NOOP\nNOOP\r\n", "NOOP\rX\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct fake f;
        setup(&f, SETTINGS_MX);
        begin(&f);
        expect(&f, "220");
        say(&f, lines[i]);
        DIALOG(&f, "< 554 5.5.2", "<!");
        teardown(&f);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct fake f;
    static char line[20000];
    setup(&f, SETTINGS_MX);
    begin(&f);
    memset(line, 'A', sizeof line - 1);
    DIALOG(&f, GREETING);
    say(&f, line);
    DIALOG(&f, "> ", "< 500 5.5.2", "> MAIL FROM:<a@b.test>", "< 250");
    for (int i = 0; i < 100; i++)
        DIALOG(&f, "> RCPT TO:<r@b.test>", "< 250");
    DIALOG(&f, "> RCPT TO:<r@b.test>", "< 452 4.5.3", "> DATA", "< 354");
    for (int i = 0; i < 70; i++) {
        line[19997] = '\r';
        line[19998] = '\n';
        say(&f, line);
        turn(&f);
    }
    DIALOG(&f, "> .", "< 552 5.3.4", "> MAIL FROM:<a@b.test>", "< 250", "> RCPT TO:<r@b.test>", "< 250",
           "> RSET", "< 250");
    assert_int_equal(f.commits, 0);
    assert_int_equal(f.drops, 1);
    DIALOG(&f, "> MAIL FROM:<a@b.test>", "< 250");
    for (unsigned i = 0; i + 1 < SMTP_REFUSED_MAX; i++)
        DIALOG(&f, "> RCPT TO:<unknown@b.test>", "< 550");
    DIALOG(&f, "> RCPT TO:<unknown@b.test>", "< 550", "< 421 4.7.0", "<!");
    teardown(&f);

    setup(&f, SETTINGS_MX);
    begin(&f);
    expect(&f, "220");
    for (unsigned i = 0; i + 1 < SMTP_ERRORS_MAX; i++)
        DIALOG(&f, "> WRONG", "< 500");
    DIALOG(&f, "> WRONG", "< 500", "< 421 4.7.0", "<!");
    teardown(&f);

    setup(&f, SETTINGS_MX);
    f.hops = 51;
    begin(&f);
    DIALOG(&f, GREETING, "> MAIL FROM:<a@b.test>", "< 250", "> RCPT TO:<r@b.test>", "< 250", "> DATA",
           "< 354", "> x\r\n.", "< 554 5.4.6", "> NOOP", "< 250");
    teardown(&f);
}

static void test_sessions_per_address(void **state)
{
    (void)state;
    struct fake f;
    setup(&f, SETTINGS_MX);
    int a = connect_as(&f, "192.0.2.9", false), b = connect_as(&f, "192.0.2.9", false);
    begin(&f);
    DIALOG(&f, "< 421 4.7.0", "<!");
    int probe = connect_as(&f, "192.0.2.9", true), other = connect_as(&f, "192.0.2.10", false);
    (void)close(f.client);
    (void)close(a);
    turn(&f);
    turn(&f);
    f.eof = false;
    begin(&f);
    expect(&f, "220");
    (void)close(b);
    (void)close(probe);
    (void)close(other);
    teardown(&f);
}

static void test_http_is_dropped(void **state)
{
    (void)state;
    struct fake f;
    setup(&f, SETTINGS_MX);
    begin(&f);
    DIALOG(&f, "< 220", "> GET / HTTP/1.1\r\nHost: x", "<!");
    teardown(&f);
}

static void test_peers_away(void **state)
{
    (void)state;
    struct fake f;
    setup(&f, SETTINGS_MX);
    begin(&f);
    DIALOG(&f, GREETING, "> MAIL FROM:<a@b.test>", "< 250", "> RCPT TO:<r@b.test>", "< 250");
    /* the queue dies and comes back: what it knew is gone */
    ipc_link_close(f.mine[0]);
    smtp_peer(f.smtp, ROLE_QUEUE, false);
    turn(&f);
    link_up(&f, 0);
    DIALOG(&f, "> RCPT TO:<r@b.test>", "< 451 4.3.0", "> DATA", "< 451 4.3.0", "> MAIL FROM:<a@b.test>",
           "< 250", "> RCPT TO:<r@b.test>", "< 250", "> DATA", "< 354");
    ipc_link_close(f.mine[1]);
    smtp_peer(f.smtp, ROLE_STORE, false);
    DIALOG(&f, "> x\r\n.", "< 451 4.3.0", "> MAIL FROM:<a@b.test>", "< 250", "> RCPT TO:<r@b.test>", "< 250",
           "> DATA", "< 451 4.3.0");
    link_up(&f, 1);
    f.store_fails = true;
    DIALOG(&f, "> MAIL FROM:<a@b.test>", "< 250", "> RCPT TO:<r@b.test>", "< 250", "> DATA", "< 354",
           "> x\r\n.", "< 451 4.3.0");
    f.store_fails = false;
    f.queue_silent = true;
    DIALOG(&f, "> MAIL FROM:<a@b.test>", "< 250", "> RCPT TO:<r@b.test>");
    turn(&f);
    ipc_link_close(f.mine[0]);
    smtp_peer(f.smtp, ROLE_QUEUE, false);
    DIALOG(&f, "< 451 4.3.0", "> MAIL FROM:<a@b.test>", "< 503", "> RSET", "< 250", "> MAIL FROM:<a@b.test>",
           "< 451 4.3.0", "> QUIT", "< 221", "<!");
    teardown(&f);
}

static void test_auth(void **state)
{
    (void)state;
    struct fake f;
    setup(&f, SETTINGS_SUBMISSION);
    begin(&f);
    expect(&f, "220");
    say(&f, "EHLO c\r\n");
    for (int i = 0; i < PATIENCE_MS && slice_search(buf_slice(&f.got), SLICE("250 ENHANCED")) < 0; i++) {
        turn(&f);
        receive(&f);
    }
    assert_true(slice_search(buf_slice(&f.got), SLICE("\r\n250-AUTH PLAIN LOGIN\r\n")) > 0);
    DIALOG(&f, "< 250-", "> MAIL FROM:<u@example.test>", "< 530 5.7.0", "> AUTH FOO", "< 504 5.5.4",
           "> AUTH PLAIN ?", "< 501 5.5.2", "> AUTH PLAIN AHVzZXIAd3Jvbmc=", "< 535 5.7.8", "> AUTH LOGIN",
           "< 334 VXNlcm5hbWU6", "> *", "< 501 ", "> AUTH LOGIN", "< 334 VXNlcm5hbWU6", "> !!!", "< 501 ",
           "> AUTH PLAIN", "< 334 ", "> AHVzZXIAc2VjcmV0", "< 235 2.7.0", "> AUTH PLAIN", "< 503",
           "> MAIL FROM:<forged@example.test>", "< 553 5.7.1", "> MAIL FROM:<u@example.test>", "< 250",
           "> RCPT TO:<r@b.test>", "< 250", "> DATA", "< 354", "> x\r\n.", "< 250 2.0.0", "> QUIT", "< 221",
           "<!");
    assert_int_equal(f.cancels, 2);
    assert_string_equal(f.protocol, "ESMTPA");
    assert_int_equal(f.commits, 1);
    for (int i = 0; i < 20 && !f.logouts; i++)
        turn(&f);
    assert_int_equal(f.logouts, 1);
    teardown(&f);

    setup(&f, SETTINGS_SUBMISSION);
    begin(&f);
    DIALOG(&f, GREETING, "> AUTH PLAIN AHVzZXIAd3Jvbmc=", "< 535", "> AUTH PLAIN AHVzZXIAd3Jvbmc=", "< 535",
           "> AUTH PLAIN AHVzZXIAd3Jvbmc=", "< 535", "< 421 4.7.0", "<!");
    teardown(&f);

    setup(&f, SETTINGS_SUBMISSION);
    f.listeners[0].insecure_auth = false;
    service_port_free(&f.port);
    f.port = service_port_new(&f.listeners[0], 0);
    begin(&f);
    DIALOG(&f, GREETING, "> AUTH PLAIN AHVzZXIAc2VjcmV0", "< 538 5.7.11");
    smtp_peer(f.smtp, ROLE_AUTH, false);
    teardown(&f);
}

static void test_disconnects_everywhere(void **state)
{
    (void)state;
    static const char *const lines[] = {"EHLO x\r\n",
                                        "MAIL FROM:<a@b.test>\r\n",
                                        "RCPT TO:<r@b.test>\r\nRCPT TO:<r@b.test>\r\n",
                                        "DATA\r\n",
                                        "Subject: x\r\n",
                                        "\r\nbody\r\n.\r",
                                        "\n",
                                        "QU"};
    for (size_t n = 0; n <= ARRAY_LEN(lines); n++)
        for (int wait = 0; wait < 2; wait++) {
            struct fake f;
            setup(&f, SETTINGS_MX);
            begin(&f);
            for (size_t i = 0; i < n; i++) {
                say(&f, lines[i]);
                for (int t = 0; t < 4 * wait; t++)
                    turn(&f);
            }
            teardown(&f);
        }
}

static void test_half_closed(void **state)
{
    (void)state;
    struct fake f;
    setup(&f, SETTINGS_MX);
    begin(&f);
    say(&f, "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<one@example.test>\r\nDATA\r\nx\r\n.\r\n");
    assert_int_equal(shutdown(f.client, SHUT_WR), 0);
    DIALOG(&f, "< 220 ", "< 250-", "< 250 2.1.0", "< 250 2.1.5", "< 354", "< 250 2.0.0", "<!");
    assert_int_equal(f.commits, 1);
    teardown(&f);
}

static void test_drain(void **state)
{
    (void)state;
    struct fake f;
    setup(&f, SETTINGS_MX);
    int idle = connect_as(&f, "192.0.2.10", false);
    begin(&f);
    DIALOG(&f, GREETING, "> MAIL FROM:<a@b.test>", "< 250", "> RCPT TO:<r@b.test>", "< 250");
    service_drain(&f.smtp->service, 5000);
    turn(&f);
    turn(&f);
    char text[512] = "";
    assert_true(read(idle, text, sizeof text - 1) > 0);
    assert_non_null(strstr(text, "421 4.3.2"));
    assert_false(f.smtp->service.drained);
    DIALOG(&f, "> DATA", "< 354", "> x\r\n.", "< 250 2.0.0 Ok: queued as qid1", "< 421 4.3.2", "<!");
    assert_true(f.smtp->service.drained);
    (void)close(idle);
    teardown(&f);
}

static void test_large_message_in_chunks(void **state)
{
    (void)state;
    struct fake f;
    setup(&f, SETTINGS_MX);
    begin(&f);
    DIALOG(&f, GREETING, "> MAIL FROM:<a@b.test>", "< 250", "> RCPT TO:<r@b.test>", "< 250", "> DATA",
           "< 354");
    static char block[1001];
    memset(block, 'z', 998);
    memcpy(block + 998, "\r\n", 2);
    for (int i = 0; i < 900; i++) {
        say(&f, block);
        if (i % 50 == 0)
            turn(&f);
    }
    DIALOG(&f, "> .", "< 250 2.0.0");
    assert_int_equal(f.body.len, 900000);
    assert_true(f.chunks >= 15 && f.chunks <= 17);
    teardown(&f);
}

/* The store takes nothing for a while: the client is made to wait, nothing piles up beyond the link's bound.
 */
static void test_store_congested(void **state)
{
    (void)state;
    struct fake f;
    int fds[2];
    static char block[1001];
    setup(&f, SETTINGS_MX);
    f.settings.limits.message_size = 50u << 20;
    ipc_link_close(f.mine[1]);
    turn(&f);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    ipc_link_attach(f.mine[1], fds[0]);
    begin(&f);
    DIALOG(&f, GREETING, "> MAIL FROM:<a@b.test>", "< 250", "> RCPT TO:<r@b.test>", "< 250", "> DATA",
           "< 354", "> ");
    memset(block, 'z', 998);
    memcpy(block + 998, "\r\n", 2);
    size_t sent = 0, stuck = 0;
    while (sent < 20000 && stuck < 20) {
        if (write(f.client, block, 1000) == 1000) {
            sent++;
            stuck = 0;
        } else {
            turn(&f);
            stuck++;
        }
    }
    assert_true(sent < 10000); /* far less than 20 MB found room */
    ipc_link_attach(f.theirs[1], fds[1]);
    for (int i = 0; i < PATIENCE_MS && write(f.client, ".\r\n", 3) != 3; i++)
        turn(&f);
    DIALOG(&f, "< 250 2.0.0");
    assert_int_equal(f.body.len, 2 + sent * 1000);
    teardown(&f);
}

/* The store dies while sessions wait for it to take more: they go on, to a 451. */
static void test_store_dies_congested(void **state)
{
    (void)state;
    struct fake f;
    int fds[2];
    static char block[1001];
    setup(&f, SETTINGS_MX);
    f.settings.limits.message_size = 50u << 20;
    ipc_link_close(f.mine[1]);
    turn(&f);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    ipc_link_attach(f.mine[1], fds[0]);
    begin(&f);
    DIALOG(&f, GREETING, "> MAIL FROM:<a@b.test>", "< 250", "> RCPT TO:<r@b.test>", "< 250", "> DATA",
           "< 354", "> ");
    memset(block, 'z', 998);
    memcpy(block + 998, "\r\n", 2);
    for (unsigned stuck = 0; stuck < 20;) {
        stuck = write(f.client, block, 1000) == 1000 ? 0 : stuck + 1;
        if (stuck)
            turn(&f);
    }
    (void)close(fds[1]);
    ipc_link_close(f.mine[1]);
    smtp_peer(f.smtp, ROLE_STORE, false);
    ssize_t put = -1;
    for (int i = 0; i < 100 && put != 5; i++) {
        put = write(f.client, "\r\n.\r\n", 5);
        turn(&f);
    }
    assert_int_equal(put, 5);
    DIALOG(&f, "< 451 4.3.0", "> QUIT", "< 221", "<!");
    teardown(&f);
}

/* A long list is answered to its end, but not for ever. */
static void test_long_list(void **state)
{
    (void)state;
    struct fake f;
    setup(&f, SETTINGS_MX);
    begin(&f);
    DIALOG(&f, GREETING, "> MAIL FROM:<a@b.test>", "< 250");
    for (unsigned i = 0; i < 100; i++)
        DIALOG(&f, "> RCPT TO:<r@b.test>", "< 250");
    for (unsigned i = 0; i < 300; i++)
        DIALOG(&f, "> RCPT TO:<r@b.test>", "< 452 4.5.3");
    DIALOG(&f, "> DATA", "< 354", "> x\r\n.", "< 250", "> MAIL FROM:<a@b.test>", "< 250");
    for (unsigned i = 0; i < 100; i++)
        DIALOG(&f, "> RCPT TO:<r@b.test>", "< 250");
    for (unsigned i = 300; i + 1 < SMTP_EXCESS_MAX; i++)
        DIALOG(&f, "> RCPT TO:<r@b.test>", "< 452 4.5.3");
    DIALOG(&f, "> RCPT TO:<r@b.test>", "< 452 4.5.3", "< 421 4.7.0", "<!");
    teardown(&f);
}

static void test_header_limit(void **state)
{
    (void)state;
    struct fake f;
    static char line[10003];
    setup(&f, SETTINGS_MX);
    f.settings.limits.message_size = 50u << 20;
    begin(&f);
    memset(line, 'h', sizeof line - 3);
    memcpy(line + sizeof line - 3, "\r\n", 3);
    for (int with_end = 0; with_end < 2; with_end++) {
        if (!with_end)
            DIALOG(&f, GREETING);
        DIALOG(&f, "> MAIL FROM:<a@b.test>", "< 250");
        DIALOG(&f, "> RCPT TO:<r@b.test>", "< 250", "> DATA", "< 354", with_end ? "> A: b\r\n" : "> A: b");
        for (int i = 0; i < 120; i++) {
            say(&f, line);
            turn(&f);
        }
        DIALOG(&f, "> .", with_end ? "< 250" : "< 552 5.3.4 Message header");
    }
    assert_int_equal(f.commits, 1);
    teardown(&f);
}

static void test_auth_away(void **state)
{
    (void)state;
    struct fake f;
    setup(&f, SETTINGS_SUBMISSION);
    begin(&f);
    ipc_link_close(f.mine[2]);
    DIALOG(&f, GREETING, "> AUTH PLAIN AHVzZXIAc2VjcmV0", "< 454 4.7.0");
    smtp_peer(f.smtp, ROLE_AUTH, false);
    DIALOG(&f, "> AUTH PLAIN AHVzZXIAc2VjcmV0", "< 454 4.7.0");
    teardown(&f);
}

/* ---- names ---- */

static bool on_dns(void *ctx, struct ipc_link *link, struct ipc_packet *packet)
{
    static const char *const wire_name = "\4mail\6client\4test";
    struct fake *f = ctx;
    struct wire_dns_query q;
    AUTO_BUF struct buf records = buf_new(1000);
    assert_int_equal(wire_decode(WIRE_DNS_QUERY, packet->body, &q), ERR_OK);
    if (q.rrtype == 12) {
        assert_true(slice_eq(q.name, SLICE("9.2.0.192.in-addr.arpa")));
        wire_strings_add(&records, slice_make(wire_name, strlen(wire_name) + 1));
    } else {
        assert_int_equal(q.rrtype, 1);
        assert_true(slice_eq(q.name, SLICE("mail.client.test")));
        wire_strings_add(&records, slice_make((const uint8_t[]){192, 0, 2, f->hops ? 8 : 9}, 4));
    }
    const struct wire_dns_answer a = {.status = DNS_OK, .records = buf_slice(&records)};
    wire_reply(link, packet->request, WIRE_DNS_ANSWER, false, &a);
    return true;
}

static void test_client_name(void **state)
{
    (void)state;
    static const struct ipc_ops dns_ops = {.packet = on_dns, .down = on_down};
    for (unsigned forged = 0; forged < 2; forged++) {
        struct fake f;
        int fds[2];
        setup(&f, SETTINGS_MX);
        f.hops = forged; /* the name leads to another address: not believed */
        struct ipc_link *mine = ipc_link_new(f.loop, "dns", &my_ops, &f),
                        *theirs = ipc_link_new(f.loop, "smtp", &dns_ops, &f);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
        ipc_link_attach(mine, fds[0]);
        ipc_link_attach(theirs, fds[1]);
        f.smtp->dns = mine;
        f.keep_loop = true;
        begin(&f);
        for (int i = 0; i < 10; i++)
            turn(&f);
        DIALOG(&f, GREETING, "> MAIL FROM:<a@b.test>", "< 250", "> QUIT", "< 221", "<!");
        assert_string_equal(f.client_name, forged ? "" : "mail.client.test");
        teardown(&f);
        ipc_link_close(mine);
        ipc_link_free(&mine);
        ipc_link_free(&theirs);
        loop_free(&f.loop);
    }
}

/* ---- TLS ---- */

static void ssl_say(struct fake *f, SSL *ssl, const char *text, const char *answer)
{
    char got[4096];
    size_t at = 0;
    assert_int_equal(SSL_write(ssl, text, (int)strlen(text)), strlen(text));
    for (int i = 0; i < PATIENCE_MS; i++) {
        turn(f);
        int n = SSL_read(ssl, got + at, (int)(sizeof got - 1 - at));
        if (n > 0)
            at += (size_t)n;
        got[at] = 0;
        if (strstr(got, answer))
            return;
    }
    fail_msg("%s -> %s", text, got);
}

static void test_starttls(void **state)
{
    (void)state;
    struct pem pem = make_cert("mx.example.test");
    struct fake f;
    setup(&f, SETTINGS_SUBMISSION);
    f.listeners[0].insecure_auth = false;
    f.listeners[0].tls = SETTINGS_TLS_STARTTLS;
    service_port_free(&f.port);
    f.port = service_port_new(&f.listeners[0], 0);
    f.smtp->service.tls = make_context(&pem, 1);
    begin(&f);
    DIALOG(&f, GREETING, "> STARTTLS\r\nEHLO smuggled", "< 554 5.5.1", "<!");
    (void)close(f.client);
    turn(&f);
    f.eof = false;
    begin(&f);
    DIALOG(&f, GREETING, "> AUTH PLAIN AHVzZXIAc2VjcmV0", "< 538", "> STARTTLS", "< 220 2.0.0");
    struct test_client client = test_client_new(f.client, NULL, NULL);
    test_client_connect(f.loop, &client);
    ssl_say(&f, client.ssl, "MAIL FROM:<u@example.test>\r\n",
            "503 5.5.1"); /* what was said before is forgotten */
    ssl_say(&f, client.ssl, "EHLO me\r\n", "250-AUTH PLAIN LOGIN");
    ssl_say(&f, client.ssl, "STARTTLS\r\n", "503 5.5.1");
    ssl_say(&f, client.ssl, "AUTH PLAIN AHVzZXIAc2VjcmV0\r\n", "235 2.7.0");
    ssl_say(&f, client.ssl, "MAIL FROM:<u@example.test> SMTPUTF8\r\nRCPT TO:<r@b.test>\r\nDATA\r\n", "354 ");
    ssl_say(&f, client.ssl, "x: y\r\n.\r\nQUIT\r\n", "221 2.0.0");
    assert_string_equal(f.protocol, "UTF8SMTPSA");
    test_client_free(&client);
    turn(&f);
    f.eof = false;
    f.listeners[0].insecure_auth = true; /* who logs in in the clear is nobody under TLS */
    service_port_free(&f.port);
    f.port = service_port_new(&f.listeners[0], 0);
    begin(&f);
    f.logouts = 0;
    DIALOG(&f, GREETING, "> AUTH PLAIN AHVzZXIAc2VjcmV0", "< 235", "> STARTTLS", "< 220 2.0.0");
    client = test_client_new(f.client, NULL, NULL);
    test_client_connect(f.loop, &client);
    assert_int_equal(f.logouts, 1);
    ssl_say(&f, client.ssl, "EHLO me\r\n", "250-AUTH PLAIN LOGIN");
    ssl_say(&f, client.ssl, "MAIL FROM:<u@example.test>\r\n", "530 5.7.0");
    test_client_free(&client);
    teardown(&f);
    free_cert(&pem);
}

static void test_idle_timeout(void **state)
{
    (void)state;
    struct fake f;
    setup(&f, SETTINGS_MX);
    f.settings.timeouts.smtp_command = 50;
    begin(&f);
    DIALOG(&f, "< 220", "< 421 4.4.2", "<!");
    teardown(&f);

    /* a byte now and then is no command */
    setup(&f, SETTINGS_MX);
    f.settings.timeouts.smtp_command = 100;
    begin(&f);
    expect(&f, "220");
    for (int i = 0; i < 400 && f.smtp->service.session_count; i++) {
        ssize_t ignored = send(f.client, "N", 1, MSG_NOSIGNAL);
        (void)ignored;
        turn(&f);
    }
    DIALOG(&f, "< 421 4.4.2", "<!");
    teardown(&f);

    /* but text may take its time, as long as it moves; and our own slowness is not the client's */
    setup(&f, SETTINGS_MX);
    f.settings.timeouts.smtp_command = 100;
    f.settings.timeouts.smtp_data = 100;
    begin(&f);
    DIALOG(&f, GREETING, "> MAIL FROM:<a@b.test>", "< 250");
    f.queue_silent = true;
    say(&f, "RCPT TO:<r@b.test>\r\n");
    for (int i = 0; i < 150; i++)
        turn(&f);
    assert_int_equal(f.smtp->service.session_count, 1);
    answer(f.theirs[0], f.silent_request, 250, "2.1.5", "Ok");
    DIALOG(&f, "< 250", "> DATA", "< 354");
    for (int i = 0; i < 200; i++) {
        say(&f, "x");
        turn(&f);
    }
    assert_int_equal(f.smtp->service.session_count, 1);
    for (int i = 0; i < 300 && f.smtp->service.session_count; i++)
        turn(&f);
    DIALOG(&f, "< 421 4.4.2", "<!");
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message),
        cmocka_unit_test(test_pipelined_in_one_packet),
        cmocka_unit_test(test_orcpt),
        cmocka_unit_test(test_answers_out_of_order),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_bdat),
        cmocka_unit_test(test_bdat_first),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_bytes_given_up),
        cmocka_unit_test(test_smuggling),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_sessions_per_address),
        cmocka_unit_test(test_http_is_dropped),
        cmocka_unit_test(test_peers_away),
        cmocka_unit_test(test_auth),
        cmocka_unit_test(test_disconnects_everywhere),
        cmocka_unit_test(test_half_closed),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_large_message_in_chunks),
        cmocka_unit_test(test_store_congested),
        cmocka_unit_test(test_store_dies_congested),
        cmocka_unit_test(test_long_list),
        cmocka_unit_test(test_header_limit),
        cmocka_unit_test(test_auth_away),
        cmocka_unit_test(test_client_name),
        cmocka_unit_test(test_starttls),
        cmocka_unit_test(test_idle_timeout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
