/* Whose turn it is, in the whole role: what is due and when, letters before mass mail, senders in turn, how
 * much a destination is given at once, and that a clock that is set changes nothing. */
#include "out_rig.h"

#include "queue/rows.h"
#include "queue/schedule_parts.h"

#include <sys/syscall.h>
#include <time.h>

/* The wall clock of this process, as an administrator sets it. */
static int64_t wall_step_s;

int clock_gettime(clockid_t which, struct timespec *now)
{
    long result = syscall(SYS_clock_gettime, which, now);
    if (result == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
        now->tv_sec += wall_step_s;
    return (int)result;
}

#define SLOW_RETRY "retry_first: 1h, retry_max: 2h"

static const char yaml[] = OUT_YAML "queue: { " SLOW_RETRY ", per_destination: 12 }\n";
static const char yaml_one[] = OUT_YAML "queue: { " SLOW_RETRY ", per_destination: 1 }\n";
static const char yaml_three[] = OUT_YAML "queue: { " SLOW_RETRY ", connections: 3 }\n";
static const char yaml_quick[] = OUT_YAML "queue: { retry_first: 500ms, retry_max: 500ms }\n";

static void letters(struct out *o, size_t count, const char *domain)
{
    for (size_t i = 0; i < count; i++) {
        char to[40];
        (void)snprintf(to, sizeof to, "u%zu@%s", i, domain);
        (void)out_letter(o, "john@example.org", to);
    }
}

static size_t running(const struct out *o)
{
    return o->count - o->answered;
}

/* What has begun settles down to this many under way. */
static void expect_running(struct out *o, size_t wanted)
{
    uint64_t end = clock_mono_ms() + RIG_PATIENCE_MS;
    while (running(o) < wanted && clock_mono_ms() < end)
        rig_turn(o->rig);
    rig_for(o->rig, 40);
    assert_int_equal(running(o), wanted);
}

/* Answers the oldest `count` that wait. */
static void answer(struct out *o, size_t count, const struct out_answer *with)
{
    for (size_t i = 0; i < o->count && count; i++)
        if (!o->sends[i].answered) {
            out_reply(o, &o->sends[i], with, 1);
            count--;
        }
    assert_int_equal(count, 0);
}

/* ---- one destination ---- */

static void window(void **state)
{
    (void)state;
    struct out *o = out_new(yaml, NULL);
    letters(o, 80, "example.net");
    expect_running(o, DESTINATION_WINDOW_FIRST);
    answer(o, 5, &out_sent); /* one more for each success */
    expect_running(o, 10);
    answer(o, 10, &out_sent); /* up to what the settings allow */
    expect_running(o, 12);
    letters(o, 3, "other.example"); /* nobody else waits for it */
    expect_running(o, 15);
    answer(o, 1, &out_slow); /* it asks for less: half as many */
    expect_running(o, 14);
    answer(o, 5, &out_sent);
    expect_running(o, 9); /* six there, three elsewhere */
    answer(o, 1, &out_sent);
    expect_running(o, 10); /* from now on one more for each window: seven */
    answer(o, 1, &out_slow);
    expect_running(o, 9);
    out_free(o);
}

/* Nothing can be sent there: it is closed for all, and opened by the operator. */
static void closed(void **state)
{
    (void)state;
    struct out *o = out_new(yaml, NULL);
    uint64_t until;
    letters(o, 30, "example.net");
    expect_running(o, 5);
    answer(o, 1, &out_down);
    expect_running(o, 4);
    answer(o, 4, &out_down);
    expect_running(o, 0);
    assert_string_equal(schedule_route_state(o->q, SLICE("direct:example.net"), &until), "not reached");
    assert_true(until > queue_now_ms(o->q) + 3000000);
    out_until_number(o, OUT_ROWS " WHERE claimed = 0", 30);
    assert_int_equal(out_number(o, OUT_ROWS " WHERE attempts = 0"), 25); /* those behind were not tried */
    letters(o, 1, "other.example");
    expect_running(o, 1);
    answer(o, 1, &out_sent);
    schedule_unblock(o->q, SLICE("direct:example.net"));
    expect_running(o, 5);
    assert_int_equal(o->forgets, 1);
    out_free(o);
}

static void connections(void **state)
{
    (void)state;
    struct out *o = out_new(yaml_three, NULL);
    for (size_t i = 0; i < 10; i++) {
        char domain[40];
        (void)snprintf(domain, sizeof domain, "d%zu.example", i);
        letters(o, 2, domain);
    }
    expect_running(o, 3);
    answer(o, 2, &out_sent);
    expect_running(o, 3);
    assert_string_not_equal(o->sends[3].host, o->sends[0].host); /* destinations take turns */
    o->at_once = true;
    answer(o, 3, &out_sent);
    out_until_number(o, OUT_ROWS, 0);
    assert_int_equal(o->count, 20);
    out_free(o);
}

/* ---- whose turn ---- */

static void mass_mail(void **state)
{
    (void)state;
    struct out *o = out_new(yaml_one, NULL);
    letters(o, 1, "example.net");
    expect_running(o, 1);
    const struct out_mail mass = {.sender = "john@example.org", .to = {"mass@example.net"}, .size = 2000000};
    for (int i = 0; i < 3; i++)
        (void)out_mail(o, &mass);
    letters(o, 12, "example.net");
    o->at_once = true;
    answer(o, 1, &out_sent);
    out_until_number(o, OUT_ROWS, 0);
    char order[20] = "";
    for (size_t i = 0; i < o->count; i++)
        order[i] = o->sends[i].first[0];
    assert_string_equal(order, "uuuuuuuumuuuuumm"); /* eight letters, one piece of mass mail, and so on */
    out_free(o);
}

static void senders_in_turn(void **state)
{
    (void)state;
    static const char *const accounts[] = {"a", "a", "a", "a", "a", "b", "c", "b"};
    struct out *o = out_new(yaml_one, NULL);
    for (size_t i = 0; i < ARRAY_LEN(accounts); i++) {
        char to[40];
        (void)snprintf(to, sizeof to, "%s@example.net", accounts[i]);
        const struct out_mail mail = {.sender = "john@example.org", .account = accounts[i], .to = {to}};
        (void)out_mail(o, &mail);
    }
    expect_running(o, 1);
    o->at_once = true;
    answer(o, 1, &out_sent);
    out_until_number(o, OUT_ROWS, 0);
    char order[20] = "";
    for (size_t i = 0; i < o->count; i++)
        order[i] = o->sends[i].first[0];
    assert_string_equal(order, "aabcabaa");
    out_free(o);
}

/* ---- what is due ---- */

/* `count` messages to example.net wait; that of number i is due at `due` + i * `step`. */
static void fill(struct out *o, unsigned count, uint64_t due, int step)
{
    AUTO_BUF struct buf sql = buf_new(4000);
    buf_addf(
        &sql,
        "CREATE TEMP TABLE n AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < "
        "%u) SELECT i FROM n;"
        "INSERT INTO queue_message (id, sender, received, session, account, envid, ret, smtputf8,"
        " eightbit, requiretls, size, created, client) SELECT printf('%%015d', i), 'john@example.org',"
        " x'', '', '', '', 0, 0, 0, 0, 100, %llu, '' FROM n;"
        "INSERT INTO queue_recipient (message, ordinal, kind, target, address, orcpt, notify, claimed,"
        " due, attempts, error, sender, route) SELECT printf('%%015d', i), 0, 1, 'u@example.net',"
        " 'u@example.net', '', 0, 0, %llu + i * %d, 0, '', 'john@example.org', 'direct:example.net'"
        " FROM n;"
        "INSERT OR REPLACE INTO queue_route (route, due) VALUES ('direct:example.net',"
        " (SELECT min(due) FROM queue_recipient)); DROP TABLE n",
        count - 1, (unsigned long long)queue_now_ms(o->q), (unsigned long long)due, step);
    buf_add_byte(&sql, '\0');
    out_exec(o, (const char *)buf_slice(&sql).ptr);
    schedule_look(o->q);
}

/* More than is fetched at once: what has been due for longest comes first, whatever its id. */
static void oldest_due_first(void **state)
{
    (void)state;
    struct out *o = out_new(yaml_one, NULL);
    o->at_once = true;
    fill(o, 600, queue_now_ms(o->q) - 1000, -1000);
    out_until_number(o, OUT_ROWS, 0);
    assert_int_equal(o->count, 600);
    for (size_t i = 0; i < 500; i++)
        assert_true(atoi(o->sends[i].id) >= 100);
    out_free(o);
}

static void not_before_it_is_due(void **state)
{
    (void)state;
    struct out *o = out_new(yaml_one, NULL);
    uint64_t now = clock_mono_ms();
    o->at_once = true;
    fill(o, 3, queue_now_ms(o->q) + 600, -200);
    out_until(o, &o->count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(atoi(o->sends[i].id), 2 - i);
        assert_true(o->sends[i].at_ms + 2 >= now + 200 * (i + 1));
    }
    out_free(o);
}

/* The clock is set by months, either way, while a letter waits: it is sent when its wait is over, once. */
static void clock_is_set(void **state)
{
    (void)state;
    static const int64_t steps[] = {90 * 86400, -90 * 86400, 7200, -7200};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        wall_step_s = 0;
        struct out *o = out_new(yaml_quick, NULL);
        (void)out_letter(o, "john@example.org", "a@example.net");
        (void)out_take(o, 0, &out_later);
        out_until_number(o, OUT_ROWS " WHERE claimed = 0", 1);
        uint64_t answered = clock_mono_ms();
        wall_step_s = steps[i];
        schedule_look(o->q);
        (void)out_take(o, 1, &out_sent);
        uint64_t waited = o->sends[1].at_ms - answered;
        if (waited < 350 || waited > 5000)
            fail_msg("step %zu: waited %llu ms", i, (unsigned long long)waited);
        out_until_number(o, OUT_ROWS, 0);
        rig_for(o->rig, 50);
        assert_int_equal(o->count, 2);
        assert_int_equal(o->bodies, 0);
        wall_step_s = 0;
        out_free(o);
    }
}

