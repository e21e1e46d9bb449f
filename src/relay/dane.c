/* dane.c: TLSA records of a mail host, for a host whose addresses DNSSEC secured (RFC 7672 section 2.2).
 * Called by resolve_lookup.c. */
#include "relay/resolve_int.h"

#define REPLY_ARENA (256u << 10)

static bool ask(struct known_host *host, struct slice base);

static void done(struct known_host *host, enum err err, const struct ipc_packet *packet)
{
    AUTO_ARENA struct arena *scratch = arena_new(REPLY_ARENA);
    struct dns_reply reply;
    resolve_dns_read_in(scratch, err, packet, &reply);
    host->tlsa_request = 0;
    resolve_lookup_ttl(host->known, &reply);
    host->tlsa_failed = reply.status == DNS_FAILED || reply.status == DNS_BOGUS;
    if (reply.status == DNS_OK && reply.secure) {
        host->tlsa_base = host->tlsa_original ? host->mx.name : host->canonical;
        tlsa_set_read_in(host->known->arena, reply.records, reply.count, &host->tlsa);
    } else if (!host->tlsa_failed && !host->tlsa_original && !slice_eq(host->canonical, host->mx.name)) {
        /* Section 2.2.2: behind a CNAME nothing, but maybe in front of it. */
        host->tlsa_original = true;
        if (ask(host, host->mx.name))
            return;
    }
    resolve_lookup_host_done(host);
}

static void on_tlsa(void *ctx, enum err err, struct ipc_packet *packet)
{
    done(ctx, err, packet);
}

static bool ask(struct known_host *host, struct slice base)
{
    struct resolve *resolve = host->known->resolve;
    char name[TLSA_NAME_MAX + 1];
    size_t len;
    if (!tlsa_name((uint16_t)resolve->settings->direct.port, base, name, &len))
        return false;
    host->tlsa_request = resolve_dns_ask(resolve->dns, RR_TLSA, slice_make(name, len), on_tlsa, host);
    return true;
}

bool dane_begin(struct known_host *host)
{
    const struct known *known = host->known;
    bool chain = known->mx_secure || known->verdict == MX_IMPLICIT;
    if (known->key.ptr[0] != KNOWN_DIRECT || !known->resolve->settings->direct.dane || !chain ||
        !host->secure || host->insecure)
        return false;
    return ask(host, host->canonical);
}

void dane_cancel(struct known_host *host)
{
    ipc_cancel(host->known->resolve->dns, host->tlsa_request);
    host->tlsa_request = 0;
}
