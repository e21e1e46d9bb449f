/* hash.c: SipHash-2-4 with 64 and 128 bits, CRC-32C. The input may be a stranger's. */
#include "base/hash.h"

#include <string.h>

/* The state stays in registers: half of the time. */
#define IN_REGISTERS static inline __attribute__((always_inline))

static uint64_t rotl(uint64_t v, unsigned by)
{
    return v << by | v >> (64 - by);
}

IN_REGISTERS void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

static uint64_t load_le64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static void store_le64(uint8_t *p, uint64_t v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    memcpy(p, &v, sizeof v);
}

static void sip_init(uint64_t v[4], const struct hash_key *key)
{
    v[0] = key->k0 ^ 0x736f6d6570736575u;
    v[1] = key->k1 ^ 0x646f72616e646f6du;
    v[2] = key->k0 ^ 0x6c7967656e657261u;
    v[3] = key->k1 ^ 0x7465646279746573u;
}

IN_REGISTERS void sip_word(uint64_t v[4], uint64_t m)
{
    v[3] ^= m;
    sip_round(v);
    sip_round(v);
    v[0] ^= m;
}

/* The last word: the bytes that are left, and the length modulo 256 on top. */
static uint64_t sip_last(const uint8_t *p, size_t left, uint64_t total)
{
    uint64_t m = total << 56;
    for (size_t i = 0; i < left; i++)
        m |= (uint64_t)p[i] << (8 * i);
    return m;
}

static uint64_t sip_finish(uint64_t v[4])
{
    for (int i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_sip(const struct hash_key *key, struct slice s)
{
    uint64_t v[4];
    sip_init(v, key);
    size_t i = 0;
    for (; s.len - i >= 8; i += 8)
        sip_word(v, load_le64(s.ptr + i));
    sip_word(v, sip_last(s.len ? s.ptr + i : NULL, s.len - i, s.len));
    v[2] ^= 0xff;
    return sip_finish(v);
}

void hash_sum_begin(struct hash_sum *sum, const struct hash_key *key)
{
    *sum = (struct hash_sum){.total = 0};
    sip_init(sum->v, key);
    sum->v[1] ^= 0xee; /* the variant with 128 bits */
}

void hash_sum_add(struct hash_sum *sum, struct slice s)
{
    size_t held = (size_t)(sum->total % 8), i = 0;
    sum->total += s.len;
    if (held > 0) {
        while (held < 8 && i < s.len)
            sum->tail[held++] = s.ptr[i++];
        if (held < 8)
            return;
        sip_word(sum->v, load_le64(sum->tail));
    }
    uint64_t v[4];
    memcpy(v, sum->v, sizeof v);
    for (; s.len - i >= 8; i += 8)
        sip_word(v, load_le64(s.ptr + i));
    memcpy(sum->v, v, sizeof v);
    if (i < s.len)
        memcpy(sum->tail, s.ptr + i, s.len - i);
}

void hash_sum_end(struct hash_sum *sum, uint8_t result[HASH_SUM_LEN])
{
    sip_word(sum->v, sip_last(sum->tail, (size_t)(sum->total % 8), sum->total));
    sum->v[2] ^= 0xee;
    store_le64(result, sip_finish(sum->v));
    sum->v[1] ^= 0xdd;
    store_le64(result + 8, sip_finish(sum->v));
}

/* Reflected polynomial 0x1EDC6F41, one byte at a time from a table the compiler cannot make for us: built
 * from the definition, four bits at a time, it is small enough to stand here. */
uint32_t hash_crc32c(uint32_t crc, struct slice s)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
    crc = ~crc;
    for (size_t i = 0; i < s.len; i++) {
        crc ^= s.ptr[i];
        crc = crc >> 4 ^ nibble[crc & 15];
        crc = crc >> 4 ^ nibble[crc & 15];
    }
    return ~crc;
}
