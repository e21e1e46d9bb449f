/* io_map.h: a database file read through a memory map, while a larger read runs, and only then.
 *
 * A map saves a system call and a copy for each page, but a page the disk does not give ends the process
 * (SIGBUS) where a read would answer an error. So the map is guarded: such a page reads as zeros, the walk is
 * told by io_map_failed(), and its results count for nothing. The file is never mapped while anything is
 * written: outside of io_map_begin() and io_map_end() SQLite gets no page of it.
 *
 * A window, from begin to end, belongs to one thread; windows of several files may nest. Nothing here waits.
 */
#ifndef BASE_IO_MAP_H
#define BASE_IO_MAP_H

#include <sqlite3.h>
#include <stdbool.h>

struct io_map;

/* That of an open connection, or NULL. SQLite asks for mapped pages only while its pragma mmap_size is not 0;
 * how much is mapped is up to us. */
struct io_map *io_map_of(sqlite3 *handle);
/* From here on pages may come out of the map. Made with the first window and as large as the file. Does
 * nothing where it cannot be had: then pages are read. */
void io_map_begin(struct io_map *map);
/* No statement of the connection may have a row in hand any more. */
void io_map_end(struct io_map *map);
/* Within a window: some page could not be had and was read as zeros. Once that happened the connection reads
 * its pages without a map, for good, and the next read of that page tells the disk's error. */
bool io_map_failed(const struct io_map *map);

/* Makes `above`, a copy of `below`, read database files so; everything else goes to `below`, which must stay.
 * Installs the guard. Once per process. Called by io_vfs.c only. */
void io_map_layer(sqlite3_vfs *below, sqlite3_vfs *above);

#endif
