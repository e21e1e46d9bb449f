/* commit.c: one transaction of an account: changes go into the log, and, once they are durable, into what is
 * in memory. Called by every change_*.c. */
#include <stdlib.h>

#include "base/mem.h"
#include "store/account.h"
#include "store/blob.h"
#include "store/saved.h"

#define COMMIT_ITEMS_MAX  1000
#define COMMIT_CHANGE_MAX (64u << 20)
#define COMMIT_NAMES_MAX  65536u

enum err commit_begin(struct commit *commit, struct account *account, struct why *why)
{
    *commit = (struct commit){.account = account,
                              .modseq = account->modseq,
                              .items = VEC_NEW(struct commit_item, COMMIT_ITEMS_MAX)};
    return db_begin(account->db, why);
}

uint64_t commit_next(const struct commit *commit)
{
    return commit->modseq + 1;
}

uint64_t commit_touch(struct commit *commit)
{
    return ++commit->modseq;
}

/* A keyword must be in the database before the log uses its bit. */
static enum err save_keywords(struct commit *commit, struct mailbox *mailbox, struct why *why)
{
    if (mailbox->keywords_saved == mailbox->keyword_count)
        return ERR_OK;
    AUTO_BUF struct buf names = buf_new(COMMIT_NAMES_MAX);
    for (unsigned i = 0; i < mailbox->keyword_count; i++)
        wire_strings_add(&names, mailbox->keywords[i]);
    return db_run(commit->account->db, "UPDATE mailbox SET keywords = ? WHERE id = ?",
                  DB_ARGS(DB_BLOB(buf_slice(&names)), DB_U64(mailbox->id)), why);
}

enum err commit_log(struct commit *commit, struct mailbox *mailbox, const struct change *change,
                    struct why *why)
{
    enum err err = save_keywords(commit, mailbox, why);
    if (err)
        return err;
    AUTO_BUF struct buf bytes = buf_new(COMMIT_CHANGE_MAX);
    change_encode(change, &bytes);
    struct commit_item *item = buf_ok(&bytes) ? vec_push(&commit->items) : NULL;
    if (!item)
        return err_set(why, ERR_REFUSED, "too large a change at once");
    item->mailbox = mailbox;
    item->modseq = ++commit->modseq;
    err = db_run(commit->account->db, "INSERT INTO log (modseq, mailbox, change) VALUES (?, ?, ?)",
                 DB_ARGS(DB_U64(item->modseq), DB_U64(mailbox->id), DB_BLOB(buf_slice(&bytes))), why);
    item->bytes = buf_take(&bytes, &item->len);
    if (!err && change->kind == CHANGE_ADD && change->saved)
        err = saved_note(commit->account, mailbox, change->entries, change->saved, why);
    return err;
}

static void forget_items(struct commit *commit)
{
    for (size_t i = 0; i < commit->items.len; i++)
        free(VEC_AT(&commit->items, struct commit_item, i)->bytes);
    vec_free(&commit->items);
}

static enum err apply(struct commit_item *item, uint32_t *what, struct why *why)
{
    static const uint32_t whats[] = {[CHANGE_ADD] = MAILBOX_EVENT_NEW,
                                     [CHANGE_FLAGS] = MAILBOX_EVENT_FLAGS,
                                     [CHANGE_EXPUNGE] = MAILBOX_EVENT_EXPUNGE};
    struct change change;
    size_t count = 0;
    struct entry *entries = NULL;
    enum err err = change_decode(slice_make(item->bytes, item->len), &change, why);
    *what = err ? 0 : whats[change.kind];
    if (!err && change.kind == CHANGE_ADD) {
        err = packed_count(change.entries, &count, why);
        entries = err ? NULL : mem_zero(count, sizeof *entries);
        err = err ? err : packed_decode(change.entries, entries, count, why);
    }
    if (!err)
        err = mailbox_apply(item->mailbox, item->modseq, &change, entries, count, why);
    free(entries);
    return err;
}

/* What is durable must show, so a change that cannot be put into the image (no memory for a larger one) makes
 * the image go: the next who needs it loads it from the database. */
static void apply_all(struct commit *commit)
{
    struct account *account = commit->account;
    for (size_t i = 0; i < commit->items.len; i++) {
        struct commit_item *item = VEC_AT(&commit->items, struct commit_item, i);
        struct why why;
        uint32_t what;
        if (apply(item, &what, &why)) {
            view_free(&item->mailbox->view);
            item->mailbox->moved = true;
        }
        item->mailbox->keywords_saved = item->mailbox->keyword_count;
        account->log_rows++;
        account->log_bytes += item->len;
        account_note_change(account, item->mailbox, what);
    }
    account->modseq = commit->modseq;
}

static void remove_suspects(struct account *account)
{
    for (size_t i = 0; i < account->suspects.len; i++)
        (void)!blob_remove(&account->root, account->folder, *VEC_AT(&account->suspects, uint64_t, i), NULL);
    account->suspects.len = 0; /* what could not be removed has no row and goes at the next opening */
}

enum err commit_end(struct commit *commit, struct why *why)
{
    enum err err = db_commit(commit->account->db, why);
    if (!err) {
        apply_all(commit);
        remove_suspects(commit->account);
    }
    forget_items(commit);
    return err;
}

void commit_abort(struct commit *commit)
{
    db_rollback(commit->account->db);
    forget_items(commit);
}

void account_suspect(struct account *account, uint64_t message)
{
    uint64_t *place = vec_push(&account->suspects);
    if (place) /* full: account_settle() refuses to write more before that */
        *place = message;
}

enum err account_settle(struct account *account, struct why *why)
{
    if (!account->suspects.len)
        return ERR_OK;
    enum err err = db_begin(account->db, why);
    if (!err)
        err = db_run(account->db, "UPDATE account SET next_message = ?",
                     DB_ARGS(DB_U64(atomic_load(&account->next_message))), why);
    err = err ? err : db_commit(account->db, why);
    if (!err)
        remove_suspects(account);
    else
        db_rollback(account->db);
    return err && account->suspects.len >= ACCOUNT_SUSPECTS_MAX / 2 ? ERR_LATER : ERR_OK;
}
