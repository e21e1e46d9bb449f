/* door_clients.c: strangers that mean no harm, each with an address of its own in a PROXY header: ordinary
 * servers that deliver mail now and then while others flood, or thousands that only stay. Started by
 * bench/door.py.
 *
 *   door_clients --port P --mode honest --sessions N --seconds S [--pause MS] [--users U] [--domain D]
 *   door_clients --port P --mode idle --sessions N [--starttls yes]     until standard input ends
 *
 * honest: each opens a connection, delivers one message, says QUIT, pauses. Prints how long a connection took
 * from start to 221, from the second of each on (the first may have to wait: then the server knows the
 * client). idle: says EHLO (with --starttls under TLS, again), then nothing.
 */
#include "conn.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_LEN   28
#define OPENED_MAX   400 /* at once in --mode idle: a backlog is not what is measured */
#define HOLD_SECONDS 600

enum { GREETING, HELLO, TLS, HELLO_TLS, ENVELOPE_MAIL, ENVELOPE_RCPT, ENVELOPE_DATA, BODY, FAREWELL, RESTS };

static struct {
    uint16_t port;
    unsigned sessions, users, pause_ms, opened, ready, failed, delivered;
    bool idle, starttls, done, ending;
    const char *domain;
    struct conn *conns;
    double *next; /* when a session opens again */
    struct times times;
    char first_trouble[256];
} run;

static const struct conn_ops ops;

/* 203.0.113.0/24 for the honest; 100.100.0.0/15's neighbours for the many: 16,384 addresses of 64 networks.
 */
static uint32_t address_of(unsigned number)
{
    return run.idle ? 0xc6180000u + number : 0xcb007100u + number % 250 + 1;
}

static void open_one(unsigned number)
{
    struct conn *conn = &run.conns[number];
    uint8_t header[HEADER_LEN] = {'\r', '\n', '\r', '\n', 0,    '\r', '\n', 'Q',
                                  'U',  'I',  'T',  '\n', 0x21, 0x11, 0,    12};
    uint32_t source = htonl(address_of(number)), destination = htonl(0xc6336401);
    memcpy(header + 16, &source, 4);
    memcpy(header + 20, &destination, 4);
    memcpy(header + 24, "\x9c\x40\x00\x19", 4);
    conn->user = number;
    conn->state = GREETING;
    conn->started = conn_now();
    conn_open(conn, &ops, run.port, false);
    conn_send(conn, header, sizeof header);
}

static void trouble(struct conn *conn, const char *line, size_t len)
{
    if (run.failed++ == 0)
        snprintf(run.first_trouble, sizeof run.first_trouble, "%d: %.*s", conn->state, (int)len, line);
    conn_close(conn);
    run.next[conn->user] = conn_now() + run.pause_ms / 1e3;
}

static void rest(struct conn *conn)
{
    conn->state = RESTS;
    run.ready++;
}

static void send_body(struct conn *conn)
{
    conn_sendf(
        conn,
        "From: Honest <h%u@honest.test>\r\nTo: <user%u@%s>\r\nSubject: a word\r\nDate: Sat, 21 Nov 2026 "
        "03:42:49 +0000\r\nMessage-ID: <%u.%u@honest.test>\r\n\r\n",
        conn->user, conn->user % run.users, run.domain, conn->user, run.delivered);
    for (int i = 0; i < 30; i++)
        conn_sendf(conn, "The quick brown fox jumps over the lazy dog, and then some more of them.\r\n");
    conn_sendf(conn, ".\r\nQUIT\r\n");
}

static void greeted(struct conn *conn)
{
    if (run.idle && run.starttls && !conn->tls) {
        conn->state = TLS;
        conn_sendf(conn, "STARTTLS\r\n");
    } else if (run.idle) {
        rest(conn);
    } else {
        conn->state = ENVELOPE_MAIL;
        conn_sendf(conn, "MAIL FROM:<h%u@honest.test>\r\nRCPT TO:<user%u@%s>\r\nDATA\r\n", conn->user,
                   conn->user % run.users, run.domain);
    }
}

static void ended(struct conn *conn)
{
    if (conn->left++ > 0) /* how many this one has delivered */
        times_add(&run.times, conn_now() - conn->started);
    run.delivered++;
    conn_close(conn);
    run.next[conn->user] = conn_now() + run.pause_ms / 1e3;
}

