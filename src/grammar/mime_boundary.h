/* mime_boundary.h: the boundaries of the multiparts still open, for mime.c. */
#ifndef GRAMMAR_MIME_BOUNDARY_H
#define GRAMMAR_MIME_BOUNDARY_H

#include "grammar/mime.h"

#define MIME_BOUNDARY_SLOTS 256

/* Found by a hash of the line's beginning, rolled byte by byte: the cost of a line does not depend on how
 * many are open. */
struct mime_boundaries {
    struct {
        struct slice text;
        uint64_t hash;
        int older; /* the next one in the same slot, or -1 */
    } open[MIME_MAX_DEPTH + 1];
    int count;
    int slot[MIME_BOUNDARY_SLOTS];
    bool length_used[MIME_MAX_BOUNDARY + 1]; /* one of this length was opened at some time */
};

void mime_boundaries_init(struct mime_boundaries *b);
/* At most MIME_MAX_DEPTH + 1 are open; `text` is not empty and at most MIME_MAX_BOUNDARY bytes. */
void mime_boundary_push(struct mime_boundaries *b, struct slice text);
void mime_boundary_pop(struct mime_boundaries *b);
/* The level (0 is the outermost) of the open boundary which a line belongs to, or -1; `line` starts behind
 * "--". It is enough that the line begins with the boundary (RFC 2046 section 5.1.1); of several the longest
 * counts, so that one may be the beginning of another, and of equal ones the innermost. */
int mime_boundary_match(const struct mime_boundaries *b, struct slice line, bool *closing);

#endif
