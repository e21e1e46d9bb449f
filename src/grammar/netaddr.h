/* netaddr.h: network addresses as values: text, networks, the forms in which clients are counted. Pure. */
#ifndef GRAMMAR_NETADDR_H
#define GRAMMAR_NETADDR_H

#include "base/slice.h"

enum netaddr_family { NETADDR_NONE, NETADDR_V4, NETADDR_V6, NETADDR_UNIX };

/* `bytes` is in network order; an IPv4 address uses the first four, unused bytes are zero. */
struct netaddr {
    enum netaddr_family family;
    uint16_t port; /* host order; 0 when there is none */
    uint8_t bytes[16];
};

/* "[" 45 characters of IPv6 "]:65535" and a NUL. */
#define NETADDR_TEXT_MAX 56
struct netaddr_text {
    char text[NETADDR_TEXT_MAX];
};

/* The address of these 4 or 16 bytes; an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2) becomes IPv4. */
struct netaddr netaddr_v4(const uint8_t bytes[4], uint16_t port);
struct netaddr netaddr_v6(const uint8_t bytes[16], uint16_t port);

/* Dotted quad (four decimals, no leading zeros) or RFC 4291 section 2.2 text, no port and no zone. Mapped
 * addresses become IPv4. */
bool netaddr_parse(struct slice text, struct netaddr *addr) MUST_CHECK;
/* "192.0.2.1:25" or "[2001:db8::1]:25". */
bool netaddr_parse_port(struct slice text, struct netaddr *addr) MUST_CHECK;
/* Dotted quad or RFC 5952 text, without and with port: printf("%s", netaddr_text(&a).text). A family of NONE
 * gives "unknown", UNIX gives "local". */
struct netaddr_text netaddr_text(const struct netaddr *addr);
struct netaddr_text netaddr_text_port(const struct netaddr *addr);

/* Same family and address, whatever the ports. */
bool netaddr_same_host(const struct netaddr *a, const struct netaddr *b);
bool netaddr_is_loopback(const struct netaddr *addr);
/* An address of somebody's inside, which means nothing to the rest of the world and may stand for many: RFC
 * 1918, 3927, 4193, 4291 (link and site local), 6598 (behind a carrier's or an overlay's translation), and
 * loopback. */
bool netaddr_is_private(const struct netaddr *addr);
/* All bits behind the first `bits` cleared, port 0. `bits` is clamped to 32 or 128. */
struct netaddr netaddr_prefix(const struct netaddr *addr, unsigned bits);
/* What one client is for limits and bans: the IPv4 address, or the /64 of an IPv6 address. */
struct netaddr netaddr_client(const struct netaddr *addr);

/* A network: "10.0.0.0/8", "2001:db8::/32", or a lone address. */
struct netaddr_network {
    struct netaddr base;
    uint8_t bits;
};

/* False also when bits behind the prefix are set ("10.0.0.1/8"), which is nearly always a slip. */
bool netaddr_network_parse(struct slice text, struct netaddr_network *network) MUST_CHECK;
bool netaddr_network_has(const struct netaddr_network *network, const struct netaddr *addr);
bool netaddr_networks_have(const struct netaddr_network *networks, size_t count, const struct netaddr *addr);

#endif
