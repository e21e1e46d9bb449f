/* fetch.c: facts rows, single messages, expunged UIDs. Input: message ids from a peer: any number. Called by
 * the role's jobs. */
#include "store/fetch.h"

#include <stdlib.h>

#include "base/mem.h"
#include "wire/objectid.h"

#define FETCH_ROW_HEAD 32           /* bytes of a row beside its two strings, at most */
#define FETCH_FULL     (48u * 1024) /* a packet this full is sent */
#define FETCH_STEP     4            /* ids this near to each other are read in one walk */
#define FETCH_UIDS_MAX (64u << 20)

static const char select_message[] = "SELECT size, header, facts FROM message WHERE id = ?";
static const char select_messages[] = "SELECT size, header, facts, id FROM message WHERE id >= ? AND id <= ?";

/* Longest row beside its strings is FETCH_ROW_HEAD; a damaged record is told as one too long for a packet:
 * whoever asks for it whole gets the error. */
static void add_row(const struct account *account, struct buf *rows, uint32_t want, uint64_t id,
                    const struct db_rows *from)
{
    struct facts_row row = {.message = id, .found = from != NULL};
    AUTO_BUF struct buf thread = buf_new(OBJECTID_MAX);
    if (from) {
        row.header = db_slice(from, 1);
        row.facts = db_slice(from, 2);
        if (want & FACTS_WANT_THREAD)
            object_thread(&thread, account->tag, id, facts_thread_root(row.facts));
        row.thread = buf_slice(&thread);
        row.large = !facts_front(row.facts, want & FACTS_WANT_PREVIEW, &row.front);
        size_t before = rows->len;
        facts_row_add(rows, want, &row);
        if (buf_ok(rows) ? rows->len - before + FETCH_ROW_HEAD <= WIRE_BLOB_MAX : before > 0)
            return; /* when it only came too late for this packet, answer_first() takes it off again */
        buf_truncate(rows, before);
        rows->overflow = false;
        row.large = true;
    }
    facts_row_add(rows, want, &row);
}

/* A packet that is being filled. */
struct packet {
    const struct account *account;
    uint32_t want;
    struct slice *ids; /* not answered yet */
    struct buf *rows;
};

static uint64_t id_at(struct slice ids, size_t at)
{
    uint64_t id = 0;
    struct slice rest = slice_from(ids, at * sizeof id);
    return slice_take_le64(&rest, &id) ? id : 0;
}

/* Answers the first id; `from`: its row, or NULL when it is not there. False: the packet is full, and an id
 * that still stands first belongs to the next. */
static bool answer_first(struct packet *p, const struct db_rows *from)
{
    size_t before = p->rows->len;
    add_row(p->account, p->rows, p->want, id_at(*p->ids, 0), from);
    if (!buf_ok(p->rows) || p->rows->len > WIRE_BLOB_MAX) {
        buf_truncate(p->rows, before);
        p->rows->overflow = false;
        return false;
    }
    *p->ids = slice_from(*p->ids, sizeof(uint64_t));
    return p->rows->len < FETCH_FULL;
}

/* How many of the first ids ascend so closely that it is cheaper to pass what lies between than to look for
 * each. */
static size_t run_length(struct slice ids)
{
    size_t count = 1;
    uint64_t last = id_at(ids, 0), id;
    for (; count < ids.len / sizeof id; count++, last = id) {
        id = id_at(ids, count);
        if (id <= last || id - last > FETCH_STEP)
            break;
    }
    return count;
}

/* Those of the run below `id` have no row. `end`: what is left of the ids behind the run. */
static bool answer_missing(struct packet *p, size_t end, uint64_t id)
{
    bool room = true;
    while (room && p->ids->len > end && id_at(*p->ids, 0) < id)
        room = answer_first(p, NULL);
    return room;
}

/* The first `count` ids, in one walk over the rows. */
static enum err answer_run(struct packet *p, size_t count, bool *room, struct why *why)
{
    struct db_rows rows;
    const struct db_value *bounds = DB_ARGS(DB_U64(id_at(*p->ids, 0)), DB_U64(id_at(*p->ids, count - 1)));
    size_t end = slice_from(*p->ids, count * sizeof(uint64_t)).len;
    enum err err = db_query(p->account->db, select_messages, bounds, &rows, why);
    if (err)
        return err;
    while (*room && p->ids->len > end && db_next(&rows)) {
        uint64_t id = db_u64(&rows, 3);
        *room = answer_missing(p, end, id);
        if (*room && p->ids->len > end && id_at(*p->ids, 0) == id)
            *room = answer_first(p, &rows);
    }
    err = db_end(&rows, why);
    if (!err && *room)
        *room = answer_missing(p, end, UINT64_MAX);
    return err;
}

enum err fetch_rows(struct account *account, uint32_t want, struct slice *ids, struct buf *rows,
                    struct why *why)
{
    struct packet p = {.account = account, .want = want, .ids = ids, .rows = rows};
    bool many = ids->len / sizeof(uint64_t) >= DB_READ_MANY, room = true;
    enum err err = many ? db_read_many_begin(account->db, why) : db_read_begin(account->db, why);
    if (err)
        return err;
    while (!err && room && ids->len)
        err = answer_run(&p, run_length(*ids), &room, why);
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
