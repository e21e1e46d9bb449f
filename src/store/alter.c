/* alter.c: STORE, EXPUNGE, COPY and MOVE on one account. Input: UID ranges of a peer, already bounded by its
 * packet; names of keywords. Called by the role's jobs. */
#include "store/alter.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

static enum err fail(struct refusal *refusal, enum err err, enum store_code code)
{
    refusal->code = code;
    return err;
}

/* Neighbours in the image become one range of UIDs, whatever numbers lie between them: those never come back.
 */
struct runs {
    struct buf *out;
    uint64_t last_index;
    uint32_t first, last;
};

static void runs_flush(struct runs *runs)
{
    if (runs->first)
        wire_range_add(runs->out, runs->first, runs->last);
    runs->first = 0;
}

static void runs_add(struct runs *runs, uint64_t index, uint32_t uid)
{
    if (!runs->first || index != runs->last_index + 1) {
        runs_flush(runs);
        runs->first = uid;
    }
    runs->last = uid;
    runs->last_index = index;
}

/* Bits for names. Unknown ones are only made where a flag is to be set. */
static bool keyword_bits(struct mailbox *mailbox, struct slice names, bool make, uint64_t *bits)
{
    if (make)
        return mailbox_keywords_add(mailbox, names, bits);
    struct slice name;
    while (wire_strings_take(&names, &name)) {
        int bit = mailbox_keyword(mailbox, name);
        if (bit >= 0)
            *bits |= 1ull << (bit + IMAGE_KEYWORD_SHIFT);
    }
    return true;
}

static void collect_flags(const struct mailbox *mailbox, const struct alter_flags *how, struct change *change,
                          struct buf *uids, struct buf *modified)
{
    struct runs runs = {.out = uids}, left = {.out = modified};
    struct view_walk walk = view_walk(mailbox->view, how->uids);
    uint64_t at;
    while (view_walk_next(&walk, &at)) {
        struct entry e = view_entry(mailbox->view, at);
        uint64_t now = (e.flags & ~change->clear) | change->set;
        if (how->conditional && e.modseq > how->unchanged_since) {
            runs_add(&left, at, e.uid);
        } else if (now != e.flags) {
            runs_add(&runs, at, e.uid);
            if (how->overtaken && e.modseq > how->told)
                *how->overtaken = true;
            mailbox_count(&change->counts, e.flags, e.size, -1);
            mailbox_count(&change->counts, now, e.size, 1);
        }
    }
    runs_flush(&runs);
    runs_flush(&left);
    change->uids = buf_slice(uids);
}

static enum err commit_change(struct account *account, struct mailbox *mailbox, const struct change *change,
                              struct why *why)
{
    struct commit commit;
    enum err err = commit_begin(&commit, account, why);
    if (!err)
        err = commit_log(&commit, mailbox, change, why);
    if (!err)
        return commit_end(&commit, why);
    commit_abort(&commit);
    return err;
}

enum err alter_flags(struct account *account, struct mailbox *mailbox, const struct alter_flags *how,
                     uint64_t *modseq, struct buf *modified, struct refusal *refusal)
{
    uint64_t bits = how->flags & IMAGE_SYSTEM_FLAGS;
    if (!keyword_bits(mailbox, how->keywords, how->mode != FLAGS_REMOVE, &bits)) {
        (void)err_set(&refusal->why, ERR_REFUSED, "too many keywords in the mailbox");
        return fail(refusal, ERR_REFUSED, STORE_CODE_LIMIT);
    }
    struct change change = {.kind = CHANGE_FLAGS};
    if (how->mode == FLAGS_SET)
        change.clear = ~(uint64_t)IMAGE_EXPUNGED;
    else if (how->mode == FLAGS_REMOVE)
        change.clear = bits;
    change.set = how->mode == FLAGS_REMOVE ? 0 : bits;
    change.clear &= ~how->kept;
    change.set &= ~how->kept;
    AUTO_BUF struct buf uids = buf_new(ALTER_RANGES_MAX);
    collect_flags(mailbox, how, &change, &uids, modified);
    if (!buf_ok(modified) || !buf_ok(&uids)) {
        (void)err_set(&refusal->why, ERR_REFUSED, "too many messages at once");
        return fail(refusal, ERR_REFUSED, STORE_CODE_LIMIT);
    }
    enum err err = change.uids.len ? commit_change(account, mailbox, &change, &refusal->why) : ERR_OK;
    if (err)
        return fail(refusal, err, STORE_CODE_UNAVAILABLE);
    *modseq = change.uids.len ? mailbox->modseq : 0; /* nothing changed: no change to name */
    return ERR_OK;
}

