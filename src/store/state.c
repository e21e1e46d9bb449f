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

static enum err take_record(struct slice bytes, size_t at, struct state_row *row, struct why *why)
{
    if (bytes.len - at < STATE_HEAD)
        return damaged(why);
    *row = (struct state_row){.first = le32_at(bytes.ptr + at),
                              .at = (uint32_t)at + STATE_HEAD,
                              .len = le32_at(bytes.ptr + at + 4)};
    return row->len <= bytes.len - at - STATE_HEAD ? ERR_OK : damaged(why);
}

static int by_uid_and_age(const void *a, const void *b)
{
    const struct state_row *x = a, *y = b;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static bool in_order(const struct vec *rows)
{
    for (size_t i = 0; i < rows->len; i++) {
        const struct state_row *row = VEC_AT(rows, struct state_row, i);
        if (!row->len || (i && row->first <= row[-1].first))
            return false;
    }
    return true;
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

enum err state_read(struct slice bytes, uint64_t mailbox, uint64_t sum, struct vec *rows, struct why *why)
{
    uint64_t found = state_begin(mailbox);
    if (bytes.len > STATE_MAX)
        return damaged(why);
    for (size_t at = 0; at < bytes.len;) {
        struct state_row row, *place = NULL;
        enum err err = take_record(bytes, at, &row, why);
        if (!err && !(place = vec_push(rows)))
            err = damaged(why);
        if (err)
            return err;
        *place = row;
        found = state_next(found, slice_sub(bytes, at, row.at + row.len - at));
        at = row.at + row.len;
    }
    if (found != sum)
        return damaged(why);
    if (!in_order(rows))
        keep_last(rows);
    return ERR_OK;
}
