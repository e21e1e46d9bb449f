/* sortkeys_row.c: one column of sort keys as a row of the index. Input of the decoder: our own database,
 * which may be damaged: strict, and a bad row counts as none. Pure. Called by sortkeys.c.
 *
 *   row = version (1 byte), casefold_version() (le32: texts are folded), packed (1 byte: 0 plain, 1 zstd),
 * varint length of the payload unpacked, payload payload = bitmap of the messages it holds (SORTKEY_CHUNK
 * bits), then for each of them numbers: zigzag varint, difference to the one before; 0 as the first one's
 * predecessor THREAD: le64 id, varint count, le64 each texts: in front of all varint count and the different
 * texts (varint length, bytes); then the number of each message's text, with one bit below it, its flag */
#include <string.h>
#include <zstd.h>

#include "base/coll.h"
#include "grammar/casefold.h"
#include "store/sortkeys.h"
#include "store/strings.h"

#define ROW_VERSION 2
#define ROW_LEVEL   1 /* of zstd */
#define BITMAP      (SORTKEY_CHUNK / 8)

static void add_bitmap(const struct sortkey_values *values, struct buf *out)
{
    uint8_t bits[BITMAP] = {0};
    for (size_t i = 0; i < SORTKEY_CHUNK; i++)
        if (values[i].present)
            bits[i / 8] |= (uint8_t)(1u << i % 8);
    buf_add(out, slice_make(bits, sizeof bits));
}

static void add_numbers(enum sortkey column, const struct sortkey_values *values, struct buf *out)
{
    uint64_t last = 0;
    for (size_t i = 0; i < SORTKEY_CHUNK; i++) {
        if (!values[i].present)
            continue;
        uint64_t gap = (uint64_t)values[i].number[column] - last;
        buf_add_varint(out, gap << 1 ^ (uint64_t)((int64_t)gap >> 63));
        last = (uint64_t)values[i].number[column];
    }
}

static void add_ids(const struct sortkey_values *values, struct buf *out)
{
    for (size_t i = 0; i < SORTKEY_CHUNK; i++) {
        if (!values[i].present)
            continue;
        buf_add_le64(out, values[i].id);
        buf_add_varint(out, values[i].ref_count);
        for (uint32_t k = 0; k < values[i].ref_count; k++)
            buf_add_le64(out, values[i].refs[k]);
    }
}

static void add_texts(enum sortkey column, const struct sortkey_values *values, struct buf *out)
{
    struct strings strings;
    uint32_t numbers[SORTKEY_CHUNK];
    strings_start(&strings);
    for (size_t i = 0; i < SORTKEY_CHUNK; i++)
        numbers[i] = values[i].present ? strings_number(&strings, values[i].text[column]) : 0;
    buf_add_varint(out, strings.count - 1);
    for (uint32_t n = 1; n < strings.count; n++) {
        buf_add_varint(out, strings_text(&strings, n).len);
        buf_add(out, strings_text(&strings, n));
    }
    for (size_t i = 0; i < SORTKEY_CHUNK; i++)
        if (values[i].present)
            buf_add_varint(out, (uint64_t)numbers[i] << 1 | (values[i].flags >> column & 1));
    strings_stop(&strings);
}

void sortkeys_row_encode(enum sortkey column, const struct sortkey_values *values, struct buf *row)
{
    AUTO_BUF struct buf payload = buf_new(SORTKEY_ROW_MAX);
    add_bitmap(values, &payload);
    if (column < SORTKEY_NUMBERS)
        add_numbers(column, values, &payload);
    else if (column == SORTKEY_THREAD)
        add_ids(values, &payload);
    else
        add_texts(column, values, &payload);
    size_t bound = ZSTD_compressBound(payload.len);
    AUTO_BUF struct buf packed = buf_new(bound);
    uint8_t *room = buf_reserve(&packed, bound);
    size_t len = room ? ZSTD_compress(room, bound, payload.data, payload.len, ROW_LEVEL) : payload.len;
    bool smaller = room && !ZSTD_isError(len) && len < payload.len;
    buf_add_byte(row, ROW_VERSION);
    buf_add_le32(row, casefold_version());
    buf_add_byte(row, smaller);
    buf_add_varint(row, payload.len);
    buf_add(row, smaller ? slice_make(room, len) : buf_slice(&payload));
}

