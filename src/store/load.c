/* load.c: reading an account's index. Input: our own database, possibly damaged: numbers are checked where
 * they size something, packed bytes by their decoders. */
#include "store/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "store/acl.h"
#include "store/blob.h"
#include "store/closed.h"
#include "store/schema.h"
#include "store/state.h"
#include "store/state_file.h"

bool load_adopt(struct account *account, struct mailbox *mailbox)
{
    mailbox->tag = account->tag;
    if (!map_put(account->by_name, mailbox->name, mailbox))
        return false;
    if (idmap_put(account->by_id, mailbox->id, mailbox))
        return true;
    map_remove(account->by_name, mailbox->name);
    return false;
}

bool load_subscribe(struct account *account, struct slice name)
{
    if (map_get(account->subscriptions, name))
        return true;
    struct subscription *s = mem_zero(1, sizeof *s);
    s->name = slice_make(mem_dup(name.ptr, name.len), name.len);
    if (map_put(account->subscriptions, s->name, s))
        return true;
    free((void *)(uintptr_t)s->name.ptr);
    free(s);
    return false;
}

void load_delivered(struct account *account, struct slice queue_id, uint64_t mailbox, uint32_t uid,
                    uint64_t message)
{
    if (map_get(account->delivered, queue_id))
        return;
    struct delivered *d = mem_zero(1, sizeof *d);
    *d = (struct delivered){.queue_id = slice_make(mem_dup(queue_id.ptr, queue_id.len), queue_id.len),
                            .mailbox = mailbox,
                            .uid = uid,
                            .message = message};
    (void)!map_put(account->delivered, d->queue_id, d); /* no maximum: bounded by the fold */
}

enum err load_insert_mailbox(struct account *account, const struct mailbox *m, struct why *why)
{
    return db_run(account->db,
                  "INSERT INTO mailbox (id, name, flags, special_use, uidvalidity, uidnext, modseq, folded,"
                  " vanished_floor, messages, unseen, deleted, bytes, recent_from, keywords)"
                  " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 1, x'')",
                  DB_ARGS(DB_U64(m->id), DB_TEXT(m->name), DB_U64(m->flags), DB_U64(m->special_use),
                          DB_U64(m->uidvalidity), DB_U64(m->uidnext), DB_U64(m->modseq), DB_U64(m->folded),
                          DB_U64(m->vanished_floor)),
                  why);
}

/* The usual mailboxes, subscribed, in the same transaction as the account's row. */
static enum err insert_usual(struct account *account, uint32_t now, struct why *why)
{
    enum err err = ERR_OK;
    for (uint32_t i = 0; !err && schema_usual[i].name.len; i++) {
        struct mailbox *m = mailbox_new(i + 1, schema_usual[i].name);
        m->special_use = schema_usual[i].use;
        m->uidvalidity = now + i;
        m->modseq = m->folded = m->vanished_floor = 1;
        err = load_insert_mailbox(account, m, why);
        if (!err)
            err = db_run(account->db, "INSERT INTO subscription (name) VALUES (?)", DB_ARGS(DB_TEXT(m->name)),
                         why);
        mailbox_free(&m);
    }
    return err;
}

static enum err insert_first(struct account *account, struct why *why)
{
    uint32_t now = (uint32_t)clock_unix_s(), usual = 0;
    while (schema_usual[usual].name.len)
        usual++;
    enum err err = db_begin(account->db, why);
    if (!err)
        err = insert_usual(account, now, why);
    if (!err)
        err = db_run(
            account->db,
            "INSERT INTO account (key, address, created, modseq, next_message, next_mailbox, uidvalidity)"
            " VALUES (1, ?, ?, 1, 1, ?, ?)",
            DB_ARGS(DB_TEXT(account->address), DB_U64(now), DB_U64(usual + 1), DB_U64(now + usual - 1)), why);
    err = err ? err : db_commit(account->db, why);
    if (err)
        db_rollback(account->db);
    return err;
}

