/* io_map.c: the layer of the VFS that lends SQLite pages out of a memory map, and the guard against disks
 * that fail under it. Input: our own database files, which may be damaged or shrink: SQLite checks what it
 * finds in a page, mapped or read. Called by io_vfs.c and db/. */
#include "base/io_map.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#ifdef IO_FAULTS
#include "base/io_fault.h"
#endif

#define OP_MAP      0x726401 /* xFileControl: where is the map? Numbers below 100 are SQLite's */
#define PAGE_BEHIND 256      /* octets SQLite may look at behind a page that is damaged */

/* A walk goes on within AHEAD_NEAR octets; the disk then works in front of it, in chunks that double from
 * AHEAD_FIRST to AHEAD_MOST, the next one when half of the last is left: the walk waits while the kernel
 * makes room for a chunk, so it is told no sooner. Without a walk it reads single pages: the kernel's own
 * reading around a page, as much as the device is set to, would fetch megabytes for one message. */
#define AHEAD_NEAR  (64u << 10)
#define AHEAD_FIRST (512u << 10)
#define AHEAD_MOST  (8u << 20)

/* Pages whose beginning the processor fetches while this one is worked on: rows of a table alternate with
 * what was written beside them. */
#define LOOK_AHEAD 2

/* First octet of a page that leads to others (https://sqlite.org/fileformat2.html section 1.6). They are few
 * and checked whole each time they come out of a map, so that SQLite's own cache is the better place. */
enum { PAGE_INDEX_INNER = 2, PAGE_TABLE_INNER = 5 };

struct io_map {
    const sqlite3_io_methods *below; /* those of the file */
    sqlite3_io_methods methods;      /* the same but for what we do ourselves */
    const char *path;                /* SQLite's, for as long as the file is open */
    uint8_t *base;                   /* NULL: not mapped */
    size_t len;
    uint32_t lent;      /* pages SQLite has in hand */
    size_t last, ahead; /* offsets: of the last page, and up to where the disk was told */
    size_t chunk;       /* it is told next */
    int fd;             /* ours, for mapping. Closed after SQLite's: closing it drops the locks of all */
    bool on, off;       /* in a window; never again */
    volatile sig_atomic_t failed;
    struct io_map *outer; /* the window around this one */
};

static sqlite3_vfs *lower;
static size_t page_size;
static struct sigaction before;
/* What this thread reads: a fault happens in the thread that touches the page. */
static _Thread_local struct io_map *reading;

/* Our part lies behind that of the lower VFS, which goes on with its own file struct. */
static size_t lower_size(void)
{
    const size_t align = _Alignof(max_align_t);
    return ((size_t)lower->szOsFile + align - 1) / align * align;
}

static struct io_map *map_of(sqlite3_file *file)
{
    return (struct io_map *)(void *)((uint8_t *)(void *)file + lower_size());
}

/* ---- the guard ---- */

