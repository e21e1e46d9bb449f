/* trigram.h: which of up to 1,024 messages may hold a text: for every three octets of case-folded text a bit
 * per message, in hashed buckets, packed into rows. A filter: it says "surely not" or "maybe". Pure.
 *
 * Why it never says "surely not" of a message that holds the text: what imap_needle_match() finds stands in
 * the folded text (casefold.h) as the folded needle, so each three octets of the one are three octets of the
 * other.
 */
#ifndef STORE_TRIGRAM_H
#define STORE_TRIGRAM_H

#include "base/buf.h"
#include "base/err.h"

#define TRIGRAM_MESSAGES 1024 /* of one block */
#define TRIGRAM_BYTES    (TRIGRAM_MESSAGES / 8)
#define TRIGRAM_GRAMS    12           /* of one needle that are looked at: more hardly rule out more */
#define TRIGRAM_ROW_MAX  (16u * 1024) /* bytes of one row, at most; about 1 KiB is usual */

/* What of a message is looked through. */
enum trigram_plane {
    TRIGRAM_HEADER, /* all fields: as they are written, and decoded */
    TRIGRAM_BODY,
    TRIGRAM_FROM, /* the fields people search for, so that these searches do not find every message */
    TRIGRAM_TO,   /* To, Cc, Bcc */
    TRIGRAM_SUBJECT,
    TRIGRAM_PLANES
};

/* One bit per message of a block. */
struct trigram_set {
    uint8_t bits[TRIGRAM_BYTES];
};
bool trigram_has(const struct trigram_set *set, unsigned message);
void trigram_put(struct trigram_set *set, unsigned message);

/* ---- looking up ---- */

/* Buckets of a needle in a plane, counted over all planes. None for a needle that is too short: it rules out
 * nothing. */
struct trigram_query {
    uint32_t buckets[TRIGRAM_GRAMS];
    size_t count;
};
struct trigram_query trigram_query(enum trigram_plane plane, struct slice folded_needle);
/* Rows of a block are numbered from 0 to TRIGRAM_ROWS - 1 and hold so many buckets each, one behind the
 * other. */
#define TRIGRAM_ROW_BUCKETS 32u
extern const unsigned TRIGRAM_ROWS;
/* Takes out of `set` what does not have the bucket that stands behind `skip` others in this row, or in these
 * rows one behind the other. False: damaged. */
bool trigram_narrow(struct slice rows, uint32_t skip, struct trigram_set *set) MUST_CHECK;

/* ---- making ---- */

/* The bits of one block: about 20 MiB while it lives. */
struct trigram_block;
struct trigram_block *trigram_block_new(void) __attribute__((returns_nonnull));
void trigram_block_free(struct trigram_block **block);
/* The texts of one message, one after the other: begin, any number of texts, end. */
void trigram_begin(struct trigram_block *block, unsigned message);
void trigram_add(struct trigram_block *block, enum trigram_plane plane, struct slice text);
/* Appends row `row` to `out`. */
void trigram_pack(const struct trigram_block *block, unsigned row, struct buf *out);

#endif
