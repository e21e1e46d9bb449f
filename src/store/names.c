/* names.c: the tree of mailboxes. Input: names a client chose, checked here again with the grammar's rules
 * for new ones. Called by the role's jobs. */
#include "store/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "grammar/imap_list.h"
#include "store/acl.h"
#include "store/alter.h"
#include "store/load.h"
#include "store/metadata.h"
#include "store/overhear.h"
#include "store/saved.h"
#include "store/state_file.h"
#include "store/urlkey.h"

#define DELIMITER '/'

static enum err refuse(struct refusal *refusal, enum err err, enum store_code code, const char *text)
{
    refusal->code = code;
    return err_set(&refusal->why, err, "%s", text);
}

static enum err check_name(struct slice name, struct refusal *refusal)
{
    enum err err = imap_mailbox_check_new(name, DELIMITER, &refusal->why);
    if (!err && (slice_eq(name, SLICE(MAILBOX_OTHERS)) || slice_starts(name, SLICE(MAILBOX_OTHERS "/"))))
        err = err_set(&refusal->why, ERR_REFUSED, "mailboxes of other accounts stand under this name");
    if (err)
        refusal->code = STORE_CODE_CANNOT;
    return err;
}

static bool is_below(struct slice name, struct slice parent)
{
    return name.len > parent.len + 1 && slice_starts(name, parent) && name.ptr[parent.len] == DELIMITER;
}

static struct slice parent_of(struct slice name)
{
    ptrdiff_t at = slice_rfind(name, DELIMITER);
    return at > 0 ? slice_sub(name, 0, (size_t)at) : SLICE_EMPTY;
}

struct mailbox *names_above(const struct account *account, struct slice name)
{
    struct mailbox *m = NULL;
    for (name = parent_of(name); name.len && !m; name = parent_of(name))
        m = account_mailbox(account, name);
    return m;
}

static bool has_children(const struct account *account, struct slice name, const struct mailbox *but)
{
    size_t at = 0;
    const struct mailbox *m;
    while ((m = idmap_next(account->by_id, &at, NULL)))
        if (m != but && is_below(m->name, name))
            return true;
    return false;
}

/* Never the same twice for one name, also when it is made anew in the same second. */
static uint32_t next_uidvalidity(struct account *account)
{
    uint32_t now = (uint32_t)clock_unix_s();
    account->uidvalidity = now > account->uidvalidity ? now : account->uidvalidity + 1;
    return account->uidvalidity;
}

static enum err save_account(struct account *account, const struct commit *commit, struct why *why)
{
    return db_run(account->db,
                  "UPDATE account SET modseq = ?, next_message = ?, next_mailbox = ?, uidvalidity = ?",
                  DB_ARGS(DB_U64(commit->modseq), DB_U64(atomic_load(&account->next_message)),
                          DB_U64(account->next_mailbox), DB_U64(account->uidvalidity)),
                  why);
}

/* A name that could not be selected becomes a mailbox again. */
static enum err revive(struct account *account, struct mailbox *m, uint64_t modseq, struct why *why)
{
    m->uidvalidity = next_uidvalidity(account);
    m->uidnext = m->recent_from = 1;
    m->modseq = m->folded = m->vanished_floor = modseq;
    m->flags &= ~(uint32_t)MAILBOX_NOSELECT;
    return db_run(
        account->db,
        "UPDATE mailbox SET flags = ?, uidvalidity = ?, uidnext = 1, recent_from = 1, modseq = ?, folded = ?,"
        " vanished_floor = ? WHERE id = ?",
        DB_ARGS(DB_U64(m->flags), DB_U64(m->uidvalidity), DB_U64(modseq), DB_U64(modseq), DB_U64(modseq),
                DB_U64(m->id)),
        why);
}