static enum err share(struct account *account, uint64_t message, struct why *why)
{
    return db_run(
        account->db,
        "INSERT INTO shared (id, uses) VALUES (?, 2) ON CONFLICT (id) DO UPDATE SET uses = uses + 1",
        DB_ARGS(DB_U64(message)), why);
}

enum err alter_doom(struct account *account, uint64_t message, int64_t now, struct why *why)
{
    uint64_t uses = 0;
    enum err err = ERR_OK;
    if (account->shared)
        err = db_number(account->db, "SELECT uses FROM shared WHERE id = ?", DB_ARGS(DB_U64(message)), 0,
                        &uses, why);
    if (err)
        return err;
    if (uses > 2)
        return db_run(account->db, "UPDATE shared SET uses = uses - 1 WHERE id = ?", DB_ARGS(DB_U64(message)),
                      why);
    if (uses)
        return db_run(account->db, "DELETE FROM shared WHERE id = ?", DB_ARGS(DB_U64(message)), why);
    return db_run(account->db, "INSERT OR IGNORE INTO doomed (id, since) VALUES (?, ?)",
                  DB_ARGS(DB_U64(message), DB_I64(now)), why);
}

/* Walks what is to be expunged: `visit` for each; ranges and counters into the change. */
static enum err collect_expunge(struct account *account, const struct mailbox *mailbox, struct slice uids,
                                bool any, struct change *change, struct buf *gone, struct why *why)
{
    struct runs runs = {.out = gone};
    struct view_walk walk = view_walk(mailbox->view, uids);
    walk.deleted = !any;
    uint64_t at;
    int64_t now = clock_unix_s();
    enum err err = ERR_OK;
    while (!err && view_walk_next(&walk, &at)) {
        struct entry e = view_entry(mailbox->view, at);
        runs_add(&runs, at, e.uid);
        mailbox_count(&change->counts, e.flags, e.size, -1);
        err = alter_doom(account, e.message, now, why);
    }
    runs_flush(&runs);
    change->uids = buf_slice(gone);
    return err;
}

static enum err expunge(struct account *account, struct mailbox *mailbox, struct slice uids, bool any,
                        uint32_t *count, struct refusal *refusal)
{
    struct change change = {.kind = CHANGE_EXPUNGE};
    AUTO_BUF struct buf gone = buf_new(ALTER_RANGES_MAX);
    *count = 0;
    struct commit commit;
    enum err err = commit_begin(&commit, account, &refusal->why);
    if (!err)
        err = collect_expunge(account, mailbox, uids, any, &change, &gone, &refusal->why);
    uint64_t doomed = (uint64_t)-change.counts.messages;
    if (!err && doomed)
        err = commit_log(&commit, mailbox, &change, &refusal->why);
    if (err || !doomed)
        commit_abort(&commit);
    else
        err = commit_end(&commit, &refusal->why);
    if (err)
        return fail(refusal, err, STORE_CODE_UNAVAILABLE);
    account->doomed += doomed;
    *count = (uint32_t)doomed;
    return ERR_OK;
}

enum err alter_expunge(struct account *account, struct mailbox *mailbox, struct slice uids, uint32_t *count,
                       struct refusal *refusal)
{
    AUTO_BUF struct buf all = buf_new(64);
    wire_range_add(&all, 1, UINT32_MAX);
    *count = 0;
    if (!mailbox->deleted)
        return ERR_OK;
    return expunge(account, mailbox, uids.len ? uids : buf_slice(&all), false, count, refusal);
}

enum err alter_remove(struct account *account, struct mailbox *mailbox, struct slice uids, uint32_t *count,
                      struct refusal *refusal)
{
    return expunge(account, mailbox, uids, true, count, refusal);
}

/* ---- copy and move ---- */

struct copy {
    struct account *account;
    struct mailbox *from, *to;
    bool move;
    uint64_t flags;        /* those that go with it */
    struct entry *entries; /* as they will be in the target */
    size_t count;
    struct change add, gone;
    struct buf *source, *target;
    struct buf gone_uids;
};

static size_t count_selected(const struct mailbox *from, struct slice uids)
{
    struct view_walk walk = view_walk(from->view, uids);
    uint64_t at;
    size_t count = 0;
    while (view_walk_next(&walk, &at))
        count++;
    return count;
}

static bool collect_copy(struct copy *copy, struct slice uids)
{
    struct runs runs = {.out = &copy->gone_uids};
    struct view_walk walk = view_walk(copy->from->view, uids);
    uint64_t at;
    while (view_walk_next(&walk, &at)) {
        struct entry e = view_entry(copy->from->view, at);
        uint64_t flags;
        if (!mailbox_translate_flags(copy->from, copy->to, e.flags, &flags))
            return false;
        flags &= copy->flags;
        wire_range_add(copy->source, e.uid, e.uid);
        runs_add(&runs, at, e.uid);
        mailbox_count(&copy->gone.counts, e.flags, e.size, -1);
        mailbox_count(&copy->add.counts, flags, e.size, 1);
        e.uid = copy->to->uidnext + (uint32_t)copy->count;
        e.flags = flags;
        copy->entries[copy->count++] = e;
    }
    runs_flush(&runs);
    if (copy->count)
        wire_range_add(copy->target, copy->entries[0].uid, copy->entries[copy->count - 1].uid);
    return true;
}

