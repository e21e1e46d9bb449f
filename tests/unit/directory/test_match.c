/* Aliases that stand for many addresses: wildcards and regexp tables; circles; targets elsewhere. */
#include "fixture.h"

#include <time.h>

#include "base/coll.h"

static struct fixture fixture_new(const char *accounts, const char *aliases, const char *rules)
{
    struct fixture f = {.arena = arena_new(64 << 20)};
    struct settings settings = {.hostname = SLICE("mail.x.test")};
    f.problems = problems_new_in(f.arena);
    struct directory_input *input = directory_input_new_in(f.arena, f.problems);
    directory_read_accounts(input, slice_of(accounts), SLICE("accounts.cf"), true);
    directory_read_virtual(input, slice_of(aliases), SLICE("virtual.cf"));
    directory_read_regexp(input, slice_of(rules), SLICE("regexp.cf"));
    f.table = directory_table_new_in(f.arena, input, &settings, NULL, SLICE("rockdove.yaml"));
    return f;
}

/* "local+tag >remote", or the outcome. */
static const char *route_text(struct fixture *f, const char *address)
{
    static char text[4000];
    static const char *const outcomes[] = {"", "UNKNOWN", "REMOTE ", "TOO MANY", "INVALID"};
    struct directory_route route;
    directory_route_in(f->arena, f->table, slice_of(address), true, &route);
    size_t len = (size_t)snprintf(text, sizeof text, "%s", outcomes[route.outcome]);
    for (size_t i = 0; i < route.count && len < sizeof text; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s%.*s%s%.*s", i ? " " : "",
                                route.targets[i].local ? "" : ">", SLICE_ARG(route.targets[i].address),
                                route.targets[i].tag.len ? "+" : "", SLICE_ARG(route.targets[i].tag));
    return text;
}

static const char accounts[] = "alice@x.test|1\nbob@x.test|2\nspam@x.test|3\nerik@y.test|4\n";

static const char aliases[] = "*-generated@x.test alice@x.test\n"
                              "shop-*-*@x.test bob@x.test, Keep@FAR.test\n"
                              "exact-generated@x.test bob@x.test\n"
                              "*@new.test erik@y.test\n"
                              "al*@x.test alice@x.test spam@x.test\n"
                              "\"q*\"@x.test alice@x.test\n"
                              "@x.test spam@x.test\n"
                              "two@y.test keep@far.test, KEEP@far.test, \"keep\"@FAR.TEST, erik@y.test\n"
                              "theirs@y.test postmaster@far.test\n"
                              "ours@y.test postmaster@x.test\n";

static const char rules[] = "# what Postfix reads too\n"
                            "/^test[0-9]+@x\\.test$/ alice@x.test\n"
                            "/^(.+)\\.(.+)@y\\.test$/\t$2-${1}@far.test,\n"
                            "   erik@y.test\n"
                            "|^pipe/(.*)@y\\.test$|  $(1)@far.test\n"
                            "/^Case@y\\.test$/i erik@y.test\n"
                            "/^dollar@y\\.test$/ a$$b@far.test\n"
                            "if /@y\\.test$/\n"
                            "IF!/^no/\n"
                            "!/^(in|no)/ out@far.test\n"
                            "/^in/ in@far.test\n"
                            "endif # what is not negated\n"
                            "/^no-(.*)@(.*)$/ $1@other.$2, $3x@far.test\n"
                            "endif\n"
                            "/^(alice|bob)@x\\.test$/ $1@x.test archive@far.test\n"
                            "/^(bad)(none)?@x\\.test$/ $2@far.test\n"
                            "/^(sp)am@/ $1@far.test\n"
                            "/^spam@/ bob@x.test\n"
                            "if/^only@/\n"
                            "/@x\\.test$/ only@far.test\n"
                            "EndIf\n";

