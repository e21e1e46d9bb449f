/* service.h: what all roles which accept connections have in common: their listeners, known by name so that a
 * reload disturbs nobody, the certificates, the sessions, and the drain that waits for these.
 *
 * A role embeds one struct service in its context and passes what the supervisor tells it on: load() to
 * service_load(), start() to service_open(), and so on. What a session is stays the role's.
 */
#ifndef NET_SERVICE_H
#define NET_SERVICE_H

#include "base/coll.h"
#include "net/limits.h"
#include "net/listener.h"
#include "net/security.h"
#include "role/role.h"

/* A listener's settings in a form that outlives a reload, for sessions that keep what they arrived with:
 * whoever keeps it counts `refs` up. */
struct service_port {
    unsigned refs;
    uint32_t index;                    /* in settings->listeners when it was opened */
    struct settings_listener settings; /* of its texts only the name */
    uint64_t strangers;                /* connected there now, also those of before a reload */
    struct service_port *next;         /* the one a reload put into its place, or NULL */
};

#define SERVICE_SET(service) (1u << (service))

struct service_ops {
    uint32_t services; /* SERVICE_SET() of each enum settings_service whose listeners are this role's */
    /* As in struct listener_ops; `port` is the caller's. */
    void (*arrived)(void *ctx, struct stream *stream, const struct listener_arrival *arrival,
                    struct service_port *port);
    /* As in struct listener_ops. May be NULL. */
    void (*lost)(void *ctx, const struct listener_arrival *arrival, const struct netaddr *client,
                 enum listener_loss loss, const char *text);
    /* Behind this private address stand many clients that cannot be told apart: no limit of an address holds
     * for it. May be NULL: there are none. */
    bool (*is_gateway)(void *ctx, const struct netaddr *client);
    /* The role drains: end the sessions that do nothing just now, or (`over`: their time is up) all. Called
     * once each. NULL: a drain waits for no session. */
    void (*send_away)(void *ctx, bool over);
};

struct service_door;
struct ban_list;

struct service {
    struct loop *loop;
    struct role_run *run;      /* NULL in unit tests: nobody is told then */
    struct tls_context *tls;   /* for the next handshake; NULL where no listener of ours does TLS */
    struct security *security; /* what strangers do that they should not */
    struct list sessions;      /* what service_enter() was given */
    size_t session_count;
    bool leaving; /* a drain is announced: to a load balancer's checks only (arrival->probe) */
    bool draining;
    struct limits *limits; /* of addresses, accounts, domains: connections here, the rest by the role */
    /* service.c's and admission.c's own */
    const struct settings *settings; /* NULL in unit tests */
    struct ban_list *bans;
    struct map *networks; /* connections of each (struct network) */
    const struct service_ops *ops;
    void *ctx;
    struct tls_context *next_tls;
    struct service_door *doors; /* one for each of settings->listeners; empty where it is not ours */
    size_t door_count;
    bool drained;
    struct loop_timer *drain_timer, *notice_timer;
    uint64_t probed_ms; /* when a load balancer looked last; 0: never */
};

/* Without a role, listeners and certificates: for tests, and before service_load(). `ops` is kept. */
void service_init(struct service *service, struct loop *loop, const struct service_ops *ops, void *ctx);
/* For the role's load(): reads the certificates handed in, where a listener of ours does TLS (keys stay out
 * of a role without use for them). ERR_BAD when one is missing or does not fit its key; `why` begins with its
 * path. */
enum err service_load(struct service *service, struct role_run *run, struct why *why) MUST_CHECK;
/* Accepts on all listeners of ours. For start(). */
void service_open(struct service *service);

/* For the phases of a reload. A commit keeps a listener that goes by the same name, with the connections in
 * their preamble; sessions keep their port. While draining nothing is opened again. */
enum err service_prepare(struct service *service, struct why *why) MUST_CHECK;
void service_commit(struct service *service);
void service_abort(struct service *service);

/* Handles WIRE_BAN_LIST: for the role's dispatch. */
bool service_take_bans(struct service *service, struct ipc_packet *packet) MUST_CHECK;
/* No limit of an address holds for this client: own networks, load balancers, this machine, gateways. */
bool service_is_exempt(const struct service *service, const struct netaddr *client);

/* A session begins, ends (its struct is still there). The end of the last one ends a drain. */
void service_enter(struct service *service, struct list *node);
void service_leave(struct service *service, struct list *node);

/* Stops accepting and sends the sessions away; role_drained() follows once all have left, those that are
 * still there after `ms` are asked again. Where a load balancer looks at us, timeouts.drain_notice passes
 * first: `leaving`, in which its checks are to fail and everybody else is served as before. */
void service_drain(struct service *service, uint64_t ms);
/* Closes the listeners, forgets certificates and drain. Before the role frees its sessions, which may leave
 * afterwards. */
void service_free(struct service *service);

/* A port with one reference, copied from the settings. */
struct service_port *service_port_new(const struct settings_listener *settings, uint32_t index)
    __attribute__((returns_nonnull));
/* Drops one reference. Clears the pointer; takes NULL. */
void service_port_free(struct service_port **port);

#endif
