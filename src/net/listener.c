/* listener.c: accepts connections and brings them to their first protocol byte: PROXY header, implicit TLS.
 * Everything it reads is a stranger's, parsed by grammar/proxy.c. Called by the roles smtp, imap and http.
 *
 * Load balancers look in every second, in many ways (a LOCAL header and a reset, half a handshake, nothing at
 * all): that is normal life, counted and otherwise silent. */
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/coll.h"
#include "base/mem.h"
#include "grammar/proxy.h"
#include "settings/metrics.h"

#define ACCEPTS_PER_TURN 64  /* then those who are connected get their turn */
#define ACCEPT_PAUSE_MS  100 /* when the kernel has no memory for another socket */
#define PROXY_OPTIONAL_MS                                                                                    \
    200                         /* how long a trusted peer may keep us waiting for a header it need not send \
                                 */
#define TRIM_AFTER_MS      5000 /* handshakes and logins leave holes in the heap: their pages go back */
#define PREAMBLE_INPUT_MAX (PROXY_V2_MAX + 16384)

struct listener {
    struct loop *loop;
    int fd;
    int reserve; /* given up for a moment when descriptors run out */
    uint32_t index;
    const struct settings *settings;
    const struct settings_listener *mine;
    struct tls_context *tls;
    struct loop_watch *watch;
    struct loop_timer *pause, *trim;
    bool trim_armed;
    struct list preambles;
    size_t waiting; /* of them */
    const struct listener_ops *ops;
    void *ctx;
};

/* A connection which is not at its first protocol byte yet. */
struct preamble {
    struct list node;
    struct listener *listener;
    struct stream *stream;
    struct loop_timer *patience; /* proxy: optional */
    bool header_due, from_proxy;
    struct listener_arrival arrival;
};

static void preamble_free(struct preamble *p)
{
    list_remove(&p->node);
    p->listener->waiting--;
    loop_timer_free(&p->patience);
    stream_free(&p->stream);
    free(p);
}

/* The connection ends here. Probes are only counted. */
static void give_up(struct preamble *p, enum listener_loss loss, const char *text)
{
    struct listener *l = p->listener;
    bool silent = stream_was_silent(p->stream) && loss != LISTENER_UNTRUSTED;
    if (silent)
        metric_inc(METRIC_HEALTH_CHECKS);
    else if (!p->arrival.probe && l->ops->lost)
        l->ops->lost(l->ctx, &p->arrival, stream_client(p->stream), loss, text);
    preamble_free(p);
}

static void arrived(struct preamble *p)
{
    struct listener *l = p->listener;
    struct stream *stream = p->stream;
    const struct listener_arrival arrival = p->arrival;
    stream_set_deadline(stream, 0);
    stream_set_input_max(stream, STREAM_INPUT_MAX);
    p->stream = NULL;
    preamble_free(p);
    l->ops->arrived(l->ctx, stream, &arrival);
}

static void turn_away(struct preamble *p, const char *text)
{
    if (p->arrival.settings->tls != SETTINGS_TLS_IMPLICIT) {
        stream_write(p->stream, slice_of(text));
        stream_set_brief(p->stream); /* a flood of them must not hold descriptors */
        stream_finish(&p->stream);
    }
    preamble_free(p);
}

/* Behind the header, or where none is expected. */
static void protocol_begins(struct preamble *p)
{
    struct listener *l = p->listener;
    p->header_due = false;
    loop_timer_free(&p->patience);
    p->arrival.trusted = settings_is_trusted(l->settings, stream_client(p->stream));
    stream_set_deadline(p->stream, 0);
    const char *refusal =
        l->ops->refusal && !p->arrival.probe ? l->ops->refusal(l->ctx, p->stream, &p->arrival) : NULL;
    if (refusal) {
        turn_away(p, refusal);
        return;
    }
    if (p->arrival.settings->tls == SETTINGS_TLS_IMPLICIT && l->tls)
        stream_begin_tls(p->stream, l->tls, l->settings->timeouts.handshake);
    else
        arrived(p);
}

static void header_read(struct preamble *p, const struct proxy_header *header)
{
    p->arrival.by_proxy = true;
    enum netaddr_family family = header->source.family;
    if (!header->local && (family == NETADDR_V4 || family == NETADDR_V6))
        stream_set_client(p->stream, &header->source);
    if (header->health_check) {
        p->arrival.probe = true;
        metric_inc(METRIC_HEALTH_CHECKS);
        metric_add(METRIC_PROXY_HEADERS, METRIC_PROXY_LOCAL, 1);
    } else {
        metric_add(METRIC_PROXY_HEADERS, header->version == 1 ? METRIC_PROXY_V1 : METRIC_PROXY_V2, 1);
    }
    protocol_begins(p);
}

