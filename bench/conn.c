/* conn.c: epoll, sockets and OpenSSL under the load generators and the sink. */
#include "conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 256
#define OUT_FIRST      16384u
#define PRINTF_MAX     2048
#define LISTENING_MAX  10001
#define BACKLOG        4096

static int poll_fd;
static SSL_CTX *tls_context, *server_context;
static void (*on_accepted)(int fd);
static void (*on_input_ended)(void);
/* Sockets that are no connections, told apart by address. */
static char input_mark;
static struct listening {
    int fd;
} listening[LISTENING_MAX];
static unsigned listening_count;

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

void conn_setup(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    tls_context = SSL_CTX_new(TLS_client_method());
    if (poll_fd < 0 || !tls_context)
        give_up("setup");
    SSL_CTX_set_verify(tls_context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
}

double conn_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void watch(struct conn *conn, int operation)
{
    bool out = conn->connecting || conn->want_out || conn->out_len > conn->out_done;
    struct epoll_event event = {.events = EPOLLIN | (out ? (uint32_t)EPOLLOUT : 0), .data.ptr = conn};
    if (epoll_ctl(poll_fd, operation, conn->fd, &event) != 0)
        give_up("epoll_ctl");
}

void conn_open(struct conn *conn, const struct conn_ops *ops, uint16_t port, bool tls)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    conn->ops = ops;
    conn->times_opened++;
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0)
        give_up("socket");
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(conn->fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS)
        give_up("connect");
    conn->connecting = true;
    conn->want_out = false;
    conn->in_len = conn->out_len = conn->out_done = 0;
    conn->tls = conn->handshaking = tls;
    if (tls) {
        conn->ssl = SSL_new(tls_context);
        SSL_set_fd(conn->ssl, conn->fd);
        SSL_set_connect_state(conn->ssl);
    }
    watch(conn, EPOLL_CTL_ADD);
}

void conn_secure(struct conn *conn)
{
    conn->ssl = SSL_new(tls_context);
    SSL_set_fd(conn->ssl, conn->fd);
    SSL_set_connect_state(conn->ssl);
    conn->tls = conn->handshaking = true;
}

void conn_use_cert(const char *cert, const char *key)
{
    server_context = SSL_CTX_new(TLS_server_method());
    if (!server_context || SSL_CTX_use_certificate_chain_file(server_context, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(server_context, key, SSL_FILETYPE_PEM) != 1)
        give_up("certificate");
    SSL_CTX_set_mode(server_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                         SSL_MODE_RELEASE_BUFFERS);
}

void conn_listen(uint32_t address, uint16_t port, void (*accepted)(int fd))
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
    if (listening_count == LISTENING_MAX)
        give_up("too many addresses");
    struct listening *place = &listening[listening_count++];
    place->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(place->fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(place->fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(place->fd, BACKLOG) != 0)
        give_up("listen");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = place};
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, place->fd, &event) != 0)
        give_up("epoll_ctl");
    on_accepted = accepted;
}

static void take_connections(const struct listening *place)
{
    int fd;
    while ((fd = accept4(place->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        on_accepted(fd);
}

void conn_take(struct conn *conn, const struct conn_ops *ops, int fd)
{
    conn->ops = ops;
    conn->fd = fd;
    conn->served = true;
    conn->times_opened++;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = conn};
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        give_up("epoll_ctl");
}

void conn_start_tls(struct conn *conn)
{
    conn->tls_is_next = true;
}

void conn_end(struct conn *conn)
{
    conn->ending = true;
}

/* What was asked for behind the last line that was sent; false when the connection is to end. */
static bool after_flush(struct conn *conn)
{
    if (conn->out_len > conn->out_done)
        return true;
    if (conn->tls_is_next) {
        conn->tls_is_next = false;
        conn->in_len = 0;
        conn->ssl = SSL_new(server_context);
        SSL_set_fd(conn->ssl, conn->fd);
        SSL_set_accept_state(conn->ssl);
        conn->tls = conn->handshaking = true;
    }
    return !conn->ending;
}

void conn_watch_input(void (*ended)(void))
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &input_mark};
    on_input_ended = ended;
    /* a file or /dev/null cannot be waited for: then only time ends the program */
    (void)epoll_ctl(poll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event);
}

static void read_input(void)
{
    char ignored[256];
    if (read(STDIN_FILENO, ignored, sizeof ignored) <= 0)
        on_input_ended();
}

void conn_close(struct conn *conn)
{
    if (conn->fd < 0)
        return;
    SSL_free(conn->ssl);
    conn->ssl = NULL;
    close(conn->fd);
    conn->fd = -1;
    free(conn->out);
    conn->out = NULL;
    conn->out_cap = conn->out_len = conn->out_done = 0;
}

static void broken(struct conn *conn)
{
    conn_close(conn);
    conn->ops->closed(conn);
}

