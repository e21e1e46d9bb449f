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

void image_place(struct image_entry *entry, const struct image_fixed *fixed, struct image_state state)
{
    entry->uid = fixed->uid;
    entry->size = fixed->size;
    entry->date = fixed->date;
    entry->message_low = (uint32_t)fixed->message;
    entry->message_high = (uint16_t)(fixed->message >> 32);
    set_halves(entry->modseq, state.modseq);
    set_halves(entry->flags, state.flags);
}

void image_write(struct image_entry *entry, uint64_t modseq, uint64_t flags)
{
    uint16_t turn = atomic_load_explicit(&entry->turn, memory_order_relaxed);
    atomic_store_explicit(&entry->turn, (uint16_t)(turn + 1), memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    set_halves(entry->modseq, modseq);
    set_halves(entry->flags, flags);
    atomic_store_explicit(&entry->turn, (uint16_t)(turn + 2), memory_order_release);
}
