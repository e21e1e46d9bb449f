/* dkim_key.c: private and public keys through OpenSSL. Key files are the administrator's; public keys and
 * signatures also come from strangers. */
#include "policy/dkim_key.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/base64.h"
#include "policy/dkim_inside.h"

#define PAIR_TEXT_LEN 88 /* base64 of an Ed25519 seed and its public key, 64 bytes */

struct dkim_key {
    EVP_PKEY *pkey;
    enum dkim_algorithm algorithm;
    unsigned bits;
    size_t public_len;
    uint8_t public[DKIM_PUBLIC_MAX];
};

static const struct {
    const char *name, *type;
} algorithms[] = {
    [DKIM_UNKNOWN] = {"unknown", "unknown"},
    [DKIM_RSA_SHA256] = {"rsa-sha256", "rsa"},
    [DKIM_ED25519_SHA256] = {"ed25519-sha256", "ed25519"},
};

const char *dkim_algorithm_name(enum dkim_algorithm algorithm)
{
    return algorithms[algorithm].name;
}

const char *dkim_key_type_name(enum dkim_algorithm algorithm)
{
    return algorithms[algorithm].type;
}

enum dkim_algorithm dkim_key_type(struct slice name)
{
    return slice_ieq(name, SLICE("rsa"))       ? DKIM_RSA_SHA256
           : slice_ieq(name, SLICE("ed25519")) ? DKIM_ED25519_SHA256
                                               : DKIM_UNKNOWN;
}

/* ---- private keys ---- */

static enum err read_rsa(struct dkim_key *key, struct why *why)
{
    key->algorithm = DKIM_RSA_SHA256;
    key->bits = (unsigned)EVP_PKEY_get_bits(key->pkey);
    if (key->bits < DKIM_RSA_BITS_MIN)
        return err_set(why, ERR_REFUSED, "an RSA key of %u bits; the least is %d (RFC 8301)", key->bits,
                       DKIM_RSA_BITS_MIN);
    if (key->bits > DKIM_RSA_BITS_MAX)
        return err_set(why, ERR_REFUSED, "an RSA key of %u bits; the most is %d", key->bits,
                       DKIM_RSA_BITS_MAX);
    uint8_t *at = key->public;
    int len = i2d_PUBKEY(key->pkey, NULL);
    if (len <= 0 || (size_t)len > sizeof key->public)
        return err_set(why, ERR_BAD, "an RSA key with an impossible public half");
    key->public_len = (size_t)i2d_PUBKEY(key->pkey, &at);
    return ERR_OK;
}

static enum err read_ed25519(struct dkim_key *key, struct why *why)
{
    key->algorithm = DKIM_ED25519_SHA256;
    key->bits = 8 * DKIM_ED25519_LEN;
    key->public_len = DKIM_ED25519_LEN;
    if (!EVP_PKEY_get_raw_public_key(key->pkey, key->public, &key->public_len))
        return err_set(why, ERR_BAD, "an Ed25519 key without its public half");
    return ERR_OK;
}

/* Takes `pkey`. */
static enum err key_new(EVP_PKEY *pkey, struct dkim_key **out, struct why *why)
{
    struct dkim_key *key = mem_zero(1, sizeof *key);
    key->pkey = pkey;
    enum err err = EVP_PKEY_is_a(pkey, "RSA") ? read_rsa(key, why)
                   : EVP_PKEY_is_a(pkey, "ED25519")
                       ? read_ed25519(key, why)
                       : err_set(why, ERR_REFUSED, "neither an RSA nor an Ed25519 key");
    if (err == ERR_OK)
        *out = key;
    else
        dkim_key_free(&key);
    return err;
}

void dkim_key_free(struct dkim_key **key)
{
    if (*key)
        EVP_PKEY_free((*key)->pkey);
    free(*key);
    *key = NULL;
}

