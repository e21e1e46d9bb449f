/* sort.c: a radix sort, byte by byte from the last. Bytes all keys share are skipped, and what is in order
 * already (dates of a mailbox nearly are) costs one look. Called by sorting.c, threads.c and sortkeys.c. */
#include "store/sort.h"

#include <stdbool.h>
#include <string.h>

#define SORT_SMALL 48 /* below, insertion is faster */

uint64_t sort_signed(int64_t number)
{
    return (uint64_t)number ^ (1ull << 63);
}

static bool is_sorted(const struct sort_item *items, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (items[i].key < items[i - 1].key)
            return false;
    return true;
}

static void sort_by_insertion(struct sort_item *items, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct sort_item item = items[i];
        size_t at = i;
        for (; at > 0 && items[at - 1].key > item.key; at--)
            items[at] = items[at - 1];
        items[at] = item;
    }
}

/* One byte: false when all keys have the same there and nothing was moved. */
static bool sort_by_byte(const struct sort_item *from, struct sort_item *to, size_t count, unsigned shift)
{
    size_t starts[256] = {0}, sum = 0;
    for (size_t i = 0; i < count; i++)
        starts[from[i].key >> shift & 0xff]++;
    if (starts[from[0].key >> shift & 0xff] == count)
        return false;
    for (size_t b = 0; b < 256; b++) {
        size_t these = starts[b];
        starts[b] = sum;
        sum += these;
    }
    for (size_t i = 0; i < count; i++)
        to[starts[from[i].key >> shift & 0xff]++] = from[i];
    return true;
}

void sort_items(struct sort_item *items, struct sort_item *spare, size_t count)
{
    if (is_sorted(items, count))
        return;
    if (count <= SORT_SMALL) {
        sort_by_insertion(items, count);
        return;
    }
    struct sort_item *from = items, *to = spare;
    for (unsigned shift = 0; shift < 64; shift += 8) {
        if (!sort_by_byte(from, to, count, shift))
            continue;
        struct sort_item *swap = from;
        from = to;
        to = swap;
    }
    if (from != items)
        memcpy(items, from, count * sizeof *items);
}
