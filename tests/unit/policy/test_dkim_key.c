/* Key files in every form we read, and what is refused. The keys below were made for this test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "grammar/base64.h"
#include "policy/dkim.h"

#define ARENA_MAX ((size_t)1 << 20)

#define PKCS8                                                                                                \
    "-----BEGIN PRIVATE KEY-----\n"                                                                          \
    "MIICeAIBADANBgkqhkiG9w0BAQEFAASCAmIwggJeAgEAAoGBALD3ms9tX/j8URig\n"                                     \
    "pIPVHHlFixBvTK8rHJODDGUcfeSlqNN1b/Pns8obig8KPaZO5aDP1o5FbS8lh4w0\n"                                     \
    "/qoAZZEgVGOiX/yTtbfcYFI9i3oHmVhLm3RvZ2XQtZPMfFS8i/Dv9oHt3rpi9i5P\n"                                     \
    "fpb5jQ7qC9rdysl7RLNVeytv4pc/AgMBAAECgYEAmLajnrrJJkk/Blyie62ta62q\n"                                     \
    "qx0Q9NzkRRvC14J11Zlrjkd6u+VITnHjesUgnGLbYCHbCl05MoVVapXU6gl7mwfA\n"                                     \
    "f+SfoDyRXiRwl9m5yyyg1vyw+tE1/5tsFYyLk30MrOnRGdU/u7dAqkMN/XNoOrw7\n"                                     \
    "xRx+zi45eu6AAKGNDuECQQDndB2AEvDsQgOGPFk6aqPPw5uXqj4yAwn0c57+98B0\n"                                     \
    "b8AXRY/pziNrvgN4YX2BBSiSqakKs0PUgHJLCSOs4MAxAkEAw7w0DxCyrdTp7WkY\n"                                     \
    "unp9jL+r/jEQ28qAa2g9+ffclzvYYtQQZrENWVzaU9eS26Q4y5G3rbGadb2r9oK/\n"                                     \
    "EATibwJBAN+vF2eUZqRd9BwCLNXJBAGh8Lg1vqAE0dUe/LU66RNegM2826XBI/hX\n"                                     \
    "jfEEfw921cxQDV+a+l3fuRWNgp3sI7ECQQCnyUZK/8JbNt+MTwIOoH/NTmTuUjsk\n"                                     \
    "XdN1vvcZtzpWPcvA9A5XKUDLMMhLBMl0FLNG9dOhRlSkx4GIoA2OetFrAkB3fN0g\n"                                     \
    "cxnjmysnMzA+veASwdsjoZkEtyLdiov1CKNXDxVX5yZc0JFj7WVy2U+mGaoSoz5C\n"                                     \
    "eobZtPF5N+DshQdJ\n"                                                                                     \
    "-----END PRIVATE KEY-----\n"
#define PKCS1                                                                                                \
    "-----BEGIN RSA PRIVATE KEY-----\n"                                                                      \
    "MIICXgIBAAKBgQCw95rPbV/4/FEYoKSD1Rx5RYsQb0yvKxyTgwxlHH3kpajTdW/z\n"                                     \
    "57PKG4oPCj2mTuWgz9aORW0vJYeMNP6qAGWRIFRjol/8k7W33GBSPYt6B5lYS5t0\n"                                     \
    "b2dl0LWTzHxUvIvw7/aB7d66YvYuT36W+Y0O6gva3crJe0SzVXsrb+KXPwIDAQAB\n"                                     \
    "AoGBAJi2o566ySZJPwZconutrWutqqsdEPTc5EUbwteCddWZa45HervlSE5x43rF\n"                                     \
    "IJxi22Ah2wpdOTKFVWqV1OoJe5sHwH/kn6A8kV4kcJfZucssoNb8sPrRNf+bbBWM\n"                                     \
    "i5N9DKzp0RnVP7u3QKpDDf1zaDq8O8Ucfs4uOXrugAChjQ7hAkEA53QdgBLw7EID\n"                                     \
    "hjxZOmqjz8Obl6o+MgMJ9HOe/vfAdG/AF0WP6c4ja74DeGF9gQUokqmpCrND1IBy\n"                                     \
    "SwkjrODAMQJBAMO8NA8Qsq3U6e1pGLp6fYy/q/4xENvKgGtoPfn33Jc72GLUEGax\n"                                     \
    "DVlc2lPXktukOMuRt62xmnW9q/aCvxAE4m8CQQDfrxdnlGakXfQcAizVyQQBofC4\n"                                     \
    "Nb6gBNHVHvy1OukTXoDNvNulwSP4V43xBH8PdtXMUA1fmvpd37kVjYKd7COxAkEA\n"                                     \
    "p8lGSv/CWzbfjE8CDqB/zU5k7lI7JF3Tdb73Gbc6Vj3LwPQOVylAyzDISwTJdBSz\n"                                     \
    "RvXToUZUpMeBiKANjnrRawJAd3zdIHMZ45srJzMwPr3gEsHbI6GZBLci3YqL9Qij\n"                                     \
    "Vw8VV+cmXNCRY+1lctlPphmqEqM+QnqG2bTxeTfg7IUHSQ==\n"                                                     \
    "-----END RSA PRIVATE KEY-----\n"
#define ED25519                                                                                              \
    "-----BEGIN PRIVATE KEY-----\n"                                                                          \
    "MC4CAQAwBQYDK2VwBCIEIHEce2b8VzhrZ7FXEYn7DtJPgNgjeul3/cFzi0pytRFU\n"                                     \
    "-----END PRIVATE KEY-----\n"
#define EC                                                                                                   \
    "-----BEGIN PRIVATE KEY-----\n"                                                                          \
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgrPFD2fpkO9zq8of6\n"                                     \
    "kzsopy+wC5AP+Qi9Z4ba/93GDSmhRANCAAT7i7mM9a6Rjq5GDzxVAMuVFbj2LUXe\n"                                     \
    "BchgbXTk7YJQbdoErhvqcVZIefbi2BKm67XTkG+kr8I4YzhP7nryhq4n\n"                                             \
    "-----END PRIVATE KEY-----\n"
#define SMALL                                                                                                \
    "-----BEGIN PRIVATE KEY-----\n"                                                                          \
    "MIIBVwIBADANBgkqhkiG9w0BAQEFAASCAUEwggE9AgEAAkEA9F/69oRB1YXOiGwU\n"                                     \
    "DIl8PrmqX1ZfOtUetGKaXYI32jhxmJIEAhtpVF6aAu4gpph1QtSnx9SEmy29HDJ5\n"                                     \
    "u5B8IQIDAQABAkEAhyh6rlOR8d2y0EMuh4yW+j5IG7iyrOBovg33IJa/+2G9yj+o\n"                                     \
    "pt6uM3kiV826d0eWPwV+FbJ9XZaszMs/C+Y0HQIhAPx+qIqyopERpp+ZBnAG2P8V\n"                                     \
    "UmmlACVY4jeMqI2u5fd/AiEA98R3AMoiRS/UrM9IKCUupv9iaRxn02O+UolqRLS4\n"                                     \
    "XF8CIQCisC2CqJUMqfXVcbDvL8pTmXZvcYxFhB7GMhBMsjukmwIhAKYGHSQHTp2D\n"                                     \
    "5oQBxb045SD8ImqCoUPyI1dVQ0NUwfELAiEAy5k55tRbCi0LiWJo7yTvvUV1kjmx\n"                                     \
    "Fu9O+yYWR3Yg/0A=\n"                                                                                     \
    "-----END PRIVATE KEY-----\n"
#define ENCRYPTED                                                                                            \
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"                                                                \
    "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAglowfNruq6+QICCAAw\n"                                     \
    "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEEDjlvCv2I8HVk9EvOay3GhsEQCom\n"                                     \
    "9QoGtNPTKDQH+qYYPVgv9vxP+/ngN9LtQa+EdLygLXwe/wFm7ELGFBmGV9fCRBQq\n"                                     \
    "L7+m0DY/bLXL5KwlLQg=\n"                                                                                 \
    "-----END ENCRYPTED PRIVATE KEY-----\n"
#define PUBLIC                                                                                               \
    "-----BEGIN PUBLIC KEY-----\n"                                                                           \
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCw95rPbV/4/FEYoKSD1Rx5RYsQ\n"                                     \
    "b0yvKxyTgwxlHH3kpajTdW/z57PKG4oPCj2mTuWgz9aORW0vJYeMNP6qAGWRIFRj\n"                                     \
    "ol/8k7W33GBSPYt6B5lYS5t0b2dl0LWTzHxUvIvw7/aB7d66YvYuT36W+Y0O6gva\n"                                     \
    "3crJe0SzVXsrb+KXPwIDAQAB\n"                                                                             \
    "-----END PUBLIC KEY-----\n"
#define PUBLIC_P                                                                                             \
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCw95rPbV/4/FEYoKSD1Rx5RYsQb0yvKxyTgwxlHH3kpajTdW/"                \
    "z57PKG4oPCj2mTuWgz9aORW0vJYeMNP6qAGWRIFRjol/8k7W33GBSPYt6B5lYS5t0b2dl0LWTzHxUvIvw7/"                    \
    "aB7d66YvYuT36W+Y0O6gva3crJe0SzVXsrb+KXPwIDAQAB"
/* RFC 8463 appendix A.2. */
#define SEED   "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
#define SEED_P "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
/* The seed and the public key behind it, and with a public key that is another's. */
#define PAIR    "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg=="
#define WRONG   "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGw=="
#define SIXTEEN "AbCdEfGhIjKlMnOp"

