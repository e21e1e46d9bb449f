/* query.c: statements: kept prepared by their text, values bound by kind, rows walked.
 * Input: SQL constants of our own; values of any kind, always bound. */
#include <string.h>

#include "db/db_private.h"

enum err db_exec(struct db *db, const char *sql, struct why *why)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? ERR_OK : db_error(db, rc, "exec", why);
}

static struct db_cached *find_cached(struct db *db, const char *sql)
{
    for (size_t i = 0; i < db->cached; i++)
        if (db->cache[i].sql == sql && !strcmp(sqlite3_sql(db->cache[i].stmt), sql))
            return &db->cache[i];
    return NULL;
}

/* A free place, or the one of the statement that was not used for the longest time. */
static struct db_cached *make_room(struct db *db)
{
    if (db->cached < DB_STATEMENTS_MAX)
        return &db->cache[db->cached++];
    struct db_cached *oldest = NULL;
    for (size_t i = 0; i < db->cached; i++)
        if (!db->cache[i].busy && (!oldest || db->cache[i].used < oldest->used))
            oldest = &db->cache[i];
    if (oldest)
        sqlite3_finalize(oldest->stmt);
    return oldest;
}

enum err db_prepare(struct db *db, const char *sql, sqlite3_stmt **stmt, struct why *why)
{
    struct db_cached *entry = find_cached(db, sql);
    if (entry && entry->busy)
        return err_set(why, ERR_INTERNAL, "statement walked twice: %.120s", sql);
    if (!entry) {
        sqlite3_stmt *made = NULL;
        int rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &made, NULL);
        if (rc != SQLITE_OK)
            return db_error(db, rc, "prepare", why);
        entry = make_room(db);
        if (!entry) {
            sqlite3_finalize(made);
            return err_set(why, ERR_INTERNAL, "too many statements at once");
        }
        *entry = (struct db_cached){.sql = sql, .stmt = made};
    }
    entry->used = ++db->clock;
    entry->busy = true;
    *stmt = entry->stmt;
    return ERR_OK;
}

void db_finish(struct db *db, sqlite3_stmt *stmt)
{
    (void)sqlite3_reset(stmt); /* its code repeats that of the last step */
    (void)sqlite3_clear_bindings(stmt);
    for (size_t i = 0; i < db->cached; i++)
        if (db->cache[i].stmt == stmt)
            db->cache[i].busy = false;
}

void db_forget_statements(struct db *db)
{
    for (size_t i = 0; i < db->cached; i++)
        sqlite3_finalize(db->cache[i].stmt);
    db->cached = 0;
}

/* An empty slice is an empty text or blob, not NULL. */
static int bind_value(sqlite3_stmt *stmt, int at, const struct db_value *value)
{
    const char *bytes = value->bytes.len ? (const char *)value->bytes.ptr : "";
    switch (value->kind) {
    case DB_KIND_I64:
        return sqlite3_bind_int64(stmt, at, value->number);
    case DB_KIND_TEXT:
        return sqlite3_bind_text64(stmt, at, bytes, value->bytes.len, SQLITE_STATIC, SQLITE_UTF8);
    case DB_KIND_BLOB:
        return sqlite3_bind_blob64(stmt, at, bytes, value->bytes.len, SQLITE_STATIC);
    default:
        return sqlite3_bind_null(stmt, at);
    }
}

static enum err prepare_bound(struct db *db, const char *sql, const struct db_value *args,
                              sqlite3_stmt **stmt, struct why *why)
{
    enum err err = db_prepare(db, sql, stmt, why);
    int rc = SQLITE_OK;
    for (int i = 0; !err && rc == SQLITE_OK && args && args[i].kind != DB_KIND_END; i++)
        rc = bind_value(*stmt, i + 1, &args[i]);
    if (rc != SQLITE_OK) {
        err = db_error(db, rc, "bind", why);
        db_finish(db, *stmt);
    }
    return err;
}

enum err db_run(struct db *db, const char *sql, const struct db_value *args, struct why *why)
{
    sqlite3_stmt *stmt;
    enum err err = prepare_bound(db, sql, args, &stmt, why);
    if (err)
        return err;
    int rc = SQLITE_DONE;
    if (db->many && !sqlite3_stmt_readonly(stmt))
        err = err_set(why, ERR_INTERNAL, "a write within a larger read");
    else
        do
            rc = sqlite3_step(stmt);
        while (rc == SQLITE_ROW);
    if (rc != SQLITE_DONE)
        err = db_error(db, rc, "step", why);
    db_finish(db, stmt);
    return err ? err : db_map_check(db, why);
}

uint64_t db_changes(const struct db *db)
{
    return (uint64_t)sqlite3_changes64(db->handle);
}

uint64_t db_last_id(const struct db *db)
{
    return (uint64_t)sqlite3_last_insert_rowid(db->handle);
}

enum err db_query(struct db *db, const char *sql, const struct db_value *args, struct db_rows *rows,
                  struct why *why)
{
    sqlite3_stmt *stmt;
    enum err err = prepare_bound(db, sql, args, &stmt, why);
    if (!err)
        *rows = (struct db_rows){.db = db, .stmt = stmt, .rc = SQLITE_ROW};
    return err;
}

bool db_next(struct db_rows *rows)
{
    if (rows->rc == SQLITE_ROW)
        rows->rc = sqlite3_step(rows->stmt);
    return rows->rc == SQLITE_ROW && !io_map_failed(rows->db->map);
}

enum err db_end(struct db_rows *rows, struct why *why)
{
    enum err err = db_map_check(rows->db, why);
    if (!err && rows->rc != SQLITE_ROW && rows->rc != SQLITE_DONE)
        err = db_error(rows->db, rows->rc, "step", why);
    db_finish(rows->db, rows->stmt);
    return err;
}

uint64_t db_u64(const struct db_rows *rows, int column)
{
    return (uint64_t)sqlite3_column_int64(rows->stmt, column);
}

int64_t db_i64(const struct db_rows *rows, int column)
{
    return sqlite3_column_int64(rows->stmt, column);
}

struct slice db_slice(const struct db_rows *rows, int column)
{
    const void *bytes = sqlite3_column_blob(rows->stmt, column);
    int len = sqlite3_column_bytes(rows->stmt, column);
    return bytes && len > 0 ? slice_make(bytes, (size_t)len) : SLICE_EMPTY;
}

bool db_is_null(const struct db_rows *rows, int column)
{
    return sqlite3_column_type(rows->stmt, column) == SQLITE_NULL;
}

enum err db_number(struct db *db, const char *sql, const struct db_value *args, uint64_t fallback,
                   uint64_t *number, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(db, sql, args, &rows, why);
    if (err)
        return err;
    uint64_t found = fallback;
    if (db_next(&rows) && !db_is_null(&rows, 0))
        found = db_u64(&rows, 0);
    err = db_end(&rows, why);
    if (!err)
        *number = found;
    return err;
}
