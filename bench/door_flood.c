/* door_flood.c: strangers that mean no good, so many a second, each with an address of its own in a PROXY
 * header, and health checks as a load balancer makes them. Started by bench/door.py.
 *
 *   door_flood --port P --rate N --seconds S --kind early|banned|mixed|checks [--tls-port P] [--offset N]
 *
 * early: speaks before the greeting, from 198.18.0.0/16. banned: sends nothing, from 198.19.0.0/16. mixed: in
 * turn. Each waits until the server is through with it. checks: LOCAL headers, in turn: reset at once, reset
 * behind the greeting, EHLO and QUIT, half a handshake on --tls-port. Prints what became of them.
 */
#include "conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define OPEN_MAX_SHOTS 15000
#define PATIENCE       15.0 /* seconds; a check waits 5, as HAProxy's do */
#define CHECK_PATIENCE 5.0
#define EVENTS_AT_ONCE 256
#define LAG_MAX        0.02 /* seconds of arrears that are made up for */

enum kind { EARLY, BANNED, MIXED, CHECKS };
enum form { FORM_EARLY, FORM_BANNED, FORM_RESET, FORM_GREETED, FORM_DIALOGUE, FORM_HANDSHAKE };

struct shot {
    int fd; /* -1: free */
    enum form form;
    bool sent;
    unsigned replies;
    char first;
    double started;
};

static struct {
    int epoll;
    uint16_t port, tls_port;
    enum kind kind;
    unsigned count, offset, open, open_max, behind, failed, closed, replied, late;
    struct times times;
    struct shot shots[OPEN_MAX_SHOTS];
} run;

