/* The image of all bans: what it says of an address, against a model that asks every network in turn; images
 * nobody but a broken auth would send; the price of a look-up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/coll.h"
#include "base/io.h"
#include "net/ban_list.h"

#define NOW 1000u

struct row {
    const char *network;
    enum ban_rank rank;
    uint64_t until;
};

static struct ban_entry entry_of(const struct row *row)
{
    struct ban_entry e = {.rank = row->rank, .until = row->until};
    assert_true(conf_read_network(slice_of(row->network), &e.network));
    return e;
}

static struct ban_list *list_of(struct ban_entry *entries, size_t count)
{
    struct ban_list *list = NULL;
    struct why why = {""};
    int fd = -1;
    assert_int_equal(ban_list_make(entries, count, &fd, &why), ERR_OK);
    assert_int_equal(ban_list_map(fd, &list, &why), ERR_OK);
    (void)close(fd);
    return list;
}

static uint64_t ask(const struct ban_list *list, const char *text)
{
    struct netaddr addr;
    uint64_t until = 0;
    assert_true(netaddr_parse(slice_of(text), &addr));
    return ban_list_has(list, &addr, NOW, &until) ? until : 0;
}

static void test_words(void **state)
{
    (void)state;
    static const struct {
        struct row rows[4];
        const char *address;
        uint64_t until; /* 0: not banned */
    } tests[] = {
        {{{0}}, "192.0.2.1", 0},
        {{{"192.0.2.1", 0, 2000}}, "192.0.2.1", 2000},
        {{{"192.0.2.1", 0, 2000}}, "192.0.2.2", 0},
        {{{"192.0.2.1", 0, 2000}}, "192.0.2.0", 0},
        {{{"192.0.2.1", 0, 1000}}, "192.0.2.1", 0}, /* over */
        {{{"192.0.2.1", 0, 1001}}, "192.0.2.1", 1001},
        {{{"192.0.2.0/24", 0, UINT64_MAX}}, "192.0.2.255", UINT64_MAX},
        {{{"192.0.2.0/24", 0, UINT64_MAX}}, "192.0.3.0", 0},
        {{{"0.0.0.0/0", 0, 2000}}, "255.255.255.255", 2000},
        {{{"0.0.0.0/0", 0, 2000}}, "::1", 0},
        {{{"::/0", 0, 2000}}, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 2000},
        {{{"::/0", 0, 2000}}, "::", 2000},
        {{{"::/0", 0, 2000}}, "10.1.2.3", 2000},
        {{{"2001:db8::/64", 0, 2000}}, "2001:db8::ffff:ffff:ffff:ffff", 2000},
        {{{"2001:db8::/64", 0, 2000}}, "2001:db8:0:1::", 0},
        {{{"2001:db8::/63", 0, 2000}}, "2001:db8:0:1::", 2000},
        {{{"2001:db8::/32", 0, 2000}}, "2001:db8:ffff::1", 2000},
        /* the longest */
        {{{"192.0.2.0/24", 0, 2000}, {"192.0.2.7", 0, 3000}}, "192.0.2.7", 3000},
        {{{"192.0.2.0/24", 0, 2000}, {"192.0.2.7", 0, 3000}}, "192.0.2.8", 2000},
        {{{"192.0.2.0/24", 0, 3000}, {"192.0.2.7", 0, 2000}}, "192.0.2.7", 3000},
        {{{"192.0.2.7", 0, 3000}, {"192.0.2.7", 0, 2000}}, "192.0.2.7", 3000},
        {{{"192.0.2.128/25", 0, 3000}, {"192.0.2.0/24", 0, 2000}}, "192.0.2.255", 3000},
        {{{"192.0.2.0/25", 0, 3000}, {"192.0.2.0/24", 0, 2000}}, "192.0.2.255", 2000},
        /* exceptions */
        {{{"192.0.2.0/24", 0, 2000}, {"192.0.2.7", BAN_SPARED, 0}}, "192.0.2.7", 0},
        {{{"192.0.2.0/24", 0, 2000}, {"192.0.2.7", BAN_SPARED, 0}}, "192.0.2.8", 2000},
        {{{"192.0.2.0/24", BAN_BY_HAND, 2000}, {"192.0.2.7", BAN_SPARED, 0}}, "192.0.2.7", 2000},
        {{{"192.0.2.0/24", BAN_BY_HAND, 2000}, {"192.0.2.7", BAN_NEVER, 0}}, "192.0.2.7", 0},
        {{{"192.0.2.7", BAN_BY_HAND, 2000}, {"192.0.2.0/24", BAN_NEVER, 0}}, "192.0.2.7", 0},
        {{{"192.0.2.7", BAN_BY_HAND, 2000}, {"192.0.2.7", 0, 3000}, {"192.0.2.7", BAN_SPARED, 0}},
         "192.0.2.7",
         2000},
        {{{"192.0.2.7", 0, 3000}, {"0.0.0.0/0", BAN_SPARED, 0}}, "192.0.2.7", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
        struct ban_entry entries[4];
        size_t count = 0;
        while (count < 4 && tests[i].rows[count].network) {
            entries[count] = entry_of(&tests[i].rows[count]);
            count++;
        }
        struct ban_list *list = list_of(entries, count);
        uint64_t until = ask(list, tests[i].address);
        if (until != tests[i].until)
            print_message("row %zu: %s: %llu\n", i, tests[i].address, (unsigned long long)until);
        assert_int_equal(until, tests[i].until);
        ban_list_free(&list);
    }
}