static void test_read(void **state)
{
    static const struct {
        const char *file;
        enum err err;
        enum dkim_algorithm algorithm;
        unsigned bits;
        const char *public;
    } rows[] = {
        {PKCS8, ERR_OK, DKIM_RSA_SHA256, 1024, PUBLIC_P},
        {PKCS1, ERR_OK, DKIM_RSA_SHA256, 1024, PUBLIC_P},
        {"# made by hand\n" PKCS1 "# the end\n", ERR_OK, DKIM_RSA_SHA256, 1024, PUBLIC_P},
        {PUBLIC PKCS8, ERR_OK, DKIM_RSA_SHA256, 1024, PUBLIC_P},
        {ED25519, ERR_OK, DKIM_ED25519_SHA256, 256, "1Eyr5nNtWv5PAYkowKV4riY0QBmjRZiIkmJIbHwOk6A="},
        {SEED, ERR_OK, DKIM_ED25519_SHA256, 256, SEED_P},
        {PAIR, ERR_OK, DKIM_ED25519_SHA256, 256, SEED_P},
        {" " PAIR "\r\n\r\n", ERR_OK, DKIM_ED25519_SHA256, 256, SEED_P},
        {WRONG, ERR_BAD, 0, 0, NULL},
        {PAIR PAIR, ERR_BAD, 0, 0, NULL},
        {SEED SEED SEED_P, ERR_BAD, 0, 0, NULL}, /* longer than any, shorter than two */
        {SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN, ERR_BAD, 0, 0, NULL},
        {"AAAA", ERR_BAD, 0, 0, NULL},
        {"====", ERR_BAD, 0, 0, NULL},
        {"A", ERR_BAD, 0, 0, NULL},
        {"", ERR_BAD, 0, 0, NULL},
        {" \n", ERR_BAD, 0, 0, NULL},
        {"example.org", ERR_BAD, 0, 0, NULL},
        {PUBLIC, ERR_BAD, 0, 0, NULL},
        {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", ERR_BAD, 0, 0, NULL},
        {"-----BEGIN PRIVATE KEY-----\n", ERR_BAD, 0, 0, NULL},
        {SMALL, ERR_REFUSED, 0, 0, NULL},
        {EC, ERR_REFUSED, 0, 0, NULL},
        {ENCRYPTED, ERR_REFUSED, 0, 0, NULL},
    };
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dkim_key *key = NULL;
        struct why why = {""};
        enum err err = dkim_key_read(slice_of(rows[i].file), &key, &why);
        if (err != rows[i].err || (err != ERR_OK) == (key != NULL))
            fail_msg("row %zu: %s %s", i, err_name(err), why.text);
        if (err)
            continue;
        assert_int_equal(dkim_key_algorithm(key), rows[i].algorithm);
        assert_int_equal(dkim_key_bits(key), rows[i].bits);
        assert_true(slice_eq(base64_encode_in(arena, dkim_key_public(key)), slice_of(rows[i].public)));
        assert_int_equal(dkim_public_bits(rows[i].algorithm, dkim_key_public(key)), rows[i].bits);
        assert_int_equal(dkim_key_prove(key, &why), ERR_OK);
        dkim_key_free(&key);
        assert_null(key);
    }
}