static const uint8_t signature[12] = {'\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

/* PROXY protocol 2: version and command, family, length, then source and destination. */
static size_t header(uint8_t out[28], uint32_t source)
{
    const uint32_t destination = htonl(0xc6336401); /* 198.51.100.1 */
    const uint16_t ports[2] = {htons(40000), htons(25)};
    memcpy(out, signature, sizeof signature);
    memcpy(out + 12, "\x21\x11\x00\x0c", 4);
    source = htonl(source);
    memcpy(out + 16, &source, 4);
    memcpy(out + 20, &destination, 4);
    memcpy(out + 24, ports, 4);
    return 28;
}

static size_t local_header(uint8_t out[28])
{
    memcpy(out, signature, sizeof signature);
    memcpy(out + 12, "\x20\x00\x00\x00", 4);
    return 16;
}

static void end(struct shot *shot, bool reset)
{
    if (reset)
        (void)setsockopt(shot->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(shot->fd);
    shot->fd = -1;
    run.open--;
    times_add(&run.times, conn_now() - shot->started);
}

static enum form next_form(unsigned number)
{
    switch (run.kind) {
    case EARLY:
        return FORM_EARLY;
    case BANNED:
        return FORM_BANNED;
    case MIXED:
        return number % 2 ? FORM_EARLY : FORM_BANNED;
    case CHECKS:
        break;
    }
    return FORM_RESET + number % (run.tls_port ? 4 : 3);
}

static void shoot(void)
{
    unsigned number = run.count++, place = 0;
    struct sockaddr_in to = {.sin_family = AF_INET};
    while (place < OPEN_MAX_SHOTS && run.shots[place].fd >= 0)
        place++;
    if (place == OPEN_MAX_SHOTS) {
        run.behind++;
        return;
    }
    struct shot *shot = &run.shots[place];
    *shot = (struct shot){.form = next_form(number), .started = conn_now()};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(shot->form == FORM_HANDSHAKE ? run.tls_port : run.port);
    shot->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = shot};
    if (shot->fd < 0 || (connect(shot->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS) ||
        epoll_ctl(run.epoll, EPOLL_CTL_ADD, shot->fd, &event) != 0) {
        if (shot->fd >= 0)
            close(shot->fd);
        shot->fd = -1;
        run.failed++;
        return;
    }
    shot->replies = number; /* until it is sent: which address */
    run.open++;
    if (run.open > run.open_max)
        run.open_max = run.open;
}

/* Header and first words in one segment, as a bot sends them. */
static void fire(struct shot *shot)
{
    static const char words[] = "EHLO flood.test\r\nMAIL FROM:<a@flood.test>\r\n";
    uint8_t bytes[28 + sizeof words];
    unsigned number = (shot->replies / (run.kind == MIXED ? 2 : 1) + run.offset) & 0xffff;
    size_t len;
    shot->sent = true;
    shot->replies = 0;
    if (shot->form == FORM_EARLY) {
        len = header(bytes, 0xc6120000u + number);
        memcpy(bytes + len, words, sizeof words - 1);
        len += sizeof words - 1;
    } else if (shot->form == FORM_BANNED) {
        len = header(bytes, 0xc6130000u + number);
    } else {
        len = local_header(bytes);
        if (shot->form == FORM_HANDSHAKE) { /* a record of a handshake that does not come */
            memcpy(bytes + len, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
            len += 11;
        }
    }
    if (write(shot->fd, bytes, len) != (ssize_t)len) {
        run.failed++;
        end(shot, true);
        return;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = shot};
    (void)epoll_ctl(run.epoll, EPOLL_CTL_MOD, shot->fd, &event);
    if (shot->form == FORM_RESET || shot->form == FORM_HANDSHAKE) {
        run.closed++;
        end(shot, true);
    }
}

static void say(struct shot *shot, const char *line)
{
    if (write(shot->fd, line, strlen(line)) < 0)
        run.failed++;
}

/* A whole reply came, whose last line begins with this digit. */
static void replied(struct shot *shot, char digit)
{
    shot->replies++;
    if (shot->form == FORM_DIALOGUE && digit == '2') {
        if (shot->replies <= 2)
            say(shot, shot->replies == 1 ? "EHLO probe.test\r\n" : "QUIT\r\n");
        return;
    }
    if (shot->form == FORM_GREETED && digit == '2') {
        run.closed++;
        end(shot, true);
        return;
    }
    run.replied++;
    if (digit == '4' || digit == '5')
        end(shot, false);
}

static void heard(struct shot *shot)
{
    char text[4096];
    ssize_t got = read(shot->fd, text, sizeof text);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        bool check = shot->form == FORM_DIALOGUE || shot->form == FORM_GREETED;
        if (check && shot->replies != 3)
            run.failed++;
        run.closed++;
        end(shot, false);
        return;
    }
    /* the last line tells: lines of one reply come together from a server on loopback */
    for (ssize_t i = 0; i + 4 < got; i++)
        if ((i == 0 || text[i - 1] == '\n') && text[i + 3] == ' ') {
            replied(shot, text[i]);
            return;
        }
}

static void serve(double until)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    double left = (until - conn_now()) * 1000;
    int count = epoll_wait(run.epoll, events, EVENTS_AT_ONCE, left > 1 ? (int)left : left > 0 ? 1 : 0);
    for (int i = 0; i < count; i++) {
        struct shot *shot = events[i].data.ptr;
        if (shot->fd < 0)
            continue;
        if (!shot->sent && (events[i].events & (EPOLLERR | EPOLLHUP))) {
            run.failed++;
            end(shot, true);
        } else if (!shot->sent) {
            fire(shot);
        } else {
            heard(shot);
        }
    }
}

/* Those the server does not come back to. */
static void give_up_on_late(double patience)
{
    for (size_t i = 0; i < OPEN_MAX_SHOTS; i++) {
        struct shot *shot = &run.shots[i];
        if (shot->fd < 0 || conn_now() - shot->started < patience)
            continue;
        run.late++;
        end(shot, true);
    }
}

static enum kind read_kind(const char *text)
{
    static const char *const names[] = {"early", "banned", "mixed", "checks"};
    for (unsigned i = 0; i < 4; i++)
        if (strcmp(text, names[i]) == 0)
            return (enum kind)i;
    fprintf(stderr, "--kind early|banned|mixed|checks\n");
    exit(2);
}

int main(int argc, char **argv)
{
    unsigned rate = option_number(argc, argv, "rate", 2000),
             seconds = option_number(argc, argv, "seconds", 10);
    run.port = (uint16_t)option_number(argc, argv, "port", 25);
    run.tls_port = (uint16_t)option_number(argc, argv, "tls-port", 0);
    run.offset = option_number(argc, argv, "offset", 0);
    run.kind = read_kind(option_text(argc, argv, "kind", "mixed"));
    double patience = run.kind == CHECKS ? CHECK_PATIENCE : PATIENCE;
    conn_setup();
    run.epoll = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < OPEN_MAX_SHOTS; i++)
        run.shots[i].fd = -1;
    double start = conn_now(), begun = start, swept = start;
    unsigned total = rate * seconds;
    while (run.count < total || run.open) {
        double now = conn_now(), lag = now - start - (double)run.count / rate;
        if (run.count < total && lag > LAG_MAX)
            start += lag - LAG_MAX; /* late: a bit fewer in all, but no wave of them at once */
        while (run.count < total && (double)run.count / rate <= now - start)
            shoot();
        if (now - swept > 0.5) {
            give_up_on_late(patience);
            swept = now;
        }
        serve(run.count < total ? start + (double)run.count / rate : now + 0.1);
    }
    printf("{\"started\": %u, \"closed\": %u, \"replied\": %u, \"failed\": %u, \"late\": %u, \"behind\": %u, "
           "\"open_max\": %u, "
           "\"seconds\": %.2f, \"p50_ms\": %.2f, \"p99_ms\": %.2f}\n",
           run.count, run.closed, run.replied, run.failed, run.late, run.behind, run.open_max,
           conn_now() - begun, times_percentile(&run.times, 0.5), times_percentile(&run.times, 0.99));
    return 0;
}
