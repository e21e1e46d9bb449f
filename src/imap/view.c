/* view.c: sequence numbers. Input: sets of clients (bounded by the parser), images of store. Called by the
 * commands and sync.c. */
#include "imap/view.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static void collect_gone(struct imap_view *v)
{
    const struct image *image = v->map->image;
    if (atomic_load_explicit(&image->expunged, memory_order_acquire) == 0)
        return;
    for (uint64_t i = 0; (i = image_next_expunged(image, i, v->known)) < v->known; i++) {
        if (v->gone_count == v->gone_cap) {
            v->gone_cap = v->gone_cap ? 2 * v->gone_cap : 16;
            v->gone = mem_realloc(v->gone, v->gone_cap * sizeof *v->gone);
        }
        v->gone[v->gone_count++] = (uint32_t)i;
    }
}

void imap_view_open(struct imap_view *v, struct imap_map *map)
{
    *v = (struct imap_view){0};
    v->map = imap_map_ref(map);
    v->live = imap_map_ref(map);
    v->modseq = atomic_load_explicit(&map->image->modseq, memory_order_acquire);
    v->keywords = atomic_load_explicit(&map->image->keyword_count, memory_order_acquire);
    v->known = imap_map_count(map);
    collect_gone(v);
}

void imap_view_close(struct imap_view *v)
{
    imap_map_unref(&v->map);
    imap_map_unref(&v->live);
    free(v->gone);
    *v = (struct imap_view){0};
}

uint32_t imap_view_exists(const struct imap_view *v)
{
    return v->known - v->gone_count;
}

uint32_t imap_indexes_below(const uint32_t *indexes, uint32_t count, uint32_t index)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (indexes[middle] < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t find_uid(const struct imap_view *v, uint32_t uid)
{
    return (uint32_t)image_find(v->map->image, v->known, uid);
}

uint32_t imap_view_recent(const struct imap_view *v)
{
    if (v->recent_from == 0 || v->known == 0 || imap_view_entry(v, v->known - 1)->uid < v->recent_from)
        return 0; /* as most often: no search all over the image */
    uint32_t from = find_uid(v, v->recent_from), to = v->recent_to ? find_uid(v, v->recent_to) : v->known;
    uint32_t gone =
        imap_indexes_below(v->gone, v->gone_count, to) - imap_indexes_below(v->gone, v->gone_count, from);
    return to - from - gone;
}

/* The index i with i - (gone below i) = seq - 1 that is not gone itself: gone[k] - k grows, so the number of
 * gone ones in front of it can be searched. */
uint32_t imap_view_index(const struct imap_view *v, uint32_t seq)
{
    uint32_t low = 0, high = v->gone_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (v->gone[middle] - middle <= seq - 1)
            low = middle + 1;
        else
            high = middle;
    }
    return seq - 1 + low;
}

uint32_t imap_view_seq(const struct imap_view *v, uint32_t index)
{
    uint32_t below = imap_indexes_below(v->gone, v->gone_count, index);
    if (index >= v->known || (below < v->gone_count && v->gone[below] == index))
        return 0;
    return index - below + 1;
}

uint32_t imap_view_seq_of_uid(const struct imap_view *v, uint32_t uid)
{
    uint32_t index = find_uid(v, uid);
    return index < v->known && v->map->image->entries[index].uid == uid ? imap_view_seq(v, index) : 0;
}

const struct image_entry *imap_view_entry(const struct imap_view *v, uint32_t index)
{
    return &v->map->image->entries[index];
}

struct image_state imap_view_state(const struct imap_view *v, uint32_t index)
{
    const struct image_entry *entry = imap_view_entry(v, index);
    if (v->live == v->map)
        return image_read(entry);
    const struct image *live = v->live->image;
    uint32_t count = imap_map_count(v->live);
    uint64_t at = image_find(live, count, entry->uid);
    if (at < count && live->entries[at].uid == entry->uid)
        return image_read(&live->entries[at]);
    struct image_state state = image_read(entry);
    state.flags |= IMAGE_EXPUNGED;
    return state;
}

