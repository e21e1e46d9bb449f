/* account.c: opening and closing an account's index, its mailboxes in memory, their images, what others must
 * be told. Input: the account's own database, which may be damaged. Called on the account's strand. */
#include "store/account.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "store/asleep.h"
#include "store/blob.h"
#include "store/closed.h"
#include "store/fulltext.h"
#include "store/load.h"
#include "store/overhear.h"
#include "store/sortkeys.h"
#include "store/schema.h"
#include "wire/objectid.h"

#define ACCOUNT_PATH_MAX  4096
#define ACCOUNT_CACHE_KIB 256
#define ACCOUNT_AHEAD     (80u << 10)

/* Schema and the small tables stand at the beginning: one read instead of ten, each of which waits. */
static void read_ahead(const struct store_root *root, const char *folder)
{
    char path[PATHS_FILE_MAX];
    AUTO_FD int fd = -1;
    paths_index(folder, path);
    if (!io_open_at(root->dir, path, O_RDONLY | O_NOFOLLOW, 0, &fd, NULL))
        io_read_ahead(fd, 0, ACCOUNT_AHEAD);
}

static enum err open_index(struct account *account, bool make, struct why *why)
{
    char path[PATHS_FILE_MAX], full[ACCOUNT_PATH_MAX];
    read_ahead(&account->root, account->folder); /* closed again before SQLite has locks on it */
    paths_index(account->folder, path);
    enum err err = asleep_drop(&account->root, account->folder, why);
    if (!err)
        err = paths_full(&account->root, path, full, sizeof full);
    if (!err)
        err = db_open(full, DB_EXCLUSIVE | (make ? 0 : DB_EXISTING), &schema_index, NULL, &account->db, why);
    if (!err)
        db_cache_size(account->db, ACCOUNT_CACHE_KIB);
    return err;
}

struct account *account_new(const struct store_root *root, const char *folder, struct slice address)
{
    struct account *a = mem_zero(1, sizeof *a);
    a->root = *root;
    blanks_start(&a->blanks);
    memcpy(a->folder, folder, strlen(folder) + 1);
    a->address = slice_make(mem_dup(address.ptr, address.len), address.len);
    a->by_name = map_new(ACCOUNT_MAILBOXES_MAX);
    a->by_id = idmap_new(ACCOUNT_MAILBOXES_MAX);
    a->subscriptions = map_new(ACCOUNT_MAILBOXES_MAX);
    a->delivered = map_new(SIZE_MAX);
    a->tag = object_tag(address);
    a->fulltext_stale = ACCOUNT_STALE;
    a->suspects = VEC_NEW(uint64_t, ACCOUNT_SUSPECTS_MAX * 4);
    a->events = VEC_NEW(struct account_event, ACCOUNT_EVENTS_MAX);
    return a;
}

void account_rehearse(void)
{
    const struct store_root nowhere = {.dir = -1, .path = "."};
    struct account *a = account_new(&nowhere, "rehearsal", SLICE("rehearsal"));
    struct mailbox *inbox;
    struct why why;
    a->as_is = true;
    enum err err = db_open(":memory:", DB_EXCLUSIVE, &schema_index, NULL, &a->db, &why);
    if (!err)
        err = load_account(a, &why);
    if (!err)
        (void)!account_view(a, 1, &inbox, &why);
    db_close(&a->db);
    account_free(&a);
}

enum err account_open_as_is(const struct store_root *root, const char *folder, struct slice address,
                            bool make, struct account **out, struct why *why)
{
    if (strlen(folder) >= PATHS_FOLDER_MAX)
        return err_set(why, ERR_INTERNAL, "a path is too long");
    struct account *a = account_new(root, folder, address);
    a->as_is = true;
    enum err err = open_index(a, make, why);
    if (!err)
        err = load_account(a, why);
    if (err) {
        db_close(&a->db); /* nothing to fold: what could not be read is not written */
        account_free(&a);
        return err;
    }
    *out = a;
    return ERR_OK;
}

/* Whoever made an index had made and synced the folders before. */
static enum err make_folders(const struct store_root *root, const char *folder, struct why *why)
{
    char path[PATHS_FILE_MAX];
    struct stat st;
    paths_index(folder, path);
    return io_stat_at(root->dir, path, &st, NULL) == ERR_OK ? ERR_OK : blob_make_folders(root, folder, why);
}

enum err account_open_asleep(const struct store_root *root, struct slice address, bool make,
                             struct account **out, struct why *why)
{
    char folder[PATHS_FOLDER_MAX];
    paths_account(address, folder);
    struct account *a = account_new(root, folder, address);
    if (!asleep_read(a, why)) {
        a->viewed = true;
        *out = a;
        return ERR_OK;
    }
    account_free(&a);
    enum err err = make ? make_folders(root, folder, why) : ERR_OK;
    if (!err)
        err = account_open_as_is(root, folder, address, make, &a, why);
    if (a) {
        a->as_is = false;
        err = a->marked ? ERR_OK : load_sweep(a, why);
    }
    if (err)
        account_free(&a);
    else
        *out = a;
    return err;
}