static enum err insert_new(struct account *account, struct slice name, enum special_use use, uint64_t modseq,
                           const struct mailbox *above, struct vec *made, struct why *why)
{
    struct mailbox *m = mailbox_new(account->next_mailbox++, name);
    m->special_use = use;
    m->uidvalidity = next_uidvalidity(account);
    m->modseq = m->folded = m->vanished_floor = modseq;
    enum err err = load_insert_mailbox(account, m, why);
    if (!err && above)
        err = acl_inherit(account, above, m, why);
    struct mailbox **place = err ? NULL : vec_push(made);
    if (place)
        *place = m;
    else
        mailbox_free(&m);
    return err || place ? err : err_set(why, ERR_REFUSED, "too deep a name");
}

/* The name and those above it that are not there. */
static enum err insert_path(struct account *account, struct slice name, enum special_use use, uint64_t modseq,
                            struct vec *made, struct why *why)
{
    enum err err = ERR_OK;
    const struct mailbox *above = NULL;
    for (size_t at = 1; !err && at <= name.len; at++) {
        struct slice prefix = slice_sub(name, 0, at);
        if (at < name.len && name.ptr[at] != DELIMITER)
            continue;
        const struct mailbox *there = account_mailbox(account, prefix);
        if (there)
            above = there;
        else
            err = insert_new(account, prefix, at == name.len ? use : SPECIAL_NONE, modseq, above, made, why);
    }
    return err;
}

static bool use_taken(const struct account *account, enum special_use use)
{
    size_t at = 0;
    const struct mailbox *m;
    while (use && (m = idmap_next(account->by_id, &at, NULL)))
        if (m->special_use == use)
            return true;
    return false;
}

/* ---- for those who listen to the account (RFC 5465 section 5.4) ---- */

static void hear(struct account *account, enum mailbox_event what, struct slice name, struct slice old)
{
    const struct mailbox *m = account_mailbox(account, name);
    if (!account->listeners)
        return;
    bool subscribed = map_get(account->subscriptions, name) != NULL;
    bool other = slice_starts(name, SLICE(MAILBOX_OTHERS "/")); /* it is there, but not here */
    struct event_row row = {.what = what, .children = has_children(account, name, NULL), .old = old};
    row.row = m ? names_row(account, m)
                : (struct mailbox_row){.name = name,
                                       .flags = (other ? 0u : MAILBOX_NONEXISTENT) |
                                                (subscribed ? MAILBOX_SUBSCRIBED : 0u)};
    account_hear(account, &row);
}

/* A name came or went: its parent has changed too. */
static void hear_name(struct account *account, struct slice name)
{
    hear(account, MAILBOX_EVENT_NAME, name, SLICE_EMPTY);
    if (parent_of(name).len)
        hear(account, MAILBOX_EVENT_NAME, parent_of(name), SLICE_EMPTY);
}

static void hear_made(struct account *account, const struct mailbox *m)
{
    hear_name(account, m->name);
    overhear_name(account, m, SLICE_EMPTY);
}

static enum err finish_made(struct account *account, struct commit *commit, struct vec *made, enum err err,
                            struct refusal *refusal)
{
    if (!err)
        err = save_account(account, commit, &refusal->why);
    if (!err)
        err = commit_end(commit, &refusal->why);
    else
        commit_abort(commit);
    for (size_t i = 0; i < made->len; i++) {
        struct mailbox *m = *VEC_AT(made, struct mailbox *, i);
        if (err || !load_adopt(account, m)) /* the number was checked before */
            mailbox_free(&m);
        else
            hear_made(account, m);
    }
    made->len = 0;
    if (err)
        refusal->code = STORE_CODE_UNAVAILABLE;
    return err;
}

static enum err revive_with_list(struct account *account, struct mailbox *m, uint64_t modseq, struct why *why)
{
    const struct mailbox *above = names_above(account, m->name);
    enum err err = revive(account, m, modseq, why);
    return err || !above ? err : acl_inherit(account, above, m, why);
}

