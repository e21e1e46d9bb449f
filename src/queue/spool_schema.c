/* spool_schema.c: the tables of system.db, as steps: a released step is never edited. What waits costs
 * nothing until it is due: rows a process works on and rows that are held stand in no index of what is due.
 */
#include "queue/spool.h"

/* kind: 0 an account of ours, 1 another server. claimed: enum of spool.h. */
static const struct db_step steps[] = {
    {.sql = "CREATE TABLE queue_message ("
            " id TEXT PRIMARY KEY, sender TEXT NOT NULL, received BLOB NOT NULL, session TEXT NOT NULL,"
            " account TEXT NOT NULL, envid TEXT NOT NULL, ret INTEGER NOT NULL, smtputf8 INTEGER NOT NULL,"
            " eightbit INTEGER NOT NULL, requiretls INTEGER NOT NULL, size INTEGER NOT NULL,"
            " created INTEGER NOT NULL, client TEXT NOT NULL) WITHOUT ROWID;"
            "CREATE TABLE queue_recipient ("
            " message TEXT NOT NULL, ordinal INTEGER NOT NULL, kind INTEGER NOT NULL, target TEXT NOT NULL,"
            " address TEXT NOT NULL, orcpt TEXT NOT NULL, notify INTEGER NOT NULL, claimed INTEGER NOT NULL,"
            " due INTEGER NOT NULL, attempts INTEGER NOT NULL, error TEXT NOT NULL,"
            " PRIMARY KEY (message, ordinal)) WITHOUT ROWID;"
            "CREATE INDEX queue_due ON queue_recipient (claimed, due);"
            "CREATE TABLE trace (number INTEGER PRIMARY KEY, time INTEGER NOT NULL, session TEXT NOT NULL,"
            " id TEXT NOT NULL, event TEXT NOT NULL);"},
    {.sql = "ALTER TABLE queue_message ADD COLUMN signature BLOB NOT NULL DEFAULT x'';"
            "ALTER TABLE queue_message ADD COLUMN utf8_header INTEGER NOT NULL DEFAULT 0;"
            "ALTER TABLE queue_message ADD COLUMN message_id TEXT NOT NULL DEFAULT '';"
            "ALTER TABLE queue_message ADD COLUMN warned INTEGER NOT NULL DEFAULT 0;"
            "ALTER TABLE queue_recipient ADD COLUMN sender TEXT NOT NULL DEFAULT '';"
            "ALTER TABLE queue_recipient ADD COLUMN route TEXT NOT NULL DEFAULT 'local';"
            "ALTER TABLE queue_recipient ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;"
            "ALTER TABLE queue_recipient ADD COLUMN hold TEXT NOT NULL DEFAULT '';"
            "ALTER TABLE queue_recipient ADD COLUMN code INTEGER NOT NULL DEFAULT 0;"
            "ALTER TABLE queue_recipient ADD COLUMN enhanced TEXT NOT NULL DEFAULT '';"
            "ALTER TABLE queue_recipient ADD COLUMN remote TEXT NOT NULL DEFAULT '';"
            "DROP INDEX queue_due;"
            "CREATE INDEX queue_waiting ON queue_recipient (route, priority, due) WHERE claimed = 0;"
            "CREATE INDEX queue_held ON queue_recipient (message) WHERE claimed = 2;"
            "CREATE INDEX queue_age ON queue_message (warned, created);"
            "CREATE TABLE queue_route (route TEXT PRIMARY KEY, due INTEGER NOT NULL) WITHOUT ROWID;"
            "CREATE INDEX queue_route_due ON queue_route (due);"
            "INSERT INTO queue_route (route, due) VALUES ('local', 0);"
            "CREATE TABLE relay_usage (relay TEXT NOT NULL, window INTEGER NOT NULL, used INTEGER NOT NULL,"
            " PRIMARY KEY (relay, window)) WITHOUT ROWID;"
            "CREATE TABLE attempt (hour INTEGER NOT NULL, domain TEXT NOT NULL, mx TEXT NOT NULL,"
            " policy TEXT NOT NULL, tls_result TEXT NOT NULL, outcome INTEGER NOT NULL,"
            " count INTEGER NOT NULL,"
            " PRIMARY KEY (hour, domain, mx, policy, tls_result, outcome)) WITHOUT ROWID;"
            "CREATE TABLE queue_clock (one INTEGER PRIMARY KEY, correction INTEGER NOT NULL,"
            " clock_offset INTEGER NOT NULL, seen INTEGER NOT NULL, boot TEXT NOT NULL);"},
    /* Rows from before step 2 leave with the message's sender, not with none. */
    {.sql = "ALTER TABLE queue_message ADD COLUMN subject TEXT NOT NULL DEFAULT '';"
            "ALTER TABLE queue_message ADD COLUMN to_sign BLOB NOT NULL DEFAULT x'';"
            "DROP INDEX queue_held;" /* counted by route, for what is shown */
            "CREATE INDEX queue_held ON queue_recipient (route, claimed) WHERE claimed = 2;"
            "DROP INDEX queue_waiting;" /* with `claimed` what waits is counted without looking at the rows */
            "CREATE INDEX queue_waiting ON queue_recipient (route, priority, claimed, due) WHERE claimed = 0;"
            "UPDATE queue_recipient SET sender = (SELECT sender FROM queue_message WHERE id = message)"
            " WHERE kind = 1 AND sender = '';"},
};
const struct db_schema spool_schema = {.name = "queue database", .steps = steps, .count = ARRAY_LEN(steps)};
