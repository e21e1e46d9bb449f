/* netaddr.c: network addresses and networks as text and bytes. Takes text from configuration, SMTP and PROXY
 * headers; trusts none. */
#include "grammar/netaddr.h"

#include <stdio.h>
#include <string.h>

#define V6_GROUPS 8

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct netaddr netaddr_v4(const uint8_t bytes[4], uint16_t port)
{
    struct netaddr addr = {.family = NETADDR_V4, .port = port};
    memcpy(addr.bytes, bytes, 4);
    return addr;
}

struct netaddr netaddr_v6(const uint8_t bytes[16], uint16_t port)
{
    if (memcmp(bytes, mapped_prefix, sizeof mapped_prefix) == 0)
        return netaddr_v4(bytes + sizeof mapped_prefix, port);
    struct netaddr addr = {.family = NETADDR_V6, .port = port};
    memcpy(addr.bytes, bytes, 16);
    return addr;
}

/* One decimal of a dotted quad: no leading zeros, because some readers take those as octal. */
static bool parse_octet(struct slice text, uint8_t *octet)
{
    uint64_t value;
    if (text.len > 3 || (text.len > 1 && text.ptr[0] == '0') || !slice_u64(text, 255, &value))
        return false;
    *octet = (uint8_t)value;
    return true;
}

/* IPv4-address-literal = Snum 3("."  Snum)  (RFC 5321 section 4.1.3) */
static bool parse_v4(struct slice text, uint8_t bytes[4])
{
    if (slice_ends(text, SLICE(".")))
        return false;
    for (size_t i = 0; i < 4; i++) {
        struct slice part;
        if (!slice_token(&text, '.', &part) || !parse_octet(part, bytes + i))
            return false;
    }
    return text.len == 0;
}

/* Groups of 16 bits with ":" between them, a dotted quad in place of the last two if `quad`; no "::" inside.
 */
static bool parse_groups(struct slice text, bool quad, uint8_t *bytes, size_t max, size_t *len)
{
    *len = 0;
    if (slice_ends(text, SLICE(":")))
        return false;
    struct slice part;
    while (slice_token(&text, ':', &part)) {
        uint64_t group;
        if (quad && text.len == 0 && slice_find(part, '.') >= 0) {
            if (*len + 4 > max || !parse_v4(part, bytes + *len))
                return false;
            *len += 4;
            return true;
        }
        if (*len + 2 > max || part.len > 4 || !slice_hex64(part, &group))
            return false;
        bytes[(*len)++] = (uint8_t)(group >> 8);
        bytes[(*len)++] = (uint8_t)group;
    }
    return true;
}

/* IPv6-full / IPv6-comp / IPv6v4-full / IPv6v4-comp  (RFC 4291 section 2.2) */
static bool parse_v6(struct slice text, uint8_t bytes[16])
{
    size_t head_len, tail_len;
    uint8_t tail[16];
    memset(bytes, 0, 16);
    ptrdiff_t gap = slice_search(text, SLICE("::"));
    if (gap < 0)
        return parse_groups(text, true, bytes, 16, &head_len) && head_len == 16;
    struct slice rest = slice_from(text, (size_t)gap + 2);
    if (rest.len && rest.ptr[0] == ':')
        return false;
    /* "::" stands for at least one group. */
    if (!parse_groups(slice_sub(text, 0, (size_t)gap), false, bytes, 14, &head_len) ||
        !parse_groups(rest, true, tail, 14 - head_len, &tail_len))
        return false;
    memcpy(bytes + 16 - tail_len, tail, tail_len);
    return true;
}

bool netaddr_parse(struct slice text, struct netaddr *addr)
{
    uint8_t bytes[16];
    if (parse_v4(text, bytes))
        *addr = netaddr_v4(bytes, 0);
    else if (parse_v6(text, bytes))
        *addr = netaddr_v6(bytes, 0);
    else
        return false;
    return true;
}

bool netaddr_parse_port(struct slice text, struct netaddr *addr)
{
    struct netaddr parsed;
    uint64_t port;
    ptrdiff_t colon = slice_rfind(text, ':');
    if (colon < 1 || !slice_u64(slice_from(text, (size_t)colon + 1), UINT16_MAX, &port))
        return false;
    struct slice host = slice_sub(text, 0, (size_t)colon);
    bool bracketed = host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    if (bracketed)
        host = slice_sub(host, 1, host.len - 2);
    if ((slice_find(host, ':') >= 0) != bracketed || !netaddr_parse(host, &parsed))
        return false;
    parsed.port = (uint16_t)port;
    *addr = parsed;
    return true;
}

/* The longest run of at least two zero groups (RFC 5952 section 4.2), as first group and length. */
static void longest_zero_run(const uint16_t groups[V6_GROUPS], size_t *start, size_t *len)
{
    *start = *len = 0;
    for (size_t i = 0; i < V6_GROUPS; i++) {
        size_t run = 0;
        while (i + run < V6_GROUPS && groups[i + run] == 0)
            run++;
        if (run > 1 && run > *len)
            *start = i, *len = run;
        i += run;
    }
}

