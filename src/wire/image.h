/* image.h: an open mailbox's arrays, one copy, shared.
 *
 * A memfd that only `store` can write (sealed with F_SEAL_FUTURE_WRITE) and imap and http map read-only.
 * Entries are ordered by UID; new ones are appended; an expunged one stays, marked, until the image is made
 * anew. `count` is published after the entries behind it, so a reader never sees half an entry; flags and
 * modseq of one entry change together under the entry's own sequence number (`turn`, odd while it is being
 * written).
 */
#ifndef WIRE_IMAGE_H
#define WIRE_IMAGE_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/slice.h"

#define IMAGE_MAGIC       0x31474d49u /* "IMG1" */
#define IMAGE_KEYWORDS    56u
#define IMAGE_KEYWORD_MAX 60u /* bytes of a keyword's name */

/* Bits of image_entry.flags: RFC 3501 section 2.3.2, then keywords from IMAGE_KEYWORD_SHIFT on. */
#define IMAGE_SEEN          (1ull << 0)
#define IMAGE_ANSWERED      (1ull << 1)
#define IMAGE_FLAGGED       (1ull << 2)
#define IMAGE_DELETED       (1ull << 3)
#define IMAGE_DRAFT         (1ull << 4)
#define IMAGE_SYSTEM_FLAGS  0x1full
#define IMAGE_EXPUNGED      (1ull << 7) /* gone since `modseq` */
#define IMAGE_KEYWORD_SHIFT 8

struct image_entry {
    uint32_t uid;
    uint32_t size; /* RFC822.SIZE */
    uint32_t date; /* INTERNALDATE, unix seconds */
    _Atomic uint32_t turn;
    _Atomic uint64_t modseq;
    _Atomic uint64_t flags;
    uint64_t message; /* id, unique in the account */
};

struct image {
    uint32_t magic;
    uint32_t uidvalidity;
    uint64_t mailbox;
    uint64_t capacity;         /* entries there is room for */
    _Atomic uint64_t count;    /* entries published, expunged ones included */
    _Atomic uint64_t modseq;   /* HIGHESTMODSEQ */
    _Atomic uint64_t expunged; /* how many of `count` are marked */
    _Atomic uint32_t uidnext;
    _Atomic uint32_t keyword_count; /* published after the name */
    struct {
        uint8_t len;
        uint8_t name[IMAGE_KEYWORD_MAX];
    } keywords[IMAGE_KEYWORDS];
    _Alignas(64) struct image_entry entries[];
};

/* A consistent copy of one entry's changing part. */
struct image_state {
    uint64_t modseq, flags;
};

/* Bytes of an image with room for `capacity` entries. */
size_t image_size(uint64_t capacity);
/* Checks what a reader relies on (magic, capacity within `size`). False when not an image. */
bool image_valid(const struct image *image, size_t size) MUST_CHECK;
struct image_state image_read(const struct image_entry *entry);
/* Index of the first entry with this UID or a higher one, among the first `count`. */
uint64_t image_find(const struct image *image, uint64_t count, uint32_t uid);
struct slice image_keyword(const struct image *image, unsigned index);

/* Only for the writer. */
void image_write(struct image_entry *entry, uint64_t modseq, uint64_t flags);

#endif
