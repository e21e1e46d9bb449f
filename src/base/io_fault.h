/* io_fault.h: the part of base/io that exists only in builds with IO_FAULTS (meson -Dio_faults=true): it
 * records file calls for the power-cut harness and makes them fail on request. Called by io.c and io_vfs.c
 * only.
 *
 * ROCKDOVE_IO_RECORD=/folder/name   every process appends its calls to /folder/name.PID, opened before main()
 * and hence before confinement. tests/system/powercut.py reads the format (io_fault.c).
 * ROCKDOVE_IO_FAULT=rule;rule;…     rule = call ":" what [":" option ["," option] …]
 *     call    open read write fsync fsyncdir rename link unlink mkdir truncate fallocate, or * for all
 *     what    eio enospc edquot emfile erofs, or short (write only: half of the bytes are written, then
 * ENOSPC), or skip (fsync and fsyncdir only: does nothing, records nothing, reports success: shows that a
 * test notices) option  after=N   the first N matching calls pass        count=N  fails N times, then passes
 * (default: for ever) every=N   only every Nth call                    path=S   only when the path (as given
 * to open) contains S site=S    fsync and fsyncdir only: the place in the source, such as store/blob.c:120,
 * contains S example ROCKDOVE_IO_FAULT='fsync:eio:after=10,count=1;write:enospc:path=msg/'
 * ROCKDOVE_IO_FAULT_FILE=/path      the same rules in a file that exists at the start and is rewritten in
 * place: read again (through the descriptor opened at the start) whenever it changes, so that a running
 *                                   server's disk can fill up and recover.
 * ROCKDOVE_IO_MOVED=1               inodes and ctimes read as 0: a folder put together from a record has
 * others than the recorded one, so what believes a file by them would believe none there and go untested.
 */
#ifndef BASE_IO_FAULT_H
#define BASE_IO_FAULT_H

#include <sys/types.h>

#include "base/slice.h"

enum io_call {
    IO_CALL_OPEN,
    IO_CALL_READ,
    IO_CALL_WRITE,
    IO_CALL_FSYNC,
    IO_CALL_FSYNCDIR,
    IO_CALL_RENAME,
    IO_CALL_LINK,
    IO_CALL_UNLINK,
    IO_CALL_MKDIR,
    IO_CALL_TRUNCATE,
    IO_CALL_FALLOCATE,
    IO_CALL_COUNT
};

/* What a rule wants of this call: 0 pass, a positive errno, or one of: */
#define IO_FAULT_SHORT (-1)
#define IO_FAULT_SKIP  (-2)
/* `path` NULL: the one `fd` was opened with. */
int io_fault_check(enum io_call call, int fd, const char *path);
/* ROCKDOVE_IO_MOVED */
bool io_fault_moves(void);
/* Remembers the path of a descriptor, for path= rules. */
void io_fault_opened(int fd, const char *path);

/* A file as the record names it. */
struct io_id {
    uint64_t dev, ino;
};
struct io_id io_id_of_fd(int fd);
struct io_id io_id_of_path(int dir, const char *path);

/* The recorder. `begin` is io_fault_now() before the call; each function is called after it succeeded. */
uint64_t io_fault_now(void);
void io_record_write(uint64_t begin, struct io_id file, uint64_t offset, struct slice bytes);
void io_record_truncate(uint64_t begin, struct io_id file, uint64_t len);
void io_record_fsync(uint64_t begin, struct io_id file, const char *site);
void io_record_fsync_dir(uint64_t begin, struct io_id dir, const char *site);
void io_record_name(uint64_t begin, char kind, int dir, const char *path); /* 'C' create 'L' link 'M' mkdir */
void io_record_unlink(uint64_t begin, int dir, const char *path);          /* also rmdir */
void io_record_rename(uint64_t begin, int from_dir, const char *from, int to_dir, const char *to);

#endif
