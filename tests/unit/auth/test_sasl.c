/* SASL messages: PLAIN, SCRAM-SHA-256 with the RFC's own exchange, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "auth/scram.h"
#include "base/coll.h"
#include "grammar/base64.h"

#define S(literal)                                                                                           \
    {                                                                                                        \
        (const uint8_t *)(literal), sizeof(literal) - 1                                                      \
    }

static void test_plain(void **state)
{
    (void)state;
    static const struct {
        struct slice message;
        enum err err;
        const char *user, *password;
    } rows[] = {
        {S("\0jane@example.org\0secret"), ERR_OK, "jane@example.org", "secret"},
        {S("jane@example.org\0jane@example.org\0secret"), ERR_OK, "jane@example.org", "secret"},
        {S("JANE@example.org\0jane@example.org\0secret"), ERR_OK, "jane@example.org", "secret"},
        {S("john@example.org\0jane@example.org\0secret"), ERR_REFUSED, NULL, NULL},
        {S("\0j\xc3\xa4ne\0p\xc3\xa4ss w\"rd"), ERR_OK, "j\xc3\xa4ne", "p\xc3\xa4ss w\"rd"},
        {S(""), ERR_BAD, NULL, NULL},
        {S("\0"), ERR_BAD, NULL, NULL},
        {S("\0\0"), ERR_BAD, NULL, NULL},
        {S("\0jane\0"), ERR_BAD, NULL, NULL},
        {S("\0\0secret"), ERR_BAD, NULL, NULL},
        {S("jane"), ERR_BAD, NULL, NULL},
        {S("\0jane\0sec\0ret"), ERR_BAD, NULL, NULL},
        {S("\0jane\0sec\nret"), ERR_BAD, NULL, NULL},
        {S("\0jane\x7f\0secret"), ERR_BAD, NULL, NULL},
        {S("\0jane\0sec\xc2\x85ret"), ERR_BAD, NULL, NULL},
        {S("\0jane\0sec\xff"), ERR_BAD, NULL, NULL},
        {S("\xff\0jane\0secret"), ERR_BAD, NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sasl_plain plain = {0};
        assert_int_equal(sasl_plain_parse(rows[i].message, &plain), rows[i].err);
        if (rows[i].err == ERR_OK) {
            assert_true(slice_eq(plain.user, slice_of(rows[i].user)));
            assert_true(slice_eq(plain.password, slice_of(rows[i].password)));
        }
    }
    static uint8_t big[3 * SASL_MESSAGE_MAX];
    memset(big, 'a', sizeof big);
    big[0] = big[10] = 0;
    struct sasl_plain plain;
    assert_int_equal(sasl_plain_parse(slice_make(big, sizeof big), &plain), ERR_BAD);
    assert_int_equal(sasl_plain_parse(slice_make(big, 12 + SASL_PASSWORD_MAX), &plain), ERR_BAD);
    assert_int_equal(sasl_plain_parse(slice_make(big, 11 + SASL_PASSWORD_MAX), &plain), ERR_OK);
}

/* RFC 7677 section 3. */
static void test_scram_exchange(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(65536);
    struct sasl_scram_first first;
    struct sasl_scram_final final;
    assert_int_equal(sasl_scram_first_parse_in(arena, SLICE("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"), &first),
                     ERR_OK);
    assert_true(slice_eq(first.user, SLICE("user")));
    assert_true(slice_eq(first.gs2_header, SLICE("n,,")));
    struct scram_verifier v = {.iterations = 4096};
    struct slice salt, nonce = SLICE("rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
    assert_true(base64_decode_in(arena, SLICE("W22ZaJ0SNY7soEsUEjb6gQ=="), &salt));
    v.salt_len = (uint8_t)salt.len;
    memcpy(v.salt, salt.ptr, salt.len);
    assert_int_equal(scram_derive(SLICE("pencil"), &v), ERR_OK);
    AUTO_BUF struct buf server = buf_new(1000), text = buf_new(1000), log = buf_new(1000);
    sasl_scram_server_first(&server, nonce, salt, v.iterations);
    assert_true(slice_eq(buf_slice(&server), SLICE("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                                                   "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")));
    assert_int_equal(
        sasl_scram_final_parse_in(arena,
                                  SLICE("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                                        "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
                                  first.gs2_header, SLICE_EMPTY, nonce, &final),
        ERR_OK);
    buf_addf(&log, "%.*s,%.*s,%.*s", SLICE_ARG(first.bare), SLICE_ARG(buf_slice(&server)),
             SLICE_ARG(final.without_proof));
    uint8_t signature[SASL_SCRAM_KEY_LEN];
    assert_int_equal(scram_verify_proof(&v, buf_slice(&log), final.proof, signature), ERR_OK);
    assert_true(slice_eq(base64_encode_in(arena, slice_make(signature, sizeof signature)),
                         SLICE("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")));
    final.proof[0] ^= 1;
    assert_int_equal(scram_verify_proof(&v, buf_slice(&log), final.proof, signature), ERR_REFUSED);
    scram_verifier_write(&v, &text);
    struct scram_verifier back;
    assert_int_equal(scram_verifier_parse(buf_slice(&text), &back), ERR_OK);
    assert_memory_equal(back.stored_key, v.stored_key, sizeof v.stored_key);
    assert_int_equal(scram_verify_password(&back, SLICE("pencil")), ERR_OK);
    assert_int_equal(scram_verify_password(&back, SLICE("pencils")), ERR_REFUSED);
}

static void test_scram_first(void **state)
{
    (void)state;
    static const struct {
        struct slice message;
        enum err err;
        const char *user;
    } rows[] = {
        {S("y,,n=jane@example.org,r=abc"), ERR_OK, "jane@example.org"},
        {S("n,a=jane,n=jane,r=abc"), ERR_OK, "jane"},
        {S("n,a=john,n=jane,r=abc"), ERR_REFUSED, NULL},
        {S("n,,n=a=2Cb=3Dc,r=abc"), ERR_OK, "a,b=c"},
        {S("n,,n=a=2cb,r=abc"), ERR_BAD, NULL},
        {S("n,,n=a=,r=abc"), ERR_BAD, NULL},
        {S("p=tls-exporter,,n=jane,r=abc"), ERR_OK, "jane"},
        {S("p=,,n=jane,r=abc"), ERR_BAD, NULL},
        {S("p=tls_exporter,,n=jane,r=abc"), ERR_BAD, NULL},
        {S("p=tls-exporter"), ERR_BAD, NULL},
        {S("x,,n=jane,r=abc"), ERR_BAD, NULL},
        {S("n,,n=jane"), ERR_BAD, NULL},
        {S("n,,n=jane,r="), ERR_BAD, NULL},
        {S("n,,n=,r=abc"), ERR_BAD, NULL},
        {S("n,,m=ext,n=jane,r=abc"), ERR_BAD, NULL},
        {S("n,,n=jane,r=a\x80"), ERR_BAD, NULL},
        {S("n,,n=ja\0ne,r=abc"), ERR_BAD, NULL},
        {S("n,,n=jane,r=abc,ext=1"), ERR_OK, "jane"},
        {S("n,a=,n=jane,r=abc"), ERR_BAD, NULL},
        {S(""), ERR_BAD, NULL},
        {S("n"), ERR_BAD, NULL},
        {S("n,"), ERR_BAD, NULL},
        {S("n,,"), ERR_BAD, NULL},
    };
    AUTO_ARENA struct arena *arena = arena_new(65536);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sasl_scram_first first;
        enum err got = sasl_scram_first_parse_in(arena, rows[i].message, &first);
        if (got != rows[i].err)
            print_message("%.*s: %s\n", SLICE_ARG(rows[i].message), err_name(got));
        assert_int_equal(got, rows[i].err);
        if (!got)
            assert_true(slice_eq(first.user, slice_of(rows[i].user)));
    }
}

static void test_scram_final(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "c=biws",
        "c=biws,r=abcdef",
        "c=biws,r=abcdef,p=",
        "c=biws,r=abcdef,p=AAAA",
        "c=eSws,r=abcdef,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", /* another gs2 header */
        "c=biws,r=abcdeg,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "c=biws,r=abc,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "r=abcdef,c=biws,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "c=biws,r=abcdef,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=,x=1",
    };
    AUTO_ARENA struct arena *arena = arena_new(65536);
    struct sasl_scram_final final;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(sasl_scram_final_parse_in(arena, slice_of(rows[i]), SLICE("n,,"), SLICE_EMPTY,
                                                   SLICE("abcdef"), &final),
                         ERR_BAD);
    assert_int_equal(sasl_scram_final_parse_in(
                         arena, SLICE("c=biws,r=abcdef,e=1,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
                         SLICE("n,,"), SLICE_EMPTY, SLICE("abcdef"), &final),
                     ERR_OK);
}

/* RFC 7628 section 4.1, and what is no such message. */
static void test_bearer(void **state)
{
    (void)state;
    static const struct {
        bool xoauth2;
        struct slice message;
        enum err err;
        const char *user, *token;
    } rows[] = {
        {false,
         S("n,a=user@example.com,\1host=server.example.com\1port=143\1auth=Bearer "
           "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\1\1"),
         ERR_OK, "user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="},
        {false, S("y,,\1auth=bearer  a-b._~+/\1\1"), ERR_OK, "", "a-b._~+/"},
        {false, S("n,a=a=2Cb=3Dc,\1AUTH=Bearer t\1\1"), ERR_OK, "a,b=c", "t"},
        {false, S("p=tls-exporter,,\1auth=Bearer t\1\1"), ERR_BAD, NULL, NULL},
        {false, S("n,,auth=Bearer t\1\1"), ERR_BAD, NULL, NULL},
        {false, S("n,,\1auth=Bearer t\1"), ERR_BAD, NULL, NULL},
        {false, S("n,,\1auth=Bearer t\1\1\1"), ERR_BAD, NULL, NULL},
        {false, S("n,,\1auth=Bearer t\1auth=Bearer u\1\1"), ERR_BAD, NULL, NULL},
        {false, S("n,,\1auth=Bearer \1\1"), ERR_BAD, NULL, NULL},
        {false, S("n,,\1auth=Bearer a\0b\1\1"), ERR_BAD, NULL, NULL},
        {false, S("n,,\1auth=Basic t\1\1"), ERR_BAD, NULL, NULL},
        {false, S("n,,\1=x\1auth=Bearer t\1\1"), ERR_BAD, NULL, NULL},
        {false, S("n,,\1\1"), ERR_BAD, NULL, NULL},
        {false, S("\1"), ERR_BAD, NULL, NULL},
        {false, S(""), ERR_BAD, NULL, NULL},
        {true, S("user=a@b\1auth=Bearer t\1\1"), ERR_OK, "a@b", "t"},
        {true, S("user=\1auth=Bearer t\1\1"), ERR_OK, "", "t"},
        {true, S("user=a\n\1auth=Bearer t\1\1"), ERR_BAD, NULL, NULL},
        {true, S("user=a@b\1"), ERR_BAD, NULL, NULL},
        {true, S("user=a@b"), ERR_BAD, NULL, NULL},
        {true, S("auth=Bearer t\1\1"), ERR_BAD, NULL, NULL},
    };
    AUTO_ARENA struct arena *arena = arena_new(65536);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sasl_bearer bearer;
        enum err err = rows[i].xoauth2 ? sasl_xoauth2_parse(rows[i].message, &bearer)
                                       : sasl_oauthbearer_parse_in(arena, rows[i].message, &bearer);
        assert_int_equal(err, rows[i].err);
        if (err)
            continue;
        assert_true(slice_eq(bearer.user, slice_of(rows[i].user)));
        assert_true(slice_eq(bearer.token, slice_of(rows[i].token)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),       cmocka_unit_test(test_scram_exchange),
        cmocka_unit_test(test_scram_first), cmocka_unit_test(test_scram_final),
        cmocka_unit_test(test_bearer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
