/* text.h: what SEARCH looks through, as it is kept: decoded text of the message, and its header as it is
 * served, so that no file is opened for a TEXT that is not found. One byte how (bit 0: zstd; bit 1: the
 * header was too long and is not here), varint lengths of text and header, then both. Pure. */
#ifndef STORE_TEXT_H
#define STORE_TEXT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define TEXT_HEADER_MAX (64u * 1024)
#define TEXT_PACKED_MAX (640u * 1024) /* what text_pack() may write, at most */

struct text_parts {
    struct slice text, header;
    bool header_left_out;
};

/* A header over TEXT_HEADER_MAX is left out. */
void text_pack(struct slice text, struct slice header, struct buf *out);
/* The decompressor's memory, for who unpacks many. */
struct text_reader;
struct text_reader *text_reader_new(void) __attribute__((returns_nonnull));
void text_reader_free(struct text_reader **reader);
/* ERR_INTERNAL when damaged. */
enum err text_unpack_in(struct text_reader *reader, struct arena *arena, struct slice packed,
                        struct text_parts *parts, struct why *why) MUST_CHECK;

#endif
