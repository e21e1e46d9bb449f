/* sasl.c: the client's side of SASL. Challenges come from whoever we connected to; name and secret from the
 * administrator's files. Called by client_hello.c. */
#include "relay/sasl.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <string.h>

#include "grammar/base64.h"
#include "grammar/smtp_ehlo.h"

#define KEY_LEN  SHA256_DIGEST_LENGTH
#define SALT_MAX 1024

/* Best first: what tells the server least about the secret. */
static const struct {
    unsigned mechanism;
    const char *name;
} preference[] = {
    {SMTP_SASL_SCRAM_SHA_256, "SCRAM-SHA-256"},
    {SMTP_SASL_PLAIN, "PLAIN"},
    {SMTP_SASL_LOGIN, "LOGIN"},
    {SMTP_SASL_XOAUTH2, "XOAUTH2"},
};

#define PREFERENCES (sizeof preference / sizeof *preference)

unsigned sasl_client_choose(unsigned offered, const struct sasl_login *login)
{
    unsigned password = SMTP_SASL_SCRAM_SHA_256 | SMTP_SASL_PLAIN | SMTP_SASL_LOGIN;
    unsigned allowed = offered & (login->mechanisms ? login->mechanisms : password);
    for (size_t i = 0; i < PREFERENCES; i++)
        if (allowed & preference[i].mechanism)
            return preference[i].mechanism;
    return 0;
}

const char *sasl_mechanism_name(unsigned mechanism)
{
    for (size_t i = 0; i < PREFERENCES; i++)
        if (mechanism == preference[i].mechanism)
            return preference[i].name;
    return "";
}

void sasl_client_begin(struct sasl_client *sasl, struct arena *arena, unsigned mechanism,
                       const struct sasl_login *login, struct slice nonce)
{
    *sasl = (struct sasl_client){.mechanism = mechanism, .login = *login, .arena = arena};
    sasl->nonce = arena_dup(arena, nonce);
}

/* ---- SCRAM (RFC 5802 section 7) ---- */

/* saslname = 1*(value-safe-char / "=2C" / "=3D") */
static struct slice escape_name_in(struct arena *arena, struct slice name)
{
    uint8_t *out = arena_must(arena, 3 * name.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        if (c == ',' || c == '=') {
            memcpy(out + len, c == ',' ? "=2C" : "=3D", 3);
            len += 3;
        } else {
            out[len++] = c;
        }
    }
    return slice_make(out, len);
}

/* client-first-message = "n,," client-first-message-bare ; bare = "n=" saslname ",r=" nonce */
static void scram_first(struct sasl_client *sasl, struct buf *out)
{
    struct slice name = escape_name_in(sasl->arena, sasl->login.user);
    sasl->first_bare = arena_printf(sasl->arena, "n=%.*s,r=%.*s", SLICE_ARG(name), SLICE_ARG(sasl->nonce));
    buf_add(out, SLICE("n,,"));
    buf_add(out, sasl->first_bare);
}

/* attr-val at the front of `*rest`, up to the next comma. */
static bool take_attribute(struct slice *rest, char name, struct slice *value)
{
    struct slice whole;
    if (!slice_token(rest, ',', &whole) || whole.len < 2 || whole.ptr[0] != (uint8_t)name ||
        whole.ptr[1] != '=')
        return false;
    *value = slice_from(whole, 2);
    return true;
}

struct server_first {
    struct slice nonce, salt;
    uint64_t iterations;
};

/* server-first-message = "r=" c-nonce s-nonce ",s=" base64 ",i=" posit-number ["," extensions] */
static enum err read_server_first(const struct sasl_client *sasl, struct slice message,
                                  struct server_first *first, struct why *why)
{
    struct slice salt, count;
    if (!take_attribute(&message, 'r', &first->nonce) || !take_attribute(&message, 's', &salt) ||
        !take_attribute(&message, 'i', &count) || !slice_u64(count, UINT32_MAX, &first->iterations) ||
        !base64_decode_in(sasl->arena, salt, &first->salt) || first->salt.len == 0 ||
        first->salt.len > SALT_MAX)
        return err_set(why, ERR_BAD, "the server's SCRAM message is malformed");
    if (!slice_starts(first->nonce, sasl->nonce) || first->nonce.len == sasl->nonce.len)
        return err_set(why, ERR_REFUSED, "the server's SCRAM message does not answer ours");
    if (first->iterations < SASL_ITERATIONS_MIN || first->iterations > SASL_ITERATIONS_MAX)
        return err_set(why, ERR_REFUSED, "the server asks for %llu SCRAM iterations (%u to %u are allowed)",
                       (unsigned long long)first->iterations, SASL_ITERATIONS_MIN, SASL_ITERATIONS_MAX);
    return ERR_OK;
}

static bool hmac(const uint8_t key[KEY_LEN], struct slice text, uint8_t out[KEY_LEN])
{
    unsigned len = 0;
    return HMAC(EVP_sha256(), key, KEY_LEN, text.ptr, text.len, out, &len) && len == KEY_LEN;
}

/* ClientProof := ClientKey XOR HMAC(H(ClientKey), AuthMessage); ServerSignature := HMAC(ServerKey,
 * AuthMessage) (section 3). */
