/* saved.c: see saved.h. Input: our own changes; our own table. Called by commit.c, names.c, the search and
 * the role's jobs. */
#include "store/saved.h"

#include <stdlib.h>

#include "store/load.h"

/* A run that goes on where the last one ended, in the same second, is one with it. */
static enum err add_run(struct account *account, uint64_t mailbox, uint32_t first, uint32_t last,
                        uint32_t now, struct why *why)
{
    enum err err =
        db_run(account->db,
               "UPDATE saved SET last = ? WHERE mailbox = ? AND last = ? AND date = ? AND"
               " uid = (SELECT max(uid) FROM saved WHERE mailbox = ?)",
               DB_ARGS(DB_U64(last), DB_U64(mailbox), DB_U64(first - 1), DB_U64(now), DB_U64(mailbox)), why);
    if (err || db_changes(account->db))
        return err;
    return db_run(account->db, "INSERT INTO saved (mailbox, uid, last, date) VALUES (?, ?, ?, ?)",
                  DB_ARGS(DB_U64(mailbox), DB_U64(first), DB_U64(last), DB_U64(now)), why);
}

enum err saved_note(struct account *account, const struct mailbox *m, struct slice packed, uint32_t now,
                    struct why *why)
{
    struct entry *entries = NULL;
    size_t count = 0;
    enum err err = load_entries(packed, &entries, &count, why);
    for (size_t i = 0, from; !err && i < count;) {
        for (from = i; i < count && entries[i].date != now && entries[i].uid - entries[from].uid == i - from;)
            i++;
        if (i > from)
            err = add_run(account, m->id, entries[from].uid, entries[i - 1].uid, now, why);
        else
            i++;
    }
    free(entries);
    return err;
}

enum err saved_forget(struct account *account, uint64_t mailbox, struct why *why)
{
    return db_run(account->db, "DELETE FROM saved WHERE mailbox = ?", DB_ARGS(DB_U64(mailbox)), why);
}

enum err saved_ranges(struct account *account, uint64_t mailbox, struct buf *ranges, struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(account->db, "SELECT uid, last, date FROM saved WHERE mailbox = ? ORDER BY uid",
                            DB_ARGS(DB_U64(mailbox)), &rows, why);
    if (err)
        return err;
    while (buf_ok(ranges) && db_next(&rows))
        for (int column = 0; column < 3; column++)
            buf_add_le32(ranges, (uint32_t)db_u64(&rows, column));
    err = db_end(&rows, why);
    return err || buf_ok(ranges) ? err : err_set(why, ERR_REFUSED, "too many dates of saving in the mailbox");
}