static void test_generate(void **state)
{
    static const enum dkim_algorithm algorithms[] = {DKIM_RSA_SHA256, DKIM_ED25519_SHA256};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        AUTO_BUF struct buf pem = buf_new(DKIM_KEY_FILE_MAX), small = buf_new(10);
        struct dkim_key *key = NULL, *again = NULL;
        assert_int_equal(dkim_key_generate(algorithms[i], &key, NULL), ERR_OK);
        assert_int_equal(dkim_key_pem(key, &pem, NULL), ERR_OK);
        assert_true(slice_starts(buf_slice(&pem), SLICE("-----BEGIN PRIVATE KEY-----\n")));
        assert_int_equal(dkim_key_read(buf_slice(&pem), &again, NULL), ERR_OK);
        assert_true(slice_eq(dkim_key_public(key), dkim_key_public(again)));
        assert_int_equal(dkim_key_bits(key), i == 0 ? 2048 : 256);
        assert_int_equal(dkim_key_pem(key, &small, NULL), ERR_INTERNAL);
        dkim_key_free(&key);
        dkim_key_free(&again);
        dkim_key_free(&again);
    }
    struct dkim_key *none = NULL;
    assert_int_equal(dkim_key_generate(DKIM_UNKNOWN, &none, NULL), ERR_INTERNAL);
}

