/* add.c: delivery and APPEND: file, sync, one transaction with one row of facts each and one row in the log
 * per mailbox, answer. Input: bodies as opaque bytes, facts that were checked, names that were checked by
 * their grant. */
#include "store/add.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "settings/metrics.h"
#include "store/alter.h"
#include "store/acl.h"
#include "store/load.h"
#include "store/text.h"

#define ADD_ENTRIES_MAX (ADD_GROUP_MAX * 64)
#define ADD_IDS_MAX     (ADD_GROUP_MAX * (PATHS_QUEUE_ID + 8))

/* The header as it is served, for SEARCH: `added`, and the front of the body without the cuts. */
static enum err read_header(const struct add_body *body, struct buf *header, struct why *why)
{
    const struct facts *facts = body->facts;
    uint64_t want = facts->header_len, at = 0;
    if (want > TEXT_HEADER_MAX || facts->added.len > want)
        return ERR_OK; /* left out: text_pack() is told by its length */
    buf_add(header, facts->added);
    for (size_t i = 0; i <= facts->cut_count && header->len < want && at < body->size; i++) {
        uint64_t end = i < facts->cut_count ? facts->cuts[i].off : body->size;
        uint64_t left = want - header->len, len = end - at < left ? end - at : left;
        size_t got = 0;
        uint8_t *room = buf_reserve(header, (size_t)len);
        enum err err = room ? io_pread(body->fd, room, (size_t)len, at, &got, why) : ERR_OK;
        if (err)
            return err;
        buf_added(header, got);
        at = i < facts->cut_count ? facts->cuts[i].off + facts->cuts[i].len : end;
    }
    return ERR_OK;
}

static enum err pack_text(struct addition *a, struct why *why)
{
    AUTO_BUF struct buf header = buf_new(TEXT_HEADER_MAX);
    enum err err = read_header(a->body, &header, why);
    if (!err)
        text_pack(a->body->facts->text, buf_slice(&header), &a->text);
    return err;
}

enum err add_write(struct account *account, struct addition *a, struct why *why)
{
    const struct add_body *body = a->body;
    const struct blob_parts parts = {.header = a->header,
                                     .added = body->facts->added,
                                     .fd = body->fd,
                                     .size = body->size,
                                     .cuts = body->facts->cuts,
                                     .cut_count = body->facts->cut_count};
    uint64_t id, begun = clock_mono_ns();
    enum err err = blanks_take(account, &id, why);
    if (!err)
        err = blob_write(&account->root, account->folder, id, &parts, &a->made, why);
    metric_observe(METRIC_STORE_FSYNC_SECONDS, 0, clock_mono_ns() - begun);
    if (err)
        return err;
    a->message = id;
    a->written = true;
    a->text = buf_new(TEXT_PACKED_MAX);
    return pack_text(a, why);
}

static void remove_written(struct account *account, struct addition *a, uint64_t written)
{
    if (a->written)
        (void)!blob_remove(&account->root, account->folder, written, NULL);
    a->written = false;
}

void add_drop(struct account *account, struct addition *a)
{
    remove_written(account, a, a->message);
}

void addition_free(struct addition *a)
{
    buf_free(&a->text);
}

static void refuse(struct addition *a, enum err err, enum store_code code, const char *text)
{
    a->err = err;
    a->refusal.code = code;
    err_set(&a->refusal.why, err, "%s", text);
}

static void fill_repeated(struct addition *a, const struct mailbox *m, uint32_t uid, uint64_t message)
{
    a->repeated = true;
    a->uid = uid;
    a->message = message;
    a->uidvalidity = m ? m->uidvalidity : 0;
}

/* Delivered before? In the log since the last fold, or in the table. */
static enum err find_delivered(struct account *account, struct addition *a, struct why *why)
{
    const struct delivered *d = map_get(account->delivered, a->queue_id);
    if (d) {
        fill_repeated(a, account_mailbox_by_id(account, d->mailbox), d->uid, d->message);
        return ERR_OK;
    }
    struct db_rows rows;
    enum err err = db_query(account->db, "SELECT mailbox, uid, message FROM delivered WHERE queue_id = ?",
                            DB_ARGS(DB_TEXT(a->queue_id)), &rows, why);
    if (err)
        return err;
    if (db_next(&rows))
        fill_repeated(a, account_mailbox_by_id(account, db_u64(&rows, 0)), (uint32_t)db_u64(&rows, 1),
                      db_u64(&rows, 2));
    return db_end(&rows, why);
}

