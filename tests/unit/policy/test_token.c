/* Tokens: examples of the RFCs, every algorithm with keys made here, tokens that must not be taken, claims.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

#include "base/coll.h"
#include "grammar/base64.h"
#include "policy/token.h"

#define ARENA_MAX (1u << 20)

/* RFC 7515 appendix A.3 and RFC 8037 appendix A.4 */
static const char rfc_keys[] =
    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"ec\",\"x\":"
    "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"
    "{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75\"},"
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"use\":"
    "\"sig\"},"
    "{\"kty\":\"EC\",\"use\":\"enc\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";
static const char rfc_es256[] =
    "eyJhbGciOiJFUzI1NiJ9."
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cn"
    "VlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
static const char rfc_eddsa[] =
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-"
    "09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

static void test_rfc(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct token_keys *keys;
    struct why why = {""};
    struct slice claims;
    assert_int_equal(token_keys_new(slice_of(rfc_keys), &keys, &why), ERR_OK);
    assert_int_equal(token_keys_count(keys), 2); /* not the secret, not the one for encryption */
    assert_int_equal(token_verify_in(arena, keys, slice_of(rfc_es256), &claims, &why), ERR_OK);
    assert_true(slice_eq(
        claims, SLICE("{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}")));
    assert_int_equal(token_verify_in(arena, keys, slice_of(rfc_eddsa), &claims, &why), ERR_OK);
    assert_true(slice_eq(claims, SLICE("Example of Ed25519 signing")));
    token_keys_free(&keys);
}

/* ---- tokens of our own ---- */

static struct token_keys *keys_of(EVP_PKEY *key)
{
    struct token_keys *keys = NULL;
    struct why why;
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem = NULL;
    assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
    long len = BIO_get_mem_data(bio, &pem);
    enum err err = token_keys_new(slice_make(pem, (size_t)len), &keys, &why);
    BIO_free(bio);
    return err ? NULL : keys;
}

static struct slice raw_ecdsa(struct arena *arena, struct slice der, size_t half)
{
    const uint8_t *at = der.ptr;
    uint8_t *raw = ARENA_ARRAY(arena, uint8_t, 2 * half);
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)der.len);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, (int)half), (int)half);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + half, (int)half), (int)half);
    ECDSA_SIG_free(sig);
    return slice_make(raw, 2 * half);
}

static struct slice in_base64url(struct arena *arena, struct slice bytes)
{
    AUTO_BUF struct buf out = buf_new(2 * bytes.len + 10);
    base64url_encode(&out, bytes);
    return arena_dup(arena, buf_slice(&out));
}

struct form {
    const char *name, *digest;
    bool pss;
    size_t half;
};

static struct slice sign(struct arena *arena, EVP_PKEY *key, const struct form *form, const char *header,
                         const char *claims)
{
    struct slice covered = arena_printf(arena, "%.*s.%.*s", SLICE_ARG(in_base64url(arena, slice_of(header))),
                                        SLICE_ARG(in_base64url(arena, slice_of(claims))));
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ctx;
    uint8_t bytes[1024];
    size_t len = sizeof bytes;
    assert_int_equal(EVP_DigestSignInit_ex(md, &ctx, form->digest, NULL, NULL, key, NULL), 1);
    if (form->pss) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    assert_int_equal(EVP_DigestSign(md, bytes, &len, covered.ptr, covered.len), 1);
    EVP_MD_CTX_free(md);
    struct slice signature = slice_make(bytes, len);
    if (form->half)
        signature = raw_ecdsa(arena, signature, form->half);
    return arena_printf(arena, "%.*s.%.*s", SLICE_ARG(covered), SLICE_ARG(in_base64url(arena, signature)));
}

static const struct form forms[] = {
    {"RS256", "SHA256", false, 0}, {"RS384", "SHA384", false, 0},  {"RS512", "SHA512", false, 0},
    {"PS256", "SHA256", true, 0},  {"ES256", "SHA256", false, 32}, {"ES384", "SHA384", false, 48},
    {"EdDSA", NULL, false, 0},
};

static EVP_PKEY *key_for(const char *name)
{
    if (name[0] == 'E' && name[1] == 'd')
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    if (name[0] == 'E')
        return EVP_EC_gen(strcmp(name, "ES256") == 0 ? "P-256" : "P-384");
    return EVP_RSA_gen(2048);
}

static enum err verify(const struct token_keys *keys, struct slice token)
{
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct slice claims;
    struct why why;
    return token_verify_in(arena, keys, token, &claims, &why);
}

