/* fold.c: the log becomes packed state: only rows of messages that changed are written, all in one
 * transaction. Input: our own database. Called by the upkeep and when an account goes to sleep. */
#include <stdlib.h>

#include "base/mem.h"
#include "store/load.h"
#include "store/state_file.h"

#define FOLD_CHUNKS_MAX   100000              /* rows of one mailbox's state */
#define FOLD_STATE_MAX    (PACKED_CHUNK * 64) /* bytes of one row */
#define FOLD_REPACK_SLACK 4 /* rows more than twice the needed ones before a mailbox is packed anew */

/* One row of the packed state: messages from UID `first` up to the next row's. */
struct chunk {
    uint32_t first;
    bool touched;
};

struct fold {
    struct account *account;
    struct mailbox *mailbox;
    struct vec chunks; /* struct chunk, ascending */
    struct vec added;  /* struct entry: what the log adds, as it was added */
    bool others;       /* the log changes or expunges messages too */
    uint64_t last;     /* highest change number in the log */
    bool asleep;       /* the account is about to be */
    struct state_file file;
};

/* A mailbox that is folded, and what it will be when that is committed. */
struct dirty {
    struct mailbox *mailbox;
    uint64_t last;
    struct state_file file;
};

static struct chunk *chunk_at(const struct fold *fold, size_t i)
{
    return VEC_AT(&fold->chunks, struct chunk, i);
}

static uint64_t row_id(const struct mailbox *m, uint32_t first)
{
    return m->id << 32 | first;
}

static enum err read_chunks(struct fold *fold, struct why *why)
{
    const struct mailbox *m = fold->mailbox;
    struct db_rows rows;
    enum err err = db_query(fold->account->db, "SELECT id FROM packed WHERE id BETWEEN ? AND ? ORDER BY id",
                            DB_ARGS(DB_U64(row_id(m, 0)), DB_U64(row_id(m, UINT32_MAX))), &rows, why);
    if (err)
        return err;
    bool full = false;
    while (!full && db_next(&rows)) {
        struct chunk *chunk = vec_push(&fold->chunks);
        full = !chunk;
        if (chunk)
            chunk->first = (uint32_t)db_u64(&rows, 0);
    }
    err = db_end(&rows, full ? NULL : why);
    return full ? err_set(why, ERR_INTERNAL, "damaged index: too many rows") : err;
}

