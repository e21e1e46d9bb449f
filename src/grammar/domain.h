/* domain.h: domain names: syntax, and the one form in which we compare and store them. Pure. */
#ifndef GRAMMAR_DOMAIN_H
#define GRAMMAR_DOMAIN_H

#include "base/arena.h"
#include "base/err.h"
#include "grammar/netaddr.h"

/* RFC 1035 section 3.1 (255 octets on the wire are 253 characters of text), and its label. */
#define DOMAIN_MAX       253
#define DOMAIN_LABEL_MAX 63
/* What we hand to the IDNA library at most: every label of a U-label domain in 4-byte characters. */
#define DOMAIN_UTF8_MAX 1012

/* LDH labels (RFC 5890 section 2.3.1) with dots between them, no trailing dot, any case. */
bool domain_is_ldh(struct slice name);
/* The same with underscores, as in DNS names and in what misconfigured hosts say in EHLO. */
bool domain_is_host(struct slice name);
/* The domain in lower-cased A-labels (IDNA2008 with UTS 46 non-transitional mapping), from A-labels or
 * U-labels, without a trailing dot. ERR_BAD when it is none. ASCII names that IDNA would not allow
 * (underscores, invalid A-labels) are kept: hosts have them, and mail must reach them. */
enum err domain_to_alabel_in(struct arena *arena, struct slice name, struct slice *alabel,
                             struct why *why) MUST_CHECK;
/* For people to read: U-labels where they are valid, otherwise the name as it is. */
struct slice domain_to_ulabel_in(struct arena *arena, struct slice alabel);
/* "[192.0.2.1]" or "[IPv6:2001:db8::1]" (RFC 5321 section 4.1.3); `addr` may be NULL. */
bool domain_is_ip_literal(struct slice text, struct netaddr *addr);

#endif
