/* text.c: packing and unpacking what SEARCH looks through. Input: UTF-8 checked with the facts, a header of
 * any bytes; our own database. */
#include "store/text.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/mem.h"
#include "wire/facts.h"

enum { TEXT_ZSTD = 1, TEXT_NO_HEADER = 2, TEXT_BITS = 3 };

#define TEXT_LEVEL 1   /* of zstd: the fastest that still halves prose */
#define TEXT_SMALL 256 /* shorter ones are not worth the call */

static void add_packed(struct slice raw, uint8_t how, struct slice text, struct slice header, struct buf *out)
{
    size_t bound = ZSTD_compressBound(raw.len);
    AUTO_BUF struct buf packed = buf_new(bound);
    uint8_t *room = raw.len > TEXT_SMALL ? buf_reserve(&packed, bound) : NULL;
    size_t len = room ? ZSTD_compress(room, bound, raw.ptr, raw.len, TEXT_LEVEL) : 0;
    bool smaller = room && !ZSTD_isError(len) && len < raw.len;
    buf_add_byte(out, (uint8_t)(how | (smaller ? TEXT_ZSTD : 0)));
    buf_add_varint(out, text.len);
    buf_add_varint(out, header.len);
    buf_add(out, smaller ? slice_make(room, len) : raw);
}

void text_pack(struct slice text, struct slice header, struct buf *out)
{
    uint8_t how = header.len > TEXT_HEADER_MAX ? TEXT_NO_HEADER : 0;
    if (how)
        header = SLICE_EMPTY;
    AUTO_BUF struct buf both = buf_new(TEXT_PACKED_MAX);
    buf_add(&both, text);
    buf_add(&both, header);
    add_packed(buf_slice(&both), how, text, header, out);
}

static enum err damaged(struct why *why)
{
    return err_set(why, ERR_INTERNAL, "damaged text of a message");
}

struct text_reader {
    ZSTD_DCtx *zstd;
};

struct text_reader *text_reader_new(void)
{
    return mem_zero(1, sizeof(struct text_reader));
}

/* Made at first use: 150 KB, and many searches unpack nothing. */
static ZSTD_DCtx *need_zstd(struct text_reader *reader)
{
    if (!reader->zstd)
        reader->zstd = ZSTD_createDCtx();
    if (!reader->zstd) /* as mem_alloc() would */
        abort();
    return reader->zstd;
}

void text_reader_free(struct text_reader **reader)
{
    if (!*reader)
        return;
    (void)ZSTD_freeDCtx((*reader)->zstd);
    free(*reader);
    *reader = NULL;
}

enum err text_unpack_in(struct text_reader *reader, struct arena *arena, struct slice packed,
                        struct text_parts *parts, struct why *why)
{
    uint8_t how;
    uint64_t text, header;
    if (!slice_take_u8(&packed, &how) || how > TEXT_BITS || !slice_take_varint(&packed, &text) ||
        !slice_take_varint(&packed, &header) || text > FACTS_MAX_TEXT || header > TEXT_HEADER_MAX)
        return damaged(why);
    size_t len = (size_t)(text + header);
    uint8_t *room = arena_try(arena, len + 1);
    if (!room)
        return damaged(why);
    if (how & TEXT_ZSTD) {
        if (ZSTD_decompressDCtx(need_zstd(reader), room, len, packed.ptr, packed.len) != len)
            return damaged(why);
    } else if (packed.len != len) {
        return damaged(why);
    } else if (len) {
        memcpy(room, packed.ptr, len);
    }
    *parts = (struct text_parts){.text = slice_make(room, (size_t)text),
                                 .header = slice_make(room + text, (size_t)header),
                                 .header_left_out = how & TEXT_NO_HEADER};
    return ERR_OK;
}
