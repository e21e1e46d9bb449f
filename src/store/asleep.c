/* asleep.c: the file with what index.db said when the account fell asleep. Input: our own file, which a crash
 * may have torn and an administrator may have put beside another index: its sum and the stat of index.db are
 * compared, then it is decoded strictly. Called by account.c. */
#include "store/asleep.h"

#include <stdlib.h>

#include "base/io.h"
#include "base/mem.h"
#include "store/acl.h"
#include "store/closed.h"
#include "store/load.h"
#include "store/schema.h"

#define FILE_MODE      0600
#define ASLEEP_VERSION 1
#define ASLEEP_KEY     0x726f636b646f7665u
#define SUM_LEN        8

enum {
    ACCOUNT_MODSEQ,
    ACCOUNT_NEXT,
    ACCOUNT_NEXT_MAILBOX,
    ACCOUNT_UIDVALIDITY,
    ACCOUNT_CLOSED,
    ACCOUNT_DOOMED,
    ACCOUNT_SHARED,
    ACCOUNT_OWN_BYTES,
    ACCOUNT_OWN_MESSAGES,
    ACCOUNT_NUMBERS
};

enum {
    BOX_ID,
    BOX_FLAGS,
    BOX_USE,
    BOX_UIDVALIDITY,
    BOX_UIDNEXT,
    BOX_MODSEQ,
    BOX_FOLDED,
    BOX_FLOOR,
    BOX_MESSAGES,
    BOX_UNSEEN,
    BOX_DELETED,
    BOX_BYTES,
    BOX_RECENT,
    BOX_STATE_LEN,
    BOX_STATE_SUM,
    BOX_STATE_DEAD,
    BOX_KEYWORDS,
    BOX_RIGHTS,
    BOX_NUMBERS
};

/* The schema counts: a release that reads other tables finds nothing to believe. */
uint64_t asleep_sum(struct slice bytes)
{
    const struct hash_key key = {(uint64_t)schema_index.count << 8 | ASLEEP_VERSION, ASLEEP_KEY};
    return hash_sip(&key, bytes);
}

/* A write changes the ctime, and so does whatever puts another file in its place. */
static void add_identity(const struct stat *index, struct buf *out)
{
    buf_add_le64(out, index->st_ino);
    buf_add_le64(out, (uint64_t)index->st_size);
    buf_add_le64(out, (uint64_t)index->st_ctim.tv_sec * 1000000000u + (uint64_t)index->st_ctim.tv_nsec);
}

/* ---- writing ---- */

static void add_numbers(const uint64_t *numbers, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++)
        buf_add_varint(out, numbers[i]);
}

static void add_mailbox(const struct mailbox *m, struct buf *out)
{
    const uint64_t numbers[BOX_NUMBERS] = {[BOX_ID] = m->id,
                                           [BOX_FLAGS] = m->flags,
                                           [BOX_USE] = m->special_use,
                                           [BOX_UIDVALIDITY] = m->uidvalidity,
                                           [BOX_UIDNEXT] = m->uidnext,
                                           [BOX_MODSEQ] = m->modseq,
                                           [BOX_FOLDED] = m->folded,
                                           [BOX_FLOOR] = m->vanished_floor,
                                           [BOX_MESSAGES] = m->messages,
                                           [BOX_UNSEEN] = m->unseen,
                                           [BOX_DELETED] = m->deleted,
                                           [BOX_BYTES] = m->bytes,
                                           [BOX_RECENT] = m->recent_from,
                                           [BOX_STATE_LEN] = m->state_len,
                                           [BOX_STATE_SUM] = m->state_sum,
                                           [BOX_STATE_DEAD] = m->state_dead,
                                           [BOX_KEYWORDS] = m->keyword_count,
                                           [BOX_RIGHTS] = m->acl ? m->acl->count : 0};
    add_numbers(numbers, BOX_NUMBERS, out);
    wire_strings_add(out, m->name);
    for (unsigned i = 0; i < m->keyword_count; i++)
        wire_strings_add(out, m->keywords[i]);
    for (size_t i = 0; m->acl && i < m->acl->count; i++) {
        wire_strings_add(out, m->acl->entries[i].identifier);
        buf_add_varint(out, m->acl->entries[i].rights);
    }
}

