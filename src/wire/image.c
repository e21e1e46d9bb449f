/* image.c: reading and writing the arrays of an open mailbox. A reader maps what another process writes:
 * every index is clamped to the capacity that was checked against the size of the mapping, an entry is copied
 * under its own sequence number. Called by store (writer), imap and http (readers). */
#include "wire/image.h"

#include <stddef.h>

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
    return atomic_load_explicit(&image->count, memory_order_acquire) <= image->capacity;
}

/* A writer that died in the middle of an entry leaves its turn odd: the reader must not wait for it for ever.
 */
#define IMAGE_TRIES 100000

/* A sequence lock: the copy counts when the turn was even and the same before and after it. */
struct image_state image_read(const struct image_entry *entry)
{
    struct image_state state;
    uint32_t before, after;
    unsigned tries = 0;
    do {
        before = atomic_load_explicit(&entry->turn, memory_order_acquire);
        state.modseq = atomic_load_explicit(&entry->modseq, memory_order_relaxed);
        state.flags = atomic_load_explicit(&entry->flags, memory_order_relaxed);
        atomic_thread_fence(memory_order_acquire);
        after = atomic_load_explicit(&entry->turn, memory_order_relaxed);
    } while ((before != after || (before & 1)) && ++tries < IMAGE_TRIES);
    return state;
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

void image_write(struct image_entry *entry, uint64_t modseq, uint64_t flags)
{
    uint32_t turn = atomic_load_explicit(&entry->turn, memory_order_relaxed);
    atomic_store_explicit(&entry->turn, turn + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&entry->modseq, modseq, memory_order_relaxed);
    atomic_store_explicit(&entry->flags, flags, memory_order_relaxed);
    atomic_store_explicit(&entry->turn, turn + 2, memory_order_release);
}
