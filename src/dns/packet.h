/* packet.h: the answer to one question out of a DNS message (RFC 1035 section 4). Pure; the bytes come from
 * resolvers anywhere, whatever libunbound made of them. */
#ifndef DNS_PACKET_H
#define DNS_PACKET_H

#include "base/arena.h"
#include "base/err.h"

#define PACKET_NAME_MAX    255  /* bytes of a name on the wire */
#define PACKET_RECORDS_MAX 2000 /* of one answer */
#define PACKET_CHAIN_MAX   16   /* CNAMEs */

enum {
    PACKET_TYPE_NS = 2,
    PACKET_TYPE_CNAME = 5,
    PACKET_TYPE_SOA = 6,
    PACKET_TYPE_PTR = 12,
    PACKET_TYPE_MX = 15,
    PACKET_TYPE_SRV = 33,
    PACKET_TYPE_DNAME = 39
};

struct packet_answer {
    unsigned rcode;         /* 0 NOERROR, 3 NXDOMAIN, … */
    struct slice canonical; /* behind all CNAMEs, as text without the last dot; in the arena */
    struct slice *records;  /* rdata, names in it not compressed; in the arena */
    size_t count;
    uint32_t ttl; /* the least of what was used; of a negative answer the SOA's (RFC 2308 section 5) */
};

/* The records of `type` for the question of the message. ERR_BAD when it is malformed, truncated or beyond
 * the bounds. */
enum err packet_read_in(struct arena *arena, struct slice message, unsigned type,
                        struct packet_answer *answer) MUST_CHECK;

#endif