/* Nobody is there to ask for a passphrase. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf, (void)size, (void)writing, (void)arg;
    return -1;
}

static enum err read_pem(struct slice file, struct dkim_key **key, struct why *why)
{
    if (slice_search(file, SLICE("ENCRYPTED")) >= 0)
        return err_set(why, ERR_REFUSED,
                       "the key is encrypted; write it without a passphrase (openssl pkey)");
    BIO *bio = BIO_new_mem_buf(file.ptr, (int)file.len);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    if (pkey)
        return key_new(pkey, key, why);
    if (slice_search(file, SLICE("PRIVATE KEY-----")) < 0)
        return err_set(why, ERR_BAD, "a PEM file without a private key");
    return err_set(why, ERR_BAD, "the private key in the PEM file is damaged");
}

/* base64 of the seed (RFC 8032 section 5.1.5), with or without the public key behind it. */
static enum err read_seed(struct slice bytes, struct dkim_key **key, struct why *why)
{
    struct dkim_key *found;
    EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, bytes.ptr, DKIM_ED25519_LEN);
    enum err err = pkey ? key_new(pkey, &found, why) : err_set(why, ERR_INTERNAL, "OpenSSL refuses the key");
    if (err)
        return err;
    if (bytes.len > DKIM_ED25519_LEN &&
        !slice_eq(slice_from(bytes, DKIM_ED25519_LEN), dkim_key_public(found))) {
        dkim_key_free(&found);
        return err_set(why, ERR_BAD, "an Ed25519 key whose public half does not fit");
    }
    *key = found;
    return ERR_OK;
}

static enum err read_base64(struct slice file, struct dkim_key **key, struct why *why)
{
    /* EVP_DecodeBlock() knows no bound: it writes three bytes for each four of `text`. */
    uint8_t text[PAIR_TEXT_LEN], bytes[PAIR_TEXT_LEN / 4 * 3];
    size_t len = 0;
    for (size_t i = 0; i < file.len; i++) {
        if (ascii_is_space(file.ptr[i]))
            continue;
        if (len == sizeof text)
            return err_set(why, ERR_BAD, "neither PEM nor the base64 of an Ed25519 key");
        text[len++] = file.ptr[i];
    }
    int got = len && len % 4 == 0 ? EVP_DecodeBlock(bytes, text, (int)len) : -1;
    size_t padding = got > 0 ? (text[len - 1] == '=') + (size_t)(text[len - 2] == '=') : 0;
    size_t size = got > 0 ? (size_t)got - padding : 0;
    enum err err = size == DKIM_ED25519_LEN || size == (size_t)2 * DKIM_ED25519_LEN
                       ? read_seed(slice_make(bytes, size), key, why)
                       : err_set(why, ERR_BAD, "neither PEM nor the base64 of an Ed25519 key");
    mem_wipe(text, sizeof text);
    mem_wipe(bytes, sizeof bytes);
    return err;
}

enum err dkim_key_read(struct slice file, struct dkim_key **key, struct why *why)
{
    if (file.len > DKIM_KEY_FILE_MAX)
        return err_set(why, ERR_BAD, "more than %d bytes", DKIM_KEY_FILE_MAX);
    if (!slice_trim(file).len)
        return err_set(why, ERR_BAD, "the file is empty");
    return slice_search(file, SLICE("-----BEGIN ")) >= 0 ? read_pem(file, key, why)
                                                         : read_base64(file, key, why);
}

enum err dkim_key_generate(enum dkim_algorithm algorithm, struct dkim_key **key, struct why *why)
{
    EVP_PKEY *pkey = algorithm == DKIM_RSA_SHA256       ? EVP_RSA_gen(DKIM_RSA_BITS_GOOD)
                     : algorithm == DKIM_ED25519_SHA256 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                                        : NULL;
    return pkey ? key_new(pkey, key, why) : err_set(why, ERR_INTERNAL, "OpenSSL could not make a key");
}

enum dkim_algorithm dkim_key_algorithm(const struct dkim_key *key)
{
    return key->algorithm;
}

unsigned dkim_key_bits(const struct dkim_key *key)
{
    return key->bits;
}

struct slice dkim_key_public(const struct dkim_key *key)
{
    return slice_make(key->public, key->public_len);
}

enum err dkim_key_pem(const struct dkim_key *key, struct buf *pem, struct why *why)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    char *text = NULL;
    bool written = bio && PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL);
    long len = written ? BIO_get_mem_data(bio, &text) : 0;
    if (len > 0)
        buf_add(pem, slice_make(text, (size_t)len));
    BIO_free(bio);
    return len > 0 && buf_ok(pem) ? ERR_OK : err_set(why, ERR_INTERNAL, "the key could not be written");
}

