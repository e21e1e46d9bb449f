/* io.h: every file call of the program.
 *
 * In a build with IO_FAULTS each call can be recorded and made to fail (see io_fault.h); that is how tests
 * cut the power and fill the disk. Nothing outside base/io*.c calls open, write, fsync, rename and the like
 * on files.
 *
 * Durability, as every caller must have it:
 *   - Bytes of a file are durable after io_fsync() of the file. A new, renamed, linked or removed NAME is
 * durable only after io_fsync_dir() of its folder, also when the file itself was synced; a new folder's name
 * after io_fsync_dir() of its parent.
 *   - A failed io_fsync() or io_fsync_dir() means: what was written since the last good one is NOT on disk,
 * and a second fsync that succeeds proves nothing (the kernel has dropped the error and may have dropped the
 * pages). So: close the file, unlink it, report failure to whoever waits, write all of it anew into a new
 * file when asked again. Never repeat only the fsync.
 *
 * Errors: ENOENT gives ERR_ABSENT; ENOSPC, EDQUOT, EMFILE, EAGAIN give ERR_LATER; EEXIST and EACCES, EPERM,
 * EROFS give ERR_REFUSED; others ERR_INTERNAL. `why` (may be NULL) gets the name and the system's text. Calls
 * interrupted by a signal are repeated. Every descriptor is close-on-exec. Paths are our own C strings,
 * relative to a folder's descriptor (or AT_FDCWD). Results are untouched on failure.
 */
#ifndef BASE_IO_H
#define BASE_IO_H

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/arena.h"
#include "base/err.h"

/* open(2) flags (O_CLOEXEC is added); `mode` for O_CREAT. */
enum err io_open_at(int dir, const char *path, int flags, mode_t mode, int *fd, struct why *why) MUST_CHECK;
/* A folder, for use as `dir`. */
enum err io_open_dir(int dir, const char *path, int *fd, struct why *why) MUST_CHECK;
/* Closes and sets -1; takes -1. Says nothing about durability. */
void io_close(int *fd);
/* Closes on leaving the scope: AUTO_FD int fd = -1; */
#define AUTO_FD __attribute__((cleanup(io_close)))

/* Reads until `len` bytes or the end of the file; `*got` < len only at the end. */
enum err io_read(int fd, void *bytes, size_t len, size_t *got, struct why *why) MUST_CHECK;
enum err io_pread(int fd, void *bytes, size_t len, uint64_t offset, size_t *got, struct why *why) MUST_CHECK;
/* The whole file, read from its start, or ERR_REFUSED when it holds more than `max` bytes. */
enum err io_read_all_in(struct arena *arena, int fd, size_t max, struct slice *bytes,
                        struct why *why) MUST_CHECK;
enum err io_read_file_in(struct arena *arena, int dir, const char *path, size_t max, struct slice *bytes,
                         struct why *why) MUST_CHECK;

/* All bytes or an error (then any part may have been written). io_writev() may change `parts`. */
enum err io_write_all(int fd, struct slice bytes, struct why *why) MUST_CHECK;
enum err io_pwrite_all(int fd, struct slice bytes, uint64_t offset, struct why *why) MUST_CHECK;
enum err io_writev(int fd, struct iovec *parts, int count, struct why *why) MUST_CHECK;
/* The file at `path` (relative to the working folder) with these bytes in place of what it held: written
 * beside it as PATH.new, synced, renamed. After a crash it holds the old or the new; which one is sure only
 * after io_fsync_dir(). */
enum err io_replace_file(const char *path, struct slice bytes, struct why *why) MUST_CHECK;
/* One write(2) of a log line or a pipe's bytes: best effort, never recorded, never repeated. */
void io_write_line(int fd, struct slice line);

/* fdatasync(2): the bytes and the size. See above for what a failure means. */
enum err io_fsync(int fd, struct why *why) MUST_CHECK;
/* fsync(2) of a folder: the names in it. */
enum err io_fsync_dir(int dir, struct why *why) MUST_CHECK;
/* The same for a folder given by path. */
enum err io_fsync_dir_at(int dir, const char *path, struct why *why) MUST_CHECK;

#ifdef IO_FAULTS
/* Tests only: which call of fsync in the source this is, for the record and for leaving out a single one. */
extern _Thread_local const char *io_site;
#define IO_SITE_TEXT(line)           #line
#define IO_SITE(line)                __FILE__ ":" IO_SITE_TEXT(line)
#define io_fsync(fd, why)            (io_site = IO_SITE(__LINE__), io_fsync(fd, why))
#define io_fsync_dir(dir, why)       (io_site = IO_SITE(__LINE__), io_fsync_dir(dir, why))
#define io_fsync_dir_at(dir, p, why) (io_site = IO_SITE(__LINE__), io_fsync_dir_at(dir, p, why))
#endif

/* Descriptors that a test build holds besides; whoever closes all descriptors of a new process keeps these.
 * Returns how many were stored (at most 2; none in a normal build). */
unsigned io_kept_fds(int fds[2]);

enum err io_rename(int from_dir, const char *from, int to_dir, const char *to, struct why *why) MUST_CHECK;
/* A second name for a file; an existing `to` is ERR_REFUSED. */
enum err io_link(int from_dir, const char *from, int to_dir, const char *to, struct why *why) MUST_CHECK;
enum err io_unlink(int dir, const char *path, struct why *why) MUST_CHECK;
enum err io_mkdir(int dir, const char *path, mode_t mode, struct why *why) MUST_CHECK;
enum err io_rmdir(int dir, const char *path, struct why *why) MUST_CHECK;
enum err io_truncate(int fd, uint64_t len, struct why *why) MUST_CHECK;
/* Reserves space behind the end without changing the size; no space is ERR_LATER, no support is ERR_OK. */
enum err io_fallocate(int fd, uint64_t len, struct why *why) MUST_CHECK;
/* The kernel may begin to read these bytes: a hint, which waits for nothing. */
void io_read_ahead(int fd, uint64_t offset, uint64_t len);
enum err io_chmod(int fd, mode_t mode, struct why *why) MUST_CHECK;

enum err io_fstat(int fd, struct stat *st, struct why *why) MUST_CHECK;
/* Does not follow a last symlink. */
enum err io_stat_at(int dir, const char *path, struct stat *st, struct why *why) MUST_CHECK;
struct io_space {
    uint64_t total, free;               /* bytes; free to us, without what is kept for root */
    uint64_t inodes_total, inodes_free; /* both 0 where the file system does not count them */
};
/* `fd`: any file or folder of the file system. */
enum err io_statvfs(int fd, struct io_space *space, struct why *why) MUST_CHECK;

/* Calls `each` for every name but "." and ".." (type: DT_REG, DT_DIR … or DT_UNKNOWN); stops when it returns
 * false. Names that vanish meanwhile may or may not be told. */
enum err io_list_dir(int dir, const char *path, bool (*each)(void *arg, const char *name, int type),
                     void *arg, struct why *why) MUST_CHECK;
/* Exclusive flock without waiting: ERR_LATER when another process has it. Held until `fd` is closed
 * everywhere. */
enum err io_lock(int fd, struct why *why) MUST_CHECK;

/* Memory behind a descriptor; `name` shows in /proc. io_seal() makes its bytes and size final. */
enum err io_memfd(const char *name, int *fd, struct why *why) MUST_CHECK;
enum err io_seal(int fd, struct why *why) MUST_CHECK;
/* True when nobody can write, grow or shrink it any more. */
bool io_is_sealed(int fd);

#endif
