/* view.h: the image of an open mailbox as its writer sees it: the memfd that imap and http map read-only
 * (wire/image.h). Only the strand of the account writes into it.
 */
#ifndef STORE_VIEW_H
#define STORE_VIEW_H

#include "store/packed.h"
#include "wire/image.h"

#define VIEW_RESERVE                                                                                         \
    1024 /* places kept free behind the messages of a new image; sparse, so they cost nothing */

struct view {
    int fd;
    struct image *image;
    size_t size;
    struct view_window *window; /* NULL but while it is filled */
};

/* An empty image with room for at least `capacity` entries, sealed against every writer but this mapping. */
enum err view_new(uint64_t mailbox, uint32_t uidvalidity, uint64_t capacity, struct view **view,
                  struct why *why) MUST_CHECK;
/* The same, to be filled with many entries at once: they are written, because the kernel takes half as long
 * for that as for one page fault after the other. Until view_filled() only view_add() and view_free() may be
 * called. */
enum err view_new_to_fill(uint64_t mailbox, uint32_t uidvalidity, uint64_t capacity, struct view **view,
                          struct why *why) MUST_CHECK;
enum err view_filled(struct view *view, struct why *why) MUST_CHECK;
/* Clears the pointer; takes NULL. Readers keep their mappings. */
void view_free(struct view **view);
/* A new image without the expunged entries and with room for `more` (and the reserve). */
enum err view_move(const struct view *old, uint64_t more, struct view **view, struct why *why) MUST_CHECK;

uint64_t view_count(const struct view *view); /* entries, expunged ones included */
uint64_t view_room(const struct view *view);  /* entries that still fit */
/* The entry as it is now; `index` < view_count(). */
struct entry view_entry(const struct view *view, uint64_t index);
/* Whether it is (still) there. */
bool view_alive(const struct view *view, uint64_t index);
/* Index of the message with this UID; UINT64_MAX when there is none or it is expunged. */
uint64_t view_find(const struct view *view, uint32_t uid);

/* Appends without publishing; false when there is no room. */
bool view_add(struct view *view, const struct entry *entries, size_t count) MUST_CHECK;
void view_set_flags(struct view *view, uint64_t index, uint64_t modseq, uint64_t flags);
void view_expunge(struct view *view, uint64_t index, uint64_t modseq);
void view_keyword(struct view *view, unsigned index, struct slice name);
void view_publish(struct view *view, uint64_t modseq, uint32_t uidnext);

/* Walks the living entries whose UID lies in `uids` (pairs of le32), in order. */
struct view_walk {
    const struct view *view;
    struct slice uids;
    uint64_t at, end;
    bool deleted; /* only those with \Deleted */
};
struct view_walk view_walk(const struct view *view, struct slice uids);
/* False at the end. */
bool view_walk_next(struct view_walk *walk, uint64_t *index) MUST_CHECK;

#endif
