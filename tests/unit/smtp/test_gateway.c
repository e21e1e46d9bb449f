/* Which private addresses hide many clients. */
#include "../grammar/check.h"

#include "smtp/gateway.h"

#include <stdio.h>

#define HOUR 3600000u

static struct netaddr address(const char *text)
{
    struct netaddr addr;
    assert_true(netaddr_parse(slice_of(text), &addr));
    return addr;
}

static bool note(struct smtp_gateways *g, const char *from, const char *helo, uint64_t now)
{
    const struct netaddr addr = address(from);
    return smtp_gateways_note(g, &addr, slice_of(helo), 0, now);
}

static bool have(const struct smtp_gateways *g, const char *text)
{
    const struct netaddr addr = address(text);
    return smtp_gateways_have(g, &addr);
}

/* How many of these names count as different domains: five make a gateway. */
static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *names[6];
        bool wanted;
    } rows[] = {
        {{"mx.a.test", "mx.b.test", "mx.c.test", "mx.d.test", "mx.e.test"}, true},
        {{"a.test", "B.test", "c.test", "D.test", "e.test"}, true},
        {{"mx1.a.test", "mx2.a.test", "mx3.a.test", "a.test", "A.TEST"}, false},
        {{"mx.a.co.uk", "mx.b.co.uk", "mx.c.co.uk", "mx.d.co.uk", "mx.e.co.uk"}, true},
        {{"mx1.a.co.uk", "mx2.a.co.uk", "a.co.uk", "mx3.a.co.uk", "mx4.a.co.uk"}, false},
        {{"co.uk", "mx.co.uk", "a.b.de", "c.b.de", "test"}, false},
        {{"[10.0.0.1]", "[10.0.0.2]", "[10.0.0.3]", "[IPv6:fd00::1]", "[10.0.0.5]"}, false},
        {{"10.0.0.1", "10.0.1.2", "10.0.2.3", "10.0.3.4", "10.0.4.5"}, false},
        {{"pc1", "pc2", "pc3", "pc4", "localhost"}, false},
        {{"nas.lan", "tv.local", "pc.home", "pc.corp", "db.internal"}, false},
        {{"a.b.c.d.example.org", "x..org", ".org", "org.", ""}, false},
        {{"\xc3\xa4.test", "a b.test", "<script>.test", "a_b.test", "y.test"}, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct smtp_gateways *g = smtp_gateways_new();
        unsigned said = 0;
        for (size_t k = 0; rows[i].names[k]; k++)
            said += note(g, "10.1.2.3", rows[i].names[k], k);
        assert_row(said == (rows[i].wanted ? 1 : 0), i);
        assert_row(have(g, "10.1.2.3") == rows[i].wanted, i);
        smtp_gateways_free(&g);
    }
}

static unsigned make(struct smtp_gateways *g, const char *from, uint64_t now, uint64_t step)
{
    char name[32];
    unsigned said = 0;
    for (unsigned i = 0; i < SMTP_GATEWAY_DOMAINS; i++) {
        (void)snprintf(name, sizeof name, "mail.domain%u.test", i);
        said += note(g, from, name, now + i * step);
    }
    return said;
}

static void test_once_and_apart(void **state)
{
    (void)state;
    struct smtp_gateways *g = smtp_gateways_new();
    assert_int_equal(make(g, "10.1.2.3", 0, 1), 1);
    assert_false(note(g, "10.1.2.3", "another.example", 10));
    assert_true(have(g, "10.1.2.3"));
    assert_false(have(g, "10.1.2.4"));
    assert_int_equal(make(g, "fd00::1", 0, 1), 1);
    assert_true(have(g, "fd00::1") && !have(g, "fd00::2"));
    /* still one the day after */
    assert_false(note(g, "10.1.2.3", "x.example", 50 * HOUR));
    assert_true(have(g, "10.1.2.3"));
    /* a public address is never asked about, and nobody is known without a table */
    assert_false(have(g, "203.0.113.1"));
    assert_false(have(NULL, "10.1.2.3"));
    assert_false(smtp_gateways_note(g, &(struct netaddr){.family = NETADDR_UNIX}, SLICE("a.test"), 0, 0));
    smtp_gateways_free(&g);
}

static void test_a_day(void **state)
{
    (void)state;
    struct smtp_gateways *g = smtp_gateways_new();
    assert_int_equal(make(g, "10.1.2.3", 0, 7 * HOUR), 0);
    assert_int_equal(make(g, "10.1.2.4", 0, 6 * HOUR), 1);
    smtp_gateways_free(&g);
}

/* The table is bounded: what is no gateway makes room, the one unused the longest first. */
static void test_bounded(void **state)
{
    (void)state;
    struct smtp_gateways *g = smtp_gateways_new();
    char from[32];
    assert_int_equal(make(g, "10.9.9.9", 0, 1), 1);
    for (unsigned i = 0; i < 10 * SMTP_GATEWAY_ADDRESSES; i++) {
        (void)snprintf(from, sizeof from, "10.2.%u.%u", i >> 8, i & 255);
        assert_false(note(g, from, "a.test", 100 + i));
    }
    assert_true(have(g, "10.9.9.9"));
    for (unsigned i = 0; i < 2 * SMTP_GATEWAY_ADDRESSES; i++) {
        (void)snprintf(from, sizeof from, "10.3.0.%u", i);
        assert_int_equal(make(g, from, 10000 + i, 0), 1);
    }
    assert_false(have(g, "10.9.9.9"));
    assert_true(have(g, "10.3.0.127"));
    assert_false(have(g, "10.3.0.0"));
    smtp_gateways_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_once_and_apart),
        cmocka_unit_test(test_a_day),
        cmocka_unit_test(test_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
