/* verify.c: the indexes against the files. Every row has its file with its size and checksum, every file its
 * row, every message of a mailbox its row, counters add up, the database is whole. Input: what lies on the
 * disk, whatever it is. Called by the offline command. */
#include "store/verify.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/mem.h"
#include "store/account.h"
#include "store/blob.h"
#include "store/closed.h"

#define VERIFY_IDS_MAX      (1u << 28)
#define VERIFY_ACCOUNTS_MAX 10000000u

/* One message id: what was found of it. */
struct known {
    uint64_t id;
    uint32_t uses; /* in mailboxes */
    bool doomed, file;
};

struct verify {
    struct store_root root;
    struct verify_report *report;
    struct account *account;
    struct slice name;   /* of the account in findings */
    struct vec messages; /* struct known, ascending */
};

static void finding(struct verify *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void finding(struct verify *v, const char *format, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    v->report->findings++;
    if (v->report->finding)
        v->report->finding(v->report->arg, v->name, text);
}

static struct known *find(struct verify *v, uint64_t id)
{
    size_t low = 0, high = v->messages.len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (VEC_AT(&v->messages, struct known, middle)->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    struct known *k = low < v->messages.len ? VEC_AT(&v->messages, struct known, low) : NULL;
    return k && k->id == id ? k : NULL;
}

/* ---- rows against files ---- */

static void check_file(struct verify *v, uint64_t id, uint64_t size, struct slice sum)
{
    AUTO_FD int fd = -1;
    struct blob_made made;
    struct why why;
    if (blob_open(&v->root, v->account->folder, id, &fd, &why) || blob_sum(fd, &made, &why)) {
        finding(v, "message %llu: %s", (unsigned long long)id, why.text);
        return;
    }
    v->report->bytes += made.size;
    if (made.size != size)
        finding(v, "message %llu: the file has %llu bytes, the index says %llu", (unsigned long long)id,
                (unsigned long long)made.size, (unsigned long long)size);
    else if (!slice_eq(sum, slice_make(made.sum, BLOB_SUM_LEN)))
        finding(v, "message %llu: the file's checksum is not the one of the index", (unsigned long long)id);
}

static enum err check_rows(struct verify *v, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(v->account->db,
                            "SELECT m.id, m.size, m.sum, d.id IS NOT NULL FROM message m LEFT JOIN doomed d"
                            " ON d.id = m.id ORDER BY m.id",
                            DB_NO_ARGS, &rows, why);
    if (err)
        return err;
    while (db_next(&rows)) {
        struct known *k = vec_push(&v->messages);
        if (!k)
            break;
        *k = (struct known){.id = db_u64(&rows, 0), .doomed = db_u64(&rows, 3) != 0};
        v->report->messages++;
        if (!k->doomed) /* its file may be gone already */
            check_file(v, k->id, db_u64(&rows, 1), db_slice(&rows, 2));
    }
    return db_end(&rows, why);
}

/* ---- files against rows ---- */

struct listing {
    struct verify *v;
    char folder[PATHS_FILE_MAX];
    bool inner;
};

static bool look_at_file(void *arg, const char *name, int type)
{
    struct listing *list = arg;
    uint64_t id;
    (void)type;
    const char *folder = strrchr(list->folder, '/') + 1;
    if (paths_is_closed(name))
        return true;
    if (!paths_message_id(name, &id)) {
        finding(list->v, "%s/%s is no message file", folder, name);
        return true;
    }
    struct known *k = find(list->v, id);
    char expected[PATHS_FILE_MAX];
    paths_message_folder(list->v->account->folder, id, expected);
    if (!k)
        finding(list->v, "the file of message %llu has no row in the index", (unsigned long long)id);
    else if (k->file || strcmp(expected, list->folder) != 0)
        finding(list->v, "message %llu has a second file in %s", (unsigned long long)id, folder);
    if (k)
        k->file = true;
    return true;
}

static bool look_at_folder(void *arg, const char *name, int type)
{
    struct verify *v = arg;
    struct listing list = {.v = v};
    struct why why;
    (void)type;
    int len = snprintf(list.folder, sizeof list.folder, "%s/msg/%s", v->account->folder, name);
    if (len < 0 || (size_t)len >= sizeof list.folder ||
        io_list_dir(v->root.dir, list.folder, look_at_file, &list, &why))
        finding(v, "msg/%.100s is no folder of messages", name);
    return true;
}

static enum err check_files(struct verify *v, struct why *why)
{
    char path[PATHS_FILE_MAX];
    (void)snprintf(path, sizeof path, "%s/msg", v->account->folder);
    return io_list_dir(v->root.dir, path, look_at_folder, v, why);
}

/* ---- mailboxes ---- */

static enum err check_mailbox(struct verify *v, struct mailbox *m, struct why *why)
{
    struct change_counts counts = {0};
    enum err err = account_view(v->account, m->id, &m, why);
    if (err)
        return err;
    uint64_t count = view_count(m->view);
    for (uint64_t i = 0; i < count; i++) {
        if (!view_alive(m->view, i))
            continue;
        struct entry e = view_entry(m->view, i);
        struct known *k = find(v, e.message);
        mailbox_count(&counts, e.flags, e.size, 1);
        if (!k || k->doomed)
            finding(v, "mailbox %.*s UID %u: message %llu is not there", SLICE_ARG(m->name), e.uid,
                    (unsigned long long)e.message);
        else
            k->uses++;
        if (e.uid >= m->uidnext)
            finding(v, "mailbox %.*s: UID %u is not below UIDNEXT", SLICE_ARG(m->name), e.uid);
    }
    if ((uint64_t)counts.messages != m->messages || (uint64_t)counts.unseen != m->unseen ||
        (uint64_t)counts.deleted != m->deleted || (uint64_t)counts.bytes != m->bytes)
        finding(v, "mailbox %.*s: its counters are not those of its messages", SLICE_ARG(m->name));
    account_release_view(m);
    return ERR_OK;
}

static enum err check_mailboxes(struct verify *v, struct why *why)
{
    size_t at = 0;
    struct mailbox *m;
    enum err err = ERR_OK;
    while (!err && (m = idmap_next(v->account->by_id, &at, NULL))) {
        v->report->mailboxes++;
        if (!(m->flags & MAILBOX_NOSELECT))
            err = check_mailbox(v, m, why);
    }
    return err;
}

static enum err check_uses(struct verify *v, struct why *why)
{
    enum err err = ERR_OK;
    for (size_t i = 0; !err && i < v->messages.len; i++) {
        const struct known *k = VEC_AT(&v->messages, struct known, i);
        uint64_t shared = 0;
        err = db_number(v->account->db, "SELECT uses FROM shared WHERE id = ?", DB_ARGS(DB_U64(k->id)), 1,
                        &shared, why);
        if (!k->doomed && k->uses == 0)
            finding(v, "message %llu stands in no mailbox", (unsigned long long)k->id);
        else if (!k->doomed && k->uses != shared)
            finding(v, "message %llu stands in %u mailboxes, the index says %llu", (unsigned long long)k->id,
                    k->uses, (unsigned long long)shared);
        if (!k->doomed && !k->file)
            finding(v, "message %llu has no file", (unsigned long long)k->id);
    }
    return err;
}

/* ---- accounts ---- */

static enum err check_account(struct verify *v, struct why *why)
{
    enum err err = db_check(v->account->db, why);
    if (!err)
        err = check_rows(v, why);
    if (!err)
        err = check_files(v, why);
    if (!err)
        err = check_mailboxes(v, why);
    return err ? err : check_uses(v, why);
}

/* What keeps one account from being looked at is a finding: the others are looked at too. */
static void verify_account(struct verify *v, struct slice address)
{
    struct why why;
    v->name = address;
    v->report->accounts++;
    v->messages = VEC_NEW(struct known, VERIFY_IDS_MAX);
    enum err err = account_open(&v->root, address, false, &v->account, &why);
    if (!err) {
        closed_look(v->account);
        v->account->as_is = true;
        err = check_account(v, &why);
    }
    if (err)
        finding(v, "%s", why.text);
    account_free(&v->account);
    vec_free(&v->messages);
}

static bool collect_account(void *arg, const char *name, int type)
{
    struct slice *place = vec_push(arg);
    (void)type;
    if (!place)
        return false;
    *place = slice_make(mem_dup(name, strlen(name)), strlen(name));
    return true;
}

/* The address stands in the index where the folder's name had to be cut. */
static bool address_of(struct verify *v, struct slice folder, uint8_t *address, size_t *len)
{
    if (paths_address(folder, address, len))
        return true;
    v->name = folder;
    finding(v, "accounts/%.*s is no account's folder", SLICE_ARG(slice_sub(folder, 0, 250)));
    return false;
}

static enum err verify_all(struct verify *v, struct why *why)
{
    struct vec names = VEC_NEW(struct slice, VERIFY_ACCOUNTS_MAX);
    enum err err = io_list_dir(v->root.dir, "accounts", collect_account, &names, why);
    for (size_t i = 0; i < names.len; i++) {
        struct slice name = *VEC_AT(&names, struct slice, i);
        uint8_t address[PATHS_FOLDER_MAX];
        size_t len;
        if (!err && address_of(v, name, address, &len))
            verify_account(v, slice_make(address, len));
        free((void *)(uintptr_t)name.ptr);
    }
    vec_free(&names);
    return err == ERR_ABSENT ? ERR_OK : err;
}

enum err store_verify(const char *store, struct slice account, struct verify_report *report, struct why *why)
{
    struct verify v = {.root = {.dir = -1, .path = store}, .report = report};
    enum err err = io_open_dir(AT_FDCWD, store, &v.root.dir, why);
    if (err)
        return err;
    if (account.len)
        verify_account(&v, account);
    else
        err = verify_all(&v, why);
    io_close(&v.root.dir);
    return err;
}
