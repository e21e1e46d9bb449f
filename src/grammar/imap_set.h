/* imap_set.h: sets of sequence numbers or UIDs (RFC 9051 section 9, sequence-set). */
#ifndef GRAMMAR_IMAP_SET_H
#define GRAMMAR_IMAP_SET_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define IMAP_SET_RANGES_MAX 20000 /* ranges in one set a client sends */
#define IMAP_SET_STAR       0     /* "*" in a range as parsed: the highest number in use */

struct imap_range {
    uint32_t lo, hi; /* both included; as parsed in either order and possibly IMAP_SET_STAR */
};

struct imap_set {
    struct imap_range *ranges;
    size_t count;
    bool saved; /* "$": the saved search result (RFC 5182); no ranges then */
};

/* Parses all of `text`. ERR_BAD with a text for the client. The ranges live in the arena. */
enum err imap_set_parse_in(struct arena *arena, struct slice text, struct imap_set *set,
                           struct why *why) MUST_CHECK;
/* The same set sorted, without overlaps, neighbours joined, "*" replaced by `star` (0: nothing exists, "*"
 * alone selects nothing). Works in place; afterwards every lo <= hi. */
void imap_set_normalise(struct imap_set *set, uint32_t star);
/* On normalised sets. Contains searches in log(count). */
bool imap_set_contains(const struct imap_set *set, uint32_t number);
uint32_t imap_set_lowest(const struct imap_set *set);  /* 0 when empty */
uint32_t imap_set_highest(const struct imap_set *set); /* 0 when empty */
/* How many numbers the normalised set holds (up to 2^32 - 1). */
uint64_t imap_set_numbers(const struct imap_set *set);
/* Leaves only the numbers from `lo` to `hi` of a normalised set, in place. */
void imap_set_clip(struct imap_set *set, uint32_t lo, uint32_t hi);
/* "1:3,5" of a normalised set. */
void imap_set_write(struct buf *out, const struct imap_set *set);

/* Collects ascending numbers into ranges; the memory is its own (ranges doubled in a buf). */
struct imap_set_builder {
    struct buf ranges; /* of struct imap_range */
};
#define IMAP_SET_BUILT_MAX (16u << 20) /* bytes of ranges one builder may hold: 2 million ranges */
struct imap_set_builder imap_set_builder_new(void);
void imap_set_builder_free(struct imap_set_builder *builder);
/* Numbers must be added in ascending order; a repeated number is ignored. */
void imap_set_builder_add(struct imap_set_builder *builder, uint32_t number);
void imap_set_builder_add_range(struct imap_set_builder *builder, uint32_t lo, uint32_t hi);
/* A view into the builder, valid until the next add or free. */
struct imap_set imap_set_builder_view(const struct imap_set_builder *builder);

/* Walks the numbers of a normalised set: struct imap_set_walk w = {.set = &s}; while (imap_set_walk_next(&w,
 * &n)) … */
struct imap_set_walk {
    const struct imap_set *set;
    size_t range;
    uint32_t next;
};
bool imap_set_walk_next(struct imap_set_walk *walk, uint32_t *number) MUST_CHECK;

#endif
