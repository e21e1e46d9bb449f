/* postfix-sasl-password.cf, and a file with one user:password. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/coll.h"
#include "policy/relay_secrets.h"

static const char text[] = "# secrets\r\n"
                           "@one.test one:geheim1\r\n"
                           "Boss@one.test  boss@one.test:ge:heim 2 \n"
                           "[Relay.Example.net]:587 relay:geheim3\n"
                           "relay.example.net:465\trelay:geheim4\n"
                           "[relay.example.net] relay:geheim5\n"
                           "192.0.2.1 ip:geheim6\n"
                           "[2001:db8::1]:submission ip6:geheim7\n"
                           "@one.test again:geheim8\n"               /* the first counts */
                           "@one.test geheim9\n"                     /* 10: no colon */
                           "@two.test :geheim10\n"                   /* 11 */
                           "@two.test user:\n"                       /* 12 */
                           "@@ user:geheim11\n"                      /* 13 */
                           "geheim12\n"                              /* 14 */
                           "[relay.example.net:587 user:geheim13\n"; /* 15 */

static void test_find(void **state)
{
    static const struct {
        const char *sender, *host;
        unsigned port;
        const char *user, *password; /* NULL: none */
    } rows[] = {
        {"a@one.test", "relay.example.net", 587, "one", "geheim1"},
        {"A@ONE.test", "elsewhere.test", 25, "one", "geheim1"},
        {"boss@one.test", "relay.example.net", 587, "boss@one.test", "ge:heim 2"},
        {"boss+tag@one.test", "relay.example.net", 587, "boss@one.test", "ge:heim 2"},
        {"\"boss+tag\"@one.test", "elsewhere.test", 25, "boss@one.test", "ge:heim 2"},
        {"boss+@one.test", "elsewhere.test", 25, "boss@one.test", "ge:heim 2"},
        {"+boss@one.test", "elsewhere.test", 25, "one", "geheim1"},
        {"a@other.test", "relay.example.net", 587, "relay", "geheim3"},
        {"", "RELAY.example.net", 587, "relay", "geheim3"},
        {"", "relay.example.net", 465, "relay", "geheim4"},
        {"", "relay.example.net", 25, "relay", "geheim5"},
        {"", "192.0.2.1", 587, "ip", "geheim6"},
        {"", "2001:DB8:0::1", 587, "ip6", "geheim7"},
        {"", "2001:db8::1", 25, NULL, NULL},
        {"a@two.test", "elsewhere.test", 25, NULL, NULL},
        {"", "", 25, NULL, NULL},
        {"not an address", "no host", 25, NULL, NULL},
    };
    AUTO_ARENA struct arena *arena = arena_new(1 << 22);
    struct relay_secrets *secrets = relay_secrets_new_in(arena);
    (void)state;
    assert_true(relay_secrets_read(secrets, slice_of(text), SLICE("sasl.cf"), problems_new_in(arena)));
    assert_int_equal(relay_secrets_count(secrets), 7);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct relay_secret *secret = relay_secrets_find(
            secrets, slice_of(rows[i].sender), slice_of(rows[i].host), (uint16_t)rows[i].port);
        if (!secret != !rows[i].user || (secret && (!slice_eq(secret->user, slice_of(rows[i].user)) ||
                                                    !slice_eq(secret->password, slice_of(rows[i].password)))))
            fail_msg("row %zu: %.*s", i, SLICE_ARG(secret ? secret->user : SLICE("none")));
    }
}

/* What is wrong is told by line, and no secret with it. */
static void test_problems(void **state)
{
    static const unsigned lines[] = {10, 11, 12, 13, 14, 15};
    AUTO_ARENA struct arena *arena = arena_new(1 << 22);
    AUTO_BUF struct buf out = buf_new(1 << 16);
    struct problems *problems = problems_new_in(arena);
    (void)state;
    (void)!relay_secrets_read(relay_secrets_new_in(arena), slice_of(text), SLICE("sasl.cf"), problems);
    problems_print(problems, &out);
    buf_add_byte(&out, 0);
    assert_int_equal(problems->count, ARRAY_LEN(lines));
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_int_equal(problems->items[i].line, lines[i]);
    assert_null(strstr((const char *)out.data, "geheim"));
}

static void test_one_line(void **state)
{
    static const struct {
        const char *text, *user, *password; /* NULL: nothing usable */
    } rows[] = {
        {"user:password", "user", "password"},
        {"\n# x\nuser@example.org:pass:word\r\n", "user@example.org", "pass:word"},
        {"user:pass word", "user", "pass word"},
        {"user:ya29.a0-_/==", "user", "ya29.a0-_/=="},
        {"\xef\xbb\xbfuser:p", "user", "p"},
        {"one:1\ntwo:2\n", "one", "1"},
        {"user", NULL, NULL},
        {":password", NULL, NULL},
        {"user:", NULL, NULL},
        {"", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(1 << 22);
        struct relay_secrets *secrets = relay_secrets_new_in(arena);
        bool usable =
            relay_secrets_read(secrets, slice_of(rows[i].text), SLICE("one"), problems_new_in(arena));
        const struct relay_secret *secret =
            relay_secrets_find(secrets, SLICE("a@b.test"), SLICE("x.test"), 587);
        if (usable != (rows[i].user != NULL) || !secret != !rows[i].user ||
            (secret && (!slice_eq(secret->user, slice_of(rows[i].user)) ||
                        !slice_eq(secret->password, slice_of(rows[i].password)))))
            fail_msg("row %zu", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_find), cmocka_unit_test(test_problems),
                                       cmocka_unit_test(test_one_line)};
    return cmocka_run_group_tests_name("relay_secrets", tests, NULL, NULL);
}
