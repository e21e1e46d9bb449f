/* token_keys.c: the issuer's public keys, from the administrator's file. Called by auth when it reads its
 * settings. */
#include <limits.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/base64.h"
#include "grammar/json_events.h"
#include "policy/token_inside.h"

#define RSA_BITS_MIN 2048
#define JWK_ARENA    (1u << 20) /* texts of one key, and their bytes */

/* ---- from numbers ---- */

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *builder)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    return key;
}

static EVP_PKEY *make_rsa(struct slice n, struct slice e)
{
    BIGNUM *modulus = BN_bin2bn(n.ptr, (int)n.len, NULL), *exponent = BN_bin2bn(e.ptr, (int)e.len, NULL);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (builder && modulus && exponent &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
        key = from_params("RSA", builder);
    else
        OSSL_PARAM_BLD_free(builder);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

/* The point in uncompressed form (SEC 1 section 2.3.3). */
static EVP_PKEY *make_ec(const char *group, size_t size, struct slice x, struct slice y)
{
    uint8_t point[1 + 2 * 48] = {4};
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    if (x.len != size || y.len != size || 1 + 2 * size > sizeof point) {
        OSSL_PARAM_BLD_free(builder);
        return NULL;
    }
    memcpy(point + 1, x.ptr, size);
    memcpy(point + 1 + size, y.ptr, size);
    if (builder && OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * size) == 1)
        return from_params("EC", builder);
    OSSL_PARAM_BLD_free(builder);
    return NULL;
}

static bool note_kind(struct token_key *key)
{
    char group[32] = "";
    switch (EVP_PKEY_get_base_id(key->key)) {
    case EVP_PKEY_RSA:
        key->kind = TOKEN_RSA;
        return EVP_PKEY_get_bits(key->key) >= RSA_BITS_MIN;
    case EVP_PKEY_ED25519:
        key->kind = TOKEN_ED25519;
        return true;
    case EVP_PKEY_EC:
        if (EVP_PKEY_get_group_name(key->key, group, sizeof group, NULL) != 1)
            return false;
        key->kind = strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0 ? TOKEN_P256 : TOKEN_P384;
        return key->kind == TOKEN_P256 || strcmp(group, "secp384r1") == 0 || strcmp(group, "P-384") == 0;
    default:
        return false;
    }
}

/* Takes `made` (NULL: nothing). */
static void add_key(struct token_keys *keys, EVP_PKEY *made, struct slice kid)
{
    struct token_key *key = &keys->at[keys->count];
    if (!made)
        return;
    if (keys->count == TOKEN_KEYS_MAX || kid.len > sizeof key->kid) {
        EVP_PKEY_free(made);
        return;
    }
    *key = (struct token_key){.key = made, .kid_len = kid.len};
    if (kid.len)
        memcpy(key->kid, kid.ptr, kid.len);
    if (note_kind(key))
        keys->count++;
    else
        EVP_PKEY_free(made);
}

/* ---- JWK Set (RFC 7517, RFC 7518 section 6, RFC 8037) ---- */

enum member { KTY, KID, USE, CRV, N, E, X, Y, MEMBERS };
static const char *const member_names[MEMBERS] = {"kty", "kid", "use", "crv", "n", "e", "x", "y"};

struct set_reader {
    struct token_keys *keys;
    struct arena *arena;
    bool in_keys; /* inside the member "keys" */
    enum member member;
    struct slice values[MEMBERS];
};

static EVP_PKEY *make_key_in(struct arena *arena, const struct slice *v)
{
    struct slice a, b;
    if (slice_eq(v[KTY], SLICE("RSA")) && base64url_decode_in(arena, v[N], &a) &&
        base64url_decode_in(arena, v[E], &b) && a.len && b.len)
        return make_rsa(a, b);
    if (slice_eq(v[KTY], SLICE("OKP")) && slice_eq(v[CRV], SLICE("Ed25519")) &&
        base64url_decode_in(arena, v[X], &a) && a.len == 32)
        return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, a.ptr, a.len);
    if (!slice_eq(v[KTY], SLICE("EC")) || !base64url_decode_in(arena, v[X], &a) ||
        !base64url_decode_in(arena, v[Y], &b))
        return NULL;
    if (slice_eq(v[CRV], SLICE("P-256")))
        return make_ec("P-256", 32, a, b);
    return slice_eq(v[CRV], SLICE("P-384")) ? make_ec("P-384", 48, a, b) : NULL;
}

