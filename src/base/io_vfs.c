/* io_vfs.c: the VFS "rockdove" for SQLite (https://sqlite.org/vfs.html): the system's own, with a layer for
 * write-ahead logs (io_wal.c) and one for larger reads of databases (io_map.c); with IO_FAULTS a shim between
 * the two records and fails what changes the disk. Reads, locks and shared memory pass it. */
#include "base/io_vfs.h"

#include <sqlite3.h>
#include <string.h>

#include "base/io_map.h"
#include "base/io_wal.h"

static sqlite3_vfs our_vfs, map_vfs, lower_vfs;

#ifdef IO_FAULTS

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/io_fault.h"

#define SITE_MAX (NAME_MAX + sizeof "sqlite folder .")

static sqlite3_vfs *unix_vfs;

struct shim_file {
    sqlite3_file base; /* first: SQLite sees only this */
    struct io_id id;
    bool sync_folder; /* the first sync of a new journal also syncs its folder, as the unix VFS does */
    char path[PATH_MAX];
    char site[SITE_MAX], folder_site[SITE_MAX];
    sqlite3_file real; /* last: the unix VFS's own struct goes on behind */
};

#define SHIM(file) ((struct shim_file *)(void *)(file))
#define REAL(file) (&SHIM(file)->real)

static int code_of(int fault, int otherwise)
{
    return fault == ENOSPC || fault == EDQUOT || fault == IO_FAULT_SHORT ? SQLITE_FULL : otherwise;
}

static int shim_close(sqlite3_file *file)
{
    return REAL(file)->pMethods ? REAL(file)->pMethods->xClose(REAL(file)) : SQLITE_OK;
}

static int shim_read(sqlite3_file *file, void *bytes, int len, sqlite3_int64 offset)
{
    if (io_fault_check(IO_CALL_READ, -1, SHIM(file)->path) > 0)
        return SQLITE_IOERR_READ;
    return REAL(file)->pMethods->xRead(REAL(file), bytes, len, offset);
}

static int shim_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 offset)
{
    int fault = io_fault_check(IO_CALL_WRITE, -1, SHIM(file)->path);
    if (fault > 0)
        return code_of(fault, SQLITE_IOERR_WRITE);
    if (fault == IO_FAULT_SHORT)
        len /= 2;
    uint64_t begin = io_fault_now();
    int rc = REAL(file)->pMethods->xWrite(REAL(file), bytes, len, offset);
    if (rc == SQLITE_OK)
        io_record_write(begin, SHIM(file)->id, (uint64_t)offset, slice_make(bytes, (size_t)len));
    return fault == IO_FAULT_SHORT ? SQLITE_FULL : rc;
}

static int shim_truncate(sqlite3_file *file, sqlite3_int64 len)
{
    if (io_fault_check(IO_CALL_TRUNCATE, -1, SHIM(file)->path) > 0)
        return SQLITE_IOERR_TRUNCATE;
    uint64_t begin = io_fault_now();
    int rc = REAL(file)->pMethods->xTruncate(REAL(file), len);
    if (rc == SQLITE_OK)
        io_record_truncate(begin, SHIM(file)->id, (uint64_t)len);
    return rc;
}

/* The folder of a path; "." without one. */
static struct io_id folder_id(const char *path)
{
    char folder[PATH_MAX];
    (void)snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = '\0';
    return io_id_of_path(AT_FDCWD, slash ? folder : ".");
}

static int shim_sync(sqlite3_file *file, int flags)
{
    struct shim_file *shim = SHIM(file);
    io_site = shim->site;
    int fault = io_fault_check(IO_CALL_FSYNC, -1, shim->path);
    if (fault > 0)
        return SQLITE_IOERR_FSYNC;
    if (fault == IO_FAULT_SKIP)
        return SQLITE_OK;
    uint64_t begin = io_fault_now();
    int rc = shim->real.pMethods->xSync(&shim->real, flags);
    if (rc == SQLITE_OK)
        io_record_fsync(begin, shim->id, shim->site);
    if (rc == SQLITE_OK && shim->sync_folder)
        io_record_fsync_dir(begin, folder_id(shim->path), shim->folder_site);
    if (rc == SQLITE_OK)
        shim->sync_folder = false;
    return rc;
}

static int shim_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return REAL(file)->pMethods->xFileSize(REAL(file), size);
}

static int shim_lock(sqlite3_file *file, int level)
{
    return REAL(file)->pMethods->xLock(REAL(file), level);
}

static int shim_unlock(sqlite3_file *file, int level)
{
    return REAL(file)->pMethods->xUnlock(REAL(file), level);
}

static int shim_reserved(sqlite3_file *file, int *result)
{
    return REAL(file)->pMethods->xCheckReservedLock(REAL(file), result);
}

static int shim_control(sqlite3_file *file, int op, void *arg)
{
    return REAL(file)->pMethods->xFileControl(REAL(file), op, arg);
}

static int shim_sector(sqlite3_file *file)
{
    return REAL(file)->pMethods->xSectorSize(REAL(file));
}

static int shim_device(sqlite3_file *file)
{
    return REAL(file)->pMethods->xDeviceCharacteristics(REAL(file));
}

static int shim_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **at)
{
    return REAL(file)->pMethods->xShmMap(REAL(file), page, size, extend, at);
}

static int shim_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return REAL(file)->pMethods->xShmLock(REAL(file), offset, count, flags);
}

