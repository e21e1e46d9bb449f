/* The hosts that take mail for a domain: order, bounds, what is a definite no and what is not, ourselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/coll.h"
#include "policy/mx.h"
#include "policy/rdata.h"

#define ARENA (1u << 20)

static uint64_t last_of(void *ctx, uint64_t bound)
{
    (void)ctx;
    return bound - 1; /* changes nothing */
}

static uint64_t first_of(void *ctx, uint64_t bound)
{
    (void)ctx;
    (void)bound;
    return 0;
}

static uint64_t counting(void *ctx, uint64_t bound)
{
    uint64_t *state = ctx;
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (*state >> 33) % bound;
}

/* "10 mx1.example.org" as rdata; "10 ." is the null one. */
static struct slice mx_in(struct arena *arena, const char *text)
{
    unsigned preference = 0;
    char host[400] = "";
    assert_int_equal(sscanf(text, "%u %399s", &preference, host), 2);
    struct buf out = buf_new(1000);
    buf_add_byte(&out, (uint8_t)(preference >> 8));
    buf_add_byte(&out, (uint8_t)preference);
    struct slice rest = slice_of(host), label;
    while (slice_token(&rest, '.', &label)) {
        if (label.len == 0)
            continue;
        buf_add_byte(&out, (uint8_t)label.len);
        buf_add(&out, label);
    }
    buf_add_byte(&out, 0);
    struct slice copy = arena_dup(arena, buf_slice(&out));
    buf_free(&out);
    return copy;
}

static void show_list(const struct mx_list *list, char *text, size_t size)
{
    text[0] = '\0';
    for (size_t i = 0; i < list->count; i++) {
        size_t at = strlen(text);
        (void)snprintf(text + at, size - at, "%s%u %.*s", i ? ", " : "", list->hosts[i].preference,
                       SLICE_ARG(list->hosts[i].name));
    }
}

static void test_answers(void **state)
{
    static const struct {
        enum mx_dns dns;
        const char *records[6];
        enum mx_verdict verdict;
        const char *hosts;
    } rows[] = {
        {MX_DNS_OK,
         {"20 mx2.example.org", "10 MX1.Example.ORG"},
         MX_HOSTS,
         "10 mx1.example.org, 20 mx2.example.org"},
        {MX_DNS_OK, {"10 a.test", "10 b.test", "5 c.test"}, MX_HOSTS, "5 c.test, 10 a.test, 10 b.test"},
        {MX_DNS_OK, {"20 a.test", "10 a.test", "15 b.test"}, MX_HOSTS, "10 a.test, 15 b.test"},
        {MX_DNS_OK, {"65535 a.test", "0 b.test"}, MX_HOSTS, "0 b.test, 65535 a.test"},
        {MX_DNS_OK, {"0 ."}, MX_NULL, ""},
        {MX_DNS_OK, {"10 ."}, MX_NULL, ""},
        {MX_DNS_OK, {"0 .", "10 a.test"}, MX_HOSTS, "10 a.test"}, /* RFC 7505 section 3 forbids it */
        {MX_DNS_OK, {"10 192.0.2.1"}, MX_MALFORMED, ""},
        {MX_DNS_OK, {"10 192.0.2.1", "20 a.test"}, MX_HOSTS, "20 a.test"},
        {MX_DNS_OK, {"10 ex*mple.test", "10 -a.test"}, MX_MALFORMED, ""},
        {MX_DNS_OK, {"0 .", "10 192.0.2.1"}, MX_MALFORMED, ""},
        {MX_DNS_OK, {"10 mx_1.example.org"}, MX_HOSTS, "10 mx_1.example.org"},
        {MX_DNS_NODATA, {NULL}, MX_IMPLICIT, "0 example.org"},
        {MX_DNS_OK, {NULL}, MX_IMPLICIT, "0 example.org"},
        {MX_DNS_NXDOMAIN, {NULL}, MX_NO_DOMAIN, ""},
        {MX_DNS_FAILED, {NULL}, MX_LATER, ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA);
        struct slice records[6];
        size_t count = 0;
        while (count < 6 && rows[i].records[count]) {
            records[count] = mx_in(arena, rows[i].records[count]);
            count++;
        }
        struct mx_list list;
        char text[1000];
        mx_list_read_in(arena, SLICE("example.org"), rows[i].dns, records, count, last_of, NULL, &list);
        show_list(&list, text, sizeof text);
        assert_int_equal(list.verdict, rows[i].verdict);
        assert_string_equal(text, rows[i].hosts);
    }
}

