/* gateway.c: recognises private addresses that hide many clients. Reads the names strangers give themselves;
 * keeps only keyed hashes of them, in a table of fixed size. Called by the commands EHLO and HELO, and by
 * role.c. */
#include "smtp/gateway.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/random.h"
#include "grammar/domain.h"
#include "smtp/session.h"

#define WINDOW_MS (24u * 3600 * 1000) /* domains seen longer ago than this do not add up */

struct watched {
    struct netaddr addr; /* family NETADDR_NONE: free */
    uint64_t since_ms, used_ms;
    uint32_t listener; /* index in settings where the last of the domains was said */
    uint32_t count;
    uint64_t domains[SMTP_GATEWAY_DOMAINS];
};

struct smtp_gateways {
    struct hash_key key;
    struct watched items[SMTP_GATEWAY_ADDRESSES];
};

struct smtp_gateways *smtp_gateways_new(void)
{
    struct smtp_gateways *gateways = mem_zero(1, sizeof *gateways);
    random_fill(&gateways->key, sizeof gateways->key);
    return gateways;
}

void smtp_gateways_free(struct smtp_gateways **ref)
{
    free(*ref);
    *ref = NULL;
}

/* ---- the domain of a name ---- */

static bool takes_label(struct slice name, size_t from, struct slice *label)
{
    size_t at = from;
    while (at > 0 && name.ptr[at - 1] != '.')
        at--;
    *label = slice_make(name.ptr + at, from - at);
    return label->len > 0;
}

/* Names that networks give their own hosts: those behind one address are no gateway's (RFC 6761, 6762, 8375,
 * and habits). */
static bool is_inside(struct slice top)
{
    static const char *const tops[] = {"local", "localdomain", "localhost", "internal", "lan",
                                       "home",  "intranet",    "corp",      "arpa"};
    for (size_t i = 0; i < ARRAY_LEN(tops); i++)
        if (slice_ieq(top, slice_of(tops[i])))
            return true;
    return false;
}

/* "mx1.example.org" and "mx2.example.org" are one: the last two labels, three where these are as short as in
 * "co.uk". False for what is no domain of the world: one label, an address literal, names of the inside. */
static bool domain_of(struct slice helo, struct slice *domain)
{
    struct slice top, second, third;
    struct netaddr addr;
    if (!domain_is_host(helo) || netaddr_parse(helo, &addr) || !takes_label(helo, helo.len, &top) ||
        is_inside(top) || top.len + 1 >= helo.len)
        return false;
    size_t at = helo.len - top.len - 1;
    if (!takes_label(helo, at, &second))
        return false;
    size_t len = top.len + 1 + second.len;
    if (top.len == 2 && second.len <= 3 && len + 1 < helo.len &&
        takes_label(helo, helo.len - len - 1, &third))
        len += 1 + third.len;
    *domain = slice_from(helo, helo.len - len);
    return true;
}

static uint64_t hash_domain(const struct smtp_gateways *gateways, struct slice domain)
{
    uint8_t lower[DOMAIN_MAX];
    for (size_t i = 0; i < domain.len; i++)
        lower[i] = ascii_lower(domain.ptr[i]);
    return hash_sip(&gateways->key, slice_make(lower, domain.len));
}

/* ---- the table ---- */

static bool is_gateway(const struct watched *w)
{
    return w->count == SMTP_GATEWAY_DOMAINS;
}

/* Its place, or NULL. */
static struct watched *find(const struct smtp_gateways *gateways, const struct netaddr *addr)
{
    for (size_t i = 0; i < SMTP_GATEWAY_ADDRESSES; i++)
        if (netaddr_same_host(&gateways->items[i].addr, addr))
            return (struct watched *)(uintptr_t)&gateways->items[i];
    return NULL;
}

/* A free place, or that of the address unused the longest; gateways go last. */
static struct watched *take_place(struct smtp_gateways *gateways)
{
    struct watched *worst = &gateways->items[0];
    for (size_t i = 0; i < SMTP_GATEWAY_ADDRESSES; i++) {
        struct watched *w = &gateways->items[i];
        if (w->addr.family == NETADDR_NONE)
            return w;
        if (is_gateway(w) != is_gateway(worst) ? is_gateway(worst) : w->used_ms < worst->used_ms)
            worst = w;
    }
    return worst;
}

static bool knows(const struct watched *w, uint64_t domain)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->domains[i] == domain)
            return true;
    return false;
}

bool smtp_gateways_note(struct smtp_gateways *gateways, const struct netaddr *addr, struct slice helo,
                        uint32_t listener, uint64_t now_ms)
{
    struct slice domain;
    if ((addr->family != NETADDR_V4 && addr->family != NETADDR_V6) || !domain_of(helo, &domain))
        return false;
    struct watched *w = find(gateways, addr);
    if (!w || (!is_gateway(w) && now_ms - w->since_ms > WINDOW_MS)) {
        w = w ? w : take_place(gateways);
        *w = (struct watched){.addr = *addr, .since_ms = now_ms};
        w->addr.port = 0;
    }
    w->used_ms = now_ms;
    uint64_t hash = hash_domain(gateways, domain);
    if (is_gateway(w) || knows(w, hash))
        return false;
    w->domains[w->count++] = hash;
    w->listener = listener;
    return is_gateway(w);
}

bool smtp_gateways_have(const struct smtp_gateways *gateways, const struct netaddr *addr)
{
    const struct watched *w = gateways && netaddr_is_private(addr) ? find(gateways, addr) : NULL;
    return w && is_gateway(w);
}

/* ---- the role ---- */

bool smtp_gateway_is(const struct smtp *smtp, const struct netaddr *addr)
{
    return smtp_gateways_have(smtp->gateways, addr);
}

static void tell(const struct smtp *smtp, const struct watched *w)
{
    const struct wire_gateway_seen seen = {
        .names = w->count,
        .listener = w->listener,
        .client = slice_make(w->addr.bytes, w->addr.family == NETADDR_V4 ? 4 : 16)};
    enum err ignored = smtp->auth ? wire_send(smtp->auth, WIRE_GATEWAY_SEEN, &seen) : ERR_OK;
    (void)ignored; /* an auth that starts anew is told again */
}

void smtp_gateway_tell(const struct smtp *smtp)
{
    for (size_t i = 0; smtp->gateways && i < SMTP_GATEWAY_ADDRESSES; i++)
        if (is_gateway(&smtp->gateways->items[i]))
            tell(smtp, &smtp->gateways->items[i]);
}

void smtp_gateway_greeted(struct smtp_session *s)
{
    struct smtp *smtp = s->smtp;
    const struct netaddr *client = stream_client(s->stream);
    if (s->trusted || s->probe || s->from_proxy || s->port->settings.service != SETTINGS_MX ||
        netaddr_is_loopback(client) || !netaddr_is_private(client) || !smtp->gateways ||
        !smtp_gateways_note(smtp->gateways, client, s->helo, s->port->index, loop_now_ms(smtp->loop)))
        return;
    tell(smtp, find(smtp->gateways, client));
    log_warn("smtp.gateway", LOG_CSTR("client", s->client.text), LOG_STR("listener", s->port->settings.name),
             LOG_U64("domains", SMTP_GATEWAY_DOMAINS),
             LOG_CSTR("what",
                      "many different servers greet from this private address: something hides theirs. "
                      "Their mail is not judged by address"));
}