static void bad_header(struct preamble *p, size_t kind, enum listener_loss loss, const char *text)
{
    metric_add(METRIC_PROXY_HEADERS, kind, 1);
    give_up(p, loss, text);
}

static void read_header(struct preamble *p)
{
    struct proxy_header header;
    struct why why = {""};
    size_t consumed = 0;
    switch (proxy_parse(stream_input(p->stream), &header, &consumed, &why)) {
    case PROXY_NEED_MORE:
        break;
    case PROXY_DONE:
        stream_consume(p->stream, consumed);
        header_read(p, &header);
        break;
    case PROXY_NOT_PROXY:
        if (p->arrival.settings->proxy == SETTINGS_PROXY_OPTIONAL)
            protocol_begins(p);
        else
            bad_header(p, METRIC_PROXY_BAD, LISTENER_NO_HEADER, "no PROXY header");
        break;
    case PROXY_BAD:
        bad_header(p, METRIC_PROXY_BAD, LISTENER_BAD_HEADER, why.text);
        break;
    }
}

static void on_readable(void *ctx, struct stream *stream)
{
    struct preamble *p = ctx;
    (void)stream;
    if (p->header_due)
        read_header(p);
}

static void on_secured(void *ctx, struct stream *stream)
{
    struct preamble *p = ctx;
    (void)stream;
    metric_add(METRIC_TLS_HANDSHAKES, METRIC_OK, 1);
    arrived(p);
}

static void on_ended(void *ctx, struct stream *stream, enum stream_end end)
{
    struct preamble *p = ctx;
    bool handshake = !p->header_due;
    if (p->header_due && end == STREAM_TIMEOUT)
        metric_add(METRIC_PROXY_HEADERS, METRIC_PROXY_TIMEOUT, 1);
    if (handshake && !p->arrival.probe && !stream_was_silent(stream))
        metric_add(METRIC_TLS_HANDSHAKES, METRIC_FAILED, 1);
    give_up(p, handshake ? LISTENER_TLS : LISTENER_NO_HEADER, stream_end_text(stream));
}

static const struct stream_ops preamble_ops = {
    .readable = on_readable, .secured = on_secured, .ended = on_ended};

/* ---- accepting ---- */

static struct netaddr address_of(const struct sockaddr_storage *from)
{
    const void *any = from;
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = any;
        return netaddr_v4((const uint8_t *)&in->sin_addr, ntohs(in->sin_port));
    }
    if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = any;
        return netaddr_v6(in6->sin6_addr.s6_addr, ntohs(in6->sin6_port));
    }
    return (struct netaddr){.family = from->ss_family == AF_UNIX ? NETADDR_UNIX : NETADDR_NONE};
}

/* Whoever may send a header and need not has said nothing so far: a direct client that waits for us. */
static void on_patience_over(void *arg)
{
    struct preamble *p = arg;
    if (stream_input(p->stream).len == 0)
        protocol_begins(p);
}

/* The address is the one accept() told: a peer that is gone already has none any more (getpeername() fails).
 */
static void begin(struct listener *l, int fd, const struct netaddr *peer)
{
    struct preamble *p = mem_zero(1, sizeof *p);
    p->listener = l;
    p->arrival = (struct listener_arrival){.index = l->index, .settings = l->mine, .peer = *peer};
    p->from_proxy = settings_is_proxy(l->settings, peer);
    p->stream = stream_new(l->loop, fd, peer, &preamble_ops, p);
    list_push_back(&l->preambles, &p->node);
    l->waiting++;
    enum settings_proxy proxy = l->mine->proxy;
    if (proxy == SETTINGS_PROXY_OFF || (proxy == SETTINGS_PROXY_OPTIONAL && !p->from_proxy)) {
        protocol_begins(p);
        return;
    }
    if (!p->from_proxy) {
        bad_header(p, METRIC_PROXY_UNTRUSTED, LISTENER_UNTRUSTED, "not in proxy_trusted_networks");
        return;
    }
    p->header_due = true;
    stream_set_input_max(p->stream, PREAMBLE_INPUT_MAX);
    stream_set_deadline(p->stream, l->settings->timeouts.proxy_header);
    if (proxy == SETTINGS_PROXY_OPTIONAL) {
        p->patience = loop_timer_new(l->loop, on_patience_over, p);
        loop_timer_set(p->patience, PROXY_OPTIONAL_MS);
    }
}