static void test_algorithms(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        EVP_PKEY *key = key_for(forms[i].name), *other = key_for(forms[i].name);
        struct token_keys *keys = keys_of(key), *others = keys_of(other);
        const char *header =
            arena_cstr(arena, arena_printf(arena, "{\"alg\":\"%s\",\"kid\":\"a\"}", forms[i].name));
        struct slice token = sign(arena, key, &forms[i], header, "{\"sub\":\"ann\"}");
        assert_int_equal(verify(keys, token), ERR_OK);
        assert_int_equal(verify(others, token), ERR_REFUSED);
        uint8_t *changed = (uint8_t *)(uintptr_t)token.ptr;
        changed[token.len - 8] ^= 1;
        assert_int_not_equal(verify(keys, token), ERR_OK);
        changed[token.len - 8] ^= 1;
        changed[slice_find(token, '.') + 3] ^= 1;
        assert_int_not_equal(verify(keys, token), ERR_OK);
        token_keys_free(&keys);
        token_keys_free(&others);
        EVP_PKEY_free(key);
        EVP_PKEY_free(other);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct form rs256 = {"RS256", "SHA256", false, 0}, none = {"none", "SHA256", false, 0};
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    EVP_PKEY *key = EVP_RSA_gen(2048);
    struct token_keys *keys = keys_of(key);
    const struct {
        const struct form *form;
        const char *header;
        enum err err;
    } rows[] = {
        {&rs256, "{\"alg\":\"RS256\"}", ERR_OK},
        {&none, "{\"alg\":\"none\"}", ERR_REFUSED},
        {&rs256, "{\"alg\":\"HS256\"}", ERR_REFUSED},
        {&rs256, "{\"alg\":\"ES256\"}", ERR_REFUSED},
        {&rs256, "{\"alg\":\"PS256\"}", ERR_REFUSED},
        {&rs256, "{\"alg\":\"RS256\",\"crit\":[\"exp\"]}", ERR_REFUSED},
        {&rs256, "{\"typ\":\"JWT\"}", ERR_REFUSED},
        {&rs256, "{\"alg\":[\"RS256\"]}", ERR_REFUSED},
        {&rs256, "{\"alg\":\"RS256\"", ERR_BAD},
        {&rs256, "no", ERR_BAD},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(verify(keys, sign(arena, key, rows[i].form, rows[i].header, "{}")), rows[i].err);
    static const char *const bad[] = {"",     ".",    "..",    "a.b",         "a.b.c.d",
                                      "a.b.", ".b.c", "a.b.c", "e30.e30.e30="};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_not_equal(verify(keys, slice_of(bad[i])), ERR_OK);
    token_keys_free(&keys);
    EVP_PKEY_free(key);
}

static void test_names(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct token_keys *keys;
    struct why why;
    struct slice claims;
    /* the signature of another header: only which key is tried is of interest, so the RFC's own token is
     * given another kid */
    struct slice header = in_base64url(arena, SLICE("{\"alg\":\"ES256\",\"kid\":\"no\"}"));
    struct slice rest = slice_from(slice_of(rfc_es256), (size_t)slice_find(slice_of(rfc_es256), '.'));
    assert_int_equal(token_keys_new(slice_of(rfc_keys), &keys, &why), ERR_OK);
    assert_int_equal(token_verify_in(arena, keys,
                                     arena_printf(arena, "%.*s%.*s", SLICE_ARG(header), SLICE_ARG(rest)),
                                     &claims, &why),
                     ERR_REFUSED);
    token_keys_free(&keys);
}

/* A point beside the curve. */
static const char off_curve[] =
    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}]}";

static void test_key_files(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "no key",
        "{}",
        "{\"keys\":[]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
        "{\"keys\":",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}]}",
        off_curve,
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct token_keys *keys;
        struct why why = {""};
        assert_int_equal(token_keys_new(slice_of(bad[i]), &keys, &why), ERR_BAD);
        assert_true(why.text[0] && !keys);
    }
    EVP_PKEY *small = EVP_RSA_gen(1024);
    assert_null(keys_of(small));
    EVP_PKEY_free(small);
}

/* ---- claims ---- */

#define NOW 1000000
static const struct slice audiences[] = {SLICE("mail"), SLICE("imap.example.org")},
                          scopes[] = {SLICE("imap"), SLICE("openid")};

