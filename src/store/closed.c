/* closed.c: the mark of a clean end. Input: our own index and folders, which an administrator may have put
 * together from copies of different days. Called by opening, by falling asleep, and where files are made. */
#include "store/closed.h"

#include "base/io.h"
#include "base/random.h"
#include "store/blob.h"

#define MARK_MODE 0600

/* The one file that may be there beside a mark: of a first lot (blank.c) that came to the disk before the
 * sync which would have taken the mark with it. It is empty then. */
static bool is_free(const struct account *account, uint64_t id)
{
    char path[PATHS_FILE_MAX];
    struct stat st;
    paths_message(account->folder, id, path);
    enum err err = io_stat_at(account->root.dir, path, &st, NULL);
    if (!err && !st.st_size)
        err = io_unlink(account->root.dir, path, NULL);
    else if (!err)
        return false;
    return !err || err == ERR_ABSENT;
}

bool closed_is_clean(struct account *account)
{
    char path[PATHS_FILE_MAX];
    struct stat st;
    account->marked_at = atomic_load(&account->next_message);
    if (!account->closed)
        return false;
    paths_closed(account->folder, account->marked_at, account->closed, path);
    account->marked = io_stat_at(account->root.dir, path, &st, NULL) == ERR_OK && S_ISREG(st.st_mode) &&
                      is_free(account, account->marked_at);
    return account->marked;
}

enum err closed_drop(struct account *account, uint64_t id, struct why *why)
{
    if (!account->marked)
        return ERR_OK;
    char path[PATHS_FILE_MAX];
    paths_closed(account->folder, account->marked_at, account->closed, path);
    enum err err = io_unlink(account->root.dir, path, why);
    if (err && err != ERR_ABSENT)
        return err;
    bool first =
        account->marked_at == id; /* another one only after failures: is_free() does not look there */
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
