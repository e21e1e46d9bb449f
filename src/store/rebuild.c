/* rebuild.c: a new index from the message files. What can be read of the old one (mailboxes, flags, UIDs,
 * dates) is taken over; every fact is found anew by scanning the file. The new index is made beside the old
 * one and takes its place at the end, so that a rebuild that is broken off changes nothing. Input: files and
 * an index in any state. Called by the offline command. */
#include "store/rebuild.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "store/account.h"
#include "store/acl.h"
#include "store/blob.h"
#include "store/closed.h"
#include "store/fetch.h"
#include "store/load.h"
#include "store/remove.h"
#include "store/text.h"

#define REBUILD_FILES_MAX (1u << 28)
#define REBUILD_FILE_MAX  (1u << 30)   /* a message that is read into memory */
#define REBUILD_ARENA_MAX (3ull << 30) /* and all that is made of it */
#define REBUILD_GROUP     200          /* messages in one transaction */
#define REBUILD_NAMES_MAX 1000         /* old indexes kept */

/* A message where the old index had it. */
struct place {
    uint64_t mailbox;
    struct entry entry;
};

struct rebuild {
    struct store_root root;
    struct slice address;
    char folder[PATHS_FOLDER_MAX], scratch[PATHS_FILE_MAX];
    struct account *old; /* NULL: nothing of it can be read */
    struct account *new;
    struct vec files;  /* uint64_t, ascending */
    struct vec places; /* struct place, by message */
    struct vec good;   /* uint64_t: files that became rows, ascending */
    rebuild_scan *scan;
    void *arg;
    struct rebuild_report *report;
};

/* ---- the files ---- */

struct listing {
    struct rebuild *r;
    char folder[PATHS_FILE_MAX];
};

static bool add_file(void *arg, const char *name, int type)
{
    struct listing *list = arg;
    uint64_t id, *place;
    char path[PATHS_FILE_MAX];
    struct stat st;
    (void)type;
    if (paths_is_closed(name))
        closed_remove(&list->r->root, list->folder, name);
    if (!paths_message_id(name, &id))
        return true;
    paths_message_folder(list->r->folder, id, path);
    if (strcmp(path, list->folder) != 0)
        return true;
    paths_message(list->r->folder, id, path);
    bool blank = io_stat_at(list->r->root.dir, path, &st, NULL) == ERR_OK && st.st_size == 0;
    if (!blank && (place = vec_push(&list->r->files)))
        *place = id;
    return true;
}

static bool add_folder(void *arg, const char *name, int type)
{
    struct listing list = {.r = arg};
    (void)type;
    int len = snprintf(list.folder, sizeof list.folder, "%s/msg/%s", list.r->folder, name);
    if (len > 0 && (size_t)len < sizeof list.folder)
        (void)!io_list_dir(list.r->root.dir, list.folder, add_file, &list,
                           NULL); /* a file among the folders */
    return true;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static enum err list_files(struct rebuild *r, struct why *why)
{
    char path[PATHS_FILE_MAX];
    (void)snprintf(path, sizeof path, "%s/msg", r->folder);
    enum err err = io_list_dir(r->root.dir, path, add_folder, r, why);
    if (r->files.len)
        qsort(r->files.items, r->files.len, sizeof(uint64_t), by_number);
    return err;
}

static bool has(const struct vec *sorted, uint64_t id)
{
    return sorted->len && bsearch(&id, sorted->items, sorted->len, sizeof id, by_number);
}

/* ---- the old index ---- */

static int by_message(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->entry.message != y->entry.message)
        return x->entry.message < y->entry.message ? -1 : 1;
    return (x->entry.uid > y->entry.uid) - (x->entry.uid < y->entry.uid);
}

