/* packed.c: encoding and strict decoding of a mailbox's packed state. See packed.h. Called by the account's
 * index and by changes that add messages. */
#include "store/packed.h"

#include <endian.h>
#include <string.h>

#include "wire/image.h"

#define PACKED_VERSION 2
#define WIDTH_STEP     255 /* in place of a width: numbers in a row */

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
    if (range < 1u << 24)
        return 3;
    return range <= UINT32_MAX ? 4 : 8;
}

/* UIDs and messages that came one after the other, and nothing is missing between them. */
static bool in_steps(const struct entry *entries, size_t count, enum column column)
{
    uint64_t first = get(&entries[0], column);
    size_t i = 1;
    while (i < count && get(&entries[i], column) == first + i)
        i++;
    return count > 1 && i == count;
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
    if (high - low == count - 1 && in_steps(entries, count, column)) {
        buf_add_byte(out, WIDTH_STEP);
        return;
    }
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

static enum err take_head(struct slice *rest, uint8_t *version, size_t *count, struct why *why)
{
    uint64_t number;
    if (!slice_take_u8(rest, version) || !*version || *version > PACKED_VERSION)
        return damaged(why, "version");
    if (!slice_take_varint(rest, &number) || number > PACKED_MAX)
        return damaged(why, "count");
    *count = (size_t)number;
    return ERR_OK;
}

enum err packed_count(struct slice bytes, size_t *count, struct why *why)
{
    uint8_t version;
    return take_head(&bytes, &version, count, why);
}

#define EACH_ITS_OWN static inline __attribute__((always_inline)) /* code: constants are known in it */

/* Of width 3, four bytes are had as fast as one, but behind the last value there may be nothing. */
EACH_ITS_OWN uint64_t load(const uint8_t *at, size_t width, bool last)
{
    uint64_t value = 0;
    if (width != 3 || last) {
        memcpy(&value, at, width);
        return le64toh(value);
    }
    memcpy(&value, at, 4);
    return le64toh(value) & 0xffffff;
}

/* A million messages are decoded in one SELECT: with column and width known to the compiler each value is one
 * load. */
EACH_ITS_OWN bool set_from(struct entry *entries, size_t count, enum column column, uint64_t low,
                           uint64_t high, const uint8_t *at, size_t width)
{
    uint64_t bad = 0;
    for (size_t i = 0; i < count - 1; i++) {
        uint64_t value = load(at + i * width, width, false);
        bad |= value > high;
        set(&entries[i], column, low + value);
    }
    uint64_t value = load(at + (count - 1) * width, width, true);
    set(&entries[count - 1], column, low + value);
    return !bad && value <= high;
}

EACH_ITS_OWN bool set_steps(struct entry *entries, size_t count, enum column column, uint64_t low,
                            uint64_t high)
{
    for (size_t i = 0; i < count; i++)
        set(&entries[i], column, low + i);
    return count - 1 <= high;
}

EACH_ITS_OWN bool set_all(struct entry *entries, size_t count, enum column column, uint64_t value)
{
    for (size_t i = 0; i < count; i++)
        set(&entries[i], column, value);
    return true;
}

EACH_ITS_OWN bool set_column(struct entry *entries, size_t count, enum column column, uint64_t low,
                             const uint8_t *at, uint8_t width)
{
    uint64_t high = ceiling(column) - low;
    switch (width) {
    case 0:
        return set_all(entries, count, column, low);
    case 1:
        return set_from(entries, count, column, low, high, at, 1);
    case 2:
        return set_from(entries, count, column, low, high, at, 2);
    case 3:
        return set_from(entries, count, column, low, high, at, 3);
    case 4:
        return set_from(entries, count, column, low, high, at, 4);
    case 8:
        return set_from(entries, count, column, low, high, at, 8);
    default:
        return set_steps(entries, count, column, low, high);
    }
}

static bool set_values(struct entry *entries, size_t count, enum column column, uint64_t low,
                       const uint8_t *at, uint8_t width)
{
    switch (column) {
    case COLUMN_UID:
        return set_column(entries, count, COLUMN_UID, low, at, width);
    case COLUMN_SIZE:
        return set_column(entries, count, COLUMN_SIZE, low, at, width);
    case COLUMN_DATE:
        return set_column(entries, count, COLUMN_DATE, low, at, width);
    case COLUMN_MODSEQ:
        return set_column(entries, count, COLUMN_MODSEQ, low, at, width);
    case COLUMN_FLAGS:
        return set_column(entries, count, COLUMN_FLAGS, low, at, width);
    default:
        return set_column(entries, count, COLUMN_MESSAGE, low, at, width);
    }
}

static bool is_width(uint8_t version, uint8_t width)
{
    bool newer = width == 3 || width == WIDTH_STEP;
    return width <= 2 || width == 4 || width == 8 || (newer && version > 1);
}

static enum err decode_column(struct slice *rest, uint8_t version, struct entry *entries, size_t count,
                              enum column column, struct why *why)
{
    uint64_t low;
    uint8_t width;
    struct slice values;
    if (!slice_take_varint(rest, &low) || low > ceiling(column) || !slice_take_u8(rest, &width))
        return damaged(why, "column");
    size_t octets = width == WIDTH_STEP ? 0 : width * count;
    if (!is_width(version, width) || !slice_take_bytes(rest, octets, &values))
        return damaged(why, "width");
    bool good = set_values(entries, count, column, low, values.ptr, width);
    return good ? ERR_OK : damaged(why, "value");
}

enum err packed_decode(struct slice bytes, struct entry *entries, size_t count, struct why *why)
{
    size_t stored = 0;
    uint8_t version = 0;
    enum err err = take_head(&bytes, &version, &stored, why);
    if (!err && stored != count)
        err = damaged(why, "count");
    for (int column = 0; !err && count && column < COLUMN_COUNT; column++)
        err = decode_column(&bytes, version, entries, count, (enum column)column, why);
    if (!err && bytes.len)
        err = damaged(why, "bytes behind the end");
    for (size_t i = 0; !err && i < count; i++)
        if (entries[i].uid == 0 || (i && entries[i].uid <= entries[i - 1].uid) ||
            entries[i].flags & IMAGE_EXPUNGED)
            err = damaged(why, "order");
    return err;
}
