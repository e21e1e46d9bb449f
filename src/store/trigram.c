/* trigram.c: bits by hashed trigram, packed and unpacked. Input: texts of strangers' messages, already
 * bounded; rows of our own file, which may be damaged. Called by fulltext.c and fulltext_build.c.
 *
 *   row     = TRIGRAM_ROW_BUCKETS buckets
 *   bucket  = varint count, then: count < DENSE: gaps between the messages as varints; else TRIGRAM_BYTES of
 * bits
 */
#include "store/trigram.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/casefold.h"

#define DENSE      112u /* messages from which on a bucket is written as bits */
#define LARGE_BITS 16   /* buckets of header and body, as a power of two */
#define SMALL_BITS 13   /* of the others */
#define ROWS(bits) ((1u << (bits)) / TRIGRAM_ROW_BUCKETS)

static const struct {
    unsigned bits, first_row;
} planes[TRIGRAM_PLANES] = {
    [TRIGRAM_HEADER] = {LARGE_BITS, 0},
    [TRIGRAM_BODY] = {LARGE_BITS, ROWS(LARGE_BITS)},
    [TRIGRAM_FROM] = {SMALL_BITS, 2 * ROWS(LARGE_BITS)},
    [TRIGRAM_TO] = {SMALL_BITS, 2 * ROWS(LARGE_BITS) + ROWS(SMALL_BITS)},
    [TRIGRAM_SUBJECT] = {SMALL_BITS, 2 * ROWS(LARGE_BITS) + 2 * ROWS(SMALL_BITS)},
};
const unsigned TRIGRAM_ROWS = 2 * ROWS(LARGE_BITS) + 3 * ROWS(SMALL_BITS);

bool trigram_has(const struct trigram_set *set, unsigned message)
{
    return set->bits[message / 8] >> message % 8 & 1;
}

void trigram_put(struct trigram_set *set, unsigned message)
{
    set->bits[message / 8] |= (uint8_t)(1u << message % 8);
}

static uint32_t bucket_of(enum trigram_plane plane, uint32_t gram)
{
    return gram * 0x9e3779b1u >> (32 - planes[plane].bits);
}

/* ---- looking up ---- */

static uint32_t gram_at(const uint8_t *at)
{
    return (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
}

struct trigram_query trigram_query(enum trigram_plane plane, struct slice folded)
{
    struct trigram_query query = {0};
    if (folded.len < 3)
        return query;
    size_t all = folded.len - 2, take = all < TRIGRAM_GRAMS ? all : TRIGRAM_GRAMS;
    uint32_t first = planes[plane].first_row * TRIGRAM_ROW_BUCKETS;
    for (size_t i = 0; i < take; i++) /* evenly over the needle, both ends included */
        query.buckets[i] =
            first + bucket_of(plane, gram_at(folded.ptr + (take > 1 ? i * (all - 1) / (take - 1) : 0)));
    query.count = take;
    return query;
}

/* One bucket off the front of the row; `bits` NULL: only past it. */
static bool take_bucket(struct slice *row, struct trigram_set *bits)
{
    uint64_t count, gap, at = 0;
    struct slice dense;
    if (!slice_take_varint(row, &count) || count > TRIGRAM_MESSAGES)
        return false;
    if (count >= DENSE) {
        if (!slice_take_bytes(row, TRIGRAM_BYTES, &dense))
            return false;
        if (bits)
            memcpy(bits->bits, dense.ptr, TRIGRAM_BYTES);
        return true;
    }
    for (uint64_t i = 0; i < count; i++, at++) {
        if (!slice_take_varint(row, &gap) || (at += gap) >= TRIGRAM_MESSAGES)
            return false;
        if (bits)
            trigram_put(bits, (unsigned)at);
    }
    return true;
}

bool trigram_narrow(struct slice rows, uint32_t skip, struct trigram_set *set)
{
    struct trigram_set found = {{0}};
    for (uint32_t i = 0; i < skip; i++)
        if (!take_bucket(&rows, NULL))
            return false;
    if (!take_bucket(&rows, &found))
        return false;
    for (size_t i = 0; i < TRIGRAM_BYTES; i++)
        set->bits[i] &= found.bits[i];
    return true;
}

/* ---- making ---- */

struct trigram_block {
    struct trigram_set *sets; /* by row and place in it */
    unsigned message;
    uint64_t seen[TRIGRAM_PLANES][(1u << LARGE_BITS) / 64]; /* buckets the message has already */
};

struct trigram_block *trigram_block_new(void)
{
    struct trigram_block *b = mem_zero(1, sizeof *b);
    b->sets = mem_zero((size_t)TRIGRAM_ROWS * TRIGRAM_ROW_BUCKETS, sizeof *b->sets);
    return b;
}

void trigram_block_free(struct trigram_block **block)
{
    if (!*block)
        return;
    free((*block)->sets);
    free(*block);
    *block = NULL;
}

void trigram_begin(struct trigram_block *b, unsigned message)
{
    b->message = message;
    for (size_t p = 0; p < TRIGRAM_PLANES; p++)
        memset(b->seen[p], 0, (1u << planes[p].bits) / 8);
}

static void add_gram(struct trigram_block *b, enum trigram_plane plane, uint32_t gram)
{
    uint32_t bucket = bucket_of(plane, gram);
    uint64_t *seen = &b->seen[plane][bucket / 64], bit = 1ull << bucket % 64;
    if (*seen & bit)
        return;
    *seen |= bit;
    trigram_put(&b->sets[planes[plane].first_row * TRIGRAM_ROW_BUCKETS + bucket], b->message);
}

void trigram_add(struct trigram_block *b, enum trigram_plane plane, struct slice text)
{
    uint32_t gram = 0;
    size_t octets = 0;
    struct casefold_memo memo;
    casefold_start(&memo);
    for (size_t at = 0; at < text.len;) {
        struct slice folded = casefold_take(&memo, text, &at);
        for (size_t i = 0; i < folded.len; i++) {
            gram = (gram << 8 | folded.ptr[i]) & 0xffffff;
            if (++octets >= 3)
                add_gram(b, plane, gram);
        }
    }
}

static unsigned count_of(const struct trigram_set *set)
{
    unsigned count = 0;
    for (size_t i = 0; i < TRIGRAM_BYTES; i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, set->bits + i, sizeof word);
        count += (unsigned)__builtin_popcountll(word);
    }
    return count;
}

static void pack_bucket(const struct trigram_set *set, struct buf *out)
{
    unsigned count = count_of(set), next = 0;
    buf_add_varint(out, count);
    if (count >= DENSE) {
        buf_add(out, slice_make(set->bits, TRIGRAM_BYTES));
        return;
    }
    for (unsigned i = 0; count && i < TRIGRAM_MESSAGES; i += 64) {
        uint64_t word;
        memcpy(&word, set->bits + i / 8, sizeof word);
        for (word = le64toh(word); word; word &= word - 1) {
            unsigned at = i + (unsigned)__builtin_ctzll(word);
            buf_add_varint(out, at - next);
            next = at + 1;
        }
    }
}

void trigram_pack(const struct trigram_block *b, unsigned row, struct buf *out)
{
    for (unsigned i = 0; i < TRIGRAM_ROW_BUCKETS; i++)
        pack_bucket(&b->sets[row * TRIGRAM_ROW_BUCKETS + i], out);
}