static enum err read_account(struct account *account, bool *found, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(account->db,
                            "SELECT modseq, next_message, next_mailbox, uidvalidity, closed,"
                            " (SELECT count(*) FROM doomed), EXISTS (SELECT 1 FROM shared) FROM account",
                            DB_NO_ARGS, &rows, why);
    if (err)
        return err;
    *found = db_next(&rows);
    if (*found) {
        account->modseq = db_u64(&rows, 0);
        atomic_store(&account->next_message, db_u64(&rows, 1));
        account->next_mailbox = db_u64(&rows, 2);
        account->uidvalidity = (uint32_t)db_u64(&rows, 3);
        account->closed = db_u64(&rows, 4);
        account->doomed = db_u64(&rows, 5);
        account->shared = db_u64(&rows, 6) != 0;
    }
    return db_end(&rows, why);
}

/* After a clean end the number saved is right; otherwise rows and the log may know better. */
static enum err read_last(struct account *account, struct why *why)
{
    uint64_t last = 0;
    enum err err = ERR_OK;
    if (!closed_is_clean(account))
        err = db_number(account->db, "SELECT max(id) FROM message", DB_NO_ARGS, 0, &last, why);
    if (!err && last >= atomic_load(&account->next_message))
        atomic_store(&account->next_message, last + 1);
    if (!err && atomic_load(&account->next_message) > IMAGE_MESSAGE_MAX + 1)
        err = err_set(why, ERR_INTERNAL, "damaged index: message numbers");
    return err;
}

static enum err read_own_limits(struct account *account, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(account->db, "SELECT bytes, messages FROM own_limit", DB_NO_ARGS, &rows, why);
    if (err)
        return err;
    if (db_next(&rows))
        account->own = (struct account_limits){db_u64(&rows, 0), db_u64(&rows, 1)};
    return db_end(&rows, why);
}

static struct mailbox *read_mailbox(const struct db_rows *rows)
{
    struct mailbox *m = mailbox_new(db_u64(rows, 0), db_slice(rows, 1));
    m->flags = (uint32_t)db_u64(rows, 2);
    m->special_use = (uint32_t)db_u64(rows, 3) % SPECIAL_COUNT;
    m->uidvalidity = (uint32_t)db_u64(rows, 4);
    m->uidnext = (uint32_t)db_u64(rows, 5);
    m->modseq = db_u64(rows, 6);
    m->folded = db_u64(rows, 7);
    m->vanished_floor = db_u64(rows, 8);
    m->messages = db_u64(rows, 9);
    m->unseen = db_u64(rows, 10);
    m->deleted = db_u64(rows, 11);
    m->bytes = db_u64(rows, 12);
    m->recent_from = (uint32_t)db_u64(rows, 13);
    m->state_len = db_u64(rows, 15);
    m->state_sum = db_u64(rows, 16);
    m->state_dead = db_u64(rows, 17);
    struct slice names = db_slice(rows, 14), name;
    while (wire_strings_take(&names, &name))
        (void)!mailbox_keyword_add(m, name);
    m->keywords_saved = m->keyword_count;
    return m;
}

static enum err read_mailboxes(struct account *account, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(account->db,
                            "SELECT id, name, flags, special_use, uidvalidity, uidnext, modseq, folded,"
                            " vanished_floor, messages, unseen, deleted, bytes, recent_from, keywords,"
                            " state_len, state_sum, state_dead FROM mailbox",
                            DB_NO_ARGS, &rows, why);
    if (err)
        return err;
    bool full = false;
    while (!full && db_next(&rows)) {
        struct mailbox *m = read_mailbox(&rows);
        if (m->modseq > account->modseq)
            account->modseq = m->modseq;
        full = !load_adopt(account, m);
        if (full)
            mailbox_free(&m);
    }
    err = db_end(&rows, why);
    return full ? err_set(why, ERR_INTERNAL, "damaged index: mailboxes") : err;
}

