/* resolve_lookup.c: all questions about one domain: MX, addresses of both families, TLSA. Each host goes its
 * own way; a family that does not answer does not hold up the other. Called by resolve.c. */
#include "base/mem.h"
#include "base/random.h"
#include "relay/resolve_int.h"

#define REPLY_ARENA (1u << 20)
#define ADDRESSES   (2 * MX_ADDRESSES_MAX)

static uint64_t draw(void *ctx, uint64_t bound)
{
    (void)ctx;
    return random_below(bound);
}

void resolve_lookup_ttl(struct known *known, const struct dns_reply *reply)
{
    bool failed = reply->status == DNS_FAILED || reply->status == DNS_BOGUS;
    uint32_t ttl = failed ? RESOLVE_TTL_FAILED_S : reply->ttl;
    if (ttl < known->ttl_s)
        known->ttl_s = ttl;
}

static void lookup_done(struct known *known)
{
    known->is_busy = false;
    list_remove(&known->busy);
    uint64_t ttl = known->ttl_s < RESOLVE_TTL_MIN_S ? RESOLVE_TTL_MIN_S : known->ttl_s;
    known->expires_ms = known->stale ? 0 : loop_now_ms(known->resolve->loop) + ttl * 1000;
    known->stale = false;
    resolve_known_ready(known);
}

void resolve_lookup_host_done(struct known_host *host)
{
    host->done = true;
    if (--host->known->left == 0)
        lookup_done(host->known);
}

/* ---- addresses ---- */

static void addresses_done(struct known_host *host)
{
    if (!dane_begin(host))
        resolve_lookup_host_done(host);
}

static void on_address(struct known_host *host, unsigned family, enum err err,
                       const struct ipc_packet *packet)
{
    AUTO_ARENA struct arena *scratch = arena_new(REPLY_ARENA);
    struct known *known = host->known;
    struct dns_reply reply;
    resolve_dns_read_in(scratch, err, packet, &reply);
    host->requests[family] = 0;
    host->answered[family] = true;
    resolve_lookup_ttl(known, &reply);
    host->failed |= resolve_dns_mx(&reply) == MX_DNS_FAILED;
    size_t added = resolve_dns_addresses(&reply, 0, host->addresses + host->address_count, MX_ADDRESSES_MAX);
    host->address_count += added;
    host->secure |= added && reply.secure;
    host->insecure |= added && !reply.secure;
    if (added && host->canonical.len == 0)
        host->canonical = arena_dup(known->arena, reply.canonical.len ? reply.canonical : host->mx.name);
    if (host->answered[0] && host->answered[1])
        addresses_done(host);
}

static void on_ipv6(void *ctx, enum err err, struct ipc_packet *packet)
{
    on_address(ctx, 0, err, packet);
}

static void on_ipv4(void *ctx, enum err err, struct ipc_packet *packet)
{
    on_address(ctx, 1, err, packet);
}

static void ask_addresses(struct known *known, const struct mx_host *hosts, size_t count)
{
    known->hosts = ARENA_ARRAY(known->arena, struct known_host, count);
    known->host_count = known->left = count;
    for (size_t i = 0; i < count; i++) {
        struct known_host *h = &known->hosts[i];
        *h = (struct known_host){.known = known,
                                 .mx = hosts[i],
                                 .addresses = ARENA_ARRAY(known->arena, struct netaddr, ADDRESSES)};
        h->requests[0] = resolve_dns_ask(known->resolve->dns, RR_AAAA, h->mx.name, on_ipv6, h);
        h->requests[1] = resolve_dns_ask(known->resolve->dns, RR_A, h->mx.name, on_ipv4, h);
    }
}

/* One family is there: the other had its time. */
void resolve_lookup_tick(struct known *known, uint64_t now_ms)
{
    if (now_ms - known->begun_ms < RESOLVE_PATIENCE_MS)
        return;
    for (size_t i = 0; i < known->host_count && known->is_busy; i++) {
        struct known_host *h = &known->hosts[i];
        if (h->done || h->address_count == 0 || (h->answered[0] && h->answered[1]))
            continue;
        for (unsigned family = 0; family < 2; family++) {
            ipc_cancel(known->resolve->dns, h->requests[family]);
            h->requests[family] = 0;
            h->answered[family] = true;
        }
        if (known->ttl_s > RESOLVE_TTL_FAILED_S)
            known->ttl_s = RESOLVE_TTL_FAILED_S;
        addresses_done(h);
    }
}

/* ---- MX ---- */

static void on_mx(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct known *known = ctx;
    AUTO_ARENA struct arena *scratch = arena_new(REPLY_ARENA);
    struct dns_reply reply;
    struct mx_list list;
    resolve_dns_read_in(scratch, err, packet, &reply);
    known->mx_request = 0;
    known->mx_secure = reply.secure;
    resolve_lookup_ttl(known, &reply);
    mx_list_read_in(known->arena, known->name, resolve_dns_mx(&reply), reply.records, reply.count, draw, NULL,
                    &list);
    known->verdict = list.verdict;
    known->begun_ms = loop_now_ms(known->resolve->loop);
    if (list.count)
        ask_addresses(known, list.hosts, list.count);
    else
        lookup_done(known);
}

void resolve_lookup_begin(struct known *known)
{
    struct resolve *resolve = known->resolve;
    if (known->arena)
        arena_reset(known->arena);
    else
        known->arena = arena_new(RESOLVE_ARENA);
    known->is_busy = true;
    known->host_count = 0;
    known->mx_secure = false;
    known->ttl_s = RESOLVE_TTL_MAX_S;
    known->begun_ms = loop_now_ms(resolve->loop);
    list_push_back(&resolve->busy, &known->busy);
    loop_timer_set(resolve->tick, RESOLVE_TICK_MS);
    if (known->key.ptr[0] == KNOWN_HOST) {
        const struct mx_host self = {.name = arena_dup(known->arena, known->name)};
        known->verdict = MX_IMPLICIT;
        ask_addresses(known, &self, 1);
        return;
    }
    known->mx_request = resolve_dns_ask(resolve->dns, RR_MX, known->name, on_mx, known);
}

void resolve_lookup_cancel(struct known *known)
{
    if (!known->is_busy)
        return;
    ipc_cancel(known->resolve->dns, known->mx_request);
    for (size_t i = 0; i < known->host_count; i++) {
        ipc_cancel(known->resolve->dns, known->hosts[i].requests[0]);
        ipc_cancel(known->resolve->dns, known->hosts[i].requests[1]);
        dane_cancel(&known->hosts[i]);
    }
    list_remove(&known->busy);
    known->is_busy = false;
}
