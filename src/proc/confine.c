/* confine.c: a role's own uid and root folder, then Landlock, then seccomp. Called once per process, before
 * it reads its first hostile byte. */
#include "proc/confine.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOBODY      65534
#define EMPTY_ROOT  "run/empty"
#define PATH_LENGTH 4096

/* Sanitizers need /proc, ptrace and files at exit: their builds keep identity and Landlock-free files, and
 * say so. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

unsigned confine_missing(void)
{
    unsigned missing = 0;
    int abi = landlock_abi();
    if (abi < 1)
        missing |= CONFINE_NO_LANDLOCK;
    if (abi < 4)
        missing |= CONFINE_NO_LANDLOCK_NET;
    if (prctl(PR_GET_SECCOMP) < 0)
        missing |= CONFINE_NO_SECCOMP;
    return missing;
}

static enum err become(uid_t id, struct why *why)
{
    if (setgroups(0, NULL) != 0 || setresgid(id, id, id) != 0 || setresuid(id, id, id) != 0)
        return err_errno(why, errno, "cannot become uid %u", (unsigned)id);
    if (setresuid(0, 0, 0) == 0)
        return err_set(why, ERR_INTERNAL, "root could be regained after becoming uid %u", (unsigned)id);
    return ERR_OK;
}

static enum err enter(const char *folder, bool as_root_folder, struct why *why)
{
    if (chdir(folder) != 0)
        return err_errno(why, errno, "cannot enter %s", folder);
    if (as_root_folder && (chroot(".") != 0 || chdir("/") != 0))
        return err_errno(why, errno, "cannot make %s the root folder", folder);
    return ERR_OK;
}

static enum err own_identity(enum role role, const char *folder, uint64_t uid_base, struct why *why)
{
    bool root = geteuid() == 0 && uid_base != 0;
    enum err err = enter(folder, root, why);
    if (err == ERR_OK && root)
        err = become((uid_t)(uid_base + role), why);
    return err;
}

static enum err no_way_back(struct why *why)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return err_errno(why, errno, "no_new_privs");
    if (!SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return err_errno(why, errno, "not dumpable");
    return ERR_OK;
}

enum err confine_role(enum role role, struct slice data, uint64_t uid_base, struct why *why)
{
    const struct proc_role *row = proc_role(role);
    char folder[PATH_LENGTH];
    int len =
        snprintf(folder, sizeof folder, "%.*s/%s", SLICE_ARG(data), row->folder ? row->folder : EMPTY_ROOT);
    if (len < 0 || (size_t)len >= sizeof folder)
        return err_set(why, ERR_BAD, "the path of data: is too long");
    enum err err = own_identity(role, folder, uid_base, why);
    if (err == ERR_OK)
        err = no_way_back(why);
    if (err != ERR_OK || SANITIZED)
        return err;
    err = landlock_confine(row->profile == PROFILE_FILES ? "." : NULL, row->profile == PROFILE_OUT, why);
    if (err == ERR_OK)
        err = seccomp_confine(row->profile, row->services || row->files & 1u << SUP_FILE_CONTROL_SOCKET, why);
    return err;
}

enum err confine_parser(struct why *why)
{
    enum err err = geteuid() == 0 ? become(NOBODY, why) : ERR_OK;
    if (err == ERR_OK)
        err = no_way_back(why);
    if (err != ERR_OK || SANITIZED)
        return err;
    err = landlock_confine(NULL, false, why);
    if (err == ERR_OK)
        err = seccomp_confine(PROFILE_PURE, false, why);
    return err;
}

enum err confine_identity(enum role role, uint64_t uid_base, struct why *why)
{
    return geteuid() == 0 && uid_base != 0 ? become((uid_t)(uid_base + role), why) : ERR_OK;
}