/* ---- decoding ---- */

static bool take_numbers(enum sortkey column, struct slice *in, struct sortkey_values *values)
{
    uint64_t last = 0, gap;
    for (size_t i = 0; i < SORTKEY_CHUNK; i++) {
        if (!values[i].present)
            continue;
        if (!slice_take_varint(in, &gap))
            return false;
        last += gap >> 1 ^ (0 - (gap & 1));
        values[i].number[column] = (int64_t)last;
    }
    return true;
}

static bool take_refs(struct arena *arena, struct slice *in, struct sortkey_values *v)
{
    uint64_t count;
    if (!slice_take_le64(in, &v->id) || !slice_take_varint(in, &count) || count > SORTKEY_REFS_MAX ||
        count > in->len / 8)
        return false;
    v->ref_count = (uint32_t)count;
    v->refs = arena_try(arena, ((size_t)count + 1) * sizeof *v->refs);
    for (uint32_t k = 0; v->refs && k < v->ref_count; k++)
        if (!slice_take_le64(in, &v->refs[k]))
            return false;
    return v->refs != NULL;
}

static bool take_texts(enum sortkey column, struct slice *in, struct sortkey_values *values)
{
    struct slice texts[SORTKEY_CHUNK + 1] = {0};
    uint64_t count, len, number;
    const size_t most = SORTKEY_FOR_SEARCH & 1u << column ? SORTKEY_FIND_MAX : SORTKEY_TEXT_MAX;
    if (!slice_take_varint(in, &count) || count > SORTKEY_CHUNK)
        return false;
    for (uint64_t n = 1; n <= count; n++)
        if (!slice_take_varint(in, &len) || len > most || !slice_take_bytes(in, (size_t)len, &texts[n]))
            return false;
    for (size_t i = 0; i < SORTKEY_CHUNK; i++) {
        if (!values[i].present)
            continue;
        if (!slice_take_varint(in, &number) || number >> 1 > count)
            return false;
        values[i].text[column] = texts[number >> 1];
        values[i].flags |= (uint32_t)(number & 1) << column;
    }
    return true;
}

static bool take_payload(struct arena *arena, enum sortkey column, struct slice in,
                         struct sortkey_values *values)
{
    struct slice bits;
    if (!slice_take_bytes(&in, BITMAP, &bits))
        return false;
    for (size_t i = 0; i < SORTKEY_CHUNK; i++)
        values[i].present = bits.ptr[i / 8] >> i % 8 & 1;
    if (column < SORTKEY_NUMBERS)
        return take_numbers(column, &in, values) && in.len == 0;
    if (column != SORTKEY_THREAD)
        return take_texts(column, &in, values) && in.len == 0;
    for (size_t i = 0; i < SORTKEY_CHUNK; i++)
        if (values[i].present && !take_refs(arena, &in, &values[i]))
            return false;
    return in.len == 0;
}

bool sortkeys_row_decode_in(struct arena *arena, enum sortkey column, struct slice row,
                            struct sortkey_values *values)
{
    uint8_t version, packed;
    uint32_t fold;
    uint64_t len;
    if (!slice_take_u8(&row, &version) || version != ROW_VERSION || !slice_take_le32(&row, &fold) ||
        fold != casefold_version() || !slice_take_u8(&row, &packed) || packed > 1 ||
        !slice_take_varint(&row, &len) || len > SORTKEY_ROW_MAX)
        return false;
    uint8_t *room = arena_try(arena, (size_t)len + 1);
    if (!room)
        return false;
    if (!packed && row.len != len)
        return false;
    if (!packed)
        memcpy(room, row.ptr, row.len);
    else if (ZSTD_decompress(room, (size_t)len, row.ptr, row.len) != len)
        return false;
    return take_payload(arena, column, slice_make(room, (size_t)len), values);
}
