/* io_fault.h: the part of base/io that exists only in builds with IO_FAULTS (meson -Dio_faults=true): it
 * records file calls for the power-cut harness and makes them fail on request. Called by io.c and io_vfs.c
 * only.
 *
 * ROCKDOVE_IO_RECORD=/folder/name   every process appends its calls to /folder/name.PID, opened before main()
 *                                   and hence before confinement. tests/system/powercut.py reads the format.
 * ROCKDOVE_IO_FAULT=rule;rule;…     rule = call ":" what [":" option ["," option] …]
 *     call    open read write fsync fsyncdir rename link unlink mkdir truncate fallocate, or * for all
 *     what    eio enospc edquot emfile erofs, or short (write only: half of the bytes are written, then
 * ENOSPC), or skip (fsync and fsyncdir only: reports success and does and records nothing: proves that a test
 * notices) option  after=N   the first N matching calls pass        count=N  fails N times, then passes
 * (default: for ever) every=N   only every Nth call                    path=S   only when the path (or name)
 * contains S pid=…     is not offered: give a role its own environment instead example
 * ROCKDOVE_IO_FAULT='fsync:eio:after=10,count=1;write:enospc:path=msg/' ROCKDOVE_IO_FAULT_FILE=/path      the
 * same rules, read again whenever the file changes (checked at each call), so that a running server's disk
 * can fill up and recover. Must be readable after confinement.
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
int io_fault_check(enum io_call call, int fd, const char *path);

/* The recorder. `begin` is io_fault_now() before the call; each function is called after it succeeded. */
uint64_t io_fault_now(void);
void io_record_write(uint64_t begin, int fd, uint64_t offset, struct slice bytes);
void io_record_truncate(uint64_t begin, int fd, uint64_t len);
void io_record_fsync(uint64_t begin, int fd);
void io_record_fsync_dir(uint64_t begin, int dir, const char *path);
void io_record_name(uint64_t begin, char kind, int dir, const char *path); /* 'C' create 'L' link 'M' mkdir */
void io_record_unlink(uint64_t begin, int dir, const char *path);          /* also rmdir */
void io_record_rename(uint64_t begin, int from_dir, const char *from, int to_dir, const char *to);
/* The descriptor of the record, or -1: whoever closes all descriptors of a new process must keep it. */
int io_record_fd(void);

#endif