static void test_routes(void **state)
{
    static const struct {
        const char *address, *expected;
    } rows[] = {
        /* wildcards */
        {"shop17-generated@x.test", "alice@x.test spam@x.test"},
        {"SHOP17-Generated+tag@x.test", "spam@x.test"}, /* the whole address counts */
        {"exact-generated@x.test", "bob@x.test >archive@far.test"},
        {"exact-generated+t@x.test", "bob@x.test+t >archive@far.test"},
        {"generated@x.test", "spam@x.test"},
        {"shop-a-b@x.test", "bob@x.test >archive@far.test >Keep@far.test"},
        {"shop-a@x.test", "spam@x.test"},
        {"anything@new.test", "erik@y.test"},
        {"q*@x.test", "alice@x.test spam@x.test"}, /* in quotes a star is a star */
        {"qqq@x.test", "spam@x.test"},
        /* expressions; an account's mail stays with it, copies are added */
        {"test7@x.test", "alice@x.test spam@x.test"},
        {"test@x.test", "spam@x.test"},
        {"alice@x.test", "alice@x.test spam@x.test"}, /* the wildcard is asked first */
        {"bob@x.test", "bob@x.test >archive@far.test"},
        {"bob+tag@x.test", "bob@x.test+tag >archive@far.test"},
        {"spam@x.test", "spam@x.test"},
        {"john.smith@y.test", ">smith-john@far.test erik@y.test"},
        {"john.q.smith@y.test", ">smith-john.q@far.test erik@y.test"},
        {"pipe/zz@y.test", ">zz@far.test"},
        {"case@y.test", ">out@far.test"},
        {"dollar@y.test", ">a$b@far.test"},
        {"info@y.test", ">in@far.test"},
        {"other@y.test", ">out@far.test"},
        {"no-one@y.test", ">one@other.y.test"},
        {"bad@x.test", ">bad@far.test"}, /* "@far.test" alone means the same user there */
        {"erik@y.test", "erik@y.test"},
        {"only@x.test", ">only@far.test"},
        {"two@y.test", ">keep@far.test erik@y.test"},
        {"someone@far.test", "REMOTE >someone@far.test"},
        {"Some.One@FAR.test", "REMOTE >Some.One@far.test"},
    };
    struct fixture f = fixture_new(accounts, aliases, rules);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *got = route_text(&f, rows[i].address);
        if (strcmp(got, rows[i].expected) != 0)
            fail_msg("%s: \"%s\", expected \"%s\"", rows[i].address, got, rows[i].expected);
    }
    assert_true(directory_is_domain(f.table, SLICE("new.test")));
    assert_false(directory_is_domain(f.table, SLICE("far.test")));
    arena_free(&f.arena);
}

static void test_steps(void **state)
{
    struct fixture f = fixture_new(accounts, aliases, rules);
    struct directory_route route;
    (void)state;
    directory_route_in(f.arena, f.table, SLICE("test7@x.test"), true, &route);
    assert_int_equal(route.steps[0].rule, DIRECTORY_RULE_REGEXP);
    assert_string_equal(directory_rule_name(route.steps[0].rule), "expression");
    assert_int_equal(route.steps[0].place->line, 2);
    assert_true(slice_eq(route.steps[0].place->file, SLICE("regexp.cf")));
    directory_route_in(f.arena, f.table, SLICE("a-generated@x.test"), true, &route);
    assert_int_equal(route.steps[0].rule, DIRECTORY_RULE_WILDCARD);
    assert_string_equal(directory_rule_name(route.steps[0].rule), "wildcard");
    assert_int_equal(route.steps[0].place->line, 1);
    assert_string_equal(directory_rule_name(DIRECTORY_RULE_GAVE_UP), "expression gave up");
    arena_free(&f.arena);
}

static void test_owns(void **state)
{
    static const struct {
        const char *account, *address;
        bool owns;
    } rows[] = {
        {"alice@x.test", "a-generated@x.test", true},
        {"bob@x.test", "a-generated@x.test", false},
        {"spam@x.test", "a-generated@x.test", false},
        {"spam@x.test", "free@x.test", true},
        {"bob@x.test", "shop-a-b@x.test", true}, /* beside a target elsewhere */
        {"alice@x.test", "test1@x.test", true},
        {"bob@x.test", "test1@x.test", false},
        {"erik@y.test", "john.smith@y.test", true},
        {"erik@y.test", "free@y.test", false},
        {"erik@y.test", "any@new.test", true},
        {"alice@x.test", "bob@x.test", false},
        {"spam@x.test", "alice@x.test", false},
        {"bob@x.test", "spam@x.test", false},
        {"erik@y.test", "two@y.test", true},
        {"alice@x.test", "archive@far.test", false},
        {"alice@x.test", "theirs@y.test", false}, /* she is our postmaster, not theirs */
        {"spam@x.test", "ours@y.test", true},     /* the catch-all's */
        {"alice@x.test", "postmaster@mail.x.test", true},
    };
    struct fixture f = fixture_new(accounts, aliases, rules);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (directory_owns(f.table, slice_of(rows[i].account), slice_of(rows[i].address)) != rows[i].owns)
            fail_msg("%s as %s", rows[i].account, rows[i].address);
    arena_free(&f.arena);
}