static void test_malformed(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {"", 0},
        {"\0", 1},
        {"\0\1", 2},
        {"\0\1\3mx", 5},
        {"\0\1\1a", 4},
        {"\0\1\1a\0x", 6},
        {"\0\1\x40"
         "a\0",
         5},
        {"\0\1\xc0\0", 4},
        {"\0\1\1\0\0", 5},
        {"\0\1\1 \0", 5},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA);
        struct slice record = slice_make(rows[i].bytes, rows[i].len);
        struct mx_list list;
        mx_list_read_in(arena, SLICE("a.test"), MX_DNS_OK, &record, 1, last_of, NULL, &list);
        assert_int_equal(list.verdict, MX_MALFORMED);
        assert_int_equal(list.count, 0);
    }
}

static void test_draw(void **state)
{
    AUTO_ARENA struct arena *arena = arena_new(ARENA);
    struct slice records[3] = {mx_in(arena, "10 a.test"), mx_in(arena, "10 b.test"),
                               mx_in(arena, "20 c.test")};
    struct mx_list list;
    char text[200];
    (void)state;
    mx_list_read_in(arena, SLICE("x.test"), MX_DNS_OK, records, 3, first_of, NULL, &list);
    show_list(&list, text, sizeof text);
    assert_string_equal(text, "10 b.test, 10 a.test, 20 c.test");
    uint64_t seed = 7;
    unsigned a_first = 0;
    for (unsigned i = 0; i < 1000; i++) {
        mx_list_shuffle(list.hosts, list.count, counting, &seed);
        assert_true(slice_eq(list.hosts[2].name, SLICE("c.test")));
        a_first += slice_eq(list.hosts[0].name, SLICE("a.test"));
    }
    assert_in_range(a_first, 400, 600);
}

/* 1,000 answers: the best 20 stay, and no more memory than those take. */
static void test_thousand(void **state)
{
    AUTO_ARENA struct arena *records_arena = arena_new(4u << 20), *arena = arena_new(16384);
    static struct slice records[MX_ANSWERS_MAX + 100];
    struct mx_list list;
    uint64_t seed = 1;
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(records); i++) {
        char text[60];
        (void)snprintf(text, sizeof text, "%u mx%u.example.org", 5000 - i, i);
        records[i] = mx_in(records_arena, text);
    }
    mx_list_read_in(arena, SLICE("example.org"), MX_DNS_OK, records, 1000, counting, &seed, &list);
    assert_int_equal(list.count, MX_HOSTS_MAX);
    assert_int_equal(list.hosts[0].preference, 4001);
    assert_int_equal(list.hosts[MX_HOSTS_MAX - 1].preference, 4020);
    mx_list_read_in(arena, SLICE("example.org"), MX_DNS_OK, records, ARRAY_LEN(records), counting, &seed,
                    &list);
    assert_int_equal(list.hosts[0].preference, 5000 - (MX_ANSWERS_MAX - 1));
}

/* ---- addresses ---- */

static size_t addresses_of(const char *text, struct netaddr *out)
{
    struct slice rest = slice_of(text), token;
    size_t count = 0;
    while (slice_token(&rest, ' ', &token))
        assert_true(netaddr_parse(token, &out[count++]));
    return count;
}

static bool is_allowed(const void *ctx, const struct netaddr *addr)
{
    return netaddr_network_has(ctx, addr);
}

