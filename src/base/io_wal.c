/* io_wal.c: a layer of the VFS over write-ahead logs only. SQLite writes a commit in many small pieces, each
 * a call of its own, at the end of a file that grows, so that every sync must also write where the file ends.
 * Here the pieces of a commit become one write, and the file grows by zeros in advance, so that most syncs
 * write nothing but the commit. Zeros are no frames (the salt of a frame is never zero), so recovery stops at
 * them as it does at frames of an earlier round. */
#include "base/io_wal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define GATHER_MAX  65536 /* a larger commit is written in pieces of this */
#define ADVANCE_MIN 32768
#define ADVANCE_MAX 262144

static sqlite3_vfs *lower;

struct wal_file {
    sqlite3_file base; /* first: SQLite sees only this */
    uint8_t *bytes;    /* written by SQLite, not by us yet: `len` of them, for `at` */
    int len;
    sqlite3_int64 at;
    sqlite3_int64 size; /* of the file */
    sqlite3_file real;  /* last: the lower VFS's own struct goes on behind */
};

#define WAL(file)  ((struct wal_file *)(void *)(file))
#define REAL(file) (&WAL(file)->real)

static int put(struct wal_file *wal, const void *bytes, int len, sqlite3_int64 at)
{
    int rc = wal->real.pMethods->xWrite(&wal->real, bytes, len, at);
    if (rc == SQLITE_OK && at + len > wal->size)
        wal->size = at + len;
    return rc;
}

/* What could not be written is forgotten: SQLite is told and undoes the commit. */
static int put_gathered(struct wal_file *wal)
{
    int len = wal->len;
    wal->len = 0;
    return len ? put(wal, wal->bytes, len, wal->at) : SQLITE_OK;
}

static int wal_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 offset)
{
    struct wal_file *wal = WAL(file);
    int rc = SQLITE_OK;
    if (wal->len && (offset != wal->at + wal->len || len > GATHER_MAX - wal->len))
        rc = put_gathered(wal);
    if (rc != SQLITE_OK)
        return rc;
    if (!wal->bytes && len <= GATHER_MAX)
        wal->bytes = malloc(GATHER_MAX);
    if (!wal->bytes || len > GATHER_MAX)
        return put(wal, bytes, len, offset);
    if (!wal->len)
        wal->at = offset;
    memcpy(wal->bytes + wal->len, bytes, (size_t)len);
    wal->len += len;
    return SQLITE_OK;
}

/* A help, no need: without room the file grows with each commit. */
static void advance(struct wal_file *wal)
{
    static const uint8_t zeros[ADVANCE_MIN / 2];
    sqlite3_int64 more = wal->size < ADVANCE_MIN ? ADVANCE_MIN : wal->size;
    sqlite3_int64 end = wal->size + (more > ADVANCE_MAX ? ADVANCE_MAX : more);
    while (wal->size < end && put(wal, zeros, sizeof zeros, wal->size) == SQLITE_OK)
        ;
}

static int wal_sync(sqlite3_file *file, int flags)
{
    struct wal_file *wal = WAL(file);
    sqlite3_int64 before = wal->size;
    int rc = put_gathered(wal);
    free(wal->bytes); /* most handles are idle most of the time */
    wal->bytes = NULL;
    if (rc == SQLITE_OK && wal->size > before)
        advance(wal);
    return rc == SQLITE_OK ? wal->real.pMethods->xSync(&wal->real, flags) : rc;
}

static int wal_close(sqlite3_file *file)
{
    struct wal_file *wal = WAL(file);
    (void)put_gathered(wal); /* of a commit that never came: nothing is lost with it */
    free(wal->bytes);
    wal->bytes = NULL;
    return wal->real.pMethods->xClose(&wal->real);
}

static int wal_read(sqlite3_file *file, void *bytes, int len, sqlite3_int64 offset)
{
    int rc = put_gathered(WAL(file));
    return rc == SQLITE_OK ? REAL(file)->pMethods->xRead(REAL(file), bytes, len, offset) : rc;
}

static int wal_truncate(sqlite3_file *file, sqlite3_int64 len)
{
    int rc = put_gathered(WAL(file));
    if (rc == SQLITE_OK)
        rc = REAL(file)->pMethods->xTruncate(REAL(file), len);
    if (rc == SQLITE_OK)
        WAL(file)->size = len;
    return rc;
}

static int wal_size(sqlite3_file *file, sqlite3_int64 *size)
{
    int rc = put_gathered(WAL(file));
    return rc == SQLITE_OK ? REAL(file)->pMethods->xFileSize(REAL(file), size) : rc;
}

static int wal_lock(sqlite3_file *file, int level)
{
    return REAL(file)->pMethods->xLock(REAL(file), level);
}

static int wal_unlock(sqlite3_file *file, int level)
{
    return REAL(file)->pMethods->xUnlock(REAL(file), level);
}

static int wal_reserved(sqlite3_file *file, int *result)
{
    return REAL(file)->pMethods->xCheckReservedLock(REAL(file), result);
}

static int wal_control(sqlite3_file *file, int op, void *arg)
{
    return REAL(file)->pMethods->xFileControl(REAL(file), op, arg);
}

static int wal_sector(sqlite3_file *file)
{
    return REAL(file)->pMethods->xSectorSize(REAL(file));
}

static int wal_device(sqlite3_file *file)
{
    return REAL(file)->pMethods->xDeviceCharacteristics(REAL(file));
}

/* Version 1: nobody maps a log. */
static const sqlite3_io_methods methods = {.iVersion = 1,
                                           .xClose = wal_close,
                                           .xRead = wal_read,
                                           .xWrite = wal_write,
                                           .xTruncate = wal_truncate,
                                           .xSync = wal_sync,
                                           .xFileSize = wal_size,
                                           .xLock = wal_lock,
                                           .xUnlock = wal_unlock,
                                           .xCheckReservedLock = wal_reserved,
                                           .xFileControl = wal_control,
                                           .xSectorSize = wal_sector,
                                           .xDeviceCharacteristics = wal_device};

static int wal_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *out_flags)
{
    (void)vfs;
    if (!(flags & SQLITE_OPEN_WAL))
        return lower->xOpen(lower, path, file, flags, out_flags);
    struct wal_file *wal = WAL(file);
    memset(wal, 0, sizeof *wal);
    int rc = lower->xOpen(lower, path, &wal->real, flags, out_flags);
    if (rc != SQLITE_OK)
        return rc;
    rc = wal->real.pMethods->xFileSize(&wal->real, &wal->size);
    if (rc != SQLITE_OK)
        (void)wal->real.pMethods->xClose(&wal->real);
    else
        wal->base.pMethods = &methods;
    return rc;
}

void io_wal_layer(sqlite3_vfs *below, sqlite3_vfs *above)
{
    lower = below;
    above->szOsFile = (int)sizeof(struct wal_file) + below->szOsFile;
    above->xOpen = wal_open;
}