static enum err create_path(struct account *account, struct slice name, enum special_use use,
                            struct refusal *refusal)
{
    struct commit commit;
    struct vec made = VEC_NEW(struct mailbox *, IMAP_MAILBOX_DEPTH_MAX);
    enum err err = commit_begin(&commit, account, &refusal->why);
    struct mailbox *old = account_mailbox(account, name);
    uint64_t modseq = commit_touch(&commit);
    if (!err)
        err = old ? revive_with_list(account, old, modseq, &refusal->why)
                  : insert_path(account, name, use, modseq, &made, &refusal->why);
    err = finish_made(account, &commit, &made, err, refusal);
    if (err && old) {
        old->flags |= MAILBOX_NOSELECT;
        acl_drop(account, old);
    } else if (old) {
        hear_made(account, old);
    }
    vec_free(&made);
    return err;
}

enum err names_create(struct account *account, struct slice name, enum special_use use,
                      struct refusal *refusal)
{
    if (slice_ends(name, SLICE("/"))) /* only says that names below it will come (section 6.3.3) */
        name = slice_sub(name, 0, name.len - 1);
    enum err err = check_name(name, refusal);
    if (err)
        return err;
    const struct mailbox *old = account_mailbox(account, name);
    if (old && !(old->flags & MAILBOX_NOSELECT))
        return refuse(refusal, ERR_REFUSED, STORE_CODE_ALREADYEXISTS, "there is a mailbox of this name");
    if (use_taken(account, use))
        return refuse(refusal, ERR_REFUSED, STORE_CODE_CANNOT, "another mailbox has this special use");
    if (idmap_count(account->by_id) + IMAP_MAILBOX_DEPTH_MAX > ACCOUNT_MAILBOXES_MAX)
        return refuse(refusal, ERR_REFUSED, STORE_CODE_LIMIT, "too many mailboxes");
    return create_path(account, name, use, refusal);
}

/* ---- delete ---- */

static enum err doom_all(struct account *account, const struct mailbox *m, struct why *why)
{
    int64_t now = clock_unix_s();
    enum err err = ERR_OK;
    uint64_t count = view_count(m->view);
    for (uint64_t i = 0; !err && i < count; i++)
        if (view_alive(m->view, i))
            err = alter_doom(account, view_entry(m->view, i).message, now, why);
    return err;
}

static enum err delete_state(struct account *account, const struct mailbox *m, struct why *why)
{
    enum err err = doom_all(account, m, why);
    if (!err)
        err = db_run(account->db, "DELETE FROM packed WHERE id BETWEEN ? AND ?",
                     DB_ARGS(DB_U64(m->id << 32), DB_U64(m->id << 32 | UINT32_MAX)), why);
    if (!err)
        err = db_run(account->db, "DELETE FROM vanished WHERE mailbox = ?", DB_ARGS(DB_U64(m->id)), why);
    return err;
}

static enum err delete_row(struct account *account, const struct mailbox *m, bool keep_name, struct why *why)
{
    if (keep_name)
        return db_run(
            account->db,
            "UPDATE mailbox SET flags = ?, special_use = 0, messages = 0, unseen = 0, deleted = 0, bytes = 0,"
            " state_len = 0"
            " WHERE id = ?",
            DB_ARGS(DB_U64(m->flags | MAILBOX_NOSELECT), DB_U64(m->id)), why);
    return db_run(account->db, "DELETE FROM mailbox WHERE id = ?", DB_ARGS(DB_U64(m->id)), why);
}

static void forget_mailbox(struct account *account, struct mailbox *m)
{
    map_remove(account->by_name, m->name);
    idmap_remove(account->by_id, m->id);
    mailbox_free(&m);
}

static void empty_mailbox(struct mailbox *m)
{
    view_free(&m->view);
    m->watches = m->takers = 0;
    m->flags |= MAILBOX_NOSELECT;
    m->special_use = SPECIAL_NONE;
    m->messages = m->unseen = m->deleted = m->bytes = m->state_len = 0;
}

