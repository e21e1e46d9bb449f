/* The database layer: statements, transactions, schema versions with their snapshots, copies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "db/db.h"

static const char step_1[] = "CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT UNIQUE, data BLOB)";
static const char step_2[] = "ALTER TABLE thing ADD COLUMN size INTEGER NOT NULL DEFAULT 7";
static const char step_bad[] = "CREATE TABLE half (id INTEGER); INSERT INTO nowhere VALUES (1)";

static unsigned ran;
static enum err count_run(struct db *db, void *arg, struct why *why)
{
    (void)arg;
    ran++;
    return db_run(db, "UPDATE thing SET size = 8", DB_NO_ARGS, why);
}

static const struct db_step steps[] = {{.sql = step_1}, {.sql = step_2, .run = count_run}};
static const struct db_step bad_steps[] = {{.sql = step_1}, {.sql = step_bad}};
static const struct db_schema version_1 = {.name = "things", .steps = steps, .count = 1};
static const struct db_schema version_2 = {.name = "things", .steps = steps, .count = 2};
static const struct db_schema version_bad = {.name = "things", .steps = bad_steps, .count = 2};

static char folder[64];

static int enter(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/rd-db-XXXXXX");
    return !mkdtemp(folder) || chdir(folder);
}

static int leave(void **state)
{
    (void)state;
    char command[100];
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return chdir("/tmp") || system(command);
}

static struct db *open_as(const struct db_schema *schema, unsigned flags)
{
    struct db *db = NULL;
    struct why why;
    enum err err = db_open("t.db", flags, schema, NULL, &db, &why);
    if (err)
        print_error("%s\n", why.text);
    assert_int_equal(err, ERR_OK);
    return db;
}

static void insert(struct db *db, uint64_t id, const char *name)
{
    struct why why;
    assert_int_equal(db_run(db, "INSERT INTO thing (id, name, data) VALUES (?, ?, ?)",
                            DB_ARGS(DB_U64(id), DB_TEXT(slice_of(name)), DB_BLOB(SLICE("a\0b"))), &why),
                     ERR_OK);
}

static uint64_t count(struct db *db)
{
    uint64_t n = 99;
    struct why why;
    assert_int_equal(db_number(db, "SELECT count(*) FROM thing", DB_NO_ARGS, 0, &n, &why), ERR_OK);
    return n;
}

static void test_statements(void **state)
{
    (void)state;
    struct why why;
    struct db *db = open_as(&version_1, DB_EXCLUSIVE);
    insert(db, 1, "one");
    insert(db, UINT64_MAX, "last"); /* comes back equal */
    assert_int_equal(db_run(db, "INSERT INTO thing (id, name) VALUES (?, ?)",
                            DB_ARGS(DB_U64(2), DB_TEXT(SLICE("one"))), &why),
                     ERR_REFUSED);
    struct db_rows rows;
    assert_int_equal(
        db_query(db, "SELECT id, name, data, NULL FROM thing ORDER BY name", DB_NO_ARGS, &rows, &why),
        ERR_OK);
    assert_true(db_next(&rows));
    assert_true(db_u64(&rows, 0) == UINT64_MAX);
    assert_true(slice_eq(db_slice(&rows, 1), SLICE("last")));
    assert_true(slice_eq(db_slice(&rows, 2), SLICE("a\0b")));
    assert_true(db_is_null(&rows, 3) && db_slice(&rows, 3).len == 0);
    assert_true(db_next(&rows));
    assert_false(db_next(&rows));
    assert_false(db_next(&rows));
    assert_int_equal(db_end(&rows, &why), ERR_OK);
    assert_int_equal(db_exec(db, "nonsense", &why), ERR_INTERNAL);
    /* more statements than are kept */
    for (int i = 0; i < 2 * DB_STATEMENTS_MAX; i++) {
        char *sql = malloc(100);
        uint64_t n = 0;
        (void)snprintf(sql, 100, "SELECT %d", i);
        assert_int_equal(db_number(db, sql, DB_NO_ARGS, 0, &n, &why), ERR_OK);
        assert_int_equal(n, i);
        free(sql); /* a later text may lie at the same place */
    }
    db_close(&db);
    assert_null(db);
}