/* ---- a command ---- */

static void on_recalled(void *ctx)
{
    *(bool *)ctx = true;
}

/* What waits in memory goes back, what is under way stays; then all goes on. */
static void recall(void **state)
{
    (void)state;
    struct out *o = out_new(yaml_one, NULL);
    bool recalled = false;
    letters(o, 10, "example.net");
    expect_running(o, 1);
    assert_int_equal(out_number(o, OUT_ROWS " WHERE claimed = 1"), 10);
    schedule_recall(o->q, on_recalled, &recalled);
    assert_false(recalled);
    rig_until(o->rig, &recalled);
    assert_int_equal(out_number(o, OUT_ROWS " WHERE claimed = 0"), 9);
    o->at_once = true;
    answer(o, 1, &out_sent);
    out_until_number(o, OUT_ROWS, 0);
    assert_int_equal(o->count, 10);
    out_free(o);
}

/* ---- what is held ---- */

static void on_changed(void *ctx, enum err err, const struct why *why)
{
    (void)why;
    assert_int_equal(err, ERR_OK);
    *(bool *)ctx = true;
}

static void change(struct out *o, enum rows_change what, struct rows_key *key)
{
    bool done = false;
    rows_change(o->q->spool, what, key, 1, queue_now_ms(o->q), NULL, on_changed, &done);
    rig_until(o->rig, &done);
    assert_true(key->changed);
}

