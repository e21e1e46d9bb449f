/* mapping.h: mailbox images shared by store, mapped once per mailbox and counted by the sessions that use
 * them. */
#ifndef IMAP_MAPPING_H
#define IMAP_MAPPING_H

#include "base/coll.h"
#include "base/err.h"
#include "wire/image.h"

/* One image. A session keeps counting sequence numbers in the one it began with until it may tell of
 * expunges, also when store has moved the mailbox to a new one. */
struct imap_map {
    const struct image *image;
    size_t size;
    unsigned refs;
};

/* Maps the descriptor (which stays the caller's). ERR_BAD when it holds no image. */
enum err imap_map_open(int fd, struct imap_map **map, struct why *why) MUST_CHECK;
struct imap_map *imap_map_ref(struct imap_map *map);
/* Clears the pointer; takes NULL. */
void imap_map_unref(struct imap_map **map);
/* Entries published now, never more than are mapped. */
uint32_t imap_map_count(const struct imap_map *map);

/* An open mailbox of this role's link to store: `watch` is its name there. */
struct imap_mailbox {
    uint64_t watch;
    struct imap_map *live;   /* the newest image */
    struct list sessions;    /* of struct selected, see session.h */
    struct selected *recent; /* whose new messages are \Recent; NULL: nobody's */
    unsigned uses;
};

#endif