void asleep_encode(const struct account *a, const struct stat *index, struct buf *out)
{
    const uint64_t numbers[ACCOUNT_NUMBERS] = {[ACCOUNT_MODSEQ] = a->modseq,
                                               [ACCOUNT_NEXT] = atomic_load(&a->next_message),
                                               [ACCOUNT_NEXT_MAILBOX] = a->next_mailbox,
                                               [ACCOUNT_UIDVALIDITY] = a->uidvalidity,
                                               [ACCOUNT_CLOSED] = a->closed,
                                               [ACCOUNT_DOOMED] = a->doomed,
                                               [ACCOUNT_SHARED] = a->shared,
                                               [ACCOUNT_OWN_BYTES] = a->own.bytes,
                                               [ACCOUNT_OWN_MESSAGES] = a->own.messages};
    size_t from = out->len, at = 0;
    const struct mailbox *m;
    const struct subscription *s;
    buf_add_byte(out, ASLEEP_VERSION);
    add_identity(index, out);
    add_numbers(numbers, ACCOUNT_NUMBERS, out);
    buf_add_varint(out, idmap_count(a->by_id));
    while ((m = idmap_next(a->by_id, &at, NULL)))
        add_mailbox(m, out);
    at = 0;
    while ((s = map_next(a->subscriptions, &at, NULL)))
        wire_strings_add(out, s->name);
    buf_add_le64(out, asleep_sum(slice_from(buf_slice(out), from)));
}

/* Nothing is in memory alone, and the next opening would not look for what a crash has left. */
static bool is_settled(const struct account *a)
{
    size_t at = 0;
    const struct mailbox *m;
    if (a->as_is || !a->marked || a->log_rows || a->suspects.len || a->strays || map_count(a->delivered))
        return false;
    while ((m = idmap_next(a->by_id, &at, NULL)))
        if (m->touched || m->keywords_saved != m->keyword_count)
            return false;
    return true;
}

/* What index.db is, when it has no log. */
static enum err stat_index(const struct account *account, struct stat *index, struct why *why)
{
    char path[PATHS_FILE_MAX];
    struct stat log;
    paths_index_log(account->folder, path);
    enum err err = io_stat_at(account->root.dir, path, &log, why);
    if (err != ERR_ABSENT)
        return err ? err : err_set(why, ERR_BAD, "the index was not closed");
    paths_index(account->folder, path);
    return io_stat_at(account->root.dir, path, index, why);
}

void asleep_write(const struct account *account)
{
    char path[PATHS_FILE_MAX];
    struct stat index;
    AUTO_FD int fd = -1;
    AUTO_BUF struct buf bytes = buf_new(ASLEEP_MAX);
    if (!is_settled(account) || stat_index(account, &index, NULL))
        return;
    asleep_encode(account, &index, &bytes);
    paths_asleep(account->folder, path);
    if (!buf_ok(&bytes) ||
        io_open_at(account->root.dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, FILE_MODE, &fd, NULL))
        return;
    (void)!io_write_all(fd, buf_slice(&bytes), NULL); /* a part of it is not believed */
}

enum err asleep_drop(const struct store_root *root, const char *folder, struct why *why)
{
    char path[PATHS_FILE_MAX];
    paths_asleep(folder, path);
    struct stat st;
    enum err err = io_unlink(root->dir, path, why);
    bool gone = !err || err == ERR_ABSENT || io_stat_at(root->dir, path, &st, NULL) == ERR_ABSENT;
    return gone ? ERR_OK : err;
}

/* ---- reading ---- */

void asleep_ahead(const struct store_root *root, const char *folder)
{
    char path[PATHS_FILE_MAX];
    AUTO_FD int fd = -1;
    paths_asleep(folder, path);
    if (!io_open_at(root->dir, path, O_RDONLY | O_NOFOLLOW, 0, &fd, NULL))
        io_read_ahead(fd, 0, ASLEEP_MAX);
}

static enum err damaged(struct why *why)
{
    return err_set(why, ERR_BAD, "a file of an account that fell asleep is not the one of its index");
}

static bool take_numbers(struct slice *bytes, uint64_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!slice_take_varint(bytes, &numbers[i]))
            return false;
    return true;
}

static bool take_rights(struct account *account, struct mailbox *m, uint64_t count, struct slice *bytes)
{
    struct slice identifier;
    uint64_t rights;
    for (uint64_t i = 0; i < count; i++) {
        if (!wire_strings_take(bytes, &identifier) || !slice_take_varint(bytes, &rights) ||
            i >= ACL_ENTRIES_MAX || !imap_acl_identifier_is_valid(identifier))
            return false;
        acl_adopt(account, m, identifier, (uint32_t)rights & RIGHT_ALL);
    }
    return true;
}