/* Bytes moved; 0 when it would block; -1 when the connection is over. */
static ssize_t io_result(struct conn *conn, ssize_t moved, bool eof_is_end)
{
    if (moved > 0)
        return moved;
    if (conn->tls) {
        int why = SSL_get_error(conn->ssl, (int)moved);
        conn->want_out = why == SSL_ERROR_WANT_WRITE;
        return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
    }
    if (moved == 0)
        return eof_is_end ? -1 : 0;
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

static bool flush(struct conn *conn)
{
    while (!conn->connecting && !conn->handshaking && conn->out_done < conn->out_len) {
        const char *data = conn->out + conn->out_done;
        size_t len = conn->out_len - conn->out_done;
        ssize_t moved = conn->tls ? SSL_write(conn->ssl, data, (int)len) : write(conn->fd, data, len);
        moved = io_result(conn, moved, false);
        if (moved < 0)
            return false;
        if (moved == 0)
            break;
        conn->out_done += (size_t)moved;
    }
    if (conn->out_done == conn->out_len)
        conn->out_done = conn->out_len = 0;
    return true;
}

void conn_send(struct conn *conn, const void *data, size_t len)
{
    if (conn->fd < 0)
        return;
    if (conn->out_len + len > conn->out_cap) {
        conn->out_cap = (conn->out_len + len) * 2 + OUT_FIRST;
        conn->out = realloc(conn->out, conn->out_cap);
        if (!conn->out)
            give_up("realloc");
    }
    memcpy(conn->out + conn->out_len, data, len);
    conn->out_len += len;
}

void conn_sendf(struct conn *conn, const char *format, ...)
{
    char text[PRINTF_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof text)
        give_up("a command is too long");
    conn_send(conn, text, (size_t)len);
}

/* Hands out whole lines; false when a callback closed the connection (and perhaps opened it again). */
static bool hand_out_lines(struct conn *conn)
{
    unsigned opened = conn->times_opened;
    size_t from = 0;
    char *end;
    while ((end = memchr(conn->in + from, '\n', conn->in_len - from)) != NULL) {
        size_t len = (size_t)(end - conn->in) - from;
        const char *line = conn->in + from;
        from += len + 1;
        if (len > 0 && line[len - 1] == '\r')
            len--;
        conn->ops->line(conn, line, len);
        if (conn->fd < 0 || conn->times_opened != opened)
            return false;
        if (conn->tls_is_next) /* what the client sent behind STARTTLS does not count */
            return true;
    }
    memmove(conn->in, conn->in + from, conn->in_len - from);
    conn->in_len -= from;
    if (conn->in_len == sizeof conn->in) {
        errno = EMSGSIZE;
        give_up("a line of the server");
    }
    return true;
}

static bool take_in(struct conn *conn)
{
    for (;;) {
        size_t room = sizeof conn->in - conn->in_len;
        char *to = conn->in + conn->in_len;
        ssize_t moved = conn->tls ? SSL_read(conn->ssl, to, (int)room) : read(conn->fd, to, room);
        moved = io_result(conn, moved, true);
        if (moved <= 0)
            return moved == 0;
        conn->in_len += (size_t)moved;
        if (!hand_out_lines(conn))
            return true;
    }
}

static bool handshake(struct conn *conn)
{
    int done = SSL_do_handshake(conn->ssl);
    if (done == 1) {
        conn->handshaking = conn->want_out = false;
        return true;
    }
    return io_result(conn, done, true) == 0;
}

static void serve(struct conn *conn)
{
    unsigned opened = conn->times_opened;
    if (conn->connecting) {
        int error = 0;
        socklen_t len = sizeof error;
        getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error) {
            broken(conn);
            return;
        }
        conn->connecting = false;
    }
    bool good = !conn->handshaking || handshake(conn);
    if (good && !conn->handshaking)
        good = take_in(conn);
    if (conn->fd < 0 || conn->times_opened != opened) /* by a callback */
        return;
    if (!good || !flush(conn) || !after_flush(conn)) {
        broken(conn);
        return;
    }
    watch(conn, EPOLL_CTL_MOD);
}

void conn_flush(struct conn *conn)
{
    if (conn->fd < 0)
        return;
    if (flush(conn))
        watch(conn, EPOLL_CTL_MOD);
    else
        broken(conn);
}

bool conn_loop(const bool *done, double seconds)
{
    double end = conn_now() + seconds;
    while (!*done && conn_now() < end) {
        struct epoll_event events[EVENTS_AT_ONCE];
        double left = (end - conn_now()) * 1000 + 1;
        int count = epoll_wait(poll_fd, events, EVENTS_AT_ONCE, left < 200 ? (int)left : 200);
        for (int i = 0; i < count && !*done; i++) {
            char *what = events[i].data.ptr;
            struct conn *conn = events[i].data.ptr;
            if (what == &input_mark)
                read_input();
            else if (what >= (char *)listening && what < (char *)(listening + listening_count))
                take_connections(events[i].data.ptr);
            else if (conn->fd >= 0)
                serve(conn);
        }
    }
    return *done;
}

static const char *option_find(int argc, char **argv, const char *name)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i] + 2, name) == 0)
            return argv[i + 1];
    }
    return NULL;
}

const char *option_text(int argc, char **argv, const char *name, const char *standard)
{
    const char *text = option_find(argc, argv, name);
    return text ? text : standard;
}

unsigned option_number(int argc, char **argv, const char *name, unsigned standard)
{
    const char *text = option_find(argc, argv, name);
    if (!text)
        return standard;
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*end || value > 100000000) {
        fprintf(stderr, "--%s: %s is no number\n", name, text);
        exit(2);
    }
    return (unsigned)value;
}

bool option_set(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i] + 2, name) == 0)
            return true;
    }
    return false;
}

void times_add(struct times *times, double seconds)
{
    if (times->count == times->cap) {
        times->cap = times->cap * 2 + 1024;
        times->seconds = realloc(times->seconds, times->cap * sizeof *times->seconds);
        if (!times->seconds)
            give_up("realloc");
    }
    times->seconds[times->count++] = seconds;
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

double times_percentile(struct times *times, double share)
{
    if (times->count == 0)
        return 0;
    qsort(times->seconds, times->count, sizeof *times->seconds, by_value);
    return times->seconds[(size_t)(share * (double)(times->count - 1))] * 1000;
}
