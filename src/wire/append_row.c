/* append_row.c: the messages of one APPEND in one packet. Written by imap and http, read by store; reading is
 * strict. */
#include "wire/append_row.h"

void append_row_add(struct buf *rows, const struct append_row *row)
{
    buf_add_varint(rows, row->body);
    buf_add_varint(rows, row->date);
    buf_add_varint(rows, row->flags);
    buf_add_varint(rows, row->keywords.len);
    buf_add(rows, row->keywords);
}

bool append_row_take(struct slice *rows, struct append_row *row)
{
    struct slice rest = *rows;
    struct append_row taken;
    uint64_t len;
    if (!slice_take_varint(&rest, &taken.body) || !slice_take_varint(&rest, &taken.date) ||
        !slice_take_varint(&rest, &taken.flags) || !slice_take_varint(&rest, &len) || len > rest.len ||
        !slice_take_bytes(&rest, (size_t)len, &taken.keywords))
        return false;
    *row = taken;
    *rows = rest;
    return true;
}
