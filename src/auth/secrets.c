/* secrets.c: the table of accounts kept by command. Reads only what it wrote. */
#include "auth/secrets.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/coll.h"
#include "base/mem.h"
#include "db/db.h"

struct secrets {
    struct db *db;
};

static const struct db_step steps[] = {
    {.sql = "CREATE TABLE account (address TEXT PRIMARY KEY, hash TEXT NOT NULL, scram TEXT NOT NULL,"
            " created INTEGER NOT NULL, changed INTEGER NOT NULL) WITHOUT ROWID"},
};
static const struct db_schema schema = {
    .name = "account database", .steps = steps, .count = ARRAY_LEN(steps)};

enum err secrets_open(const char *path, struct secrets **secrets, struct why *why)
{
    struct db *db = NULL;
    uint32_t before;
    enum err err = db_open(path, DB_EXCLUSIVE, &schema, &before, &db, why);
    if (err)
        return err;
    *secrets = mem_zero(1, sizeof **secrets);
    (*secrets)->db = db;
    return ERR_OK;
}

void secrets_close(struct secrets **secrets)
{
    if (!*secrets)
        return;
    db_close(&(*secrets)->db);
    free(*secrets);
    *secrets = NULL;
}

enum err secrets_walk(struct secrets *secrets, void (*each)(void *arg, const struct secrets_row *row),
                      void *arg, struct why *why)
{
    struct db_rows rows;
    enum err err =
        db_query(secrets->db, "SELECT address, hash, scram, created, changed FROM account ORDER BY address",
                 DB_NO_ARGS, &rows, why);
    if (err)
        return err;
    while (db_next(&rows)) {
        const struct secrets_row row = {.address = db_slice(&rows, 0),
                                        .hash = db_slice(&rows, 1),
                                        .scram = db_slice(&rows, 2),
                                        .created_unix_s = db_u64(&rows, 3),
                                        .changed_unix_s = db_u64(&rows, 4)};
        each(arg, &row);
    }
    return db_end(&rows, why);
}

static enum err change(struct secrets *secrets, const char *sql, const struct db_value *args,
                       uint64_t *changed, struct why *why)
{
    enum err err = db_begin(secrets->db, why);
    if (!err)
        err = db_run(secrets->db, sql, args, why);
    uint64_t count = err ? 0 : db_changes(secrets->db);
    if (!err)
        err = db_commit(secrets->db, why);
    if (err)
        db_rollback(secrets->db);
    *changed = count;
    return err;
}

enum err secrets_add(struct secrets *secrets, const struct secrets_row *row, struct why *why)
{
    uint64_t changed, now = (uint64_t)clock_unix_s();
    enum err err = change(
        secrets,
        "INSERT INTO account (address, hash, scram, created, changed) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        DB_ARGS(DB_TEXT(row->address), DB_TEXT(row->hash), DB_TEXT(row->scram), DB_U64(now), DB_U64(now)),
        &changed, why);
    return !err && !changed ? err_set(why, ERR_REFUSED, "the account exists already") : err;
}

enum err secrets_change(struct secrets *secrets, const struct secrets_row *row, struct why *why)
{
    uint64_t changed, now = (uint64_t)clock_unix_s();
    enum err err = change(
        secrets, "UPDATE account SET hash = ?, scram = ?, changed = ? WHERE address = ?",
        DB_ARGS(DB_TEXT(row->hash), DB_TEXT(row->scram), DB_U64(now), DB_TEXT(row->address)), &changed, why);
    return !err && !changed ? err_set(why, ERR_ABSENT, "no such account in the database") : err;
}

enum err secrets_remove(struct secrets *secrets, struct slice address, struct why *why)
{
    uint64_t changed;
    enum err err =
        change(secrets, "DELETE FROM account WHERE address = ?", DB_ARGS(DB_TEXT(address)), &changed, why);
    return !err && !changed ? err_set(why, ERR_ABSENT, "no such account in the database") : err;
}
