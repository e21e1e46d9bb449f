/* test_greet.c: strangers before the greeting: who waits, who is refused, who is known. */
#include "greet_rig.h"

/* ---- the wait ---- */

static void test_strangers_wait_once(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    struct client c = stranger(&f, "203.0.113.7");
    assert_waited(expect(&f, &c, GREETING));
    quit(&f, &c);
    c = stranger(&f, "203.0.113.7");
    assert_true(expect(&f, &c, GREETING) < WAIT_MS * 3 / 4);
    quit(&f, &c);
    c = stranger(&f, "2001:db8::1");
    assert_waited(expect(&f, &c, GREETING));
    quit(&f, &c);
    c = stranger(&f, "2001:db8::2"); /* of the same /64 */
    assert_true(expect(&f, &c, GREETING) < WAIT_MS * 3 / 4);
    quit(&f, &c);
    assert_int_equal(smtp_known_count(f.smtp->greeter->known), 2);
    f.settings.before_greeting.remember = 0;
    c = stranger(&f, "203.0.113.9");
    assert_waited(expect(&f, &c, GREETING));
    quit(&f, &c);
    assert_int_equal(smtp_known_count(f.smtp->greeter->known), 2);
    teardown(&f);
}

static void test_others_do_not_wait(void **state)
{
    static const struct from rows[] = {
        {"127.0.0.1", false, false},  {"::1", false, false},
        {"10.1.2.3", false, false},   /* trusted_networks */
        {"10.2.0.1", false, false},   /* a load balancer that speaks for itself */
        {"203.0.113.7", true, false}, /* its probe */
        {"203.0.113.7", false, true}, /* submission */
    };
    struct fake f;
    (void)state;
    setup(&f);
    f.settings.before_greeting.text = SLICE("one moment");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct client c = connect_from(&f, rows[i]);
        assert_true(expect(&f, &c, GREETING) < WAIT_MS * 3 / 4);
        quit(&f, &c);
    }
    f.settings.before_greeting.wait = 0;
    struct client c = stranger(&f, "203.0.113.8");
    assert_true(expect(&f, &c, GREETING) < WAIT_MS * 3 / 4);
    quit(&f, &c);
    assert_int_equal(smtp_known_count(f.smtp->greeter->known), 0);
    teardown(&f);
}

static void test_two_lines(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    f.settings.before_greeting.text = SLICE("one moment");
    struct client c = stranger(&f, "203.0.113.7");
    assert_true(expect(&f, &c, "220-one moment\r\n") < WAIT_MS * 3 / 4);
    assert_in_range(expect(&f, &c, GREETING), WAIT_MS / 2, WAIT_MS + LATE_MS);
    quit(&f, &c);
    c = stranger(&f, "203.0.113.7"); /* known: one line */
    (void)expect(&f, &c, GREETING);
    quit(&f, &c);
    c = stranger(&f, "203.0.113.8");
    (void)expect(&f, &c, "220-one moment\r\n");
    say(&c, "EHLO bot\r\n");
    (void)expect(&f, &c, "521 5.5.1 You spoke before the greeting\r\n");
    expect_end(&f, &c);
    teardown(&f);
}

/* RFC 5321 and RFC 2920 allow what comes behind the greeting, whatever is sent at once. */
static void test_behind_the_greeting(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    struct client c = stranger(&f, "203.0.113.7");
    (void)expect(&f, &c, GREETING);
    say(&c, "HELO a\r\nQUIT\r\n");
    (void)expect(&f, &c, "250 mx.example.test\r\n" BYE);
    expect_end(&f, &c);
    c = stranger(&f, "203.0.113.8");
    (void)expect(&f, &c, GREETING);
    say(&c, "HELO a\r\nNOOP\r\nRSET\r\nNOOP\r\nQUIT\r\n");
    (void)expect(&f, &c, "250 mx.example.test\r\n250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n" BYE);
    expect_end(&f, &c);
    for (unsigned i = 0; i < OFFENCE_COUNT; i++)
        assert_int_equal(f.offences[i], 0);
    teardown(&f);
}

/* Everybody waits as long as was meant when he came, also behind one who waits longer. */
static void test_in_order(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    f.settings.before_greeting.wait = 3 * WAIT_MS + LATE_MS;
    struct client slow = stranger(&f, "203.0.113.7");
    f.settings.before_greeting.wait = WAIT_MS;
    struct client c = stranger(&f, "203.0.113.8");
    assert_waited(expect(&f, &c, GREETING));
    quit(&f, &c);
    assert_true(expect(&f, &slow, GREETING) > WAIT_MS);
    quit(&f, &slow);
    teardown(&f);
}