static enum err read_subscriptions(struct account *account, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(account->db, "SELECT name FROM subscription", DB_NO_ARGS, &rows, why);
    if (err)
        return err;
    while (db_next(&rows))
        (void)!load_subscribe(account, db_slice(&rows, 0)); /* more than fit were never made */
    return db_end(&rows, why);
}

enum err load_entries(struct slice packed, struct entry **entries, size_t *count, struct why *why)
{
    size_t n;
    enum err err = packed_count(packed, &n, why);
    if (err)
        return err;
    struct entry *list = mem_zero(n, sizeof *list);
    err = packed_decode(packed, list, n, why);
    if (err) {
        free(list);
        return err;
    }
    *entries = list;
    *count = n;
    return ERR_OK;
}

/* A log row that was read: with counters (view false) or into the image only (view true). */
static enum err replay(struct account *account, struct mailbox *m, uint64_t modseq, struct slice bytes,
                       bool view, struct why *why)
{
    struct change change;
    struct entry *entries = NULL;
    size_t count = 0;
    enum err err = change_decode(bytes, &change, why);
    if (!err && change.kind == CHANGE_ADD)
        err = load_entries(change.entries, &entries, &count, why);
    if (!err)
        err = view ? mailbox_apply_view(m, modseq, &change, entries, count, why)
                   : mailbox_apply(m, modseq, &change, entries, count, why);
    struct slice ids = change.queue_ids, id;
    for (size_t i = 0; !err && !view && i < count; i++) {
        if (entries[i].message >= atomic_load(&account->next_message))
            atomic_store(&account->next_message, entries[i].message + 1);
        if (wire_strings_take(&ids, &id) && id.len)
            load_delivered(account, id, m->id, entries[i].uid, entries[i].message);
    }
    free(entries);
    return err;
}

static enum err replay_log(struct account *account, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(account->db, "SELECT modseq, mailbox, change FROM log ORDER BY modseq",
                            DB_NO_ARGS, &rows, why);
    if (err)
        return err;
    enum err bad = ERR_OK;
    while (!bad && db_next(&rows)) {
        struct mailbox *m = account_mailbox_by_id(account, db_u64(&rows, 1));
        uint64_t modseq = db_u64(&rows, 0);
        account->log_rows++;
        account->log_bytes += db_slice(&rows, 2).len;
        account->modseq = modseq > account->modseq ? modseq : account->modseq;
        if (m && modseq > m->folded)
            bad = replay(account, m, modseq, db_slice(&rows, 2), false, why);
    }
    err = db_end(&rows, bad ? NULL : why);
    return bad ? bad : err;
}

enum err load_account(struct account *account, struct why *why)
{
    bool found = false;
    enum err err = read_account(account, &found, why);
    if (!err && !found) {
        err = insert_first(account, why);
        if (!err)
            err = read_account(account, &found, why);
    }
    if (!err)
        err = read_last(account, why);
    if (!err)
        err = read_mailboxes(account, why);
    if (!err)
        err = read_subscriptions(account, why);
    if (!err)
        err = read_own_limits(account, why);
    if (!err)
        err = acl_load(account, why);
    return err ? err : replay_log(account, why);
}

/* ---- what a crash has left ---- */

struct sweep {
    struct account *account;
    char folder[PATHS_FILE_MAX]; /* the one that is read */
    uint64_t low, next, highest;
    int64_t index_time;
    struct vec found;   /* uint64_t: files in the window */
    struct vec orphans; /* uint64_t: those without a row */
    bool odd;           /* some of them are not a crash's */
};

static int64_t modified(const struct account *account, const char *suffix)
{
    char path[PATHS_FILE_MAX];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/index.db%s", account->folder, suffix);
    return io_stat_at(account->root.dir, path, &st, NULL) == ERR_OK ? (int64_t)st.st_mtime : 0;
}

