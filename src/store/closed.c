/* closed.c: the mark of a clean end. Input: our own index and folders, which an administrator may have put
 * together from copies of different days. Called by opening, by falling asleep, and where files are made. */
#include "store/closed.h"

#include <stdio.h>

#include "base/io.h"
#include "base/random.h"
#include "store/blob.h"

#define MARK_MODE 0600

bool closed_is_clean(struct account *account)
{
    char path[PATHS_FILE_MAX];
    struct stat st;
    account->marked_at = atomic_load(&account->next_message);
    if (!account->closed)
        return false;
    paths_closed(account->folder, account->marked_at, account->closed, path);
    account->marked = io_stat_at(account->root.dir, path, &st, NULL) == ERR_OK && S_ISREG(st.st_mode);
    return account->marked;
}

void closed_look(struct account *account)
{
    char path[PATHS_FILE_MAX];
    struct stat st;
    if (!account->marked)
        return;
    paths_message(account->folder, account->marked_at, path);
    if (io_stat_at(account->root.dir, path, &st, NULL) != ERR_OK)
        return;
    if (!st.st_size) {
        (void)!io_unlink(account->root.dir, path, NULL);
        return;
    }
    account->strays++; /* nothing of ours: the next opening looks at everything */
    paths_closed(account->folder, account->marked_at, account->closed, path);
    if (io_unlink(account->root.dir, path, NULL) == ERR_OK)
        account->marked = false;
}

enum err closed_drop(struct account *account, uint64_t id, struct why *why)
{
    closed_look(account);
    if (!account->marked)
        return ERR_OK;
    char path[PATHS_FILE_MAX];
    paths_closed(account->folder, account->marked_at, account->closed, path);
    enum err err = io_unlink(account->root.dir, path, why);
    if (err && err != ERR_ABSENT)
        return err;
    bool first =
        account->marked_at == id; /* another one only after failures: closed_look() looks at the first */
    return first ? ERR_OK : blob_sync_folder(&account->root, account->folder, account->marked_at, why);
}

void closed_gone(struct account *account)
{
    account->marked = false;
}

/* No folder is made for it: whoever makes a folder syncs its name. */
uint64_t closed_stamp(struct account *account)
{
    char path[PATHS_FILE_MAX];
    struct stat st;
    if (account->marked || account->strays || account->suspects.len ||
        account->placed != account->blanks.taken)
        return 0;
    paths_message_folder(account->folder, atomic_load(&account->next_message), path);
    if (io_stat_at(account->root.dir, path, &st, NULL) != ERR_OK)
        return 0;
    uint64_t stamp;
    do
        stamp = random_u64() & INT64_MAX;
    while (!stamp);
    return stamp;
}

void closed_mark(struct account *account, uint64_t stamp)
{
    char path[PATHS_FILE_MAX];
    AUTO_FD int fd = -1;
    account->closed = stamp;
    account->marked_at = atomic_load(&account->next_message);
    paths_closed(account->folder, account->marked_at, stamp, path);
    account->marked =
        io_open_at(account->root.dir, path, O_WRONLY | O_CREAT | O_EXCL, MARK_MODE, &fd, NULL) == ERR_OK;
}

void closed_remove(const struct store_root *root, const char *folder, const char *name)
{
    char path[2 * PATHS_FILE_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    (void)!io_unlink(root->dir, path, NULL);
}
