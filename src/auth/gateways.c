/* gateways.c: what smtp tells of private addresses that hide many clients, and the answer to who asks for
 * them. The message is smtp's, which strangers talk to: only addresses that are private are believed. Called
 * by role.c's dispatch and control.c. */
#include "auth/gateways.h"

#include "auth/context.h"

bool auth_gateways_have(const struct auth_gateways *gateways, const struct netaddr *addr)
{
    for (size_t i = 0; i < gateways->count; i++)
        if (netaddr_same_host(&gateways->items[i].addr, addr))
            return true;
    return false;
}

bool auth_gateways_on_seen(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct auth *auth = ctx;
    struct auth_gateways *gateways = &auth->gateways;
    const struct wire_gateway_seen *m = message;
    struct auth_gateway seen = {.listener = m->listener, .names = m->names};
    (void)link;
    (void)packet;
    if (m->client.len == 4)
        seen.addr = netaddr_v4(m->client.ptr, 0);
    else if (m->client.len == 16)
        seen.addr = netaddr_v6(m->client.ptr, 0);
    if (!netaddr_is_private(&seen.addr))
        return false;
    if (auth_gateways_have(gateways, &seen.addr))
        return true;
    if (gateways->count < AUTH_GATEWAYS_MAX)
        gateways->count++;
    gateways->items[gateways->next] = seen;
    gateways->next = (gateways->next + 1) % AUTH_GATEWAYS_MAX;
    return true;
}

void auth_gateways_print(const struct auth_gateways *gateways, const struct settings *settings, bool json,
                         struct buf *out)
{
    if (json)
        buf_add_byte(out, '[');
    for (size_t i = 0; i < gateways->count; i++) {
        const struct auth_gateway *g = &gateways->items[i];
        const struct netaddr_text text = netaddr_text(&g->addr);
        struct slice listener = g->listener < settings->listeners.count
                                    ? settings->listeners.items[g->listener].name
                                    : SLICE("?");
        if (json) {
            buf_addf(out, "%s{\"address\":\"%s\",\"names\":%u,\"listener\":", i ? "," : "", text.text,
                     g->names);
            buf_add_json_string(out, listener);
            buf_add_byte(out, '}');
        } else {
            buf_addf(out, "%s  listener %.*s, %u domains or more\n", text.text, SLICE_ARG(listener),
                     g->names);
        }
    }
    if (json)
        buf_add_str(out, "]\n");
}