static size_t format_v6(const uint8_t bytes[16], char *text, size_t size)
{
    uint16_t groups[V6_GROUPS];
    size_t start, run, at = 0;
    for (size_t i = 0; i < V6_GROUPS; i++)
        groups[i] = (uint16_t)(bytes[2 * i] << 8 | bytes[2 * i + 1]);
    longest_zero_run(groups, &start, &run);
    for (size_t i = 0; i < V6_GROUPS; i++) {
        if (run && i == start) {
            at += (size_t)snprintf(text + at, size - at, "::");
            i += run - 1;
            continue;
        }
        bool colon = i > 0 && !(run && i == start + run);
        at += (size_t)snprintf(text + at, size - at, "%s%x", colon ? ":" : "", groups[i]);
    }
    return at;
}

struct netaddr_text netaddr_text(const struct netaddr *addr)
{
    struct netaddr_text out;
    const uint8_t *b = addr->bytes;
    switch (addr->family) {
    case NETADDR_V4:
        (void)snprintf(out.text, sizeof out.text, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
        break;
    case NETADDR_V6:
        (void)format_v6(b, out.text, sizeof out.text);
        break;
    case NETADDR_UNIX:
        (void)snprintf(out.text, sizeof out.text, "local");
        break;
    case NETADDR_NONE:
    default:
        (void)snprintf(out.text, sizeof out.text, "unknown");
    }
    return out;
}

struct netaddr_text netaddr_text_port(const struct netaddr *addr)
{
    struct netaddr_text host = netaddr_text(addr), out;
    if (addr->family == NETADDR_V4)
        (void)snprintf(out.text, sizeof out.text, "%.15s:%u", host.text, addr->port);
    else if (addr->family == NETADDR_V6)
        (void)snprintf(out.text, sizeof out.text, "[%.45s]:%u", host.text, addr->port);
    else
        return host;
    return out;
}

bool netaddr_same_host(const struct netaddr *a, const struct netaddr *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool netaddr_is_loopback(const struct netaddr *addr)
{
    static const uint8_t one[16] = {[15] = 1};
    if (addr->family == NETADDR_V4)
        return addr->bytes[0] == 127;
    return addr->family == NETADDR_V6 && memcmp(addr->bytes, one, sizeof one) == 0;
}

bool netaddr_is_private(const struct netaddr *addr)
{
    const uint8_t *b = addr->bytes;
    if (addr->family == NETADDR_V4)
        return b[0] == 10 || b[0] == 127 || (b[0] == 172 && b[1] >> 4 == 1) || (b[0] == 192 && b[1] == 168) ||
               (b[0] == 169 && b[1] == 254) || (b[0] == 100 && b[1] >> 6 == 1);
    if (addr->family == NETADDR_V6) /* fc00::/7; fe80::/10 and fec0::/10 */
        return b[0] >> 1 == 0x7e || (b[0] == 0xfe && b[1] >= 0x80) || netaddr_is_loopback(addr);
    return false;
}

static unsigned family_bits(enum netaddr_family family)
{
    if (family == NETADDR_V4)
        return 32;
    return family == NETADDR_V6 ? 128 : 0;
}

struct netaddr netaddr_prefix(const struct netaddr *addr, unsigned bits)
{
    struct netaddr prefix = *addr;
    prefix.port = 0;
    for (unsigned i = 0; i < sizeof prefix.bytes; i++) {
        unsigned kept = bits > 8 * i ? bits - 8 * i : 0;
        if (kept < 8)
            prefix.bytes[i] &= (uint8_t)(0xff00u >> kept);
    }
    return prefix;
}

struct netaddr netaddr_client(const struct netaddr *addr)
{
    return netaddr_prefix(addr, addr->family == NETADDR_V6 ? 64 : 32);
}

/* A mapped network ("::ffff:10.0.0.0/104") is the IPv4 network of 96 bits less. */
static bool parse_bits(struct slice text, const struct netaddr *base, bool mapped, uint8_t *bits)
{
    unsigned max = mapped ? 128 : family_bits(base->family);
    uint64_t number;
    if (text.len > 3 || !slice_u64(text, max, &number) || (mapped && number < 96))
        return false;
    *bits = (uint8_t)(mapped ? number - 96 : number);
    return true;
}

bool netaddr_network_parse(struct slice text, struct netaddr_network *network)
{
    struct netaddr_network parsed;
    ptrdiff_t slash = slice_find(text, '/');
    struct slice host = slash < 0 ? text : slice_sub(text, 0, (size_t)slash);
    if (!netaddr_parse(host, &parsed.base))
        return false;
    bool mapped = parsed.base.family == NETADDR_V4 && slice_find(host, ':') >= 0;
    parsed.bits = (uint8_t)family_bits(parsed.base.family);
    if (slash >= 0 && !parse_bits(slice_from(text, (size_t)slash + 1), &parsed.base, mapped, &parsed.bits))
        return false;
    struct netaddr prefix = netaddr_prefix(&parsed.base, parsed.bits);
    if (!netaddr_same_host(&prefix, &parsed.base))
        return false;
    *network = parsed;
    return true;
}

bool netaddr_network_has(const struct netaddr_network *network, const struct netaddr *addr)
{
    if (family_bits(addr->family) == 0)
        return false;
    struct netaddr prefix = netaddr_prefix(addr, network->bits);
    return netaddr_same_host(&prefix, &network->base);
}

bool netaddr_networks_have(const struct netaddr_network *networks, size_t count, const struct netaddr *addr)
{
    for (size_t i = 0; i < count; i++)
        if (netaddr_network_has(networks + i, addr))
            return true;
    return false;
}