static void on_line(struct conn *conn, const char *line, size_t len)
{
    if (len >= 4 && line[3] == '-')
        return;
    if (len < 3 || line[0] != (conn->state == ENVELOPE_DATA ? '3' : '2')) {
        trouble(conn, line, len);
        return;
    }
    switch (conn->state) {
    case GREETING:
        conn->state = HELLO;
        conn_sendf(conn, "EHLO mail%u.honest.test\r\n", conn->user);
        break;
    case HELLO:
    case HELLO_TLS:
        greeted(conn);
        break;
    case TLS:
        conn->state = HELLO_TLS;
        conn_secure(conn);
        conn_sendf(conn, "EHLO mail%u.honest.test\r\n", conn->user);
        break;
    case ENVELOPE_DATA:
        conn->state = BODY;
        send_body(conn);
        break;
    case FAREWELL:
        ended(conn);
        break;
    default:
        conn->state++;
    }
}

static void on_closed(struct conn *conn)
{
    if (run.ending)
        return;
    trouble(conn, "closed", 6);
}

static const struct conn_ops ops = {.line = on_line, .closed = on_closed};

static void input_ended(void)
{
    run.done = true;
}

static void hold(void)
{
    double end = conn_now() + HOLD_SECONDS;
    while (run.ready + run.failed < run.sessions && conn_now() < end) {
        while (run.opened < run.sessions && run.opened - run.ready - run.failed < OPENED_MAX)
            open_one(run.opened++);
        (void)conn_loop(&run.done, 0.01);
    }
    printf("{\"ready\": %u, \"failed\": %u, \"first_trouble\": \"%s\"}\n", run.ready, run.failed,
           run.first_trouble);
    (void)fflush(stdout);
    conn_watch_input(input_ended);
    (void)conn_loop(&run.done, HOLD_SECONDS);
}

static void deliver(double seconds)
{
    double end = conn_now() + seconds;
    for (unsigned i = 0; i < run.sessions; i++)
        run.next[i] = conn_now() + (double)i * run.pause_ms / 1e3 / run.sessions;
    while (conn_now() < end) {
        double now = conn_now();
        for (unsigned i = 0; i < run.sessions; i++)
            if (run.conns[i].fd < 0 && run.next[i] <= now)
                open_one(i);
        (void)conn_loop(&run.done, 0.001);
    }
    run.ending = true;
    unsigned open = 0;
    double oldest = 0;
    for (unsigned i = 0; i < run.sessions; i++) {
        if (run.conns[i].fd < 0)
            continue;
        open++;
        if (conn_now() - run.conns[i].started > oldest)
            oldest = conn_now() - run.conns[i].started;
    }
    printf("{\"delivered\": %u, \"failed\": %u, \"open\": %u, \"oldest_s\": %.2f, \"p50_ms\": %.2f, "
           "\"p99_ms\": %.2f, "
           "\"max_ms\": %.2f, \"first_trouble\": \"%s\"}\n",
           run.delivered, run.failed, open, oldest, times_percentile(&run.times, 0.5),
           times_percentile(&run.times, 0.99), times_percentile(&run.times, 1), run.first_trouble);
}

int main(int argc, char **argv)
{
    run.port = (uint16_t)option_number(argc, argv, "port", 25);
    run.sessions = option_number(argc, argv, "sessions", 20);
    run.users = option_number(argc, argv, "users", 20);
    run.pause_ms = option_number(argc, argv, "pause", 100);
    run.domain = option_text(argc, argv, "domain", "bench.test");
    run.idle = strcmp(option_text(argc, argv, "mode", "honest"), "idle") == 0;
    run.starttls = option_set(argc, argv, "starttls");
    conn_setup();
    run.conns = calloc(run.sessions, sizeof *run.conns);
    run.next = calloc(run.sessions, sizeof *run.next);
    if (!run.conns || !run.next)
        return 1;
    for (unsigned i = 0; i < run.sessions; i++)
        run.conns[i].fd = -1;
    if (run.idle)
        hold();
    else
        deliver(option_number(argc, argv, "seconds", 10));
    for (unsigned i = 0; i < run.sessions; i++)
        conn_close(&run.conns[i]);
    free(run.conns);
    free(run.next);
    return 0;
}