static void test_many_wait(void **state)
{
    enum { MANY = 300 };
    static struct client c[MANY];
    struct fake f;
    (void)state;
    setup(&f);
    for (unsigned i = 0; i < MANY; i++) {
        char address[32];
        (void)snprintf(address, sizeof address, "203.0.%u.%u", i / 200, i % 200 + 1);
        f.settings.before_greeting.wait = i % 2 ? WAIT_MS : WAIT_MS / 2; /* as after a reload */
        c[i] = stranger(&f, address);
    }
    for (unsigned i = 0; i < MANY; i += 3) { /* some leave meanwhile */
        leave(&c[i]);
        c[i].fd = -1;
    }
    for (unsigned i = 0; i < MANY; i++)
        if (c[i].fd >= 0) {
            (void)expect(&f, &c[i], GREETING);
            leave(&c[i]);
        }
    assert_int_equal(smtp_known_count(f.smtp->greeter->known), MANY - MANY / 3);
    teardown(&f);
}

/* Strangers alone do not fill the role: who is known, our own and users still find a place. */
static void test_reserve(void **state)
{
    enum { MOST = 64, STRANGERS = 56 };
    static struct client c[MOST];
    static const struct from others[] = {
        {"198.51.100.1", false, false}, {"10.1.2.3", false, false}, {"203.0.113.200", false, true}};
    struct fake f;
    (void)state;
    setup(&f);
    f.settings.limits.smtp_sessions = MOST;
    const struct netaddr known = netaddr_v4((const uint8_t[]){198, 51, 100, 1}, 0);
    smtp_known_add(f.smtp->greeter->known, &known, (uint64_t)clock_unix_s() / 60);
    for (unsigned i = 0; i < MOST; i++) {
        char address[32];
        (void)snprintf(address, sizeof address, "203.0.113.%u", i + 1);
        if (i < STRANGERS)
            c[i] = stranger(&f, address);
        else
            c[i] = connect_from(&f, others[i % ARRAY_LEN(others)]);
    }
    for (unsigned i = STRANGERS; i < MOST; i++)
        (void)expect(&f, &c[i], GREETING);
    struct client late = stranger(&f, "203.0.113.100");
    (void)expect(&f, &late, "421 4.3.2 Too many connections (smtp_sessions)\r\n");
    expect_end(&f, &late);
    late = connect_from(&f, others[0]);
    (void)expect(&f, &late, "421 4.3.2 Too many connections (smtp_sessions)\r\n");
    expect_end(&f, &late);
    leave(&c[MOST - 1]);
    turns(&f, 5);
    late = stranger(&f, "203.0.113.101"); /* that place is not a stranger's */
    (void)expect(&f, &late, "421 4.3.2 Too many connections (smtp_sessions)\r\n");
    expect_end(&f, &late);
    late = connect_from(&f, others[0]);
    (void)expect(&f, &late, GREETING);
    leave(&late);
    for (unsigned i = 0; i < MOST - 1; i++)
        leave(&c[i]);
    teardown(&f);
}

static void test_ends_of_the_wait(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    uint64_t left = metric_get(METRIC_EARLY_GREETINGS, METRIC_GREETING_LEFT);
    struct client c = stranger(&f, "203.0.113.7"), d = stranger(&f, "203.0.113.8");
    turns(&f, 5);
    leave(&c); /* without a word */
    assert_int_equal(shutdown(d.fd, SHUT_WR), 0);
    turns(&f, 5);
    assert_int_equal(f.smtp->service.session_count, 0);
    leave(&d);
    assert_int_equal(metric_get(METRIC_EARLY_GREETINGS, METRIC_GREETING_LEFT), left + 2);
    c = stranger(&f, "203.0.113.7");
    turns(&f, 5);
    service_drain(&f.smtp->service, 1000);
    (void)expect(&f, &c, "421 4.3.2 Going down, come back soon\r\n");
    expect_end(&f, &c);
    assert_int_equal(smtp_known_count(f.smtp->greeter->known), 0);
    teardown(&f);
}

/* ---- early talkers ---- */

static void test_early(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    struct client c = stranger(&f, "203.0.113.7");
    say(&c, "E");
    (void)expect(&f, &c, "521 5.5.1 You spoke before the greeting\r\n");
    expect_end(&f, &c);
    turns(&f, TOLD_MS);
    assert_int_equal(f.offences[OFFENCE_EARLY_TALKER], 1);
    assert_string_equal(f.detail, "E");
    assert_int_equal(smtp_known_count(f.smtp->greeter->known), 0);
    c = stranger(&f, "203.0.113.7"); /* no second chance without a wait */
    assert_waited(expect(&f, &c, GREETING));
    quit(&f, &c);
    teardown(&f);
}

static void test_early_only_scores(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    f.settings.before_greeting.reject_early = false;
    f.settings.before_greeting.text = SLICE("one moment");
    struct client c = stranger(&f, "203.0.113.7");
    say(&c, "HELO a\r\n");
    (void)expect(&f, &c, "220-one moment\r\n");
    turns(&f, 5);
    say(&c, "QUIT\r\n");
    assert_in_range(expect(&f, &c, GREETING), WAIT_MS / 2, WAIT_MS + LATE_MS);
    (void)expect(&f, &c, "250 mx.example.test\r\n" BYE);
    expect_end(&f, &c);
    turns(&f, TOLD_MS);
    assert_int_equal(f.offences[OFFENCE_EARLY_TALKER], 1);
    assert_string_equal(f.detail, "HELO a\r\n");
    assert_int_equal(smtp_known_count(f.smtp->greeter->known), 0);
    teardown(&f);
}

