/* db.h: a thin layer over SQLite: one connection, statements by their text, transactions, schema versions.
 *
 * Every database is opened with WAL and synchronous=FULL: when db_commit() has answered ERR_OK the change is
 * on disk. A connection belongs to one thread at a time (one strand); it has no locks of its own. SQL stands
 * only in db/, store/, queue/ and auth/, as string constants; values are bound, never printed into it.
 *
 *     err = db_run(db, "INSERT INTO thing (id, name) VALUES (?, ?)", DB_ARGS(DB_U64(id), DB_TEXT(name)),
 * why);
 *
 *     struct db_rows rows;
 *     if ((err = db_query(db, "SELECT name FROM thing WHERE id > ?", DB_ARGS(DB_U64(1)), &rows, why)))
 *         return err;
 *     while (db_next(&rows))
 *         use(db_slice(&rows, 0));   // lives until the next db_next() or db_end()
 *     return db_end(&rows, why);
 *
 * Errors: a full disk, a busy database, no descriptors: ERR_LATER; a broken constraint: ERR_REFUSED; anything
 * else, a damaged file among them: ERR_INTERNAL. After a failed write nothing of the transaction counts; the
 * layer has rolled it back, db_commit() need not be called.
 */
#ifndef DB_DB_H
#define DB_DB_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

#define DB_STATEMENTS_MAX 96   /* prepared statements kept per connection */
#define DB_BUSY_MS        5000 /* how long a lock of another process is waited for */

struct db;
struct sqlite3_stmt;

/* One step of a schema: version i to i + 1. `sql` may hold several statements; `run` (may be NULL) does what
 * SQL cannot, inside the same transaction and after `sql`. */
struct db_step {
    const char *sql;
    enum err (*run)(struct db *db, void *arg, struct why *why);
};

/* A schema is the list of all steps ever; its version is their number. Released steps are never edited. */
struct db_schema {
    const char *name; /* for messages: "account index" */
    const struct db_step *steps;
    uint32_t count;
    void *arg; /* for run() */
};

enum db_flag {
    DB_EXCLUSIVE = 1,  /* only this connection, ever: no lock calls and no shared memory file */
    DB_EXISTING = 2,   /* ERR_ABSENT instead of making a new file */
    DB_DISPOSABLE = 8, /* nothing is synced: for what is made again when a crash has torn it */
    DB_READ_ONLY = 4   /* for looking at a database nobody has open; never migrates (older is ERR_REFUSED) */
};

/* Opens the file at `path` (relative to the working folder) and brings its schema up to date: a snapshot
 * "PATH.before-VERSION" is made through SQLite's backup interface, then all missing steps run in one
 * transaction. A file newer than the program is refused (ERR_REFUSED) with a text that says which release is
 * needed or which snapshot to go back to. A new file's name is durable with its first
 * transaction: SQLite syncs the folder when it has made the journal of that, which is after it has made the
 * file. `migrated` (may be NULL): the version before, or UINT32_MAX when nothing was to do; 0 for a new file.
 */
enum err db_open(const char *path, unsigned flags, const struct db_schema *schema, uint32_t *migrated,
                 struct db **db, struct why *why) MUST_CHECK;
/* Rolls back what is open, moves the write-ahead log into the file, closes. Clears the pointer; takes NULL.
 */
void db_close(struct db **db);
#define AUTO_DB __attribute__((cleanup(db_close)))

/* A value to bind. */
enum db_kind { DB_KIND_END, DB_KIND_NULL, DB_KIND_I64, DB_KIND_TEXT, DB_KIND_BLOB };
struct db_value {
    enum db_kind kind;
    int64_t number;
    struct slice bytes; /* must live until the call returns; for db_query() until db_end() */
};
/* Numbers above INT64_MAX do not exist in SQLite: they come back negative and equal after the cast. */
#define DB_U64(n)    ((struct db_value){.kind = DB_KIND_I64, .number = (int64_t)(n)})
#define DB_I64(n)    ((struct db_value){.kind = DB_KIND_I64, .number = (n)})
#define DB_TEXT(s)   ((struct db_value){.kind = DB_KIND_TEXT, .bytes = (s)})
#define DB_BLOB(s)   ((struct db_value){.kind = DB_KIND_BLOB, .bytes = (s)})
#define DB_NULL      ((struct db_value){.kind = DB_KIND_NULL})
#define DB_ARGS(...) ((const struct db_value[]){__VA_ARGS__ __VA_OPT__(, ){.kind = DB_KIND_END}})
#define DB_NO_ARGS   NULL

