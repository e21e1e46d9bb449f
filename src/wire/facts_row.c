/* facts_row.c: stored facts of several messages in one packet: per row the message id, what is there, and two
 * byte strings with their lengths. Written by store, read by imap and http; reading is strict. */
#include "wire/facts_row.h"

enum { ROW_FOUND = 1, ROW_LARGE = 2, ROW_BITS = 3 };

static void add_string(struct buf *rows, struct slice s)
{
    buf_add_varint(rows, s.len);
    buf_add(rows, s);
}

static bool take_string(struct slice *from, struct slice *s)
{
    uint64_t len;
    return slice_take_varint(from, &len) && len <= from->len && slice_take_bytes(from, (size_t)len, s);
}

void facts_row_add(struct buf *rows, const struct facts_row *row)
{
    buf_add_varint(rows, row->message);
    buf_add_byte(rows, (uint8_t)((row->found ? ROW_FOUND : 0) | (row->large ? ROW_LARGE : 0)));
    add_string(rows, row->header);
    add_string(rows, row->facts);
}

bool facts_row_take(struct slice *rows, struct facts_row *row)
{
    struct slice rest = *rows, header, facts;
    uint64_t message;
    uint8_t bits;
    if (!slice_take_varint(&rest, &message) || !slice_take_u8(&rest, &bits) || bits > ROW_BITS)
        return false;
    if (!take_string(&rest, &header) || !take_string(&rest, &facts))
        return false;
    *row = (struct facts_row){.message = message,
                              .found = bits & ROW_FOUND ? 1 : 0,
                              .large = bits & ROW_LARGE ? 1 : 0,
                              .header = header,
                              .facts = facts};
    *rows = rest;
    return true;
}