static void test_problems(void **state)
{
    (void)state;
    struct fixture f = fixture_new(accounts, "", "");
    assert_int_equal(f.problems->count, 0);
    arena_free(&f.arena);

    f = fixture_new(accounts, "a*@x.test nobody@x.test\nb*@x.test alice@x.test\nb*@x.test bob@x.test\n",
                    "no expression\n"                  /* 1 */
                    "/unclosed alice@x.test\n"         /* 2 */
                    "/a(/ alice@x.test\n"              /* 3 */
                    "/a/q alice@x.test\n"              /* 4 */
                    "/(a)/ $2@x.test\n"                /* 5 */
                    "/(a)/ $x@x.test ${1@x.test $@x\n" /* 6 */
                    "!/(a)/ $1@x.test\n"               /* 7 */
                    "/alone/\n"                        /* 8 */
                    "/a/ plain\n"                      /* 9 */
                    "endif\n"                          /* 10 */
                    "if /(/\n"                         /* 11 */
                    "/^guarded/ alice@x.test\n"        /* 12 */
                    "endif\n"                          /* 13 */
                    "if /a/ more\n"                    /* 14 */
                    "endif\n"                          /* 15 */
                    "/dead1/ missing@y.test\n"         /* 16 */
                    "/^(bob|alice)@/ erik@y.test\n"    /* 17 */
                    "/^\\C/ alice@x.test\n"            /* 18 */
                    "if/^guarded/\n"                   /* 19 */
                    "endif more\n"                     /* 20 */
                    "if\n"                             /* 21 */
                    "ENDIF\n"                          /* 22 */
                    "iffy\n"                           /* 23 */
                    "endifs\n"                         /* 24 */
                    "if /z/\n");                       /* 25 */
    assert_said(&f, "regexp.cf:1: error: no expression between delimiters", 1);
    assert_said(&f, "regexp.cf:2: error: no expression between delimiters", 1);
    assert_said(&f, "regexp.cf:3: error: missing closing parenthesis (at byte 3 of the expression)", 1);
    assert_said(&f, "regexp.cf:4: error: unknown flag", 1);
    assert_said(&f, "regexp.cf:5: error: a target names a group", 1);
    assert_said(&f, "regexp.cf:6: error: a target names a group", 3);
    assert_said(&f, "regexp.cf:7: error: a target names a group", 1);
    assert_said(&f, "no target on this line; ignored", 5); /* 5, 6, 7, 8, 9 */
    assert_said(&f, "regexp.cf:9: error: a target is no address", 1);
    assert_said(&f, "regexp.cf:10: error: \"endif\" without \"if\"", 1);
    assert_said(&f, "regexp.cf:11: error: missing closing parenthesis", 1);
    assert_said(&f, "regexp.cf:14: warning: what follows the expression of \"if\" is ignored", 1);
    assert_said(&f, "regexp.cf:16: error: target missing@y.test reaches nobody", 1);
    assert_said(&f, "regexp.cf:17: warning: this expression matches the account ", 1);
    assert_said(&f, "regexp.cf:18: error: ", 1);
    assert_said(&f, "regexp.cf:19: ", 0);
    assert_said(&f, "regexp.cf:20: warning: what follows \"endif\" is ignored", 1);
    assert_said(&f, "regexp.cf:21: error: no expression between delimiters", 1);
    assert_said(&f, "regexp.cf:22: ", 0);
    assert_said(&f, "regexp.cf:23: error: no expression between delimiters", 1);
    assert_said(&f, "regexp.cf:24: error: no expression between delimiters", 1);
    assert_said(&f, "regexp.cf:25: error: \"if\" without \"endif\"", 1);
    assert_said(&f, "virtual.cf:1: error: alias a*@x.test reaches nobody", 1);
    assert_said(&f, "virtual.cf:3: warning: alias b*@x.test is also in virtual.cf:2", 1);
    assert_string_equal(route_text(&f, "guarded@x.test"), "UNKNOWN");
    assert_string_equal(route_text(&f, "bob@x.test"), "bob@x.test");
    arena_free(&f.arena);
}

static void test_loops(void **state)
{
    (void)state;
    struct fixture f =
        fixture_new(accounts,
                    "c@x.test a@x.test\na@x.test b@x.test\nb@x.test c@x.test, bob@x.test\n"
                    "d@y.test e@y.test\ne@y.test d@y.test\nsee@y.test d@y.test\n"
                    "*loop@y.test f@y.test\nf@y.test xloop@y.test\n",
                    "/^ping(.*)@y\\.test$/ pong$1@y.test\n/^pong(.*)@y\\.test$/ ping$1@y.test, erik@y.test\n"
                    "/^up/ up@y.test\n");
    assert_said(
        &f, "virtual.cf:2: warning: aliases lead in a circle: a@x.test -> b@x.test -> c@x.test -> a@x.test\n",
        1);
    assert_said(&f, "virtual.cf:4: warning: aliases lead in a circle: d@y.test -> e@y.test -> d@y.test\n", 1);
    assert_said(&f, "virtual.cf:4: error: alias d@y.test reaches nobody", 1);
    assert_said(&f, "virtual.cf:6: error: alias see@y.test reaches nobody", 1);
    assert_said(&f, "virtual.cf:8: warning: aliases lead in a circle: f@y.test -> xloop@y.test -> f@y.test\n",
                1);
    assert_said(&f, "circle", 4 - 1);
    assert_said(&f, "regexp.cf:3: error: target up@y.test reaches nobody", 1);
    assert_string_equal(route_text(&f, "a@x.test"), "bob@x.test");
    assert_string_equal(route_text(&f, "ping1@y.test"), "erik@y.test");
    assert_string_equal(route_text(&f, "up-and-away@y.test"), "UNKNOWN");
    struct directory_route route;
    directory_route_in(f.arena, f.table, SLICE("ping1@y.test"), true, &route);
    assert_true(route.loop);
    bool told = false;
    for (size_t i = 0; i < route.step_count; i++)
        told |= slice_eq(route.steps[i].chain, SLICE("ping1@y.test -> pong1@y.test -> ping1@y.test"));
    assert_true(told);
    arena_free(&f.arena);
}

