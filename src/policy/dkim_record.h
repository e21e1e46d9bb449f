/* dkim_record.h: the TXT record at SELECTOR._domainkey.DOMAIN (RFC 6376 section 3.6.1, RFC 8463 section 4).
 * Pure. */
#ifndef POLICY_DKIM_RECORD_H
#define POLICY_DKIM_RECORD_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "policy/dkim_key.h"

#define DKIM_RECORD_MAX 4096 /* its strings joined; longer ones are malformed */
#define DKIM_STRING_MAX 255  /* one string of a TXT record: RFC 1035 section 3.3.14 */

struct dkim_record {
    enum dkim_algorithm algorithm; /* DKIM_UNKNOWN: a k= we do not know */
    struct slice key;   /* p= decoded: SubjectPublicKeyInfo for RSA (a bare RSAPublicKey is wrapped), 32 bytes
                         * for Ed25519; empty: revoked. To be compared with dkim_key_public(). */
    bool testing;       /* t=y */
    bool strict;        /* t=s: i= must be of d= itself */
    bool sha256, email; /* h= and s= allow them (both do when absent) */
    struct slice notes; /* n= as written */
};

/* Parses the strings of one TXT record, joined. ERR_ABSENT: no key record (another v=, or no tags at all: an
 * SPF record behind a wildcard); ERR_BAD: a malformed one. */
enum err dkim_record_parse_in(struct arena *arena, struct slice text, struct dkim_record *record,
                              struct why *why) MUST_CHECK;

/* "v=DKIM1; k=rsa; p=…" */
void dkim_record_print(enum dkim_algorithm algorithm, struct slice key, struct buf *text);
/* One line of a zone file: `mail._domainkey.example.org. IN TXT ( "…" "…" )`, strings of at most
 * DKIM_STRING_MAX bytes. */
void dkim_record_print_zone(struct slice domain, struct slice selector, struct slice text, struct buf *line);
/* One line of Terraform, an entry for a map of records: `"NAME" = { type = "TXT", ttl = 3600, records = ["…"]
 * }`; between the strings of a longer value stands `\"\"`, as the providers want it. */
void dkim_record_print_terraform(struct slice domain, struct slice selector, struct slice text,
                                 struct buf *line);

#endif
