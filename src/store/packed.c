/* packed.c: encoding and strict decoding of a mailbox's packed state. See packed.h. Called by the account's
 * index and by changes that add messages. */
#include "store/packed.h"

#include <endian.h>
#include <string.h>

#include "wire/image.h"

#define PACKED_VERSION 1

enum column {
    COLUMN_UID,
    COLUMN_SIZE,
    COLUMN_DATE,
    COLUMN_MODSEQ,
    COLUMN_FLAGS,
    COLUMN_MESSAGE,
    COLUMN_COUNT
};

static uint64_t get(const struct entry *e, enum column column)
{
    switch (column) {
    case COLUMN_UID:
        return e->uid;
    case COLUMN_SIZE:
        return e->size;
    case COLUMN_DATE:
        return e->date;
    case COLUMN_MODSEQ:
        return e->modseq;
    case COLUMN_FLAGS:
        return e->flags;
    default:
        return e->message;
    }
}

static void set(struct entry *e, enum column column, uint64_t value)
{
    switch (column) {
    case COLUMN_UID:
        e->uid = (uint32_t)value;
        break;
    case COLUMN_SIZE:
        e->size = (uint32_t)value;
        break;
    case COLUMN_DATE:
        e->date = (uint32_t)value;
        break;
    case COLUMN_MODSEQ:
        e->modseq = value;
        break;
    case COLUMN_FLAGS:
        e->flags = value;
        break;
    default:
        e->message = value;
    }
}

/* The largest value a column may hold. */
static uint64_t ceiling(enum column column)
{
    if (column == COLUMN_FLAGS)
        return ~(uint64_t)IMAGE_EXPUNGED;
    if (column == COLUMN_MESSAGE)
        return IMAGE_MESSAGE_MAX;
    return column <= COLUMN_DATE ? UINT32_MAX : INT64_MAX;
}

static uint8_t width_of(uint64_t range)
{
    if (range == 0)
        return 0;
    if (range <= UINT8_MAX)
        return 1;
    if (range <= UINT16_MAX)
        return 2;
    return range <= UINT32_MAX ? 4 : 8;
}

static void encode_column(const struct entry *entries, size_t count, enum column column, struct buf *out)
{
    uint64_t low = get(&entries[0], column), high = low;
    for (size_t i = 1; i < count; i++) {
        uint64_t value = get(&entries[i], column);
        low = value < low ? value : low;
        high = value > high ? value : high;
    }
    uint8_t width = width_of(high - low);
    buf_add_varint(out, low);
    buf_add_byte(out, width);
    uint8_t *at = buf_reserve(out, width * count);
    if (!at || !width)
        return;
    for (size_t i = 0; i < count; i++, at += width) {
        uint64_t value = htole64(get(&entries[i], column) - low);
        memcpy(at, &value, width);
    }
    buf_added(out, width * count);
}

void packed_encode(const struct entry *entries, size_t count, struct buf *out)
{
    buf_add_byte(out, PACKED_VERSION);
    buf_add_varint(out, count);
    for (int column = 0; count && column < COLUMN_COUNT; column++)
        encode_column(entries, count, (enum column)column, out);
}

static enum err damaged(struct why *why, const char *what)
{
    return err_set(why, ERR_INTERNAL, "damaged packed state: %s", what);
}

static enum err take_head(struct slice *rest, size_t *count, struct why *why)
{
    uint8_t version;
    uint64_t number;
    if (!slice_take_u8(rest, &version) || version != PACKED_VERSION)
        return damaged(why, "version");
    if (!slice_take_varint(rest, &number) || number > PACKED_MAX)
        return damaged(why, "count");
    *count = (size_t)number;
    return ERR_OK;
}

enum err packed_count(struct slice bytes, size_t *count, struct why *why)
{
    return take_head(&bytes, count, why);
}

static bool set_all(struct entry *entries, size_t count, enum column column, uint64_t value)
{
    for (size_t i = 0; i < count; i++)
        set(&entries[i], column, value);
    return true;
}

/* A million messages are decoded in one SELECT: with the width known to the compiler each value is one load.
 */
static inline __attribute__((always_inline)) bool set_from(struct entry *entries, size_t count,
                                                           enum column column, uint64_t low, uint64_t high,
                                                           const uint8_t *at, size_t width)
{
    uint64_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t value = 0;
        memcpy(&value, at + i * width, width);
        value = le64toh(value);
        bad |= value > high;
        set(&entries[i], column, low + value);
    }
    return !bad;
}

static enum err decode_column(struct slice *rest, struct entry *entries, size_t count, enum column column,
                              struct why *why)
{
    uint64_t low;
    uint8_t width;
    struct slice values;
    if (!slice_take_varint(rest, &low) || low > ceiling(column) || !slice_take_u8(rest, &width))
        return damaged(why, "column");
    if (width > 8 || (width & (width - 1)) || !slice_take_bytes(rest, width * count, &values))
        return damaged(why, "width");
    uint64_t high = ceiling(column) - low;
    bool good = width == 0   ? set_all(entries, count, column, low)
                : width == 1 ? set_from(entries, count, column, low, high, values.ptr, 1)
                : width == 2 ? set_from(entries, count, column, low, high, values.ptr, 2)
                : width == 4 ? set_from(entries, count, column, low, high, values.ptr, 4)
                             : set_from(entries, count, column, low, high, values.ptr, 8);
    return good ? ERR_OK : damaged(why, "value");
}

enum err packed_decode(struct slice bytes, struct entry *entries, size_t count, struct why *why)
{
    size_t stored = 0;
    enum err err = take_head(&bytes, &stored, why);
    if (!err && stored != count)
        err = damaged(why, "count");
    for (int column = 0; !err && count && column < COLUMN_COUNT; column++)
        err = decode_column(&bytes, entries, count, (enum column)column, why);
    if (!err && bytes.len)
        err = damaged(why, "bytes behind the end");
    for (size_t i = 0; !err && i < count; i++)
        if (entries[i].uid == 0 || (i && entries[i].uid <= entries[i - 1].uid) ||
            entries[i].flags & IMAGE_EXPUNGED)
            err = damaged(why, "order");
    return err;
}
