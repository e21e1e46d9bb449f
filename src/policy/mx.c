/* mx.c: the hosts that take mail for a domain. Reads a stranger's zone data; called by relay/resolve.c. */
#include "policy/mx.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/coll.h"
#include "grammar/domain.h"
#include "policy/rdata.h"

/* ---- the MX answer ---- */

/* A host while the list is made: `at` is its place after the draw. */
struct drawn {
    struct mx_host host;
    size_t at;
};

static int by_preference(const void *a, const void *b)
{
    const struct drawn *x = a, *y = b;
    if (x->host.preference != y->host.preference)
        return x->host.preference < y->host.preference ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static void draw_order(struct drawn *rows, size_t count, mx_random *draw, void *ctx)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)draw(ctx, i);
        struct drawn kept = rows[i - 1];
        rows[i - 1] = rows[j];
        rows[j] = kept;
    }
    for (size_t i = 0; i < count; i++)
        rows[i].at = i;
    if (count > 1)
        qsort(rows, count, sizeof *rows, by_preference);
}

/* PREFERENCE EXCHANGE (RFC 1035 section 3.3.9) */
static bool read_mx(struct slice rdata, uint16_t *preference, struct rdata_name *name)
{
    uint8_t high, low;
    if (!slice_take_u8(&rdata, &high) || !slice_take_u8(&rdata, &low) || !rdata_name_read(rdata, name))
        return false;
    *preference = (uint16_t)(high << 8 | low);
    return true;
}

/* A name a mail host can have: no address as text, which some put there. */
static bool is_host_name(struct slice name)
{
    struct netaddr addr;
    return domain_is_host(name) && !netaddr_parse(name, &addr);
}

/* Sorted, so the first of a name is its best. Stops at the bound. */
static size_t keep_best(struct arena *arena, const struct drawn *rows, size_t count, struct mx_host *hosts)
{
    size_t kept = 0;
    for (size_t i = 0; i < count && kept < MX_HOSTS_MAX; i++) {
        bool again = false;
        for (size_t k = 0; k < kept; k++)
            again |= slice_eq(hosts[k].name, rows[i].host.name);
        if (!again)
            hosts[kept++] = (struct mx_host){.preference = rows[i].host.preference,
                                             .name = arena_dup(arena, rows[i].host.name)};
    }
    return kept;
}

static void read_records(struct arena *arena, const struct slice *records, size_t count, mx_random *draw,
                         void *ctx, struct mx_list *list)
{
    AUTO_ARENA struct arena *scratch = arena_new(MX_ANSWERS_MAX * (sizeof(struct drawn) + 512u));
    struct drawn *rows = ARENA_ARRAY(scratch, struct drawn, MX_ANSWERS_MAX);
    size_t found = 0, roots = 0;
    for (size_t i = 0; i < count && i < MX_ANSWERS_MAX; i++) {
        struct rdata_name name;
        uint16_t preference;
        if (!read_mx(records[i], &preference, &name))
            continue;
        struct slice text = slice_make(name.text, name.len);
        roots += name.len == 0;
        if (is_host_name(text))
            rows[found++] =
                (struct drawn){.host = {.preference = preference, .name = arena_dup(scratch, text)}};
    }
    /* RFC 7505 section 3: a null MX stands alone; beside others it is not one. */
    list->verdict = found ? MX_HOSTS : roots && roots == count ? MX_NULL : MX_MALFORMED;
    draw_order(rows, found, draw, ctx);
    list->hosts = ARENA_ARRAY(arena, struct mx_host, MX_HOSTS_MAX);
    list->count = keep_best(arena, rows, found, list->hosts);
}

void mx_list_read_in(struct arena *arena, struct slice domain, enum mx_dns dns, const struct slice *records,
                     size_t count, mx_random *draw, void *ctx, struct mx_list *list)
{
    *list = (struct mx_list){.verdict = MX_LATER};
    if (dns == MX_DNS_NXDOMAIN)
        list->verdict = MX_NO_DOMAIN;
    if (dns == MX_DNS_NXDOMAIN || dns == MX_DNS_FAILED)
        return;
    if (dns == MX_DNS_OK && count) {
        read_records(arena, records, count, draw, ctx, list);
        return;
    }
    list->verdict = MX_IMPLICIT;
    list->hosts = ARENA_NEW(arena, struct mx_host);
    list->hosts[0].name = arena_dup(arena, domain);
    list->count = 1;
}

