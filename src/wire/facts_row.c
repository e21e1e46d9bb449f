/* facts_row.c: stored facts of several messages in one packet: per row the message id, what is there, the
 * flags of the facts, and byte strings with their lengths, those that were asked for, in the order of the
 * bits. Written by store, read by imap and http; reading is strict. */
#include "wire/facts_row.h"

#include <stddef.h>

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

/* What stands in a row: which bits want it, and where it is. */
static const struct {
    uint32_t want;
    size_t offset;
} strings[] = {
    {FACTS_WANT_ENVELOPE, offsetof(struct facts_row, front.envelope)},
    {FACTS_WANT_BODY, offsetof(struct facts_row, front.body)},
    {FACTS_WANT_BODYSTRUCTURE, offsetof(struct facts_row, front.bodystructure)},
    {FACTS_WANT_HEADERS | FACTS_WANT_RECORD, offsetof(struct facts_row, header)},
    {FACTS_WANT_HEADERS, offsetof(struct facts_row, front.headers)},
    {FACTS_WANT_PREVIEW, offsetof(struct facts_row, front.preview)},
    {FACTS_WANT_RECORD, offsetof(struct facts_row, facts)},
    {FACTS_WANT_THREAD, offsetof(struct facts_row, thread)},
};
#define COUNT (sizeof strings / sizeof *strings)

void facts_row_add(struct buf *rows, uint32_t want, const struct facts_row *row)
{
    buf_add_varint(rows, row->message);
    buf_add_byte(rows, (uint8_t)((row->found ? ROW_FOUND : 0) | (row->large ? ROW_LARGE : 0)));
    if (!row->found || row->large)
        return;
    buf_add_varint(rows, row->front.flags);
    for (size_t i = 0; i < COUNT; i++)
        if (want & strings[i].want)
            add_string(rows, *(const struct slice *)((const uint8_t *)row + strings[i].offset));
}

bool facts_row_take(struct slice *rows, uint32_t want, struct facts_row *row)
{
    struct slice rest = *rows;
    struct facts_row found = {0};
    uint64_t flags = 0;
    uint8_t bits;
    if (!slice_take_varint(&rest, &found.message) || !slice_take_u8(&rest, &bits) || bits > ROW_BITS)
        return false;
    found.found = bits & ROW_FOUND ? 1 : 0;
    found.large = bits & ROW_LARGE ? 1 : 0;
    if (found.found && !found.large) {
        if (!slice_take_varint(&rest, &flags) || flags > FACTS_FLAGS_ALL)
            return false;
        found.front.flags = (uint32_t)flags;
        for (size_t i = 0; i < COUNT; i++)
            if (want & strings[i].want &&
                !take_string(&rest, (struct slice *)((uint8_t *)&found + strings[i].offset)))
                return false;
    }
    *row = found;
    *rows = rest;
    return true;
}