/* ---- signatures ---- */

static bool sign_rsa(EVP_PKEY_CTX *ctx, const uint8_t *digest, uint8_t *bytes, size_t *len)
{
    return ctx && EVP_PKEY_sign_init(ctx) > 0 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0 &&
           EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) > 0 &&
           EVP_PKEY_sign(ctx, bytes, len, digest, DKIM_HASH_LEN) > 0;
}

static bool sign_with(const struct dkim_key *key, const uint8_t *digest, uint8_t *bytes, size_t *len)
{
    bool done;
    if (key->algorithm == DKIM_RSA_SHA256) {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key->pkey, NULL);
        done = sign_rsa(ctx, digest, bytes, len);
        EVP_PKEY_CTX_free(ctx);
    } else {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        done = ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key->pkey) > 0 &&
               EVP_DigestSign(ctx, bytes, len, digest, DKIM_HASH_LEN) > 0;
        EVP_MD_CTX_free(ctx);
    }
    ERR_clear_error();
    return done;
}

enum err dkim_key_sign_in(struct arena *arena, const struct dkim_key *key, const uint8_t digest[32],
                          struct slice *signature, struct why *why)
{
    uint8_t bytes[DKIM_SIGNATURE_MAX];
    size_t len = sizeof bytes;
    if (!sign_with(key, digest, bytes, &len))
        return err_set(why, ERR_INTERNAL, "the key does not sign: it is damaged");
    *signature = arena_dup(arena, slice_make(bytes, len));
    return ERR_OK;
}

/* The public key, if it is one that may verify; the caller frees it. */
static EVP_PKEY *public_key(enum dkim_algorithm algorithm, struct slice key)
{
    const unsigned char *at = key.ptr;
    EVP_PKEY *pkey = NULL;
    if (algorithm == DKIM_ED25519_SHA256 && key.len == DKIM_ED25519_LEN)
        return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key.ptr, key.len);
    if (algorithm == DKIM_RSA_SHA256 && key.len && key.len <= DKIM_PUBLIC_MAX)
        pkey = d2i_PUBKEY(NULL, &at, (long)key.len);
    ERR_clear_error();
    if (pkey && (at != key.ptr + key.len || !EVP_PKEY_is_a(pkey, "RSA"))) {
        EVP_PKEY_free(pkey);
        return NULL;
    }
    return pkey;
}

unsigned dkim_public_bits(enum dkim_algorithm algorithm, struct slice key)
{
    EVP_PKEY *pkey = public_key(algorithm, key);
    int bits = pkey ? EVP_PKEY_get_bits(pkey) : 0;
    EVP_PKEY_free(pkey);
    return bits > 0 ? (unsigned)bits : 0;
}

static bool verify_rsa(EVP_PKEY *pkey, const uint8_t *digest, struct slice signature)
{
    int bits = EVP_PKEY_get_bits(pkey);
    if (bits < DKIM_RSA_BITS_MIN || bits > DKIM_RSA_BITS_MAX)
        return false;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    bool good = ctx && EVP_PKEY_verify_init(ctx) > 0 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0 &&
                EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) > 0 &&
                EVP_PKEY_verify(ctx, signature.ptr, signature.len, digest, DKIM_HASH_LEN) == 1;
    EVP_PKEY_CTX_free(ctx);
    return good;
}

static bool verify_ed25519(EVP_PKEY *pkey, const uint8_t *digest, struct slice signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) > 0 &&
                EVP_DigestVerify(ctx, signature.ptr, signature.len, digest, DKIM_HASH_LEN) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

bool dkim_public_verify(enum dkim_algorithm algorithm, struct slice key, const uint8_t digest[32],
                        struct slice signature)
{
    EVP_PKEY *pkey = signature.len && signature.len <= DKIM_SIGNATURE_MAX ? public_key(algorithm, key) : NULL;
    bool good = pkey && (algorithm == DKIM_RSA_SHA256 ? verify_rsa(pkey, digest, signature)
                                                      : verify_ed25519(pkey, digest, signature));
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return good;
}
