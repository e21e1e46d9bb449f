/* The file with the state of a mailbox (store/state.h): the first 8 bytes are the sum an index would name,
 * or, when they are zeros, the right one is worked out, so that what lies behind the check is reached too.
 * Rows that hold lie inside the file, in order, and are the last of their UID. */
#include <stdlib.h>
#include <string.h>

#include "store/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t le32_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The sum of what looks like records; false: it does not. */
static bool sum_of(struct slice bytes, uint64_t *sum)
{
    *sum = state_begin(1);
    for (size_t at = 0; at < bytes.len;) {
        uint32_t row = bytes.len - at < STATE_HEAD ? UINT32_MAX : le32_at(bytes.ptr + at + 4);
        if (row > STATE_ROW_MAX || row > bytes.len - at - STATE_HEAD)
            return false;
        *sum = state_next(*sum, slice_sub(bytes, at, STATE_HEAD + row));
        at += STATE_HEAD + row;
    }
    return true;
}

static void check_rows(struct slice bytes, const struct vec *rows)
{
    for (size_t i = 0; i < rows->len; i++) {
        const struct state_row *row = VEC_AT(rows, struct state_row, i);
        if (row->at < STATE_HEAD || row->at + row->len > bytes.len || !row->len ||
            (i && row->first <= row[-1].first) || le32_at(bytes.ptr + row->at - STATE_HEAD) != row->first)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t sum = 0, right;
    if (size < sizeof sum)
        return 0;
    memcpy(&sum, data, sizeof sum);
    struct slice bytes = slice_make(data + sizeof sum, size - sizeof sum), rest = bytes, row;
    bool good = sum_of(bytes, &right);
    struct state_reader reader = state_reader_new(1);
    enum err err;
    while (!(err = state_reader_take(&reader, &rest, &row, NULL)))
        if (row.len && (row.ptr < bytes.ptr || row.ptr + row.len > bytes.ptr + bytes.len))
            abort();
    bool believed = err == ERR_LATER && !rest.len && !state_reader_end(&reader, sum ? sum : right, NULL);
    if (believed != (good && (!sum || sum == right)) && bytes.len / STATE_HEAD <= STATE_ROWS)
        abort();
    if (believed)
        check_rows(bytes, &reader.rows);
    state_reader_free(&reader);
    return 0;
}
