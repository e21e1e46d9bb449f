/* routes.h: which way a recipient's mail takes: a configured relay, a line of a relay map, or the MXs of its
 * domain. Looked up by deliver.c when a message comes and when rows are read back; a route is named by a key
 * that stands in the rows.
 *
 * Precedence: a relay's `recipients`, a relay's `senders` (address, then domain), the relay maps by sender,
 * `relay:`, direct.
 */
#ifndef QUEUE_ROUTES_H
#define QUEUE_ROUTES_H

#include "queue/context.h"

#define ROUTES_LOCAL   "local"
#define ROUTES_TOLD    "told" /* delivered or relayed: nothing is sent any more but the news of it */
#define ROUTES_KEY_MAX 320    /* bytes of a key */

struct routes;

/* What a key says. */
struct route {
    uint32_t kind;     /* enum relay_route */
    uint32_t relay;    /* RELAY_ROUTE_RELAY: index for settings_relay_at() */
    struct slice name; /* of the relay; else empty */
    struct slice host; /* RELAY_ROUTE_DIRECT: domain or address literal; RELAY_ROUTE_MAP: host, no brackets */
    uint32_t port;     /* RELAY_ROUTE_MAP */
    bool no_mx;        /* RELAY_ROUTE_MAP: the host stood in brackets */
    uint32_t tls;      /* RELAY_ROUTE_MAP: enum settings_map_tls */
    bool reserved;     /* RELAY_ROUTE_RELAY: a sender for whom part of the quota is kept */
};

/* From the settings and relay map files in use (`next`: those of a reload). */
struct routes *routes_build(struct queue *q, bool next);
void routes_free(struct routes **routes);

/* The key of the way from `sender` to `recipient` (a remote address). Appends "relay:NAME",
 * "reserve:NAME", "map:[host]:587" or "direct:example.org". */
void routes_find(const struct routes *routes, struct slice sender, struct slice recipient, struct buf *key);
/* False: the key means nothing under these settings (a relay that is gone); look the recipient up again.
 * Slices of `route` point into the key or the settings. */
bool routes_read(const struct routes *routes, struct slice key, struct route *route) MUST_CHECK;
/* The relay that takes over from this route for this recipient. False: none. */
bool routes_next(const struct routes *routes, const struct route *route, struct slice sender,
                 struct slice recipient, struct buf *key) MUST_CHECK;

#endif