static struct mailbox *find_target(const struct account *account, const struct addition *a)
{
    struct mailbox *m = a->mailbox.len ? account_mailbox(account, a->mailbox) : NULL;
    bool usable = m && !(m->flags & MAILBOX_NOSELECT);
    if (!usable && (a->queue_id.len || !a->mailbox.len))
        m = account_mailbox(account, SLICE("INBOX"));
    return m && !(m->flags & MAILBOX_NOSELECT) ? m : NULL;
}

/* What others of the same group will take, so that together they stay within the limit too. */
struct taken {
    uint64_t messages, bytes;
};

/* The message REPLACE takes away: it must be there still, and nobody else may take it in the same commit. */
static enum err find_replaced(struct account *account, struct addition *a, struct entry *entry)
{
    struct mailbox *m;
    struct why why;
    uint64_t at = UINT64_MAX;
    if (!account_view(account, a->replaces_in, &m, &why))
        at = view_find(m->view, a->replaces);
    if (at == UINT64_MAX) {
        refuse(a, ERR_ABSENT, STORE_CODE_EXPUNGEISSUED, "the message to be replaced is gone");
        return a->err;
    }
    *entry = view_entry(m->view, at);
    return ERR_OK;
}

/* Flags without a right to them are left out (RFC 4314 section 4, APPEND). */
static void check_rights(struct account *account, struct addition *a)
{
    const struct mailbox *from = a->replaces ? account_mailbox_by_id(account, a->replaces_in) : NULL;
    uint32_t goes = RIGHT_READ | RIGHT_DELETED_FLAG | RIGHT_EXPUNGE;
    uint32_t rights = acl_rights(a->target->acl, account->address, a->by);
    if (!(rights & RIGHT_INSERT) && !(rights & RIGHT_LOOKUP))
        refuse(a, ERR_ABSENT, STORE_CODE_TRYCREATE, "no such mailbox");
    else if (!(rights & RIGHT_INSERT) ||
             (from && (acl_rights(from->acl, account->address, a->by) & goes) != goes))
        refuse(a, ERR_REFUSED, STORE_CODE_NOPERM, "the owner does not allow it");
    a->flags &= acl_flags(rights);
    if (!(rights & RIGHT_WRITE))
        a->keywords = SLICE_EMPTY;
}

/* What can be said before anything is written. */
static void check(struct account *account, struct addition *a, struct taken *taken)
{
    uint64_t size = a->header.len + a->body->facts->size, messages = 1;
    struct entry replaced = {0};
    a->err = a->queue_id.len ? find_delivered(account, a, &a->refusal.why) : ERR_OK;
    a->target = a->err || a->repeated ? NULL : find_target(account, a);
    if (a->err || a->repeated || (a->replaces && find_replaced(account, a, &replaced)))
        return;
    if (a->target && a->by.len)
        check_rights(account, a);
    if (a->err)
        return;
    uint64_t bytes = size - replaced.size; /* may count backwards: sums are right modulo 2^64 */
    messages -= a->replaces != 0;
    if (!a->target)
        refuse(a, ERR_ABSENT, STORE_CODE_TRYCREATE, "no such mailbox");
    else if (size > UINT32_MAX)
        refuse(a, ERR_REFUSED, STORE_CODE_LIMIT, "the message is too large");
    else if (!account_fits(account, taken->messages + messages, taken->bytes + bytes))
        refuse(a, ERR_REFUSED, STORE_CODE_OVERQUOTA, "the mailbox is full");
    else if (a->target->uidnext >= UINT32_MAX - ADD_GROUP_MAX)
        refuse(a, ERR_REFUSED, STORE_CODE_LIMIT, "the mailbox has no more numbers for messages");
    else if (!mailbox_keywords_add(a->target, a->keywords, &a->flags))
        refuse(a, ERR_REFUSED, STORE_CODE_LIMIT, "too many keywords in the mailbox");
    if (!a->err) {
        taken->messages += messages;
        taken->bytes += bytes;
    }
}

static bool is_new(const struct addition *a)
{
    return !a->err && !a->repeated;
}

/* The same queue id twice in one group: the second is answered like the first. */
static bool twin_of(struct addition *const *list, size_t i)
{
    for (size_t j = 0; j < i && list[i]->queue_id.len; j++)
        if (is_new(list[j]) && slice_eq(list[j]->queue_id, list[i]->queue_id))
            return true;
    return false;
}