/* A command that had claimed held mail gives it back, or dies: it is held as before, and not sent. */
static void held_stays_held(void **state)
{
    (void)state;
    struct out *o = out_new(yaml, NULL);
    const struct out_mail mail = {.sender = "john@example.org", .to = {"a@example.net"}, .hold = "spam"};
    struct rows_key key = {.id = slice_of(out_mail(o, &mail)), .route = SLICE("direct:example.net")};
    change(o, ROWS_CLAIM, &key);
    change(o, ROWS_RETURN, &key);
    schedule_look(o->q);
    rig_for(o->rig, 100);
    assert_int_equal(out_number(o, OUT_ROWS " WHERE claimed = 2 AND hold = 'spam'"), 1);
    change(o, ROWS_CLAIM, &key);
    out_restart(o, yaml, NULL);
    rig_for(o->rig, 100);
    assert_int_equal(out_number(o, OUT_ROWS " WHERE claimed = 2 AND hold = 'spam'"), 1);
    assert_int_equal(o->count, 0);
    change(o, ROWS_RELEASE, &key);
    schedule_look(o->q);
    (void)out_take(o, 0, &out_sent);
    out_until_number(o, OUT_ROWS, 0);
    out_free(o);
}

/* ---- what an earlier process had claimed ---- */

/* Its rows could not be freed at the start (a full disk): what comes before they are is sent once. */
static void late_sweep(void **state)
{
    (void)state;
    struct out *o = out_new(yaml, NULL);
    rig_for(o->rig, 50);
    o->q->schedule->swept = false;
    (void)out_letter(o, "john@example.org", "a@example.net");
    schedule_look(o->q);
    (void)out_take(o, 0, NULL);
    rig_for(o->rig, 100);
    assert_true(o->q->schedule->swept);
    assert_int_equal(o->count, 1);
    out_free(o);
}

/* The relay is gone from the settings: all of its mail takes the new way, also what has no room in memory. */
static void long_queue_of_no_relay(void **state)
{
    (void)state;
    static const char yaml_relay[] =
        OUT_YAML "relay: { host: relay.example.net }\nqueue: { " SLOW_RETRY ", per_destination: 1 }\n";
    struct out *o = out_new(yaml_relay, NULL);
    fill(o, 1200, queue_now_ms(o->q) + 3600000, 0);
    out_exec(o, "UPDATE queue_recipient SET route = 'relay:default', due = 0;"
                "INSERT OR REPLACE INTO queue_route (route, due) VALUES ('relay:default', 0)");
    schedule_look(o->q);
    expect_running(o, 1);
    o->at_once = true;
    rig_reload(o->rig, yaml, NULL);
    answer(o, 1, &out_sent);
    out_until_number(o, OUT_ROWS, 0);
    assert_int_equal(o->count, 1200);
    out_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(window),
        cmocka_unit_test(closed),
        cmocka_unit_test(connections),
        cmocka_unit_test(mass_mail),
        cmocka_unit_test(senders_in_turn),
        cmocka_unit_test(oldest_due_first),
        cmocka_unit_test(not_before_it_is_due),
        cmocka_unit_test(clock_is_set),
        cmocka_unit_test(recall),
        cmocka_unit_test(held_stays_held),
        cmocka_unit_test(late_sweep),
        cmocka_unit_test(long_queue_of_no_relay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