static void test_claims(void **state)
{
    (void)state;
    const struct {
        const char *json;
        bool introspected;
        enum err err;
    } rows[] = {
        {"{\"iss\":\"I\",\"aud\":\"mail\",\"scope\":\"openid imap\",\"exp\":1000001,\"email\":\"a@b\"}",
         false, ERR_OK},
        {"{\"iss\":\"I\",\"aud\":[\"x\",\"imap.example.org\"],\"scope\":\"imap "
         "openid\",\"exp\":1000001.5,\"email\":\"a@b\"}",
         false, ERR_OK},
        {"{\"iss\":\"J\",\"aud\":\"mail\",\"scope\":\"openid imap\",\"exp\":1000001,\"email\":\"a@b\"}",
         false, ERR_REFUSED},
        {"{\"iss\":\"I\",\"aud\":\"mails\",\"scope\":\"openid imap\",\"exp\":1000001,\"email\":\"a@b\"}",
         false, ERR_REFUSED},
        {"{\"iss\":\"I\",\"aud\":{\"mail\":\"mail\"},\"scope\":\"openid "
         "imap\",\"exp\":1000001,\"email\":\"a@b\"}",
         false, ERR_REFUSED},
        {"{\"iss\":\"I\",\"aud\":\"mail\",\"scope\":\"openid imaps\",\"exp\":1000001,\"email\":\"a@b\"}",
         false, ERR_REFUSED},
        {"{\"iss\":\"I\",\"aud\":\"mail\",\"scope\":\"openid imap\",\"exp\":999990,\"email\":\"a@b\"}", false,
         ERR_REFUSED},
        {"{\"iss\":\"I\",\"aud\":\"mail\",\"scope\":\"openid imap\",\"exp\":999991,\"email\":\"a@b\"}", false,
         ERR_OK},
        {"{\"iss\":\"I\",\"aud\":\"mail\",\"scope\":\"openid imap\",\"email\":\"a@b\"}", false, ERR_REFUSED},
        {"{\"iss\":\"I\",\"aud\":\"mail\",\"scope\":\"openid "
         "imap\",\"exp\":1000001,\"nbf\":1000011,\"email\":\"a@b\"}",
         false, ERR_REFUSED},
        {"{\"iss\":\"I\",\"aud\":\"mail\",\"scope\":\"openid imap\",\"exp\":1000001}", false, ERR_REFUSED},
        {"{\"iss\":\"I\",\"aud\":\"mail\",\"scope\":\"openid "
         "imap\",\"exp\":1000001,\"x\":{\"email\":\"a@b\"}}",
         false, ERR_REFUSED},
        {"{\"iss\":\"I\",\"aud\":\"mail\",\"scope\":\"openid "
         "imap\",\"exp\":1000001,\"email\":\"a@b\",\"email_verified\":false}",
         false, ERR_REFUSED},
        {"{\"iss\":\"I\",\"aud\":\"mail\",\"scope\":\"openid "
         "imap\",\"exp\":1000001,\"email\":\"a@b\",\"email_verified\":true}",
         false, ERR_OK},
        {"{\"iss\":\"I\",\"aud\":\"mail\",\"scope\":\"openid imap\",\"exp\":\"1000001\",\"email\":\"a@b\"}",
         false, ERR_BAD},
        {"{\"iss\":\"I\",\"aud\":\"mail\",\"scope\":\"openid imap\",\"exp\":1e9,\"email\":\"a@b\"}", false,
         ERR_BAD},
        {"{\"iss\":\"I\",\"aud\":\"mail\",\"scope\":\"openid imap\",\"exp\":-1,\"email\":\"a@b\"}", false,
         ERR_BAD},
        {"[]", false, ERR_BAD},
        {"{} x", false, ERR_BAD},
        {"\"x\"", false, ERR_BAD},
        {"{\"active\":true,\"aud\":\"mail\",\"scope\":\"openid imap\",\"email\":\"a@b\"}", true, ERR_OK},
        {"{\"active\":true,\"aud\":\"mail\",\"iss\":\"J\",\"scope\":\"openid imap\",\"email\":\"a@b\"}", true,
         ERR_REFUSED},
        {"{\"active\":false,\"aud\":\"mail\",\"scope\":\"openid imap\",\"email\":\"a@b\"}", true,
         ERR_REFUSED},
        {"{\"active\":\"true\",\"aud\":\"mail\",\"scope\":\"openid imap\",\"email\":\"a@b\"}", true,
         ERR_REFUSED},
        {"{\"x\":{\"active\":true},\"aud\":\"mail\",\"scope\":\"openid imap\",\"email\":\"a@b\"}", true,
         ERR_REFUSED},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        const struct token_demand demand = {.issuer = SLICE("I"),
                                            .audiences = audiences,
                                            .audience_count = 2,
                                            .scopes = scopes,
                                            .scope_count = 2,
                                            .leeway = 10,
                                            .introspected = rows[i].introspected};
        struct token_claims claims;
        struct why why = {""};
        enum err err = token_claims_read_in(arena, slice_of(rows[i].json), SLICE("email"), &claims, &why);
        if (!err)
            err = token_claims_check(&claims, &demand, NOW, &why);
        if (err != rows[i].err)
            print_message("%s: %s (%s)\n", rows[i].json, err_name(err), why.text);
        assert_int_equal(err, rows[i].err);
        if (!err)
            assert_true(slice_eq(claims.user, SLICE("a@b")));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc),   cmocka_unit_test(test_algorithms), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_names), cmocka_unit_test(test_key_files),  cmocka_unit_test(test_claims),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