/* The counters go with the first piece: all pieces are one commit. */
static enum err log_added(struct copy *copy, struct commit *commit, struct why *why)
{
    enum err err = ERR_OK;
    for (size_t at = 0; !err && at < copy->count; at += PACKED_MAX) {
        size_t here = copy->count - at < PACKED_MAX ? copy->count - at : PACKED_MAX;
        for (size_t i = 0; i < here; i++)
            copy->entries[at + i].modseq = commit_next(commit);
        AUTO_BUF struct buf packed = buf_new(ALTER_RANGES_MAX);
        packed_encode(copy->entries + at, here, &packed);
        copy->add.entries = buf_slice(&packed);
        err = commit_log(commit, copy->to, &copy->add, why);
        copy->add.counts = (struct change_counts){0};
    }
    return err;
}

static enum err commit_copy(struct copy *copy, struct why *why)
{
    struct commit commit;
    enum err err = commit_begin(&commit, copy->account, why);
    for (size_t i = 0; !err && !copy->move && i < copy->count; i++)
        err = share(copy->account, copy->entries[i].message, why);
    if (!err)
        err = log_added(copy, &commit, why);
    copy->gone.uids = buf_slice(&copy->gone_uids);
    if (!err && copy->move)
        err = commit_log(&commit, copy->from, &copy->gone, why);
    if (!err)
        return commit_end(&commit, why);
    commit_abort(&commit);
    return err;
}

static enum err check_copy(const struct copy *copy, struct slice uids, size_t count, struct refusal *refusal)
{
    uint64_t bytes = 0, at;
    struct view_walk walk = view_walk(copy->from->view, uids);
    while (view_walk_next(&walk, &at))
        bytes += view_entry(copy->from->view, at).size;
    if (!copy->move && !account_fits(copy->account, count, bytes)) {
        (void)err_set(&refusal->why, ERR_REFUSED, "the mailbox is full");
        return fail(refusal, ERR_REFUSED, STORE_CODE_OVERQUOTA);
    }
    if (count >= UINT32_MAX - copy->to->uidnext) {
        (void)err_set(&refusal->why, ERR_REFUSED, "the mailbox has no more numbers for messages");
        return fail(refusal, ERR_REFUSED, STORE_CODE_LIMIT);
    }
    return ERR_OK;
}

enum err alter_copy(struct account *account, struct mailbox *from, struct mailbox *to, struct slice uids,
                    uint32_t expect, bool move, struct buf *source, struct buf *target,
                    struct refusal *refusal)
{
    return alter_copy_flags(account, from, to, uids, expect, move, UINT64_MAX, source, target, refusal);
}

enum err alter_copy_flags(struct account *account, struct mailbox *from, struct mailbox *to,
                          struct slice uids, uint32_t expect, bool move, uint64_t flags, struct buf *source,
                          struct buf *target, struct refusal *refusal)
{
    struct copy copy = {.account = account,
                        .from = from,
                        .to = to,
                        .move = move,
                        .flags = flags,
                        .source = source,
                        .target = target};
    size_t count = count_selected(from, uids);
    if (expect && count != expect) {
        (void)err_set(&refusal->why, ERR_REFUSED, "some of the messages are gone");
        return fail(refusal, ERR_REFUSED, STORE_CODE_EXPUNGEISSUED);
    }
    if (!count)
        return ERR_OK;
    enum err err = check_copy(&copy, uids, count, refusal);
    if (err)
        return err;
    copy.add.kind = CHANGE_ADD;
    copy.add.saved = (uint32_t)clock_unix_s();
    copy.gone.kind = CHANGE_EXPUNGE;
    copy.gone_uids = buf_new(ALTER_RANGES_MAX);
    copy.entries = mem_alloc(count * sizeof *copy.entries);
    if (!collect_copy(&copy, uids)) {
        (void)err_set(&refusal->why, ERR_REFUSED, "too many keywords in the mailbox");
        err = fail(refusal, ERR_REFUSED, STORE_CODE_LIMIT);
    } else if ((err = commit_copy(&copy, &refusal->why))) {
        err = fail(refusal, err, STORE_CODE_UNAVAILABLE);
    } else if (!move) {
        account->shared = true;
    }
    free(copy.entries);
    buf_free(&copy.gone_uids);
    return err;
}