static void end_key(struct set_reader *r)
{
    if (r->values[USE].len == 0 || slice_eq(r->values[USE], SLICE("sig")))
        add_key(r->keys, make_key_in(r->arena, r->values), r->values[KID]);
    arena_reset(r->arena);
}

static enum member member_of(const struct json_event *e)
{
    for (unsigned i = 0; i < MEMBERS; i++)
        if (!e->cut && slice_eq(e->text, slice_of(member_names[i])))
            return (enum member)i;
    return MEMBERS;
}

/* {"keys": [{…}, …]} */
static bool on_event(void *ctx, const struct json_event *e)
{
    struct set_reader *r = ctx;
    if (e->depth == 1 && e->kind == JSON_KEY)
        r->in_keys = slice_eq(e->text, SLICE("keys"));
    else if (r->in_keys && e->depth == 2 && e->kind == JSON_OBJECT)
        memset(r->values, 0, sizeof r->values);
    else if (r->in_keys && e->depth == 2 && e->kind == JSON_OBJECT_END)
        end_key(r);
    else if (r->in_keys && e->depth == 3 && e->kind == JSON_KEY)
        r->member = member_of(e);
    else if (r->in_keys && e->depth == 3 && e->kind == JSON_STRING && !e->cut && r->member < MEMBERS)
        r->values[r->member] = arena_dup(r->arena, e->text);
    return true;
}

static enum err read_set(struct token_keys *keys, struct slice content, struct why *why)
{
    AUTO_ARENA struct arena *arena = arena_new(JWK_ARENA);
    struct set_reader r = {.keys = keys, .arena = arena, .member = MEMBERS};
    struct json_reader reader;
    json_reader_begin(&reader, on_event, &r);
    if (json_reader_feed(&reader, content) || json_reader_end(&reader))
        return err_set(why, ERR_BAD, "it is no JSON");
    return ERR_OK;
}

/* ---- PEM ---- */

static enum err read_pem(struct token_keys *keys, struct slice content, struct why *why)
{
    BIO *bio = content.len <= INT_MAX ? BIO_new_mem_buf(content.ptr, (int)content.len) : NULL;
    EVP_PKEY *key;
    if (!bio)
        return err_set(why, ERR_BAD, "it is too long");
    while ((key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL)))
        add_key(keys, key, SLICE_EMPTY);
    BIO_free(bio);
    return ERR_OK;
}

enum err token_keys_new(struct slice content, struct token_keys **out, struct why *why)
{
    struct token_keys *keys = mem_zero(1, sizeof *keys);
    struct slice text = slice_trim(content);
    ERR_clear_error();
    if (content.len > TOKEN_KEYS_FILE_MAX) {
        free(keys);
        return err_set(why, ERR_BAD, "it is longer than %u bytes", TOKEN_KEYS_FILE_MAX);
    }
    enum err err = slice_starts(text, SLICE("{")) ? read_set(keys, text, why) : read_pem(keys, text, why);
    ERR_clear_error();
    if (!err && keys->count == 0)
        err = err_set(why, ERR_BAD,
                      "it holds no RSA (2048 bits), P-256, P-384 or Ed25519 key in PEM or as a JWK Set");
    if (err)
        token_keys_free(&keys);
    *out = keys;
    return err;
}

void token_keys_free(struct token_keys **keys)
{
    struct token_keys *k = *keys;
    if (!k)
        return;
    for (size_t i = 0; i < k->count; i++)
        EVP_PKEY_free(k->at[i].key);
    free(k);
    *keys = NULL;
}

size_t token_keys_count(const struct token_keys *keys)
{
    return keys->count;
}
