/* smtp_sink.c: takes mail as fast as it comes, over many connections, with STARTTLS, and throws it away: so
 * that in bench/outbound.py the sender is what is measured. One loop, one thread; trusts its client as far as
 * a bench may.
 *
 *   smtp_sink --port P [--addresses N] [--cert FILE --key FILE]
 *
 * Listens on 127.0.0.1, and with --addresses on N more: 127.1.0.1, 127.1.0.2, ... (250 to a net). Commands
 * beside SMTP, for the bench: STAT answers "250 messages connections recipients transactions bytes"; MODE
 * defer answers every RCPT with 451 from then on, MODE accept takes again. A message for a recipient that
 * starts with "probe" is told on standard output: the recipient and the moment on the monotonic clock. Ends
 * when its standard input does.
 */
#include "conn.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define PER_NET       250
#define ADDRESSES_MAX 10000u
#define PROBE_MAX     128
#define SECONDS_MAX   7200 /* a forgotten one ends */

enum { COMMAND, TEXT, CHUNK, LAST_CHUNK };

static struct {
    unsigned long messages, connections, recipients, transactions, bytes;
    bool defer, tls, done;
} sink;

/* What a connection has open; kept in conn->owned. */
struct session {
    char probe[PROBE_MAX];
    bool recipient;
};

static struct session *session_of(struct conn *conn)
{
    return conn->owned;
}

static void message_ends(struct conn *conn)
{
    struct session *session = session_of(conn);
    sink.messages++;
    if (session->probe[0]) {
        printf("%s %.6f\n", session->probe, conn_now());
        fflush(stdout);
    }
    *session = (struct session){0};
    conn->state = COMMAND;
    conn_sendf(conn, "250 2.0.0 ok %lu\r\n", sink.messages);
}

static void on_ehlo(struct conn *conn)
{
    conn_sendf(conn,
               "250-sink.test\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-8BITMIME\r\n%s250 "
               "ENHANCEDSTATUSCODES\r\n",
               sink.tls && !conn->tls ? "250-STARTTLS\r\n" : "");
}

static void on_mail(struct conn *conn)
{
    *session_of(conn) = (struct session){0};
    sink.transactions++;
    conn_sendf(conn, "250 2.1.0 ok\r\n");
}

static void on_rcpt(struct conn *conn, const char *line, size_t len)
{
    struct session *session = session_of(conn);
    const char *start = memchr(line, '<', len), *end = memchr(line, '>', len);
    if (sink.defer || !start || !end || end < start) {
        conn_sendf(conn, "451 4.3.0 not now\r\n");
        return;
    }
    if (strncmp(start + 1, "probe", 5) == 0)
        snprintf(session->probe, sizeof session->probe, "%.*s", (int)(end - start - 1), start + 1);
    session->recipient = true;
    sink.recipients++;
    conn_sendf(conn, "250 2.1.5 ok\r\n");
}

static void on_stat(struct conn *conn)
{
    conn_sendf(conn, "250 %lu %lu %lu %lu %lu\r\n", sink.messages, sink.connections, sink.recipients,
               sink.transactions, sink.bytes);
}

static bool is(const char *line, size_t len, const char *verb)
{
    size_t verb_len = strlen(verb);
    return len >= verb_len && strncasecmp(line, verb, verb_len) == 0;
}

static void on_command(struct conn *conn, const char *line, size_t len)
{
    if (is(line, len, "EHLO")) {
        on_ehlo(conn);
    } else if (is(line, len, "MAIL")) {
        on_mail(conn);
    } else if (is(line, len, "RCPT")) {
        on_rcpt(conn, line, len);
    } else if (is(line, len, "DATA")) {
        bool good = session_of(conn)->recipient;
        conn->state = good ? TEXT : COMMAND;
        conn_sendf(conn, good ? "354 go on\r\n" : "554 5.5.1 no recipients\r\n");
    } else if (is(line, len, "STARTTLS") && sink.tls && !conn->tls) {
        conn_sendf(conn, "220 2.0.0 go on\r\n");
        conn_start_tls(conn);
    } else if (is(line, len, "QUIT")) {
        conn_sendf(conn, "221 2.0.0 bye\r\n");
        conn_end(conn);
    } else if (is(line, len, "STAT")) {
        on_stat(conn);
    } else if (is(line, len, "MODE")) {
        sink.defer = is(line, len, "MODE defer");
        conn_sendf(conn, "250 2.0.0 ok\r\n");
    } else {
        conn_sendf(conn, "250 2.0.0 ok\r\n"); /* RSET, NOOP, HELO */
    }
}

static void on_line(struct conn *conn, const char *line, size_t len)
{
    if (conn->state == COMMAND) {
        on_command(conn, line, len);
        return;
    }
    sink.bytes += len + 2;
    if (len == 1 && line[0] == '.')
        message_ends(conn);
}

static void on_closed(struct conn *conn)
{
    free(conn->owned);
    free(conn);
}

static const struct conn_ops ops = {.line = on_line, .closed = on_closed};

static void on_accept(int fd)
{
    struct conn *conn = calloc(1, sizeof *conn);
    struct session *session = calloc(1, sizeof *session);
    if (!conn || !session)
        exit(1);
    conn->owned = session;
    conn->state = COMMAND;
    sink.connections++;
    conn_take(conn, &ops, fd);
    conn_sendf(conn, "220 sink.test ESMTP\r\n");
}

static void on_input_end(void)
{
    sink.done = true;
}

int main(int argc, char **argv)
{
    uint16_t port = (uint16_t)option_number(argc, argv, "port", 2525);
    unsigned addresses = option_number(argc, argv, "addresses", 0);
    const char *cert = option_text(argc, argv, "cert", NULL);
    conn_setup();
    if (cert) {
        conn_use_cert(cert, option_text(argc, argv, "key", cert));
        sink.tls = true;
    }
    conn_listen(INADDR_LOOPBACK, port, on_accept);
    for (unsigned i = 0; i < addresses && i < ADDRESSES_MAX; i++)
        conn_listen((127u << 24 | 1u << 16) + (i / PER_NET << 8) + i % PER_NET + 1, port, on_accept);
    conn_watch_input(on_input_end);
    printf("listening\n");
    fflush(stdout);
    conn_loop(&sink.done, SECONDS_MAX);
    return 0;
}
