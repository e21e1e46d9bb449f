/* tlsa.c: TLSA records for SMTP. Reads a stranger's zone data; called by relay/dane.c. */
#include "policy/tlsa.h"

#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"

/* USAGE SELECTOR MATCHING-TYPE DATA (RFC 6698 section 2.1) */
bool tlsa_record_parse(struct slice rdata, struct tlsa_record *record)
{
    struct tlsa_record r;
    if (!slice_take_u8(&rdata, &r.usage) || !slice_take_u8(&rdata, &r.selector) ||
        !slice_take_u8(&rdata, &r.matching) || rdata.len == 0 || rdata.len > TLSA_DATA_MAX)
        return false;
    r.data = rdata;
    *record = r;
    return true;
}

static bool is_certificate(struct slice der)
{
    const unsigned char *at = der.ptr;
    X509 *cert = d2i_X509(NULL, &at, (long)der.len);
    bool whole = cert && at == der.ptr + der.len;
    X509_free(cert);
    return whole;
}

static bool is_key(struct slice der)
{
    const unsigned char *at = der.ptr;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)der.len);
    bool whole = key && at == der.ptr + der.len;
    EVP_PKEY_free(key);
    return whole;
}

bool tlsa_record_is_usable(const struct tlsa_record *r)
{
    if (r->usage != TLSA_DANE_TA && r->usage != TLSA_DANE_EE)
        return false;
    if (r->selector != TLSA_CERT && r->selector != TLSA_SPKI)
        return false;
    switch (r->matching) {
    case TLSA_FULL:
        return r->selector == TLSA_CERT ? is_certificate(r->data) : is_key(r->data);
    case TLSA_SHA256:
        return r->data.len == 32;
    case TLSA_SHA512:
        return r->data.len == 64;
    default:
        return false;
    }
}

static bool is_known(const struct tlsa_record *records, size_t count, const struct tlsa_record *r)
{
    for (size_t i = 0; i < count; i++)
        if (records[i].usage == r->usage && records[i].selector == r->selector &&
            records[i].matching == r->matching && slice_eq(records[i].data, r->data))
            return true;
    return false;
}

void tlsa_set_read_in(struct arena *arena, const struct slice *rdata, size_t count, struct tlsa_set *set)
{
    struct tlsa_record *records = ARENA_ARRAY(arena, struct tlsa_record, TLSA_RECORDS_MAX);
    *set = (struct tlsa_set){.records = records};
    for (size_t i = 0; i < count && i < TLSA_ANSWERS_MAX; i++) {
        struct tlsa_record r;
        if (!tlsa_record_parse(rdata[i], &r) || !tlsa_record_is_usable(&r)) {
            set->unusable++;
            continue;
        }
        if (set->count == TLSA_RECORDS_MAX || is_known(records, set->count, &r))
            continue;
        r.data = arena_dup(arena, r.data);
        records[set->count++] = r;
    }
    set->level = set->count ? TLSA_VERIFY : count ? TLSA_ENCRYPT : TLSA_ABSENT;
}

bool tlsa_name(uint16_t port, struct slice host, char name[TLSA_NAME_MAX + 1], size_t *len)
{
    if (host.len == 0 || host.len > TLSA_NAME_MAX)
        return false;
    int wrote = snprintf(name, TLSA_NAME_MAX + 1, "_%u._tcp.%.*s", port, SLICE_ARG(host));
    if (wrote < 0 || wrote > TLSA_NAME_MAX)
        return false;
    *len = (size_t)wrote;
    return true;
}
