/* imap_set.c: sets of message numbers. Input: text of any client. Called by the command parser and the imap
 * role. */
#include <stdlib.h>
#include <string.h>

#include "grammar/imap_set.h"

/* seq-number = nz-number / "*" */
static bool parse_number(struct slice text, uint32_t *number)
{
    if (slice_eq(text, SLICE("*"))) {
        *number = IMAP_SET_STAR;
        return true;
    }
    uint64_t n;
    if (!slice_u64(text, UINT32_MAX, &n) || n == 0)
        return false;
    *number = (uint32_t)n;
    return true;
}

/* seq-range = seq-number ":" seq-number */
static bool parse_range(struct slice text, struct imap_range *range)
{
    ptrdiff_t colon = slice_find(text, ':');
    if (colon < 0) {
        if (!parse_number(text, &range->lo))
            return false;
        range->hi = range->lo;
        return true;
    }
    return parse_number(slice_sub(text, 0, (size_t)colon), &range->lo) &&
           parse_number(slice_from(text, (size_t)colon + 1), &range->hi);
}

/* sequence-set = (seq-number / seq-range) ["," sequence-set] / "$" */
enum err imap_set_parse_in(struct arena *arena, struct slice text, struct imap_set *set, struct why *why)
{
    if (slice_eq(text, SLICE("$"))) {
        *set = (struct imap_set){.saved = true};
        return ERR_OK;
    }
    size_t count = 1;
    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == ',';
    if (count > IMAP_SET_RANGES_MAX)
        return err_set(why, ERR_BAD, "Too many ranges in the message set (%d at most)", IMAP_SET_RANGES_MAX);
    if (text.len == 0 || text.ptr[text.len - 1] == ',')
        return err_set(why, ERR_BAD, "Invalid message set");
    struct imap_range *ranges = arena_try(arena, count * sizeof *ranges);
    if (!ranges)
        return err_set(why, ERR_BAD, "Message set too large");
    struct slice part;
    for (size_t i = 0; slice_token(&text, ',', &part); i++)
        if (!parse_range(part, &ranges[i]))
            return err_set(why, ERR_BAD, "Invalid message set");
    *set = (struct imap_set){.ranges = ranges, .count = count};
    return ERR_OK;
}

static int compare_ranges(const void *a, const void *b)
{
    const struct imap_range *x = a, *y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* Puts "*" and the order of the ends right; false for a range that selects nothing. */
static bool settle(struct imap_range *r, uint32_t star)
{
    if ((r->lo == IMAP_SET_STAR || r->hi == IMAP_SET_STAR) && star == 0)
        return false;
    if (r->lo == IMAP_SET_STAR)
        r->lo = star;
    if (r->hi == IMAP_SET_STAR)
        r->hi = star;
    if (r->lo > r->hi) {
        uint32_t lo = r->hi;
        r->hi = r->lo;
        r->lo = lo;
    }
    return true;
}

void imap_set_normalise(struct imap_set *set, uint32_t star)
{
    size_t kept = 0;
    bool sorted = true;
    for (size_t i = 0; i < set->count; i++) {
        struct imap_range r = set->ranges[i];
        if (!settle(&r, star))
            continue;
        sorted = sorted && (kept == 0 || set->ranges[kept - 1].lo <= r.lo);
        set->ranges[kept++] = r;
    }
    if (!sorted)
        qsort(set->ranges, kept, sizeof *set->ranges, compare_ranges);
    size_t n = 0;
    for (size_t i = 0; i < kept; i++) {
        struct imap_range r = set->ranges[i];
        if (n > 0 && r.lo <= (uint64_t)set->ranges[n - 1].hi + 1) {
            if (r.hi > set->ranges[n - 1].hi)
                set->ranges[n - 1].hi = r.hi;
        } else {
            set->ranges[n++] = r;
        }
    }
    set->count = n;
}

void imap_set_clip(struct imap_set *set, uint32_t lo, uint32_t hi)
{
    size_t kept = 0;
    for (size_t i = 0; i < set->count; i++) {
        struct imap_range r = set->ranges[i];
        r.lo = r.lo > lo ? r.lo : lo;
        r.hi = r.hi < hi ? r.hi : hi;
        if (r.lo <= r.hi)
            set->ranges[kept++] = r;
    }
    set->count = kept;
}

bool imap_set_contains(const struct imap_set *set, uint32_t number)
{
    size_t from = 0, to = set->count;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (number > set->ranges[mid].hi)
            from = mid + 1;
        else if (number < set->ranges[mid].lo)
            to = mid;
        else
            return true;
    }
    return false;
}

uint32_t imap_set_lowest(const struct imap_set *set)
{
    return set->count ? set->ranges[0].lo : 0;
}

uint32_t imap_set_highest(const struct imap_set *set)
{
    return set->count ? set->ranges[set->count - 1].hi : 0;
}

uint64_t imap_set_numbers(const struct imap_set *set)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < set->count; i++)
        sum += (uint64_t)set->ranges[i].hi - set->ranges[i].lo + 1;
    return sum;
}

void imap_set_write(struct buf *out, const struct imap_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        if (i > 0)
            buf_add_byte(out, ',');
        buf_add_u64(out, set->ranges[i].lo);
        if (set->ranges[i].hi != set->ranges[i].lo) {
            buf_add_byte(out, ':');
            buf_add_u64(out, set->ranges[i].hi);
        }
    }
}

struct imap_set_builder imap_set_builder_new(void)
{
    return (struct imap_set_builder){.ranges = buf_new(IMAP_SET_BUILT_MAX)};
}

void imap_set_builder_free(struct imap_set_builder *builder)
{
    if (builder)
        buf_free(&builder->ranges);
}

static struct imap_range *last_range(struct imap_set_builder *b)
{
    size_t size = sizeof(struct imap_range);
    return b->ranges.len ? (struct imap_range *)(void *)(b->ranges.data + b->ranges.len - size) : NULL;
}

void imap_set_builder_add_range(struct imap_set_builder *b, uint32_t lo, uint32_t hi)
{
    struct imap_range *last = last_range(b);
    if (last && lo <= (uint64_t)last->hi + 1) {
        if (hi > last->hi)
            last->hi = hi;
        return;
    }
    struct imap_range r = {lo, hi};
    buf_add(&b->ranges, slice_make(&r, sizeof r));
}

void imap_set_builder_add(struct imap_set_builder *b, uint32_t number)
{
    imap_set_builder_add_range(b, number, number);
}

struct imap_set imap_set_builder_view(const struct imap_set_builder *b)
{
    return (struct imap_set){.ranges = (struct imap_range *)(void *)b->ranges.data,
                             .count = b->ranges.len / sizeof(struct imap_range)};
}

bool imap_set_walk_next(struct imap_set_walk *w, uint32_t *number)
{
    if (w->range >= w->set->count)
        return false;
    const struct imap_range *r = &w->set->ranges[w->range];
    if (w->next < r->lo)
        w->next = r->lo;
    *number = w->next;
    if (w->next == r->hi)
        w->range++; /* the next range begins higher: `next` is raised then */
    else
        w->next++;
    return true;
}
