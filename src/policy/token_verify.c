/* token_verify.c: signatures of JSON Web Tokens (RFC 7515, RFC 7518). The token is a stranger's. Called by
 * auth. */
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "grammar/base64.h"
#include "grammar/json_events.h"
#include "policy/token_inside.h"

#define EC_SIGNATURE_MAX 160 /* bytes in DER */

/* "none" and the HMACs are not here: nobody shares a secret with us. */
static const struct algorithm {
    struct slice name;
    enum token_key_kind kind;
    const EVP_MD *(*md)(void); /* NULL: the key says it */
    bool pss;
    size_t half; /* bytes of r and of s */
} algorithms[] = {
    {SLICE("RS256"), TOKEN_RSA, EVP_sha256, false, 0},   {SLICE("RS384"), TOKEN_RSA, EVP_sha384, false, 0},
    {SLICE("RS512"), TOKEN_RSA, EVP_sha512, false, 0},   {SLICE("PS256"), TOKEN_RSA, EVP_sha256, true, 0},
    {SLICE("ES256"), TOKEN_P256, EVP_sha256, false, 32}, {SLICE("ES384"), TOKEN_P384, EVP_sha384, false, 48},
    {SLICE("EdDSA"), TOKEN_ED25519, NULL, false, 0},
};

struct parts {
    struct slice header, payload, signature; /* in base64 */
    struct slice covered;                    /* header "." payload */
};

static bool split(struct slice token, struct parts *parts)
{
    struct slice rest = token;
    if (token.len > TOKEN_MAX || !slice_token(&rest, '.', &parts->header) ||
        !slice_token(&rest, '.', &parts->payload))
        return false;
    parts->signature = rest;
    if (parts->header.len == 0 || rest.len == 0 || slice_find(rest, '.') >= 0)
        return false;
    parts->covered = slice_sub(token, 0, token.len - rest.len - 1);
    return true;
}

bool token_is_jwt(struct slice token)
{
    struct parts parts;
    return split(token, &parts);
}

/* ---- the header ---- */

enum member { MEMBER_OTHER, MEMBER_ALG, MEMBER_KID };
struct header {
    enum member member;
    const struct algorithm *algorithm;
    bool critical, has_kid;
    size_t kid_len;
    uint8_t kid[TOKEN_KID_MAX];
};

static const struct algorithm *algorithm_of(struct slice name)
{
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++)
        if (slice_eq(name, algorithms[i].name))
            return &algorithms[i];
    return NULL;
}

static bool on_event(void *ctx, const struct json_event *e)
{
    struct header *h = ctx;
    if (e->depth == 1 && e->kind == JSON_KEY) {
        h->member = slice_eq(e->text, SLICE("alg"))   ? MEMBER_ALG
                    : slice_eq(e->text, SLICE("kid")) ? MEMBER_KID
                                                      : MEMBER_OTHER;
        h->critical |= slice_eq(e->text, SLICE("crit")); /* RFC 7515 section 4.1.11: we know no extension */
        return true;
    }
    if (e->depth != 1 || e->kind != JSON_STRING)
        return true;
    if (h->member == MEMBER_ALG)
        h->algorithm = algorithm_of(e->text);
    if (h->member != MEMBER_KID)
        return true;
    if (e->cut || e->text.len > sizeof h->kid)
        return false;
    h->has_kid = true;
    h->kid_len = e->text.len;
    for (size_t i = 0; i < e->text.len; i++)
        h->kid[i] = e->text.ptr[i];
    return true;
}

static enum err read_header_in(struct arena *arena, struct slice text, struct header *header, struct why *why)
{
    struct json_reader reader;
    struct slice json;
    *header = (struct header){0};
    json_reader_begin(&reader, on_event, header);
    if (!base64url_decode_in(arena, text, &json) || json_reader_feed(&reader, json) ||
        json_reader_end(&reader))
        return err_set(why, ERR_BAD, "the token's header cannot be read");
    if (header->critical)
        return err_set(why, ERR_REFUSED, "the token asks for an extension we do not have");
    return header->algorithm ? ERR_OK
                             : err_set(why, ERR_REFUSED, "the token is signed in a way we do not take");
}

/* ---- the signature ---- */

/* RFC 7518 section 3.4: r and s one behind the other; OpenSSL wants DER. */
static bool to_der(const struct algorithm *a, struct slice raw, uint8_t *der, size_t *len)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    uint8_t *at = der;
    if (!sig || raw.len != 2 * a->half ||
        ECDSA_SIG_set0(sig, BN_bin2bn(raw.ptr, (int)a->half, NULL),
                       BN_bin2bn(raw.ptr + a->half, (int)a->half, NULL)) != 1) {
        ECDSA_SIG_free(sig);
        return false;
    }
    int size = i2d_ECDSA_SIG(sig, NULL);
    bool fits = size > 0 && size <= EC_SIGNATURE_MAX && i2d_ECDSA_SIG(sig, &at) == size;
    *len = fits ? (size_t)size : 0;
    ECDSA_SIG_free(sig);
    return fits;
}

static bool verify(EVP_PKEY *key, const struct algorithm *a, struct slice covered, struct slice signature)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ctx = NULL;
    bool good = md && EVP_DigestVerifyInit(md, &ctx, a->md ? a->md() : NULL, NULL, key) == 1 &&
                (!a->pss || (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
                             EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1)) &&
                EVP_DigestVerify(md, signature.ptr, signature.len, covered.ptr, covered.len) == 1;
    EVP_MD_CTX_free(md);
    ERR_clear_error();
    return good;
}

static bool may_be(const struct token_key *key, const struct header *h)
{
    bool same = key->kid_len == h->kid_len &&
                slice_eq(slice_make(key->kid, key->kid_len), slice_make(h->kid, h->kid_len));
    return key->kind == h->algorithm->kind && (!h->has_kid || key->kid_len == 0 || same);
}

enum err token_verify_in(struct arena *arena, const struct token_keys *keys, struct slice token,
                         struct slice *claims, struct why *why)
{
    struct parts parts;
    struct header header;
    struct slice signature;
    uint8_t der[EC_SIGNATURE_MAX];
    if (!split(token, &parts))
        return err_set(why, ERR_BAD, "no JSON Web Token");
    enum err err = read_header_in(arena, parts.header, &header, why);
    if (err)
        return err;
    if (!base64url_decode_in(arena, parts.signature, &signature) ||
        !base64url_decode_in(arena, parts.payload, claims))
        return err_set(why, ERR_BAD, "the token is no base64");
    if (header.algorithm->half) {
        size_t len;
        if (!to_der(header.algorithm, signature, der, &len))
            return err_set(why, ERR_REFUSED, "the token's signature has a wrong size");
        signature = slice_make(der, len);
    }
    for (size_t i = 0; i < keys->count; i++)
        if (may_be(&keys->at[i], &header) &&
            verify(keys->at[i].key, header.algorithm, parts.covered, signature))
            return ERR_OK;
    return err_set(why, ERR_REFUSED, "the token is not signed by a key of the issuer");
}
