/* view.c: making, growing and writing mailbox images. Input: entries from the account's own index. Called by
 * the account layer only. */
#include "store/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/io.h"
#include "base/mem.h"
#include "wire/wire.h"

#define PAGE          4096u
#define VIEW_CAPACITY (64u << 20) /* messages in one mailbox */
#define VIEW_WINDOW   1820        /* entries written at once: 64 KiB */

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* Entries that are not in the image yet. */
struct view_window {
    uint64_t from; /* index of the first */
    struct image_entry entries[VIEW_WINDOW];
};

static enum err map_image(struct view *view, struct why *why)
{
    enum err err = io_memfd("mailbox", &view->fd, why);
    if (!err)
        err = io_truncate(view->fd, view->size, why);
    if (err)
        return err;
    void *at = mmap(NULL, view->size, PROT_READ | PROT_WRITE, MAP_SHARED, view->fd, 0);
    if (at == MAP_FAILED)
        return err_errno(why, errno, "mmap of a mailbox image");
    view->image = at;
    return ERR_OK;
}

/* Readers map the same descriptor: after the seal no new writable mapping can be made of it, ours stays. */
static enum err seal(const struct view *view, struct why *why)
{
    if (fcntl(view->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0)
        return err_errno(why, errno, "sealing a mailbox image");
    return ERR_OK;
}

static enum err start(uint64_t mailbox, uint32_t uidvalidity, uint64_t capacity, struct view **out,
                      struct why *why)
{
    if (capacity > VIEW_CAPACITY)
        return err_set(why, ERR_REFUSED, "too many messages in a mailbox");
    struct view *view = mem_zero(1, sizeof *view);
    view->fd = -1;
    view->size = (image_size(capacity + capacity / 8 + VIEW_RESERVE) + PAGE - 1) / PAGE * PAGE;
    enum err err = map_image(view, why);
    if (err) {
        view_free(&view);
        return err;
    }
    image_start(view->image, mailbox, uidvalidity, (view->size - image_size(0)) / sizeof(struct image_entry));
    *out = view;
    return ERR_OK;
}

enum err view_new_to_fill(uint64_t mailbox, uint32_t uidvalidity, uint64_t capacity, struct view **view,
                          struct why *why)
{
    enum err err = start(mailbox, uidvalidity, capacity, view, why);
    if (!err && capacity > VIEW_WINDOW)
        (*view)->window = mem_zero(1, sizeof *(*view)->window);
    return err;
}

static enum err write_window(struct view *view, struct why *why)
{
    struct view_window *w = view->window;
    uint64_t count = view_count(view) - w->from;
    struct slice bytes = slice_make((const uint8_t *)w->entries, (size_t)count * sizeof *w->entries);
    enum err err = io_pwrite_all(view->fd, bytes, image_size(w->from), why);
    if (!err)
        w->from += count;
    return err;
}

enum err view_filled(struct view *view, struct why *why)
{
    enum err err = view->window ? write_window(view, why) : ERR_OK;
    free(view->window);
    view->window = NULL;
    return err ? err : seal(view, why);
}

enum err view_new(uint64_t mailbox, uint32_t uidvalidity, uint64_t capacity, struct view **out,
                  struct why *why)
{
    struct view *view = NULL;
    enum err err = start(mailbox, uidvalidity, capacity, &view, why);
    if (!view)
        return err;
    err = seal(view, why);
    if (err)
        view_free(&view);
    else
        *out = view;
    return err;
}

void view_free(struct view **view)
{
    if (!view || !*view)
        return;
    if ((*view)->image)
        (void)munmap((*view)->image, (*view)->size);
    io_close(&(*view)->fd);
    free((*view)->window);
    free(*view);
    *view = NULL;
}

uint64_t view_count(const struct view *view)
{
    return atomic_load_explicit(&view->image->count, memory_order_relaxed);
}

uint64_t view_room(const struct view *view)
{
    return view->image->capacity - view_count(view);
}

struct entry view_entry(const struct view *view, uint64_t index)
{
    const struct image_entry *e = &view->image->entries[index];
    struct image_state state = image_own(e);
    return (struct entry){.uid = e->uid,
                          .size = image_octets(e),
                          .date = image_date(e),
                          .modseq = state.modseq,
                          .flags = state.flags,
                          .message = image_message(e)};
}

bool view_alive(const struct view *view, uint64_t index)
{
    return !image_is_expunged(&view->image->entries[index]);
}

uint64_t view_find(const struct view *view, uint32_t uid)
{
    uint64_t count = view_count(view), at = image_find(view->image, count, uid);
    return at < count && view->image->entries[at].uid == uid && view_alive(view, at) ? at : UINT64_MAX;
}

static void place(struct view *view, uint64_t at, struct image_entry *to, const struct entry *e)
{
    image_place_at(view->image, at, to, &(struct image_fixed){e->uid, e->size, e->date, e->message},
                   (struct image_state){e->modseq, e->flags});
}

static bool add_to_window(struct view *view, const struct entry *entries, size_t count)
{
    struct view_window *w = view->window;
    uint64_t at = view_count(view);
    for (size_t i = 0; i < count; i++, at++) {
        if (at - w->from == VIEW_WINDOW && write_window(view, NULL))
            return false;
        place(view, at, &w->entries[at - w->from], &entries[i]);
        atomic_store_explicit(&view->image->count, at + 1, memory_order_relaxed);
    }
    return true;
}

bool view_add(struct view *view, const struct entry *entries, size_t count)
{
    if (count > view_room(view))
        return false;
    if (view->window)
        return add_to_window(view, entries, count);
    uint64_t at = view_count(view);
    for (size_t i = 0; i < count; i++)
        place(view, at + i, &view->image->entries[at + i], &entries[i]);
    atomic_store_explicit(&view->image->count, at + count, memory_order_release);
    return true;
}

void view_set_flags(struct view *view, uint64_t index, uint64_t modseq, uint64_t flags)
{
    image_write(view->image, index, modseq, flags);
}

void view_expunge(struct view *view, uint64_t index, uint64_t modseq)
{
    uint64_t flags = image_own(&view->image->entries[index]).flags;
    image_write(view->image, index, modseq, flags | IMAGE_EXPUNGED);
}

void view_keyword(struct view *view, unsigned index, struct slice name)
{
    if (index >= IMAGE_KEYWORDS || name.len > IMAGE_KEYWORD_MAX)
        return;
    memcpy(view->image->keywords[index].name, name.ptr, name.len);
    view->image->keywords[index].len = (uint8_t)name.len;
    if (index >= atomic_load_explicit(&view->image->keyword_count, memory_order_relaxed))
        atomic_store_explicit(&view->image->keyword_count, index + 1, memory_order_release);
}

void view_publish(struct view *view, uint64_t modseq, uint32_t uidnext)
{
    atomic_store_explicit(&view->image->uidnext, uidnext, memory_order_relaxed);
    atomic_store_explicit(&view->image->modseq, modseq, memory_order_release);
}

enum err view_move(const struct view *old, uint64_t more, struct view **out, struct why *why)
{
    uint64_t count = view_count(old);
    struct view *view = NULL;
    enum err err = view_new(old->image->mailbox, old->image->uidvalidity, count + more, &view, why);
    if (!view)
        return err;
    for (uint64_t i = 0; i < count; i++) {
        struct entry e = view_entry(old, i);
        if (view_alive(old, i))
            (void)!view_add(view, &e, 1); /* fits: the capacity was made for all */
    }
    for (unsigned i = 0; i < old->image->keyword_count; i++)
        view_keyword(view, i, image_keyword(old->image, i));
    view_publish(view, old->image->modseq, old->image->uidnext);
    *out = view;
    return ERR_OK;
}

struct view_walk view_walk(const struct view *view, struct slice uids)
{
    return (struct view_walk){.view = view, .uids = uids};
}

/* The next pair of UIDs as a run of indexes. */
static bool next_range(struct view_walk *walk)
{
    uint32_t first, last;
    if (!wire_range_take(&walk->uids, &first, &last))
        return false;
    uint64_t count = view_count(walk->view);
    walk->at = image_find(walk->view->image, count, first);
    walk->end = last == UINT32_MAX ? count : image_find(walk->view->image, count, last + 1);
    return true;
}

bool view_walk_next(struct view_walk *walk, uint64_t *index)
{
    for (;;) {
        if (walk->deleted && walk->at < walk->end)
            walk->at = image_next_deleted(walk->view->image, walk->at, walk->end);
        if (walk->at >= walk->end) {
            if (!next_range(walk))
                return false;
            continue;
        }
        uint64_t at = walk->at++;
        if (view_alive(walk->view, at)) {
            *index = at;
            return true;
        }
    }
}