static void test_choice(void **state)
{
    struct host {
        uint16_t preference;
        const char *name;
        enum mx_dns dns;
        const char *addresses;
    };
    static const struct {
        struct host hosts[4];
        enum mx_choice choice;
        const char *enhanced, *left;
    } rows[] = {
        {{{10, "a.test", MX_DNS_OK, "8.8.8.8 2a00::1 2a00::2"}, {20, "b.test", MX_DNS_OK, "9.9.9.9"}},
         MX_CHOSEN,
         NULL,
         "a.test=2a00::1,8.8.8.8,2a00::2 b.test=9.9.9.9"},
        /* ourselves, by name and by address: RFC 5321 section 5.1 */
        {{{10, "a.test", MX_DNS_OK, "8.8.8.8"},
          {20, "ME.test", MX_DNS_OK, "8.8.4.4"},
          {30, "c.test", MX_DNS_OK, "9.9.9.9"}},
         MX_CHOSEN,
         NULL,
         "a.test=8.8.8.8"},
        {{{10, "a.test", MX_DNS_OK, "8.8.8.8"}, {10, "x.test", MX_DNS_OK, "80.1.2.3"}},
         MX_PERMANENT,
         "5.4.6",
         ""},
        {{{10, "x.test", MX_DNS_OK, "80.1.2.3"}, {20, "b.test", MX_DNS_OK, "8.8.8.8"}},
         MX_PERMANENT,
         "5.4.6",
         ""},
        {{{10, "a.test", MX_DNS_FAILED, ""}, {20, "me.test", MX_DNS_OK, "8.8.8.8"}},
         MX_TEMPORARY,
         "4.4.3",
         ""},
        {{{10, "me.test", MX_DNS_FAILED, ""}}, MX_PERMANENT, "5.4.6", ""},
        /* no address, now or ever */
        {{{10, "a.test", MX_DNS_NXDOMAIN, ""}, {20, "b.test", MX_DNS_NODATA, ""}}, MX_PERMANENT, "5.4.4", ""},
        {{{10, "a.test", MX_DNS_NXDOMAIN, ""}, {20, "b.test", MX_DNS_FAILED, ""}}, MX_TEMPORARY, "4.4.3", ""},
        {{{10, "a.test", MX_DNS_FAILED, ""}, {20, "b.test", MX_DNS_OK, "8.8.8.8"}},
         MX_CHOSEN,
         NULL,
         "b.test=8.8.8.8"},
        /* addresses nobody outside has */
        {{{10, "a.test", MX_DNS_OK, "127.0.0.1 ::1"}}, MX_PERMANENT, "5.4.4", ""},
        {{{10, "a.test", MX_DNS_OK, "10.0.0.1"}, {20, "b.test", MX_DNS_OK, "8.8.8.8 0.0.0.0"}},
         MX_CHOSEN,
         NULL,
         "b.test=8.8.8.8"},
        {{{10, "a.test", MX_DNS_OK, "10.9.0.1 10.8.0.1"}}, MX_CHOSEN, NULL, "a.test=10.9.0.1"}, /* allowed */
    };
    static const struct slice names[] = {{(const uint8_t *)"me.test", 7}};
    struct netaddr mine[1];
    struct netaddr_network allowed[1];
    struct mx_self self = {.names = names, .name_count = 1, .addresses = mine, .address_count = 1};
    (void)state;
    addresses_of("80.1.2.3", mine);
    assert_true(netaddr_network_parse(SLICE("10.9.0.0/16"), &allowed[0]));
    self.is_allowed = is_allowed;
    self.ctx = allowed;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA);
        struct netaddr addresses[4][8];
        struct mx_found hosts[4];
        size_t count = 0;
        for (; count < 4 && rows[i].hosts[count].name; count++) {
            const struct host *h = &rows[i].hosts[count];
            hosts[count] = (struct mx_found){.host = {h->preference, slice_of(h->name)},
                                             .dns = h->dns,
                                             .addresses = addresses[count],
                                             .count = addresses_of(h->addresses, addresses[count])};
        }
        struct mx_result r = mx_choose(arena, SLICE("dom.test"), hosts, count, &self);
        char left[400] = "";
        for (size_t k = 0; k < r.count; k++) {
            size_t at = strlen(left);
            at += (size_t)snprintf(left + at, sizeof left - at, "%s%.*s", k ? " " : "",
                                   SLICE_ARG(hosts[k].host.name));
            for (size_t a = 0; a < hosts[k].count; a++)
                at += (size_t)snprintf(left + at, sizeof left - at, "%c%s", a ? ',' : '=',
                                       netaddr_text(&hosts[k].addresses[a]).text);
        }
        assert_int_equal(r.choice, rows[i].choice);
        assert_string_equal(left, rows[i].left);
        if (rows[i].enhanced) {
            assert_string_equal(r.enhanced, rows[i].enhanced);
            assert_true(slice_search(r.text, SLICE("dom.test")) >= 0);
        }
    }
}

