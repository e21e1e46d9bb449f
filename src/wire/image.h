/* image.h: an open mailbox's arrays, one copy, shared.
 *
 * A memfd that only `store` can write (sealed with F_SEAL_FUTURE_WRITE) and imap and http map read-only.
 * Entries are ordered by UID; new ones are appended; an expunged one stays, marked, until the image is made
 * anew. `count` is published after the entries behind it, so a reader never sees half an entry; flags and
 * modseq of one entry change together under the entry's own sequence number (`turn`, odd while it is being
 * written).
 *
 * An entry has 36 bytes, because a mailbox of a million messages has a million of them; so there is nothing
 * wider than 32 bits in it, and outside this file its parts but the UID are read by functions.
 *
 * So that a SELECT, or the news of one change, costs no walk over all entries, each block of them has a
 * summary: how many lack \Seen, have \Deleted, are expunged, the last change. It is written behind the entry
 * and before `expunged` and `modseq`: a reader that has loaded one of these finds what it counts.
 */
#ifndef WIRE_IMAGE_H
#define WIRE_IMAGE_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/slice.h"

#define IMAGE_MAGIC       0x33474d49u /* "IMG3" */
#define IMAGE_KEYWORDS    56u
#define IMAGE_KEYWORD_MAX 60u /* bytes of a keyword's name */
#define IMAGE_BLOCKS      128u

/* Bits of image_entry.flags: RFC 3501 section 2.3.2, then keywords from IMAGE_KEYWORD_SHIFT on. */
#define IMAGE_SEEN          (1ull << 0)
#define IMAGE_ANSWERED      (1ull << 1)
#define IMAGE_FLAGGED       (1ull << 2)
#define IMAGE_DELETED       (1ull << 3)
#define IMAGE_DRAFT         (1ull << 4)
#define IMAGE_SYSTEM_FLAGS  0x1full
#define IMAGE_EXPUNGED      (1ull << 7) /* gone since `modseq` */
#define IMAGE_KEYWORD_SHIFT 8

/* The highest message id: an entry has 48 bits for it. Where ids are made and loaded (blank.c, load.c,
 * packed.c, paths.c of store) no higher one is let in. */
#define IMAGE_MESSAGE_MAX ((1ull << 48) - 1)

/* Numbers of 64 bits are two halves, the low one first. A reader believes both halves only between two equal
 * even turns. The turn has 16 bits: it would deceive a reader that stands still between two loads while this
 * one message changes exactly 32,768 times, each time in a commit of its own. */
struct image_entry {
    uint32_t uid;
    uint32_t size; /* RFC822.SIZE */
    uint32_t date; /* INTERNALDATE, unix seconds */
    uint32_t message_low;
    uint16_t message_high;
    _Atomic uint16_t turn;
    _Atomic uint32_t modseq[2];
    _Atomic uint32_t flags[2]; /* system flags and IMAGE_EXPUNGED stand in the low half */
};
_Static_assert(sizeof(struct image_entry) == 36, "a million messages fit in 36 MB");

/* A run of 1 << block_shift entries. */
struct image_block {
    _Atomic uint64_t modseq;  /* no entry here has a higher one */
    _Atomic uint32_t unseen;  /* entries without \Seen, expunged ones left out */
    _Atomic uint32_t deleted; /* entries with \Deleted, expunged ones left out */
    _Atomic uint32_t expunged;
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
    uint32_t block_shift;
    struct image_block blocks[IMAGE_BLOCKS];
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

/* The part that never changes. `message` is its id, unique in the account, at most IMAGE_MESSAGE_MAX. */
struct image_fixed {
    uint32_t uid, size, date;
    uint64_t message;
};

/* Bytes of an image with room for `capacity` entries. */
size_t image_size(uint64_t capacity);
/* Checks what a reader relies on (magic, capacity within `size`). False when not an image. */
bool image_valid(const struct image *image, size_t size) MUST_CHECK;
struct image_state image_read(const struct image_entry *entry);
/* Index of the first entry with this UID or a higher one, among the first `count`. */
uint64_t image_find(const struct image *image, uint64_t count, uint32_t uid);
struct slice image_keyword(const struct image *image, unsigned index);

static inline uint64_t image_message(const struct image_entry *entry)
{
    return (uint64_t)entry->message_high << 32 | entry->message_low;
}

static inline uint32_t image_octets(const struct image_entry *entry)
{
    return entry->size;
}

static inline uint32_t image_date(const struct image_entry *entry)
{
    return entry->date;
}

/* The system flags and IMAGE_EXPUNGED alone, which stand in one word and so are never torn; without the
 * modseq they came with. */
static inline uint32_t image_bits(const struct image_entry *entry)
{
    return atomic_load_explicit(&entry->flags[0], memory_order_acquire);
}

static inline bool image_is_expunged(const struct image_entry *entry)
{
    return image_bits(entry) & IMAGE_EXPUNGED;
}

/* The first index from `from` to below `end` (at most the capacity) whose entry is expunged; has not \Seen,
 * or has \Deleted, and is not expunged; may have changed since `modseq`, which may be any from there to the
 * end of its block. `end` when there is none. */
uint64_t image_next_expunged(const struct image *image, uint64_t from, uint64_t end);
uint64_t image_next_unseen(const struct image *image, uint64_t from, uint64_t end);
uint64_t image_next_deleted(const struct image *image, uint64_t from, uint64_t end);
uint64_t image_next_changed(const struct image *image, uint64_t from, uint64_t end, uint64_t modseq);

/* ---- only for the writer ---- */

/* For an image of zeros: what never changes. */
void image_start(struct image *image, uint64_t mailbox, uint32_t uidvalidity, uint64_t capacity);
/* Fills an entry at or behind `count`, which nobody has been told of yet. */
void image_place(struct image *image, uint64_t index, const struct image_fixed *fixed,
                 struct image_state state);
/* The same for an entry that stands elsewhere until it is written to its place. */
void image_place_at(struct image *image, uint64_t index, struct image_entry *entry,
                    const struct image_fixed *fixed, struct image_state state);
/* With IMAGE_EXPUNGED, which then stays, the message is gone. */
void image_write(struct image *image, uint64_t index, uint64_t modseq, uint64_t flags);
/* As image_read(), for the one thread that writes. */
struct image_state image_own(const struct image_entry *entry);

#endif
