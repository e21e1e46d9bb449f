/* io_wal.h: how write-ahead logs are written: few large writes, and room made in advance. Called by io_vfs.c
 * only.
 *
 * Only for databases with synchronous=FULL: what a commit wrote reaches the file with the sync that ends it.
 */
#ifndef BASE_IO_WAL_H
#define BASE_IO_WAL_H

#include <sqlite3.h>

/* Makes `above`, a copy of `below`, treat logs as io_wal.c says; everything else goes to `below`, which must
 * stay. Once per process. */
void io_wal_layer(sqlite3_vfs *below, sqlite3_vfs *above);

#endif
