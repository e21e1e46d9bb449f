/* imap_load.c: IMAP sessions in numbers. Started by bench/logins.py and bench/memory.py.
 *
 *   imap_load --port P --sessions N [--tls] [--connections C] [--users U] [--domain D] [--password W]
 *       logs in N times, C at a time: LOGIN, SELECT INBOX, LOGOUT; prints how fast
 *   imap_load ... --hold
 *       opens N sessions, selects INBOX, IDLEs, prints "holding N" and keeps them until standard input ends
 */
#include "conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECONDS_MAX  600
#define OPEN_AT_ONCE 50 /* sessions being set up at a time with --hold */

static const char closed_text[] = "the connection was closed";

enum { GREETING, LOGIN, SELECT, IDLE, LOGOUT, HELD };

static struct {
    uint16_t port;
    unsigned to_start, started, finished, failed, open, users, held;
    const char *domain, *password;
    bool tls, hold, done;
    struct times times;
    struct conn *conns;
    char first_failure[256];
} run;

static void start_next(struct conn *conn);

/* With --hold every session has a slot of its own: one more is settled, the next may start. */
static void settled(void)
{
    if (run.held + run.failed >= run.to_start)
        run.done = true;
    else if (run.started < run.to_start)
        start_next(&run.conns[run.started]);
}

static void fail(struct conn *conn, const char *line, size_t len)
{
    if (run.failed++ == 0)
        snprintf(run.first_failure, sizeof run.first_failure, "%.*s", (int)len, line);
    conn_close(conn);
    if (run.hold)
        settled();
    else
        start_next(conn);
}

static void held(struct conn *conn)
{
    conn->state = HELD;
    run.held++;
    settled();
}

static void selected(struct conn *conn)
{
    conn->state = run.hold ? IDLE : LOGOUT;
    conn_sendf(conn, run.hold ? "c IDLE\r\n" : "c LOGOUT\r\n");
}

static void finished(struct conn *conn)
{
    run.finished++;
    times_add(&run.times, conn_now() - conn->started);
    conn_close(conn);
    start_next(conn);
}

static void on_line(struct conn *conn, const char *line, size_t len)
{
    static const char *const expected[] = {"* OK", "a OK", "b OK", "+", "c OK", "*"};
    bool good = len >= strlen(expected[conn->state]) &&
                memcmp(line, expected[conn->state], strlen(expected[conn->state])) == 0;
    if (!good) {
        if (line[0] != '*')
            fail(conn, line, len);
        return;
    }
    switch (conn->state) {
    case GREETING:
        conn->state = LOGIN;
        conn_sendf(conn, "a LOGIN user%u@%s %s\r\n", conn->user % run.users, run.domain, run.password);
        break;
    case LOGIN:
        conn->state = SELECT;
        conn_sendf(conn, "b SELECT INBOX\r\n");
        break;
    case SELECT:
        selected(conn);
        break;
    case IDLE:
        held(conn);
        break;
    case LOGOUT:
        finished(conn);
        break;
    default:
        break;
    }
}

static void on_closed(struct conn *conn)
{
    fail(conn, closed_text, sizeof closed_text - 1);
}

static const struct conn_ops ops = {.line = on_line, .closed = on_closed};

static void start_next(struct conn *conn)
{
    if (run.started == run.to_start || run.failed > run.to_start) {
        run.done = --run.open == 0 || run.done;
        return;
    }
    conn->state = GREETING;
    conn->user = run.started++;
    conn->started = conn_now();
    conn_open(conn, &ops, run.port, run.tls);
}

static void report(double seconds)
{
    printf("{\"sessions\": %u, \"failed\": %u, \"seconds\": %.3f, \"per_second\": %.1f, \"p50_ms\": %.2f, "
           "\"p99_ms\": %.2f, \"first_failure\": \"",
           run.finished, run.failed, seconds, run.finished / seconds, times_percentile(&run.times, 0.5),
           times_percentile(&run.times, 0.99));
    for (const char *at = run.first_failure; *at; at++)
        putchar(*at == '"' || *at == '\\' || *at < ' ' ? '?' : *at);
    printf("\"}\n");
}

int main(int argc, char **argv)
{
    run.port = (uint16_t)option_number(argc, argv, "port", 143);
    run.to_start = option_number(argc, argv, "sessions", 1000);
    run.users = option_number(argc, argv, "users", 100);
    run.domain = option_text(argc, argv, "domain", "bench.test");
    run.password = option_text(argc, argv, "password", "secret");
    run.tls = option_set(argc, argv, "tls");
    run.hold = option_set(argc, argv, "hold");
    unsigned at_once = run.hold ? OPEN_AT_ONCE : option_number(argc, argv, "connections", 20);
    if (at_once > run.to_start)
        at_once = run.to_start;
    unsigned slots = run.hold ? run.to_start : at_once;
    conn_setup();
    run.conns = calloc(slots, sizeof *run.conns);
    if (!run.conns)
        return 1;
    for (unsigned i = 0; i < slots; i++)
        run.conns[i].fd = -1;
    double start = conn_now();
    run.open = slots;
    for (unsigned i = 0; i < at_once; i++)
        start_next(&run.conns[i]);
    bool ended = conn_loop(&run.done, SECONDS_MAX);
    if (!run.hold) {
        report(conn_now() - start);
        return ended && run.failed == 0 ? 0 : 1;
    }
    printf("holding %u, failed %u %s\n", run.held, run.failed, run.first_failure);
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    return run.failed == 0 ? 0 : 1;
}
