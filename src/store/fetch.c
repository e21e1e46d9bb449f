/* fetch.c: facts rows, single messages, expunged UIDs. Input: message ids from a peer: any number. Called by
 * the role's jobs. */
#include "store/fetch.h"

#include <stdlib.h>

#include "base/mem.h"
#include "wire/objectid.h"

#define FETCH_ROW_HEAD 32           /* bytes of a row beside its two strings, at most */
#define FETCH_FULL     (48u * 1024) /* a packet this full is sent */
#define FETCH_UIDS_MAX (64u << 20)

static const char select_message[] = "SELECT size, header, facts FROM message WHERE id = ?";

/* Longest row beside its strings is FETCH_ROW_HEAD; a damaged record is told as one too long for a packet:
 * whoever asks for it whole gets the error. */
static void add_row(const struct account *account, struct buf *rows, uint32_t want, uint64_t id,
                    const struct db_rows *from, bool found)
{
    struct facts_row row = {.message = id, .found = found};
    AUTO_BUF struct buf thread = buf_new(OBJECTID_MAX);
    if (found) {
        row.header = db_slice(from, 1);
        row.facts = db_slice(from, 2);
        if (want & FACTS_WANT_THREAD)
            object_thread(&thread, account->tag, id, facts_thread_root(row.facts));
        row.thread = buf_slice(&thread);
        row.large = !facts_front(row.facts, want & FACTS_WANT_PREVIEW, &row.front);
        size_t before = rows->len;
        facts_row_add(rows, want, &row);
        if (buf_ok(rows) ? rows->len - before + FETCH_ROW_HEAD <= WIRE_BLOB_MAX : before > 0)
            return; /* when it only came too late for this packet, fetch_row() takes it off again */
        buf_truncate(rows, before);
        rows->overflow = false;
        row.large = true;
    }
    facts_row_add(rows, want, &row);
}

static enum err fetch_row(struct account *account, uint32_t want, uint64_t id, struct buf *rows, bool *fits,
                          struct why *why)
{
    struct db_rows result;
    enum err err = db_query(account->db, select_message, DB_ARGS(DB_U64(id)), &result, why);
    if (err)
        return err;
    size_t before = rows->len;
    bool found = db_next(&result);
    add_row(account, rows, want, id, &result, found);
    *fits = buf_ok(rows) && rows->len <= WIRE_BLOB_MAX;
    if (!*fits) {
        buf_truncate(rows, before);
        rows->overflow = false;
    }
    return db_end(&result, why);
}

static enum err add_rows(struct account *account, uint32_t want, struct slice *ids, struct buf *rows,
                         struct why *why)
{
    uint64_t id;
    bool fits = true;
    enum err err = ERR_OK;
    while (!err && fits && rows->len < FETCH_FULL) {
        struct slice rest = *ids;
        if (!slice_take_le64(&rest, &id))
            break;
        err = fetch_row(account, want, id, rows, &fits, why);
        if (!err && fits)
            *ids = rest;
    }
    return err;
}

enum err fetch_rows(struct account *account, uint32_t want, struct slice *ids, struct buf *rows,
                    struct why *why)
{
    enum err err = db_read_begin(account->db, why);
    if (err)
        return err;
    err = add_rows(account, want, ids, rows, why);
    db_read_end(account->db);
    return err;
}

enum err fetch_message_in(struct account *account, struct arena *arena, uint64_t id,
                          struct fetch_message *message, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(account->db, select_message, DB_ARGS(DB_U64(id)), &rows, why);
    if (err)
        return err;
    bool found = db_next(&rows);
    if (found)
        *message = (struct fetch_message){.size = db_u64(&rows, 0),
                                          .header = arena_dup(arena, db_slice(&rows, 1)),
                                          .facts = arena_dup(arena, db_slice(&rows, 2))};
    err = db_end(&rows, why);
    return err || found ? err : err_set(why, ERR_ABSENT, "the message is gone");
}

/* ---- expunged UIDs ---- */

struct range {
    uint32_t first, last;
};

static void take_ranges(struct vec *ranges, struct slice uids)
{
    uint32_t first, last;
    while (wire_range_take(&uids, &first, &last)) {
        struct range *place = vec_push(ranges);
        if (place)
            *place = (struct range){first, last};
    }
}

static enum err read_vanished(struct account *account, const struct mailbox *m, uint64_t modseq,
                              struct vec *ranges, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(account->db, "SELECT uids FROM vanished WHERE mailbox = ? AND modseq > ?",
                            DB_ARGS(DB_U64(m->id), DB_U64(modseq)), &rows, why);
    if (err)
        return err;
    while (db_next(&rows))
        take_ranges(ranges, db_slice(&rows, 0));
    return db_end(&rows, why);
}

/* Expunges that were not folded yet. */
static enum err read_log(struct account *account, const struct mailbox *m, uint64_t modseq,
                         struct vec *ranges, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(account->db, "SELECT change FROM log WHERE mailbox = ? AND modseq > ?",
                            DB_ARGS(DB_U64(m->id), DB_U64(modseq)), &rows, why);
    if (err)
        return err;
    enum err bad = ERR_OK;
    while (!bad && db_next(&rows)) {
        struct change change;
        bad = change_decode(db_slice(&rows, 0), &change, why);
        if (!bad && change.kind == CHANGE_EXPUNGE)
            take_ranges(ranges, change.uids);
    }
    err = db_end(&rows, bad ? NULL : why);
    return bad ? bad : err;
}

static int range_order(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

static void write_ranges(const struct vec *ranges, struct buf *uids)
{
    uint32_t reached = 0; /* highest UID written */
    for (size_t i = 0; i < ranges->len; i++) {
        const struct range *r = VEC_AT(ranges, struct range, i);
        uint32_t first = r->first > reached ? r->first : reached + 1;
        if (reached == UINT32_MAX || first > r->last)
            continue;
        wire_range_add(uids, first, r->last);
        reached = r->last;
    }
}

/* What lies between the messages that are there. */
static void write_gaps(const struct mailbox *m, struct buf *uids)
{
    uint32_t next = 1;
    uint64_t count = view_count(m->view);
    for (uint64_t i = 0; i < count; i++) {
        if (!view_alive(m->view, i))
            continue;
        uint32_t uid = m->view->image->entries[i].uid;
        if (uid > next)
            wire_range_add(uids, next, uid - 1);
        next = uid + 1;
    }
    if (m->uidnext > next)
        wire_range_add(uids, next, m->uidnext - 1);
}

enum err fetch_vanished(struct account *account, struct mailbox *m, uint64_t modseq, struct buf *uids,
                        struct why *why)
{
    if (modseq < m->vanished_floor) {
        write_gaps(m, uids);
        return ERR_OK;
    }
    struct vec ranges = VEC_NEW(struct range, FETCH_UIDS_MAX / sizeof(struct range));
    enum err err = read_vanished(account, m, modseq, &ranges, why);
    if (!err)
        err = read_log(account, m, modseq, &ranges, why);
    if (!err && ranges.len)
        qsort(ranges.items, ranges.len, sizeof(struct range), range_order);
    if (!err)
        write_ranges(&ranges, uids);
    vec_free(&ranges);
    return err;
}
