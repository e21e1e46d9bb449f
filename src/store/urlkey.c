/* urlkey.c: keys that sign URLs, one per mailbox, made when the first URL is signed. Input: URLs of clients,
 * as opaque text. */
#include "store/urlkey.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

static bool hmac(const uint8_t key[URLKEY_LEN], struct slice text, uint8_t mac[URLKEY_LEN])
{
    unsigned len = 0;
    return HMAC(EVP_sha256(), key, URLKEY_LEN, text.ptr, text.len, mac, &len) && len == URLKEY_LEN;
}

bool urlkey_load(void)
{
    static const uint8_t key[URLKEY_LEN];
    uint8_t mac[URLKEY_LEN];
    return OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) && hmac(key, SLICE("x"), mac);
}

static enum err read_key(struct account *account, uint64_t mailbox, uint8_t key[URLKEY_LEN], bool *found,
                         struct why *why)
{
    struct db_rows rows;
    enum err err = db_query(account->db, "SELECT key FROM urlkey WHERE mailbox = ?", DB_ARGS(DB_U64(mailbox)),
                            &rows, why);
    if (err)
        return err;
    struct slice stored = db_next(&rows) ? db_slice(&rows, 0) : SLICE_EMPTY;
    *found = stored.len == URLKEY_LEN;
    if (*found)
        memcpy(key, stored.ptr, URLKEY_LEN);
    return db_end(&rows, why);
}

/* One statement, committed. */
static enum err run_alone(struct account *account, const char *sql, const struct db_value *args,
                          struct why *why)
{
    enum err err = db_begin(account->db, why);
    if (err)
        return err;
    err = db_run(account->db, sql, args, why);
    err = err ? err : db_commit(account->db, why);
    if (err)
        db_rollback(account->db);
    return err;
}

enum err urlkey_sign(struct account *account, uint64_t mailbox, struct slice text, const uint8_t *fresh,
                     uint8_t mac[URLKEY_LEN], struct why *why)
{
    uint8_t key[URLKEY_LEN];
    bool found = false;
    enum err err = read_key(account, mailbox, key, &found, why);
    if (!err && !found && !fresh) {
        err = err_set(why, ERR_ABSENT, "no URL of the mailbox is signed");
    } else if (!err && !found) {
        memcpy(key, fresh, URLKEY_LEN);
        err = run_alone(account, "INSERT OR REPLACE INTO urlkey (mailbox, key) VALUES (?, ?)",
                        DB_ARGS(DB_U64(mailbox), DB_BLOB(slice_make(key, URLKEY_LEN))), why);
    }
    if (!err && !hmac(key, text, mac))
        err = err_set(why, ERR_INTERNAL, "HMAC-SHA256 failed");
    OPENSSL_cleanse(key, sizeof key);
    return err;
}

enum err urlkey_reset(struct account *account, uint64_t mailbox, struct why *why)
{
    return run_alone(account, "DELETE FROM urlkey WHERE mailbox = ?1 OR ?1 = 0", DB_ARGS(DB_U64(mailbox)),
                     why);
}

enum err urlkey_forget(struct account *account, uint64_t mailbox, struct why *why)
{
    return db_run(account->db, "DELETE FROM urlkey WHERE mailbox = ?", DB_ARGS(DB_U64(mailbox)), why);
}

bool urlkey_equal(const uint8_t a[URLKEY_LEN], const uint8_t b[URLKEY_LEN])
{
    return CRYPTO_memcmp(a, b, URLKEY_LEN) == 0;
}