/* Two REPLACE of the same message in one group: the second comes too late. */
static bool replaced_twice(struct addition *const *list, size_t i)
{
    for (size_t j = 0; j < i && list[i]->replaces; j++)
        if (is_new(list[j]) && list[j]->replaces == list[i]->replaces &&
            list[j]->replaces_in == list[i]->replaces_in)
            return true;
    return false;
}

static void prepare_one(struct account *account, struct addition *const *list, size_t i, struct taken *taken)
{
    struct addition *a = list[i];
    uint64_t written = a->message; /* check() may put the number of the first delivery there */
    check(account, a, taken);
    if (is_new(a) && twin_of(list, i))
        refuse(a, ERR_LATER, STORE_CODE_UNAVAILABLE, "the same delivery is under way");
    if (is_new(a) && replaced_twice(list, i))
        refuse(a, ERR_ABSENT, STORE_CODE_EXPUNGEISSUED, "the message to be replaced is gone");
    if (!is_new(a)) /* another thread has written it for nothing */
        remove_written(account, a, written);
}

/* Where the set that begins at `i` ends. */
static size_t end_of_set(struct addition *const *list, size_t count, size_t i)
{
    size_t end = i + 1;
    while (end < count && list[end]->joined)
        end++;
    return end;
}

/* One member that cannot come in keeps all of its set out. */
static bool keep_out(struct account *account, struct addition *const *set, size_t count)
{
    const struct addition *bad = NULL;
    for (size_t i = 0; i < count && !bad; i++)
        bad = set[i]->err ? set[i] : NULL;
    for (size_t i = 0; bad && i < count; i++) {
        if (set[i] == bad)
            continue;
        add_drop(account, set[i]);
        set[i]->err = bad->err;
        set[i]->refusal = bad->refusal;
    }
    return bad != NULL;
}

static void prepare_set(struct account *account, struct addition *const *list, size_t from, size_t to,
                        struct taken *taken)
{
    const struct taken before = *taken;
    for (size_t i = from; i < to; i++)
        prepare_one(account, list, i, taken);
    bool out = keep_out(account, list + from, to - from);
    for (size_t i = from; !out && i < to; i++) {
        if (is_new(list[i]) && !list[i]->written)
            list[i]->err = add_write(account, list[i], &list[i]->refusal.why);
        out = list[i]->err != ERR_OK && keep_out(account, list + from, to - from);
    }
    if (out)
        *taken = before;
}

static void prepare(struct account *account, struct addition *const *list, size_t count)
{
    struct taken taken = {0};
    for (size_t i = 0, end; i < count; i = end) {
        end = end_of_set(list, count, i);
        prepare_set(account, list, i, end, &taken);
    }
}

static enum err insert_message(struct account *account, const struct addition *a, struct why *why)
{
    enum err err = db_run(
        account->db, "INSERT INTO message (id, size, date, sum, header, facts) VALUES (?, ?, ?, ?, ?, ?)",
        DB_ARGS(DB_U64(a->message), DB_U64(a->made.size), DB_U64(a->date),
                DB_BLOB(slice_make(a->made.sum, BLOB_SUM_LEN)), DB_BLOB(a->header), DB_BLOB(a->body->record)),
        why);
    if (!err && a->text.len)
        err = db_run(account->db, "INSERT INTO text (id, text) VALUES (?, ?)",
                     DB_ARGS(DB_U64(a->message), DB_BLOB(buf_slice(&a->text))), why);
    return err;
}

/* All of the group that go to `mailbox`, as one change. */
static enum err log_mailbox(struct commit *commit, struct mailbox *mailbox, struct addition *const *list,
                            size_t count, struct why *why)
{
    struct entry entries[ADD_GROUP_MAX];
    struct change change = {.kind = CHANGE_ADD};
    AUTO_BUF struct buf packed = buf_new(ADD_ENTRIES_MAX), ids = buf_new(ADD_IDS_MAX);
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        struct addition *a = list[i];
        if (!is_new(a) || a->target != mailbox)
            continue;
        a->uid = mailbox->uidnext + (uint32_t)n;
        a->uidvalidity = mailbox->uidvalidity;
        entries[n++] = (struct entry){.uid = a->uid,
                                      .size = (uint32_t)a->made.size,
                                      .date = a->date,
                                      .modseq = commit_next(commit),
                                      .flags = a->flags,
                                      .message = a->message};
        mailbox_count(&change.counts, a->flags, (uint32_t)a->made.size, 1);
        if (!a->queue_id.len)
            change.saved = (uint32_t)clock_unix_s();
        wire_strings_add(&ids, a->queue_id);
    }
    packed_encode(entries, n, &packed);
    change.entries = buf_slice(&packed);
    change.queue_ids = buf_slice(&ids);
    return commit_log(commit, mailbox, &change, why);
}