enum err account_wake(struct account *account, struct why *why)
{
    return account->db ? ERR_OK : open_index(account, false, why);
}

enum err account_open(const struct store_root *root, struct slice address, bool make,
                      struct account **account, struct why *why)
{
    struct account *a = NULL;
    enum err err = account_open_asleep(root, address, make, &a, why);
    if (a)
        err = account_wake(a, why);
    if (err)
        account_free(&a);
    else
        *account = a;
    return err;
}

void account_shrink(struct account *account)
{
    fulltext_close(account);
    if (!account->db)
        return;
    sortkeys_rest(account, true); /* of a search that was broken off */
    db_shrink(account->db);
}

void account_sleep(struct account *account)
{
    bool dropped = blanks_drop(account);
    fulltext_close(account);
    if (!account->db)
        return;
    struct why why;
    int64_t now = clock_unix_s();
    (void)!account_purge(account, now - ACCOUNT_DOOMED_S, UINT64_MAX, &why);
    (void)!account_settle(account, &why);
    closed_look(account);
    uint64_t stamp = dropped && !account->as_is ? closed_stamp(account) : 0;
    enum err err = account_fold_last(account, now, stamp, &why);
    if (!err && stamp)
        closed_mark(account, stamp);
    sortkeys_free(&account->sortkeys);
    db_close(&account->db);
    if (!err && account->viewed)
        asleep_write(account);
}

static void free_subscriptions(struct map *map)
{
    size_t at = 0;
    struct subscription *s;
    while ((s = map_next(map, &at, NULL))) {
        free((void *)(uintptr_t)s->name.ptr);
        free(s);
    }
}

static void free_delivered(struct map *map)
{
    size_t at = 0;
    struct delivered *d;
    while ((d = map_next(map, &at, NULL))) {
        free((void *)(uintptr_t)d->queue_id.ptr);
        free(d);
    }
}

void account_free(struct account **account)
{
    struct account *a = *account;
    if (!a)
        return;
    account_sleep(a);
    size_t at = 0;
    struct mailbox *m;
    while ((m = idmap_next(a->by_id, &at, NULL)))
        mailbox_free(&m);
    idmap_free(&a->by_id);
    map_free(&a->by_name);
    free_subscriptions(a->subscriptions);
    map_free(&a->subscriptions);
    free_delivered(a->delivered);
    map_free(&a->delivered);
    for (size_t i = 0; i < a->events.len; i++)
        io_close(&VEC_AT(&a->events, struct account_event, i)->image);
    vec_free(&a->events);
    vec_free(&a->suspects);
    free((void *)(uintptr_t)a->address.ptr);
    blanks_stop(&a->blanks);
    free(a);
    *account = NULL;
}

struct mailbox *account_mailbox(const struct account *account, struct slice name)
{
    return map_get(account->by_name, name);
}

struct mailbox *account_mailbox_by_id(const struct account *account, uint64_t id)
{
    return idmap_get(account->by_id, id);
}

enum err account_view(struct account *account, uint64_t id, struct mailbox **out, struct why *why)
{
    struct mailbox *m = account_mailbox_by_id(account, id);
    if (!m || m->flags & MAILBOX_NOSELECT)
        return err_set(why, ERR_ABSENT, "no such mailbox");
    account->viewed = true;
    enum err err = m->view ? ERR_OK : load_view(account, m, why);
    if (!err)
        *out = m;
    return err;
}

void account_release_view(struct mailbox *mailbox)
{
    if (!mailbox->watches)
        view_free(&mailbox->view);
}

struct change_counts account_totals(const struct account *account)
{
    struct change_counts total = {0};
    size_t at = 0;
    const struct mailbox *m;
    while ((m = idmap_next(account->by_id, &at, NULL))) {
        total.messages += (int64_t)m->messages;
        total.unseen += (int64_t)m->unseen;
        total.deleted += (int64_t)m->deleted;
        total.bytes += (int64_t)m->bytes;
    }
    return total;
}

static uint64_t lower_limit(uint64_t a, uint64_t b)
{
    return a && (!b || a < b) ? a : b;
}

struct account_limits account_limits(const struct account *account)
{
    return (struct account_limits){.bytes = lower_limit(account->limits.bytes, account->own.bytes),
                                   .messages = lower_limit(account->limits.messages, account->own.messages)};
}

