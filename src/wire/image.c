/* image.c: reading and writing the arrays of an open mailbox. A reader maps what another process writes:
 * every index is clamped to the capacity that was checked against the size of the mapping, an entry is copied
 * under its own sequence number. Called by store (writer), imap and http (readers). */
#include "wire/image.h"

#include <stddef.h>
#include <time.h>

size_t image_size(uint64_t capacity)
{
    return offsetof(struct image, entries) + (size_t)capacity * sizeof(struct image_entry);
}

bool image_valid(const struct image *image, size_t size)
{
    if (size < offsetof(struct image, entries) || image->magic != IMAGE_MAGIC)
        return false;
    if (image->capacity > (size - offsetof(struct image, entries)) / sizeof(struct image_entry))
        return false;
    if (image->block_shift > 31 || image->capacity > (uint64_t)IMAGE_BLOCKS << image->block_shift)
        return false;
    return atomic_load_explicit(&image->count, memory_order_acquire) <= image->capacity;
}

/* A writer that only lost the processor in the middle of an entry is waited for; one that died there leaves
 * the turn odd, and must not hold the reader for ever. */
#define IMAGE_SPINS  1000
#define IMAGE_NAPS   500
#define IMAGE_NAP_NS 50000

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = IMAGE_NAP_NS}, NULL);
}

static uint64_t halves(const _Atomic uint32_t from[2])
{
    return (uint64_t)atomic_load_explicit(&from[1], memory_order_relaxed) << 32 |
           atomic_load_explicit(&from[0], memory_order_relaxed);
}

static void set_halves(_Atomic uint32_t to[2], uint64_t value)
{
    atomic_store_explicit(&to[0], (uint32_t)value, memory_order_relaxed);
    atomic_store_explicit(&to[1], (uint32_t)(value >> 32), memory_order_relaxed);
}

struct image_state image_own(const struct image_entry *entry)
{
    return (struct image_state){.modseq = halves(entry->modseq), .flags = halves(entry->flags)};
}

/* A sequence lock: the copy counts when the turn was even and the same before and after it. The first load
 * meets the store that ends a turn: all halves are of that turn or later. A half of a later turn brings, by
 * the two fences, the odd number its writer had set before: the second load finds it, or a higher one. */
struct image_state image_read(const struct image_entry *entry)
{
    struct image_state state;
    for (unsigned tries = 1;; tries++) {
        uint16_t before = atomic_load_explicit(&entry->turn, memory_order_acquire);
        state = image_own(entry);
        atomic_thread_fence(memory_order_acquire);
        uint16_t after = atomic_load_explicit(&entry->turn, memory_order_relaxed);
        if ((before == after && !(before & 1)) || tries == IMAGE_SPINS + IMAGE_NAPS)
            return state;
        if (tries > IMAGE_SPINS)
            nap();
    }
}

