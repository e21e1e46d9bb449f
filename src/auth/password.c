/* password.c: recognises stored passwords and asks crypt(3) or the kind's own file. Input: secrets from the
 * operator's files (trusted to be his, not to be cheap or whole) and a stranger's password. Called by
 * verify.c and accounts.c. */
#include "auth/password.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "auth/scram.h"
#include "base/coll.h"
#include "base/mem.h"

/* "{SCHEME}" off the front; a brace that is never closed is part of a plain password. */
static struct slice take_scheme(struct slice *rest)
{
    ptrdiff_t end = slice_find(*rest, '}');
    if (rest->len == 0 || rest->ptr[0] != '{' || end < 2 || end > 32)
        return SLICE_EMPTY;
    struct slice scheme = slice_sub(*rest, 1, (size_t)end - 1);
    for (size_t i = 0; i < scheme.len; i++)
        if (!ascii_is_alnum(scheme.ptr[i]) && slice_find(SLICE("-._"), scheme.ptr[i]) < 0)
            return SLICE_EMPTY;
    *rest = slice_from(*rest, (size_t)end + 1);
    return scheme;
}

/* ---- crypt(3) ---- */

/* "$2y$05$" and 53 characters */
static enum err check_bcrypt(struct slice body, struct why *why)
{
    uint64_t cost;
    if (body.len != 60 || body.ptr[6] != '$' || !slice_u64(slice_sub(body, 4, 2), 99, &cost) || cost < 4)
        return err_set(why, ERR_BAD, "a bcrypt hash has 60 characters and a cost from 04");
    if (cost > PASSWORD_BCRYPT_COST_MAX)
        return err_set(why, ERR_REFUSED, "bcrypt cost above %d", PASSWORD_BCRYPT_COST_MAX);
    return ERR_OK;
}

/* "$6$[rounds=N$]salt$hash", "$5$…" the same */
static enum err check_sha_crypt(struct slice body, struct why *why)
{
    struct slice rest = slice_from(body, 3), part;
    uint64_t rounds;
    if (slice_starts(rest, SLICE("rounds="))) {
        if (!slice_token(&rest, '$', &part) || !slice_u64(slice_from(part, 7), 999999999, &rounds))
            return err_set(why, ERR_BAD, "rounds= without a number");
        if (rounds > PASSWORD_SHA_ROUNDS_MAX)
            return err_set(why, ERR_REFUSED, "more than %d rounds", PASSWORD_SHA_ROUNDS_MAX);
    }
    size_t len = body.ptr[1] == '6' ? 86 : 43;
    if (!slice_token(&rest, '$', &part) || part.len > 16 || rest.len != len)
        return err_set(why, ERR_BAD, "a damaged hash: wrong length");
    return ERR_OK;
}

static enum err check_md5_crypt(struct slice body, struct why *why)
{
    struct slice rest = slice_from(body, 3), salt;
    if (!slice_token(&rest, '$', &salt) || salt.len > 8 || rest.len != 22)
        return err_set(why, ERR_BAD, "a damaged hash: wrong length");
    return ERR_OK;
}

/* "$y$j9T$salt$hash": only the parameters of crypt(5)'s costs 1 to 8, so that its memory stays below 64 MiB
 */
static enum err check_yescrypt(struct slice body, struct why *why)
{
    struct slice rest = slice_from(body, 3), params, salt;
    if (!slice_token(&rest, '$', &params) || !slice_token(&rest, '$', &salt) || rest.len != 43)
        return err_set(why, ERR_BAD, "a damaged hash: wrong length");
    bool cheap = params.len == 3 && params.ptr[0] == 'j' &&
                 slice_find(SLICE("56789ABC"), params.ptr[1]) >= 0 &&
                 (params.ptr[2] == '5' || params.ptr[2] == 'T');
    return cheap ? ERR_OK : err_set(why, ERR_REFUSED, "yescrypt with unusual parameters");
}

static const struct crypt_id {
    struct slice id;
    enum password_kind kind;
    enum err (*check)(struct slice body, struct why *why);
} crypt_ids[] = {
    {{(const uint8_t *)"$2a$", 4}, PASSWORD_CRYPT, check_bcrypt},
    {{(const uint8_t *)"$2b$", 4}, PASSWORD_CRYPT, check_bcrypt},
    {{(const uint8_t *)"$2y$", 4}, PASSWORD_CRYPT, check_bcrypt},
    {{(const uint8_t *)"$6$", 3}, PASSWORD_CRYPT, check_sha_crypt},
    {{(const uint8_t *)"$5$", 3}, PASSWORD_CRYPT, check_sha_crypt},
    {{(const uint8_t *)"$1$", 3}, PASSWORD_CRYPT, check_md5_crypt},
    {{(const uint8_t *)"$y$", 3}, PASSWORD_CRYPT, check_yescrypt},
    {{(const uint8_t *)"$argon2id$", 10}, PASSWORD_ARGON2, password_argon2_check},
    {{(const uint8_t *)"$argon2i$", 9}, PASSWORD_ARGON2, password_argon2_check},
};

