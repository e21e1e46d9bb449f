/* conn.h: many line-based connections on one epoll loop, with or without TLS: the client side for the load
 * generators, the server side for the sink. For benches only: it trusts its peer as far as bounds of lines
 * go, and ends the program on trouble. */
#ifndef BENCH_CONN_H
#define BENCH_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONN_LINE_MAX 16384u /* longest line of a server we can take */

struct conn;

struct conn_ops {
    /* A whole line without its CRLF. May send or close. */
    void (*line)(struct conn *conn, const char *line, size_t len);
    /* The server closed, or the connection broke; `conn` may be opened again from here. */
    void (*closed)(struct conn *conn);
};

struct conn {
    const struct conn_ops *ops;
    int fd;                /* -1: closed */
    unsigned times_opened; /* tells a callback's closing and opening again from going on */
    void *ssl;
    bool tls, connecting, handshaking, want_out;
    bool served;      /* we are the server of this one */
    bool ending;      /* closed when what was sent is out */
    bool tls_is_next; /* the handshake begins when what was sent is out */
    char in[CONN_LINE_MAX];
    size_t in_len;
    char *out;
    size_t out_len, out_cap, out_done;
    /* the protocol's own */
    int state;
    unsigned left; /* transactions still to be done on this connection */
    unsigned user;
    double started;
    void *owned;
};

/* Before anything else: the loop and, for TLS, its context. */
void conn_setup(void);
/* Connects to 127.0.0.1; lines arrive through conn_loop(). */
void conn_open(struct conn *conn, const struct conn_ops *ops, uint16_t port, bool tls);
void conn_send(struct conn *conn, const void *data, size_t len);
void conn_sendf(struct conn *conn, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What was sent from outside this connection's own callbacks goes out. */
void conn_flush(struct conn *conn);
/* TLS on a connection of ours, from a callback that saw the answer to STARTTLS; what is sent then waits for
 * it. */
void conn_secure(struct conn *conn);
/* ---- the server side ---- */
void conn_use_cert(const char *cert, const char *key);
/* A listening socket on this address (host byte order); `accepted` gets each connection's descriptor. */
void conn_listen(uint32_t address, uint16_t port, void (*accepted)(int fd));
/* Serves an accepted descriptor; `closed` comes once, at its end, and may free `conn`. */
void conn_take(struct conn *conn, const struct conn_ops *ops, int fd);
/* As soon as what was sent is out: TLS, or the end. */
void conn_start_tls(struct conn *conn);
void conn_end(struct conn *conn);
/* `ended` is called at the end of standard input. */
void conn_watch_input(void (*ended)(void));

/* Closes at once; no callback. Takes a closed one. */
void conn_close(struct conn *conn);
/* Serves all connections until `*done`; false after `seconds` without an end. */
bool conn_loop(const bool *done, double seconds);

/* Seconds of the monotonic clock. */
double conn_now(void);
/* The number behind `--name`, or `standard`; options are `--name value` pairs. Ends the program on a bad
 * number. */
unsigned option_number(int argc, char **argv, const char *name, unsigned standard);
const char *option_text(int argc, char **argv, const char *name, const char *standard);
bool option_set(int argc, char **argv, const char *name);

/* Durations, for percentiles. */
struct times {
    double *seconds;
    size_t count, cap;
};
void times_add(struct times *times, double seconds);
/* The value below which `share` (0 to 1) of them lie, in milliseconds; 0 when empty. Sorts. */
double times_percentile(struct times *times, double share);

#endif
