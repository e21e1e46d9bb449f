/* state.c: records of a mailbox's state file and their sum. See state.h. Input: a file that may hold
 * anything. Called by state_file.c. */
#include "store/state.h"

#include <stdlib.h>

#include "base/hash.h"

/* Another version of the records begins with another sum, so neither is taken for the other. Finds damage,
 * not forgery: the key is no secret. */
#define STATE_VERSION 1
#define STATE_KEY     0x526f636b646f7665u

uint64_t state_begin(uint64_t mailbox)
{
    return mailbox << 8 | STATE_VERSION;
}

uint64_t state_next(uint64_t sum, struct slice record)
{
    const struct hash_key key = {sum, STATE_KEY};
    return hash_sip(&key, record);
}

void state_head(uint32_t first, uint32_t len, uint8_t head[STATE_HEAD])
{
    for (int i = 0; i < 4; i++) {
        head[i] = (uint8_t)(first >> 8 * i);
        head[4 + i] = (uint8_t)(len >> 8 * i);
    }
}

static uint32_t le32_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static enum err damaged(struct why *why)
{
    return err_set(why, ERR_BAD, "a file with the state of a mailbox is not the one of the index");
}

struct state_reader state_reader_new(uint64_t mailbox)
{
    return (struct state_reader){
        .sum = state_begin(mailbox), .rows = VEC_NEW(struct state_row, STATE_ROWS), .in_order = true};
}

void state_reader_free(struct state_reader *reader)
{
    vec_free(&reader->rows);
}

enum err state_reader_take(struct state_reader *reader, struct slice *bytes, struct slice *state,
                           struct why *why)
{
    if (bytes->len < STATE_HEAD)
        return ERR_LATER;
    struct state_row row = {.first = le32_at(bytes->ptr),
                            .at = (uint32_t)reader->at + STATE_HEAD,
                            .len = le32_at(bytes->ptr + 4)};
    if (row.len > STATE_ROW_MAX || reader->at + STATE_HEAD + row.len > STATE_MAX)
        return damaged(why);
    if (row.len > bytes->len - STATE_HEAD)
        return ERR_LATER;
    const struct state_row *before =
        reader->rows.len ? VEC_AT(&reader->rows, struct state_row, reader->rows.len - 1) : NULL;
    reader->in_order = reader->in_order && row.len && (!before || row.first > before->first);
    struct state_row *place = vec_push(&reader->rows);
    if (!place)
        return damaged(why);
    *place = row;
    reader->sum = state_next(reader->sum, slice_sub(*bytes, 0, STATE_HEAD + row.len));
    reader->at += STATE_HEAD + row.len;
    *state = slice_sub(*bytes, STATE_HEAD, row.len);
    *bytes = slice_from(*bytes, STATE_HEAD + row.len);
    return ERR_OK;
}

static int by_uid_and_age(const void *a, const void *b)
{
    const struct state_row *x = a, *y = b;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* The last of those with the same UID holds, unless it says that the row is gone. */
static void keep_last(struct vec *rows)
{
    struct state_row *list = rows->items;
    size_t kept = 0;
    qsort(list, rows->len, sizeof *list, by_uid_and_age);
    for (size_t i = 0; i < rows->len; i++) {
        bool last = i + 1 == rows->len || list[i + 1].first != list[i].first;
        if (last && list[i].len)
            list[kept++] = list[i];
    }
    rows->len = kept;
}

enum err state_reader_end(struct state_reader *reader, uint64_t sum, struct why *why)
{
    if (reader->sum != sum)
        return damaged(why);
    if (!reader->in_order)
        keep_last(&reader->rows);
    return ERR_OK;
}