static void test_who_never_is(void **state)
{
    (void)state;
    struct ban_entry all = entry_of(&(const struct row){"::/0", 0, UINT64_MAX});
    struct ban_list *list = list_of(&all, 1);
    const struct netaddr unix_socket = {.family = NETADDR_UNIX}, none = {0};
    const struct netaddr mapped =
        netaddr_v6((const uint8_t[]){0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1}, 25);
    assert_false(ban_list_has(list, &unix_socket, NOW, NULL));
    assert_false(ban_list_has(list, &none, NOW, NULL));
    assert_true(ban_list_has(list, &mapped, NOW, NULL));
    assert_false(ban_list_has(NULL, &mapped, NOW, NULL));
    assert_int_equal(ban_list_count(NULL), 0);
    assert_int_equal(ban_list_count(list), 1);
    ban_list_free(&list);
    ban_list_free(&list);
}

/* ---- against a model ---- */

static uint32_t seed = 1;

static uint32_t pick(uint32_t bound)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % bound;
}

/* In a space of 256 addresses, so that everything overlaps. */
static struct ban_entry any_entry(void)
{
    struct ban_entry e = {.rank = (enum ban_rank)pick(4), .until = NOW - 1 + pick(5)};
    memset(e.network.ip, 0xff, 15); /* up to the very last address */
    e.network.bits = (uint8_t)(120 + pick(9));
    e.network.ip[15] = (uint8_t)(pick(256) & (0xffu << (128 - e.network.bits)));
    return e;
}

static uint64_t model(const struct ban_entry *entries, size_t count, const uint8_t ip[16])
{
    uint64_t longest[4] = {0};
    bool said[4] = {false};
    for (size_t i = 0; i < count; i++) {
        if (!conf_network_has(&entries[i].network, ip))
            continue;
        said[entries[i].rank] = true;
        if (entries[i].until > longest[entries[i].rank])
            longest[entries[i].rank] = entries[i].until;
    }
    uint64_t usual = said[BAN_SPARED] ? 0 : longest[BAN_USUAL], hand = longest[BAN_BY_HAND];
    uint64_t until = said[BAN_NEVER] ? 0 : usual > hand ? usual : hand;
    return until > NOW ? until : 0;
}

static void test_model(void **state)
{
    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct ban_entry entries[40], sorted[40];
        size_t count = pick(ARRAY_LEN(entries));
        for (size_t i = 0; i < count; i++)
            sorted[i] = entries[i] = any_entry();
        struct ban_list *list = list_of(sorted, count);
        for (unsigned last = 0; last < 256; last++) {
            uint8_t ip[16];
            uint64_t until = 0;
            memset(ip, 0xff, sizeof ip);
            ip[15] = (uint8_t)last;
            const struct netaddr addr = netaddr_v6(ip, 0);
            bool has = ban_list_has(list, &addr, NOW, &until);
            assert_int_equal(has ? until : 0, model(entries, count, ip));
        }
        ban_list_free(&list);
    }
}