static enum err delete_mailbox(struct account *account, struct mailbox *m, bool keep_name,
                               struct refusal *refusal)
{
    struct commit commit;
    bool had_messages = !(m->flags & MAILBOX_NOSELECT);
    enum err err = commit_begin(&commit, account, &refusal->why);
    (void)commit_touch(&commit);
    if (!err && had_messages)
        err = delete_state(account, m, &refusal->why);
    if (!err)
        err = metadata_forget(account, m->id, &refusal->why);
    if (!err)
        err = saved_forget(account, m->id, &refusal->why);
    if (!err)
        err = acl_forget(account, m->id, &refusal->why);
    if (!err)
        err = urlkey_forget(account, m->id, &refusal->why);
    if (!err)
        err = delete_row(account, m, keep_name, &refusal->why);
    if (!err)
        err = save_account(account, &commit, &refusal->why);
    if (!err)
        err = commit_end(&commit, &refusal->why);
    else
        commit_abort(&commit);
    if (err) {
        refusal->code = STORE_CODE_UNAVAILABLE;
        return err;
    }
    account->doomed += m->messages;
    state_file_remove(account, m->id);
    overhear_gone(account, m);
    acl_drop(account, m);
    if (m->watches)
        account_note_gone(account, m->id);
    AUTO_BUF struct buf name = buf_new(WIRE_MAILBOX_MAX);
    buf_add(&name, m->name);
    if (keep_name)
        empty_mailbox(m);
    else
        forget_mailbox(account, m);
    hear_name(account, buf_slice(&name));
    return ERR_OK;
}

/* Names above a deleted mailbox that only led to it. */
static void delete_empty_parents(struct account *account, struct slice name)
{
    struct slice up = parent_of(name);
    for (; up.len; up = parent_of(up)) {
        struct mailbox *m = account_mailbox(account, up);
        struct refusal ignored; /* it stays as a name, then */
        if (!m || !(m->flags & MAILBOX_NOSELECT) || has_children(account, up, NULL) ||
            delete_mailbox(account, m, false, &ignored))
            return;
    }
}

enum err names_delete(struct account *account, struct slice name, struct refusal *refusal)
{
    struct mailbox *m = account_mailbox(account, name);
    if (!m)
        return refuse(refusal, ERR_ABSENT, STORE_CODE_NONEXISTENT, "no such mailbox");
    if (slice_eq(m->name, SLICE("INBOX")))
        return refuse(refusal, ERR_REFUSED, STORE_CODE_CANNOT, "INBOX cannot be deleted");
    bool children = has_children(account, m->name, m);
    if (children && m->flags & MAILBOX_NOSELECT)
        return refuse(refusal, ERR_REFUSED, STORE_CODE_HASCHILDREN, "there are mailboxes below it");
    enum err err =
        account_fold(account, clock_unix_s(), &refusal->why); /* the log also holds what must outlive it */
    if (!err && !(m->flags & MAILBOX_NOSELECT))
        err = account_view(account, m->id, &m, &refusal->why);
    if (err) {
        refusal->code = STORE_CODE_UNAVAILABLE;
        return err;
    }
    AUTO_BUF struct buf copy = buf_new(WIRE_MAILBOX_MAX); /* `name` may be the mailbox's own */
    buf_add(&copy, name);
    err = delete_mailbox(account, m, children, refusal);
    if (!err)
        delete_empty_parents(account, buf_slice(&copy));
    return err;
}

/* ---- rename ---- */

static struct slice renamed_in(struct arena *arena, struct slice name, struct slice from, struct slice to)
{
    struct slice rest = slice_from(name, from.len);
    uint8_t *bytes = arena_must(arena, to.len + rest.len + 1);
    memcpy(bytes, to.ptr, to.len);
    if (rest.len)
        memcpy(bytes + to.len, rest.ptr, rest.len);
    return slice_make(bytes, to.len + rest.len);
}

/* Everything at or below `from`, with the names they will have. */
static size_t list_moving(const struct account *account, struct arena *arena, struct slice from,
                          struct slice to, struct mailbox **moving, struct slice *names)
{
    size_t at = 0, count = 0;
    struct mailbox *m;
    while ((m = idmap_next(account->by_id, &at, NULL)))
        if (slice_eq(m->name, from) || is_below(m->name, from)) {
            moving[count] = m;
            names[count++] = renamed_in(arena, m->name, from, to);
        }
    return count;
}

