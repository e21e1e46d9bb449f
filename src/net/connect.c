/* connect.c: outgoing TCP connections. Addresses come from DNS or the settings; who may be called is the
 * caller's to judge. Called by relay. */
#include "net/connect.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

struct connecting {
    struct loop_watch *watch;
    struct loop_timer *timer;
    int fd, error;
    connect_done *done;
    void *ctx;
};

const char *connect_error_text(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return "connection refused";
    case ETIMEDOUT:
        return "connection timed out";
    case EHOSTUNREACH:
        return "no route to host";
    case ENETUNREACH:
        return "network is unreachable";
    case EADDRNOTAVAIL:
        return "cannot call from the source address";
    case EACCES:
    case EPERM:
        return "calling this address is not allowed";
    case EMFILE:
    case ENFILE:
        return "too many open descriptors";
    case ECONNRESET:
        return "connection reset";
    default:
        return "connection failed";
    }
}

static void release(struct connecting *c)
{
    loop_watch_free(&c->watch);
    loop_timer_free(&c->timer);
    if (c->fd >= 0)
        (void)close(c->fd);
    free(c);
}

void connect_cancel(struct connecting **ref)
{
    struct connecting *c = ref ? *ref : NULL;
    if (!c)
        return;
    *ref = NULL;
    release(c);
}

static void finish(struct connecting *c, int error)
{
    int fd = error ? -1 : c->fd;
    connect_done *done = c->done;
    void *ctx = c->ctx;
    if (!error)
        c->fd = -1;
    release(c);
    done(ctx, fd, error);
}

static void on_ready(void *arg, unsigned events)
{
    struct connecting *c = arg;
    int error = 0;
    socklen_t len = sizeof error;
    (void)events;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    finish(c, error);
}

/* The time is over, or the attempt failed at once. */
static void on_timer(void *arg)
{
    struct connecting *c = arg;
    finish(c, c->error ? c->error : ETIMEDOUT);
}

static socklen_t to_sockaddr(const struct netaddr *addr, uint16_t port, struct sockaddr_storage *out)
{
    void *any = out;
    *out = (struct sockaddr_storage){0};
    if (addr->family == NETADDR_V4) {
        struct sockaddr_in *in = any;
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        memcpy(&in->sin_addr, addr->bytes, sizeof in->sin_addr);
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = any;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    memcpy(&in6->sin6_addr, addr->bytes, sizeof in6->sin6_addr);
    return sizeof *in6;
}

/* 0, or the errno of what failed at once. */
static int open_and_connect(struct connecting *c, const struct netaddr *to, const struct netaddr *source)
{
    struct sockaddr_storage address;
    socklen_t len;
    int on = 1;
    if (to->family != NETADDR_V4 && to->family != NETADDR_V6)
        return EAFNOSUPPORT;
    c->fd =
        socket(to->family == NETADDR_V4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return errno;
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (source && source->family == to->family) {
        /* The port is chosen when the other end is known: 28,000 ports for each destination, not for all. */
        (void)setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        len = to_sockaddr(source, 0, &address);
        if (bind(c->fd, (struct sockaddr *)&address, len) != 0)
            return errno;
    }
    len = to_sockaddr(to, to->port, &address);
    return connect(c->fd, (struct sockaddr *)&address, len) == 0 || errno == EINPROGRESS ? 0 : errno;
}

struct connecting *connect_begin(struct loop *loop, const struct netaddr *to, const struct netaddr *source,
                                 uint64_t ms, connect_done *done, void *ctx)
{
    struct connecting *c = mem_zero(1, sizeof *c);
    c->fd = -1;
    c->done = done;
    c->ctx = ctx;
    c->timer = loop_timer_new(loop, on_timer, c);
    c->error = open_and_connect(c, to, source);
    loop_timer_set(c->timer, c->error ? 0 : ms);
    if (c->error)
        return c;
    c->watch = loop_watch_new(loop, c->fd, on_ready, c);
    loop_watch_set(c->watch, LOOP_WRITE);
    return c;
}
