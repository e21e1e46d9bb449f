/* db.c: connections: opening with the pragmas every database of ours has, transactions, checkpoints, copies.
 * Input: our own files, which may be damaged: SQLite checks them, the results are passed on as errors.
 * Called by store, queue, auth and the offline commands. */
#include "db/db_private.h"

#include <pthread.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/io_vfs.h"
#include "base/mem.h"

#define DB_PATH_MAX       4096
#define DB_CACHE_KIB      1024
#define DB_LOOKASIDE_SLOT 512 /* small allocations of SQLite come from slots kept per connection */
#define DB_LOOKASIDE_MANY 24
#define DB_WAL_FRAME_HEAD 24

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static struct why library_why;
static enum err library_err;

/* SQLite's own statistics cost a lock shared by all threads. Its pages are allocated one by one: otherwise
 * every connection begins with memory for 20, and never gives it back. Its slots for small allocations are
 * few: those of its default are 120 KB that every opening would write to. */
static void library_start(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    (void)sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
    (void)sqlite3_config(SQLITE_CONFIG_LOOKASIDE, DB_LOOKASIDE_SLOT, DB_LOOKASIDE_MANY);
    if (sqlite3_initialize() != SQLITE_OK)
        library_err = err_set(&library_why, ERR_INTERNAL, "SQLite does not start");
    else
        library_err = io_vfs_register(&library_why);
}

static enum err code_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return ERR_OK;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_FULL:
        return ERR_LATER;
    case SQLITE_CONSTRAINT:
        return ERR_REFUSED;
    default:
        return ERR_INTERNAL;
    }
}

enum err db_error(struct db *db, int rc, const char *what, struct why *why)
{
    const char *text = db && db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(rc);
    int extended = db && db->handle ? sqlite3_extended_errcode(db->handle) : rc;
    return err_set(why, code_of(rc), "%s: %s (%d)", what, text, extended);
}

/* Counts what commits append to the log, so that the owner knows when a checkpoint is due. */
static int wal_grew(void *arg, sqlite3 *handle, const char *name, int pages)
{
    (void)handle;
    (void)name;
    ((struct db *)arg)->wal_bytes = (uint64_t)pages * (4096 + DB_WAL_FRAME_HEAD);
    return SQLITE_OK;
}

static enum err set_up(struct db *db, unsigned flags, struct why *why)
{
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_timeout(db->handle, DB_BUSY_MS);
    (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_limit(db->handle, SQLITE_LIMIT_ATTACHED, 0);
    enum err err = ERR_OK;
    if (flags & DB_EXCLUSIVE) /* before the first access (any other pragma is one), or there are locks and a
                                 shared memory file all the same */
        err = db_exec(db, "PRAGMA locking_mode=EXCLUSIVE", why);
    db_cache_size(db, DB_CACHE_KIB);
    if (!err && !(flags & DB_READ_ONLY))
        err =
            db_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0", why);
    if (!err && flags & DB_DISPOSABLE)
        err = db_exec(db, "PRAGMA synchronous=OFF", why);
    if (!err)
        err = db_exec(db, "PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON", why);
    db_cache_size(db, DB_CACHE_KIB);
    sqlite3_wal_hook(db->handle, wal_grew, db);
    return err;
}

static enum err sync_folder_of(const char *path, struct why *why)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return io_fsync_dir_at(AT_FDCWD, ".", why);
    char folder[DB_PATH_MAX];
    size_t len = slash == path ? 1 : (size_t)(slash - path);
    if (len >= sizeof folder)
        return err_set(why, ERR_INTERNAL, "path of a database is too long");
    memcpy(folder, path, len);
    folder[len] = 0;
    return io_fsync_dir_at(AT_FDCWD, folder, why);
}

static enum err open_handle(const char *path, unsigned flags, struct db *db, struct why *why)
{
    int how = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    how |= flags & DB_READ_ONLY ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    how |= flags & (DB_READ_ONLY | DB_EXISTING) ? 0 : SQLITE_OPEN_CREATE;
    int rc = sqlite3_open_v2(path, &db->handle, how, IO_VFS_NAME);
    if (rc == SQLITE_OK)
        return set_up(db, flags, why);
    return db_error(db, rc, path, why);
}

enum err db_open(const char *path, unsigned flags, const struct db_schema *schema, uint32_t *migrated,
                 struct db **out, struct why *why)
{
    pthread_once(&library_once, library_start);
    if (library_err)
        return err_set(why, library_err, "%s", library_why.text);
    struct stat st;
    enum err seen = io_stat_at(AT_FDCWD, path, &st, why);
    if (seen && (seen != ERR_ABSENT || flags & (DB_EXISTING | DB_READ_ONLY)))
        return seen;
    struct db *db = mem_zero(1, sizeof *db);
    uint32_t from = UINT32_MAX;
    enum err err = open_handle(path, flags, db, why);
    if (!err)
        err = db_migrate(db, path, schema, flags, &from, why);
    if (err) {
        db_close(&db);
        return err;
    }
    if (migrated)
        *migrated = from;
    *out = db;
    return ERR_OK;
}

