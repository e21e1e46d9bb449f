/* landlock.c: no file tree but one's own folder, no TCP, no signals or abstract sockets of others.
 * landlock(7). */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proc/confine.h"

/* Debian 12's headers know less than newer kernels; the numbers are the kernel's ABI. */
#define FS_REFER     (1ull << 13) /* ABI 2 */
#define FS_TRUNCATE  (1ull << 14) /* ABI 3 */
#define FS_IOCTL_DEV (1ull << 15) /* ABI 5 */
#define FS_ALL_1     ((1ull << 13) - 1)
#define NET_TCP      3ull /* ABI 4: bind, connect */
#define SCOPE_ALL    3ull /* ABI 6: abstract UNIX sockets, signals */

/* struct landlock_ruleset_attr as of ABI 6. */
struct ruleset {
    uint64_t fs, net, scoped;
};

int landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi < 0 ? 0 : (int)abi;
}

static uint64_t fs_rights(int abi)
{
    return FS_ALL_1 | (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0) |
           (abi >= 5 ? FS_IOCTL_DEV : 0);
}

static bool allow_folder(int rules, const char *folder, int abi)
{
    /* Nothing in there is ever run or is a device. */
    uint64_t never = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                     LANDLOCK_ACCESS_FS_MAKE_BLOCK | FS_IOCTL_DEV;
    int fd = open(folder, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return false;
    struct landlock_path_beneath_attr rule = {.allowed_access = fs_rights(abi) & ~never, .parent_fd = fd};
    long done = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    (void)close(fd);
    return done == 0;
}

enum err landlock_confine(const char *folder, bool network, struct why *why)
{
    int abi = landlock_abi();
    if (abi < 1)
        return ERR_OK; /* told at start and by `check`: confine_missing() */
    struct ruleset attr = {
        .fs = fs_rights(abi), .net = abi >= 4 && !network ? NET_TCP : 0, .scoped = abi >= 6 ? SCOPE_ALL : 0};
    size_t size = abi >= 6 ? sizeof attr : abi >= 4 ? 16 : 8;
    int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    if (rules < 0)
        return err_errno(why, errno, "landlock: ruleset");
    bool done =
        (!folder || allow_folder(rules, folder, abi)) && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    int error = errno;
    (void)close(rules);
    return done ? ERR_OK : err_errno(why, error, "landlock: %s", folder ? folder : "restrict");
}
