/* hash.h: hashes that are not cryptographic signatures: keyed ones for tables a stranger can fill, checksums
 * for bytes on disk and on the wire. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/slice.h"

/* A secret key for hash_sip(); one per process or table, from random_fill(). */
struct hash_key {
    uint64_t k0, k1;
};

/* SipHash-2-4 (Aumasson, Bernstein 2012): safe for hash tables keyed by a stranger's bytes while `key` is
 * secret. */
uint64_t hash_sip(const struct hash_key *key, struct slice s);

/* CRC-32C (Castagnoli; RFC 3720 appendix B.4, PROXY protocol 2 section 2.2.1). Start with `crc` 0; feed the
 * result back. */
uint32_t hash_crc32c(uint32_t crc, struct slice s);

/* SipHash-2-4 with 128 bits of result over bytes that come in pieces: the checksum of stored messages (with a
 * fixed key it finds damage, not forgery). */
#define HASH_SUM_LEN 16
struct hash_sum {
    uint64_t v[4];
    uint64_t total;
    uint8_t tail[8];
};
void hash_sum_begin(struct hash_sum *sum, const struct hash_key *key);
void hash_sum_add(struct hash_sum *sum, struct slice s);
void hash_sum_end(struct hash_sum *sum, uint8_t result[HASH_SUM_LEN]);

#endif
