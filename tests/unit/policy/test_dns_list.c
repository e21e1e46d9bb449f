/* DNS lists: names to ask, what answers mean, tests, and when a list is in use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/coll.h"
#include "policy/dns_list.h"

#define LONG_LABEL "a23456789012345678901234567890123456789012345678901234567890123"
#define LONG_ZONE  LONG_LABEL "." LONG_LABEL "." LONG_LABEL

static void test_names(void **state)
{
    static const struct {
        const char *address, *zone, *name;
    } rows[] = {
        {"203.0.113.7", "dnsbl.example.org", "7.113.0.203.dnsbl.example.org"},
        {"127.0.0.2", "list.test", "2.0.0.127.list.test"},
        {"255.255.255.255", "a.b.", "255.255.255.255.a.b"},
        {"::ffff:203.0.113.7", "l.test", "7.113.0.203.l.test"},
        {"2001:db8::7", "l.test", "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.l.test"},
        {"203.0.113.7", "key_1.l.test", "7.113.0.203.key_1.l.test"},
        {"203.0.113.7", LONG_ZONE "." LONG_LABEL, NULL}, /* a good name, and no room for the address */
        {"2001:db8::7", LONG_ZONE, NULL},
        {"203.0.113.7", "", NULL},
        {"203.0.113.7", ".", NULL},
        {"203.0.113.7", "l..test", NULL},
        {"203.0.113.7", "l test", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct netaddr addr;
        struct dns_list_name name = {0};
        assert_true(netaddr_parse(slice_of(rows[i].address), &addr));
        assert_int_equal(dns_list_name(&addr, slice_of(rows[i].zone), &name), rows[i].name != NULL);
        assert_string_equal(name.text, rows[i].name ? rows[i].name : "");
        assert_int_equal(name.len, strlen(name.text));
    }
    struct dns_list_name name;
    assert_false(dns_list_name(&(struct netaddr){.family = NETADDR_UNIX}, SLICE("l.test"), &name));
    assert_false(dns_list_name(&(struct netaddr){0}, SLICE("l.test"), &name));
}

#define A(text)                                                                                              \
    {                                                                                                        \
        (const uint8_t *)(text), 4                                                                           \
    }

static void test_answers(void **state)
{
    struct conf_network only[2]; /* 127.0.0.2 and 127.0.0.8/30 */
    static const struct {
        struct slice records[3];
        size_t count;
        bool filtered;
        enum dns_list_finding finding;
    } rows[] = {
        {{{0}}, 0, false, DNS_LIST_CLEAN},
        {{A("\177\000\000\2")}, 1, false, DNS_LIST_LISTED},
        {{A("\177\310\000\1")}, 1, false, DNS_LIST_LISTED},
        {{A("\177\000\000\2")}, 1, true, DNS_LIST_LISTED},
        {{A("\177\000\000\13")}, 1, true, DNS_LIST_LISTED},
        {{A("\177\000\000\4")}, 1, true, DNS_LIST_CLEAN},
        {{A("\177\000\000\4"), A("\177\000\000\3"), A("\177\000\000\2")}, 3, true, DNS_LIST_LISTED},
        {{A("\177\377\377\376")}, 1, false, DNS_LIST_REFUSED},
        {{A("\177\377\377\0")}, 1, false, DNS_LIST_REFUSED},
        {{A("\177\000\000\2"), A("\177\377\377\377")}, 2, true, DNS_LIST_REFUSED},
        {{A("\177\377\376\1")}, 1, false, DNS_LIST_LISTED},
        {{A("\177\000\377\1")}, 1, false, DNS_LIST_LISTED},
        {{A("\313\000\161\120")}, 1, false, DNS_LIST_WRONG},
        {{A("\313\000\161\120")}, 1, true, DNS_LIST_WRONG},
        {{A("\177\000\000\2"), A("\012\000\000\1")}, 2, false, DNS_LIST_WRONG},
        {{{(const uint8_t *)"\177\0\0", 3}}, 1, false, DNS_LIST_WRONG},
        {{{NULL, 0}}, 1, false, DNS_LIST_WRONG},
    };
    (void)state;
    assert_true(conf_read_network(SLICE("127.0.0.2"), &only[0]));
    assert_true(conf_read_network(SLICE("127.0.0.8/30"), &only[1]));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(dns_list_read(rows[i].records, rows[i].count, only, rows[i].filtered ? 2 : 0),
                         rows[i].finding);
    struct slice many[DNS_LIST_RECORDS_MAX + 1];
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = slice_make("\177\0\0\4", 4);
    many[DNS_LIST_RECORDS_MAX] = slice_make("\1\2\3\4", 4);
    assert_int_equal(dns_list_read(many, ARRAY_LEN(many), NULL, 0), DNS_LIST_LISTED);
}