static enum err log_all(struct commit *commit, struct addition *const *list, size_t count, struct why *why)
{
    enum err err = ERR_OK;
    for (size_t i = 0; !err && i < count; i++) {
        bool first = is_new(list[i]);
        for (size_t j = 0; first && j < i; j++)
            first = !is_new(list[j]) || list[j]->target != list[i]->target;
        if (first)
            err = log_mailbox(commit, list[i]->target, list, count, why);
    }
    return err;
}

/* REPLACE: the old message leaves its mailbox in the commit that brings the new one. */
static enum err log_replaced(struct commit *commit, const struct addition *a, struct why *why)
{
    struct mailbox *m;
    struct change change = {.kind = CHANGE_EXPUNGE};
    AUTO_BUF struct buf uids = buf_new(16);
    enum err err = account_view(commit->account, a->replaces_in, &m, why);
    uint64_t at = err ? UINT64_MAX : view_find(m->view, a->replaces);
    if (at == UINT64_MAX)
        return err ? err : err_set(why, ERR_INTERNAL, "the message to be replaced was there a moment ago");
    struct entry e = view_entry(m->view, at);
    wire_range_add(&uids, e.uid, e.uid);
    change.uids = buf_slice(&uids);
    mailbox_count(&change.counts, e.flags, e.size, -1);
    err = alter_doom(commit->account, e.message, clock_unix_s(), why);
    return err ? err : commit_log(commit, m, &change, why);
}

static enum err write_rows(struct account *account, struct addition *const *list, size_t count,
                           struct why *why)
{
    struct commit commit;
    enum err err = commit_begin(&commit, account, why);
    for (size_t i = 0; !err && i < count; i++)
        if (is_new(list[i]))
            err = insert_message(account, list[i], why);
    if (!err)
        err = log_all(&commit, list, count, why);
    for (size_t i = 0; !err && i < count; i++)
        if (is_new(list[i]) && list[i]->replaces)
            err = log_replaced(&commit, list[i], why);
    if (!err)
        return commit_end(&commit, why);
    commit_abort(&commit);
    return err;
}

static void finish(struct account *account, struct addition *const *list, size_t count, enum err err,
                   const struct why *why)
{
    for (size_t i = 0; i < count; i++) {
        struct addition *a = list[i];
        if (!is_new(a))
            continue;
        if (!err && a->queue_id.len)
            load_delivered(account, a->queue_id, a->target->id, a->uid, a->message);
        account->doomed += !err && a->replaces;
        if (!err) {
            account->placed++;
            metric_inc(METRIC_STORE_MESSAGES_WRITTEN);
            metric_add(METRIC_STORE_BYTES_WRITTEN, 0, a->made.size);
            continue;
        }
        account_suspect(account, a->message);
        refuse(a, ERR_LATER, STORE_CODE_UNAVAILABLE, why->text);
    }
}

void add_commit(struct account *account, struct addition *const *list, size_t count)
{
    struct why why;
    if (account_settle(account, &why)) {
        for (size_t i = 0; i < count; i++) {
            refuse(list[i], ERR_LATER, STORE_CODE_UNAVAILABLE, why.text);
            if (list[i]->written)
                account_suspect(account, list[i]->message);
        }
        return;
    }
    prepare(account, list, count);
    size_t fresh = 0;
    for (size_t i = 0; i < count; i++)
        fresh += is_new(list[i]);
    if (!fresh)
        return;
    uint64_t begun = clock_mono_ns();
    enum err err = write_rows(account, list, count, &why);
    metric_observe(METRIC_STORE_COMMIT_SECONDS, 0, clock_mono_ns() - begun);
    metric_inc(err ? METRIC_STORE_ERRORS : METRIC_STORE_COMMITS);
    finish(account, list, count, err, &why);
}