/* A mailbox whose state cannot be read keeps its name; its messages go to INBOX. */
static void take_places(struct rebuild *r, struct mailbox *m)
{
    struct why why;
    if (m->flags & MAILBOX_NOSELECT || account_view(r->old, m->id, &m, &why))
        return;
    uint64_t count = view_count(m->view);
    for (uint64_t i = 0; i < count; i++) {
        struct place *p = view_alive(m->view, i) ? vec_push(&r->places) : NULL;
        if (p)
            *p = (struct place){.mailbox = m->id, .entry = view_entry(m->view, i)};
    }
    account_release_view(m);
}

static void open_old(struct rebuild *r)
{
    struct why why; /* whatever it is: then there is nothing to keep */
    if (account_open_as_is(&r->root, r->folder, r->address, false, &r->old, &why))
        return;
    size_t at = 0;
    struct mailbox *m;
    while ((m = idmap_next(r->old->by_id, &at, NULL)))
        take_places(r, m);
    if (r->places.len)
        qsort(r->places.items, r->places.len, sizeof(struct place), by_message);
    for (size_t i = 0; i < r->places.len; i++)
        r->report->missing += !has(&r->files, VEC_AT(&r->places, struct place, i)->entry.message);
}

/* Expunged messages whose files wait to be removed are not to come back. */
static bool is_doomed(struct rebuild *r, uint64_t id)
{
    uint64_t doomed = 0;
    return r->old &&
           !db_number(r->old->db, "SELECT 1 FROM doomed WHERE id = ?", DB_ARGS(DB_U64(id)), 0, &doomed,
                      NULL) &&
           doomed;
}

/* How much of the file's front the old index says is our header block; 0 when it does not say. */
static size_t header_of(struct rebuild *r, struct arena *arena, uint64_t id, struct slice file)
{
    struct fetch_message message;
    struct why why;
    if (!r->old || fetch_message_in(r->old, arena, id, &message, &why))
        return 0;
    return slice_starts(file, message.header) ? message.header.len : 0;
}

/* ---- the new index ---- */

static enum err copy_mailbox(struct rebuild *r, const struct mailbox *m, struct why *why)
{
    struct mailbox *copy = mailbox_new(m->id, m->name);
    copy->flags = m->flags;
    copy->special_use = m->special_use;
    copy->uidvalidity = m->uidvalidity;
    copy->uidnext = m->uidnext;
    copy->modseq = copy->folded = copy->vanished_floor = r->old->modseq + 1;
    for (unsigned i = 0; i < m->keyword_count; i++)
        (void)mailbox_keyword_add(copy, m->keywords[i]);
    enum err err = load_insert_mailbox(r->new, copy, why);
    if (err || !load_adopt(r->new, copy))
        mailbox_free(&copy);
    return err;
}

static void forget_usual(struct account *account)
{
    size_t at = 0;
    struct mailbox *m;
    while ((m = idmap_next(account->by_id, &at, NULL))) {
        map_remove(account->by_name, m->name);
        mailbox_free(&m);
    }
    idmap_free(&account->by_id);
    account->by_id = idmap_new(ACCOUNT_MAILBOXES_MAX);
}

static enum err copy_subscriptions(struct rebuild *r, struct why *why)
{
    size_t at = 0;
    const struct subscription *s;
    enum err err = db_run(r->new->db, "DELETE FROM subscription", DB_NO_ARGS, why);
    while (!err && (s = map_next(r->old->subscriptions, &at, NULL)))
        err =
            db_run(r->new->db, "INSERT INTO subscription (name) VALUES (?)", DB_ARGS(DB_TEXT(s->name)), why);
    return err;
}

/* What people put beside their mailboxes. A table that cannot be read is lost alone. */
static enum err copy_metadata(struct rebuild *r, struct why *why)
{
    struct db_rows rows;
    struct why ignored;
    if (db_query(r->old->db, "SELECT mailbox, who, entry, value FROM metadata", DB_NO_ARGS, &rows, &ignored))
        return ERR_OK;
    enum err err = ERR_OK;
    while (!err && db_next(&rows))
        err = db_run(r->new->db, "INSERT INTO metadata (mailbox, who, entry, value) VALUES (?, ?, ?, ?)",
                     DB_ARGS(DB_U64(db_u64(&rows, 0)), DB_TEXT(db_slice(&rows, 1)),
                             DB_TEXT(db_slice(&rows, 2)), DB_BLOB(db_slice(&rows, 3))),
                     why);
    (void)!db_end(&rows, &ignored);
    return err;
}