static bool prove(struct sasl_client *sasl, const struct server_first *first, struct slice auth_message,
                  uint8_t proof[KEY_LEN])
{
    uint8_t salted[KEY_LEN], client[KEY_LEN], stored[KEY_LEN], server[KEY_LEN], signature[KEY_LEN];
    struct slice secret = sasl->login.secret;
    bool ok =
        PKCS5_PBKDF2_HMAC((const char *)secret.ptr, (int)secret.len, first->salt.ptr, (int)first->salt.len,
                          (int)first->iterations, EVP_sha256(), KEY_LEN, salted) == 1 &&
        hmac(salted, SLICE("Client Key"), client) && SHA256(client, KEY_LEN, stored) &&
        hmac(stored, auth_message, signature) && hmac(salted, SLICE("Server Key"), server) &&
        hmac(server, auth_message, sasl->server_signature);
    for (size_t i = 0; ok && i < KEY_LEN; i++)
        proof[i] = client[i] ^ signature[i];
    OPENSSL_cleanse(salted, sizeof salted);
    OPENSSL_cleanse(client, sizeof client);
    OPENSSL_cleanse(server, sizeof server);
    return ok;
}

/* client-final-message = "c=biws,r=" nonce ",p=" base64 ("biws": "n,,") */
static enum err scram_final(struct sasl_client *sasl, struct slice challenge, struct buf *out,
                            struct why *why)
{
    struct server_first first;
    uint8_t proof[KEY_LEN];
    enum err err = read_server_first(sasl, challenge, &first, why);
    if (err)
        return err;
    struct slice without = arena_printf(sasl->arena, "c=biws,r=%.*s", SLICE_ARG(first.nonce));
    struct slice message = arena_printf(sasl->arena, "%.*s,%.*s,%.*s", SLICE_ARG(sasl->first_bare),
                                        SLICE_ARG(challenge), SLICE_ARG(without));
    if (!prove(sasl, &first, message, proof))
        return err_set(why, ERR_INTERNAL, "SCRAM cannot be computed");
    buf_add(out, without);
    buf_add(out, SLICE(",p="));
    base64_encode(out, slice_make(proof, sizeof proof), 0);
    return ERR_OK;
}

/* server-final-message = "v=" base64 / "e=" server-error-value */
static enum err scram_verify(struct sasl_client *sasl, struct slice challenge, struct why *why)
{
    struct slice value, signature;
    if (!take_attribute(&challenge, 'v', &value) || !base64_decode_in(sasl->arena, value, &signature) ||
        signature.len != KEY_LEN || CRYPTO_memcmp(signature.ptr, sasl->server_signature, KEY_LEN) != 0)
        return err_set(why, ERR_REFUSED, "the server could not prove that it knows the password");
    sasl->proven = true;
    return ERR_OK;
}

static enum err answer_scram(struct sasl_client *sasl, struct slice challenge, struct buf *out,
                             struct why *why)
{
    switch (sasl->step) {
    case 1:
        return scram_final(sasl, challenge, out, why);
    case 2:
        return scram_verify(sasl, challenge, why); /* an empty answer follows */
    default:
        return err_set(why, ERR_BAD, "the server goes on after SCRAM was over");
    }
}

/* ---- the others ---- */

/* draft-murchison-sasl-login: what the prompts say does not matter. */
static enum err answer_login(struct sasl_client *sasl, struct buf *out, struct why *why)
{
    if (sasl->step > 2)
        return err_set(why, ERR_BAD, "the server asks for more than name and password");
    buf_add(out, sasl->step == 1 ? sasl->login.user : sasl->login.secret);
    return ERR_OK;
}

/* message = [authzid] NUL authcid NUL passwd (RFC 4616) */
static void plain(const struct sasl_client *sasl, struct buf *out)
{
    buf_add_byte(out, 0);
    buf_add(out, sasl->login.user);
    buf_add_byte(out, 0);
    buf_add(out, sasl->login.secret);
}

static void xoauth2(const struct sasl_client *sasl, struct buf *out)
{
    buf_add(out, SLICE("user="));
    buf_add(out, sasl->login.user);
    buf_add(out, SLICE("\001auth=Bearer "));
    buf_add(out, sasl->login.secret);
    buf_add(out, SLICE("\001\001"));
}

bool sasl_client_initial(struct sasl_client *sasl, struct buf *out)
{
    switch (sasl->mechanism) {
    case SMTP_SASL_PLAIN:
        plain(sasl, out);
        return true;
    case SMTP_SASL_XOAUTH2:
        xoauth2(sasl, out);
        return true;
    case SMTP_SASL_SCRAM_SHA_256:
        scram_first(sasl, out);
        return true;
    default:
        return false;
    }
}

enum err sasl_client_answer(struct sasl_client *sasl, struct slice challenge, struct buf *out,
                            struct why *why)
{
    if (challenge.len > SASL_CHALLENGE_MAX || ++sasl->step > SASL_STEPS_MAX)
        return err_set(why, ERR_BAD, "the server's challenge is too long");
    switch (sasl->mechanism) {
    case SMTP_SASL_SCRAM_SHA_256:
        return answer_scram(sasl, challenge, out, why);
    case SMTP_SASL_LOGIN:
        return answer_login(sasl, out, why);
    default:
        /* XOAUTH2 says here why it will refuse, and wants an empty answer first. */
        if (sasl->mechanism == SMTP_SASL_XOAUTH2 && sasl->step == 1)
            return ERR_OK;
        return err_set(why, ERR_BAD, "the server asks for more than %s has to say",
                       sasl_mechanism_name(sasl->mechanism));
    }
}

enum err sasl_client_finish(const struct sasl_client *sasl, struct why *why)
{
    if (sasl->mechanism == SMTP_SASL_SCRAM_SHA_256 && !sasl->proven)
        return err_set(why, ERR_REFUSED, "the server has not proven that it knows the password");
    return ERR_OK;
}
