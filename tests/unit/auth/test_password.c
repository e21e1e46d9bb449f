/* Stored passwords in every form: right and wrong passwords, damaged and hostile hashes, and a hash of our
 * own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "auth/memory.h"
#include "auth/password.h"
#include "base/coll.h"

#define PASSWORD "correct horse"

static const struct {
    const char *secret;
    enum password_kind kind;
} fitting[] = {
    {PASSWORD, PASSWORD_PLAIN},
    {"{PLAIN}" PASSWORD, PASSWORD_PLAIN},
    {"{CLEARTEXT}" PASSWORD, PASSWORD_PLAIN},
    {"$2b$06$abcdefghijklmnopqrstuud/5IuQmqhVO0kfNEbHJM.fJkPiliBzC", PASSWORD_CRYPT},
    {"$2a$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2", PASSWORD_CRYPT},
    {"$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2", PASSWORD_CRYPT},
    /* whatever the prefix says */
    {"{SHA512-CRYPT}$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2", PASSWORD_CRYPT},
    {"{CRYPT}$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2", PASSWORD_CRYPT},
    {"{BLF-CRYPT}$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2", PASSWORD_CRYPT},
    {"{SHA512-CRYPT}$6$saltstring$."
     "r0X7ub5wGR2v4Xz7svCIozfnlorFh19V89t8KC9Umd81uGhFgsyTRNyzQDXDIm17fFcR9z3z7oBNdsyYBbtm/",
     PASSWORD_CRYPT},
    {"$6$rounds=1000$saltstring$"
     "YiR6NSM0LQXmu7vAhkMXfkdYk7qtFouVx1Mdr3HmzXspT8kONjlpU3CsV7ezCB62uXJoAdaagsH4ck7/tB9js.",
     PASSWORD_CRYPT},
    {"{SHA256-CRYPT}$5$saltstring$vc6YOOogU4kWVvwga8e9zTFgKcy4tb5LaPxIiPJzqEC", PASSWORD_CRYPT},
    {"{MD5-CRYPT}$1$saltstr$xCG7.tBSa9CJbD9lBlLuj.", PASSWORD_CRYPT},
    {"$y$j9T$F5Jx5fExrKuPp53xLKQ..1$zwtVrjrUCmXcyLTs6oxLTQlzifSUkF8RHJ./tK5KU79", PASSWORD_CRYPT},
    {"{SSHA512}ggObOJHDWCqgI5uFv/j9yDNYMvdTgt+Toj8d6cGrSG/"
     "e+E9GbH4DkQ8y5jY3NblhoGens+zNVX1mZaFy0qwRwwECAwQFBgcI",
     PASSWORD_DIGEST},
    {"{SSHA256}CFsq5JPfiBQ0W3uR5Dnao+9mknEq9a739V+FPkJ6yjABAgMEBQYHCA==", PASSWORD_DIGEST},
    {"{SSHA256.HEX}085b2ae493df8814345b7b91e439daa3ef6692712af5aef7f55f853e427aca300102030405060708",
     PASSWORD_DIGEST},
    {"{SSHA}NSZEu/ZzEMKdBO5ESNEYml3qKRYBAgMEBQYHCA==", PASSWORD_DIGEST},
    {"{SMD5}vPjZQdkpEUFwnJ1WNg63FAECAwQFBgcI", PASSWORD_DIGEST},
    {"{SHA512}VraY3v7bWkNbY0r+MyC7rz/c2SC2xQOkRvx7endrKY1HnRumqLYXgI6wv1ec6aldZoNHvKtxSQhayTyyeZUZew==",
     PASSWORD_DIGEST},
    {"{SHA256}QQTTb42iwlQ0n4WDZ5Pr4CngyVcGOjTJHC6SAxh7VjE=", PASSWORD_DIGEST},
    {"{SHA256.hex}4104d36f8da2c254349f85836793ebe029e0c957063a34c91c2e9203187b5631", PASSWORD_DIGEST},
    {"{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=", PASSWORD_DIGEST},
    {"{PLAIN-MD5}3cb4e732631f47e6eb961f34554b7cde", PASSWORD_DIGEST},
    {"{PBKDF2}$1$GrXi3VAIf9EuF41Y$5000$c9220f6e3a93d05056d1332afb3f861723f75ada", PASSWORD_PBKDF2},
    {"{SCRAM-SHA-256}4096,MDEyMzQ1Njc4OWFiY2RlZg==,tSgetjYW5SQlNzIxJAKMryuDGH8Snw5oWcj1eOW0ZyI=,"
     "bbZ1dJMgYYaKKR1fU1oGHkWJzi9OQY4yU8Fuksa1t70=",
     PASSWORD_SCRAM},
};

