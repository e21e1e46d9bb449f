/* An index of the release before: brought to what this one needs, with everything that was in it, and a copy
 * of how it was beside it. */
#include "rig.h"
#include "store/acl.h"
#include "store/schema.h"

/* Tables of version 1; whatever else there is came later. */
static const char tables_1[] =
    " account mailbox subscription packed log message text shared doomed delivered "
    "vanished ";

static void drop_later_tables(struct db *db)
{
    struct db_rows rows;
    struct why why;
    char drops[4000] = "";
    size_t len = 0;
    assert_int_equal(
        db_query(db, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
                 DB_NO_ARGS, &rows, &why),
        ERR_OK);
    while (db_next(&rows)) {
        char name[100];
        (void)snprintf(name, sizeof name, " %.*s ", SLICE_ARG(db_slice(&rows, 0)));
        if (!strstr(tables_1, name))
            len += (size_t)snprintf(drops + len, sizeof drops - len, "DROP TABLE IF EXISTS%s;", name);
    }
    assert_int_equal(db_end(&rows, &why), ERR_OK);
    assert_true(len > 0);
    if (db_exec(db, drops, &why))
        fail_msg("%s", why.text);
}

/* As the program before has left it. */
static void make_old(struct rig *rig)
{
    char path[200];
    struct db *db = NULL;
    account_free(&rig->account);
    (void)snprintf(path, sizeof path, "%s/accounts/ann@example.test/index.db", rig->path);
    assert_int_equal(db_open(path, DB_EXCLUSIVE | DB_EXISTING, &schema_index, NULL, &db, &rig->why), ERR_OK);
    drop_later_tables(db);
    assert_int_equal(db_exec(db,
                             "UPDATE mailbox SET name = 'Other Users' WHERE name = 'own';"
                             "UPDATE mailbox SET name = 'Other Users/mine' WHERE name = 'own/mine';"
                             "INSERT INTO subscription (name) VALUES ('Other Users/mine');"
                             "ALTER TABLE account DROP COLUMN closed;"
                             "ALTER TABLE mailbox DROP COLUMN state_len;"
                             "ALTER TABLE mailbox DROP COLUMN state_sum;"
                             "ALTER TABLE mailbox DROP COLUMN state_dead;"
                             "PRAGMA user_version = 1",
                             &rig->why),
                     ERR_OK);
    db_close(&db);
}

static void test_from_version_1(void **state)
{
    (void)state;
    struct rig rig;
    rig_start(&rig);
    assert_int_equal(names_create(rig.account, SLICE("own/mine"), SPECIAL_NONE, &rig.refusal), ERR_OK);
    assert_int_equal(names_create(rig.account, SLICE("Other Usersx"), SPECIAL_NONE, &rig.refusal), ERR_OK);
    assert_int_equal(rig_deliver(&rig, "1", ""), 1);
    assert_int_equal(rig_deliver(&rig, "2", "own/mine"), 1);
    make_old(&rig);
    rig_open(&rig);
    const struct mailbox *m = account_mailbox(rig.account, SLICE("Other Users (own)/mine"));
    assert_non_null(m); /* others' mailboxes are shown under the old name now */
    assert_int_equal(m->messages, 1);
    assert_non_null(account_mailbox(rig.account, SLICE("Other Users (own)")));
    assert_non_null(account_mailbox(rig.account, SLICE("Other Usersx")));
    assert_null(account_mailbox(rig.account, SLICE("Other Users")));
    assert_non_null(map_get(rig.account->subscriptions, SLICE("Other Users (own)/mine")));
    assert_int_equal(account_mailbox(rig.account, SLICE("INBOX"))->messages, 1);
    assert_int_equal(acl_set(rig.account, account_mailbox(rig.account, SLICE("INBOX")), SLICE("anyone"),
                             ACL_ADD, RIGHT_READ, &rig.refusal),
                     ERR_OK);
    assert_int_equal(rig_deliver(&rig, "3", ""), 2);
    rig_reopen(&rig);
    assert_int_equal(account_mailbox(rig.account, SLICE("INBOX"))->messages, 2);
    char path[200];
    (void)snprintf(path, sizeof path, "%s/accounts/ann@example.test/index.db.before-2", rig.path);
    assert_int_equal(access(path, R_OK), 0);
    rig_stop(&rig);
}

int main(void)
{
    (void)!metric_attach(&metrics_table, -1, "test", NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_from_version_1)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
