/* rdata.h: what stands in DNS records, as text: names and character strings. Pure; the bytes are a stranger's
 * zone data as the dns role passes it on (wire form, names not compressed). */
#ifndef POLICY_RDATA_H
#define POLICY_RDATA_H

#include "base/arena.h"

/* RFC 1035 section 3.2.2 and the RFCs of each. */
enum { RR_A = 1, RR_CNAME = 5, RR_PTR = 12, RR_MX = 15, RR_TXT = 16, RR_AAAA = 28, RR_TLSA = 52 };

#define RDATA_NAME_MAX 253 /* as text, without the last dot */

struct rdata_name {
    size_t len; /* 0: the root */
    char text[RDATA_NAME_MAX + 1];
};

/* A name in wire form which is all of `wire`, lower-cased (RFC 1035 section 3.1). False when it is malformed
 * or holds bytes that no host name has (letters, digits, hyphen and underscore only). */
bool rdata_name_read(struct slice wire, struct rdata_name *name) MUST_CHECK;
/* The character strings of a TXT record joined without anything between them (RFC 8461 section 3.1, RFC 6376
 * section 3.6.2.2). False when they are malformed. */
bool rdata_txt_in(struct arena *arena, struct slice rdata, struct slice *text) MUST_CHECK;
/* "1.2.0.192.in-addr.arpa" (RFC 1035 section 3.5), "….ip6.arpa" (RFC 3596 section 2.5); empty for other
 * families. */
struct netaddr;
#define RDATA_REVERSE_MAX 76
size_t rdata_reverse_name(const struct netaddr *addr, char name[RDATA_REVERSE_MAX]);

#endif