/* A private key whose numbers do not belong together signs what nobody can verify: found by the proof. */
static void test_damaged(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct slice text = arena_dup(arena, SLICE(PKCS1)), der;
    struct dkim_key *key = NULL;
    AUTO_BUF struct buf base64 = buf_new(4096), pem = buf_new(4096);
    struct slice rest = text, line;
    while (slice_token(&rest, '\n', &line))
        if (!slice_starts(line, SLICE("-----")))
            buf_add(&base64, line);
    assert_true(base64_decode_in(arena, buf_slice(&base64), &der));
    uint8_t *bytes = (uint8_t *)arena_dup(arena, der).ptr;
    bytes[60] ^= 1; /* within the modulus */
    buf_add_str(&pem, "-----BEGIN RSA PRIVATE KEY-----\n");
    base64_encode(&pem, slice_make(bytes, der.len), 64);
    buf_add_str(&pem, "-----END RSA PRIVATE KEY-----\n");
    assert_int_equal(dkim_key_read(buf_slice(&pem), &key, NULL), ERR_OK);
    assert_int_not_equal(dkim_key_prove(key, NULL), ERR_OK);
    dkim_key_free(&key);
}

static void test_verify_bounds(void **state)
{
    (void)state;
    const uint8_t digest[DKIM_HASH_LEN] = {0};
    static const uint8_t zeros[DKIM_SIGNATURE_MAX + 1];
    static const size_t lengths[] = {
        0, 1, 31, 32, 63, 64, 65, 256, DKIM_SIGNATURE_MAX, DKIM_SIGNATURE_MAX + 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (size_t j = 0; j < sizeof lengths / sizeof *lengths; j++)
            for (enum dkim_algorithm a = DKIM_UNKNOWN; a <= DKIM_ED25519_SHA256; a++) {
                struct slice key = slice_make(zeros, lengths[i]), signature = slice_make(zeros, lengths[j]);
                if (a == DKIM_ED25519_SHA256 && key.len == 32 && signature.len == 64)
                    continue; /* a point of small order: OpenSSL's own business */
                assert_false(dkim_public_verify(a, key, digest, signature));
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_generate),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_verify_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
