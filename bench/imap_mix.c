/* imap_mix.c: a mixed random load: many sessions that read, flag, search, append and expunge. Started by
 * bench/imap_load.py.
 *
 *   imap_mix --port P --sessions N --seconds S --users U [--tail @domain] [--password W]
 * Each session logs in, selects INBOX and then does one random thing after the other, waiting for each
 * answer. The clock runs from the moment all have selected. Prints commands a second and how long they took.
 */
#include "conn.h"
#include "mail_make.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETUP_SECONDS 120
#define OPEN_AT_ONCE  50
#define SHOWN         20 /* messages a list of a mail program shows */

enum { GREETING, LOGIN, SELECT, WORKING };

/* What clients do, and how often of 100. */
enum thing {
    FETCH_LIST,
    FETCH_FLAGS,
    FETCH_BODY,
    STORE,
    SEARCH,
    STATUS,
    NOOP,
    APPEND,
    COPY,
    EXPUNGE,
    THINGS
};
static const unsigned often[THINGS] = {18, 15, 18, 16, 5, 8, 8, 5, 4, 3};

static struct {
    uint16_t port;
    unsigned sessions, users, started, ready, failed;
    const char *tail, *password;
    bool all_ready, done, measuring;
    double seconds, ends;
    struct times times;
    struct conn *conns;
    uint64_t random;
    uint32_t appended;
    struct mail mail;
    char failure[200];
} run = {.random = 88172645463325252u};

static unsigned below(unsigned limit)
{
    run.random ^= run.random << 13;
    run.random ^= run.random >> 7;
    run.random ^= run.random << 17;
    return (unsigned)(run.random % limit);
}

static enum thing choose(void)
{
    unsigned at = below(100);
    for (enum thing thing = 0; thing < THINGS; thing++) {
        if (at < often[thing])
            return thing;
        at -= often[thing];
    }
    return NOOP;
}

static void send_append(struct conn *conn)
{
    mail_make(&run.mail, 1000000 + run.appended++);
    conn_sendf(conn, "z APPEND INBOX {%zu+}\r\n", run.mail.len);
    conn_send(conn, run.mail.text, run.mail.len);
    conn_sendf(conn, "\r\n");
}

/* conn->left: messages the session knows of. */
static void next_thing(struct conn *conn)
{
    static const char *const flags[] = {"\\Seen", "\\Flagged", "\\Answered", "\\Deleted"};
    unsigned known = conn->left ? conn->left : 1, seq = 1 + below(known);
    unsigned from = known > SHOWN ? known - SHOWN + 1 : 1;
    enum thing thing = conn->left ? choose() : APPEND;
    conn->started = conn_now();
    switch (thing) {
    case FETCH_LIST:
        conn_sendf(conn, "z FETCH %u:%u (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)\r\n", from, known);
        break;
    case FETCH_FLAGS:
        conn_sendf(conn, "z FETCH 1:%u FLAGS\r\n", known);
        break;
    case FETCH_BODY:
        conn_sendf(conn, "z FETCH %u BODY.PEEK[]\r\n", seq);
        break;
    case STORE:
        conn_sendf(conn, "z STORE %u %cFLAGS (%s)\r\n", seq, below(2) ? '+' : '-',
                   flags[below(8) ? below(3) : 3]);
        break;
    case SEARCH:
        conn_sendf(conn, "z SEARCH FROM persona%u\r\n", below(20) * 26);
        break;
    case STATUS:
        conn_sendf(conn, "z STATUS Trash (MESSAGES UNSEEN UIDNEXT)\r\n");
        break;
    case APPEND:
        send_append(conn);
        break;
    case COPY:
        conn_sendf(conn, "z COPY %u Trash\r\n", seq);
        break;
    case EXPUNGE:
        conn_sendf(conn, "z EXPUNGE\r\n");
        break;
    default:
        conn_sendf(conn, "z NOOP\r\n");
        break;
    }
}

static void start_next(void);

static void fail(struct conn *conn, const char *line, size_t len)
{
    if (run.failed++ == 0)
        snprintf(run.failure, sizeof run.failure, "%.*s", (int)len, line);
    if (conn->state != WORKING)
        run.ready++;
    conn_close(conn);
    start_next();
}

