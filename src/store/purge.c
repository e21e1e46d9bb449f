/* purge.c: what was expunged leaves the disk: first the files, then, in one transaction, the rows. A crash in
 * between leaves rows marked as doomed, whose files are removed (again) by the next purge. Called by the
 * upkeep. */
#include "store/account.h"
#include "store/blob.h"
#include "store/fulltext.h"
#include "store/sortkeys.h"

#define PURGE_MAX 100000

static enum err list_doomed(struct account *account, int64_t until, uint64_t most, struct vec *ids,
                            struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(account->db, "SELECT id FROM doomed WHERE since <= ? LIMIT ?",
                            DB_ARGS(DB_I64(until), DB_U64(most < PURGE_MAX ? most : PURGE_MAX)), &rows, why);
    if (err)
        return err;
    while (db_next(&rows)) {
        uint64_t *place = vec_push(ids);
        if (place)
            *place = db_u64(&rows, 0);
    }
    return db_end(&rows, why);
}

static enum err delete_rows(struct account *account, const struct vec *ids, struct why *why)
{
    enum err err = db_begin(account->db, why);
    for (size_t i = 0; !err && i < ids->len; i++) {
        uint64_t id = *VEC_AT(ids, uint64_t, i);
        err = db_run(account->db, "DELETE FROM message WHERE id = ?", DB_ARGS(DB_U64(id)), why);
        if (!err)
            err = db_run(account->db, "DELETE FROM text WHERE id = ?", DB_ARGS(DB_U64(id)), why);
        if (!err)
            err = db_run(account->db, "DELETE FROM doomed WHERE id = ?", DB_ARGS(DB_U64(id)), why);
        if (!err)
            err = sortkeys_purge(account, id, why);
    }
    if (!err)
        err = fulltext_note_gone(account, ids->items, ids->len, why);
    if (!err) /* ids are never given out twice, also when the highest row goes */
        err = db_run(account->db, "UPDATE account SET next_message = ?",
                     DB_ARGS(DB_U64(atomic_load(&account->next_message))), why);
    err = err ? err : db_commit(account->db, why);
    if (err)
        db_rollback(account->db);
    return err;
}

enum err account_purge(struct account *account, int64_t until, uint64_t most, struct why *why)
{
    if (!account->doomed)
        return ERR_OK;
    struct vec ids = VEC_NEW(uint64_t, PURGE_MAX);
    enum err err = list_doomed(account, until, most, &ids, why);
    for (size_t i = 0; !err && i < ids.len; i++)
        err = blob_remove(&account->root, account->folder, *VEC_AT(&ids, uint64_t, i), why);
    if (!err && ids.len) {
        account->purges += ids.len;
        account->fulltext_stale = ACCOUNT_STALE;
        fulltext_close(account); /* its list is read anew */
        err = delete_rows(account, &ids, why);
    }
    if (!err) {
        account->doomed -= ids.len < account->doomed ? ids.len : account->doomed;
        uint64_t next = 0; /* messages that were shared are counted, but not doomed */
        err = db_number(account->db, "SELECT min(since) FROM doomed", DB_NO_ARGS, 0, &next, why);
        if (!err && !next)
            account->doomed = 0;
        account->doomed_next = next + ACCOUNT_DOOMED_S + 1;
    }
    vec_free(&ids);
    return err;
}