/* The last row that begins at or before this UID; the first row also takes what comes before it. */
static size_t chunk_of(const struct fold *fold, uint32_t uid)
{
    size_t low = 0, high = fold->chunks.len;
    while (low + 1 < high) {
        size_t middle = low + (high - low) / 2;
        if (chunk_at(fold, middle)->first <= uid)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void touch_range(struct fold *fold, uint32_t first, uint32_t last)
{
    for (size_t i = chunk_of(fold, first); i < fold->chunks.len; i++) {
        if (chunk_at(fold, i)->first > last && chunk_at(fold, i)->first > first)
            break;
        chunk_at(fold, i)->touched = true;
    }
}

static enum err note_added(struct fold *fold, const struct change *change, struct why *why)
{
    struct entry *entries = NULL;
    size_t count = 0;
    enum err err = load_entries(change->entries, &entries, &count, why);
    for (size_t i = 0; !err && i < count; i++) {
        struct entry *place = vec_push(&fold->added);
        if (!place)
            err = err_set(why, ERR_INTERNAL, "damaged log: too many messages");
        else
            *place = entries[i];
    }
    free(entries);
    return err;
}

/* Expunges are kept for QRESYNC (RFC 7162 section 3.2.5.2). */
static enum err note_expunged(struct fold *fold, uint64_t modseq, const struct change *change,
                              struct why *why)
{
    return db_run(fold->account->db, "INSERT INTO vanished (modseq, mailbox, uids) VALUES (?, ?, ?)",
                  DB_ARGS(DB_U64(modseq), DB_U64(fold->mailbox->id), DB_BLOB(change->uids)), why);
}

static enum err note_change(struct fold *fold, uint64_t modseq, struct slice bytes, struct why *why)
{
    struct change change;
    enum err err = change_decode(bytes, &change, why);
    if (err)
        return err;
    fold->last = modseq;
    if (change.kind == CHANGE_ADD)
        return note_added(fold, &change, why);
    fold->others = true;
    uint32_t first, last;
    struct slice uids = change.uids;
    while (wire_range_take(&uids, &first, &last))
        touch_range(fold, first, last);
    return change.kind == CHANGE_EXPUNGE ? note_expunged(fold, modseq, &change, why) : ERR_OK;
}

static enum err read_log(struct fold *fold, struct why *why)
{
    struct db_rows rows;
    enum err err =
        db_query(fold->account->db, "SELECT modseq, change FROM log WHERE mailbox = ? ORDER BY modseq",
                 DB_ARGS(DB_U64(fold->mailbox->id)), &rows, why);
    if (err)
        return err;
    enum err bad = ERR_OK;
    while (!bad && db_next(&rows))
        bad = note_change(fold, db_u64(&rows, 0), db_slice(&rows, 1), why);
    err = db_end(&rows, bad ? NULL : why);
    return bad ? bad : err;
}

static enum err write_row(struct fold *fold, uint32_t first, const struct entry *entries, size_t count,
                          struct why *why)
{
    AUTO_BUF struct buf state = buf_new(FOLD_STATE_MAX);
    packed_encode(entries, count, &state);
    if (!buf_ok(&state))
        return err_set(why, ERR_INTERNAL, "a row of packed state is too long");
    size_t at = chunk_of(fold, first);
    bool replaces = at < fold->chunks.len && chunk_at(fold, at)->first == first;
    state_file_add(&fold->file, fold->account, fold->mailbox, first, buf_slice(&state), replaces);
    return db_run(fold->account->db, "INSERT OR REPLACE INTO packed (id, state) VALUES (?, ?)",
                  DB_ARGS(DB_U64(row_id(fold->mailbox, first)), DB_BLOB(buf_slice(&state))), why);
}

/* Writes what a row holds now; more than it may hold (only the last one grows) goes into rows behind it. */
static enum err write_chunk(struct fold *fold, uint32_t first, const struct entry *entries, size_t count,
                            struct why *why)
{
    if (!count) {
        state_file_add(&fold->file, fold->account, fold->mailbox, first, SLICE_EMPTY, true);
        return db_run(fold->account->db, "DELETE FROM packed WHERE id = ?",
                      DB_ARGS(DB_U64(row_id(fold->mailbox, first))), why);
    }
    enum err err = ERR_OK;
    for (size_t at = 0; !err && at < count; at += PACKED_CHUNK) {
        size_t here = count - at < PACKED_CHUNK ? count - at : PACKED_CHUNK;
        err = write_row(fold, at ? entries[at].uid : first, entries + at, here, why);
    }
    return err;
}

/* The messages with UIDs from `low` to `high` that are alive in the image. */
static enum err write_from_view(struct fold *fold, uint32_t first, uint32_t low, uint32_t high,
                                struct why *why)
{
    const struct view *view = fold->mailbox->view;
    uint64_t count = view_count(view), at = image_find(view->image, count, low);
    uint64_t end = high == UINT32_MAX ? count : image_find(view->image, count, high + 1);
    struct entry *entries = mem_alloc((size_t)(end - at) * sizeof *entries + 1);
    size_t alive = 0;
    for (; at < end; at++)
        if (view_alive(view, at))
            entries[alive++] = view_entry(view, at);
    enum err err = write_chunk(fold, first, entries, alive, why);
    free(entries);
    return err;
}

static enum err fold_from_view(struct fold *fold, struct why *why)
{
    enum err err = ERR_OK;
    for (size_t i = 0; !err && i < fold->chunks.len; i++) {
        bool is_last = i + 1 == fold->chunks.len;
        if (chunk_at(fold, i)->touched || (is_last && fold->added.len))
            err = write_from_view(fold, chunk_at(fold, i)->first, i ? chunk_at(fold, i)->first : 0,
                                  is_last ? UINT32_MAX : chunk_at(fold, i + 1)->first - 1, why);
    }
    if (!err && !fold->chunks.len && fold->added.len)
        err = write_from_view(fold, VEC_AT(&fold->added, struct entry, 0)->uid, 0, UINT32_MAX, why);
    return err;
}

/* Only new messages and no image: they go behind the entries of the last row. */
static enum err fold_added(struct fold *fold, struct why *why)
{
    if (!fold->added.len)
        return ERR_OK;
    const struct entry *added = fold->added.items;
    if (!fold->chunks.len)
        return write_chunk(fold, added[0].uid, added, fold->added.len, why);
    uint32_t first = chunk_at(fold, fold->chunks.len - 1)->first;
    struct db_rows rows;
    struct entry *old = NULL;
    size_t count = 0;
    enum err err = db_query(fold->account->db, "SELECT state FROM packed WHERE id = ?",
                            DB_ARGS(DB_U64(row_id(fold->mailbox, first))), &rows, why);
    if (err)
        return err;
    enum err bad = db_next(&rows) ? load_entries(db_slice(&rows, 0), &old, &count, why) : ERR_OK;
    err = db_end(&rows, bad ? NULL : why);
    if (!bad && !err) {
        struct entry *all = mem_alloc((count + fold->added.len) * sizeof *all);
        for (size_t i = 0; i < count; i++)
            all[i] = old[i];
        for (size_t i = 0; i < fold->added.len; i++)
            all[count + i] = added[i];
        err = write_chunk(fold, first, all, count + fold->added.len, why);
        free(all);
    }
    free(old);
    return bad ? bad : err;
}

/* Many rows that hold few messages each: all of them anew. */
static enum err repack(struct fold *fold, struct why *why)
{
    const struct mailbox *m = fold->mailbox;
    state_file_forget(&fold->file);
    enum err err = db_run(fold->account->db, "DELETE FROM packed WHERE id BETWEEN ? AND ?",
                          DB_ARGS(DB_U64(row_id(m, 0)), DB_U64(row_id(m, UINT32_MAX))), why);
    uint64_t at = 0, count = view_count(m->view);
    while (!err && at < count && !view_alive(m->view, at))
        at++;
    if (!err && at < count)
        err = write_from_view(fold, view_entry(m->view, at).uid, 0, UINT32_MAX, why);
    return err;
}

static enum err save_row(struct account *account, const struct mailbox *m, uint64_t folded,
                         const struct state_file *file, struct why *why)
{
    return db_run(
        account->db,
        "UPDATE mailbox SET uidnext = ?, modseq = ?, folded = ?, messages = ?, unseen = ?, deleted = ?,"
        " bytes = ?, recent_from = ?, state_len = ?, state_sum = ?, state_dead = ? WHERE id = ?",
        DB_ARGS(DB_U64(m->uidnext), DB_U64(m->modseq), DB_U64(folded), DB_U64(m->messages), DB_U64(m->unseen),
                DB_U64(m->deleted), DB_U64(m->bytes), DB_U64(m->recent_from), DB_U64(file->len),
                DB_U64(file->sum), DB_U64(file->dead), DB_U64(m->id)),
        why);
}

static enum err fold_state(struct fold *fold, struct why *why)
{
    struct mailbox *m = fold->mailbox;
    bool borrowed = fold->others && !m->view;
    enum err err = borrowed ? load_view(fold->account, m, why) : ERR_OK;
    if (err)
        return err;
    if (m->view && fold->chunks.len > 2 * (m->messages / PACKED_CHUNK + FOLD_REPACK_SLACK))
        err = repack(fold, why);
    else if (m->view)
        err = fold_from_view(fold, why);
    else
        err = fold_added(fold, why);
    if (borrowed)
        account_release_view(m);
    return err;
}

/* A mailbox has a file when somebody who opened it would have gained from one. */
static void look_after_file(struct fold *fold)
{
    const struct mailbox *m = fold->mailbox;
    bool lost = m->state_len && !fold->file.len;
    bool wanted = fold->asleep && m->state_wanted && !fold->file.len;
    if ((lost || wanted || state_file_is_old(&fold->file, fold->asleep)) && !fold->account->as_is)
        state_file_make(&fold->file, fold->account, m);
}

static enum err fold_mailbox(struct account *account, struct dirty *dirty, bool asleep, struct why *why)
{
    struct mailbox *m = dirty->mailbox;
    struct fold fold = {.account = account,
                        .mailbox = m,
                        .last = m->folded,
                        .asleep = asleep,
                        .file = state_file_begin(m),
                        .chunks = VEC_NEW(struct chunk, FOLD_CHUNKS_MAX),
                        .added = VEC_NEW(struct entry, 1u << 24)};
    enum err err = read_chunks(&fold, why);
    if (!err)
        err = read_log(&fold, why);
    if (!err)
        err = fold_state(&fold, why);
    if (!err) {
        look_after_file(&fold);
        err = save_row(account, m, fold.last, &fold.file, why);
    }
    dirty->last = fold.last;
    dirty->file = fold.file;
    vec_free(&fold.chunks);
    vec_free(&fold.added);
    return err;
}

/* Is it to have a file, or a better one, now that there is time? */
static bool wants_file(const struct mailbox *m)
{
    struct state_file file = state_file_begin(m);
    return m->state_wanted || state_file_is_old(&file, true);
}

static void note_dirty(struct vec *list, struct mailbox *m)
{
    struct dirty *place = vec_push(list);
    if (place)
        *place = (struct dirty){.mailbox = m, .last = m->folded, .file = state_file_begin(m)};
}

static bool is_listed(const struct vec *list, const struct mailbox *m)
{
    for (size_t i = 0; i < list->len; i++)
        if (VEC_AT(list, struct dirty, i)->mailbox == m)
            return true;
    return false;
}

/* Mailboxes with rows in the log; for an account that falls asleep also those that are to have a file. */
static enum err list_dirty(struct account *account, bool asleep, struct vec *list, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(account->db, "SELECT DISTINCT mailbox FROM log", DB_NO_ARGS, &rows, why);
    if (err)
        return err;
    while (db_next(&rows)) {
        struct mailbox *m = account_mailbox_by_id(account, db_u64(&rows, 0));
        if (m)
            note_dirty(list, m);
    }
    err = db_end(&rows, why);
    size_t at = 0;
    struct mailbox *m;
    while (!err && asleep && (m = idmap_next(account->by_id, &at, NULL)))
        if (wants_file(m) && !is_listed(list, m))
            note_dirty(list, m);
    return err;
}

static enum err save_delivered(struct account *account, int64_t now, struct why *why)
{
    size_t at = 0;
    const struct delivered *d;
    enum err err = ERR_OK;
    while (!err && (d = map_next(account->delivered, &at, NULL)))
        err = db_run(
            account->db,
            "INSERT OR IGNORE INTO delivered (queue_id, at, mailbox, uid, message) VALUES (?, ?, ?, ?, ?)",
            DB_ARGS(DB_TEXT(d->queue_id), DB_I64(now), DB_U64(d->mailbox), DB_U64(d->uid),
                    DB_U64(d->message)),
            why);
    if (!err)
        err = db_run(account->db, "DELETE FROM delivered WHERE at < ?",
                     DB_ARGS(DB_I64(now - ACCOUNT_DELIVERED_S)), why);
    return err;
}

/* Keeps the younger half when there are too many; who asks for older ones gets the RFC's fallback. */
static enum err trim_vanished(struct account *account, uint64_t *floor, struct why *why)
{
    uint64_t count = 0;
    enum err err = db_number(account->db, "SELECT count(*) FROM vanished", DB_NO_ARGS, 0, &count, why);
    if (err || count <= ACCOUNT_VANISHED_MAX)
        return err;
    err = db_number(account->db, "SELECT modseq FROM vanished ORDER BY modseq DESC LIMIT 1 OFFSET ?",
                    DB_ARGS(DB_U64(ACCOUNT_VANISHED_MAX / 2)), 0, floor, why);
    if (!err)
        err = db_run(account->db, "DELETE FROM vanished WHERE modseq <= ?", DB_ARGS(DB_U64(*floor)), why);
    if (!err)
        err = db_run(account->db, "UPDATE mailbox SET vanished_floor = max(vanished_floor, ?)",
                     DB_ARGS(DB_U64(*floor)), why);
    return err;
}

static enum err save_account(struct account *account, uint64_t stamp, struct why *why)
{
    enum err err = db_run(account->db,
                          "UPDATE account SET modseq = ?, next_message = ?, next_mailbox = ?,"
                          " uidvalidity = ?, closed = ?",
                          DB_ARGS(DB_U64(account->modseq), DB_U64(atomic_load(&account->next_message)),
                                  DB_U64(account->next_mailbox), DB_U64(account->uidvalidity),
                                  DB_U64(stamp ? stamp : account->closed)),
                          why);
    return err ? err : db_run(account->db, "DELETE FROM log", DB_NO_ARGS, why);
}

static enum err save_touched(struct account *account, struct why *why)
{
    size_t at = 0;
    const struct mailbox *m;
    enum err err = ERR_OK;
    while (!err && (m = idmap_next(account->by_id, &at, NULL)))
        if (m->touched) {
            struct state_file file = state_file_begin(m);
            err = save_row(account, m, m->folded, &file, why);
        }
    return err;
}

static void forget_delivered(struct account *account)
{
    size_t at = 0;
    struct delivered *d;
    while ((d = map_next(account->delivered, &at, NULL))) {
        free((void *)(uintptr_t)d->queue_id.ptr);
        free(d);
    }
    map_free(&account->delivered);
    account->delivered = map_new(SIZE_MAX);
}

/* Durable: memory follows. */
static void folded(struct account *account, const struct vec *list, uint64_t floor)
{
    size_t at = 0;
    struct mailbox *m;
    while ((m = idmap_next(account->by_id, &at, NULL))) {
        m->touched = false;
        m->vanished_floor = floor > m->vanished_floor ? floor : m->vanished_floor;
    }
    for (size_t i = 0; i < list->len; i++) {
        struct dirty *dirty = VEC_AT(list, struct dirty, i);
        dirty->mailbox->folded = dirty->last;
        state_file_keep(&dirty->file, account, dirty->mailbox);
    }
    forget_delivered(account);
    account->log_rows = account->log_bytes = 0;
}

static void not_folded(struct account *account, const struct vec *list)
{
    db_rollback(account->db);
    for (size_t i = 0; i < list->len; i++) {
        struct dirty *dirty = VEC_AT(list, struct dirty, i);
        state_file_drop(&dirty->file, account, dirty->mailbox);
    }
}

/* How an account is folded: `asleep` when it is about to be, with the stamp of a clean end (closed.h). */
struct fold_how {
    int64_t now;
    bool asleep;
    uint64_t stamp;
};

static enum err fold_all(struct account *account, struct vec *list, uint64_t *floor,
                         const struct fold_how *how, struct why *why)
{
    enum err err = save_touched(account, why); /* first: the dirty ones write their rows once more */
    for (size_t i = 0; !err && i < list->len; i++)
        err = fold_mailbox(account, VEC_AT(list, struct dirty, i), how->asleep, why);
    if (!err)
        err = save_delivered(account, how->now, why);
    if (!err)
        err = trim_vanished(account, floor, why);
    return err ? err : save_account(account, how->stamp, why);
}

static enum err fold_now(struct account *account, const struct fold_how *how, struct why *why)
{
    struct vec list = VEC_NEW(struct dirty, ACCOUNT_MAILBOXES_MAX);
    uint64_t floor = 0;
    enum err err = list_dirty(account, how->asleep, &list, why);
    if (!err)
        err = db_begin(account->db, why);
    if (!err)
        err = fold_all(account, &list, &floor, how, why);
    err = err ? err : db_commit(account->db, why);
    if (!err)
        folded(account, &list, floor);
    else
        not_folded(account, &list);
    vec_free(&list);
    return err;
}

static bool any_touched(const struct account *account, bool asleep)
{
    size_t at = 0;
    const struct mailbox *m;
    while ((m = idmap_next(account->by_id, &at, NULL)))
        if (m->touched || (asleep && wants_file(m)))
            return true;
    return false;
}

enum err account_fold(struct account *account, int64_t now, struct why *why)
{
    const struct fold_how how = {.now = now};
    return account->log_rows || any_touched(account, false) ? fold_now(account, &how, why) : ERR_OK;
}

enum err account_fold_last(struct account *account, int64_t now, uint64_t stamp, struct why *why)
{
    const struct fold_how how = {.now = now, .asleep = true, .stamp = stamp};
    return stamp || account->log_rows || any_touched(account, true) ? fold_now(account, &how, why) : ERR_OK;
}
