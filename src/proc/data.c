/* data.c: prepares the data folder for the roles. Runs in the supervisor before any role. */
#include "proc/data.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "proc/roles.h"

#define PATH_LENGTH 4096

static enum err path_of(struct slice data, const char *name, char path[PATH_LENGTH], struct why *why)
{
    int len = snprintf(path, PATH_LENGTH, "%.*s%s%s", SLICE_ARG(data), *name ? "/" : "", name);
    return len < 0 || len >= PATH_LENGTH ? err_set(why, ERR_BAD, "the path of data: is too long") : ERR_OK;
}

/* A new name lasts only when the folder it stands in is on disk. */
static enum err make_durable(const char *path, mode_t mode, struct why *why)
{
    enum err err = io_mkdir(AT_FDCWD, path, mode, why);
    bool exists = err == ERR_REFUSED; /* or the look at it says why not */
    if (err != ERR_OK && !exists)
        return err;
    char parent[PATH_LENGTH];
    (void)snprintf(parent, sizeof parent, "%s", path);
    err = io_fsync_dir_at(AT_FDCWD, dirname(parent), why);
    /* What exists was synced when it was made, unless that process died between; a parent we may not read is
     * its maker's concern. */
    return exists ? ERR_OK : err;
}

/* A folder for `owner` alone. What exists with other rights is told, not changed, unless we are root. */
static enum err make_folder(struct slice data, const char *name, uid_t owner, mode_t mode, struct why *why)
{
    char path[PATH_LENGTH];
    struct stat st;
    enum err err = path_of(data, name, path, why);
    if (err != ERR_OK)
        return err;
    err = make_durable(path, mode, why);
    if (err != ERR_OK)
        return err;
    if (lstat(path, &st) != 0)
        return err_errno(why, errno, "%s", path);
    if (!S_ISDIR(st.st_mode))
        return err_set(why, ERR_BAD, "%s is not a folder", path);
    if (geteuid() == 0 && st.st_uid != owner && lchown(path, owner, owner) != 0)
        return err_errno(why, errno, "%s cannot be given to uid %u", path, (unsigned)owner);
    if (geteuid() != 0 && st.st_uid != geteuid())
        log_warn("data.owner", LOG_CSTR("path", path), LOG_U64("owner", st.st_uid),
                 LOG_U64("expected", geteuid()));
    if ((st.st_mode & 0777) != mode && chmod(path, mode) != 0)
        log_warn("data.mode", LOG_CSTR("path", path), LOG_U64("mode", st.st_mode & 0777),
                 LOG_U64("expected", mode));
    return ERR_OK;
}

static uid_t owner_of(enum role role, uint64_t uid_base)
{
    return geteuid() == 0 && uid_base ? (uid_t)(uid_base + role) : geteuid();
}

enum err data_lock(struct slice data, int *lock_fd, struct why *why)
{
    char path[PATH_LENGTH];
    enum err err = path_of(data, "run/lock", path, why);
    if (err != ERR_OK)
        return err;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_errno(why, errno, "%s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        err =
            errno == EWOULDBLOCK
                ? err_set(why, ERR_LATER, "%.*s is in use by a running server (or command)", SLICE_ARG(data))
                : err_errno(why, errno, "%s", path);
        (void)close(fd);
        return err;
    }
    *lock_fd = fd;
    return ERR_OK;
}

enum err data_prepare(struct slice data, uint64_t uid_base, int *lock_fd, struct why *why)
{
    /* Others may walk through the folder (their own files are further down), not look into it. */
    enum err err = make_folder(data, "", geteuid(), 0711, why);
    if (err == ERR_OK)
        err = make_folder(data, "run", geteuid(), 0711, why);
    if (err == ERR_OK)
        err = make_folder(data, "run/empty", geteuid(), 0555, why);
    if (err == ERR_OK)
        err = data_lock(data, lock_fd, why);
    for (int r = 0; r < ROLE_COUNT && err == ERR_OK; r++) {
        const struct proc_role *row = proc_role((enum role)r);
        if (row && row->folder)
            err = make_folder(data, row->folder, owner_of((enum role)r, uid_base), 0700, why);
    }
    return err;
}

enum err data_control_socket(struct slice data, int *result, struct why *why)
{
    char path[PATH_LENGTH];
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    enum err err = path_of(data, "run/control.sock", path, why);
    if (err != ERR_OK)
        return err;
    if (strlen(path) >= sizeof at.sun_path)
        return err_set(why, ERR_BAD, "data: is too long a path for a socket in it (at most %zu bytes)",
                       sizeof at.sun_path - 18);
    memcpy(at.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_errno(why, errno, "control socket");
    (void)unlink(path);
    mode_t old = umask(0177);
    int bound = bind(fd, (struct sockaddr *)&at, sizeof at);
    int error = errno;
    (void)umask(old);
    if (bound != 0 || listen(fd, 16) != 0) {
        (void)close(fd);
        return err_errno(why, bound != 0 ? error : errno, "%s", path);
    }
    *result = fd;
    return ERR_OK;
}
