/* smtp_load.c: sends M messages over N parallel SMTP connections to user0..userU-1 in turn, and prints how
 * fast they were accepted. Commands are pipelined the way a mail server sends them. Started by
 * bench/inbound.py and bench/outbound.py.
 *
 *   smtp_load --port P --connections N --messages M [--size BYTES] [--per-connection K] [--users U]
 *             [--domain D] [--from SENDER] [--auth BASE64] [--destinations N]
 *
 * --auth: what follows AUTH PLAIN. --destinations: recipients at d0.D, d1.D, ... in turn.
 */
#include "conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_MAX 600 /* a run never takes longer */
#define HEADER_MAX  512
#define ADDRESS_MAX 256

enum { GREETING, HELLO, LOGIN, ENVELOPE_MAIL, ENVELOPE_RCPT, ENVELOPE_DATA, BODY, FAREWELL };

static struct {
    uint16_t port;
    unsigned to_send, started, accepted, refused, open, per_connection, users, connections_used;
    unsigned destinations;
    const char *domain, *from, *auth;
    char *body;
    size_t body_len;
    bool done;
    struct times times;
    char first_refusal[256];
} run;

static void reconnect(struct conn *conn);

static void make_addresses(const struct conn *conn, char sender[ADDRESS_MAX], char to[ADDRESS_MAX])
{
    if (run.from)
        snprintf(sender, ADDRESS_MAX, "%s", run.from);
    else
        snprintf(sender, ADDRESS_MAX, "load%u@sender.test", conn->user);
    if (run.destinations)
        snprintf(to, ADDRESS_MAX, "user%u@d%u.%s", conn->user, conn->user % run.destinations, run.domain);
    else
        snprintf(to, ADDRESS_MAX, "user%u@%s", conn->user % run.users, run.domain);
}

static void next_message(struct conn *conn)
{
    if (run.started == run.to_send || conn->left == 0) {
        conn->state = FAREWELL;
        conn_sendf(conn, "QUIT\r\n");
        return;
    }
    conn->left--;
    conn->user = run.started++;
    conn->started = conn_now();
    conn->state = ENVELOPE_MAIL;
    char sender[ADDRESS_MAX], to[ADDRESS_MAX];
    make_addresses(conn, sender, to);
    conn_sendf(conn, "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n", sender, to);
}

static void send_body(struct conn *conn)
{
    char sender[ADDRESS_MAX], to[ADDRESS_MAX];
    make_addresses(conn, sender, to);
    conn_sendf(conn,
               "From: Load <%s>\r\nTo: <%s>\r\nSubject: message %u\r\n"
               "Date: Sat, 21 Nov 2026 03:42:49 +0000\r\nMessage-ID: <%u.%u@sender.test>\r\n"
               "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
               sender, to, conn->user, conn->user, (unsigned)conn->fd);
    conn_send(conn, run.body, run.body_len);
}

static void refused(struct conn *conn, const char *line, size_t len)
{
    if (run.refused++ == 0)
        snprintf(run.first_refusal, sizeof run.first_refusal, "%.*s", (int)len, line);
    conn_close(conn);
    reconnect(conn);
}

static void on_line(struct conn *conn, const char *line, size_t len)
{
    if (len >= 4 && line[3] == '-')
        return;
    char expected = conn->state == ENVELOPE_DATA ? '3' : '2';
    if (len < 3 || line[0] != expected) {
        refused(conn, line, len);
        return;
    }
    switch (conn->state) {
    case GREETING:
        conn->state = HELLO;
        conn_sendf(conn, "EHLO load.sender.test\r\n");
        break;
    case HELLO:
        if (run.auth) {
            conn->state = LOGIN;
            conn_sendf(conn, "AUTH PLAIN %s\r\n", run.auth);
            break;
        }
        next_message(conn);
        break;
    case LOGIN:
        next_message(conn);
        break;
    case ENVELOPE_MAIL:
        conn->state = ENVELOPE_RCPT;
        break;
    case ENVELOPE_RCPT:
        conn->state = ENVELOPE_DATA;
        break;
    case ENVELOPE_DATA:
        conn->state = BODY;
        send_body(conn);
        break;
    case BODY:
        run.accepted++;
        times_add(&run.times, conn_now() - conn->started);
        next_message(conn);
        break;
    default:
        conn_close(conn);
        reconnect(conn);
    }
}

static void on_closed(struct conn *conn)
{
    if (conn->state != FAREWELL)
        run.refused++;
    reconnect(conn);
}

static const struct conn_ops ops = {.line = on_line, .closed = on_closed};

/* Opens the connection again while messages are left; the last one to find none ends the run. */
static void reconnect(struct conn *conn)
{
    if (run.started == run.to_send || run.refused > run.to_send) {
        run.done = --run.open == 0;
        return;
    }
    conn->state = GREETING;
    conn->left = run.per_connection;
    run.connections_used++;
    conn_open(conn, &ops, run.port, false);
}

static void make_body(size_t size)
{
    static const char line[] = "The quick brown fox jumps over the lazy dog, and then some more of them.\r\n";
    run.body = malloc(size + sizeof line + 8);
    if (!run.body)
        exit(1);
    while (run.body_len + HEADER_MAX < size) {
        memcpy(run.body + run.body_len, line, sizeof line - 1);
        run.body_len += sizeof line - 1;
    }
    memcpy(run.body + run.body_len, ".\r\n", 3);
    run.body_len += 3;
}

int main(int argc, char **argv)
{
    unsigned connections = option_number(argc, argv, "connections", 20);
    run.port = (uint16_t)option_number(argc, argv, "port", 25);
    run.to_send = option_number(argc, argv, "messages", 1000);
    run.per_connection = option_number(argc, argv, "per-connection", 100);
    run.users = option_number(argc, argv, "users", 100);
    run.domain = option_text(argc, argv, "domain", "bench.test");
    run.from = option_text(argc, argv, "from", NULL);
    run.auth = option_text(argc, argv, "auth", NULL);
    run.destinations = option_number(argc, argv, "destinations", 0);
    make_body(option_number(argc, argv, "size", 10240));
    conn_setup();
    struct conn *conns = calloc(connections, sizeof *conns);
    if (!conns)
        return 1;
    double start = conn_now();
    run.open = connections;
    for (unsigned i = 0; i < connections; i++) {
        conns[i].fd = -1;
        reconnect(&conns[i]);
    }
    bool finished = conn_loop(&run.done, SECONDS_MAX);
    double seconds = conn_now() - start;
    printf("{\"accepted\": %u, \"refused\": %u, \"seconds\": %.3f, \"per_second\": %.1f, \"p50_ms\": %.2f, "
           "\"p99_ms\": %.2f, \"connections\": %u, \"first_refusal\": \"",
           run.accepted, run.refused, seconds, run.accepted / seconds, times_percentile(&run.times, 0.5),
           times_percentile(&run.times, 0.99), run.connections_used);
    for (const char *at = run.first_refusal; *at; at++)
        putchar(*at == '"' || *at == '\\' || *at < ' ' ? '?' : *at);
    printf("\"}\n");
    free(conns);
    free(run.body);
    return finished && run.accepted == run.to_send ? 0 : 1;
}
