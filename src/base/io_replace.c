/* io_replace.c: a small file of ours is replaced as a whole. Its bytes may be anybody's. */
#include <stdio.h>

#include "base/io.h"

enum err io_replace_file(const char *path, struct slice bytes, struct why *why)
{
    char fresh[256];
    AUTO_FD int fd = -1;
    if ((size_t)snprintf(fresh, sizeof fresh, "%s.new", path) >= sizeof fresh)
        return err_set(why, ERR_BAD, "%s: the path is too long", path);
    enum err err = io_open_at(AT_FDCWD, fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, why);
    if (!err)
        err = io_write_all(fd, bytes, why);
    if (!err)
        err = io_fsync(fd, why); /* or the name could lead to an empty file */
    return err ? err : io_rename(AT_FDCWD, fresh, AT_FDCWD, path, why);
}
