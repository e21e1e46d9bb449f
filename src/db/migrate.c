/* migrate.c: schema versions. The version stands in the file's user_version; the way up is one transaction
 * after a snapshot; the way down is the snapshot. Called by db_open() only. */
#include <inttypes.h>
#include <stdio.h>

#include "db/db_private.h"

#define MIGRATE_PATH_MAX 4096

static enum err read_version(struct db *db, uint32_t *version, struct why *why)
{
    uint64_t number = 0;
    enum err err = db_number(db, "PRAGMA user_version", DB_NO_ARGS, 0, &number, why);
    if (!err && number > UINT32_MAX / 2)
        return err_set(why, ERR_INTERNAL, "damaged schema version");
    if (!err)
        *version = (uint32_t)number;
    return err;
}

/* The way back is told together with the refusal: the snapshot made when the file was brought to the newer
 * version. */
static enum err refuse_newer(const char *path, const struct db_schema *schema, uint32_t version,
                             struct why *why)
{
    return err_set(why, ERR_REFUSED,
                   "%s: %s has schema version %" PRIu32 ", this program knows up to %" PRIu32
                   ": use the newer release, or go back to %s.before-*",
                   path, schema->name, version, schema->count, path);
}

static enum err make_snapshot(struct db *db, const char *path, uint32_t to, struct why *why)
{
    char name[MIGRATE_PATH_MAX];
    int len = snprintf(name, sizeof name, "%s.before-%" PRIu32, path, to);
    if (len < 0 || (size_t)len >= sizeof name)
        return err_set(why, ERR_INTERNAL, "path of a database is too long");
    return db_backup(db, name, why);
}

static enum err run_steps(struct db *db, const struct db_schema *schema, uint32_t from, struct why *why)
{
    enum err err = ERR_OK;
    for (uint32_t i = from; !err && i < schema->count; i++) {
        if (schema->steps[i].sql)
            err = db_exec(db, schema->steps[i].sql, why);
        if (!err && schema->steps[i].run)
            err = schema->steps[i].run(db, schema->arg, why);
    }
    char sql[64];
    (void)snprintf(sql, sizeof sql, "PRAGMA user_version=%" PRIu32, schema->count);
    return err ? err : db_exec(db, sql, why);
}

enum err db_migrate(struct db *db, const char *path, const struct db_schema *schema, unsigned flags,
                    uint32_t *migrated, struct why *why)
{
    uint32_t version = 0;
    enum err err = read_version(db, &version, why);
    if (err)
        return err;
    if (version > schema->count)
        return refuse_newer(path, schema, version, why);
    db->version = schema->count;
    if (version == schema->count)
        return ERR_OK;
    if (flags & DB_READ_ONLY)
        return err_set(why, ERR_REFUSED, "%s: %s is of an older release: start the server once", path,
                       schema->name);
    if (version > 0)
        err = make_snapshot(db, path, schema->count, why);
    if (!err)
        err = db_begin(db, why);
    if (!err)
        err = run_steps(db, schema, version, why);
    err = err ? err : db_commit(db, why);
    if (err) {
        db_rollback(db);
        return err;
    }
    *migrated = version;
    return ERR_OK;
}