void mx_list_shuffle(struct mx_host *hosts, size_t count, mx_random *draw, void *ctx)
{
    struct drawn rows[MX_HOSTS_MAX];
    if (count > MX_HOSTS_MAX)
        count = MX_HOSTS_MAX;
    for (size_t i = 0; i < count; i++)
        rows[i] = (struct drawn){.host = hosts[i]};
    draw_order(rows, count, draw, ctx);
    for (size_t i = 0; i < count; i++)
        hosts[i] = rows[i].host;
}

/* ---- addresses ---- */

/* IANA's special-purpose registries (RFC 6890): what no mail server of another is reached at. */
static const struct flaw {
    const char *network, *name;
} flaws[] = {
    {"127.0.0.0/8", "loopback"},
    {"::1", "loopback"},
    {"0.0.0.0/8", "unspecified"},
    {"::", "unspecified"},
    {"10.0.0.0/8", "private"},
    {"172.16.0.0/12", "private"},
    {"192.168.0.0/16", "private"},
    {"fc00::/7", "private"},
    {"100.64.0.0/10", "private"},
    {"169.254.0.0/16", "link-local"},
    {"fe80::/10", "link-local"},
    {"224.0.0.0/4", "multicast"},
    {"ff00::/8", "multicast"},
    {"240.0.0.0/4", "reserved"},
    {"192.0.2.0/24", "documentation"},
    {"198.51.100.0/24", "documentation"},
    {"203.0.113.0/24", "documentation"},
    {"2001:db8::/32", "documentation"},
    {"fec0::/10", "private"},
    {"100::/64", "discarding"},
    {"198.18.0.0/15", "benchmarking"},
};

const char *mx_address_flaw(const struct netaddr *addr)
{
    if (addr->family != NETADDR_V4 && addr->family != NETADDR_V6)
        return "unknown";
    for (size_t i = 0; i < ARRAY_LEN(flaws); i++) {
        struct netaddr_network network;
        if (netaddr_network_parse(slice_of(flaws[i].network), &network) &&
            netaddr_network_has(&network, addr))
            return flaws[i].name;
    }
    return NULL;
}

size_t mx_addresses_interleave(struct netaddr *addresses, size_t count)
{
    struct netaddr six[MX_ADDRESSES_MAX], four[MX_ADDRESSES_MAX];
    size_t sixes = 0, fours = 0, out = 0;
    for (size_t i = 0; i < count; i++) {
        if (addresses[i].family == NETADDR_V6 && sixes < MX_ADDRESSES_MAX)
            six[sixes++] = addresses[i];
        if (addresses[i].family == NETADDR_V4 && fours < MX_ADDRESSES_MAX)
            four[fours++] = addresses[i];
    }
    for (size_t i = 0; i < sixes || i < fours; i++) {
        if (i < sixes)
            addresses[out++] = six[i];
        if (i < fours)
            addresses[out++] = four[i];
    }
    return out;
}

static bool is_ours(const struct mx_found *found, const struct mx_self *self)
{
    for (size_t i = 0; i < self->name_count; i++)
        if (slice_ieq(self->names[i], found->host.name))
            return true;
    for (size_t i = 0; i < self->address_count; i++)
        for (size_t a = 0; a < found->count; a++)
            if (netaddr_same_host(&self->addresses[i], &found->addresses[a]))
                return true;
    return false;
}

/* Takes out addresses that are not to be tried; `*flaw` and `*example` say the first found. */
static void drop_flawed(struct mx_found *found, const struct mx_self *self, const char **flaw,
                        struct netaddr *example)
{
    size_t kept = 0;
    for (size_t i = 0; i < found->count; i++) {
        const struct netaddr *addr = &found->addresses[i];
        const char *wrong = mx_address_flaw(addr);
        if (wrong && self->is_allowed && self->is_allowed(self->ctx, addr))
            wrong = NULL;
        if (wrong && !*flaw) {
            *flaw = wrong;
            *example = *addr;
        }
        if (!wrong)
            found->addresses[kept++] = *addr;
    }
    found->count = mx_addresses_interleave(found->addresses, kept);
}