static void check(const char *secret, const char *password, enum err expected)
{
    struct password_form form;
    struct why why;
    assert_int_equal(password_recognise(slice_of(secret), &form, &why), ERR_OK);
    enum err got = password_verify(&form, slice_of(password));
    if (got != expected)
        print_message("%s with '%s': %s\n", secret, password, err_name(got));
    assert_int_equal(got, expected);
}

static void test_fitting(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fitting); i++) {
        struct password_form form;
        assert_int_equal(password_recognise(slice_of(fitting[i].secret), &form, NULL), ERR_OK);
        assert_int_equal(form.kind, fitting[i].kind);
        check(fitting[i].secret, PASSWORD, ERR_OK);
        check(fitting[i].secret, "correct hors", ERR_REFUSED);
        check(fitting[i].secret, "correct horse ", ERR_REFUSED);
        check(fitting[i].secret, "", ERR_REFUSED);
        check(fitting[i].secret, "Correct horse", ERR_REFUSED);
    }
}

/* The reference implementation's own vectors (argon2's test.c, version 0x13). */
static void test_argon2(void **state)
{
    (void)state;
    static const char one[] =
        "{ARGON2ID}$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    static const char two[] =
        "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc";
    check(one, "password", ERR_OK);
    check(one, "passwort", ERR_REFUSED);
    check(two, "password", ERR_OK); /* two lanes, on one thread */
    check(two, "differentpassword", ERR_REFUSED);
}

