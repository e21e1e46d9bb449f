/* gateways.h: the private addresses smtp has found to hide many clients (smtp/gateway.h), kept so that
 * `rockdove check` can ask the running server. */
#ifndef AUTH_GATEWAYS_H
#define AUTH_GATEWAYS_H

#include "base/buf.h"
#include "base/ipc.h"
#include "grammar/netaddr.h"
#include "settings/settings.h"

#define AUTH_GATEWAYS_MAX 64u /* then the one known the longest makes room */

struct auth_gateway {
    struct netaddr addr;
    uint32_t listener; /* index in settings when it was told */
    uint32_t names;
};

/* Zeroed: none. */
struct auth_gateways {
    struct auth_gateway items[AUTH_GATEWAYS_MAX];
    size_t count, next;
};

bool auth_gateways_have(const struct auth_gateways *gateways, const struct netaddr *addr);
/* WIRE_GATEWAY_SEEN. */
bool auth_gateways_on_seen(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
/* The answer to the command `gateways`: a JSON array of {"address", "listener", "names"}, or a line for each.
 */
void auth_gateways_print(const struct auth_gateways *gateways, const struct settings *settings, bool json,
                         struct buf *out);

#endif
