/* The tables of system.db: what an older release has queued is there after the upgrade, and is sent. */
#include "out_rig.h"

#include "db/db.h"

static const char yaml[] = OUT_YAML "queue: { retry_first: 1h }\n";

/* Two messages as schema 1 kept them: one for an account and another server, one that was being delivered. */
static const char rows_1[] =
    "INSERT INTO queue_message (id, sender, received, session, account, envid, ret, smtputf8, eightbit,"
    " requiretls, size, created, client) VALUES"
    " ('000000000000001', 'far@remote.example', x'52656365697665643a20780d0a', 'sess00000001', '', 'E1', 2, "
    "0,"
    " 1, 0, 100, %llu, '192.0.2.1'),"
    " ('000000000000002', 'john@example.org', x'', 'sess00000002', 'john@example.org', '', 0, 1, 0, 0, 200,"
    " %llu, '192.0.2.2');"
    "INSERT INTO queue_recipient (message, ordinal, kind, target, address, orcpt, notify, claimed, due,"
    " attempts, error) VALUES"
    " ('000000000000001', 0, 0, 'jane@example.org', 'info@example.org', 'rfc822;i', 6, 0, 5, 3, 'full'),"
    " ('000000000000001', 1, 1, 'a@example.net', 'out@example.org', '', 0, 0, 6, 0, ''),"
    " ('000000000000002', 0, 0, 'john@example.org', 'john@example.org', '', 0, 1, 7, 0, '');"
    "INSERT INTO trace (time, session, id, event) VALUES (1, 'sess00000001', '000000000000001', 'came')";

/* A database of this version with those rows, as ./system.db. */
static void make(uint32_t version)
{
    struct db_schema old = spool_schema;
    struct db *db = NULL;
    struct why why;
    char sql[4000];
    unsigned long long now = clock_unix_ms();
    old.count = version;
    assert_int_equal(db_open(SPOOL_PATH, DB_EXCLUSIVE, &old, NULL, &db, &why), ERR_OK);
    (void)snprintf(sql, sizeof sql, rows_1, now, now);
    assert_int_equal(db_exec(db, sql, &why), ERR_OK);
    db_close(&db);
}

static uint64_t number(struct db *db, const char *sql)
{
    uint64_t got;
    struct why why;
    assert_int_equal(db_number(db, sql, DB_NO_ARGS, UINT64_MAX, &got, &why), ERR_OK);
    return got;
}

static void columns(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        uint64_t wanted;
    } rows[] = {
        {"SELECT count(*) FROM queue_message", 2},
        {"SELECT count(*) FROM queue_recipient", 3},
        {"SELECT count(*) FROM queue_message WHERE id = '000000000000001' AND sender = 'far@remote.example'"
         " AND received = x'52656365697665643a20780d0a' AND envid = 'E1' AND ret = 2 AND eightbit = 1"
         " AND size = 100 AND client = '192.0.2.1' AND session = 'sess00000001'",
         1},
        {"SELECT count(*) FROM queue_message WHERE signature = x'' AND utf8_header = 0 AND message_id = ''"
         " AND warned = 0 AND subject = ''",
         2},
        {"SELECT count(*) FROM queue_recipient WHERE ordinal = 0 AND target = 'jane@example.org' AND address "
         "="
         " 'info@example.org' AND orcpt = 'rfc822;i' AND notify = 6 AND claimed = 0 AND due = 5 AND attempts "
         "="
         " 3 AND error = 'full'",
         1},
        {"SELECT count(*) FROM queue_recipient WHERE route = 'local' AND priority = 0 AND hold = '' AND code "
         "= 0"
         " AND enhanced = '' AND remote = ''",
         3},
        {"SELECT count(*) FROM queue_recipient WHERE sender = 'far@remote.example' AND ordinal = 1", 1},
        {"SELECT count(*) FROM queue_recipient WHERE sender = ''", 2},
        {"SELECT due FROM queue_route WHERE route = 'local'", 0}, /* looked at, at once */
        {"SELECT count(*) FROM sqlite_master WHERE name = 'queue_held' AND sql LIKE '%(route, claimed)%'", 1},
        {"SELECT count(*) FROM trace WHERE event = 'came'", 1},
        {"SELECT count(*) FROM relay_usage", 0},
        {"SELECT count(*) FROM attempt", 0},
        {"SELECT count(*) FROM queue_clock", 0},
    };
    char folder[] = "/tmp/rd-unit-XXXXXX", command[100];
    struct db *db = NULL;
    struct why why;
    uint32_t before;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    make(1);
    assert_int_equal(db_open(SPOOL_PATH, DB_EXCLUSIVE, &spool_schema, &before, &db, &why), ERR_OK);
    assert_int_equal(before, 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t got = number(db, rows[i].sql);
        if (got != rows[i].wanted)
            fail_msg("row %zu: %llu", i, (unsigned long long)got);
    }
    assert_int_equal(db_check(db, &why), ERR_OK);
    db_close(&db);
    /* the snapshot is the database as it was */
    struct db_schema old = spool_schema;
    old.count = 1;
    assert_int_equal(db_open(SPOOL_PATH ".before-3", DB_EXCLUSIVE, &old, &before, &db, &why), ERR_OK);
    assert_int_equal(number(db, "SELECT count(*) FROM queue_recipient"), 3);
    db_close(&db);
    /* and the program of then refuses the new one */
    assert_int_equal(db_open(SPOOL_PATH, DB_EXCLUSIVE, &old, &before, &db, &why), ERR_REFUSED);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(chdir("/tmp"), 0);
    assert_int_equal(system(command), 0);
}

/* The whole role begins on it: what waited is delivered and sent, the claimed row too. */
static void is_sent(void **state)
{
    (void)state;
    struct out *o = out_new(yaml, NULL);
    rig_halt(o->rig);
    assert_int_equal(system("rm -f system.db*"), 0);
    make(1);
    rig_boot(o->rig, yaml, NULL);
    o->q = out_context;
    out_tell_accounts(o->rig);
    (void)out_take(o, 1, NULL);
    const struct out_send *send = &o->sends[strcmp(o->sends[0].first, "a@example.net") != 0];
    assert_string_equal(send->id, "000000000000001");
    assert_string_equal(send->first, "a@example.net");
    assert_string_equal(send->host, "example.net");
    assert_string_equal(send->sender, "far@remote.example");
    assert_string_equal(send->prefix, "Received: x\r\n");
    /* who wanted to hear that it was delivered does */
    const struct out_send *told = send == &o->sends[0] ? &o->sends[1] : &o->sends[0];
    assert_string_equal(told->first, "far@remote.example");
    assert_string_equal(told->sender, "");
    out_reply(o, &o->sends[0], &out_sent, 1);
    out_reply(o, &o->sends[1], &out_sent, 1);
    out_until_number(o, OUT_ROWS, 0);
    out_until_number(o, "SELECT count(*) FROM queue_message", 0);
    assert_int_equal(o->count, 2);
    assert_int_equal(o->deliveries, 2);
    out_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(columns), cmocka_unit_test(is_sent)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
