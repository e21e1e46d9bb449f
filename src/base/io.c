/* io.c: every file call of the program. Paths are our own. Called by everyone who touches a file. */
#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/io_fault.h"

#ifdef IO_FAULTS
#undef io_fsync
#undef io_fsync_dir
#undef io_fsync_dir_at
_Thread_local const char *io_site = "";
#endif

#define READ_CHUNK 65536 /* first guess where a file's size says nothing (pipes, /proc) */

/* Tests only: what a rule wants of this call, and the time for the record. Nothing in a normal build. */
#ifdef IO_FAULTS
#define FAULT(call, fd, path) io_fault_check(call, fd, path)
#define BEGIN()               uint64_t begin = io_fault_now()
#define RECORD(expression)    (expression)
#else
#define FAULT(call, fd, path) 0
#define BEGIN()               ((void)0)
#define RECORD(expression)    ((void)0)
#endif

static enum err failed(struct why *why, int errnum, const char *what, const char *path)
{
    enum err code = err_errno(why, errnum, "%s %s", what, path);
    if (errnum == EEXIST || errnum == EACCES || errnum == EPERM || errnum == EROFS)
        return ERR_REFUSED;
    return code;
}

static enum err failed_fd(struct why *why, int errnum, const char *what)
{
    return failed(why, errnum, what, "file");
}

enum err io_open_at(int dir, const char *path, int flags, mode_t mode, int *fd, struct why *why)
{
    int fault = FAULT(IO_CALL_OPEN, dir, path);
    if (fault > 0)
        return failed(why, fault, "open", path);
    BEGIN();
#ifdef IO_FAULTS
    struct stat before;
    bool fresh = (flags & O_CREAT) && fstatat(dir, path, &before, AT_SYMLINK_NOFOLLOW) != 0;
#endif
    int got;
    do
        got = openat(dir, path, flags | O_CLOEXEC, mode);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return failed(why, errno, "open", path);
#ifdef IO_FAULTS
    if (fresh)
        io_record_name(begin, 'C', dir, path);
    else if (flags & O_TRUNC)
        io_record_truncate(begin, io_id_of_fd(got), 0);
    io_fault_opened(got, path);
#endif
    *fd = got;
    return ERR_OK;
}

enum err io_open_dir(int dir, const char *path, int *fd, struct why *why)
{
    return io_open_at(dir, path, O_RDONLY | O_DIRECTORY, 0, fd, why);
}

void io_close(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* after fsync nothing can be lost here; without it nothing was promised */
    *fd = -1;
}

/* ---- reading ---- */

enum err io_read(int fd, void *bytes, size_t len, size_t *got, struct why *why)
{
    int fault = FAULT(IO_CALL_READ, fd, NULL);
    if (fault > 0)
        return failed_fd(why, fault, "read");
    size_t total = 0;
    while (total < len) {
        ssize_t n = read(fd, (char *)bytes + total, len - total);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed_fd(why, errno, "read");
        if (n == 0)
            break;
        total += (size_t)n;
    }
    *got = total;
    return ERR_OK;
}

enum err io_pread(int fd, void *bytes, size_t len, uint64_t offset, size_t *got, struct why *why)
{
    int fault = FAULT(IO_CALL_READ, fd, NULL);
    if (fault > 0)
        return failed_fd(why, fault, "read");
    if (offset > INT64_MAX - len)
        return failed_fd(why, EOVERFLOW, "read");
    size_t total = 0;
    while (total < len) {
        ssize_t n = pread(fd, (char *)bytes + total, len - total, (off_t)(offset + total));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed_fd(why, errno, "read");
        if (n == 0)
            break;
        total += (size_t)n;
    }
    *got = total;
    return ERR_OK;
}

/* What cannot be read at an offset (a pipe) is read as it comes, through a buffer: its size is not known
 * before. */
static enum err read_stream_in(struct arena *arena, int fd, size_t max, struct slice *bytes, struct why *why)
{
    uint8_t *room = arena_try(arena, READ_CHUNK);
    size_t cap = READ_CHUNK, len = 0, got = 0;
    while (room) {
        enum err err = io_read(fd, room + len, cap - len, &got, why);
        if (err)
            return err;
        len += got;
        if (len > max)
            break;
        if (len < cap) {
            *bytes = slice_make(room, len);
            return ERR_OK;
        }
        uint8_t *larger = arena_try(arena, cap * 2);
        if (larger)
            memcpy(larger, room, len);
        room = larger;
        cap *= 2;
    }
    return err_set(why, ERR_REFUSED, "file is larger than %zu bytes", max);
}