/* Statements without rows, prepared anew each time: schema, pragmas. May hold several. */
enum err db_exec(struct db *db, const char *sql, struct why *why) MUST_CHECK;
/* One statement whose rows nobody wants. `sql` is a constant: the prepared form is kept. */
enum err db_run(struct db *db, const char *sql, const struct db_value *args, struct why *why) MUST_CHECK;
/* Rows changed by the last db_run(), and the rowid of the last insert. */
uint64_t db_changes(const struct db *db);
uint64_t db_last_id(const struct db *db);

/* One statement with rows. At most one walk per statement text at a time; every db_query() that answered
 * ERR_OK must be followed by db_end(), also when the walk stops early. */
struct db_rows {
    struct db *db;
    struct sqlite3_stmt *stmt;
    int rc;
};
enum err db_query(struct db *db, const char *sql, const struct db_value *args, struct db_rows *rows,
                  struct why *why) MUST_CHECK;
/* False at the end or on an error, which db_end() then tells. */
bool db_next(struct db_rows *rows) MUST_CHECK;
enum err db_end(struct db_rows *rows, struct why *why) MUST_CHECK;
/* Columns of the current row, from 0. NULL gives 0 or the empty slice. */
uint64_t db_u64(const struct db_rows *rows, int column);
int64_t db_i64(const struct db_rows *rows, int column);
struct slice db_slice(const struct db_rows *rows, int column);
bool db_is_null(const struct db_rows *rows, int column);
/* The first column of the first row as a number; `fallback` when there is no row or it is NULL. */
enum err db_number(struct db *db, const char *sql, const struct db_value *args, uint64_t fallback,
                   uint64_t *number, struct why *why) MUST_CHECK;

/* A write transaction (BEGIN IMMEDIATE). Not nested. */
enum err db_begin(struct db *db, struct why *why) MUST_CHECK;
/* Durable when ERR_OK. On failure everything since db_begin() is undone. */
enum err db_commit(struct db *db, struct why *why) MUST_CHECK;
/* Harmless when no transaction is open. */
void db_rollback(struct db *db);
bool db_in_transaction(const struct db *db);
/* Many reads as one: the cost of beginning and ending is paid once. Nothing may be written in between, and
 * others wait for it only as long as a short walk. */
enum err db_read_begin(struct db *db, struct why *why) MUST_CHECK;
void db_read_end(struct db *db);
/* The same for a larger read, of DB_READ_MANY rows or more: pages come out of a guarded memory map instead of
 * a system call each (base/io_map.h), which the connection then keeps until it is closed. When the disk does
 * not give a page, db_next() or db_end() answer ERR_INTERNAL: what a walk gave counts only when its db_end()
 * was good. A statement that writes is refused. Ends with db_read_end(), every walk ended before; begin and
 * end by the same thread. */
enum err db_read_many_begin(struct db *db, struct why *why) MUST_CHECK;
#define DB_READ_MANY 16

/* Checkpoints never happen inside a commit; the owner calls this when idle or when db_wal_bytes() has grown.
 */
uint64_t db_wal_bytes(const struct db *db); /* frames not checkpointed yet */
enum err db_checkpoint(struct db *db, struct why *why) MUST_CHECK;
/* A consistent copy into a new file, while others may write; durable when answered. */
enum err db_backup(struct db *db, const char *path, struct why *why) MUST_CHECK;
/* SQLite's own check of the whole file; ERR_INTERNAL with the first finding. */
enum err db_check(struct db *db, struct why *why) MUST_CHECK;
/* Bytes of page cache this connection may hold (default 1 MiB). */
void db_cache_size(struct db *db, uint32_t kib);
/* Gives up memory that can be had again: pages and prepared statements. Not while rows are walked. */
void db_shrink(struct db *db);
uint32_t db_version(const struct db *db);

#endif
