/* proxy.h: the PROXY protocol header, versions 1 and 2 (HAProxy's proxy-protocol.txt, 2.x). Pure. */
#ifndef GRAMMAR_PROXY_H
#define GRAMMAR_PROXY_H

#include "base/err.h"
#include "grammar/netaddr.h"

/* Specification section 2.1: a v1 line with its CRLF. */
#define PROXY_V1_MAX 107
/* A whole v2 header that we take: HAProxy's own with every option and client certificates stays under 1 KiB;
 * the length field could say 64 KiB. */
#define PROXY_V2_MAX 4096

enum proxy_state {
    PROXY_NEED_MORE, /* so far a proper header */
    PROXY_DONE,
    PROXY_BAD,       /* began as a header, then broke the rules */
    PROXY_NOT_PROXY, /* the first bytes are none of either version */
};

struct proxy_header {
    uint8_t version;   /* 1 or 2 */
    bool local;        /* LOCAL, UNKNOWN, AF_UNSPEC: use the addresses of the connection itself */
    bool health_check; /* LOCAL: the proxy speaks for itself */
    struct netaddr source,
        destination; /* family NONE when local; mapped addresses already IPv4; UNIX has no address */
    bool tls;        /* the client spoke TLS to the proxy (PP2_TYPE_SSL with PP2_CLIENT_SSL) */
};

/* `input` is all that has arrived so far. On DONE `*consumed` is the header's length; what follows is the
 * client's. `why` is filled for BAD. */
enum proxy_state proxy_parse(struct slice input, struct proxy_header *header, size_t *consumed,
                             struct why *why) MUST_CHECK;
/* Castagnoli CRC (RFC 3720 appendix B.4), as TLV 0x03 carries it. */
uint32_t proxy_crc32c(struct slice bytes);
/* Adds a v2 header as a proxy would send it (for tests and for our own clients); with a checksum TLV if
 * asked. Returns the length. */
#define PROXY_V2_WRITE_MAX 64
size_t proxy_write_v2(const struct netaddr *source, const struct netaddr *destination, bool checksum,
                      uint8_t out[PROXY_V2_WRITE_MAX]);

#endif
