/* mailbox.c: rows of LIST and STATUS: varints in the order of the struct, then the name with its length.
 * Written by store, read by imap and http; reading is strict. */
#include "wire/mailbox.h"

/* The encoding writes a row as a list of numbers; this is their order. */
#define NUMBERS 13

void mailbox_row_add(struct buf *rows, const struct mailbox_row *row)
{
    const uint64_t numbers[NUMBERS] = {row->id,      row->flags,   row->special_use, row->uidvalidity,
                                       row->uidnext, row->modseq,  row->messages,    row->unseen,
                                       row->recent,  row->deleted, row->bytes,       row->rights,
                                       row->tag};
    for (size_t i = 0; i < NUMBERS; i++)
        buf_add_varint(rows, numbers[i]);
    buf_add_varint(rows, row->name.len);
    buf_add(rows, row->name);
}

static bool take_numbers(struct slice *from, uint64_t numbers[NUMBERS])
{
    for (size_t i = 0; i < NUMBERS; i++)
        if (!slice_take_varint(from, &numbers[i]))
            return false;
    return numbers[1] <= UINT32_MAX && numbers[2] < SPECIAL_COUNT && numbers[3] <= UINT32_MAX &&
           numbers[4] <= UINT32_MAX && numbers[11] <= UINT32_MAX && numbers[12] <= UINT32_MAX;
}

bool mailbox_row_take(struct slice *rows, struct mailbox_row *row)
{
    struct slice rest = *rows, name;
    uint64_t n[NUMBERS], len;
    if (!take_numbers(&rest, n) || !slice_take_varint(&rest, &len) || len > rest.len ||
        !slice_take_bytes(&rest, (size_t)len, &name))
        return false;
    *row = (struct mailbox_row){.id = n[0],
                                .flags = (uint32_t)n[1],
                                .special_use = (uint32_t)n[2],
                                .uidvalidity = (uint32_t)n[3],
                                .uidnext = (uint32_t)n[4],
                                .modseq = n[5],
                                .messages = n[6],
                                .unseen = n[7],
                                .recent = n[8],
                                .deleted = n[9],
                                .bytes = n[10],
                                .rights = (uint32_t)n[11],
                                .tag = (uint32_t)n[12],
                                .name = name};
    *rows = rest;
    return true;
}