enum err account_set_own_limits(struct account *account, struct account_limits own, struct why *why)
{
    enum err err =
        db_run(account->db, "INSERT OR REPLACE INTO own_limit (key, bytes, messages) VALUES (1, ?, ?)",
               DB_ARGS(DB_U64(own.bytes), DB_U64(own.messages)), why);
    if (!err)
        account->own = own;
    return err;
}

bool account_fits(const struct account *account, uint64_t messages, uint64_t bytes)
{
    struct account_limits limits = account_limits(account);
    if (!limits.bytes && !limits.messages)
        return true;
    struct change_counts total = account_totals(account);
    return (!limits.bytes || (uint64_t)total.bytes + bytes <= limits.bytes) &&
           (!limits.messages || (uint64_t)total.messages + messages <= limits.messages);
}

static struct account_event *event_of(struct account *account, const struct mailbox *mailbox)
{
    for (size_t i = account->events.len; mailbox->changed && i-- > 0;) {
        struct account_event *event = VEC_AT(&account->events, struct account_event, i);
        if (event->mailbox == mailbox->id && !event->gone)
            return event;
    }
    return vec_push(&account->events);
}

void account_note_change(struct account *account, struct mailbox *mailbox, uint32_t what)
{
    if (!mailbox->watches && !account->listeners && !(mailbox->acl && account_is_overheard(account)))
        return;
    struct account_event *event = event_of(account, mailbox);
    if (!event) /* cannot be: there are fewer mailboxes */
        return;
    if (!mailbox->changed)
        *event = (struct account_event){.mailbox = mailbox->id, .image = -1};
    event->what |= what;
    mailbox->changed = true;
}

void account_hear(struct account *account, const struct event_row *row)
{
    if (!account->listeners)
        return;
    if (!account->heard.max)
        account->heard = buf_new(ACCOUNT_HEARD_MAX);
    event_row_add(&account->heard, row);
}

void account_note_gone(struct account *account, uint64_t mailbox)
{
    struct account_event *event = vec_push(&account->events);
    if (event)
        *event =
            (struct account_event){.mailbox = mailbox, .modseq = account->modseq, .image = -1, .gone = true};
}

/* The state of now, not of when it was noted: what comes in between is told with it. */
static void fill_event(struct account *account, struct account_event *event)
{
    struct mailbox *m = account_mailbox_by_id(account, event->mailbox);
    if (!m || event->gone)
        return;
    m->changed = false;
    event->modseq = m->modseq;
    if (event->what && account->listeners) {
        struct event_row row = {.what = event->what, .row = mailbox_row_of(m)};
        row.row.flags |= map_get(account->subscriptions, m->name) ? MAILBOX_SUBSCRIBED : 0;
        account_hear(account, &row);
    }
    if (event->what)
        overhear_messages(account, m, event->what);
    struct why why;
    if (m->moved && (m->view || !load_view(account, m, &why))) {
        event->image = fcntl(m->view->fd, F_DUPFD_CLOEXEC, 0);
        m->moved = event->image < 0; /* no descriptor free: with the next change */
    }
}

struct account_news account_take_news(struct account *account)
{
    for (size_t i = 0; i < account->events.len; i++)
        fill_event(account, VEC_AT(&account->events, struct account_event, i));
    struct account_news news = {.events = account->events.items,
                                .count = account->events.len,
                                .lost = account->heard.max && !buf_ok(&account->heard),
                                .overheard = account->overheard};
    if (account->heard.len && !news.lost)
        news.heard = buf_take(&account->heard, &news.heard_len);
    buf_free(&account->heard);
    account->heard = (struct buf){0};
    account->overheard = NULL;
    account->events = VEC_NEW(struct account_event, ACCOUNT_EVENTS_MAX);
    return news;
}

bool account_upkeep_due(const struct account *account, int64_t now, bool idle)
{
    if (!account->db)
        return false;
    if (account->log_rows >= ACCOUNT_LOG_ROWS || account->log_bytes >= ACCOUNT_LOG_BYTES ||
        db_wal_bytes(account->db) >= ACCOUNT_WAL_BYTES)
        return true;
    return idle && (account->suspects.len || (account->doomed && now >= (int64_t)account->doomed_next));
}

enum err account_upkeep(struct account *account, int64_t now, bool idle, struct why *why)
{
    enum err err = ERR_OK;
    if (account->log_rows >= ACCOUNT_LOG_ROWS || account->log_bytes >= ACCOUNT_LOG_BYTES)
        err = account_fold(account, now, why);
    if (!err && idle && account->doomed)
        err = account_purge(account, now - ACCOUNT_DOOMED_S, PACKED_CHUNK, why);
    if (!err && idle)
        err = account_settle(account, why);
    if (!err && db_wal_bytes(account->db) >= (idle ? 1 : ACCOUNT_WAL_BYTES))
        err = db_checkpoint(account->db, why);
    return err;
}
