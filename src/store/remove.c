/* remove.c: removes a folder that the store made: accounts/NAME/{index.db…, msg/XX/ID.eml}. */
#include "store/remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "store/paths.h"

#define DEPTH_MAX 4 /* what the store makes is no deeper */

static enum err remove_below(int dir, const char *name, unsigned depth, struct why *why);

static enum err remove_entry(int dir, const char *name, unsigned depth, struct why *why)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return err_errno(why, errno, "%s", name);
    if (S_ISDIR(st.st_mode))
        return remove_below(dir, name, depth + 1, why);
    return unlinkat(dir, name, 0) == 0 ? ERR_OK : err_errno(why, errno, "%s", name);
}

static enum err remove_all_of(DIR *folder, unsigned depth, struct why *why)
{
    enum err err = ERR_OK;
    for (struct dirent *e; err == ERR_OK && (e = readdir(folder)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            err = remove_entry(dirfd(folder), e->d_name, depth, why);
    return err;
}

static enum err remove_below(int dir, const char *name, unsigned depth, struct why *why)
{
    if (depth > DEPTH_MAX)
        return err_set(why, ERR_BAD, "%s: deeper than the store's folders are", name);
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        enum err err = err_errno(why, errno, "%s", name);
        if (fd >= 0)
            (void)close(fd);
        return err;
    }
    enum err err = remove_all_of(folder, depth, why);
    (void)closedir(folder);
    if (err == ERR_OK && unlinkat(dir, name, AT_REMOVEDIR) != 0)
        err = err_errno(why, errno, "%s", name);
    return err;
}

enum err store_remove_account(const char *store, struct slice address, struct why *why)
{
    char folder[PATHS_FOLDER_MAX];
    struct stat st;
    paths_account(address, folder);
    int dir = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return err_errno(why, errno, "%s", store);
    enum err err = ERR_OK;
    if (fstatat(dir, folder, &st, AT_SYMLINK_NOFOLLOW) == 0)
        err = remove_below(dir, folder, 0, why);
    (void)close(dir);
    return err;
}
