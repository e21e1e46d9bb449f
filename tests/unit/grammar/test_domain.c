/* Domain names: syntax and the one canonical form. */
#include "check.h"
#include "grammar/domain.h"

#define L63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

static void test_alabel(void **state)
{
    (void)state;
    static const struct {
        const char *name, *wanted;
    } rows[] = {
        {"Example.ORG", "example.org"},
        {"example.org.", "example.org"},
        {"localhost", "localhost"},
        {"b\xc3\xbc"
         "cher.example",
         "xn--bcher-kva.example"},
        {"B\xc3\x9c"
         "CHER.example",
         "xn--bcher-kva.example"},
        {"bu\xcc\x88"
         "cher.example",
         "xn--bcher-kva.example"}, /* u and combining diaeresis */
        {"XN--Bcher-KVA.example", "xn--bcher-kva.example"},
        {"fa\xc3\x9f.example", "xn--fa-hia.example"}, /* sharp s is kept: non-transitional */
        {"\xe4\xbe\x8b\xe3\x80\x82jp", "xn--fsq.jp"}, /* ideographic full stop */
        {"xn--zzzzzzz99999", "xn--zzzzzzz99999"},
        {"my_host.example", "my_host.example"},
        {"", NULL},
        {".", NULL},
        {"a..b", NULL},
        {".a", NULL},
        {"a..", NULL},
        {"-a.example", NULL},
        {"a-.example", NULL},
        {"a b.example", NULL},
        {"a@b", NULL},
        {L63 ".example", L63 ".example"},
        {L63 "x.example", NULL},
        {L63 "." L63 "." L63 "." L63, NULL}, /* 255 */
        {"\xff.example", NULL},
        {"\xe2\x80\xae.example", NULL}, /* right-to-left override */
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        struct slice got = SLICE_EMPTY;
        struct why why = {0};
        enum err err = domain_to_alabel_in(arena, slice_of(rows[i].name), &got, &why);
        assert_row((err == ERR_OK) == (rows[i].wanted != NULL), i);
        assert_row((why.text[0] == 0) == (err == ERR_OK), i);
        assert_text(got, rows[i].wanted, i);
    }
}

static void test_nul_and_length(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct slice got;
    assert_int_equal(domain_to_alabel_in(arena, slice_make("a\0b", 3), &got, NULL), ERR_BAD);
    assert_int_equal(domain_to_alabel_in(arena, slice_make("\xc3\xbc\0b", 4), &got, NULL), ERR_BAD);
    static char big[100000];
    memset(big, 0xc3, sizeof big);
    for (size_t i = 1; i < sizeof big; i += 2)
        big[i] = (char)0xbc;
    assert_int_equal(domain_to_alabel_in(arena, slice_make(big, sizeof big), &got, NULL), ERR_BAD);
}

static void test_ulabel(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    assert_text(domain_to_ulabel_in(arena, SLICE("xn--bcher-kva.example")),
                "b\xc3\xbc"
                "cher.example",
                0);
    assert_text(domain_to_ulabel_in(arena, SLICE("example.org")), "example.org", 1);
    assert_text(domain_to_ulabel_in(arena, SLICE("xn--zzzzzzz99999")), "xn--zzzzzzz99999", 2);
}

static void test_literal(void **state)
{
    (void)state;
    static const struct {
        const char *text, *wanted;
    } rows[] = {
        {"[192.0.2.1]", "192.0.2.1"},
        {"[IPv6:2001:db8::1]", "2001:db8::1"},
        {"[ipv6:::1]", "::1"},
        {"[IPv6:::ffff:192.0.2.1]", "192.0.2.1"},
        {"[2001:db8::1]", NULL},
        {"[IPv6:192.0.2.1]", NULL},
        {"[192.0.2.1", NULL},
        {"192.0.2.1", NULL},
        {"[]", NULL},
        {"[x]", NULL},
        {"[192.0.2.1]x", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct netaddr addr = {0};
        assert_row(domain_is_ip_literal(slice_of(rows[i].text), &addr) == (rows[i].wanted != NULL), i);
        if (rows[i].wanted)
            assert_text(slice_of(netaddr_text(&addr).text), rows[i].wanted, i);
    }
    assert_true(domain_is_ip_literal(SLICE("[1.2.3.4]"), NULL));
    assert_true(domain_is_ldh(SLICE("a-1.b")) && !domain_is_ldh(SLICE("a_1.b")) &&
                domain_is_host(SLICE("a_1.b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alabel),
        cmocka_unit_test(test_nul_and_length),
        cmocka_unit_test(test_ulabel),
        cmocka_unit_test(test_literal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
