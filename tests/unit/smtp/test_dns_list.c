/* test_dns_list.c: DNS lists asked about strangers: what a listing does, lists that are wrong, hang or die.
 */
#include "greet_rig.h"

static void test_lists(void **state)
{
    static const struct {
        const char *address;
        uint64_t reject_score;
        bool allow; /* list 1 is one of good senders */
        enum manner second;
        bool refused;
    } rows[] = {
        {"203.0.113.66", 4, false, MANNER_GOOD, true},
        {"203.0.113.66", 5, false, MANNER_GOOD, false},
        {"203.0.113.66", 2, false, MANNER_EMPTY, true}, /* the other list is off */
        {"203.0.113.66", 3, false, MANNER_LISTS_ALL, false},
        {"203.0.113.66", 3, false, MANNER_REFUSES, false},
        {"203.0.113.66", 3, false, MANNER_PARKED, false},
        {"203.0.113.66", 3, false, MANNER_SILENT, false},
        {"203.0.113.66", 1, true, MANNER_GOOD, false},
        {"203.0.113.66", 0, false, MANNER_GOOD, false}, /* only scores */
        {"203.0.113.7", 1, false, MANNER_LISTS_ALL, false},
        {"203.0.113.7", 1, false, MANNER_PARKED, false},
        {"203.0.113.7", 1, false, MANNER_GOOD, false},
    };
    struct fake f;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        setup(&f);
        f.lists[1].allow = rows[i].allow;
        f.manners[1] = rows[i].second;
        use_lists(&f, 2, rows[i].reject_score);
        struct client c = stranger(&f, rows[i].address);
        if (rows[i].refused) {
            bool both = rows[i].second == MANNER_GOOD;
            assert_waited(
                expect(&f, &c,
                       both ? "554 5.7.1 No mail is taken from 203.0.113.66: it is on list0.test "
                              "list1.test\r\n"
                            : "554 5.7.1 No mail is taken from 203.0.113.66: it is on list0.test\r\n"));
            expect_end(&f, &c);
        } else {
            assert_waited(expect(&f, &c, GREETING));
            quit(&f, &c);
        }
        turns(&f, TOLD_MS);
        assert_int_equal(f.offences[OFFENCE_LISTED], rows[i].refused);
        assert_int_equal(smtp_known_count(f.smtp->greeter->known), !rows[i].refused);
        assert_int_equal(f.queries, rows[i].second == MANNER_GOOD ? 2 : 1);
        teardown(&f);
    }
}

/* A zone that holds a key goes by another name. */
static void test_named_list(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    f.lists[0].name = SLICE("the list");
    use_lists(&f, 1, 1);
    struct client c = stranger(&f, "203.0.113.66");
    (void)expect(&f, &c, "554 5.7.1 No mail is taken from 203.0.113.66: it is on the list\r\n");
    expect_end(&f, &c);
    teardown(&f);
}

/* Lists that worked and hang now keep nobody longer than the wait; what comes late does no harm. */
static void test_dns_hangs(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    use_lists(&f, 2, 1);
    f.manners[0] = f.manners[1] = MANNER_SILENT;
    struct client c = stranger(&f, "203.0.113.66"), d = stranger(&f, "198.51.100.66");
    turns(&f, 5);
    leave(&d);
    assert_waited(expect(&f, &c, GREETING) + 5);
    assert_int_equal(f.held, 4);
    for (unsigned i = 0; i < f.held; i++)
        answer(f.theirs[1], f.held_requests[i], "127.0.0.2");
    quit(&f, &c);
    teardown(&f);
}

/* Lists that die behind our back, each in its way: the first client they would have refused is what their
 * next test is made for, and nobody is refused. */
static void test_lists_die(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    use_lists(&f, 3, 1);
    assert_int_equal(metric_get(METRIC_DNS_LISTS, 0), 3);
    f.manners[0] = MANNER_LISTS_ALL;
    f.manners[1] = MANNER_REFUSES;
    f.manners[2] = MANNER_PARKED;
    struct client c = stranger(&f, "203.0.113.7");
    turns(&f, 5);
    assert_int_equal(f.queries, 3); /* they were tested a moment ago */
    leave(&c);
    turns(&f, DNS_LIST_FRESH_MS);
    f.queries = 0;
    c = stranger(&f, "203.0.113.7");
    assert_waited(expect(&f, &c, GREETING));
    quit(&f, &c);
    assert_int_equal(f.queries, 3 * 3);
    assert_int_equal(metric_get(METRIC_DNS_LISTS, 0), 0);
    assert_int_equal(metric_get(METRIC_DNS_LISTS, 1), 3);
    teardown(&f);
}

/* Who is known is not delayed for the lists, but does not stay known once it is on them. */
static void test_known_is_listed_later(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    f.settings.before_greeting.remember = UINT64_C(86400) * 1000;
    use_lists(&f, 1, 1);
    const struct netaddr bad = netaddr_v4((const uint8_t[]){203, 0, 113, 66}, 0);
    smtp_known_add(f.smtp->greeter->known, &bad, (uint64_t)clock_unix_s() / 60);
    struct client c = stranger(&f, "203.0.113.66");
    assert_true(expect(&f, &c, GREETING) < WAIT_MS * 3 / 4);
    quit(&f, &c);
    assert_int_equal(f.queries, 1);
    assert_int_equal(smtp_known_count(f.smtp->greeter->known), 0);
    c = stranger(&f, "203.0.113.66");
    (void)expect(&f, &c, "554 5.7.1 No mail is taken from 203.0.113.66: it is on list0.test\r\n");
    expect_end(&f, &c);
    /* one that is not: asked once an hour */
    f.queries = 0;
    for (int i = 0; i < 3; i++) {
        c = stranger(&f, "203.0.113.7");
        (void)expect(&f, &c, GREETING);
        quit(&f, &c);
    }
    assert_int_equal(f.queries, 1);
    teardown(&f);
}

/* New settings while answers are awaited, for one who waits and for one who is known. */
static void test_reload(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    use_lists(&f, 2, 1);
    f.manners[0] = f.manners[1] = MANNER_SILENT;
    const struct netaddr known = netaddr_v4((const uint8_t[]){203, 0, 113, 7}, 0);
    smtp_known_add(f.smtp->greeter->known, &known, (uint64_t)clock_unix_s() / 60);
    struct client c = stranger(&f, "203.0.113.66"), d = stranger(&f, "203.0.113.7");
    turns(&f, 5);
    assert_int_equal(f.queries, 4);
    assert_false(list_empty(&f.smtp->greeter->again));
    use_lists(&f, 0, 0);
    assert_true(list_empty(&f.smtp->greeter->again));
    (void)expect(&f, &c, GREETING);
    (void)expect(&f, &d, GREETING);
    quit(&f, &c);
    quit(&f, &d);
    teardown(&f);
}

/* What the lists before said is not held against a client by those that stand in their places now. */
static void test_reload_of_answers(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    f.lists[0].allow = true;
    use_lists(&f, 1, 1);
    struct client c = stranger(&f, "203.0.113.66");
    turns(&f, 5);
    assert_int_equal(f.queries, 1);
    f.lists[0] = f.lists[1];
    use_lists(&f, 1, 1);
    (void)expect(&f, &c, GREETING);
    quit(&f, &c);
    teardown(&f);
}

int main(void)
{
    assert(metric_attach(&metrics_table, -1, "smtp", NULL) == ERR_OK);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_named_list),
        cmocka_unit_test(test_dns_hangs),
        cmocka_unit_test(test_lists_die),
        cmocka_unit_test(test_known_is_listed_later),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_reload_of_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