enum err io_read_all_in(struct arena *arena, int fd, size_t max, struct slice *bytes, struct why *why)
{
    struct stat st;
    enum err err = io_fstat(fd, &st, why);
    if (err)
        return err;
    if (!S_ISREG(st.st_mode) || st.st_size == 0)
        return read_stream_in(arena, fd, max, bytes, why);
    size_t size = (size_t)st.st_size, got = 0;
    uint8_t *room = size <= max ? arena_try(arena, size) : NULL;
    if (!room)
        return err_set(why, ERR_REFUSED, "file is larger than %zu bytes", max);
    err = io_pread(fd, room, size, 0, &got, why);
    if (err == ERR_OK)
        *bytes = slice_make(room, got);
    return err;
}

enum err io_read_file_in(struct arena *arena, int dir, const char *path, size_t max, struct slice *bytes,
                         struct why *why)
{
    AUTO_FD int fd = -1;
    enum err err = io_open_at(dir, path, O_RDONLY, 0, &fd, why);
    if (err == ERR_OK)
        err = io_read_all_in(arena, fd, max, bytes, why);
    return err;
}

/* ---- writing ---- */

/* Where an append will go: only the recorder asks. */
#ifdef IO_FAULTS
static uint64_t write_position(int fd)
{
    struct stat st;
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_APPEND) && fstat(fd, &st) == 0)
        return (uint64_t)st.st_size;
    off_t at = lseek(fd, 0, SEEK_CUR);
    return at < 0 ? 0 : (uint64_t)at;
}
#endif

