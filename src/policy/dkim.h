/* dkim.h: DomainKeys Identified Mail: what of a message is signed, the signature field, and its verification
 * (RFC 6376, RFC 8301: no SHA-1, RSA of at least 1024 bits; RFC 8463: Ed25519). Pure: time, keys and key
 * records are handed in.
 *
 * Signing is cut in two, because whoever holds keys must not read mail: scan reads the message and yields a
 * `dkim_summary`, auth turns that into a DKIM-Signature field.
 */
#ifndef POLICY_DKIM_H
#define POLICY_DKIM_H

#include "base/arena.h"
#include "base/err.h"
#include "policy/dkim_key.h"
#include "policy/dkim_record.h"

#define DKIM_HASH_LEN      32
#define DKIM_NAMES_MAX     1024          /* the h= list */
#define DKIM_FIELDS_MAX    (24 * 1024)   /* the canonical header fields of a summary */
#define DKIM_INSTANCES_MAX 20            /* of one field name that we sign */
#define DKIM_FIELD_MAX     (12 * 1024)   /* one DKIM-Signature field as we write it */
#define DKIM_VALUE_MAX     (64 * 1024)   /* of a DKIM-Signature field we read; longer ones are malformed */
#define DKIM_SIGNED_MAX    1000          /* names in the h= list of a signature we read */
#define DKIM_VERIFY_MAX    (1024 * 1024) /* canonical header bytes hashed for one signature we read */

enum dkim_canon { DKIM_SIMPLE, DKIM_RELAXED };

/* What a signature says about a message, for relaxed/relaxed. */
struct dkim_summary {
    uint8_t hash[DKIM_HASH_LEN]; /* bh=: SHA-256 of the canonical body */
    struct slice names;          /* h=: lower case, colons between, "from:from:to:…" */
    struct slice fields;         /* the canonical fields of h= in that order, each with CRLF */
};

/* Body canonicalisation and hash (RFC 6376 sections 3.4.3, 3.4.4). `pieces` together are the body; cuts may
 * fall anywhere. Only CRLF ends a line; a bare CR or LF is text. */
void dkim_body_hash(enum dkim_canon canon, const struct slice *pieces, size_t count,
                    uint8_t hash[DKIM_HASH_LEN]);

/* The summary of a whole message as it will be sent: `header` as it is with or without the empty line, the
 * body in pieces. Each instance of a listed field is signed and one that is not there, so that none can be
 * added (section 8.15). ERR_REFUSED without a From field, or with From fields too long to sign. */
enum err dkim_summarize_in(struct arena *arena, struct slice header, const struct slice *pieces, size_t count,
                           struct dkim_summary *summary, struct why *why) MUST_CHECK;

struct dkim_signing {
    struct slice domain, selector; /* d=, s=: LDH labels (underscores allowed), lower case */
    uint64_t time;                 /* t=: seconds since 1970 */
    uint64_t expires;              /* x=: likewise; 0: none */
    const struct dkim_summary *summary;
};

/* The field "DKIM-Signature: …" with its last CRLF, lines below 78 columns. ERR_BAD for names that cannot
 * stand in it or a summary beyond its bounds, ERR_INTERNAL when the signature cannot be made. */
enum err dkim_sign_in(struct arena *arena, const struct dkim_key *key, const struct dkim_signing *signing,
                      struct slice *field, struct why *why) MUST_CHECK;
/* Signs a fixed summary and verifies the result with the key's own public half: done once per key after load.
 */
enum err dkim_key_prove(const struct dkim_key *key, struct why *why) MUST_CHECK;

/* A DKIM-Signature field (section 3.5) as read. Slices point into the field's value or the arena. */
struct dkim_signature {
    enum dkim_algorithm algorithm; /* DKIM_UNKNOWN: an a= we do not verify (rsa-sha1: RFC 8301 section 3.1) */
    enum dkim_canon header_canon, body_canon;
    struct slice domain, selector; /* d=, s=: well-formed host names, as written */
    struct slice identity;         /* i=, decoded, its domain in A-labels; "@d" when absent */
    struct slice *names;           /* h= */
    size_t name_count;
    struct slice body_hash; /* bh=, decoded */
    struct slice signature; /* b=, decoded */
    uint64_t time, expires; /* t=, x=; 0 when absent */
    bool has_length;        /* l= was given: the body must be whole all the same, see dkim_verify_in() */
    uint64_t length;
};

/* Parses the value of a DKIM-Signature field. ERR_BAD: malformed or incomplete (permerror); `why` names the
 * tag. */
enum err dkim_signature_parse_in(struct arena *arena, struct slice value, struct dkim_signature *signature,
                                 struct why *why) MUST_CHECK;

/* RFC 8601 section 2.7.1; "temperror" is for whoever asks DNS. */
enum dkim_result { DKIM_NONE, DKIM_PASS, DKIM_FAIL, DKIM_POLICY, DKIM_NEUTRAL, DKIM_PERMERROR };
const char *dkim_result_name(enum dkim_result result);

struct dkim_message {
    struct slice header;      /* with the field to verify in it */
    const struct slice *body; /* in pieces */
    size_t body_count;
};

/* Verifies the signature whose field stands `offset` bytes into message->header, as header_iter tells it,
 * with the key record of its domain. An l= that leaves body bytes out is not honoured: the whole body is
 * hashed (section 8.2), so what was appended makes it fail. `now`: seconds since 1970, for x= and t=. `why`
 * (may be NULL) says what is wrong unless DKIM_PASS. */
enum dkim_result dkim_verify_in(struct arena *arena, const struct dkim_signature *signature,
                                const struct dkim_record *record, const struct dkim_message *message,
                                size_t offset, uint64_t now, struct why *why);

#endif
