/* event_row.c: rows of events: two varints, a mailbox row, two strings with their lengths. Written by store,
 * read by imap; reading is strict. */
#include "wire/event_row.h"

static void add_string(struct buf *out, struct slice s)
{
    buf_add_varint(out, s.len);
    buf_add(out, s);
}

static bool take_string(struct slice *from, struct slice *s)
{
    uint64_t len;
    return slice_take_varint(from, &len) && len <= from->len && slice_take_bytes(from, (size_t)len, s);
}

void event_row_add(struct buf *rows, const struct event_row *row)
{
    buf_add_varint(rows, row->what);
    buf_add_varint(rows, row->children);
    mailbox_row_add(rows, &row->row);
    add_string(rows, row->old);
    add_string(rows, row->entries);
}

bool event_row_take(struct slice *rows, struct event_row *row)
{
    struct slice rest = *rows;
    struct event_row r = {0};
    uint64_t what, children;
    if (!slice_take_varint(&rest, &what) || !slice_take_varint(&rest, &children) ||
        !mailbox_row_take(&rest, &r.row) || !take_string(&rest, &r.old) || !take_string(&rest, &r.entries) ||
        what > UINT32_MAX || children > 1)
        return false;
    r.what = (uint32_t)what;
    r.children = (uint32_t)children;
    *row = r;
    *rows = rest;
    return true;
}