/* Out of descriptors: with the one in reserve the connection is taken and closed, so that the client knows
 * and the loop does not spin on a socket that stays ready. */
static void shed(struct listener *l)
{
    if (l->reserve < 0) {
        loop_watch_set(l->watch, 0);
        loop_timer_set(l->pause, ACCEPT_PAUSE_MS);
        return;
    }
    (void)close(l->reserve);
    int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        (void)close(fd);
    l->reserve = fcntl(l->fd, F_DUPFD_CLOEXEC, 0);
    metric_add(METRIC_CONNECTIONS_REFUSED, METRIC_REFUSED_FULL, 1);
}

/* False when there is nothing more to accept now. */
static bool accept_one(struct listener *l)
{
    struct sockaddr_storage from = {0};
    socklen_t len = sizeof from;
    int fd = accept4(l->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        const struct netaddr peer = address_of(&from);
        begin(l, fd, &peer);
        if (!l->trim_armed)
            loop_timer_set(l->trim, TRIM_AFTER_MS);
        l->trim_armed = true;
        return true;
    }
    switch (errno) {
    case EINTR:
    case ECONNABORTED: /* and what accept(2) lists as errors of the new socket */
    case EPROTO:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
        return true;
    case EMFILE:
    case ENFILE:
        shed(l);
        return l->reserve >= 0;
    case ENOMEM:
    case ENOBUFS:
        loop_watch_set(l->watch, 0);
        loop_timer_set(l->pause, ACCEPT_PAUSE_MS);
        return false;
    default:
        return false;
    }
}

static void on_connection(void *arg, unsigned events)
{
    struct listener *l = arg;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++)
        if (!accept_one(l))
            return;
}

/* 2,000 connections that came at once would keep 20 KB of freed memory each otherwise. */
static void on_trim(void *arg)
{
    struct listener *l = arg;
    l->trim_armed = false;
    (void)malloc_trim(0);
}

static void on_pause_over(void *arg)
{
    struct listener *l = arg;
    if (l->reserve < 0)
        l->reserve = fcntl(l->fd, F_DUPFD_CLOEXEC, 0);
    loop_watch_set(l->watch, LOOP_READ);
}

static void close_reserve(struct listener *l)
{
    if (l->reserve >= 0)
        (void)close(l->reserve);
    l->reserve = -1;
}

void listener_set_fd(struct listener *l, int fd)
{
    int on = 1;
    close_reserve(l);
    loop_watch_free(&l->watch);
    l->fd = fd;
    /* Inherited by accepted sockets: we write whole replies, waiting for more of them only costs time. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    l->reserve = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    l->watch = loop_watch_new(l->loop, fd, on_connection, l);
    loop_watch_set(l->watch, LOOP_READ);
}

struct listener *listener_new(struct loop *loop, int fd, uint32_t index, const struct settings *settings,
                              struct tls_context *tls, const struct listener_ops *ops, void *ctx)
{
    struct listener *l = mem_zero(1, sizeof *l);
    l->loop = loop;
    l->reserve = -1;
    l->ops = ops;
    l->ctx = ctx;
    list_init(&l->preambles);
    listener_update(l, index, settings, tls);
    l->pause = loop_timer_new(loop, on_pause_over, l);
    l->trim = loop_timer_new(loop, on_trim, l);
    listener_set_fd(l, fd);
    return l;
}

void listener_update(struct listener *l, uint32_t index, const struct settings *settings,
                     struct tls_context *tls)
{
    struct tls_context *old = l->tls;
    l->index = index;
    l->settings = settings;
    l->mine = &settings->listeners.items[index];
    l->tls = tls_context_ref(tls);
    tls_context_free(&old);
    LIST_EACH(&l->preambles, node)
    {
        struct preamble *p = CONTAINER_OF(node, struct preamble, node);
        p->arrival.index = index;
        p->arrival.settings = l->mine;
    }
}

size_t listener_waiting(const struct listener *l)
{
    return l->waiting;
}

void listener_free(struct listener **ref)
{
    struct listener *l = ref ? *ref : NULL;
    if (!l)
        return;
    *ref = NULL;
    while (!list_empty(&l->preambles))
        preamble_free(CONTAINER_OF(l->preambles.next, struct preamble, node));
    loop_watch_free(&l->watch);
    loop_timer_free(&l->pause);
    loop_timer_free(&l->trim);
    close_reserve(l);
    tls_context_free(&l->tls);
    free(l);
}
