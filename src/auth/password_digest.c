/* password_digest.c: digests of password and salt in base64 or hexadecimal ({SSHA512}, {SHA256.HEX},
 * {PLAIN-MD5} …), and Dovecot's PBKDF2. Called by password.c. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "auth/password.h"
#include "base/arena.h"
#include "base/coll.h"
#include "base/mem.h"
#include "grammar/base64.h"

#define PBKDF2_LEN 20 /* SHA-1 */

static const struct digest_scheme {
    const char *name;
    const EVP_MD *(*md)(void);
    bool salted;
} digest_schemes[] = {
    {"SSHA512", EVP_sha512, true}, {"SSHA256", EVP_sha256, true}, {"SSHA", EVP_sha1, true},
    {"SMD5", EVP_md5, true},       {"SHA512", EVP_sha512, false}, {"SHA256", EVP_sha256, false},
    {"SHA1", EVP_sha1, false},     {"SHA", EVP_sha1, false},      {"PLAIN-MD5", EVP_md5, false},
    {"LDAP-MD5", EVP_md5, false},
};

/* A suffix ".HEX" or ".B64" names the encoding, which is seen from the text anyway. */
static const struct digest_scheme *find_scheme(struct slice scheme)
{
    if (slice_iends(scheme, SLICE(".HEX")) || slice_iends(scheme, SLICE(".B64")))
        scheme.len -= 4;
    for (size_t i = 0; i < ARRAY_LEN(digest_schemes); i++)
        if (slice_ieq(scheme, slice_of(digest_schemes[i].name)))
            return &digest_schemes[i];
    return NULL;
}

bool password_digest_known(struct slice scheme)
{
    return find_scheme(scheme) != NULL;
}

/* Hexadecimal where the scheme says so or an unsalted digest has exactly twice its length, else base64. */
static bool decode_in(struct arena *arena, const struct digest_scheme *s, struct slice scheme,
                      struct slice body, size_t len, struct slice *bytes)
{
    bool hex = slice_iends(scheme, SLICE(".HEX")) || (!s->salted && body.len == 2 * len);
    return hex ? hex_decode_in(arena, body, bytes) : base64_decode_in(arena, body, bytes);
}

enum err password_digest_verify(struct slice scheme, struct slice body, struct slice password)
{
    const struct digest_scheme *s = find_scheme(scheme);
    if (!s)
        return ERR_INTERNAL;
    AUTO_ARENA struct arena *arena = arena_new(4 * PASSWORD_SECRET_MAX);
    size_t len = (size_t)EVP_MD_get_size(s->md());
    struct slice bytes;
    if (!decode_in(arena, s, scheme, body, len, &bytes) || bytes.len < len ||
        (!s->salted && bytes.len != len))
        return ERR_INTERNAL;
    uint8_t made[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestInit_ex(ctx, s->md(), NULL) &&
              EVP_DigestUpdate(ctx, password.ptr, password.len) &&
              EVP_DigestUpdate(ctx, bytes.ptr + len, bytes.len - len) && EVP_DigestFinal_ex(ctx, made, NULL);
    EVP_MD_CTX_free(ctx);
    if (!ok)
        return ERR_INTERNAL;
    return CRYPTO_memcmp(made, bytes.ptr, len) == 0 ? ERR_OK : ERR_REFUSED;
}

/* $1$salt$rounds$hex */
static bool pbkdf2_parse(struct slice body, struct slice *salt, uint64_t *rounds, struct slice *hex)
{
    if (!slice_starts(body, SLICE("$1$")))
        return false;
    struct slice rest = slice_from(body, 3), count;
    if (!slice_token(&rest, '$', salt) || salt->len == 0 || !slice_token(&rest, '$', &count) ||
        !slice_u64(count, INT32_MAX, rounds) || *rounds == 0)
        return false;
    *hex = rest;
    return rest.len == 2 * PBKDF2_LEN;
}

enum err password_pbkdf2_check(struct slice body, struct why *why)
{
    struct slice salt, hex;
    uint64_t rounds;
    if (!pbkdf2_parse(body, &salt, &rounds, &hex))
        return err_set(why, ERR_BAD, "a damaged PBKDF2 hash");
    return rounds > PASSWORD_PBKDF2_ROUNDS_MAX
               ? err_set(why, ERR_REFUSED, "more than %d rounds", PASSWORD_PBKDF2_ROUNDS_MAX)
               : ERR_OK;
}

enum err password_pbkdf2_verify(struct slice body, struct slice password)
{
    struct slice salt, hex, bytes;
    uint64_t rounds;
    uint8_t made[PBKDF2_LEN];
    AUTO_ARENA struct arena *arena = arena_new(4 * PASSWORD_SECRET_MAX);
    if (!pbkdf2_parse(body, &salt, &rounds, &hex) || !hex_decode_in(arena, hex, &bytes))
        return ERR_INTERNAL;
    if (PKCS5_PBKDF2_HMAC((const char *)password.ptr, (int)password.len, salt.ptr, (int)salt.len, (int)rounds,
                          EVP_sha1(), PBKDF2_LEN, made) != 1)
        return ERR_INTERNAL;
    return CRYPTO_memcmp(made, bytes.ptr, PBKDF2_LEN) == 0 ? ERR_OK : ERR_REFUSED;
}