/* When messages were saved: their UIDs stay. */
static enum err copy_saved(struct rebuild *r, struct why *why)
{
    struct db_rows rows;
    struct why ignored;
    if (db_query(r->old->db, "SELECT mailbox, uid, last, date FROM saved", DB_NO_ARGS, &rows, &ignored))
        return ERR_OK;
    enum err err = ERR_OK;
    while (!err && db_next(&rows))
        err =
            db_run(r->new->db, "INSERT OR REPLACE INTO saved (mailbox, uid, last, date) VALUES (?, ?, ?, ?)",
                   DB_ARGS(DB_U64(db_u64(&rows, 0)), DB_U64(db_u64(&rows, 1)), DB_U64(db_u64(&rows, 2)),
                           DB_U64(db_u64(&rows, 3))),
                   why);
    (void)!db_end(&rows, &ignored);
    return err;
}

static enum err copy_lists(struct rebuild *r, struct why *why)
{
    enum err err = ERR_OK;
    size_t at = 0;
    const struct mailbox *m;
    while (!err && (m = idmap_next(r->old->by_id, &at, NULL))) {
        struct mailbox *copy = m->acl ? account_mailbox_by_id(r->new, m->id) : NULL;
        if (copy)
            err = acl_inherit(r->new, m, copy, why);
    }
    return err;
}

static enum err copy_tree(struct rebuild *r, struct why *why)
{
    forget_usual(r->new);
    enum err err = db_run(r->new->db, "DELETE FROM mailbox", DB_NO_ARGS, why);
    size_t at = 0;
    const struct mailbox *m;
    while (!err && (m = idmap_next(r->old->by_id, &at, NULL)))
        err = copy_mailbox(r, m, why);
    if (!err)
        err = copy_subscriptions(r, why);
    if (!err)
        err = copy_metadata(r, why);
    if (!err)
        err = copy_saved(r, why);
    if (!err)
        err = copy_lists(r, why);
    if (!err && (r->old->own.bytes || r->old->own.messages))
        err = account_set_own_limits(r->new, r->old->own, why);
    r->new->modseq = r->old->modseq + 1;
    r->new->next_mailbox = r->old->next_mailbox;
    r->new->uidvalidity = r->old->uidvalidity;
    if (!err)
        err = db_run(
            r->new->db, "UPDATE account SET modseq = ?, next_mailbox = ?, uidvalidity = ?",
            DB_ARGS(DB_U64(r->new->modseq), DB_U64(r->new->next_mailbox), DB_U64(r->new->uidvalidity)), why);
    return err;
}

static enum err open_new(struct rebuild *r, struct why *why)
{
    enum err err = remove_scratch(&r->root, r->scratch, why);
    if (!err)
        err = io_mkdir(r->root.dir, r->scratch, 0700, why);
    if (!err)
        err = account_open_as_is(&r->root, r->scratch, r->address, true, &r->new, why);
    if (err || !r->old || !account_mailbox(r->old, SLICE("INBOX")))
        return err;
    err = db_begin(r->new->db, why);
    if (!err)
        err = copy_tree(r, why);
    err = err ? err : db_commit(r->new->db, why);
    if (err)
        db_rollback(r->new->db);
    return err;
}

/* ---- one message ---- */

