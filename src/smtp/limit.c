/* limit.c: how many sessions the role and one client may have open at once. Own clients and monitors
 * (trusted_networks, loopback, probes of a load balancer) are not counted per address. Called by session.c.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "smtp/session.h"

#define ADDRESS_KEY 17 /* family and bytes */

struct smtp_address {
    uint8_t key[ADDRESS_KEY];
    uint64_t sessions;
};

/* One client: an IPv4 address, or a /64 (netaddr_client). */
static void make_key(const struct netaddr *addr, uint8_t key[ADDRESS_KEY])
{
    const struct netaddr client = netaddr_client(addr);
    key[0] = (uint8_t)client.family;
    memcpy(key + 1, client.bytes, sizeof client.bytes);
}

static bool is_exempt(const struct smtp_session *s)
{
    return s->trusted || s->probe || netaddr_is_loopback(stream_client(s->stream));
}

/* False when the client has all it may have. */
static bool enter(struct smtp_session *s)
{
    struct smtp *smtp = s->smtp;
    uint8_t key[ADDRESS_KEY];
    make_key(stream_client(s->stream), key);
    struct smtp_address *address = map_get(smtp->addresses, slice_make(key, sizeof key));
    if (address && address->sessions >= smtp->settings->limits.sessions_per_address)
        return false;
    if (!address) {
        address = mem_zero(1, sizeof *address);
        memcpy(address->key, key, sizeof key);
        if (!map_put(smtp->addresses, slice_make(address->key, sizeof address->key), address)) {
            free(address);
            return false;
        }
    }
    address->sessions++;
    s->address = address;
    return true;
}

const char *smtp_limit_arrival(struct smtp_session *s)
{
    struct smtp *smtp = s->smtp;
    if (smtp->service.draining || (s->probe && smtp->service.leaving)) {
        metric_add(METRIC_CONNECTIONS_REFUSED, METRIC_REFUSED_DRAINING, 1);
        return "Going down, come back soon";
    }
    if (smtp->service.session_count > smtp->settings->limits.smtp_sessions && !s->probe) {
        metric_add(METRIC_CONNECTIONS_REFUSED, METRIC_REFUSED_FULL, 1);
        return "Too many connections";
    }
    if (!is_exempt(s) && !enter(s)) {
        metric_add(METRIC_CONNECTIONS_REFUSED, METRIC_REFUSED_ADDRESS, 1);
        return "Too many connections from your address";
    }
    return NULL;
}

void smtp_limit_leave(struct smtp_session *s)
{
    struct smtp_address *address = s->address;
    s->address = NULL;
    if (!address || --address->sessions > 0)
        return;
    (void)map_remove(s->smtp->addresses, slice_make(address->key, sizeof address->key));
    free(address);
}