/* write or pwrite until all is written; `offset` -1 is the descriptor's own position. */
static int write_fully(int fd, struct slice bytes, int64_t offset)
{
    while (bytes.len > 0) {
        ssize_t n =
            offset < 0 ? write(fd, bytes.ptr, bytes.len) : pwrite(fd, bytes.ptr, bytes.len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? ENOSPC : errno;
        bytes = slice_from(bytes, (size_t)n);
        if (offset >= 0)
            offset += n;
    }
    return 0;
}

static enum err write_at(int fd, struct slice bytes, int64_t offset, struct why *why)
{
    int fault = FAULT(IO_CALL_WRITE, fd, NULL);
    if (fault > 0)
        return failed_fd(why, fault, "write");
    if (fault == IO_FAULT_SHORT)
        bytes = slice_sub(bytes, 0, bytes.len / 2);
#ifdef IO_FAULTS
    BEGIN();
    uint64_t position = offset < 0 ? write_position(fd) : (uint64_t)offset;
#endif
    int errnum = write_fully(fd, bytes, offset);
    RECORD(io_record_write(begin, io_id_of_fd(fd), position, bytes));
    if (errnum == 0 && fault == IO_FAULT_SHORT)
        errnum = ENOSPC;
    return errnum ? failed_fd(why, errnum, "write") : ERR_OK;
}

enum err io_write_all(int fd, struct slice bytes, struct why *why)
{
    return write_at(fd, bytes, -1, why);
}

enum err io_pwrite_all(int fd, struct slice bytes, uint64_t offset, struct why *why)
{
    if (offset > INT64_MAX - bytes.len)
        return failed_fd(why, EFBIG, "write");
    return write_at(fd, bytes, (int64_t)offset, why);
}

/* Drops `done` bytes from the front of the parts. */
static void parts_advance(struct iovec **parts, int *count, size_t done)
{
    while (*count > 0 && done >= (*parts)->iov_len) {
        done -= (*parts)->iov_len;
        (*parts)++;
        (*count)--;
    }
    if (*count > 0) {
        (*parts)->iov_base = (char *)(*parts)->iov_base + done;
        (*parts)->iov_len -= done;
    }
}

enum err io_writev(int fd, struct iovec *parts, int count, struct why *why)
{
#ifdef IO_FAULTS
    for (; count > 0; parts++, count--) { /* part by part, so that each can fail and is recorded */
        enum err err = io_write_all(fd, slice_make(parts->iov_base, parts->iov_len), why);
        if (err)
            return err;
    }
#endif
    parts_advance(&parts, &count, 0);
    while (count > 0) {
        ssize_t n = writev(fd, parts, count < IOV_MAX ? count : IOV_MAX);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return failed_fd(why, n == 0 ? ENOSPC : errno, "write");
        parts_advance(&parts, &count, (size_t)n);
    }
    return ERR_OK;
}

void io_write_line(int fd, struct slice line)
{
    ssize_t n;
    do
        n = write(fd, line.ptr, line.len);
    while (n < 0 && errno == EINTR);
}

/* ---- durability ---- */

enum err io_fsync(int fd, struct why *why)
{
    int fault = FAULT(IO_CALL_FSYNC, fd, NULL);
    if (fault > 0)
        return failed_fd(why, fault, "fsync");
    if (fault == IO_FAULT_SKIP)
        return ERR_OK;
    BEGIN();
    int result;
    do
        result = fdatasync(fd);
    while (result != 0 && errno == EINTR);
    if (result != 0)
        return failed_fd(why, errno, "fsync");
    RECORD(io_record_fsync(begin, io_id_of_fd(fd), io_site));
    return ERR_OK;
}

enum err io_fsync_dir(int dir, struct why *why)
{
    int fault = FAULT(IO_CALL_FSYNCDIR, dir, NULL);
    if (fault > 0)
        return failed(why, fault, "fsync", "folder");
    if (fault == IO_FAULT_SKIP)
        return ERR_OK;
    BEGIN();
    int result;
    do
        result = fsync(dir);
    while (result != 0 && errno == EINTR);
    if (result != 0)
        return failed(why, errno, "fsync", "folder");
    RECORD(io_record_fsync_dir(begin, io_id_of_fd(dir), io_site));
    return ERR_OK;
}

enum err io_fsync_dir_at(int dir, const char *path, struct why *why)
{
    AUTO_FD int fd = -1;
    enum err err = io_open_dir(dir, path, &fd, why);
    return err ? err : io_fsync_dir(fd, why);
}

/* ---- names ---- */

enum err io_rename(int from_dir, const char *from, int to_dir, const char *to, struct why *why)
{
    int fault = FAULT(IO_CALL_RENAME, to_dir, to);
    if (fault > 0)
        return failed(why, fault, "rename", to);
    BEGIN();
    if (renameat(from_dir, from, to_dir, to) != 0)
        return failed(why, errno, "rename", from);
    RECORD(io_record_rename(begin, from_dir, from, to_dir, to));
    return ERR_OK;
}

enum err io_link(int from_dir, const char *from, int to_dir, const char *to, struct why *why)
{
    int fault = FAULT(IO_CALL_LINK, to_dir, to);
    if (fault > 0)
        return failed(why, fault, "link", to);
    BEGIN();
    if (linkat(from_dir, from, to_dir, to, 0) != 0)
        return failed(why, errno, "link", to);
    RECORD(io_record_name(begin, 'L', to_dir, to));
    return ERR_OK;
}

static enum err remove_name(int dir, const char *path, int flags, struct why *why)
{
    int fault = FAULT(IO_CALL_UNLINK, dir, path);
    if (fault > 0)
        return failed(why, fault, "unlink", path);
    BEGIN();
    if (unlinkat(dir, path, flags) != 0)
        return failed(why, errno, "unlink", path);
    RECORD(io_record_unlink(begin, dir, path));
    return ERR_OK;
}

enum err io_unlink(int dir, const char *path, struct why *why)
{
    return remove_name(dir, path, 0, why);
}

enum err io_rmdir(int dir, const char *path, struct why *why)
{
    return remove_name(dir, path, AT_REMOVEDIR, why);
}

enum err io_mkdir(int dir, const char *path, mode_t mode, struct why *why)
{
    int fault = FAULT(IO_CALL_MKDIR, dir, path);
    if (fault > 0)
        return failed(why, fault, "mkdir", path);
    BEGIN();
    if (mkdirat(dir, path, mode) != 0)
        return failed(why, errno, "mkdir", path);
    RECORD(io_record_name(begin, 'M', dir, path));
    return ERR_OK;
}

enum err io_truncate(int fd, uint64_t len, struct why *why)
{
    int fault = FAULT(IO_CALL_TRUNCATE, fd, NULL);
    if (fault > 0)
        return failed_fd(why, fault, "truncate");
    if (len > INT64_MAX)
        return failed_fd(why, EFBIG, "truncate");
    BEGIN();
    int result;
    do
        result = ftruncate(fd, (off_t)len);
    while (result != 0 && errno == EINTR);
    if (result != 0)
        return failed_fd(why, errno, "truncate");
    RECORD(io_record_truncate(begin, io_id_of_fd(fd), len));
    return ERR_OK;
}

void io_read_ahead(int fd, uint64_t offset, uint64_t len)
{
    (void)posix_fadvise(fd, (off_t)offset, (off_t)len, POSIX_FADV_WILLNEED);
}

enum err io_fallocate(int fd, uint64_t len, struct why *why)
{
    int fault = FAULT(IO_CALL_FALLOCATE, fd, NULL);
    if (fault > 0)
        return failed_fd(why, fault, "fallocate");
    if (len == 0)
        return ERR_OK;
    if (len > INT64_MAX)
        return failed_fd(why, EFBIG, "fallocate");
    int result;
    do
        result = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)len);
    while (result != 0 && errno == EINTR);
    if (result != 0 && errno != EOPNOTSUPP && errno != ENOSYS)
        return failed_fd(why, errno, "fallocate");
    return ERR_OK;
}

