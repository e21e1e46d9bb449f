/* test_sasl.c: what we answer to challenges; SCRAM by the example of RFC 7677, and servers that cheat. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/coll.h"
#include "grammar/smtp_ehlo.h"
#include "relay/sasl.h"

static const struct sasl_login login = {.user = {(const uint8_t *)"user", 4},
                                        .secret = {(const uint8_t *)"pencil", 6}};

#define SERVER_FIRST "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define CLIENT_FINAL                                                                                         \
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+"                         \
    "Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define SERVER_FINAL "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static enum err answer(struct sasl_client *sasl, const char *challenge, struct buf *out)
{
    struct why why = {""};
    buf_clear(out);
    enum err err = sasl_client_answer(sasl, slice_of(challenge), out, &why);
    assert_true(err == ERR_OK || strlen(why.text) > 0);
    return err;
}

static struct sasl_client begin(struct arena *arena, struct buf *out)
{
    struct sasl_client sasl;
    buf_clear(out);
    sasl_client_begin(&sasl, arena, SMTP_SASL_SCRAM_SHA_256, &login, SLICE("rOprNGfwEbeRWgbNEkqO"));
    assert_true(sasl_client_initial(&sasl, out));
    return sasl;
}

static void test_scram(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(1 << 20);
    AUTO_BUF struct buf out = buf_new(10000);
    struct why why;
    struct sasl_client sasl = begin(arena, &out);
    assert_true(slice_eq(buf_slice(&out), SLICE("n,,n=user,r=rOprNGfwEbeRWgbNEkqO")));
    assert_int_equal(sasl_client_finish(&sasl, &why), ERR_REFUSED);
    assert_int_equal(answer(&sasl, SERVER_FIRST, &out), ERR_OK);
    assert_true(slice_eq(buf_slice(&out), SLICE(CLIENT_FINAL)));
    assert_int_equal(sasl_client_finish(&sasl, &why), ERR_REFUSED);
    assert_int_equal(answer(&sasl, SERVER_FINAL, &out), ERR_OK);
    assert_int_equal(out.len, 0);
    assert_int_equal(sasl_client_finish(&sasl, &why), ERR_OK);
    assert_int_equal(answer(&sasl, "", &out), ERR_BAD);
}

static void test_cheats(void **state)
{
    (void)state;
    static const struct {
        const char *first;
        enum err err;
    } rows[] = {
        {"", ERR_BAD},
        {"r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", ERR_REFUSED}, /* only our nonce */
        {"r=xOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", ERR_REFUSED},
        {"r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4095", ERR_REFUSED},
        {"r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4000000000", ERR_REFUSED},
        {"r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=99999999999", ERR_BAD},
        {"r=rOprNGfwEbeRWgbNEkqO1,s=,i=4096", ERR_BAD},
        {"r=rOprNGfwEbeRWgbNEkqO1,s=!,i=4096", ERR_BAD},
        {"m=x,r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", ERR_BAD},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(1 << 20);
        AUTO_BUF struct buf out = buf_new(10000);
        struct sasl_client sasl = begin(arena, &out);
        if (answer(&sasl, rows[i].first, &out) != rows[i].err)
            fail_msg("row %zu", i);
    }
    static const char *const finals[] = {"e=other-error",
                                         "v=", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="};
    for (size_t i = 0; i < ARRAY_LEN(finals); i++) {
        AUTO_ARENA struct arena *arena = arena_new(1 << 20);
        AUTO_BUF struct buf out = buf_new(10000);
        struct sasl_client sasl = begin(arena, &out);
        struct why why;
        assert_int_equal(answer(&sasl, SERVER_FIRST, &out), ERR_OK);
        assert_int_equal(answer(&sasl, finals[i], &out), ERR_REFUSED);
        assert_int_equal(sasl_client_finish(&sasl, &why), ERR_REFUSED);
    }
}

static void test_names_are_escaped(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(1 << 20);
    AUTO_BUF struct buf out = buf_new(10000);
    const struct sasl_login odd = {.user = SLICE("a=b,c"), .secret = SLICE("x")};
    struct sasl_client sasl;
    sasl_client_begin(&sasl, arena, SMTP_SASL_SCRAM_SHA_256, &odd, SLICE("nonce"));
    assert_true(sasl_client_initial(&sasl, &out));
    assert_true(slice_eq(buf_slice(&out), SLICE("n,,n=a=3Db=2Cc,r=nonce")));
}

static void test_choice(void **state)
{
    (void)state;
    static const struct {
        unsigned offered, allowed, wanted;
    } rows[] = {
        {SMTP_SASL_PLAIN | SMTP_SASL_LOGIN | SMTP_SASL_SCRAM_SHA_256, 0, SMTP_SASL_SCRAM_SHA_256},
        {SMTP_SASL_PLAIN | SMTP_SASL_LOGIN, 0, SMTP_SASL_PLAIN},
        {SMTP_SASL_LOGIN | SMTP_SASL_XOAUTH2, 0, SMTP_SASL_LOGIN},
        {SMTP_SASL_XOAUTH2, 0, 0},
        {SMTP_SASL_XOAUTH2 | SMTP_SASL_PLAIN, SMTP_SASL_XOAUTH2, SMTP_SASL_XOAUTH2},
        {SMTP_SASL_PLAIN, SMTP_SASL_SCRAM_SHA_256, 0},
        {SMTP_SASL_OTHER, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sasl_login some = login;
        some.mechanisms = rows[i].allowed;
        assert_int_equal(sasl_client_choose(rows[i].offered, &some), rows[i].wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scram),
        cmocka_unit_test(test_cheats),
        cmocka_unit_test(test_names_are_escaped),
        cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
