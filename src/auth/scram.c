/* scram.c: the keys of SCRAM-SHA-256 (RFC 5802 section 3, RFC 7677). Works on what sasl_scram.c parsed and on
 * verifiers from the operator's files. Called by exchange.c and password.c. */
#include "auth/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <string.h>

#include "grammar/base64.h"

#define KEY_LEN           SASL_SCRAM_KEY_LEN
#define VERIFIER_TEXT_MAX 400

static bool hmac(const uint8_t key[KEY_LEN], struct slice text, uint8_t out[KEY_LEN])
{
    unsigned len = 0;
    return HMAC(EVP_sha256(), key, KEY_LEN, text.ptr, text.len, out, &len) && len == KEY_LEN;
}

/* SaltedPassword := Hi(Normalize(password), salt, i); ClientKey := HMAC(SaltedPassword, "Client Key");
 * StoredKey := H(ClientKey); ServerKey := HMAC(SaltedPassword, "Server Key") */
enum err scram_derive(struct slice password, struct scram_verifier *v)
{
    uint8_t salted[KEY_LEN], client[KEY_LEN];
    if (password.len > SASL_PASSWORD_MAX || v->iterations == 0 || v->iterations > SCRAM_ITERATIONS_MAX)
        return ERR_BAD;
    bool ok = PKCS5_PBKDF2_HMAC((const char *)password.ptr, (int)password.len, v->salt, v->salt_len,
                                (int)v->iterations, EVP_sha256(), KEY_LEN, salted) == 1 &&
              hmac(salted, SLICE("Client Key"), client) && SHA256(client, KEY_LEN, v->stored_key) &&
              hmac(salted, SLICE("Server Key"), v->server_key);
    OPENSSL_cleanse(salted, sizeof salted);
    OPENSSL_cleanse(client, sizeof client);
    return ok ? ERR_OK : ERR_INTERNAL;
}

static bool take_key(struct arena *arena, struct slice *rest, uint8_t key[KEY_LEN])
{
    struct slice text, bytes;
    if (!slice_token(rest, ',', &text) || !base64_decode_in(arena, text, &bytes) || bytes.len != KEY_LEN)
        return false;
    memcpy(key, bytes.ptr, KEY_LEN);
    return true;
}

enum err scram_verifier_parse(struct slice text, struct scram_verifier *verifier)
{
    if (text.len > VERIFIER_TEXT_MAX)
        return ERR_BAD;
    AUTO_ARENA struct arena *arena = arena_new(8 * VERIFIER_TEXT_MAX);
    struct scram_verifier v = {0};
    struct slice count, salt64, salt;
    uint64_t iterations;
    if (!slice_token(&text, ',', &count) || !slice_u64(count, SCRAM_ITERATIONS_MAX, &iterations) ||
        iterations == 0)
        return ERR_BAD;
    if (!slice_token(&text, ',', &salt64) || !base64_decode_in(arena, salt64, &salt) || salt.len == 0 ||
        salt.len > SCRAM_SALT_MAX)
        return ERR_BAD;
    if (!take_key(arena, &text, v.stored_key) || !take_key(arena, &text, v.server_key) || text.len)
        return ERR_BAD;
    v.iterations = (uint32_t)iterations;
    v.salt_len = (uint8_t)salt.len;
    memcpy(v.salt, salt.ptr, salt.len);
    *verifier = v;
    return ERR_OK;
}

void scram_verifier_write(const struct scram_verifier *v, struct buf *out)
{
    buf_addf(out, "%u,", v->iterations);
    base64_encode(out, slice_make(v->salt, v->salt_len), 0);
    buf_add_byte(out, ',');
    base64_encode(out, slice_make(v->stored_key, KEY_LEN), 0);
    buf_add_byte(out, ',');
    base64_encode(out, slice_make(v->server_key, KEY_LEN), 0);
}

enum err scram_verify_password(const struct scram_verifier *verifier, struct slice password)
{
    struct scram_verifier mine = *verifier;
    enum err err = scram_derive(password, &mine);
    if (!err && CRYPTO_memcmp(mine.stored_key, verifier->stored_key, KEY_LEN) != 0)
        err = ERR_REFUSED;
    OPENSSL_cleanse(&mine, sizeof mine);
    return err;
}

/* ClientSignature := HMAC(StoredKey, AuthMessage); ClientKey := ClientProof XOR ClientSignature; good when
 * H(ClientKey) = StoredKey. ServerSignature := HMAC(ServerKey, AuthMessage) */
enum err scram_verify_proof(const struct scram_verifier *v, struct slice auth_message,
                            const uint8_t proof[KEY_LEN], uint8_t signature[KEY_LEN])
{
    uint8_t client[KEY_LEN], hashed[KEY_LEN];
    if (!hmac(v->stored_key, auth_message, client))
        return ERR_INTERNAL;
    for (size_t i = 0; i < KEY_LEN; i++)
        client[i] ^= proof[i];
    enum err err = ERR_INTERNAL;
    if (SHA256(client, KEY_LEN, hashed))
        err = CRYPTO_memcmp(hashed, v->stored_key, KEY_LEN) == 0 ? ERR_OK : ERR_REFUSED;
    OPENSSL_cleanse(client, sizeof client);
    if (!err && !hmac(v->server_key, auth_message, signature))
        err = ERR_INTERNAL;
    return err;
}