static enum err insert_message(struct rebuild *r, uint64_t id, struct slice header, struct slice message,
                               const struct facts *facts, const struct blob_made *made, int64_t date,
                               struct why *why)
{
    AUTO_BUF struct buf encoded = buf_new(FACTS_MAX_ENCODED), text = buf_new(TEXT_PACKED_MAX);
    facts_encode(facts, &encoded);
    text_pack(facts->text, slice_sub(message, 0, (size_t)facts->header_len), &text);
    if (!buf_ok(&encoded) || facts->size != message.len || facts->cut_count || facts->added.len)
        return err_set(why, ERR_INTERNAL, "the facts do not describe the file");
    struct slice record = slice_sub(buf_slice(&encoded), 0, facts_record_len(buf_slice(&encoded)));
    enum err err = db_run(
        r->new->db, "INSERT INTO message (id, size, date, sum, header, facts) VALUES (?, ?, ?, ?, ?, ?)",
        DB_ARGS(DB_U64(id), DB_U64(made->size), DB_I64(date), DB_BLOB(slice_make(made->sum, BLOB_SUM_LEN)),
                DB_BLOB(header), DB_BLOB(record)),
        why);
    if (!err)
        err = db_run(r->new->db, "INSERT INTO text (id, text) VALUES (?, ?)",
                     DB_ARGS(DB_U64(id), DB_BLOB(buf_slice(&text))), why);
    return err;
}

static enum err rebuild_message(struct rebuild *r, uint64_t id, struct why *why)
{
    AUTO_ARENA struct arena *arena = arena_new(REBUILD_ARENA_MAX);
    AUTO_FD int fd = -1;
    struct slice file;
    struct stat st;
    struct blob_made made;
    struct facts facts;
    enum err err = blob_open(&r->root, r->folder, id, &fd, why);
    if (!err)
        err = io_fstat(fd, &st, why);
    if (!err && st.st_size == 0)
        err = err_set(why, ERR_BAD, "an empty file");
    if (!err)
        err = blob_sum(fd, &made, why);
    if (!err)
        err = io_read_all_in(arena, fd, REBUILD_FILE_MAX, &file, why);
    if (err)
        return err;
    size_t header = header_of(r, arena, id, file);
    struct slice message = slice_from(file, header);
    err = r->scan(r->arg, arena, message, &facts, why);
    if (!err)
        err = insert_message(r, id, slice_sub(file, 0, header), message, &facts, &made, st.st_mtime, why);
    if (!err) {
        r->report->messages++;
        r->report->bytes += made.size;
    }
    return err;
}

/* A file that cannot be read does not keep the others from their mailbox. */
static enum err rebuild_messages(struct rebuild *r, struct why *why)
{
    enum err err = ERR_OK;
    for (size_t i = 0; !err && i < r->files.len; i++) {
        uint64_t id = *VEC_AT(&r->files, uint64_t, i);
        struct why ignored;
        if (!db_in_transaction(r->new->db))
            err = db_begin(r->new->db, why);
        if (err || is_doomed(r, id))
            continue;
        uint64_t *place = rebuild_message(r, id, &ignored) ? NULL : vec_push(&r->good);
        if (place)
            *place = id;
        else
            r->report->unreadable++;
        if (r->good.len % REBUILD_GROUP == 0 && db_in_transaction(r->new->db))
            err = db_commit(r->new->db, why);
    }
    if (!err && db_in_transaction(r->new->db))
        err = db_commit(r->new->db, why);
    return err;
}

/* ---- mailboxes ---- */

static enum err add_entries(struct rebuild *r, struct mailbox *m, struct entry *entries, size_t count,
                            struct why *why)
{
    enum err err = ERR_OK;
    for (size_t at = 0; !err && at < count; at += PACKED_MAX) {
        size_t here = count - at < PACKED_MAX ? count - at : PACKED_MAX;
        struct change change = {.kind = CHANGE_ADD};
        struct commit commit;
        AUTO_BUF struct buf packed = buf_new(64u << 20);
        err = commit_begin(&commit, r->new, why);
        for (size_t i = at; i < at + here; i++) {
            entries[i].modseq = commit_next(&commit);
            mailbox_count(&change.counts, entries[i].flags, entries[i].size, 1);
        }
        packed_encode(entries + at, here, &packed);
        change.entries = buf_slice(&packed);
        if (!err)
            err = commit_log(&commit, m, &change, why);
        if (err)
            commit_abort(&commit);
        else
            err = commit_end(&commit, why);
    }
    return err;
}