void db_close(struct db **db)
{
    if (!db || !*db)
        return;
    db_rollback(*db);
    db_forget_statements(*db);
    (void)sqlite3_close_v2((*db)->handle); /* checkpoints and removes the log; what fails stays in the log */
    free(*db);
    *db = NULL;
}

enum err db_begin(struct db *db, struct why *why)
{
    return db_run(db, "BEGIN IMMEDIATE", DB_NO_ARGS, why);
}

enum err db_commit(struct db *db, struct why *why)
{
    enum err err = db_run(db, "COMMIT", DB_NO_ARGS, why);
    if (err)
        db_rollback(db);
    return err;
}

void db_rollback(struct db *db)
{
    struct why ignored; /* some failures have rolled back already */
    if (db_in_transaction(db))
        (void)!db_run(db, "ROLLBACK", DB_NO_ARGS, &ignored);
}

enum err db_read_begin(struct db *db, struct why *why)
{
    return db_run(db, "BEGIN", DB_NO_ARGS, why);
}

void db_read_end(struct db *db)
{
    db->many = false;
    io_map_end(db->map);
    struct why ignored; /* nothing was written: whatever ends it is right */
    if (db_in_transaction(db) && db_run(db, "COMMIT", DB_NO_ARGS, &ignored))
        db_rollback(db);
}

enum err db_map_check(const struct db *db, struct why *why)
{
    return io_map_failed(db->map) ? err_set(why, ERR_INTERNAL, "the disk gave no data for a page of %s",
                                            sqlite3_db_filename(db->handle, "main"))
                                  : ERR_OK;
}

/* SQLite asks its VFS for each page it reads while it wants a map: no more often than there is use for it. */
static void want_map(struct db *db)
{
    if (db->map_wanted)
        return;
    if (!db->map)
        db->map = io_map_of(db->handle);
    (void)!db_exec(db, "PRAGMA mmap_size=65536", NULL); /* without: reads */
    db->map_wanted = true;
}

enum err db_read_many_begin(struct db *db, struct why *why)
{
    want_map(db);
    enum err err = db_read_begin(db, why);
    if (err)
        return err;
    io_map_begin(db->map);
    db->many = true;
    return ERR_OK;
}

bool db_in_transaction(const struct db *db)
{
    return db->handle && !sqlite3_get_autocommit(db->handle);
}

uint64_t db_wal_bytes(const struct db *db)
{
    return db->wal_bytes;
}

enum err db_checkpoint(struct db *db, struct why *why)
{
    int frames = 0, moved = 0;
    int rc = sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &moved);
    if (rc != SQLITE_OK)
        return db_error(db, rc, "checkpoint", why);
    if (moved >= frames)
        db->wal_bytes = 0;
    return ERR_OK;
}

static enum err copy_pages(struct db *db, struct db *to, struct why *why)
{
    sqlite3_backup *backup = sqlite3_backup_init(to->handle, "main", db->handle, "main");
    if (!backup)
        return db_error(to, sqlite3_errcode(to->handle), "backup", why);
    int rc = sqlite3_backup_step(backup, -1);
    int end = sqlite3_backup_finish(backup);
    if (rc == SQLITE_DONE && end == SQLITE_OK)
        return ERR_OK;
    return db_error(to, end != SQLITE_OK ? end : rc, "backup", why);
}

enum err db_backup(struct db *db, const char *path, struct why *why)
{
    enum err err = io_unlink(AT_FDCWD, path, why);
    if (err && err != ERR_ABSENT)
        return err;
    AUTO_DB struct db *to = mem_zero(1, sizeof *to);
    int rc = sqlite3_open_v2(path, &to->handle,
                             SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, IO_VFS_NAME);
    if (rc != SQLITE_OK)
        return db_error(to, rc, path, why);
    err = db_exec(to, "PRAGMA synchronous=FULL", why);
    if (!err)
        err = copy_pages(db, to, why);
    return err ? err : sync_folder_of(path, why);
}

enum err db_check(struct db *db, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(db, "PRAGMA integrity_check(1)", DB_NO_ARGS, &rows, why);
    if (err)
        return err;
    bool found = false;
    while (db_next(&rows)) {
        struct slice text = db_slice(&rows, 0);
        if (!slice_eq(text, SLICE("ok")) && !found) {
            found = true;
            err_set(why, ERR_INTERNAL, "damaged database: %.*s", SLICE_ARG(slice_sub(text, 0, 150)));
        }
    }
    err = db_end(&rows, found ? NULL : why);
    return found ? ERR_INTERNAL : err;
}

void db_cache_size(struct db *db, uint32_t kib)
{
    char sql[64];
    (void)snprintf(sql, sizeof sql, "PRAGMA cache_size=-%u", kib);
    (void)!db_exec(db, sql, NULL); /* a hint */
}

void db_shrink(struct db *db)
{
    if (db_in_transaction(db))
        return;
    db_forget_statements(db);
    (void)sqlite3_db_release_memory(db->handle);
}

uint32_t db_version(const struct db *db)
{
    return db->version;
}
