/* view.h: one session's sequence numbers over a mailbox image.
 *
 * The client knows the first `known` entries of the image without those in `gone`. Nothing changes until the
 * session may say so: expunges and new messages are taken over only by sync.c, at the points RFC 9051
 * section 7.5.1 allows.
 */
#ifndef IMAP_VIEW_H
#define IMAP_VIEW_H

#include "base/arena.h"
#include "grammar/imap_set.h"
#include "imap/mapping.h"

#define IMAP_VIEW_OWN 16

struct imap_view {
    struct imap_map *map;  /* in which sequence numbers are counted */
    struct imap_map *live; /* the newest image; the same one unless the mailbox moved */
    uint32_t known;        /* entries of `map` the client was told of */
    uint32_t *gone;        /* indexes below `known` without a sequence number, ascending */
    uint32_t gone_count, gone_cap;
    uint64_t modseq;             /* all changes up to this one were told */
    uint64_t own[IMAP_VIEW_OWN]; /* changes this session made and has answered already, the last ones */
    unsigned own_at;
    uint32_t recent_from; /* messages from this UID on are \Recent here; 0: none (recent.c) */
    uint32_t recent_to;   /* but not this one and those behind it; 0: all */
    unsigned keywords;    /* how many keywords of the image the client was told of */
};

/* Everything that is in the image now. */
void imap_view_open(struct imap_view *view, struct imap_map *map);
void imap_view_close(struct imap_view *view);

uint32_t imap_view_exists(const struct imap_view *view);
uint32_t imap_view_recent(const struct imap_view *view);
/* Index of sequence number `seq` (1 to exists); and back, 0 for a gone one. */
uint32_t imap_view_index(const struct imap_view *view, uint32_t seq);
uint32_t imap_view_seq(const struct imap_view *view, uint32_t index);
/* The sequence number of the message with this UID, 0 when it has none. */
uint32_t imap_view_seq_of_uid(const struct imap_view *view, uint32_t uid);
/* The entry's parts that never change. */
const struct image_entry *imap_view_entry(const struct imap_view *view, uint32_t index);
/* Flags and modseq as they are now, with IMAGE_EXPUNGED when the message is gone meanwhile. */
struct image_state imap_view_state(const struct imap_view *view, uint32_t index);
/* The highest UID of the view, 0 when it is empty; the lowest UID not seen yet. */
uint32_t imap_view_last_uid(const struct imap_view *view);
uint32_t imap_view_uidnext(const struct imap_view *view);
uint64_t imap_view_live_modseq(const struct imap_view *view);
bool imap_view_is_recent(const struct imap_view *view, uint32_t uid);
/* A change this session made and answers itself: no news for its client. */
void imap_view_own(struct imap_view *view, uint64_t modseq);
bool imap_view_is_own(const struct imap_view *view, uint64_t modseq);
/* How many of the `count` ascending indexes lie below `index`. */
uint32_t imap_indexes_below(const uint32_t *indexes, uint32_t count, uint32_t index);

/* One message of the view. */
struct imap_message {
    uint32_t seq, index, uid;
};

/* Walks the messages of a set in order; may be kept between turns of the loop, as the view stands still
 * meanwhile. */
struct imap_view_walk {
    const struct imap_view *view;
    const struct imap_set *set; /* normalised */
    bool by_uid;
    size_t range;
    uint32_t index, end, seq, gone_at;
    /* Passes over what is not looked for, as image_next_unseen(); may be set where the mailbox has not moved.
     */
    uint64_t (*leap)(const struct image *image, uint64_t from, uint64_t end);
};
struct imap_view_walk imap_view_walk(const struct imap_view *view, const struct imap_set *set, bool by_uid);
bool imap_view_next(struct imap_view_walk *walk, struct imap_message *message) MUST_CHECK;

/* Puts "*" in and sorts. False: a sequence number beyond the mailbox, an error in FETCH, STORE, COPY (RFC
 * 9051 section 9). In an empty mailbox a range with "*" selects nothing. */
bool imap_view_resolve(const struct imap_view *view, struct imap_set *set, bool by_uid) MUST_CHECK;
/* UIDs for store: the messages a resolved set selects, and no other message of the mailbox, in few ranges. */
struct imap_set_builder imap_view_uids(const struct imap_view *view, const struct imap_set *set, bool by_uid);

#endif