uint32_t imap_view_last_uid(const struct imap_view *v)
{
    uint32_t exists = imap_view_exists(v);
    return exists ? imap_view_entry(v, imap_view_index(v, exists))->uid : 0;
}

uint32_t imap_view_uidnext(const struct imap_view *v)
{
    return atomic_load_explicit(&v->live->image->uidnext, memory_order_acquire);
}

uint64_t imap_view_live_modseq(const struct imap_view *v)
{
    return atomic_load_explicit(&v->live->image->modseq, memory_order_acquire);
}

bool imap_view_is_recent(const struct imap_view *v, uint32_t uid)
{
    return v->recent_from != 0 && uid >= v->recent_from && (!v->recent_to || uid < v->recent_to);
}

void imap_view_own(struct imap_view *v, uint64_t modseq)
{
    if (modseq > 0) /* 0: nothing was changed */
        v->own[v->own_at++ % IMAP_VIEW_OWN] = modseq;
}

bool imap_view_is_own(const struct imap_view *v, uint64_t modseq)
{
    for (unsigned i = 0; i < IMAP_VIEW_OWN; i++)
        if (v->own[i] == modseq)
            return true;
    return false;
}

struct imap_view_walk imap_view_walk(const struct imap_view *view, const struct imap_set *set, bool by_uid)
{
    return (struct imap_view_walk){.view = view, .set = set, .by_uid = by_uid};
}

static void enter_range(struct imap_view_walk *w)
{
    const struct imap_view *v = w->view;
    struct imap_range r = w->set->ranges[w->range++];
    uint32_t exists = imap_view_exists(v);
    if (w->by_uid) {
        w->index = find_uid(v, r.lo);
        w->end = r.hi == UINT32_MAX ? v->known : find_uid(v, r.hi + 1);
    } else if (r.lo > exists) {
        w->index = w->end = v->known;
    } else {
        w->index = imap_view_index(v, r.lo);
        w->end = r.hi >= exists ? v->known : imap_view_index(v, r.hi) + 1;
    }
    w->gone_at = imap_indexes_below(v->gone, v->gone_count, w->index);
    w->seq = w->index - w->gone_at + 1;
}

static void leap(struct imap_view_walk *w)
{
    const struct imap_view *v = w->view;
    uint32_t to = (uint32_t)w->leap(v->map->image, w->index, w->end);
    if (to == w->index)
        return;
    w->index = to;
    w->gone_at = imap_indexes_below(v->gone, v->gone_count, to);
    w->seq = to - w->gone_at + 1;
}

bool imap_view_next(struct imap_view_walk *w, struct imap_message *message)
{
    const struct imap_view *v = w->view;
    for (;;) {
        while (w->index >= w->end) {
            if (w->range >= w->set->count)
                return false;
            enter_range(w);
        }
        if (w->leap)
            leap(w);
        if (w->index >= w->end)
            continue;
        uint32_t index = w->index++;
        if (w->gone_at < v->gone_count && v->gone[w->gone_at] == index) {
            w->gone_at++;
            continue;
        }
        *message =
            (struct imap_message){.seq = w->seq++, .index = index, .uid = imap_view_entry(v, index)->uid};
        return true;
    }
}

bool imap_view_resolve(const struct imap_view *v, struct imap_set *set, bool by_uid)
{
    uint32_t exists = imap_view_exists(v);
    imap_set_normalise(set, by_uid ? imap_view_last_uid(v) : exists);
    return by_uid || imap_set_highest(set) <= exists;
}

/* Between two neighbours of the view there is no other message, so one range may span both: "all" is one
 * range whatever was expunged before. */
struct imap_set_builder imap_view_uids(const struct imap_view *v, const struct imap_set *set, bool by_uid)
{
    struct imap_set_builder uids = imap_set_builder_new();
    struct imap_message m, last = {0};
    for (struct imap_view_walk w = imap_view_walk(v, set, by_uid); imap_view_next(&w, &m); last = m)
        imap_set_builder_add_range(&uids, last.seq && m.seq == last.seq + 1 ? last.uid : m.uid, m.uid);
    return uids;
}
