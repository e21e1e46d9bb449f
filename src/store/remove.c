/* remove.c: removing an account's folder: the index first, so that what a crash leaves is no account any
 * more. Called by the role (control command) and by the offline command. */
#include "store/remove.h"

#include <dirent.h>
#include <stdio.h>

#include "base/io.h"

struct removal {
    const struct store_root *root;
    const char *folder;
    unsigned depth;
    enum err err;
    struct why *why;
};

#define REMOVE_DEPTH_MAX 3 /* ADDRESS/msg/XX */

static enum err remove_tree(const struct store_root *root, const char *folder, unsigned depth,
                            struct why *why);

static bool remove_one(void *arg, const char *name, int type)
{
    struct removal *r = arg;
    char path[2 * PATHS_FILE_MAX];
    int len = snprintf(path, sizeof path, "%s/%s", r->folder, name);
    if (len < 0 || (size_t)len >= sizeof path) {
        r->err = err_set(r->why, ERR_INTERNAL, "a path is too long");
        return false;
    }
    struct stat st;
    bool folder = type == DT_DIR;
    if (type == DT_UNKNOWN && io_stat_at(r->root->dir, path, &st, NULL) == ERR_OK)
        folder = S_ISDIR(st.st_mode);
    r->err =
        folder ? remove_tree(r->root, path, r->depth + 1, r->why) : io_unlink(r->root->dir, path, r->why);
    if (r->err == ERR_ABSENT)
        r->err = ERR_OK;
    return r->err == ERR_OK;
}

static enum err remove_tree(const struct store_root *root, const char *folder, unsigned depth,
                            struct why *why)
{
    struct removal r = {.root = root, .folder = folder, .depth = depth, .why = why};
    if (depth > REMOVE_DEPTH_MAX)
        return err_set(why, ERR_REFUSED, "%s holds folders that are not ours", folder);
    enum err err = io_list_dir(root->dir, folder, remove_one, &r, why);
    if (!err)
        err = r.err;
    return err ? err : io_rmdir(root->dir, folder, why);
}

enum err remove_scratch(const struct store_root *root, const char *folder, struct why *why)
{
    enum err err = remove_tree(root, folder, REMOVE_DEPTH_MAX, why);
    return err == ERR_ABSENT ? ERR_OK : err;
}

enum err remove_account(const struct store_root *root, struct slice account, struct why *why)
{
    char folder[PATHS_FOLDER_MAX], index[PATHS_FILE_MAX];
    paths_account(account, folder);
    paths_index(folder, index);
    enum err err = io_unlink(root->dir, index, why);
    if (err && err != ERR_ABSENT)
        return err;
    err = remove_tree(root, folder, 1, why);
    if (err == ERR_ABSENT)
        return ERR_OK;
    return err ? err : io_fsync_dir_at(root->dir, "accounts", why);
}

enum err store_remove_account(const char *store, struct slice account, struct why *why)
{
    AUTO_FD int dir = -1;
    enum err err = io_open_dir(AT_FDCWD, store, &dir, why);
    if (err)
        return err == ERR_ABSENT ? ERR_OK : err;
    const struct store_root root = {.dir = dir, .path = store};
    return remove_account(&root, account, why);
}
