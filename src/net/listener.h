/* listener.h: accepts on the listening sockets of a role's services: PROXY header, implicit TLS, quiet health
 * checks. The owner gets a stream whose client address is the true one, ready for its first protocol byte. */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "net/stream.h"
#include "settings/settings.h"

struct listener;

/* Where a new connection came in. */
struct listener_arrival {
    uint32_t index; /* in settings->listeners */
    const struct settings_listener *settings;
    bool trusted;        /* client in trusted_networks */
    bool probe;          /* LOCAL header: a load balancer's own connection; no limits, no warnings */
    bool by_proxy;       /* a PROXY header was read */
    struct netaddr peer; /* who really connected: the client, or the proxy */
};

/* Why a connection never arrived. */
enum listener_loss {
    LISTENER_NO_HEADER, /* no (whole) PROXY header within the time */
    LISTENER_BAD_HEADER,
    LISTENER_UNTRUSTED, /* the peer may not send a PROXY header */
    LISTENER_TLS        /* the handshake failed */
};

struct listener_ops {
    /* May this one come in? Asked once its true address is known, before TLS; not where the arrival is a
     * probe. NULL: yes. Otherwise it is closed, and told this first (constant; may be empty) where the server
     * speaks first and in the clear. May be NULL. */
    const char *(*refusal)(void *ctx, struct stream *stream, const struct listener_arrival *arrival);
    /* A connection is ready (TLS done where implicit). The owner sets its callbacks with stream_set_owner().
     */
    void (*arrived)(void *ctx, struct stream *stream, const struct listener_arrival *arrival);
    /* A connection ended before that; for one line in the log. Not called for health checks: LOCAL headers
     * and connections without a byte are only counted (METRIC_HEALTH_CHECKS). May be NULL. */
    void (*lost)(void *ctx, const struct listener_arrival *arrival, const struct netaddr *client,
                 enum listener_loss loss, const char *text);
};

/* Accepts on `fd` (stays the caller's). `tls` may be NULL where the settings say tls: none; it is referenced.
 */
struct listener *listener_new(struct loop *loop, int fd, uint32_t index, const struct settings *settings,
                              struct tls_context *tls, const struct listener_ops *ops, void *ctx)
    __attribute__((returns_nonnull));
/* New settings or certificates for connections from now on; those in their preamble go on. */
void listener_update(struct listener *listener, uint32_t index, const struct settings *settings,
                     struct tls_context *tls);
/* After a reload: the same address under another descriptor. */
void listener_set_fd(struct listener *listener, int fd);
/* Connections in their preamble. */
size_t listener_waiting(const struct listener *listener);
/* Stops accepting; connections in their preamble are closed. Clears the pointer; takes NULL. */
void listener_free(struct listener **listener);

#endif