/* Other protocols get no answer at all, before the greeting or behind it, and one event. */
static void test_other_protocols(void **state)
{
    static const struct {
        const char *text, *detail;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: mx\r\n\r\n", "HTTP"},
        {"POST /x HTTP/1.0\r\n", "HTTP"},
        {"CONNECT a.test:25 HTTP/1.1\r\n", "HTTP"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP"},
        {"\x16\x03\x01\x02", "TLS"},
    };
    struct fake f;
    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_LEN(rows); i++) {
        setup(&f);
        struct client c = stranger(&f, "203.0.113.7");
        if (i % 2)
            (void)expect(&f, &c, GREETING);
        say(&c, rows[i / 2].text);
        expect_end(&f, &c);
        turns(&f, TOLD_MS);
        assert_int_equal(f.offences[OFFENCE_PROTOCOL_ABUSE], 1);
        assert_int_equal(f.offences[OFFENCE_EARLY_TALKER], 0);
        assert_memory_equal(f.detail, rows[i / 2].detail, strlen(rows[i / 2].detail));
        teardown(&f);
    }
}

/* Who is known and speaks with bare line ends is an offender, and not known any more. */
static void test_bare_line_ends(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    struct client c = stranger(&f, "203.0.113.7");
    (void)expect(&f, &c, GREETING);
    assert_int_equal(smtp_known_count(f.smtp->greeter->known), 1);
    say(&c, "NOOP\nRSET\r\n");
    (void)expect(&f, &c, "554 5.5.2 Lines end in CRLF: a bare CR or LF was sent\r\n");
    expect_end(&f, &c);
    turns(&f, TOLD_MS);
    assert_int_equal(f.offences[OFFENCE_PROTOCOL_ABUSE], 1);
    assert_int_equal(smtp_known_count(f.smtp->greeter->known), 0);
    c = connect_from(&f, (struct from){.address = "10.1.2.3"}); /* of our own: the same answer, and no more */
    (void)expect(&f, &c, GREETING);
    say(&c, "NOOP\nRSET\r\n");
    (void)expect(&f, &c, "554 5.5.2 Lines end in CRLF: a bare CR or LF was sent\r\n");
    expect_end(&f, &c);
    turns(&f, TOLD_MS);
    assert_int_equal(f.offences[OFFENCE_PROTOCOL_ABUSE], 1);
    teardown(&f);
}

/* ---- saving ---- */

static void test_saved(void **state)
{
    struct fake f;
    (void)state;
    setup(&f);
    smtp_greeter_save(f.smtp->greeter);
    turns(&f, 5);
    assert_int_equal(f.saves, 0); /* no news */
    for (uint32_t i = 0; i < 6000; i++) {
        const struct netaddr a = netaddr_v4((const uint8_t[]){100, 0, (uint8_t)(i >> 8), (uint8_t)i}, 0);
        smtp_known_add(f.smtp->greeter->known, &a, (uint64_t)clock_unix_s() / 60);
    }
    smtp_greeter_save(f.smtp->greeter);
    smtp_greeter_save(f.smtp->greeter);
    turns(&f, 5);
    assert_int_equal(f.saves, 3);
    assert_int_equal(f.saved_flags[0], DOOR_FIRST);
    assert_int_equal(f.saved_flags[1], 0);
    assert_int_equal(f.saved_flags[2], DOOR_LAST);
    struct fake g;
    setup(&g);
    for (unsigned i = 0; i < f.saves; i++) {
        const struct wire_door_save m = {.flags = f.saved_flags[i], .data = buf_slice(&f.saved[i])};
        assert_true(smtp_greeter_take(g.smtp->greeter, &m));
    }
    assert_int_equal(smtp_known_count(g.smtp->greeter->known), 6000);
    struct client c = stranger(&g, "100.0.3.7");
    assert_true(expect(&g, &c, GREETING) < WAIT_MS * 3 / 4);
    quit(&g, &c);
    const struct wire_door_save bad = {.data = SLICE("what is this")};
    assert_false(smtp_greeter_take(g.smtp->greeter, &bad));
    teardown(&g);
    teardown(&f);
}

int main(void)
{
    assert(metric_attach(&metrics_table, -1, "smtp", NULL) == ERR_OK);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strangers_wait_once),
        cmocka_unit_test(test_others_do_not_wait),
        cmocka_unit_test(test_two_lines),
        cmocka_unit_test(test_behind_the_greeting),
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_many_wait),
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_ends_of_the_wait),
        cmocka_unit_test(test_early),
        cmocka_unit_test(test_early_only_scores),
        cmocka_unit_test(test_other_protocols),
        cmocka_unit_test(test_bare_line_ends),
        cmocka_unit_test(test_saved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