enum err io_chmod(int fd, mode_t mode, struct why *why)
{
    return fchmod(fd, mode) == 0 ? ERR_OK : failed_fd(why, errno, "chmod");
}

/* ---- asking ---- */

static struct stat seen(struct stat st)
{
#ifdef IO_FAULTS
    if (io_fault_moves()) {
        st.st_ino = 0;
        st.st_ctim = (struct timespec){0};
    }
#endif
    return st;
}

enum err io_fstat(int fd, struct stat *st, struct why *why)
{
    struct stat got;
    if (fstat(fd, &got) != 0)
        return failed_fd(why, errno, "stat");
    *st = seen(got);
    return ERR_OK;
}

enum err io_stat_at(int dir, const char *path, struct stat *st, struct why *why)
{
    struct stat got;
    if (fstatat(dir, path, &got, AT_SYMLINK_NOFOLLOW) != 0)
        return failed(why, errno, "stat", path);
    *st = seen(got);
    return ERR_OK;
}

enum err io_statvfs(int fd, struct io_space *space, struct why *why)
{
    struct statvfs v;
    int result;
    do
        result = fstatvfs(fd, &v);
    while (result != 0 && errno == EINTR);
    if (result != 0)
        return failed_fd(why, errno, "statvfs");
    uint64_t unit = v.f_frsize ? v.f_frsize : v.f_bsize;
    *space = (struct io_space){.total = (uint64_t)v.f_blocks * unit,
                               .free = (uint64_t)v.f_bavail * unit,
                               .inodes_total = v.f_files,
                               .inodes_free = v.f_favail};
    return ERR_OK;
}

static void close_dir(DIR **dir)
{
    if (*dir)
        (void)closedir(*dir);
}

enum err io_list_dir(int dir, const char *path, bool (*each)(void *arg, const char *name, int type),
                     void *arg, struct why *why)
{
    int fd = -1;
    enum err err = io_open_dir(dir, path, &fd, why);
    if (err)
        return err;
    __attribute__((cleanup(close_dir))) DIR *stream = fdopendir(fd);
    if (!stream) {
        int errnum = errno;
        io_close(&fd);
        return failed(why, errnum, "list", path);
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (!entry)
            return errno ? failed(why, errno, "list", path) : ERR_OK;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !each(arg, entry->d_name, entry->d_type))
            return ERR_OK;
    }
}

enum err io_lock(int fd, struct why *why)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return ERR_OK;
    return failed_fd(why, errno, "lock"); /* EWOULDBLOCK is EAGAIN: ERR_LATER */
}

/* ---- memory behind a descriptor ---- */

#define ALL_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

enum err io_memfd(const char *name, int *fd, struct why *why)
{
    int got = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (got < 0)
        return failed(why, errno, "memfd", name);
    *fd = got;
    return ERR_OK;
}

enum err io_seal(int fd, struct why *why)
{
    return fcntl(fd, F_ADD_SEALS, ALL_SEALS) == 0 ? ERR_OK : failed_fd(why, errno, "seal");
}

bool io_is_sealed(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    int wanted = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    return seals >= 0 && (seals & wanted) == wanted;
}

#ifndef IO_FAULTS
unsigned io_kept_fds(int fds[2])
{
    (void)fds;
    return 0;
}
#endif
