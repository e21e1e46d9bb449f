/* schema.c: tables of an account's index.db, step by step. A released step is never edited: add one. The
 * reasons for the shape stand in docs/store.md. */
#include "store/schema.h"

/* account    one row: whose it is, the counters as of the last fold
 * mailbox    one row each, counters as of change `folded`; keywords: wire_strings
 * packed     up to 1,000 messages of a mailbox per row; id: mailbox << 32 | lowest UID the row may hold
 * log        changes since the last fold
 * message    one row per file: size and checksum of the file, header block in front, facts without the text
 * text       decoded text for SEARCH: first byte how it is kept, then a varint length, then the text
 * shared     messages that stand in several mailboxes: how often
 * doomed     messages in no mailbox: row and file go when it is time
 * delivered  queue ids, so that a delivery that is asked for twice is done once
 * vanished   UIDs expunged, for QRESYNC */
static const char version_1[] =
    "CREATE TABLE account (key INTEGER PRIMARY KEY CHECK (key = 1), address TEXT NOT NULL, created INTEGER "
    "NOT NULL,"
    " modseq INTEGER NOT NULL, next_message INTEGER NOT NULL, next_mailbox INTEGER NOT NULL,"
    " uidvalidity INTEGER NOT NULL);"
    "CREATE TABLE mailbox (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, flags INTEGER NOT NULL,"
    " special_use INTEGER NOT NULL, uidvalidity INTEGER NOT NULL, uidnext INTEGER NOT NULL, modseq INTEGER "
    "NOT NULL,"
    " folded INTEGER NOT NULL, vanished_floor INTEGER NOT NULL, messages INTEGER NOT NULL, unseen INTEGER "
    "NOT NULL,"
    " deleted INTEGER NOT NULL, bytes INTEGER NOT NULL, recent_from INTEGER NOT NULL, keywords BLOB NOT "
    "NULL);"
    "CREATE TABLE subscription (name TEXT PRIMARY KEY) WITHOUT ROWID;"
    "CREATE TABLE packed (id INTEGER PRIMARY KEY, state BLOB NOT NULL);"
    "CREATE TABLE log (modseq INTEGER PRIMARY KEY, mailbox INTEGER NOT NULL, change BLOB NOT NULL);"
    "CREATE TABLE message (id INTEGER PRIMARY KEY, size INTEGER NOT NULL, date INTEGER NOT NULL, sum BLOB "
    "NOT NULL,"
    " header BLOB NOT NULL, facts BLOB NOT NULL);"
    "CREATE TABLE text (id INTEGER PRIMARY KEY, text BLOB NOT NULL);"
    "CREATE TABLE shared (id INTEGER PRIMARY KEY, uses INTEGER NOT NULL);"
    "CREATE TABLE doomed (id INTEGER PRIMARY KEY, since INTEGER NOT NULL);"
    "CREATE TABLE delivered (queue_id TEXT PRIMARY KEY, at INTEGER NOT NULL, mailbox INTEGER NOT NULL,"
    " uid INTEGER NOT NULL, message INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX delivered_at ON delivered (at);"
    "CREATE TABLE vanished (modseq INTEGER PRIMARY KEY, mailbox INTEGER NOT NULL, uids BLOB NOT NULL);"
    "CREATE INDEX vanished_mailbox ON vanished (mailbox, modseq);";

/* metadata   annotations (RFC 5464); mailbox 0: the server's; who: empty for the owner's own and the shared
 *            ones, else the account that reads a shared mailbox
 * acl        who may do what with a mailbox; rights: bits of grammar/imap_acl.h
 * own_limit  one row or none: the quota the account has set itself, below the administrator's
 * sortkey    columns of sort keys, see sortkeys.h
 * urlkey     keys that sign URLs of messages in a mailbox (RFC 4467)
 * fulltext   blocks of search.db that hold, see fulltext.h; gone: messages removed since, since: the first of
 * them
 * saved      when messages came into a mailbox whose INTERNALDATE does not say it, see saved.h
 * account.closed: the stamp of the last clean end, see closed.h; mailbox.state_*: what the file with its
 * packed state must hold, see state.h
 *
 * Folders that stand where those of other accounts are shown from now on make room. */
static const char version_2[] =
    "CREATE TABLE metadata (mailbox INTEGER NOT NULL, who TEXT NOT NULL, entry TEXT NOT NULL,"
    " value BLOB NOT NULL, PRIMARY KEY (mailbox, who, entry)) WITHOUT ROWID;"
    "CREATE TABLE acl (mailbox INTEGER NOT NULL, identifier TEXT NOT NULL, rights INTEGER NOT NULL,"
    " PRIMARY KEY (mailbox, identifier)) WITHOUT ROWID;"
    "UPDATE OR IGNORE mailbox SET name = 'Other Users (own)' || substr(name, 12)"
    " WHERE name = 'Other Users' OR substr(name, 1, 12) = 'Other Users/';"
    "UPDATE OR IGNORE subscription SET name = 'Other Users (own)' || substr(name, 12)"
    " WHERE name = 'Other Users' OR substr(name, 1, 12) = 'Other Users/';"
    "CREATE TABLE own_limit (key INTEGER PRIMARY KEY CHECK (key = 1), bytes INTEGER NOT NULL,"
    " messages INTEGER NOT NULL);"
    "CREATE TABLE sortkey (id INTEGER PRIMARY KEY, keys BLOB NOT NULL);"
    "CREATE TABLE urlkey (mailbox INTEGER PRIMARY KEY, key BLOB NOT NULL);"
    "CREATE TABLE fulltext (block INTEGER PRIMARY KEY, stamp INTEGER NOT NULL, gone INTEGER NOT NULL,"
    " since INTEGER NOT NULL);"
    "CREATE TABLE saved (mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, last INTEGER NOT NULL,"
    " date INTEGER NOT NULL, PRIMARY KEY (mailbox, uid)) WITHOUT ROWID;"
    "ALTER TABLE account ADD COLUMN closed INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE mailbox ADD COLUMN state_len INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE mailbox ADD COLUMN state_sum INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE mailbox ADD COLUMN state_dead INTEGER NOT NULL DEFAULT 0;";

static const struct db_step steps[] = {{.sql = version_1}, {.sql = version_2}};

const struct db_schema schema_index = {
    .name = "account index", .steps = steps, .count = sizeof steps / sizeof *steps};

const struct schema_usual schema_usual[] = {
    {SLICE("INBOX"), SPECIAL_NONE}, {SLICE("Drafts"), SPECIAL_DRAFTS}, {SLICE("Sent"), SPECIAL_SENT},
    {SLICE("Junk"), SPECIAL_JUNK},  {SLICE("Trash"), SPECIAL_TRASH},   {SLICE("Archive"), SPECIAL_ARCHIVE},
    {SLICE_EMPTY, SPECIAL_NONE},
};