static int by_uid(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return (x->uid > y->uid) - (x->uid < y->uid);
}

static struct place *places_of(const struct rebuild *r, uint64_t message, size_t *count)
{
    size_t low = 0, high = r->places.len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (VEC_AT(&r->places, struct place, middle)->entry.message < message)
            low = middle + 1;
        else
            high = middle;
    }
    *count = 0;
    while (low + *count < r->places.len &&
           VEC_AT(&r->places, struct place, low + *count)->entry.message == message)
        (*count)++;
    return *count ? VEC_AT(&r->places, struct place, low) : NULL;
}

/* What the old index says of one mailbox, as far as the files are there. */
static enum err fill_mailbox(struct rebuild *r, struct mailbox *m, struct why *why)
{
    struct entry *entries = mem_alloc((r->places.len + 1) * sizeof *entries);
    size_t count = 0;
    for (size_t i = 0; i < r->places.len; i++) {
        const struct place *p = VEC_AT(&r->places, struct place, i);
        if (p->mailbox == m->id && has(&r->good, p->entry.message))
            entries[count++] = p->entry;
    }
    qsort(entries, count, sizeof *entries, by_uid);
    uint32_t uidnext = m->uidnext;
    enum err err = add_entries(r, m, entries, count, why);
    m->uidnext = uidnext > m->uidnext ? uidnext : m->uidnext;
    m->touched = true;
    r->report->kept += count;
    free(entries);
    return err;
}

static enum err read_message(struct rebuild *r, uint64_t id, struct entry *e, struct why *why)
{
    struct db_rows rows;
    enum err err =
        db_query(r->new->db, "SELECT size, date FROM message WHERE id = ?", DB_ARGS(DB_U64(id)), &rows, why);
    if (err)
        return err;
    if (db_next(&rows))
        *e = (struct entry){
            .size = (uint32_t)db_u64(&rows, 0), .date = (uint32_t)db_u64(&rows, 1), .message = id};
    return db_end(&rows, why);
}

/* Messages the old index does not place come to INBOX, in the order of their ids. */
static enum err fill_inbox(struct rebuild *r, struct why *why)
{
    struct mailbox *inbox = account_mailbox(r->new, SLICE("INBOX"));
    struct entry *entries = mem_alloc((r->good.len + 1) * sizeof *entries);
    size_t count = 0, known;
    enum err err = ERR_OK;
    for (size_t i = 0; !err && i < r->good.len; i++) {
        uint64_t id = *VEC_AT(&r->good, uint64_t, i);
        if (places_of(r, id, &known))
            continue;
        err = read_message(r, id, &entries[count], why);
        entries[count].uid = inbox->uidnext + (uint32_t)count;
        count++;
    }
    if (!err)
        err = add_entries(r, inbox, entries, count, why);
    free(entries);
    return err;
}

static enum err write_shared(struct rebuild *r, struct why *why)
{
    enum err err = db_begin(r->new->db, why);
    for (size_t i = 0; !err && i < r->good.len; i++) {
        uint64_t id = *VEC_AT(&r->good, uint64_t, i);
        size_t uses;
        if (places_of(r, id, &uses) && uses > 1)
            err = db_run(r->new->db, "INSERT INTO shared (id, uses) VALUES (?, ?)",
                         DB_ARGS(DB_U64(id), DB_U64(uses)), why);
    }
    err = err ? err : db_commit(r->new->db, why);
    if (err)
        db_rollback(r->new->db);
    return err;
}

static enum err fill_mailboxes(struct rebuild *r, struct why *why)
{
    uint64_t last = r->files.len ? *VEC_AT(&r->files, uint64_t, r->files.len - 1) : 0;
    uint64_t next = r->old ? atomic_load(&r->old->next_message) : 1;
    atomic_store(&r->new->next_message, last >= next ? last + 1 : next);
    size_t at = 0;
    struct mailbox *m;
    enum err err = ERR_OK;
    while (!err && r->old && (m = idmap_next(r->new->by_id, &at, NULL)))
        err = fill_mailbox(r, m, why);
    if (!err)
        err = fill_inbox(r, why);
    if (!err)
        err = write_shared(r, why);
    return err ? err : account_fold(r->new, clock_unix_s(), why);
}