static enum err check_moving(struct account *account, const struct slice *names, size_t count,
                             struct refusal *refusal)
{
    for (size_t i = 0; i < count; i++) {
        enum err err = check_name(names[i], refusal);
        if (err)
            return err;
        if (account_mailbox(account, names[i]))
            return refuse(refusal, ERR_REFUSED, STORE_CODE_ALREADYEXISTS, "there is a mailbox of this name");
    }
    return ERR_OK;
}

static void apply_moving(struct account *account, struct mailbox *const *moving, const struct slice *names,
                         size_t count)
{
    for (size_t i = 0; i < count; i++)
        map_remove(account->by_name, moving[i]->name);
    for (size_t i = 0; i < count; i++) {
        mailbox_set_name(moving[i], names[i]);
        (void)!map_put(account->by_name, moving[i]->name, moving[i]); /* as many as were taken out */
    }
}

/* The names above may be no business of those a moved mailbox is shared with: each is told of by itself. */
static void overhear_moved(struct account *account, struct mailbox *const *moved, size_t count,
                           struct slice from, struct slice to)
{
    for (size_t i = 0; i < count && account_is_overheard(account); i++) {
        AUTO_BUF struct buf old = buf_new(WIRE_MAILBOX_MAX);
        buf_add(&old, from);
        buf_add(&old, slice_from(moved[i]->name, to.len));
        overhear_name(account, moved[i], buf_slice(&old));
    }
}

static enum err rename_rows(struct account *account, struct mailbox *const *moving, const struct slice *names,
                            size_t count, struct slice from, struct slice to, struct refusal *refusal)
{
    struct commit commit;
    struct vec made = VEC_NEW(struct mailbox *, IMAP_MAILBOX_DEPTH_MAX);
    struct slice parent = parent_of(to);
    enum err err = commit_begin(&commit, account, &refusal->why);
    uint64_t modseq = commit_touch(&commit);
    if (!err && parent.len)
        err = insert_path(account, parent, SPECIAL_NONE, modseq, &made, &refusal->why);
    for (size_t i = 0; !err && i < count; i++)
        err = db_run(account->db, "UPDATE mailbox SET name = ? WHERE id = ?",
                     DB_ARGS(DB_TEXT(names[i]), DB_U64(moving[i]->id)), &refusal->why);
    err = finish_made(account, &commit, &made, err, refusal);
    if (!err) {
        apply_moving(account, moving, names, count);
        hear(account, MAILBOX_EVENT_NAME, to, from);
        overhear_moved(account, moving, count, from, to);
    }
    vec_free(&made);
    return err;
}

static enum err rename_tree(struct account *account, struct slice from, struct slice to,
                            struct refusal *refusal)
{
    size_t most = idmap_count(account->by_id);
    AUTO_ARENA struct arena *arena = arena_new(SIZE_MAX);
    struct mailbox **moving = ARENA_ARRAY(arena, struct mailbox *, most + 1);
    struct slice *names = ARENA_ARRAY(arena, struct slice, most + 1);
    struct slice old = arena_dup(arena, from);
    size_t count = list_moving(account, arena, old, to, moving, names);
    enum err err = check_moving(account, names, count, refusal);
    if (!err)
        err = rename_rows(account, moving, names, count, old, to, refusal);
    if (!err)
        delete_empty_parents(account, old);
    return err;
}

/* RFC 3501 section 6.3.5: the messages move to the new mailbox, INBOX stays and is empty. */
static enum err rename_inbox(struct account *account, struct mailbox *inbox, struct slice to,
                             struct refusal *refusal)
{
    enum err err = names_create(account, to, SPECIAL_NONE, refusal);
    if (err)
        return err;
    err = account_view(account, inbox->id, &inbox, &refusal->why);
    if (err) {
        refusal->code = STORE_CODE_UNAVAILABLE;
        return err;
    }
    AUTO_BUF struct buf all = buf_new(64), source = buf_new(ALTER_RANGES_MAX),
                        target = buf_new(ALTER_RANGES_MAX);
    wire_range_add(&all, 1, UINT32_MAX);
    return alter_copy(account, inbox, account_mailbox(account, to), buf_slice(&all), 0, true, &source,
                      &target, refusal);
}