static void begin(void)
{
    run.measuring = true;
    run.ends = conn_now() + run.seconds;
    for (unsigned i = 0; i < run.sessions; i++)
        if (run.conns[i].fd >= 0) {
            next_thing(&run.conns[i]);
            conn_flush(&run.conns[i]);
        }
}

static void answered(struct conn *conn, const char *line, size_t len)
{
    double now = conn_now();
    bool gone = len > 4 && memcmp(line, "z NO", 4) == 0; /* expunged meanwhile: part of the game */
    if (!gone && (len < 4 || memcmp(line, "z OK", 4) != 0)) {
        fail(conn, line, len);
        return;
    }
    times_add(&run.times, now - conn->started);
    if (now >= run.ends)
        run.done = true;
    else
        next_thing(conn);
}

/* Keeps count of what the session may name. */
static void untagged(struct conn *conn, const char *line, size_t len)
{
    char text[64];
    unsigned number;
    char word[16];
    snprintf(text, sizeof text, "%.*s", (int)(len < 60 ? len : 60), line);
    if (sscanf(text, "* %u %15s", &number, word) != 2)
        return;
    if (strcmp(word, "EXISTS") == 0)
        conn->left = number;
    else if (strcmp(word, "EXPUNGE") == 0 && conn->left)
        conn->left--;
}

static void on_line(struct conn *conn, const char *line, size_t len)
{
    if (len > 2 && memcmp(line, "* ", 2) == 0)
        untagged(conn, line, len);
    if (conn->state == WORKING) {
        if (len > 2 && memcmp(line, "z ", 2) == 0)
            answered(conn, line, len);
        return;
    }
    if (conn->state != GREETING && (len < 2 || memcmp(line, "z ", 2) != 0))
        return;
    if (conn->state != GREETING && memcmp(line, "z OK", 4) != 0) {
        fail(conn, line, len);
        return;
    }
    switch (conn->state++) {
    case GREETING:
        conn->left = 0;
        conn_sendf(conn, "z LOGIN user%u%s %s\r\n", conn->user % run.users, run.tail, run.password);
        break;
    case LOGIN:
        conn_sendf(conn, "z SELECT INBOX\r\n");
        break;
    default:
        run.ready++;
        start_next();
        break;
    }
}

static void on_closed(struct conn *conn)
{
    fail(conn, "closed", 6);
}

static const struct conn_ops ops = {.line = on_line, .closed = on_closed};

static void start_next(void)
{
    if (run.started < run.sessions) {
        struct conn *conn = &run.conns[run.started];
        conn->state = GREETING;
        conn->user = run.started++;
        conn_open(conn, &ops, run.port, false);
    } else if (run.ready >= run.sessions && !run.measuring) {
        run.all_ready = true;
    }
}

int main(int argc, char **argv)
{
    run.port = (uint16_t)option_number(argc, argv, "port", 143);
    run.sessions = option_number(argc, argv, "sessions", 100);
    run.users = option_number(argc, argv, "users", 50);
    run.seconds = option_number(argc, argv, "seconds", 10);
    run.tail = option_text(argc, argv, "tail", "@bench.test");
    run.password = option_text(argc, argv, "password", "secret");
    conn_setup();
    run.conns = calloc(run.sessions + 1, sizeof *run.conns);
    if (!run.conns)
        return 1;
    for (unsigned i = 0; i < run.sessions; i++)
        run.conns[i].fd = -1;
    for (unsigned i = 0; i < OPEN_AT_ONCE && i < run.sessions; i++)
        start_next();
    conn_loop(&run.all_ready, SETUP_SECONDS);
    double from = conn_now();
    begin();
    conn_loop(&run.done, run.seconds * 3);
    double took = conn_now() - from;
    size_t count = run.times.count;
    printf("{\"per_second\": %.1f, \"p50_ms\": %.2f, \"p99_ms\": %.2f, \"failed\": %u, \"failure\": \"",
           (double)count / took, times_percentile(&run.times, 0.5), times_percentile(&run.times, 0.99),
           run.failed);
    for (const char *at = run.failure; *at; at++)
        putchar(*at == '"' || *at == '\\' || *at < ' ' ? '?' : *at);
    printf("\"}\n");
    return 0;
}