/* Hosts before our own; all when none is ours. */
static size_t before_ours(const struct mx_found *hosts, size_t count, const struct mx_self *self)
{
    uint32_t limit = UINT32_MAX;
    for (size_t i = 0; i < count; i++)
        if (is_ours(&hosts[i], self) && hosts[i].host.preference < limit)
            limit = hosts[i].host.preference;
    size_t kept = 0;
    while (kept < count && hosts[kept].host.preference < limit)
        kept++;
    return kept;
}

/* The domain for a text: it came from an address that was parsed, but is shown to people. */
static struct slice shown_in(struct arena *arena, struct slice domain)
{
    uint8_t *copy = arena_must(arena, domain.len + 1);
    for (size_t i = 0; i < domain.len; i++)
        copy[i] = ascii_is_print(domain.ptr[i]) ? domain.ptr[i] : '?';
    return slice_make(copy, domain.len < DOMAIN_MAX ? domain.len : DOMAIN_MAX);
}

static struct mx_result refusal(struct arena *arena, enum mx_choice choice, const char *enhanced,
                                const char *format, struct slice domain)
{
    struct slice shown = shown_in(arena, domain), rest = slice_of(format);
    ptrdiff_t at = slice_find(rest, '@'); /* where the domain goes */
    struct slice text = arena_printf(arena, "%.*s%.*s%.*s", SLICE_ARG(slice_sub(rest, 0, (size_t)at)),
                                     SLICE_ARG(shown), SLICE_ARG(slice_from(rest, (size_t)at + 1)));
    return (struct mx_result){.choice = choice, .enhanced = enhanced, .text = text};
}

struct mx_result mx_refuse(struct arena *arena, struct slice domain, enum mx_verdict verdict)
{
    static const struct {
        enum mx_choice choice;
        const char *enhanced, *text;
    } rows[] = {
        [MX_HOSTS] = {MX_PERMANENT, "5.4.4", "no mail host of the domain @ can be used"},
        [MX_IMPLICIT] = {MX_PERMANENT, "5.4.4", "no mail host of the domain @ can be used"},
        [MX_NULL] = {MX_PERMANENT, "5.1.10",
                     "the domain @ takes no mail (null MX)"}, /* RFC 7505 section 4.2 */
        [MX_NO_DOMAIN] = {MX_PERMANENT, "5.1.2", "the domain @ does not exist"},
        [MX_MALFORMED] = {MX_PERMANENT, "5.4.4", "the MX records of the domain @ name no mail host"},
        [MX_LATER] = {MX_TEMPORARY, "4.4.3", "DNS gave no answer about the mail hosts of the domain @"},
    };
    return refusal(arena, rows[verdict].choice, rows[verdict].enhanced, rows[verdict].text, domain);
}

/* Why nothing is left. */
static struct mx_result nothing_left(struct arena *arena, struct slice domain, bool ours, bool later,
                                     const char *flaw, const struct netaddr *example)
{
    if (later)
        return refusal(arena, MX_TEMPORARY, "4.4.3",
                       "DNS gave no answer about the addresses of the mail hosts of the domain @", domain);
    if (flaw) {
        struct mx_result r = refusal(arena, MX_PERMANENT, "5.4.4",
                                     "the mail hosts of the domain @ have no public address", domain);
        r.text = arena_printf(arena, "%.*s: %s is a %s address", SLICE_ARG(r.text),
                              netaddr_text(example).text, flaw);
        return r;
    }
    if (ours)
        return refusal(arena, MX_PERMANENT, "5.4.6",
                       "mail for the domain @ loops back to this server: its MX records lead here, but it is "
                       "not one of our domains",
                       domain);
    return refusal(arena, MX_PERMANENT, "5.4.4", "the mail hosts of the domain @ have no address", domain);
}

struct mx_result mx_choose(struct arena *arena, struct slice domain, struct mx_found *hosts, size_t count,
                           const struct mx_self *self)
{
    size_t before = before_ours(hosts, count, self), kept = 0;
    bool later = false;
    const char *flaw = NULL;
    struct netaddr example = {0};
    for (size_t i = 0; i < before; i++) {
        drop_flawed(&hosts[i], self, &flaw, &example);
        later |= hosts[i].count == 0 && hosts[i].dns == MX_DNS_FAILED;
        if (hosts[i].count)
            hosts[kept++] = hosts[i];
    }
    if (kept == 0)
        return nothing_left(arena, domain, before < count, later, flaw, &example);
    return (struct mx_result){.choice = MX_CHOSEN, .count = kept};
}
