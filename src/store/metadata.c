/* metadata.c: annotations in the index. Input: names and values of a peer, names checked here again. Called
 * by the role's jobs and by names.c. */
#include "store/metadata.h"

static bool is_shared(struct slice entry)
{
    return slice_starts(entry, SLICE("/shared"));
}

/* Whose row it is: names below /shared are everybody's. */
static struct slice owner_of(struct slice entry, struct slice who)
{
    return is_shared(entry) ? SLICE_EMPTY : who;
}

/* Is `entry` named by `asked`: itself, a child (depth 1), anything below (depth 2)? */
static bool is_asked(struct slice entry, struct slice asked, uint32_t depth)
{
    if (!slice_starts(entry, asked))
        return false;
    if (entry.len == asked.len)
        return true;
    if (!depth || entry.ptr[asked.len] != '/')
        return false;
    return depth > 1 || slice_find(slice_from(entry, asked.len + 1), '/') < 0;
}

static void add_row(struct buf *rows, struct slice mailbox, struct slice entry, struct slice value)
{
    wire_strings_add(rows, mailbox);
    wire_strings_add(rows, entry);
    wire_strings_add(rows, value);
}

/* All of one owner that begin with the name, in order: "0" is the character behind "/". */
static const char select_below[] = "SELECT entry, value FROM metadata WHERE mailbox = ? AND who = ?"
                                   " AND entry >= ?3 AND entry < ?3 || '0'";

static enum err get_entry(struct account *account, const struct metadata_query *q, struct slice asked,
                          struct slice name, struct buf *rows, uint64_t *longest, struct why *why)
{
    struct db_rows found;
    enum err err =
        db_query(account->db, select_below,
                 DB_ARGS(DB_U64(q->mailbox), DB_TEXT(owner_of(asked, q->who)), DB_TEXT(asked)), &found, why);
    if (err)
        return err;
    while (db_next(&found)) {
        struct slice entry = db_slice(&found, 0), value = db_slice(&found, 1);
        if (!is_asked(entry, asked, q->depth))
            continue;
        if (value.len > q->max_size)
            *longest = value.len > *longest ? value.len : *longest;
        else
            add_row(rows, name, entry, value);
    }
    return db_end(&found, why);
}

enum err metadata_get(struct account *account, const struct metadata_query *query, struct slice name,
                      struct buf *rows, uint64_t *longest, struct why *why)
{
    struct slice rest = query->entries, asked;
    enum err err = ERR_OK;
    while (!err && wire_strings_take(&rest, &asked))
        err = get_entry(account, query, asked, name, rows, longest, why);
    return err;
}

enum err metadata_get_every(struct account *account, const struct metadata_query *query, struct buf *rows,
                            struct why *why)
{
    struct slice rest = query->entries, asked;
    enum err err = ERR_OK;
    while (!err && wire_strings_take(&rest, &asked)) {
        struct db_rows found;
        err = db_query(account->db, "SELECT mailbox, value FROM metadata WHERE who = ? AND entry = ?",
                       DB_ARGS(DB_TEXT(owner_of(asked, query->who)), DB_TEXT(asked)), &found, why);
        if (err)
            return err;
        while (db_next(&found)) {
            const struct mailbox *m = account_mailbox_by_id(account, db_u64(&found, 0));
            if (m)
                add_row(rows, m->name, asked, db_slice(&found, 1));
        }
        err = db_end(&found, why);
    }
    return err;
}

/* ---- changes ---- */

static enum err refuse(struct refusal *refusal, enum store_code code, const char *text)
{
    refusal->code = code;
    return err_set(&refusal->why, ERR_REFUSED, "%s", text);
}

static enum err check_changes(struct slice changes, struct refusal *refusal)
{
    struct slice entry, value;
    while (wire_strings_take(&changes, &entry)) {
        if (!wire_strings_take(&changes, &value) || !value.len || !entry.len ||
            entry.len > METADATA_ENTRY_MAX)
            return refuse(refusal, STORE_CODE_CANNOT, "not an annotation");
        if (value.len - 1 > WIRE_METADATA_VALUE_MAX)
            return refuse(refusal, STORE_CODE_METADATA_MAXSIZE, "the value is too long");
    }
    return changes.len ? refuse(refusal, STORE_CODE_CANNOT, "not an annotation") : ERR_OK;
}

static enum err change_one(struct account *account, uint64_t mailbox, struct slice who, struct slice entry,
                           struct slice value, struct why *why)
{
    if (value.ptr[0] != '=')
        return db_run(account->db, "DELETE FROM metadata WHERE mailbox = ? AND who = ? AND entry = ?",
                      DB_ARGS(DB_U64(mailbox), DB_TEXT(owner_of(entry, who)), DB_TEXT(entry)), why);
    return db_run(account->db,
                  "INSERT OR REPLACE INTO metadata (mailbox, who, entry, value) VALUES (?, ?, ?, ?)",
                  DB_ARGS(DB_U64(mailbox), DB_TEXT(owner_of(entry, who)), DB_TEXT(entry),
                          DB_BLOB(slice_from(value, 1))),
                  why);
}

/* What would stand there when this is committed. Readers cannot use up what is the owner's. */
static enum err check_limits(struct account *account, uint64_t mailbox, struct slice who,
                             struct refusal *refusal)
{
    uint64_t count = 0, bytes = 0, all = 0;
    enum err err =
        db_number(account->db, "SELECT count(*) FROM metadata WHERE mailbox = ? AND (who = ? OR who = '')",
                  DB_ARGS(DB_U64(mailbox), DB_TEXT(who)), 0, &count, &refusal->why);
    if (!err)
        err = db_number(account->db, "SELECT sum(length(entry) + length(value)) FROM metadata WHERE who = ?",
                        DB_ARGS(DB_TEXT(who)), 0, &bytes, &refusal->why);
    if (!err)
        err = db_number(account->db,
                        "SELECT sum(length(entry) + length(value)) FROM metadata WHERE (who = '') = (? = '')",
                        DB_ARGS(DB_TEXT(who)), 0, &all, &refusal->why);
    if (err)
        return err;
    bool fits = count <= METADATA_ENTRIES_MAX && all <= METADATA_BYTES_MAX &&
                (!who.len || bytes <= METADATA_READER_MAX);
    return fits ? ERR_OK : refuse(refusal, STORE_CODE_METADATA_TOOMANY, "too many annotations");
}

enum err metadata_set(struct account *account, uint64_t mailbox, struct slice who, struct slice changes,
                      struct refusal *refusal)
{
    enum err err = check_changes(changes, refusal);
    if (err)
        return err;
    err = db_begin(account->db, &refusal->why);
    struct slice entry, value;
    bool adds = false;
    while (!err && wire_strings_take(&changes, &entry) && wire_strings_take(&changes, &value)) {
        err = change_one(account, mailbox, who, entry, value, &refusal->why);
        adds = adds || value.ptr[0] == '=';
    }
    if (!err && adds) /* what is over the limit already can still be reduced */
        err = check_limits(account, mailbox, who, refusal);
    err = err ? err : db_commit(account->db, &refusal->why);
    if (!err)
        return ERR_OK;
    db_rollback(account->db);
    if (!refusal->code)
        refusal->code = STORE_CODE_UNAVAILABLE;
    return err;
}

enum err metadata_forget(struct account *account, uint64_t mailbox, struct why *why)
{
    return db_run(account->db, "DELETE FROM metadata WHERE mailbox = ?", DB_ARGS(DB_U64(mailbox)), why);
}
