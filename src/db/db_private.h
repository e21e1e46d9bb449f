/* db_private.h: the connection, shared by the files of db/ only. */
#ifndef DB_DB_PRIVATE_H
#define DB_DB_PRIVATE_H

#include <sqlite3.h>

#include "base/io_map.h"
#include "db/db.h"

/* One prepared statement and the text it was made from. */
struct db_cached {
    const char *sql; /* the caller's constant; compared by address first */
    sqlite3_stmt *stmt;
    uint64_t used; /* clock of the connection at the last use */
    bool busy;     /* a db_query() walks it */
};

struct db {
    sqlite3 *handle;
    uint32_t version;
    uint64_t wal_bytes; /* written since the last checkpoint that finished */
    uint64_t clock;
    struct io_map *map; /* of the file; NULL until it was wanted */
    bool map_wanted;    /* SQLite asks for mapped pages */
    bool many;          /* between db_read_many_begin() and db_read_end() */
    size_t cached;
    struct db_cached cache[DB_STATEMENTS_MAX];
};

/* The enum err of an SQLite result code; `what` begins the text. */
enum err db_error(struct db *db, int rc, const char *what, struct why *why);
/* The prepared form of `sql`, marked as busy. */
enum err db_prepare(struct db *db, const char *sql, sqlite3_stmt **stmt, struct why *why) MUST_CHECK;
/* ERR_INTERNAL when the disk failed to give a page to the larger read that runs. */
enum err db_map_check(const struct db *db, struct why *why) MUST_CHECK;
void db_finish(struct db *db, sqlite3_stmt *stmt);
void db_forget_statements(struct db *db);
/* Brings the schema up to date; see db_open(). */
enum err db_migrate(struct db *db, const char *path, const struct db_schema *schema, unsigned flags,
                    uint32_t *migrated, struct why *why) MUST_CHECK;

#endif
