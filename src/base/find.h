/* find.h: looking for bytes in long texts, sixteen at a time. */
#ifndef BASE_FIND_H
#define BASE_FIND_H

#include "base/slice.h"

/* A run of bytes to look for; made once, used often. The needle lives as long. */
struct find {
    struct slice needle;
    bool any_case;           /* the needle is in lower case; ASCII letters of the text count as such */
    size_t at[2];            /* two bytes of the needle that are rare in mail, the lower place first */
    uint8_t byte[2], bit[2]; /* what they are once these bits were set: the one that makes letters small */
};

/* A needle of at least one byte. */
struct find find_new(struct slice needle, bool any_case);
/* Where it is found first, from `from` on; -1: nowhere. */
ptrdiff_t find_in(const struct find *find, struct slice text, size_t from);
/* Where the first byte above 0x7f stands, from `from` on; text.len: nowhere. */
size_t find_foreign(struct slice text, size_t from);

#endif
