/* postfix-relaymap.cf. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/coll.h"
#include "directory/relay_map.h"

static const char text[] = "# who sends where\r\n"
                           "@one.test [relay.example.net]:587\r\n"
                           "  @Two.TEST\t relay.example.net:submission  \n"
                           "@none.test\n"
                           "Boss@one.test [192.0.2.1]\n"
                           "@v6.test [IPv6:2001:DB8::1]:465\n"
                           "@b\xc3\xbc"
                           "cher.example mail.b\xc3\xbc"
                           "cher.example\n"
                           "@one.test [other.example.net]:587\n" /* 8 */
                           "@one.test [relay.example.net]:587\n"
                           "one.test [x.test]\n"      /* 10 */
                           "@bad.test [x.test\n"      /* 11 */
                           "@bad.test [x.test]587\n"  /* 12 */
                           "@bad.test x.test:0\n"     /* 13 */
                           "@bad.test x.test:65536\n" /* 14 */
                           "@bad.test two words\n"    /* 15 */
                           "@bad@test [x.test]\n";    /* 16 */

static void test_find(void **state)
{
    static const struct {
        const char *sender, *host; /* host NULL: no line */
        unsigned port;
        bool bracketed;
    } rows[] = {
        {"a@one.test", "relay.example.net", 587, true},
        {"A@ONE.test", "relay.example.net", 587, true},
        {"a@two.test", "relay.example.net", 587, false},
        {"a@none.test", "", 25, false},
        {"boss@one.test", "192.0.2.1", 25, true},
        {"boss+tag@one.test", "192.0.2.1", 25, true},
        {"a@v6.test", "2001:db8::1", 465, true},
        {"a@xn--bcher-kva.example", "mail.xn--bcher-kva.example", 25, false},
        {"a@sub.one.test", NULL, 0, false},
        {"a@bad.test", NULL, 0, false},
        {"", NULL, 0, false},
        {"postmaster", NULL, 0, false},
        {"no address", NULL, 0, false},
    };
    AUTO_ARENA struct arena *arena = arena_new(1 << 22);
    struct relay_map *map = relay_map_new_in(arena);
    (void)state;
    relay_map_read(map, slice_of(text), SLICE("map.cf"), problems_new_in(arena));
    assert_int_equal(relay_map_count(map), 6);
    assert_int_equal(relay_map_at(map, 1)->place.line, 3);
    assert_null(relay_map_at(map, 6));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct relay_map_entry *entry = relay_map_find(map, slice_of(rows[i].sender));
        if (!entry != !rows[i].host ||
            (entry && (!slice_eq(entry->host, slice_of(rows[i].host)) || entry->port != rows[i].port ||
                       entry->bracketed != rows[i].bracketed)))
            fail_msg("%s: %.*s %u", rows[i].sender, SLICE_ARG(entry ? entry->host : SLICE("none")),
                     entry ? entry->port : 0);
    }
}

static void test_problems(void **state)
{
    static const char *const said[] = {
        "map.cf:8: warning: a relay for @one.test is also in map.cf:2; the first counts",
        "map.cf:10: error: no sender's domain or address",
        "map.cf:11: error: the relay of @bad.test: no closing bracket; ignored",
        "map.cf:12: error: the relay of @bad.test: no valid port; ignored",
        "map.cf:13: error: the relay of @bad.test: no valid port; ignored",
        "map.cf:14: error: the relay of @bad.test: no valid port; ignored",
        "map.cf:15: error: the relay of @bad.test: no host name and no address; ignored",
        "map.cf:16: error: no sender's domain or address",
    };
    AUTO_ARENA struct arena *arena = arena_new(1 << 22);
    AUTO_BUF struct buf out = buf_new(1 << 16);
    struct problems *problems = problems_new_in(arena);
    (void)state;
    relay_map_read(relay_map_new_in(arena), slice_of(text), SLICE("map.cf"), problems);
    problems_print(problems, &out);
    buf_add_byte(&out, 0);
    assert_int_equal(problems->count, ARRAY_LEN(said));
    for (size_t i = 0; i < ARRAY_LEN(said); i++)
        if (!strstr((const char *)out.data, said[i]))
            fail_msg("missing: %s\nin:\n%s", said[i], (const char *)out.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_find), cmocka_unit_test(test_problems)};
    return cmocka_run_group_tests_name("relay_map", tests, NULL, NULL);
}
