/* packed.h: the state of up to PACKED_CHUNK messages of a mailbox in one row: UID, size, date, change number,
 * flags and message id, column by column, each as differences to the column's least value in the fewest bytes
 * that hold them.
 *
 *   version (1 byte), count (varint), then six columns: least value (varint), bytes per value (1 byte: 0 to
 * 4, 8), count values, little-endian. 255 in place of the width: each value is one more than the one before,
 * and none follows. Order of the columns: uid, size, date, modseq, flags, message. Version 1, which is read
 * too, knew neither 3 nor 255.
 *
 * Pure; input: our own database, which may be damaged, so decoding is strict.
 */
#ifndef STORE_PACKED_H
#define STORE_PACKED_H

#include "base/buf.h"
#include "base/err.h"

#define PACKED_CHUNK 1000   /* messages in one row of a mailbox's state */
#define PACKED_MAX   100000 /* messages in one encoding: a change may add more than a chunk */

/* One message in one mailbox. Flags are those of wire/image.h without IMAGE_EXPUNGED. */
struct entry {
    uint32_t uid, size, date;
    uint64_t modseq, flags, message;
};

/* Entries in ascending order of UID, at most PACKED_MAX. */
void packed_encode(const struct entry *entries, size_t count, struct buf *out);
/* How many entries the bytes claim to hold; ERR_INTERNAL when that is impossible. */
enum err packed_count(struct slice bytes, size_t *count, struct why *why) MUST_CHECK;
/* `entries` has room for packed_count() of them. */
enum err packed_decode(struct slice bytes, struct entry *entries, size_t count, struct why *why) MUST_CHECK;

#endif