enum err names_rename(struct account *account, struct slice from, struct slice to, struct refusal *refusal)
{
    struct mailbox *m = account_mailbox(account, from);
    if (!m)
        return refuse(refusal, ERR_ABSENT, STORE_CODE_NONEXISTENT, "no such mailbox");
    enum err err = check_name(to, refusal);
    if (err)
        return err;
    if (account_mailbox(account, to))
        return refuse(refusal, ERR_REFUSED, STORE_CODE_ALREADYEXISTS, "there is a mailbox of this name");
    if (slice_eq(from, SLICE("INBOX")))
        return rename_inbox(account, m, to, refusal);
    if (is_below(to, from))
        return refuse(refusal, ERR_REFUSED, STORE_CODE_CANNOT, "a mailbox cannot be moved below itself");
    return rename_tree(account, from, to, refusal);
}

/* ---- subscriptions and lists ---- */

static void unsubscribe(struct account *account, struct slice name)
{
    struct subscription *s = map_remove(account->subscriptions, name);
    if (!s)
        return;
    free((void *)(uintptr_t)s->name.ptr);
    free(s);
}

enum err names_subscribe(struct account *account, struct slice name, bool on, struct refusal *refusal)
{
    bool there = map_get(account->subscriptions, name) != NULL;
    if (there == on)
        return ERR_OK;
    bool others = slice_starts(name, SLICE(MAILBOX_OTHERS "/")); /* the caller has looked */
    if (on && !others && !account_mailbox(account, name))
        return refuse(refusal, ERR_ABSENT, STORE_CODE_NONEXISTENT, "no such mailbox");
    if (on && map_count(account->subscriptions) >= ACCOUNT_MAILBOXES_MAX)
        return refuse(refusal, ERR_REFUSED, STORE_CODE_LIMIT, "too many subscriptions");
    enum err err =
        db_run(account->db,
               on ? "INSERT INTO subscription (name) VALUES (?)" : "DELETE FROM subscription WHERE name = ?",
               DB_ARGS(DB_TEXT(name)), &refusal->why);
    if (err) {
        refusal->code = STORE_CODE_UNAVAILABLE;
        return err;
    }
    if (on)
        (void)!load_subscribe(account, name);
    else
        unsubscribe(account, name);
    hear(account, MAILBOX_EVENT_SUBSCRIPTION, name, SLICE_EMPTY);
    return ERR_OK;
}

struct mailbox_row names_row(const struct account *account, const struct mailbox *mailbox)
{
    struct mailbox_row row = mailbox_row_of(mailbox);
    row.flags |= map_get(account->subscriptions, mailbox->name) ? MAILBOX_SUBSCRIBED : 0;
    row.rights = acl_rights(mailbox->acl, account->address, SLICE_EMPTY);
    return row;
}

static int row_order(const void *a, const void *b)
{
    return slice_cmp(((const struct mailbox_row *)a)->name, ((const struct mailbox_row *)b)->name);
}

void names_list(const struct account *account, struct buf *out)
{
    size_t count = 0, at = 0;
    struct mailbox_row *rows =
        mem_zero(idmap_count(account->by_id) + map_count(account->subscriptions) + 1, sizeof *rows);
    const struct mailbox *m;
    while ((m = idmap_next(account->by_id, &at, NULL)))
        rows[count++] = names_row(account, m);
    at = 0;
    const struct subscription *s;
    while ((s = map_next(account->subscriptions, &at, NULL)))
        if (!account_mailbox(account, s->name) && !slice_starts(s->name, SLICE(MAILBOX_OTHERS "/")))
            rows[count++] =
                (struct mailbox_row){.name = s->name, .flags = MAILBOX_SUBSCRIBED | MAILBOX_NONEXISTENT};
    qsort(rows, count, sizeof *rows, row_order);
    for (size_t i = 0; i < count; i++)
        mailbox_row_add(out, &rows[i]);
    free(rows);
}
