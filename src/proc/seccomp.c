/* seccomp.c: the system calls each profile keeps. What is not listed fails with EPERM, in every thread. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proc/confine.h"

#define CALL(name) SCMP_SYS(name)

/* Compute, use descriptors one has, threads, memory that is never executable. */
static const int pure_calls[] = {
    CALL(read),
    CALL(readv),
    CALL(pread64),
    CALL(preadv),
    CALL(write),
    CALL(writev),
    CALL(pwrite64),
    CALL(pwritev),
    CALL(sendmsg),
    CALL(recvmsg),
    CALL(sendto),
    CALL(recvfrom),
    CALL(close),
    CALL(shutdown),
    CALL(sendfile),
    CALL(getsockopt),
    CALL(setsockopt),
    CALL(fcntl),
    CALL(dup),
    CALL(lseek),
    CALL(fstat),
    CALL(newfstatat),
    CALL(ftruncate),
    CALL(epoll_create1),
    CALL(epoll_ctl),
    CALL(epoll_wait),
    CALL(epoll_pwait),
    CALL(epoll_pwait2),
    CALL(poll),
    CALL(ppoll),
    CALL(eventfd2),
    CALL(pipe2),
    CALL(timerfd_create),
    CALL(timerfd_settime),
    CALL(memfd_create),
    CALL(munmap),
    CALL(mremap),
    CALL(madvise),
    CALL(brk),
    CALL(membarrier),
    CALL(futex),
    CALL(set_robust_list),
    CALL(rseq),
    CALL(sched_yield),
    CALL(sched_getaffinity),
    CALL(set_tid_address),
    CALL(clock_gettime),
    CALL(clock_getres),
    CALL(clock_nanosleep),
    CALL(nanosleep),
    CALL(gettimeofday),
    CALL(time),
    CALL(getpid),
    CALL(gettid),
    CALL(getuid),
    CALL(geteuid),
    CALL(getgid),
    CALL(getegid),
    CALL(getrandom),
    CALL(getrusage),
    CALL(rt_sigaction),
    CALL(rt_sigprocmask),
    CALL(rt_sigreturn),
    CALL(sigaltstack),
    CALL(restart_syscall),
    CALL(exit),
    CALL(exit_group),
    CALL(uname),
    CALL(sysinfo),
};

static const int files_calls[] = {
    CALL(open),       CALL(openat),          CALL(creat),           CALL(unlink),
    CALL(unlinkat),   CALL(rename),          CALL(renameat),        CALL(renameat2),
    CALL(link),       CALL(linkat),          CALL(mkdir),           CALL(mkdirat),
    CALL(rmdir),      CALL(fsync),           CALL(fdatasync),       CALL(fallocate),
    CALL(stat),       CALL(lstat),           CALL(statx),           CALL(statfs),
    CALL(fstatfs),    CALL(access),          CALL(faccessat),       CALL(faccessat2),
    CALL(getdents64), CALL(getcwd),          CALL(readlink),        CALL(readlinkat),
    CALL(flock),      CALL(fchmod),          CALL(fchown),          CALL(chmod),
    CALL(utimensat),  CALL(copy_file_range), CALL(sync_file_range), CALL(truncate),
    CALL(fadvise64),  CALL(mincore),
};

static const int out_calls[] = {
    CALL(connect),  CALL(bind),     CALL(getsockname), CALL(getpeername),
    CALL(sendmmsg), CALL(recvmmsg), CALL(select),      CALL(pselect6),
};

static bool allow(scmp_filter_ctx filter, const int *calls, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0) != 0)
            return false;
    return true;
}

#define ALLOW(filter, list) allow(filter, list, sizeof(list) / sizeof *(list))

/* Calls that are harmless with some arguments only. */
static bool allow_by_argument(scmp_filter_ctx filter)
{
    uint32_t yes = SCMP_ACT_ALLOW;
    bool ok = true;
    /* No memory that is executable. */
    ok &= seccomp_rule_add(filter, yes, CALL(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) == 0;
    ok &= seccomp_rule_add(filter, yes, CALL(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) == 0;
    /* Threads of our own, no new process. clone3 hides its flags: ENOSYS makes the C library use clone. */
    ok &= seccomp_rule_add(filter, yes, CALL(clone), 1,
                           SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)) == 0;
    ok &= seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), CALL(clone3), 0) == 0;
    /* abort() of ourselves, no signal to another. */
    ok &= seccomp_rule_add(filter, yes, CALL(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid())) == 0;
    /* Names of threads, and glibc's names of mappings. */
    ok &= seccomp_rule_add(filter, yes, CALL(prctl), 1, SCMP_A0(SCMP_CMP_EQ, 15)) == 0;
    ok &= seccomp_rule_add(filter, yes, CALL(prctl), 1, SCMP_A0(SCMP_CMP_EQ, 0x53564d41)) == 0;
    /* Asking for limits, not setting them. */
    ok &= seccomp_rule_add(filter, yes, CALL(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0)) == 0;
    return ok;
}

/* FIONREAD and FIONBIO are all that libraries ask of sockets. */
static bool allow_ioctl(scmp_filter_ctx filter)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, 0x541b)) == 0 &&
           seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, 0x5421)) == 0;
}

static bool allow_sockets(scmp_filter_ctx filter)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_INET)) == 0 &&
           seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_INET6)) == 0;
}

enum err seccomp_confine(enum profile profile, bool accepts, struct why *why)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        return err_set(why, ERR_INTERNAL, "seccomp: no memory");
    bool ok = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) == 0 &&
              seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) == 0 && ALLOW(filter, pure_calls) &&
              allow_by_argument(filter) && allow_ioctl(filter);
    if (ok && (profile == PROFILE_EDGE || accepts))
        ok = seccomp_rule_add(filter, SCMP_ACT_ALLOW, CALL(accept4), 0) == 0;
    if (ok && profile == PROFILE_FILES)
        ok = ALLOW(filter, files_calls);
    if (ok && profile == PROFILE_OUT)
        ok = ALLOW(filter, out_calls) && allow_sockets(filter);
    int error = ok ? -seccomp_load(filter) : EINVAL;
    seccomp_release(filter);
    if (error == 0 || error == ENOSYS)
        return ERR_OK;
    return err_errno(why, error, "seccomp: %s", profile_name(profile));
}