/* Puts zeros where the page should be. Only what a signal handler may do. */
static bool patch(struct io_map *map, uintptr_t fault)
{
    uintptr_t begin = (uintptr_t)map->base, page = fault - fault % page_size;
    if (fault < begin || fault - begin >= map->len)
        return false;
    void *at = (void *)page; // NOLINT(performance-no-int-to-ptr)
    if (mmap(at, page_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
        return false;
    map->failed = 1;
    return true;
}

/* Whatever is not ours goes to who had the signal before: the instruction faults again. */
static void on_bus_error(int number, siginfo_t *info, void *context)
{
    (void)context;
    int saved = errno;
    bool kernel = info->si_code > 0; /* and not sent by somebody */
    bool done = false;
    for (struct io_map *map = reading; kernel && map && !done; map = map->outer)
        done = patch(map, (uintptr_t)info->si_addr);
    if (!done)
        (void)sigaction(SIGBUS, &before, NULL);
    if (!done && !kernel)
        (void)raise(number);
    errno = saved;
}

/* ---- mapping ---- */

/* Outside of windows; the next one makes the map anew. */
static void drop(struct io_map *map)
{
    if (!map->base || map->on || map->lent)
        return;
    (void)munmap(map->base, map->len);
    map->base = NULL;
    map->len = 0;
}

/* The file SQLite has open must be the one that has the name. */
static bool open_file(struct io_map *map, sqlite3_file *file)
{
    int moved = 1;
    if (map->fd >= 0)
        return true;
    if (io_open_at(AT_FDCWD, map->path, O_RDONLY, 0, &map->fd, NULL) != ERR_OK)
        return false;
    int rc = map->below->xFileControl(file, SQLITE_FCNTL_HAS_MOVED, &moved);
    map->off = rc != SQLITE_OK || moved;
    return !map->off;
}

static sqlite3_file *file_of(struct io_map *map)
{
    return (sqlite3_file *)(void *)((uint8_t *)(void *)map - lower_size());
}

/* As long as the file is now: it grows with checkpoints. */
static void fit(struct io_map *map)
{
    struct stat st;
    if (!open_file(map, file_of(map)) || io_fstat(map->fd, &st, NULL) != ERR_OK || st.st_size <= 0)
        return;
    size_t len = (size_t)st.st_size;
    if (map->base && map->len == len)
        return;
    void *at = map->base ? mremap(map->base, map->len, len, MREMAP_MAYMOVE)
                         : mmap(NULL, len, PROT_READ, MAP_SHARED, map->fd, 0);
    if (at == MAP_FAILED)
        return; /* the old one holds */
    (void)madvise(at, len, MADV_RANDOM);
    map->base = at;
    map->len = len;
}

/* One page of the next chunk tells whether the disk is needed: asking for what is there costs as much as
 * looking for each page of it. */
static void read_ahead(struct io_map *map, size_t offset)
{
    bool near = offset >= map->last && offset - map->last <= AHEAD_NEAR;
    unsigned char there = 0;
    map->last = offset;
    if (!near) {
        map->ahead = offset;
        map->chunk = AHEAD_FIRST;
    }
    if (!near || offset + map->chunk / 2 < map->ahead || map->ahead >= map->len)
        return;
    size_t from = (map->ahead > offset ? map->ahead : offset) / page_size * page_size;
    size_t len = map->len - from < map->chunk ? map->len - from : map->chunk;
    uint8_t *middle = map->base + from + len / 2 / page_size * page_size;
    if (mincore(middle, 1, &there) != 0 || !(there & 1))
        (void)madvise(map->base + from, len, MADV_WILLNEED);
    map->ahead = from + map->chunk;
    map->chunk = map->chunk < AHEAD_MOST ? map->chunk * 2 : AHEAD_MOST;
}

void io_map_begin(struct io_map *map)
{
    if (!map || map->off || map->on || map->lent) /* what is lent must not move */
        return;
    fit(map);
    if (!map->base)
        return;
    map->on = true;
    map->outer = reading;
    reading = map;
}

void io_map_end(struct io_map *map)
{
    if (!map || !map->on)
        return;
    map->on = false;
    reading = map->outer;
    map->off = map->failed != 0;
    map->failed = 0;
    if (map->off)
        drop(map);
}

bool io_map_failed(const struct io_map *map)
{
    return map && map->failed;
}

/* ---- the file ---- */

/* Looking at the page first makes most faults happen here, where an error can be answered. */
static int map_fetch(sqlite3_file *file, sqlite3_int64 offset, int len, void **at)
{
    struct io_map *map = map_of(file);
    *at = NULL;
    if (!map->on || map->failed || (uint64_t)offset + (uint64_t)len + PAGE_BEHIND > map->len)
        return map->failed ? SQLITE_IOERR_READ : SQLITE_OK;
#ifdef IO_FAULTS
    if (io_fault_check(IO_CALL_READ, -1, map->path) > 0)
        return SQLITE_IOERR_READ;
#endif
    read_ahead(map, (size_t)offset);
    uint8_t *page = map->base + offset;
    uint8_t kind = *(const volatile uint8_t *)page;
    if (map->failed)
        return SQLITE_IOERR_READ;
    if (kind == PAGE_INDEX_INNER || kind == PAGE_TABLE_INNER)
        return SQLITE_OK;
    for (unsigned next = 1; next <= LOOK_AHEAD; next++) /* never faults, wherever it points */
        __builtin_prefetch(page + next * page_size);
    map->lent++;
    *at = page;
    return SQLITE_OK;
}

/* Without a page: SQLite doubts its map. Ours is the same memory as the file. */
static int map_unfetch(sqlite3_file *file, sqlite3_int64 offset, void *at)
{
    (void)offset;
    map_of(file)->lent -= at != NULL;
    return SQLITE_OK;
}

static int map_truncate(sqlite3_file *file, sqlite3_int64 len)
{
    struct io_map *map = map_of(file);
    drop(map);
    return map->below->xTruncate(file, len);
}

static int map_control(sqlite3_file *file, int op, void *arg)
{
    struct io_map *map = map_of(file);
    if (op == SQLITE_FCNTL_MMAP_SIZE) { /* the lower VFS is not to map it as well */
        *(sqlite3_int64 *)arg = (sqlite3_int64)map->len;
        return SQLITE_OK;
    }
    if (op != OP_MAP)
        return map->below->xFileControl(file, op, arg);
    *(struct io_map **)arg = map;
    return SQLITE_OK;
}

static int map_close(sqlite3_file *file)
{
    struct io_map *map = map_of(file);
    drop(map);
    int rc = map->below->xClose(file);
    io_close(&map->fd);
    return rc;
}

static int map_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *out_flags)
{
    (void)vfs;
    int rc = lower->xOpen(lower, path, file, flags, out_flags);
    if (rc != SQLITE_OK || !(flags & SQLITE_OPEN_MAIN_DB) || !path || file->pMethods->iVersion < 3)
        return rc;
    struct io_map *map = map_of(file);
    *map = (struct io_map){.below = file->pMethods, .methods = *file->pMethods, .path = path, .fd = -1};
    map->methods.xFetch = map_fetch;
    map->methods.xUnfetch = map_unfetch;
    map->methods.xTruncate = map_truncate;
    map->methods.xFileControl = map_control;
    map->methods.xClose = map_close;
    file->pMethods = &map->methods;
    return SQLITE_OK;
}

struct io_map *io_map_of(sqlite3 *handle)
{
    struct io_map *map = NULL;
    return sqlite3_file_control(handle, "main", OP_MAP, &map) == SQLITE_OK ? map : NULL;
}

void io_map_layer(sqlite3_vfs *below, sqlite3_vfs *above)
{
    struct sigaction guard = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    lower = below;
    page_size = (size_t)sysconf(_SC_PAGESIZE);
    (void)sigemptyset(&guard.sa_mask);
    if (page_size == 0 || sigaction(SIGBUS, &guard, &before) != 0)
        return; /* no guard, no map */
    above->szOsFile = (int)(lower_size() + sizeof(struct io_map));
    above->xOpen = map_open;
}