static void test_transactions(void **state)
{
    (void)state;
    struct why why;
    struct db *db = open_as(&version_1, DB_EXCLUSIVE);
    assert_int_equal(db_begin(db, &why), ERR_OK);
    assert_true(db_in_transaction(db));
    insert(db, 1, "one");
    db_rollback(db);
    db_rollback(db);
    assert_int_equal(count(db), 0);
    assert_int_equal(db_begin(db, &why), ERR_OK);
    insert(db, 1, "one");
    assert_int_equal(db_commit(db, &why), ERR_OK);
    assert_true(db_wal_bytes(db) > 0);
    assert_int_equal(db_checkpoint(db, &why), ERR_OK);
    assert_int_equal(db_wal_bytes(db), 0);
    assert_int_equal(db_check(db, &why), ERR_OK);
    assert_int_equal(db_backup(db, "copy.db", &why), ERR_OK);
    assert_int_equal(db_begin(db, &why), ERR_OK);
    insert(db, 2, "two");
    db_close(&db); /* what is open is rolled back */
    db = open_as(&version_1, DB_EXISTING | DB_EXCLUSIVE);
    assert_int_equal(count(db), 1);
    assert_int_not_equal(access("t.db-shm", F_OK), 0); /* alone: no locks there for every read */
    db_close(&db);
    assert_int_equal(access("copy.db", R_OK), 0);
}

static void test_migration(void **state)
{
    (void)state;
    struct why why;
    struct db *db = open_as(&version_1, 0);
    insert(db, 1, "one");
    db_close(&db);
    uint32_t from = 0;
    ran = 0;
    assert_int_equal(db_open("t.db", 0, &version_2, &from, &db, &why), ERR_OK);
    assert_int_equal(from, 1);
    assert_int_equal(ran, 1);
    uint64_t size = 0;
    assert_int_equal(db_number(db, "SELECT size FROM thing", DB_NO_ARGS, 0, &size, &why), ERR_OK);
    assert_int_equal(size, 8);
    db_close(&db);
    db = open_as(&version_2, 0); /* nothing to do any more */
    assert_int_equal(ran, 1);
    db_close(&db);
    /* the older program: a clear text, and the way back works */
    assert_int_equal(db_open("t.db", 0, &version_1, NULL, &db, &why), ERR_REFUSED);
    assert_non_null(strstr(why.text, "schema version 2"));
    assert_non_null(strstr(why.text, "before-"));
    assert_int_equal(rename("t.db.before-2", "t.db"), 0);
    db = open_as(&version_1, 0);
    assert_int_equal(count(db), 1);
    db_close(&db);
}

/* A step that fails leaves the file as it was. */
static void test_failed_migration(void **state)
{
    (void)state;
    struct why why;
    struct db *db = open_as(&version_1, 0);
    insert(db, 1, "one");
    db_close(&db);
    assert_int_equal(db_open("t.db", 0, &version_bad, NULL, &db, &why), ERR_INTERNAL);
    db = open_as(&version_1, 0);
    uint64_t half = 9;
    assert_int_equal(
        db_number(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'half'", DB_NO_ARGS, 0, &half, &why),
        ERR_OK);
    assert_int_equal(half, 0);
    assert_int_equal(count(db), 1);
    db_close(&db);
}

static void test_what_is_there(void **state)
{
    (void)state;
    struct why why;
    struct db *db = NULL;
    assert_int_equal(db_open("none.db", DB_EXISTING, &version_1, NULL, &db, &why), ERR_ABSENT);
    assert_int_equal(access("none.db", F_OK), -1);
    FILE *file = fopen("bad.db", "w");
    for (int i = 0; i < 1000; i++)
        (void)fputs("this is not a database ", file);
    (void)fclose(file);
    assert_int_equal(db_open("bad.db", 0, &version_1, NULL, &db, &why), ERR_INTERNAL);
    assert_null(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_statements, enter, leave),
        cmocka_unit_test_setup_teardown(test_transactions, enter, leave),
        cmocka_unit_test_setup_teardown(test_migration, enter, leave),
        cmocka_unit_test_setup_teardown(test_failed_migration, enter, leave),
        cmocka_unit_test_setup_teardown(test_what_is_there, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