static void shim_shm_barrier(sqlite3_file *file)
{
    REAL(file)->pMethods->xShmBarrier(REAL(file));
}

static int shim_shm_unmap(sqlite3_file *file, int remove)
{
    return REAL(file)->pMethods->xShmUnmap(REAL(file), remove);
}

static int shim_fetch(sqlite3_file *file, sqlite3_int64 offset, int len, void **at)
{
    return REAL(file)->pMethods->xFetch(REAL(file), offset, len, at);
}

static int shim_unfetch(sqlite3_file *file, sqlite3_int64 offset, void *at)
{
    return REAL(file)->pMethods->xUnfetch(REAL(file), offset, at);
}

static const sqlite3_io_methods methods = {.iVersion = 3,
                                           .xClose = shim_close,
                                           .xRead = shim_read,
                                           .xWrite = shim_write,
                                           .xTruncate = shim_truncate,
                                           .xSync = shim_sync,
                                           .xFileSize = shim_size,
                                           .xLock = shim_lock,
                                           .xUnlock = shim_unlock,
                                           .xCheckReservedLock = shim_reserved,
                                           .xFileControl = shim_control,
                                           .xSectorSize = shim_sector,
                                           .xDeviceCharacteristics = shim_device,
                                           .xShmMap = shim_shm_map,
                                           .xShmLock = shim_shm_lock,
                                           .xShmBarrier = shim_shm_barrier,
                                           .xShmUnmap = shim_shm_unmap,
                                           .xFetch = shim_fetch,
                                           .xUnfetch = shim_unfetch};

/* SQLite's syncs have no place in our source: they go by the file's name. The dot keeps that of a database
 * from being the front of that of its log. */
static void name_sites(struct shim_file *shim)
{
    const char *slash = strrchr(shim->path, '/'), *name = slash ? slash + 1 : shim->path;
    (void)snprintf(shim->site, sizeof shim->site, "sqlite %.*s.", NAME_MAX, name);
    (void)snprintf(shim->folder_site, sizeof shim->folder_site, "sqlite folder %.*s.", NAME_MAX, name);
}

static int shim_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *out_flags)
{
    (void)vfs;
    struct shim_file *shim = SHIM(file);
    struct stat st;
    const int journals = SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL;
    memset(shim, 0, sizeof *shim);
    int fault = path ? io_fault_check(IO_CALL_OPEN, -1, path) : 0;
    if (fault > 0)
        return code_of(fault, SQLITE_CANTOPEN);
    bool fresh =
        path && (flags & SQLITE_OPEN_CREATE) && fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) != 0;
    uint64_t begin = io_fault_now();
    int rc = unix_vfs->xOpen(unix_vfs, path, &shim->real, flags, out_flags);
    if (rc != SQLITE_OK)
        return rc;
    if (path) {
        (void)snprintf(shim->path, sizeof shim->path, "%s", path);
        name_sites(shim);
        shim->id = io_id_of_path(AT_FDCWD, path);
        if (fresh)
            io_record_name(begin, 'C', AT_FDCWD, path);
        shim->sync_folder = (flags & SQLITE_OPEN_CREATE) && (flags & journals);
    }
    shim->base.pMethods = &methods;
    return SQLITE_OK;
}

static int shim_delete(sqlite3_vfs *vfs, const char *path, int sync_folder)
{
    (void)vfs;
    if (io_fault_check(IO_CALL_UNLINK, -1, path) > 0)
        return SQLITE_IOERR_DELETE;
    io_site = "sqlite delete";
    int fault = sync_folder ? io_fault_check(IO_CALL_FSYNCDIR, -1, path) : 0;
    if (fault > 0)
        return SQLITE_IOERR_DIR_FSYNC;
    if (fault == IO_FAULT_SKIP)
        sync_folder = 0;
    uint64_t begin = io_fault_now();
    int rc = unix_vfs->xDelete(unix_vfs, path, sync_folder);
    if (rc != SQLITE_OK)
        return rc;
    io_record_unlink(begin, AT_FDCWD, path);
    if (sync_folder)
        io_record_fsync_dir(io_fault_now(), folder_id(path), "sqlite delete");
    return SQLITE_OK;
}

static void make_vfs(sqlite3_vfs *system)
{
    unix_vfs = system;
    lower_vfs.szOsFile = (int)sizeof(struct shim_file) + system->szOsFile;
    lower_vfs.xOpen = shim_open;
    lower_vfs.xDelete = shim_delete;
}

#else

static void make_vfs(sqlite3_vfs *system)
{
    (void)system;
}

#endif

enum err io_vfs_register(struct why *why)
{
    sqlite3_vfs *system = sqlite3_vfs_find("unix");
    if (!system)
        return err_set(why, ERR_INTERNAL, "SQLite has no unix VFS");
    lower_vfs = *system;
    lower_vfs.zName = IO_VFS_NAME;
    lower_vfs.pNext = NULL;
    make_vfs(system);
    map_vfs = lower_vfs;
    io_map_layer(&lower_vfs, &map_vfs);
    our_vfs = map_vfs;
    io_wal_layer(&map_vfs, &our_vfs);
    int rc = sqlite3_vfs_register(&our_vfs, 0);
    return rc == SQLITE_OK ? ERR_OK : err_set(why, ERR_INTERNAL, "SQLite VFS: %s", sqlite3_errstr(rc));
}
