/* Addresses and networks as text. */
#include "check.h"
#include "grammar/netaddr.h"

static void test_parse_and_format(void **state)
{
    (void)state;
    static const struct {
        const char *text, *wanted; /* NULL: refused */
    } rows[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"256.0.0.1", NULL},
        {"1.2.3", NULL},
        {"1.2.3.4.5", NULL},
        {"1.2.3.4.", NULL},
        {"01.2.3.4", NULL},
        {"1..3.4", NULL},
        {"1.2.3.4 ", NULL},
        {"", NULL},
        {"::", "::"},
        {"::1", "::1"},
        {"1::", "1::"},
        {"2001:DB8::1", "2001:db8::1"},
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
        {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
        {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
        {"1:2:3:4:5:6:7:8:9", NULL},
        {"1:2:3:4:5:6:7", NULL},
        {"1::2::3", NULL},
        {":::", NULL},
        {"1:::2", NULL},
        {":1:2:3:4:5:6:7", NULL},
        {"1:2:3:4:5:6:7:", NULL},
        {"12345::", NULL},
        {"fe80::1%eth0", NULL},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"::FFFF:c000:0201", "192.0.2.1"},
        {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
        {"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
        {"1:2:3:4:5:6:7:1.2.3.4", NULL},
        {"1.2.3.4::", NULL},
        {"::1.2.3", NULL},
        {"1:2:3:4:5:6:7:8::", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct netaddr addr = {0};
        assert_row(netaddr_parse(slice_of(rows[i].text), &addr) == (rows[i].wanted != NULL), i);
        if (rows[i].wanted)
            assert_text(slice_of(netaddr_text(&addr).text), rows[i].wanted, i);
    }
}

static void test_port(void **state)
{
    (void)state;
    static const struct {
        const char *text, *wanted;
    } rows[] = {
        {"127.0.0.1:25", "127.0.0.1:25"},
        {"[::]:25", "[::]:25"},
        {"[::ffff:1.2.3.4]:1", "1.2.3.4:1"},
        {"[2001:db8::1]:0", "[2001:db8::1]:0"},
        {"127.0.0.1", NULL},
        {"127.0.0.1:", NULL},
        {"127.0.0.1:65536", NULL},
        {"::1:25", NULL},
        {"[127.0.0.1]:25", NULL},
        {":25", NULL},
        {"[]:25", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct netaddr addr = {0};
        assert_row(netaddr_parse_port(slice_of(rows[i].text), &addr) == (rows[i].wanted != NULL), i);
        if (rows[i].wanted)
            assert_text(slice_of(netaddr_text_port(&addr).text), rows[i].wanted, i);
    }
    struct netaddr none = {0}, local = {.family = NETADDR_UNIX};
    assert_string_equal(netaddr_text_port(&none).text, "unknown");
    assert_string_equal(netaddr_text(&local).text, "local");
}

static void test_networks(void **state)
{
    (void)state;
    static const struct {
        const char *network;
        bool good;
        const char *inside, *outside;
    } rows[] = {
        {"10.0.0.0/8", true, "10.255.1.2", "11.0.0.1"},
        {"10.0.0.1/8", false, NULL, NULL},
        {"10.0.0.0/33", false, NULL, NULL},
        {"10.0.0.0/", false, NULL, NULL},
        {"10.0.20.0/24", true, "10.0.20.255", "10.0.21.0"},
        {"0.0.0.0/0", true, "203.0.113.9", "::1"},
        {"::/0", true, "2001:db8::1", "10.0.0.1"},
        {"2001:db8::/33", true, "2001:db8:7fff::1", "2001:db8:8000::1"},
        {"192.0.2.7", true, "192.0.2.7", "192.0.2.6"},
        {"192.0.2.6/31", true, "192.0.2.7", "192.0.2.8"},
        {"::ffff:10.0.0.0/104", true, "10.1.1.1", "11.1.1.1"},
        {"::ffff:10.0.0.0/8", false, NULL, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct netaddr_network network;
        struct netaddr inside, outside;
        assert_row(netaddr_network_parse(slice_of(rows[i].network), &network) == rows[i].good, i);
        if (!rows[i].good)
            continue;
        assert_true(netaddr_parse(slice_of(rows[i].inside), &inside));
        assert_true(netaddr_parse(slice_of(rows[i].outside), &outside));
        inside.port = 99;
        assert_row(netaddr_networks_have(&network, 1, &inside), i);
        assert_row(!netaddr_networks_have(&network, 1, &outside), i);
    }
    struct netaddr_network all;
    assert_true(netaddr_network_parse(SLICE("0.0.0.0/0"), &all));
    assert_false(netaddr_network_has(&all, &(struct netaddr){.family = NETADDR_UNIX}));
}

static void test_client(void **state)
{
    (void)state;
    struct netaddr a, b;
    assert_true(netaddr_parse(SLICE("2001:db8:1:2:3:4:5:6"), &a));
    b = netaddr_client(&a);
    assert_string_equal(netaddr_text(&b).text, "2001:db8:1:2::");
    assert_true(netaddr_parse_port(SLICE("192.0.2.1:5"), &a));
    b = netaddr_client(&a);
    assert_string_equal(netaddr_text_port(&b).text, "192.0.2.1:0");
    assert_true(netaddr_same_host(&a, &b));
    assert_true(netaddr_parse(SLICE("127.9.9.9"), &a) && netaddr_is_loopback(&a));
    assert_true(netaddr_parse(SLICE("::1"), &a) && netaddr_is_loopback(&a));
    assert_true(netaddr_parse(SLICE("::2"), &a) && !netaddr_is_loopback(&a));
}

static void test_private(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool wanted;
    } rows[] = {
        {"10.0.0.1", true},
        {"11.0.0.1", false},
        {"9.255.255.255", false},
        {"172.16.0.0", true},
        {"172.31.255.255", true},
        {"172.32.0.0", false},
        {"172.15.0.0", false},
        {"192.168.1.1", true},
        {"192.169.1.1", false},
        {"169.254.3.4", true},
        {"169.253.3.4", false},
        {"100.64.0.1", true},
        {"100.127.9.9", true},
        {"100.128.0.0", false},
        {"100.63.0.0", false},
        {"127.3.4.5", true},
        {"203.0.113.5", false},
        {"fc00::1", true},
        {"fdff::1", true},
        {"fe00::1", false},
        {"fe80::1", true},
        {"fec0::1", true},
        {"::1", true},
        {"::2", false},
        {"2001:db8::1", false},
        {"::ffff:10.1.2.3", true},
        {"::ffff:8.8.8.8", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct netaddr addr;
        assert_row(netaddr_parse(slice_of(rows[i].text), &addr), i);
        assert_row(netaddr_is_private(&addr) == rows[i].wanted, i);
    }
    assert_false(netaddr_is_private(&(struct netaddr){.family = NETADDR_UNIX}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_and_format), cmocka_unit_test(test_port),
        cmocka_unit_test(test_networks),         cmocka_unit_test(test_client),
        cmocka_unit_test(test_private),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
