/* ptr.c: the client's name by reverse DNS, believed only when the name leads back to the address. Asked when
 * the client arrives and used if it is there by the time of MAIL; nobody waits for it. The answers are a
 * stranger's zone data: the dns role parsed the packets, names are checked again here. Called by session.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/domain.h"
#include "smtp/session.h"

#define RR_A         1
#define RR_PTR       12
#define RR_AAAA      28
#define PTR_NAME_MAX 96 /* "f.f.…ip6.arpa" has 72 characters */

struct smtp_ptr {
    struct smtp_session *session;
    uint32_t request;
    size_t name_len;
    char name[DOMAIN_MAX + 1];
};

void smtp_ptr_abandon(struct smtp_session *s)
{
    if (!s->ptr)
        return;
    ipc_cancel(s->smtp->dns, s->ptr->request);
    free(s->ptr);
    s->ptr = NULL;
}

/* RFC 1035 section 3.5, RFC 3596 section 2.5. */
static size_t reverse_name(const struct netaddr *a, char name[PTR_NAME_MAX])
{
    size_t len = 0;
    if (a->family == NETADDR_V4)
        return (size_t)snprintf(name, PTR_NAME_MAX, "%u.%u.%u.%u.in-addr.arpa", a->bytes[3], a->bytes[2],
                                a->bytes[1], a->bytes[0]);
    for (int i = 15; i >= 0; i--)
        len += (size_t)snprintf(name + len, PTR_NAME_MAX - len, "%x.%x.", a->bytes[i] & 15, a->bytes[i] >> 4);
    return len + (size_t)snprintf(name + len, PTR_NAME_MAX - len, "ip6.arpa");
}

/* A name in wire form (RFC 1035 section 3.1), uncompressed, as text; false when it is none a host could have.
 */
static bool name_text(struct slice wire, char text[DOMAIN_MAX + 1], size_t *len)
{
    size_t at = 0;
    uint8_t label;
    while (slice_take_u8(&wire, &label) && label) {
        struct slice bytes;
        if (!slice_take_bytes(&wire, label, &bytes) || at + label + 1 > DOMAIN_MAX)
            return false;
        if (at)
            text[at++] = '.';
        for (size_t i = 0; i < bytes.len; i++)
            text[at++] = (char)ascii_lower(bytes.ptr[i]);
    }
    *len = at;
    return at > 0 && domain_is_ldh(slice_make(text, at));
}

static bool leads_back(struct slice records, const struct netaddr *client)
{
    struct slice record;
    while (wire_strings_take(&records, &record)) {
        struct netaddr a;
        if (record.len == 4)
            a = netaddr_v4(record.ptr, 0);
        else if (record.len == 16)
            a = netaddr_v6(record.ptr, 0);
        else
            continue;
        if (netaddr_same_host(&a, client))
            return true;
    }
    return false;
}

static void on_address(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct smtp_ptr *ptr = ctx;
    struct smtp_session *s = ptr->session;
    struct wire_dns_answer answer;
    if (wire_answer(err, packet, WIRE_DNS_ANSWER, &answer) == ERR_OK && answer.status == DNS_OK &&
        leads_back(answer.records, stream_client(s->stream)))
        s->client_name = arena_dup(s->arena, slice_make(ptr->name, ptr->name_len));
    s->ptr = NULL;
    free(ptr);
}

static void ask(struct smtp_ptr *ptr, uint32_t rrtype, struct slice name, ipc_done *done)
{
    const struct wire_dns_query query = {.rrtype = rrtype, .name = name};
    ptr->request = wire_call(ptr->session->smtp->dns, WIRE_DNS_QUERY, &query, SMTP_DNS_MS, done, ptr);
}

static void on_name(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct smtp_ptr *ptr = ctx;
    struct smtp_session *s = ptr->session;
    struct wire_dns_answer answer;
    struct slice record;
    if (wire_answer(err, packet, WIRE_DNS_ANSWER, &answer) == ERR_OK && answer.status == DNS_OK &&
        wire_strings_take(&answer.records, &record) && name_text(record, ptr->name, &ptr->name_len)) {
        bool v4 = stream_client(s->stream)->family == NETADDR_V4;
        ask(ptr, v4 ? RR_A : RR_AAAA, slice_make(ptr->name, ptr->name_len), on_address);
        return;
    }
    s->ptr = NULL;
    free(ptr);
}

void smtp_ptr_begin(struct smtp_session *s)
{
    const struct netaddr *client = stream_client(s->stream);
    char name[PTR_NAME_MAX];
    if (s->probe || !s->smtp->dns || (client->family != NETADDR_V4 && client->family != NETADDR_V6) ||
        netaddr_is_private(client))
        return;
    s->ptr = mem_zero(1, sizeof *s->ptr);
    s->ptr->session = s;
    ask(s->ptr, RR_PTR, slice_make(name, reverse_name(client, name)), on_name);
}