static bool sweep_name(void *arg, const char *name, int type)
{
    (void)type;
    struct sweep *sweep = arg;
    uint64_t id;
    if (paths_is_closed(name))
        closed_remove(&sweep->account->root, sweep->folder, name);
    if (!paths_message_id(name, &id))
        return true;
    sweep->highest = id > sweep->highest ? id : sweep->highest;
    uint64_t *place = id >= sweep->low ? vec_push(&sweep->found) : NULL;
    if (place)
        *place = id;
    return true;
}

/* A file without a row. An index that was put back from a copy has such too; those are mail and must stay. */
static enum err judge(struct sweep *sweep, uint64_t id, struct why *why)
{
    char path[PATHS_FILE_MAX];
    struct stat st;
    paths_message(sweep->account->folder, id, path);
    enum err err = io_stat_at(sweep->account->root.dir, path, &st, why);
    if (err)
        return err == ERR_ABSENT ? ERR_OK : err;
    if (!st.st_size) /* made in advance, or by a delivery that did not come far */
        return blob_remove(&sweep->account->root, sweep->account->folder, id, why);
    int64_t apart = (int64_t)st.st_mtime - sweep->index_time;
    sweep->odd = sweep->odd || apart > ACCOUNT_ORPHAN_S || apart < -ACCOUNT_ORPHAN_S;
    uint64_t *place = vec_push(&sweep->orphans);
    if (place)
        *place = id;
    return ERR_OK;
}

static enum err find_orphans(struct sweep *sweep, struct why *why)
{
    enum err err = ERR_OK;
    for (size_t i = 0; !err && i < sweep->found.len; i++) {
        uint64_t id = *VEC_AT(&sweep->found, uint64_t, i), there = 0;
        if (id < sweep->next)
            err = db_number(sweep->account->db, "SELECT 1 FROM message WHERE id = ?", DB_ARGS(DB_U64(id)), 0,
                            &there, why);
        if (!err && !there)
            err = judge(sweep, id, why);
    }
    sweep->found.len = 0;
    return err;
}

static enum err read_folder(struct sweep *sweep, uint64_t id, struct why *why)
{
    paths_message_folder(sweep->account->folder, id, sweep->folder);
    enum err err = io_list_dir(sweep->account->root.dir, sweep->folder, sweep_name, sweep, why);
    return err == ERR_ABSENT ? ERR_OK : err;
}

/* The next message must not take the name of a file that stays. */
static enum err step_over(struct sweep *sweep, struct why *why)
{
    enum err err = ERR_OK;
    sweep->low = UINT64_MAX;
    for (uint64_t folder = 0; !err && folder <= 0xff; folder++)
        err = read_folder(sweep, folder << 8, why);
    sweep->account->strays = sweep->orphans.len;
    if (!err && sweep->highest >= sweep->next)
        atomic_store(&sweep->account->next_message, sweep->highest + 1);
    return err;
}

enum err load_sweep(struct account *account, struct why *why)
{
    uint64_t next = atomic_load(&account->next_message);
    struct sweep sweep = {.account = account,
                          .low = next > ACCOUNT_WINDOW ? next - ACCOUNT_WINDOW : 1,
                          .next = next,
                          .found = VEC_NEW(uint64_t, 1u << 20),
                          .orphans = VEC_NEW(uint64_t, 1u << 20)};
    int64_t database = modified(account, ""), log = modified(account, "-wal");
    sweep.index_time = database > log ? database : log;
    enum err err = ERR_OK;
    for (uint64_t id = sweep.low; !err && id <= next + ACCOUNT_WINDOW; id += ACCOUNT_WINDOW) {
        err = read_folder(&sweep, id, why);
        if (!err)
            err = find_orphans(&sweep, why);
    }
    bool crash = !sweep.odd && sweep.orphans.len <= ACCOUNT_ORPHANS_MAX;
    if (!err && !crash)
        err = step_over(&sweep, why);
    for (size_t i = 0; !err && crash && i < sweep.orphans.len; i++)
        err = blob_remove(&account->root, account->folder, *VEC_AT(&sweep.orphans, uint64_t, i), why);
    vec_free(&sweep.found);
    vec_free(&sweep.orphans);
    return err;
}