static enum err verify_crypt(struct slice body, struct slice password)
{
    char setting[PASSWORD_SECRET_MAX + 1], phrase[CRYPT_MAX_PASSPHRASE_SIZE];
    if (body.len >= sizeof setting || password.len >= sizeof phrase || slice_find(password, 0) >= 0)
        return ERR_REFUSED;
    memcpy(setting, body.ptr, body.len);
    setting[body.len] = '\0';
    memcpy(phrase, password.ptr, password.len);
    phrase[password.len] = '\0';
    struct crypt_data *data = mem_zero(1, sizeof *data);
    const char *made = crypt_rn(phrase, setting, data, sizeof *data);
    enum err err = ERR_INTERNAL;
    if (made && made[0] != '*')
        err = strlen(made) == body.len && CRYPTO_memcmp(made, setting, body.len) == 0 ? ERR_OK : ERR_REFUSED;
    mem_wipe(phrase, sizeof phrase);
    mem_wipe(data, sizeof *data);
    free(data);
    return err;
}

/* ---- by prefix ---- */

static enum err check_scram(struct slice body, struct why *why)
{
    struct scram_verifier verifier;
    return scram_verifier_parse(body, &verifier) ? err_set(why, ERR_BAD, "a damaged SCRAM verifier") : ERR_OK;
}

static enum err recognise_by_scheme(struct slice scheme, struct slice body, enum password_kind *kind,
                                    struct why *why)
{
    if (slice_ieq(scheme, SLICE("PLAIN")) || slice_ieq(scheme, SLICE("CLEARTEXT")) ||
        slice_ieq(scheme, SLICE("CLEAR"))) {
        *kind = PASSWORD_PLAIN;
        return body.len ? ERR_OK : err_set(why, ERR_BAD, "an empty password");
    }
    if (slice_ieq(scheme, SLICE("SCRAM-SHA-256"))) {
        *kind = PASSWORD_SCRAM;
        return check_scram(body, why);
    }
    if (password_digest_known(scheme)) {
        *kind = PASSWORD_DIGEST;
        return ERR_OK;
    }
    return err_set(why, ERR_BAD, "the scheme {%.*s} is not supported, or the hash behind it is damaged",
                   SLICE_ARG(scheme));
}

/* "$id$…" with an id as crypt(5) has them: surely meant as a hash */
static bool looks_like_hash(struct slice body)
{
    if (body.len < 10 || body.ptr[0] != '$')
        return false;
    ptrdiff_t end = slice_find(slice_from(body, 1), '$');
    if (end < 1 || end > 16)
        return false;
    for (ptrdiff_t i = 1; i <= end; i++)
        if (!ascii_is_alnum(body.ptr[i]) && body.ptr[i] != '-')
            return false;
    return true;
}

enum err password_recognise(struct slice secret, struct password_form *form, struct why *why)
{
    if (secret.len == 0 || secret.len > PASSWORD_SECRET_MAX || slice_find(secret, 0) >= 0)
        return err_set(why, ERR_BAD, "an empty, overlong or binary password entry");
    struct slice body = secret, scheme = take_scheme(&body);
    struct password_form made = {.scheme = scheme, .body = body};
    enum err err = ERR_BAD;
    bool found = false;
    if (slice_ieq(scheme, SLICE("PBKDF2"))) { /* its own "$1$" is a version, not crypt(3)'s MD5 */
        made.kind = PASSWORD_PBKDF2;
        err = password_pbkdf2_check(body, why);
        found = true;
    }
    for (size_t i = 0; !found && i < ARRAY_LEN(crypt_ids); i++) {
        if (!slice_starts(body, crypt_ids[i].id))
            continue;
        made.kind = crypt_ids[i].kind;
        err = crypt_ids[i].check(body, why);
        found = true;
    }
    if (!found && scheme.len)
        err = recognise_by_scheme(scheme, body, &made.kind, why);
    else if (!found && looks_like_hash(body))
        err = err_set(why, ERR_BAD, "a hash of a kind that is not supported");
    else if (!found)
        err = ERR_OK; /* neither prefix nor id: the password itself, as in a JSON map */
    if (!err)
        *form = made;
    return err;
}

static enum err verify_plain(struct slice body, struct slice password)
{
    return body.len == password.len && CRYPTO_memcmp(body.ptr, password.ptr, body.len) == 0 ? ERR_OK
                                                                                            : ERR_REFUSED;
}

static enum err verify_scram(struct slice body, struct slice password)
{
    struct scram_verifier verifier;
    return scram_verifier_parse(body, &verifier) ? ERR_INTERNAL : scram_verify_password(&verifier, password);
}

enum err password_verify(const struct password_form *form, struct slice password)
{
    if (password.len == 0 || password.len > SASL_PASSWORD_MAX)
        return ERR_REFUSED;
    switch (form->kind) {
    case PASSWORD_PLAIN:
        return verify_plain(form->body, password);
    case PASSWORD_CRYPT:
        return verify_crypt(form->body, password);
    case PASSWORD_ARGON2:
        return password_argon2_verify(form->body, password);
    case PASSWORD_DIGEST:
        return password_digest_verify(form->scheme, form->body, password);
    case PASSWORD_PBKDF2:
        return password_pbkdf2_verify(form->body, password);
    case PASSWORD_SCRAM:
        return verify_scram(form->body, password);
    case PASSWORD_KIND_COUNT:
        break;
    }
    return ERR_INTERNAL;
}