/* ---- changing places ---- */

static enum err put_aside(struct rebuild *r, struct why *why)
{
    static const char *const suffixes[] = {"-wal", "-shm",
                                           ""}; /* the file itself last: it says that there is one */
    char path[PATHS_FILE_MAX], to[PATHS_FILE_MAX];
    struct stat st;
    unsigned n = 1;
    for (; n < REBUILD_NAMES_MAX; n++) {
        (void)snprintf(to, sizeof to, "%s/index.db.broken-%u", r->folder, n);
        if (io_stat_at(r->root.dir, to, &st, NULL) == ERR_ABSENT)
            break;
    }
    enum err err = ERR_OK;
    for (size_t i = 0; !err && i < ARRAY_LEN(suffixes); i++) {
        (void)snprintf(path, sizeof path, "%s/index.db%s", r->folder, suffixes[i]);
        (void)snprintf(to, sizeof to, "%s/index.db.broken-%u%s", r->folder, n, suffixes[i]);
        err = io_rename(r->root.dir, path, r->root.dir, to, why);
        if (!err && !*suffixes[i])
            (void)snprintf(r->report->old_index, sizeof r->report->old_index, "index.db.broken-%u", n);
        if (err == ERR_ABSENT)
            err = ERR_OK;
    }
    return err;
}

static enum err change_places(struct rebuild *r, struct why *why)
{
    char from[PATHS_FILE_MAX], to[PATHS_FILE_MAX];
    int len = snprintf(from, sizeof from, "%s/index.db", r->scratch);
    if (len < 0 || (size_t)len >= sizeof from)
        return err_set(why, ERR_INTERNAL, "a path is too long");
    paths_index(r->folder, to);
    enum err err = put_aside(r, why);
    if (!err)
        err = io_rename(r->root.dir, from, r->root.dir, to, why);
    if (!err)
        err = io_fsync_dir_at(r->root.dir, r->folder, why);
    paths_state_folder(r->folder, from);
    if (!err)
        err = remove_scratch(&r->root, from, why); /* copies of what the old index said */
    return err ? err : remove_scratch(&r->root, r->scratch, why);
}

static enum err rebuild(struct rebuild *r, struct why *why)
{
    enum err err = list_files(r, why);
    if (err)
        return err;
    open_old(r);
    err = open_new(r, why);
    if (!err)
        err = rebuild_messages(r, why);
    if (!err)
        err = fill_mailboxes(r, why);
    if (r->old)
        db_close(&r->old->db);
    if (r->new)
        db_close(&r->new->db); /* the log goes into the file: it moves alone */
    return err ? err : change_places(r, why);
}

enum err store_rebuild(const char *store, struct slice account, rebuild_scan *scan, void *arg,
                       struct rebuild_report *report, struct why *why)
{
    struct rebuild r = {.root = {.dir = -1, .path = store},
                        .address = account,
                        .files = VEC_NEW(uint64_t, REBUILD_FILES_MAX),
                        .places = VEC_NEW(struct place, REBUILD_FILES_MAX),
                        .good = VEC_NEW(uint64_t, REBUILD_FILES_MAX),
                        .scan = scan,
                        .arg = arg,
                        .report = report};
    *report = (struct rebuild_report){0};
    paths_account(account, r.folder);
    (void)snprintf(r.scratch, sizeof r.scratch, "%s/rebuild", r.folder);
    enum err err = io_open_dir(AT_FDCWD, store, &r.root.dir, why);
    if (!err)
        err = rebuild(&r, why);
    account_free(&r.old);
    account_free(&r.new);
    vec_free(&r.files);
    vec_free(&r.places);
    vec_free(&r.good);
    io_close(&r.root.dir);
    return err;
}