/* ---- images ---- */

static enum err load_packed(struct account *account, struct mailbox *m, struct view *view, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(account->db, "SELECT state FROM packed WHERE id BETWEEN ? AND ? ORDER BY id",
                            DB_ARGS(DB_U64(m->id << 32), DB_U64(m->id << 32 | UINT32_MAX)), &rows, why);
    if (err)
        return err;
    struct entry entries[PACKED_CHUNK];
    uint64_t bytes = 0;
    enum err bad = ERR_OK;
    while (!bad && db_next(&rows)) {
        size_t count = 0;
        bytes += db_slice(&rows, 0).len;
        bad = packed_count(db_slice(&rows, 0), &count, why);
        if (!bad && count > PACKED_CHUNK)
            bad = err_set(why, ERR_INTERNAL, "damaged packed state: too many in a row");
        if (!bad)
            bad = packed_decode(db_slice(&rows, 0), entries, count, why);
        if (!bad && !view_add(view, entries, count))
            bad = err_set(why, ERR_INTERNAL, "damaged index: more messages than counted");
    }
    m->state_wanted = bytes && bytes <= STATE_MAX / 2 && !account->as_is;
    err = db_end(&rows, bad ? NULL : why);
    return bad ? bad : err;
}

static enum err load_log(struct account *account, struct mailbox *m, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(account->db,
                            "SELECT modseq, change FROM log WHERE mailbox = ? AND modseq > ? ORDER BY modseq",
                            DB_ARGS(DB_U64(m->id), DB_U64(m->folded)), &rows, why);
    if (err)
        return err;
    enum err bad = ERR_OK;
    while (!bad && db_next(&rows))
        bad = replay(account, m, db_u64(&rows, 0), db_slice(&rows, 1), true, why);
    err = db_end(&rows, bad ? NULL : why);
    return bad ? bad : err;
}

static enum err load_index(struct account *account, struct mailbox *m, struct view **out, struct why *why)
{
    uint64_t packed_most = 0; /* messages folded may be more than are left now */
    enum err err =
        db_number(account->db, "SELECT count(*) FROM packed WHERE id BETWEEN ? AND ?",
                  DB_ARGS(DB_U64(m->id << 32), DB_U64(m->id << 32 | UINT32_MAX)), 0, &packed_most, why);
    struct view *view = NULL;
    uint64_t capacity = packed_most * PACKED_CHUNK;
    if (!err)
        err = view_new_to_fill(m->id, m->uidvalidity, capacity > m->messages ? capacity : m->messages, &view,
                               why);
    if (!err)
        err = load_packed(account, m, view, why);
    if (!err)
        err = view_filled(view, why);
    if (err)
        view_free(&view);
    else
        *out = view;
    return err;
}

/* Nothing of it is in the index: the index need not be open. */
static enum err load_empty(const struct account *account, const struct mailbox *m, struct view **view,
                           struct why *why)
{
    if (m->messages || account->log_rows)
        return err_set(why, ERR_ABSENT, "the mailbox holds messages");
    return view_new(m->id, m->uidvalidity, 0, view, why);
}

enum err load_view(struct account *account, struct mailbox *m, struct why *why)
{
    struct view *view = NULL;
    enum err err = state_file_load(account, m, &view, why);
    if (err)
        err = load_empty(account, m, &view, why);
    if (err)
        err = account_wake(account, why);
    if (!err && !view)
        err = load_index(account, m, &view, why);
    if (err)
        return err;
    m->view = view;
    bool moved = m->moved;
    if (account->log_rows)
        err = load_log(account, m, why); /* may move it once more: nobody has seen the first one */
    m->moved = moved;
    if (err) {
        view_free(&m->view);
        return err;
    }
    for (unsigned i = 0; i < m->keyword_count; i++)
        view_keyword(m->view, i, m->keywords[i]);
    view_publish(m->view, m->modseq, m->uidnext);
    return ERR_OK;
}