/* Every pair of findings for the two test points: only one of them is a list that works. */
static void test_judgement(void **state)
{
    static const enum dns_list_health rows[5][5] = {
        /* 127.0.0.2 \ 127.0.0.1: unknown, clean, listed, refused, wrong */
        [DNS_LIST_UNKNOWN] = {DNS_LIST_SILENT, DNS_LIST_SILENT, DNS_LIST_LISTS_ALL, DNS_LIST_REFUSES,
                              DNS_LIST_NONSENSE},
        [DNS_LIST_CLEAN] = {DNS_LIST_EMPTY, DNS_LIST_EMPTY, DNS_LIST_LISTS_ALL, DNS_LIST_REFUSES,
                            DNS_LIST_NONSENSE},
        [DNS_LIST_LISTED] = {DNS_LIST_SILENT, DNS_LIST_WORKS, DNS_LIST_LISTS_ALL, DNS_LIST_REFUSES,
                             DNS_LIST_NONSENSE},
        [DNS_LIST_REFUSED] = {DNS_LIST_REFUSES, DNS_LIST_REFUSES, DNS_LIST_REFUSES, DNS_LIST_REFUSES,
                              DNS_LIST_NONSENSE},
        [DNS_LIST_WRONG] = {DNS_LIST_NONSENSE, DNS_LIST_NONSENSE, DNS_LIST_NONSENSE, DNS_LIST_NONSENSE,
                            DNS_LIST_NONSENSE},
    };
    (void)state;
    for (unsigned listed = 0; listed < 5; listed++)
        for (unsigned clean = 0; clean < 5; clean++)
            assert_int_equal(dns_list_judge((enum dns_list_finding)listed, (enum dns_list_finding)clean),
                             rows[listed][clean]);
    for (unsigned health = 0; health <= DNS_LIST_NONSENSE; health++)
        assert_true(strlen(dns_list_health_text((enum dns_list_health)health)) > 0);
}

static void test_watch(void **state)
{
    struct dns_list_watch w;
    (void)state;
    dns_list_watch_begin(&w, 1000);
    assert_false(w.on);
    assert_int_equal(w.due_ms, 1000);
    assert_true(dns_list_watch_tested(&w, DNS_LIST_WORKS, 2000));
    assert_true(w.on);
    assert_int_equal(w.due_ms, 2000 + DNS_LIST_TEST_MS);
    assert_false(dns_list_watch_tested(&w, DNS_LIST_WORKS, 3000));
    assert_true(dns_list_watch_tested(&w, DNS_LIST_LISTS_ALL, 4000));
    assert_false(w.on);
    assert_false(dns_list_watch_tested(&w, DNS_LIST_LISTS_ALL, 5000)); /* told once */
    assert_int_equal(w.due_ms, 5000 + DNS_LIST_TEST_MS);
    assert_true(dns_list_watch_tested(&w, DNS_LIST_REFUSES, 6000)); /* for another reason */
    assert_true(dns_list_watch_tested(&w, DNS_LIST_WORKS, 7000));
    assert_true(w.on);
}

static void test_silence(void **state)
{
    struct dns_list_watch w;
    (void)state;
    dns_list_watch_begin(&w, 0);
    assert_true(dns_list_watch_tested(&w, DNS_LIST_SILENT, 0)); /* never worked: off, and that is told */
    assert_int_equal(w.due_ms, DNS_LIST_RETRY_MS);
    assert_false(dns_list_watch_tested(&w, DNS_LIST_SILENT, 0));
    assert_int_equal(w.due_ms, 2 * DNS_LIST_RETRY_MS);
    for (int i = 0; i < 1000; i++)
        assert_false(dns_list_watch_tested(&w, DNS_LIST_SILENT, 0));
    assert_int_equal(w.due_ms, DNS_LIST_TEST_MS);
    assert_true(dns_list_watch_tested(&w, DNS_LIST_WORKS, 0));
    for (unsigned i = 1; i < DNS_LIST_SILENT_MAX; i++) {
        assert_false(dns_list_watch_tested(&w, DNS_LIST_SILENT, 0));
        assert_true(w.on);
    }
    assert_true(dns_list_watch_tested(&w, DNS_LIST_SILENT, 0));
    assert_false(w.on);
}

/* What is found asks for a test, unless there was one just now. */
static void test_suspicion(void **state)
{
    struct dns_list_watch w;
    (void)state;
    dns_list_watch_begin(&w, 0);
    assert_true(dns_list_watch_tested(&w, DNS_LIST_WORKS, 1000));
    assert_false(dns_list_watch_saw(&w, DNS_LIST_LISTED, 1000 + DNS_LIST_FRESH_MS - 1));
    uint64_t now = 1000 + DNS_LIST_FRESH_MS;
    assert_false(dns_list_watch_saw(&w, DNS_LIST_CLEAN, now));
    assert_false(dns_list_watch_saw(&w, DNS_LIST_UNKNOWN, now));
    assert_int_equal(w.due_ms, 1000 + DNS_LIST_TEST_MS);
    for (unsigned finding = DNS_LIST_LISTED; finding <= DNS_LIST_WRONG; finding++)
        assert_true(dns_list_watch_saw(&w, (enum dns_list_finding)finding, now));
    assert_int_equal(w.due_ms, now);
    assert_true(w.on);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names), cmocka_unit_test(test_answers), cmocka_unit_test(test_judgement),
        cmocka_unit_test(test_watch), cmocka_unit_test(test_silence), cmocka_unit_test(test_suspicion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