static void test_flaws(void **state)
{
    static const struct {
        const char *address, *flaw;
    } rows[] = {
        {"127.0.0.1", "loopback"},        {"127.255.255.255", "loopback"}, {"::1", "loopback"},
        {"::ffff:127.0.0.1", "loopback"}, {"0.0.0.0", "unspecified"},      {"::", "unspecified"},
        {"10.1.2.3", "private"},          {"172.31.0.1", "private"},       {"172.32.0.1", NULL},
        {"192.168.1.1", "private"},       {"fd00::1", "private"},          {"100.64.0.1", "private"},
        {"169.254.1.1", "link-local"},    {"fe80::1", "link-local"},       {"224.0.0.1", "multicast"},
        {"ff02::1", "multicast"},         {"255.255.255.255", "reserved"}, {"8.8.8.8", NULL},
        {"2a00:1450::1", NULL},           {"192.0.2.1", "documentation"},
    };
    struct netaddr none = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct netaddr addr;
        assert_true(netaddr_parse(slice_of(rows[i].address), &addr));
        const char *flaw = mx_address_flaw(&addr);
        if (rows[i].flaw)
            assert_string_equal(flaw, rows[i].flaw);
        else
            assert_null(flaw);
    }
    assert_non_null(mx_address_flaw(&none));
}

static void test_refusals(void **state)
{
    static const struct {
        enum mx_verdict verdict;
        enum mx_choice choice;
        const char *enhanced;
    } rows[] = {
        {MX_NULL, MX_PERMANENT, "5.1.10"},
        {MX_NO_DOMAIN, MX_PERMANENT, "5.1.2"},
        {MX_MALFORMED, MX_PERMANENT, "5.4.4"},
        {MX_LATER, MX_TEMPORARY, "4.4.3"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA);
        struct mx_result r = mx_refuse(arena, SLICE("d\xff.test"), rows[i].verdict);
        assert_int_equal(r.choice, rows[i].choice);
        assert_string_equal(r.enhanced, rows[i].enhanced);
        assert_true(slice_search(r.text, SLICE("d?.test")) >= 0);
    }
}

/* Bounds of addresses: 16 of each family, in turns. */
static void test_interleave(void **state)
{
    struct netaddr addresses[100];
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        const uint8_t bytes[16] = {0x2a, (uint8_t)i};
        addresses[i] = i < 60 ? netaddr_v4(bytes, 0) : netaddr_v6(bytes, 0);
    }
    assert_int_equal(mx_addresses_interleave(addresses, 100), 2 * MX_ADDRESSES_MAX);
    for (unsigned i = 0; i < 2 * MX_ADDRESSES_MAX; i++) {
        assert_int_equal(addresses[i].family, i % 2 ? NETADDR_V4 : NETADDR_V6);
        assert_int_equal(addresses[i].bytes[1], i % 2 ? i / 2 : 60 + i / 2);
    }
}

static void test_rdata(void **state)
{
    AUTO_ARENA struct arena *arena = arena_new(ARENA);
    struct netaddr addr;
    struct slice text;
    char name[RDATA_REVERSE_MAX];
    size_t len;
    (void)state;
    assert_true(rdata_txt_in(arena, slice_make("\3abc\0\2de", 8), &text));
    assert_true(slice_eq(text, SLICE("abcde")));
    assert_true(rdata_txt_in(arena, slice_make("\0", 1), &text));
    assert_int_equal(text.len, 0);
    assert_false(rdata_txt_in(arena, SLICE_EMPTY, &text));
    assert_false(rdata_txt_in(arena, slice_make("\4abc", 4), &text));
    assert_true(netaddr_parse(SLICE("192.0.2.1"), &addr));
    len = rdata_reverse_name(&addr, name);
    assert_int_equal(len, strlen(name));
    assert_string_equal(name, "1.2.0.192.in-addr.arpa");
    assert_true(netaddr_parse(SLICE("2001:db8::567:89ab"), &addr)); /* RFC 3596 section 2.5 has its like */
    len = rdata_reverse_name(&addr, name);
    assert_int_equal(len, strlen(name));
    assert_string_equal(name, "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),  cmocka_unit_test(test_malformed),  cmocka_unit_test(test_draw),
        cmocka_unit_test(test_thousand), cmocka_unit_test(test_choice),     cmocka_unit_test(test_flaws),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_interleave), cmocka_unit_test(test_rdata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
