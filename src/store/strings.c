/* strings.c: texts as numbers, with ranks that are made when they are asked for. Input: collation keys of
 * strangers' headers, hence a keyed hash. Called by sortkeys.c. */
#include "store/strings.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "store/sort.h"

#define FREE UINT32_MAX

void strings_start(struct strings *s)
{
    *s = (struct strings){.bytes = buf_new(STRINGS_BYTES_MAX), .cap = 64, .mask = 127};
    random_fill(&s->key, sizeof s->key);
    s->starts = mem_zero(s->cap + 1, sizeof *s->starts);
    s->hashes = mem_zero(s->cap, sizeof *s->hashes);
    s->slots = mem_alloc((s->mask + 1) * sizeof *s->slots);
    memset(s->slots, 0xff, (s->mask + 1) * sizeof *s->slots);
    s->count = 1; /* the empty text; it stands in no slot */
}

void strings_stop(struct strings *s)
{
    buf_free(&s->bytes);
    free(s->starts);
    free(s->hashes);
    free(s->slots);
    free(s->ranks);
    free(s->sorted);
    *s = (struct strings){0};
}

struct slice strings_text(const struct strings *s, uint32_t number)
{
    return slice_make(s->bytes.data + s->starts[number], s->starts[number + 1] - s->starts[number]);
}

static void grow(struct strings *s)
{
    s->cap *= 2;
    s->starts = mem_realloc(s->starts, (s->cap + 1) * sizeof *s->starts);
    s->hashes = mem_realloc(s->hashes, s->cap * sizeof *s->hashes);
    s->mask = 2 * s->cap - 1;
    s->slots = mem_realloc(s->slots, (s->mask + 1) * sizeof *s->slots);
    memset(s->slots, 0xff, (s->mask + 1) * sizeof *s->slots);
    for (uint32_t i = 1; i < s->count; i++) {
        uint32_t at = s->hashes[i] & s->mask;
        while (s->slots[at] != FREE)
            at = (at + 1) & s->mask;
        s->slots[at] = i;
    }
}

uint32_t strings_number(struct strings *s, struct slice text)
{
    if (text.len == 0)
        return 0;
    uint32_t hash = (uint32_t)hash_sip(&s->key, text), at = hash & s->mask;
    for (; s->slots[at] != FREE; at = (at + 1) & s->mask)
        if (s->hashes[s->slots[at]] == hash && slice_eq(strings_text(s, s->slots[at]), text))
            return s->slots[at];
    if (s->count >= STRINGS_MAX || s->bytes.len + text.len > STRINGS_BYTES_MAX)
        return 0;
    uint32_t number = s->count++;
    buf_add(&s->bytes, text);
    s->hashes[number] = hash;
    s->starts[number + 1] = (uint32_t)s->bytes.len;
    s->slots[at] = number;
    if (s->count == s->cap)
        grow(s);
    return number;
}

/* ---- ranks ---- */

/* The first eight bytes as a number that compares as they do. */
static uint64_t prefix(struct slice text)
{
    uint64_t p = 0;
    for (size_t i = 0; i < 8; i++)
        p = p << 8 | (i < text.len ? text.ptr[i] : 0);
    return p;
}

static int compare(const struct strings *s, uint32_t a, uint32_t b)
{
    return slice_cmp(strings_text(s, a), strings_text(s, b));
}

static int order(const void *a, const void *b, void *strings)
{
    return compare(strings, ((const struct sort_item *)a)->index, ((const struct sort_item *)b)->index);
}

/* Numbers from `from` on, sorted: by the first eight bytes, then those alike in them by all. */
static struct sort_item *sort_new(struct strings *s, uint32_t from)
{
    uint32_t count = s->count - from;
    struct sort_item *items = mem_alloc((2 * (size_t)count + 1) * sizeof *items);
    for (uint32_t i = 0; i < count; i++)
        items[i] = (struct sort_item){prefix(strings_text(s, from + i)), from + i};
    sort_items(items, items + count, count);
    for (uint32_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && items[end].key == items[i].key;)
            end++;
        if (end - i > 1)
            qsort_r(items + i, end - i, sizeof *items, order, s);
    }
    return items;
}

/* Merges the new ones into those that have their places, from the end. */
static void merge_ranks(struct strings *s, const struct sort_item *fresh, uint32_t count)
{
    uint32_t old = s->ranked, to = old + count;
    while (count > 0) {
        if (old > 0 && compare(s, s->sorted[old - 1], fresh[count - 1].index) > 0)
            s->sorted[--to] = s->sorted[--old];
        else
            s->sorted[--to] = fresh[--count].index;
    }
}

const uint32_t *strings_ranks(struct strings *s)
{
    if (s->ranked == s->count)
        return s->ranks;
    if (s->rank_cap < s->count) {
        s->rank_cap = s->cap;
        s->ranks = mem_realloc(s->ranks, s->rank_cap * sizeof *s->ranks);
        s->sorted = mem_realloc(s->sorted, s->rank_cap * sizeof *s->sorted);
    }
    struct sort_item *fresh = sort_new(s, s->ranked);
    merge_ranks(s, fresh, s->count - s->ranked);
    free(fresh);
    s->ranked = s->count;
    for (uint32_t i = 0; i < s->count; i++)
        s->ranks[s->sorted[i]] = i;
    return s->ranks;
}

size_t strings_memory(const struct strings *s)
{
    return s->bytes.cap + (size_t)s->cap * 8 + ((size_t)s->mask + 1) * 4 + (size_t)s->rank_cap * 8;
}
