/* tlsa.h: TLSA records for SMTP: which can be used, and what follows for TLS. Pure; the bytes are a
 * stranger's zone data, which only counts when DNSSEC secured it (the caller's to know). RFC 6698, RFC 7671,
 * RFC 7672.
 */
#ifndef POLICY_TLSA_H
#define POLICY_TLSA_H

#include "base/arena.h"

#define TLSA_ANSWERS_MAX 200   /* records read of one answer */
#define TLSA_RECORDS_MAX 32    /* usable ones kept */
#define TLSA_DATA_MAX    16384 /* bytes of one association */

enum tlsa_usage { TLSA_PKIX_TA, TLSA_PKIX_EE, TLSA_DANE_TA, TLSA_DANE_EE };
enum tlsa_selector { TLSA_CERT, TLSA_SPKI };
enum tlsa_matching { TLSA_FULL, TLSA_SHA256, TLSA_SHA512 };

/* As SSL_dane_tlsa_add() takes them. */
struct tlsa_record {
    uint8_t usage, selector, matching;
    struct slice data;
};

enum tlsa_level {
    TLSA_ABSENT,  /* no records: opportunistic TLS */
    TLSA_ENCRYPT, /* records, none usable: TLS is a must, the certificate is not looked at (RFC 7672 section
                     2.2) */
    TLSA_VERIFY   /* TLS is a must and must match one of `records` */
};

struct tlsa_set {
    enum tlsa_level level;
    const struct tlsa_record *records; /* usable ones */
    size_t count, unusable;
};

/* One rdata, taken apart; false when it is too short or too long. `data` points into it. */
bool tlsa_record_parse(struct slice rdata, struct tlsa_record *record) MUST_CHECK;
/* RFC 7672 section 3.1.3: usages 2 and 3; selectors 0 and 1; matching 0 (data that is a certificate or a
 * key), 1 and 2 with their length. */
bool tlsa_record_is_usable(const struct tlsa_record *record);
/* The whole answer. Copies into the arena. */
void tlsa_set_read_in(struct arena *arena, const struct slice *rdata, size_t count, struct tlsa_set *set);

/* "_25._tcp.mx.example.org" for a host in A-labels; false when it is too long. */
#define TLSA_NAME_MAX 253
bool tlsa_name(uint16_t port, struct slice host, char name[TLSA_NAME_MAX + 1], size_t *len) MUST_CHECK;

#endif