/* An address that makes a careless expression try for ever costs little, and is told. */
static void test_costs(void **state)
{
    AUTO_BUF struct buf table = buf_new(1 << 20), address = buf_new(1000);
    (void)state;
    for (int i = 0; i < 1000; i++)
        buf_addf(&table, "/^(a|aa)+%d?$/ alice@x.test\n", i);
    buf_add_str(&table, "/^a/ bob@x.test\n");
    buf_add_byte(&table, 0);
    for (int i = 0; i < 100; i++)
        buf_add_byte(&address, 'a');
    buf_add_str(&address, "!@x.test");
    buf_add_byte(&address, 0);
    struct fixture f = fixture_new(accounts, "", (const char *)table.data);
    clock_t begin = clock();
    assert_string_equal(route_text(&f, (const char *)address.data), "UNKNOWN");
    assert_true(clock() - begin < CLOCKS_PER_SEC / 2); /* some milliseconds; seconds without the bounds */
    struct directory_route route;
    directory_route_in(f.arena, f.table, slice_of((const char *)address.data), true, &route);
    assert_int_equal(route.steps[0].rule, DIRECTORY_RULE_GAVE_UP);
    assert_string_equal(route_text(&f, "ab@x.test"), "bob@x.test");
    arena_free(&f.arena);

    /* many targets behind each other end in "too many", not in more memory */
    buf_clear(&table);
    buf_add_str(&table, "/^(.*)@x\\.test$/");
    for (int i = 0; i < DIRECTORY_RULE_TARGETS_MAX + 5; i++)
        buf_addf(&table, " %d$1@x.test", i);
    buf_add_byte(&table, 0);
    f = fixture_new("erik@y.test|1\n", "zz@x.test erik@y.test\n", (const char *)table.data);
    assert_said(&f, "regexp.cf:1: error: too many targets", 1);
    assert_string_equal(route_text(&f, "free@x.test"), "TOO MANY");
    assert_false(directory_owns(f.table, SLICE("erik@y.test"), SLICE("free@x.test")));
    arena_free(&f.arena);
}

static void test_compare_postfix(void **state)
{
    struct seen seen = {.len = 0};
    struct fixture f =
        fixture_new("a@x.test|1\nb@x.test|2\n", "b@x.test b@x.test\n", "/^.@x\\.test$/ c@far.test\n");
    (void)state;
    assert_int_equal(directory_compare_postfix(f.table, note, &seen), 1);
    assert_string_equal(seen.text, "a@x.test: a@x.test | c@far.test\n");
    arena_free(&f.arena);
}

static void test_wildcard(void **state)
{
    static const struct {
        const char *wildcard, *text;
        bool matches;
    } rows[] = {
        {"*", "", true},
        {"*", "abc", true},
        {"a*", "a", true},
        {"a*", "b", false},
        {"*a", "bca", true},
        {"*a", "bcab", false},
        {"a*b*c", "abc", true},
        {"a*b*c", "axxbyybzc", true},
        {"a*b*c", "acb", false},
        {"**", "x", true},
        {"", "", true},
        {"", "a", false},
        {"*-generated", "x-generated", true},
        {"*-generated", "generated", false},
        {"a*a", "a", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (pattern_wildcard(slice_of(rows[i].wildcard), slice_of(rows[i].text)) != rows[i].matches)
            fail_msg("%s, %s", rows[i].wildcard, rows[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),          cmocka_unit_test(test_steps),    cmocka_unit_test(test_owns),
        cmocka_unit_test(test_problems),        cmocka_unit_test(test_loops),    cmocka_unit_test(test_costs),
        cmocka_unit_test(test_compare_postfix), cmocka_unit_test(test_wildcard),
    };
    return cmocka_run_group_tests_name("match", tests, NULL, NULL);
}
