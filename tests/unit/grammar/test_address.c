/* Envelope addresses: strict, canonical. */
#include "check.h"
#include "grammar/address.h"

#define A60 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff"
#define A64 A60 "gggg"
#define D63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"

static void test_mailbox(void **state)
{
    (void)state;
    enum { U = ADDRESS_ALLOW_UTF8, P = ADDRESS_ALLOW_POSTMASTER };
    static const struct {
        const char *text;
        unsigned flags;
        const char *local, *domain, *canonical, *key; /* local NULL: refused */
    } rows[] = {
        {"Joe@Example.ORG", 0, "Joe", "example.org", "Joe@example.org", "joe@example.org"},
        {"a.b+c@x", 0, "a.b+c", "x", "a.b+c@x", "a.b+c@x"},
        {"!#$%&'*+-/=?^_`{|}~@x", 0, "!#$%&'*+-/=?^_`{|}~", "x", "!#$%&'*+-/=?^_`{|}~@x",
         "!#$%&'*+-/=?^_`{|}~@x"},
        {"\"joe\"@x", 0, "joe", "x", "joe@x", "joe@x"},
        {"\"J \\\"D\\\\ \"@x", 0, "J \"D\\ ", "x", "\"J \\\"D\\\\ \"@x", "\"j \\\"d\\\\ \"@x"},
        {"\"a@b\"@x", 0, "a@b", "x", "\"a@b\"@x", "\"a@b\"@x"},
        {"\"a..b\"@x", 0, "a..b", "x", "\"a..b\"@x", "\"a..b\"@x"},
        {"joe@[192.0.2.1]", 0, "joe", "[192.0.2.1]", "joe@[192.0.2.1]", "joe@[192.0.2.1]"},
        {"joe@[ipv6:2001:DB8:0::1]", 0, "joe", "[IPv6:2001:db8::1]", "joe@[IPv6:2001:db8::1]",
         "joe@[IPv6:2001:db8::1]"},
        {"postmaster", P, "postmaster", "", "postmaster", "postmaster"},
        {"PostMaster", P, "PostMaster", "", "PostMaster", "postmaster"},
        {"j\xc3\xb6rg@b\xc3\xbc"
         "cher.example",
         U, "j\xc3\xb6rg", "xn--bcher-kva.example", "j\xc3\xb6rg@xn--bcher-kva.example",
         "j\xc3\xb6rg@xn--bcher-kva.example"},
        {"JO\xcc\x88RG@XN--BCHER-KVA.example", U, "JO\xcc\x88RG", "xn--bcher-kva.example",
         "JO\xcc\x88RG@xn--bcher-kva.example", "j\xc3\xb6rg@xn--bcher-kva.example"},
        {"\"j\xc3\xb6 rg\"@x", U, "j\xc3\xb6 rg", "x", "\"j\xc3\xb6 rg\"@x", "\"j\xc3\xb6 rg\"@x"},
        {A64 "@x", 0, A64, "x", A64 "@x", A64 "@x"},
        {A64 A64 A64 A60 "@x", 0, A64 A64 A64 A60, "x", A64 A64 A64 A60 "@x", A64 A64 A64 A60 "@x"},
        {A64 A64 A64 A60 "a@x", 0, NULL, NULL, NULL, NULL},
        {"a@" D63 "." D63 "." D63 ".aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff", 0, "a",
         D63 "." D63 "." D63 ".aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff",
         "a@" D63 "." D63 "." D63 ".aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff",
         "a@" D63 "." D63 "." D63 ".aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff"}, /* 254 */
        {"ab@" D63 "." D63 "." D63 ".aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff", 0, NULL,
         NULL, NULL, NULL},
        {"j\xc3\xb6rg@x", 0, NULL, NULL, NULL, NULL},
        {"joe@b\xc3\xbc"
         "cher.example",
         0, NULL, NULL, NULL, NULL},
        {"j\xff@x", U, NULL, NULL, NULL, NULL},
        {"j\xc2\x9b@x", U, NULL, NULL, NULL, NULL}, /* C1 control */
        {"postmaster", 0, NULL, NULL, NULL, NULL},
        {"joe", P, NULL, NULL, NULL, NULL},
        {"", 0, NULL, NULL, NULL, NULL},
        {"@x", 0, NULL, NULL, NULL, NULL},
        {"joe@", 0, NULL, NULL, NULL, NULL},
        {"joe@@x", 0, NULL, NULL, NULL, NULL},
        {"joe@x@y", 0, NULL, NULL, NULL, NULL},
        {".joe@x", 0, NULL, NULL, NULL, NULL},
        {"joe.@x", 0, NULL, NULL, NULL, NULL},
        {"j..e@x", 0, NULL, NULL, NULL, NULL},
        {"j e@x", 0, NULL, NULL, NULL, NULL},
        {"j\te@x", 0, NULL, NULL, NULL, NULL},
        {"joe@x y", 0, NULL, NULL, NULL, NULL},
        {"joe @x", 0, NULL, NULL, NULL, NULL},
        {"\"\"@x", 0, NULL, NULL, NULL, NULL},
        {"\"joe@x", 0, NULL, NULL, NULL, NULL},
        {"\"joe\"x@y", 0, NULL, NULL, NULL, NULL},
        {"\"joe\\", 0, NULL, NULL, NULL, NULL},
        {"\"j\\\r\"@x", 0, NULL, NULL, NULL, NULL},
        {"\"j\n\"@x", 0, NULL, NULL, NULL, NULL},
        {"joe(comment)@x", 0, NULL, NULL, NULL, NULL},
        {"joe@[1.2.3]", 0, NULL, NULL, NULL, NULL},
        {"joe@[tag:x]", 0, NULL, NULL, NULL, NULL},
        {"joe@x\"", 0, NULL, NULL, NULL, NULL},
        {";rm -rf ~@x", 0, NULL, NULL, NULL, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        struct address addr = {.local = SLICE("untouched")};
        struct why why = {0};
        enum err err = address_parse_in(arena, slice_of(rows[i].text), rows[i].flags, &addr, &why);
        assert_row((err == ERR_OK) == (rows[i].local != NULL), i);
        if (err) {
            assert_text(addr.local, "untouched", i);
            assert_row(why.text[0], i);
            continue;
        }
        assert_text(addr.local, rows[i].local, i);
        assert_text(addr.domain, rows[i].domain, i);
        assert_text(addr.text, rows[i].canonical, i);
        assert_text(address_key_in(arena, &addr), rows[i].key, i);
        /* The canonical text parses to itself. */
        struct address again;
        assert_row(address_parse_in(arena, addr.text, rows[i].flags, &again, NULL) == ERR_OK, i);
        assert_row(slice_eq(addr.text, again.text), i);
    }
}

static void test_path(void **state)
{
    (void)state;
    enum { N = ADDRESS_ALLOW_NULL };
    static const struct {
        const char *text;
        unsigned flags;
        const char *address, *rest; /* NULL: refused */
    } rows[] = {
        {"<a@b>", 0, "a@b", ""},
        {"<a@b> SIZE=1", 0, "a@b", " SIZE=1"},
        {"<>", N, "", ""},
        {"<> BODY=7BIT", N, "", " BODY=7BIT"},
        {"<>", 0, NULL, NULL},
        {"<@a.example,@b.example:c@d>", 0, "c@d", ""},
        {"<@a.example:c@d>x", 0, "c@d", "x"},
        {"<\"a>b\"@c>", 0, "\"a>b\"@c", ""},
        {"<\"a\\\">b\"@c>", 0, "\"a\\\">b\"@c", ""},
        {"<@a.example:>", N, NULL, NULL},
        {"<@a.example,:c@d>", 0, NULL, NULL},
        {"<@:c@d>", 0, NULL, NULL},
        {"<@a,b:c@d>", 0, NULL, NULL},
        {"<@a@b>", 0, NULL, NULL},
        {"<a@b", 0, NULL, NULL},
        {"a@b", 0, NULL, NULL},
        {"<a@b\">", 0, NULL, NULL},
        {"< a@b>", 0, NULL, NULL},
        {"<<a@b>>", 0, NULL, NULL},
        {"", N, NULL, NULL},
        {"<", N, NULL, NULL},
        {"< >", N, NULL, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        struct slice rest = slice_of(rows[i].text);
        struct address addr = {0};
        enum err err = address_path_take_in(arena, &rest, rows[i].flags, &addr, NULL);
        assert_row((err == ERR_OK) == (rows[i].address != NULL), i);
        assert_text(rest, err ? rows[i].text : rows[i].rest, i);
        if (err == ERR_OK) {
            assert_text(addr.text, rows[i].address, i);
            assert_row(address_is_null(&addr) == (rows[i].address[0] == 0), i);
        }
    }
}

static void test_tag(void **state)
{
    (void)state;
    static const struct {
        const char *local;
        bool split;
        const char *user, *tag;
    } rows[] = {
        {"joe+lists", true, "joe", "lists"},
        {"joe+a+b", true, "joe", "a+b"},
        {"joe", false, "joe", ""},
        {"+joe", false, "+joe", ""},
        {"joe+", true, "joe", ""},
        {"+a+b", true, "+a", "b"},
        {"", false, "", ""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct slice user, tag;
        assert_row(address_split_tag(slice_of(rows[i].local), '+', &user, &tag) == rows[i].split, i);
        assert_text(user, rows[i].user, i);
        assert_text(tag, rows[i].tag, i);
    }
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct address addr, other;
    assert_int_equal(address_parse_in(arena, SLICE("Joe+x@Y"), 0, &addr, NULL), ERR_OK);
    other = address_with_local_in(arena, &addr, SLICE("Joe"));
    assert_text(other.text, "Joe@y", 0);
    assert_false(address_needs_utf8(&other));
}

static void test_domain_of(void **state)
{
    (void)state;
    static const struct {
        const char *mailbox, *domain;
    } rows[] = {{"a@b.example", "b.example"},
                {"\"a@b\"@c.example", "c.example"},
                {"@d.example", "d.example"},
                {"postmaster", ""},
                {"a@", ""},
                {"", ""}};
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_text(address_domain_of(slice_of(rows[i].mailbox)), rows[i].domain, i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mailbox),
        cmocka_unit_test(test_path),
        cmocka_unit_test(test_tag),
        cmocka_unit_test(test_domain_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