static void set_numbers(struct mailbox *m, const uint64_t *n)
{
    m->flags = (uint32_t)n[BOX_FLAGS];
    m->special_use = (uint32_t)n[BOX_USE] % SPECIAL_COUNT;
    m->uidvalidity = (uint32_t)n[BOX_UIDVALIDITY];
    m->uidnext = (uint32_t)n[BOX_UIDNEXT];
    m->modseq = n[BOX_MODSEQ];
    m->folded = n[BOX_FOLDED];
    m->vanished_floor = n[BOX_FLOOR];
    m->messages = n[BOX_MESSAGES];
    m->unseen = n[BOX_UNSEEN];
    m->deleted = n[BOX_DELETED];
    m->bytes = n[BOX_BYTES];
    m->recent_from = (uint32_t)n[BOX_RECENT];
    m->state_len = n[BOX_STATE_LEN];
    m->state_sum = n[BOX_STATE_SUM];
    m->state_dead = n[BOX_STATE_DEAD];
}

static bool take_mailbox(struct account *account, struct slice *bytes)
{
    uint64_t n[BOX_NUMBERS];
    struct slice name, keyword;
    if (!take_numbers(bytes, n, BOX_NUMBERS) || !wire_strings_take(bytes, &name) ||
        account_mailbox_by_id(account, n[BOX_ID]) || account_mailbox(account, name))
        return false;
    struct mailbox *m = mailbox_new(n[BOX_ID], name);
    if (!load_adopt(account, m)) {
        mailbox_free(&m);
        return false;
    }
    set_numbers(m, n);
    for (uint64_t i = 0; i < n[BOX_KEYWORDS]; i++)
        if (!wire_strings_take(bytes, &keyword) || mailbox_keyword_add(m, keyword) != (int)i)
            return false;
    m->keywords_saved = m->keyword_count;
    return take_rights(account, m, n[BOX_RIGHTS], bytes);
}

static bool take_account(struct account *account, struct slice *bytes)
{
    uint64_t n[ACCOUNT_NUMBERS], mailboxes;
    struct slice name;
    bool good = take_numbers(bytes, n, ACCOUNT_NUMBERS) && slice_take_varint(bytes, &mailboxes) &&
                n[ACCOUNT_NEXT] <= IMAGE_MESSAGE_MAX + 1;
    if (!good)
        return false;
    account->modseq = n[ACCOUNT_MODSEQ];
    atomic_store(&account->next_message, n[ACCOUNT_NEXT]);
    account->next_mailbox = n[ACCOUNT_NEXT_MAILBOX];
    account->uidvalidity = (uint32_t)n[ACCOUNT_UIDVALIDITY];
    account->closed = n[ACCOUNT_CLOSED];
    account->doomed = n[ACCOUNT_DOOMED];
    account->shared = n[ACCOUNT_SHARED] != 0;
    account->own = (struct account_limits){n[ACCOUNT_OWN_BYTES], n[ACCOUNT_OWN_MESSAGES]};
    for (uint64_t i = 0; good && i < mailboxes; i++)
        good = take_mailbox(account, bytes);
    while (good && bytes->len)
        good = wire_strings_take(bytes, &name) && load_subscribe(account, name);
    return good;
}

enum err asleep_decode(struct account *account, struct slice bytes, const struct stat *index, struct why *why)
{
    AUTO_BUF struct buf identity = buf_new(ASLEEP_IDENTITY);
    add_identity(index, &identity);
    struct slice all = slice_sub(bytes, 0, bytes.len - (bytes.len < SUM_LEN ? bytes.len : SUM_LEN)),
                 end = slice_from(bytes, all.len), named;
    uint64_t sum;
    uint8_t version;
    if (!slice_take_le64(&end, &sum) || sum != asleep_sum(all) || !slice_take_u8(&all, &version) ||
        version != ASLEEP_VERSION || !slice_take_bytes(&all, ASLEEP_IDENTITY, &named) ||
        !slice_eq(named, buf_slice(&identity)) || !take_account(account, &all))
        return damaged(why);
    return ERR_OK;
}

enum err asleep_read(struct account *account, struct why *why)
{
    char path[PATHS_FILE_MAX];
    struct stat index, st;
    AUTO_FD int fd = -1;
    paths_asleep(account->folder, path);
    enum err err = io_open_at(account->root.dir, path, O_RDONLY | O_NOFOLLOW, 0, &fd, why);
    if (!err)
        err = stat_index(account, &index, why);
    if (!err)
        err = io_fstat(fd, &st, why);
    if (!err && (st.st_size <= 0 || st.st_size > ASLEEP_MAX))
        err = damaged(why);
    if (err)
        return err;
    size_t size = (size_t)st.st_size;
    uint8_t *bytes = mem_alloc(size);
    err = io_pread(fd, bytes, size, 0, &size, why);
    if (!err)
        err = asleep_decode(account, slice_make(bytes, size), &index, why);
    free(bytes);
    if (!err && !closed_is_clean(account))
        err = damaged(why);
    return err;
}