static void test_own(void **state)
{
    (void)state;
    AUTO_BUF struct buf a = buf_new(400), b = buf_new(400);
    assert_int_equal(password_hash(SLICE(PASSWORD), &a), ERR_OK);
    assert_int_equal(password_hash(SLICE(PASSWORD), &b), ERR_OK);
    assert_false(slice_eq(buf_slice(&a), buf_slice(&b)));
    assert_true(slice_starts(buf_slice(&a), SLICE("{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$")));
    struct password_form form;
    assert_int_equal(password_recognise(buf_slice(&a), &form, NULL), ERR_OK);
    assert_int_equal(password_verify(&form, SLICE(PASSWORD)), ERR_OK);
    assert_int_equal(password_verify(&form, SLICE("other")), ERR_REFUSED);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *secret;
        enum err err;
    } rows[] = {
        {"", ERR_BAD},
        {"{PLAIN}", ERR_BAD},
        {"{CRYPT}abJnggxhB/yWI", ERR_BAD}, /* DES */
        {"{NTLM}0123456789abcdef", ERR_BAD},
        {"$9$whatever$abcdefgh", ERR_BAD},
        {"$2y$31$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2", ERR_REFUSED},
        {"$2y$15$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2", ERR_REFUSED},
        {"$2y$05$short", ERR_BAD},
        {"$2y$xx$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2", ERR_BAD},
        {"$6$rounds=999999999$saltstring$"
         "YiR6NSM0LQXmu7vAhkMXfkdYk7qtFouVx1Mdr3HmzXspT8kONjlpU3CsV7ezCB62uXJoAdaagsH4ck7/"
         "tB9js.",
         ERR_REFUSED},
        {"$6$rounds=x$saltstring$abc", ERR_BAD},
        {"$6$saltstring$short", ERR_BAD},
        {"$5$saltstring$short", ERR_BAD},
        {"$1$saltstr$short", ERR_BAD},
        {"$y$jFT$F5Jx5fExrKuPp53xLKQ..1$zwtVrjrUCmXcyLTs6oxLTQlzifSUkF8RHJ./tK5KU79", ERR_REFUSED},
        {"$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
         ERR_REFUSED},
        {"$argon2id$v=19$m=65536,t=4000000,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
         ERR_REFUSED},
        {"$argon2id$v=19$m=256,t=2,p=1$$", ERR_BAD},
        {"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ", ERR_BAD},
        {"$argon2id$", ERR_BAD},
        {"{PBKDF2}$1$salt$2000000000$c9220f6e3a93d05056d1332afb3f861723f75ada", ERR_REFUSED},
        {"{PBKDF2}$1$salt$x$c9220f6e3a93d05056d1332afb3f861723f75ada", ERR_BAD},
        {"{SCRAM-SHA-256}4096,xx", ERR_BAD},
        {"{SCRAM-SHA-256}99999999,MDEyMzQ1Njc4OWFiY2RlZg==,tSgetjYW5SQlNzIxJAKMryuDGH8Snw5oWcj1eOW0ZyI=,"
         "bbZ1dJMgYYaKKR1fU1oGHkWJzi9OQY4yU8Fuksa1t70=",
         ERR_BAD},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct password_form form;
        struct why why = {0};
        enum err got = password_recognise(slice_of(rows[i].secret), &form, &why);
        if (got != rows[i].err)
            print_message("%s: %s\n", rows[i].secret, err_name(got));
        assert_int_equal(got, rows[i].err);
        assert_true(strlen(why.text) > 0);
        assert_true(strlen(rows[i].secret) <= 20 || !strstr(why.text, rows[i].secret + 20));
    }
}

/* A password may look like anything: these are no hashes. */
static void test_plain_lookalikes(void **state)
{
    (void)state;
    static const char *const rows[] = {"$ecret!", "{not closed", "$1", "{}x", "a$6$b", "{has space}x"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(rows[i], rows[i], ERR_OK);
    check("{SHA}damaged", PASSWORD, ERR_INTERNAL);
    check("{SSHA512}AAAA", PASSWORD, ERR_INTERNAL);
}

static void test_memory(void **state)
{
    (void)state;
    struct memory *m = memory_new(1000);
    uint8_t tag[MEMORY_TAG_LEN], other[MEMORY_TAG_LEN];
    memory_tag(m, SLICE("a@b"), SLICE("pw"), SLICE("hash"), tag);
    assert_false(memory_has(m, tag, 0));
    memory_add(m, tag, 0);
    assert_true(memory_has(m, tag, 999));
    static const char *const rows[][3] = {
        {"a@b", "pw", "hash2"}, {"a@b", "pwh", "ash"}, {"a@bp", "w", "hash"}, {"a@b", "px", "hash"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        memory_tag(m, slice_of(rows[i][0]), slice_of(rows[i][1]), slice_of(rows[i][2]), other);
        assert_false(memory_has(m, other, 1));
    }
    assert_false(memory_has(m, tag, 1000)); /* over */
    assert_int_equal(memory_count(m), 0);
    memory_add(m, tag, 0);
    memory_clear(m);
    assert_false(memory_has(m, tag, 1));
    for (unsigned i = 0; i < MEMORY_MAX + 10; i++) {
        memory_derive(m, slice_make(&i, sizeof i), other);
        memory_add(m, other, 0);
    }
    assert_int_equal(memory_count(m), MEMORY_MAX);
    memory_set_time(m, 0);
    assert_false(memory_has(m, other, 0));
    memory_free(&m);
    memory_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fitting),
        cmocka_unit_test(test_argon2),
        cmocka_unit_test(test_own),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_plain_lookalikes),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
