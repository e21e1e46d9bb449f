/* imap_idle.c: how long after a delivery idling sessions hear of it. Started by bench/imap_idle.py.
 *
 *   imap_idle --port P --mail-port P --sessions N --users U --messages M [--tls] [--lmtp] [--tail @domain]
 * [--idle S] N sessions SELECT and IDLE; then M messages come, one after the other, each to a random user;
 * measured from the moment the mail server has said yes until the last of that user's sessions has EXISTS.
 * Sessions rest --idle seconds before that, so that servers which put idle sessions to sleep have done so.
 */
#include "conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETUP_SECONDS 300
#define RUN_SECONDS   300
#define OPEN_AT_ONCE  50

enum { GREETING, LOGIN, SELECT, IDLE, HELD };
enum { MAIL_GREETING, MAIL_HELLO, MAIL_FROM, MAIL_RCPT, MAIL_DATA, MAIL_TEXT };

static struct {
    uint16_t port, mail_port;
    unsigned sessions, users, started, held, failed, messages, sent, target, waiting;
    const char *tail, *password;
    bool tls, lmtp, ready, done, accepted;
    double accepted_at, told_at;
    struct times times;
    struct conn *conns;
    struct conn mail;
    uint64_t random;
    char failure[200];
} run = {.random = 88172645463325252u, .mail.fd = -1};

static const struct conn_ops idle_ops;

static void start_next(void)
{
    if (run.started == run.sessions)
        return;
    struct conn *conn = &run.conns[run.started];
    conn->user = run.started++ % run.users;
    conn->state = GREETING;
    conn_open(conn, &idle_ops, run.port, run.tls);
}

static void settled(void)
{
    if (run.held + run.failed >= run.sessions)
        run.ready = true;
    else
        start_next();
}

static void fail(struct conn *conn, const char *line, size_t len)
{
    if (run.failed++ == 0)
        snprintf(run.failure, sizeof run.failure, "%.*s", (int)len, line);
    conn_close(conn);
    settled();
}

/* ---- the deliveries ---- */

static void next_message(void)
{
    if (run.sent == run.messages) {
        run.done = true;
        return;
    }
    run.random ^= run.random << 13;
    run.random ^= run.random >> 7;
    run.random ^= run.random << 17;
    run.target = (unsigned)(run.random % run.users);
    run.sent++;
    run.accepted = false;
    run.waiting = 0;
    for (unsigned i = 0; i < run.sessions; i++) {
        run.conns[i].left = run.conns[i].fd >= 0 && run.conns[i].user == run.target;
        run.waiting += run.conns[i].left;
    }
    run.mail.state = MAIL_FROM;
    conn_sendf(&run.mail, "MAIL FROM:<bench@remote.example>\r\n");
    conn_flush(&run.mail);
}

static void told(void)
{
    if (!run.accepted || run.waiting > 0)
        return;
    double late = run.told_at - run.accepted_at;
    times_add(&run.times, late > 0 ? late : 0);
    next_message();
}

static void on_mail(struct conn *conn, const char *line, size_t len)
{
    if (len > 3 && line[3] == '-')
        return;
    if (len < 3 || line[0] > '3') {
        fprintf(stderr, "the mail server: %.*s\n", (int)len, line);
        exit(1);
    }
    switch (conn->state) {
    case MAIL_GREETING:
        conn->state = MAIL_HELLO;
        conn_sendf(conn, "%s bench.example\r\n", run.lmtp ? "LHLO" : "EHLO");
        break;
    case MAIL_HELLO:
        next_message();
        break;
    case MAIL_FROM:
        conn->state = MAIL_RCPT;
        conn_sendf(conn, "RCPT TO:<user%u%s>\r\n", run.target, run.tail);
        break;
    case MAIL_RCPT:
        conn->state = MAIL_DATA;
        conn_sendf(conn, "DATA\r\n");
        break;
    case MAIL_DATA:
        conn->state = MAIL_TEXT;
        conn_sendf(conn,
                   "From: bench@remote.example\r\nSubject: news %u\r\nMessage-ID: "
                   "<%u@remote.example>\r\n\r\nText\r\n.\r\n",
                   run.sent, run.sent);
        break;
    default:
        run.accepted = true;
        run.accepted_at = conn_now();
        told();
        break;
    }
}

static void on_mail_closed(struct conn *conn)
{
    (void)conn;
    fprintf(stderr, "the mail server closed the connection\n");
    exit(1);
}

static const struct conn_ops mail_ops = {.line = on_mail, .closed = on_mail_closed};

/* ---- the sessions ---- */

static void on_line(struct conn *conn, const char *line, size_t len)
{
    static const char *const expected[] = {"* OK", "a OK", "b OK", "+"};
    if (conn->state == HELD) {
        if (conn->left && len > 7 && memcmp(line + len - 7, " EXISTS", 7) == 0) {
            conn->left = 0;
            run.waiting--;
            run.told_at = conn_now();
            told();
        }
        return;
    }
    size_t wanted = strlen(expected[conn->state]);
    if (len < wanted || memcmp(line, expected[conn->state], wanted) != 0) {
        if (line[0] != '*')
            fail(conn, line, len);
        return;
    }
    switch (conn->state++) {
    case GREETING:
        conn_sendf(conn, "a LOGIN user%u%s %s\r\n", conn->user, run.tail, run.password);
        break;
    case LOGIN:
        conn_sendf(conn, "b SELECT INBOX\r\n");
        break;
    case SELECT:
        conn_sendf(conn, "c IDLE\r\n");
        break;
    default:
        run.held++;
        settled();
        break;
    }
}

static void on_closed(struct conn *conn)
{
    fail(conn, "closed", 6);
}

static const struct conn_ops idle_ops = {.line = on_line, .closed = on_closed};

int main(int argc, char **argv)
{
    bool never = false;
    run.port = (uint16_t)option_number(argc, argv, "port", 143);
    run.mail_port = (uint16_t)option_number(argc, argv, "mail-port", 25);
    run.sessions = option_number(argc, argv, "sessions", 2000);
    run.users = option_number(argc, argv, "users", 500);
    run.messages = option_number(argc, argv, "messages", 300);
    run.tail = option_text(argc, argv, "tail", "@bench.test");
    run.password = option_text(argc, argv, "password", "secret");
    run.tls = option_set(argc, argv, "tls");
    run.lmtp = option_set(argc, argv, "lmtp");
    conn_setup();
    run.conns = calloc(run.sessions + 1, sizeof *run.conns);
    if (!run.conns)
        return 1;
    for (unsigned i = 0; i < run.sessions; i++)
        run.conns[i].fd = -1;
    for (unsigned i = 0; i < OPEN_AT_ONCE; i++)
        start_next();
    conn_loop(&run.ready, SETUP_SECONDS);
    conn_loop(&never, option_number(argc, argv, "idle", 3));
    conn_open(&run.mail, &mail_ops, run.mail_port, false);
    bool whole = conn_loop(&run.done, RUN_SECONDS);
    printf("{\"sessions\": %u, \"failed\": %u, \"messages\": %zu, \"whole\": %s, \"p50_ms\": %.3f, "
           "\"p99_ms\": %.3f, \"failure\": \"",
           run.held, run.failed, run.times.count, whole ? "true" : "false", times_percentile(&run.times, 0.5),
           times_percentile(&run.times, 0.99));
    for (const char *at = run.failure; *at; at++)
        putchar(*at == '"' || *at == '\\' || *at < ' ' ? '?' : *at);
    printf("\"}\n");
    return run.done ? 0 : 1;
}
