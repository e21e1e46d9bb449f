/* io_vfs.h: SQLite's file calls through base/io: the VFS named "rockdove".
 *
 * It is the system's unix VFS with write-ahead logs written the cheap way (io_wal.h) and databases that can
 * be mapped for a larger read (io_map.h); with IO_FAULTS its writes, syncs, truncations and deletions are
 * recorded and can fail as told (io_fault.h). SQLite itself never syncs the folder entry of a new database
 * file (only of journals): whoever creates a database calls io_fsync_dir() on its folder after. */
#ifndef BASE_IO_VFS_H
#define BASE_IO_VFS_H

#include "base/err.h"

/* The name for sqlite3_open_v2(). */
#define IO_VFS_NAME "rockdove"

/* Registers the VFS; call once per process before the first database is opened. */
enum err io_vfs_register(struct why *why) MUST_CHECK;

#endif
