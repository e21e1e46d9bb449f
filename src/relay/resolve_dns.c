/* resolve_dns.c: questions to the dns role. Its answers are a stranger's zone data in checked packets. */
#include "relay/resolve_dns.h"

uint32_t resolve_dns_ask(struct ipc_link *dns, unsigned type, struct slice name, ipc_done *done, void *ctx)
{
    const struct wire_dns_query query = {.rrtype = type, .name = name};
    return wire_call(dns, WIRE_DNS_QUERY, &query, RESOLVE_DNS_MS, done, ctx);
}

void resolve_dns_read_in(struct arena *arena, enum err err, const struct ipc_packet *packet,
                         struct dns_reply *reply)
{
    struct wire_dns_answer answer;
    *reply = (struct dns_reply){.status = DNS_FAILED};
    if (wire_answer(err, packet, WIRE_DNS_ANSWER, &answer) || answer.status > DNS_BOGUS)
        return;
    *reply = (struct dns_reply){.status = (enum dns_status)answer.status,
                                .secure = answer.secure == 1,
                                .ttl = answer.ttl,
                                .canonical = answer.canonical};
    if (answer.status != DNS_OK)
        return;
    struct slice left = answer.records, record;
    size_t count = 0;
    while (count < RESOLVE_RECORDS_MAX && wire_strings_take(&left, &record))
        count++;
    reply->records = ARENA_ARRAY(arena, struct slice, count + 1);
    left = answer.records;
    while (reply->count < count && wire_strings_take(&left, &reply->records[reply->count]))
        reply->count++;
    if (reply->count == 0)
        reply->status = DNS_NODATA;
}

enum mx_dns resolve_dns_mx(const struct dns_reply *reply)
{
    static const enum mx_dns meaning[] = {
        [DNS_OK] = MX_DNS_OK,         [DNS_NODATA] = MX_DNS_NODATA, [DNS_NXDOMAIN] = MX_DNS_NXDOMAIN,
        [DNS_FAILED] = MX_DNS_FAILED, [DNS_BOGUS] = MX_DNS_FAILED,
    };
    return meaning[reply->status];
}

size_t resolve_dns_addresses(const struct dns_reply *reply, uint16_t port, struct netaddr *addresses,
                             size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < reply->count && count < max; i++) {
        if (reply->records[i].len == 4)
            addresses[count++] = netaddr_v4(reply->records[i].ptr, port);
        else if (reply->records[i].len == 16)
            addresses[count++] = netaddr_v6(reply->records[i].ptr, port);
    }
    return count;
}