/* ---- hundred thousand ---- */

static void test_many(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    struct ban_entry *entries = calloc(COUNT, sizeof *entries);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t v4 = (i + 1) * 40503u;
        entries[i] = (struct ban_entry){.network = {.bits = i % 10 ? 128 : 120}, .until = 2000};
        memset(entries[i].network.ip + 10, 0xff, 2);
        const uint8_t bytes[4] = {(uint8_t)(v4 >> 24), (uint8_t)(v4 >> 16), (uint8_t)(v4 >> 8),
                                  i % 10 ? (uint8_t)v4 : 0};
        memcpy(entries[i].network.ip + 12, bytes, 4);
    }
    uint64_t begun = clock_mono_ns();
    struct ban_list *list = list_of(entries, COUNT);
    uint64_t made = clock_mono_ns() - begun;
    unsigned found = 0;
    begun = clock_mono_ns();
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t v4 = (i + 1) * 40503u;
        const uint8_t bytes[4] = {(uint8_t)(v4 >> 24), (uint8_t)(v4 >> 16), (uint8_t)(v4 >> 8), (uint8_t)v4};
        const struct netaddr addr = netaddr_v4(bytes, 25);
        found += ban_list_has(list, &addr, NOW, NULL);
    }
    uint64_t each = (clock_mono_ns() - begun) / COUNT;
    print_message("100,000 bans: made and mapped in %llu ms, a look-up takes %llu ns\n",
                  (unsigned long long)made / 1000000, (unsigned long long)each);
    assert_int_equal(found, COUNT);
    assert_true(each < 20000);
    ban_list_free(&list);
    free(entries);
}

/* ---- images that are none ---- */

static enum err map_bytes(const void *bytes, size_t len, bool sealed)
{
    struct ban_list *list = NULL;
    int fd = -1;
    assert_int_equal(io_memfd("test", &fd, NULL), ERR_OK);
    assert_int_equal(io_write_all(fd, slice_make(bytes, len), NULL), ERR_OK);
    if (sealed)
        assert_int_equal(io_seal(fd, NULL), ERR_OK);
    enum err err = ban_list_map(fd, &list, NULL);
    assert_true((err == ERR_OK) == (list != NULL));
    ban_list_free(&list);
    (void)close(fd);
    return err;
}

static void test_bad_images(void **state)
{
    (void)state;
    struct {
        uint64_t magic, count, starts[4], ends[4], untils[2];
    } good, bad;
    struct row rows[] = {{"192.0.2.1", 0, 5}, {"192.0.2.8/29", 0, 6}};
    struct ban_entry entries[] = {entry_of(&rows[0]), entry_of(&rows[1])};
    int fd = -1;
    size_t got = 0;
    assert_int_equal(ban_list_make(entries, 2, &fd, NULL), ERR_OK);
    assert_int_equal(io_pread(fd, &good, sizeof good, 0, &got, NULL), ERR_OK);
    assert_int_equal(got, sizeof good);
    (void)close(fd);
    assert_int_equal(map_bytes(&good, sizeof good, true), ERR_OK);
    assert_int_equal(map_bytes(&good, sizeof good, false), ERR_BAD);
    for (size_t len = 0; len < sizeof good; len++)
        assert_int_equal(map_bytes(&good, len, true), ERR_BAD);
    bad = good, bad.magic++;
    assert_int_equal(map_bytes(&bad, sizeof bad, true), ERR_BAD);
    bad = good, bad.count = UINT64_MAX / 40;
    assert_int_equal(map_bytes(&bad, sizeof bad, true), ERR_BAD);
    bad = good, bad.ends[1] = bad.starts[1] - 1; /* ends before it starts */
    assert_int_equal(map_bytes(&bad, sizeof bad, true), ERR_BAD);
    bad = good, bad.ends[1] = bad.starts[3]; /* overlaps the next */
    assert_int_equal(map_bytes(&bad, sizeof bad, true), ERR_BAD);
    assert_int_equal(ban_list_make(NULL, (size_t)BAN_LIST_MAX + 1, &fd, NULL), ERR_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words), cmocka_unit_test(test_who_never_is), cmocka_unit_test(test_model),
        cmocka_unit_test(test_many),  cmocka_unit_test(test_bad_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