uint64_t image_find(const struct image *image, uint64_t count, uint32_t uid)
{
    uint64_t low = 0, high = count < image->capacity ? count : image->capacity;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (image->entries[middle].uid < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct slice image_keyword(const struct image *image, unsigned index)
{
    if (index >= IMAGE_KEYWORDS || index >= atomic_load_explicit(&image->keyword_count, memory_order_acquire))
        return SLICE_EMPTY;
    uint8_t len = image->keywords[index].len;
    return slice_make(image->keywords[index].name, len <= IMAGE_KEYWORD_MAX ? len : IMAGE_KEYWORD_MAX);
}

/* ---- blocks ---- */

typedef bool block_has(const struct image_block *block, uint64_t modseq);
typedef bool entry_is(const struct image_entry *entry, uint64_t modseq);

/* The next entry that is so, looked for only in blocks that have such. */
static inline __attribute__((always_inline)) uint64_t next_in_blocks(const struct image *image, uint64_t from,
                                                                     uint64_t end, block_has *has,
                                                                     entry_is *is, uint64_t modseq)
{
    end = end < image->capacity ? end : image->capacity;
    while (from < end) {
        uint64_t block = from >> image->block_shift, stop = (block + 1) << image->block_shift;
        stop = stop < end ? stop : end;
        for (bool some = has(&image->blocks[block % IMAGE_BLOCKS], modseq); some && from < stop; from++)
            if (is(&image->entries[from], modseq))
                return from;
        from = stop;
    }
    return end;
}

static bool has_expunged(const struct image_block *block, uint64_t modseq)
{
    (void)modseq;
    return atomic_load_explicit(&block->expunged, memory_order_acquire) > 0;
}

static bool is_expunged(const struct image_entry *entry, uint64_t modseq)
{
    (void)modseq;
    return image_is_expunged(entry);
}

static bool has_unseen(const struct image_block *block, uint64_t modseq)
{
    (void)modseq;
    return atomic_load_explicit(&block->unseen, memory_order_acquire) > 0;
}

static bool is_unseen(const struct image_entry *entry, uint64_t modseq)
{
    (void)modseq;
    return !(image_bits(entry) & (IMAGE_SEEN | IMAGE_EXPUNGED));
}

static bool has_deleted(const struct image_block *block, uint64_t modseq)
{
    (void)modseq;
    return atomic_load_explicit(&block->deleted, memory_order_acquire) > 0;
}

static bool is_deleted(const struct image_entry *entry, uint64_t modseq)
{
    (void)modseq;
    return (image_bits(entry) & (IMAGE_DELETED | IMAGE_EXPUNGED)) == IMAGE_DELETED;
}

static bool has_changed(const struct image_block *block, uint64_t modseq)
{
    return atomic_load_explicit(&block->modseq, memory_order_acquire) > modseq;
}

static bool any_entry(const struct image_entry *entry, uint64_t modseq)
{
    (void)entry, (void)modseq;
    return true;
}

uint64_t image_next_expunged(const struct image *image, uint64_t from, uint64_t end)
{
    return next_in_blocks(image, from, end, has_expunged, is_expunged, 0);
}

uint64_t image_next_unseen(const struct image *image, uint64_t from, uint64_t end)
{
    return next_in_blocks(image, from, end, has_unseen, is_unseen, 0);
}

uint64_t image_next_deleted(const struct image *image, uint64_t from, uint64_t end)
{
    return next_in_blocks(image, from, end, has_deleted, is_deleted, 0);
}

uint64_t image_next_changed(const struct image *image, uint64_t from, uint64_t end, uint64_t modseq)
{
    return next_in_blocks(image, from, end, has_changed, any_entry, modseq);
}

/* ---- writing ---- */

void image_start(struct image *image, uint64_t mailbox, uint32_t uidvalidity, uint64_t capacity)
{
    image->magic = IMAGE_MAGIC;
    image->uidvalidity = uidvalidity;
    image->mailbox = mailbox;
    image->capacity = capacity;
    while (capacity > (uint64_t)IMAGE_BLOCKS << image->block_shift)
        image->block_shift++;
}

/* There is one writer, so nothing can come between the two. */
static void add_to(_Atomic uint32_t *counter, uint32_t by)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
                          memory_order_release);
}

static uint32_t unseen(uint64_t flags)
{
    return flags & (IMAGE_SEEN | IMAGE_EXPUNGED) ? 0 : 1;
}

static uint32_t deleted(uint64_t flags)
{
    return (flags & (IMAGE_DELETED | IMAGE_EXPUNGED)) == IMAGE_DELETED;
}

/* The summary after an entry went from some flags to others. */
static void count_change(struct image *image, uint64_t index, uint64_t modseq, uint64_t old, uint64_t flags)
{
    struct image_block *block = &image->blocks[index >> image->block_shift];
    if (modseq > atomic_load_explicit(&block->modseq, memory_order_relaxed))
        atomic_store_explicit(&block->modseq, modseq, memory_order_release);
    if (unseen(old) != unseen(flags))
        add_to(&block->unseen, unseen(flags) - unseen(old));
    if (deleted(old) != deleted(flags))
        add_to(&block->deleted, deleted(flags) - deleted(old));
    if (!(~old & flags & IMAGE_EXPUNGED))
        return;
    add_to(&block->expunged, 1);
    atomic_fetch_add_explicit(&image->expunged, 1, memory_order_release);
}

void image_place(struct image *image, uint64_t index, const struct image_fixed *fixed,
                 struct image_state state)
{
    image_place_at(image, index, &image->entries[index], fixed, state);
}

void image_place_at(struct image *image, uint64_t index, struct image_entry *entry,
                    const struct image_fixed *fixed, struct image_state state)
{
    entry->uid = fixed->uid;
    entry->size = fixed->size;
    entry->date = fixed->date;
    entry->message_low = (uint32_t)fixed->message;
    entry->message_high = (uint16_t)(fixed->message >> 32);
    set_halves(entry->modseq, state.modseq);
    set_halves(entry->flags, state.flags);
    count_change(image, index, state.modseq, IMAGE_SEEN, state.flags);
}

void image_write(struct image *image, uint64_t index, uint64_t modseq, uint64_t flags)
{
    struct image_entry *entry = &image->entries[index];
    uint64_t old = halves(entry->flags);
    uint16_t turn = atomic_load_explicit(&entry->turn, memory_order_relaxed);
    atomic_store_explicit(&entry->turn, (uint16_t)(turn + 1), memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    set_halves(entry->modseq, modseq);
    set_halves(entry->flags, flags);
    atomic_store_explicit(&entry->turn, (uint16_t)(turn + 2), memory_order_release);
    count_change(image, index, modseq, old, flags);
}
