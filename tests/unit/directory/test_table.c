/* The address table: where mail goes, who may send as, what does not fit, and what Postfix would do. */

#include "fixture.h"

#include "base/clock.h"

static const char accounts[] = "# our people\n"
                               "alice@example.org|{SHA512-CRYPT}$6$a\r\n"
                               "Bob@Example.ORG|{SHA512-CRYPT}$6$b|userdb_quota_rule=*:bytes=5M\n"
                               "\n"
                               "   carol@example.org|$2y$05$c\n"
                               "spam@example.org|{PLAIN}s\n"
                               "dora@b\xc3\xbc"
                               "cher.example|x\n"
                               "erik@example.net|x"; /* no last line end */

static const char aliases[] = "alice@example.org alice@example.org\n"
                              "info@example.org alice@example.org, bob@example.org\n"
                              "sales@example.org info@example.org,sales@elsewhere.test\n"
                              "bob@example.org bob@example.org bob@home.test\n"
                              "carol@example.org alice@example.org\n"
                              "@example.org spam@example.org\n"
                              "loop1@example.net loop2@example.net\n"
                              "loop2@example.net loop1@example.net\n"
                              "nobody@example.net missing@example.net\n"
                              "away@example.net someone@far.test\n"
                              "self@example.net self@example.net\n"
                              "abuse alice@example.org\n"
                              "@moved.example @example.org\n"
                              "tagged@example.net erik+list@example.net\n";

static struct settings_domain domains[] = {{.name = {(const uint8_t *)"Third.Example", 13}}};
static struct slice granted[] = {{(const uint8_t *)"office@far.test", 15},
                                 {(const uint8_t *)"@granted.test", 13}};
static struct settings_sender_grant grants[] = {
    {.account = {(const uint8_t *)"erik@example.net", 16}, .addresses = {granted, 2}}};

static struct fixture fixture_new(const char *accounts_text, const char *aliases_text)
{
    struct fixture f = {.arena = arena_new(64 << 20)};
    f.problems = problems_new_in(f.arena);
    f.settings.hostname = SLICE("mail.example.org");
    f.settings.domains.items = domains;
    f.settings.domains.count = 1;
    f.settings.sender_grants.items = grants;
    f.settings.sender_grants.count = 1;
    f.settings.quota.account = 1000;
    struct directory_input *input = directory_input_new_in(f.arena, f.problems);
    directory_read_accounts(input, slice_of(accounts_text), SLICE("accounts.cf"), true);
    directory_read_virtual(input, slice_of(aliases_text), SLICE("virtual.cf"));
    directory_read_quotas(input, SLICE("alice@example.org:50M\nghost@example.org:1G\n"), SLICE("quotas.cf"));
    f.table = directory_table_new_in(f.arena, input, &f.settings, NULL, SLICE("rockdove.yaml"));
    return f;
}

/* "local:tag" and "remote" targets joined by blanks, or the outcome. */
static const char *route_text(struct fixture *f, const char *address)
{
    static char text[2000];
    static const char *const outcomes[] = {"", "UNKNOWN", "", "TOO MANY", "INVALID"};
    struct directory_route route;
    directory_route_in(f->arena, f->table, slice_of(address), true, &route);
    size_t len = (size_t)snprintf(text, sizeof text, "%s%s", outcomes[route.outcome],
                                  route.outcome == DIRECTORY_REMOTE ? "REMOTE " : "");
    for (size_t i = 0; i < route.count && len < sizeof text; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s%.*s%s%.*s", i ? " " : "",
                                route.targets[i].local ? "" : ">", SLICE_ARG(route.targets[i].address),
                                route.targets[i].tag.len ? "+" : "", SLICE_ARG(route.targets[i].tag));
    if (route.outcome != DIRECTORY_INVALID)
        assert_true(route.step_count > 0);
    return text;
}

static void test_routes(void **state)
{
    (void)state;
    static const struct {
        const char *address, *expected;
    } rows[] = {
        {"alice@example.org", "alice@example.org"}, /* an alias to itself is harmless */
        {"ALICE@EXAMPLE.ORG", "alice@example.org"},
        {"alice+Tag@example.org", "alice@example.org+tag"},
        {"info@example.org", "alice@example.org bob@example.org >bob@home.test"},
        {"sales@example.org", "alice@example.org bob@example.org >bob@home.test >sales@elsewhere.test"},
        {"sales+x@example.org", "alice@example.org+x bob@example.org+x >bob@home.test >sales@elsewhere.test"},
        {"bob@example.org", "bob@example.org >bob@home.test"},
        {"carol@example.org", "carol@example.org"}, /* the alias that would take her mail is ignored */
        {"free@example.org", "spam@example.org"},
        {"free+tag@example.org", "spam@example.org"},
        {"free@example.net", "UNKNOWN"}, /* no catch-all there */
        {"dora@b\xc3\xbc"
         "cher.example",
         "dora@xn--bcher-kva.example"},
        {"Dora@XN--BCHER-KVA.example", "dora@xn--bcher-kva.example"},
        {"loop1@example.net", "UNKNOWN"},
        {"nobody@example.net", "UNKNOWN"},
        {"self@example.net", "UNKNOWN"},
        {"away@example.net", ">someone@far.test"},
        {"tagged@example.net", "erik@example.net+list"},
        {"x@far.test", "REMOTE >x@far.test"},
        {"alice@moved.example", "alice@example.org"},
        {"zzz@moved.example", "spam@example.org"},
        {"postmaster", "alice@example.org"},
        {"Postmaster@mail.example.org", "alice@example.org"},
        {"postmaster@example.net", "alice@example.org"},
        {"postmaster@third.example", "alice@example.org"},
        {"postmaster@example.org", "spam@example.org"}, /* the catch-all comes first */
        {"abuse@mail.example.org", "alice@example.org"},
        {"other@mail.example.org", "UNKNOWN"},
        {"other@third.example", "UNKNOWN"},
        {"not an address", "INVALID"},
        {"", "INVALID"},
        {"@example.org", "INVALID"},
    };
    struct fixture f = fixture_new(accounts, aliases);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *got = route_text(&f, rows[i].address);
        if (strcmp(got, rows[i].expected) != 0)
            fail_msg("%s: \"%s\", expected \"%s\"", rows[i].address, got, rows[i].expected);
    }
    assert_int_equal(directory_account(f.table, SLICE("Alice@example.org"))->quota, 50 << 20);
    assert_int_equal(directory_account(f.table, SLICE("bob@example.org"))->quota, 5 << 20);
    assert_true(
        slice_eq(directory_account(f.table, SLICE("carol@example.org"))->entry->secret, SLICE("$2y$05$c")));
    assert_null(directory_account(f.table, SLICE("alice+x@example.org")));
    assert_null(directory_account(f.table, SLICE("info@example.org")));
    assert_int_equal(directory_table_accounts(f.table), 6);
    assert_true(directory_is_domain(f.table, SLICE("THIRD.example")));
    assert_true(directory_is_domain(f.table, SLICE("moved.example")));
    assert_false(directory_is_domain(f.table, SLICE("far.test")));
    arena_free(&f.arena);
}

static void test_owns(void **state)
{
    (void)state;
    static const struct {
        const char *account, *address;
        bool owns;
    } rows[] = {
        {"alice@example.org", "alice@example.org", true},
        {"Alice@Example.org", "ALICE+x@example.org", true},
        {"alice@example.org", "info@example.org", true},
        {"bob@example.org", "info@example.org", true},
        {"alice@example.org", "sales@example.org", true}, /* through info */
        {"carol@example.org", "info@example.org", false},
        {"alice@example.org", "carol@example.org", false}, /* whatever her ignored alias says */
        {"bob@example.org", "alice@example.org", false},
        {"spam@example.org", "free@example.org", true}, /* owner of the catch-all */
        {"spam@example.org", "alice@example.org", false},
        {"spam@example.org", "info@example.org", false},
        {"alice@example.org", "free@example.org", false},
        {"spam@example.org", "free@example.net", false},
        {"erik@example.net", "office@far.test", true},
        {"erik@example.net", "any@granted.test", true},
        {"alice@example.org", "any@granted.test", false},
        {"alice@example.org", "x@far.test", false},
        {"alice@example.org", "postmaster@example.net", true},
        {"erik@example.net", "postmaster@example.net", false},
        {"erik@example.net", "", true},
        {"", "alice@example.org", false},
    };
    struct fixture f = fixture_new(accounts, aliases);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (directory_owns(f.table, slice_of(rows[i].account), slice_of(rows[i].address)) != rows[i].owns)
            fail_msg("%s as %s", rows[i].account, rows[i].address);
    arena_free(&f.arena);
}

static void test_problems(void **state)
{
    (void)state;
    struct fixture f = fixture_new(accounts, aliases);
    assert_said(&f,
                "virtual.cf:5: warning: alias \"carol@example.org alice@example.org\" would take all mail of "
                "the account "
                "\"carol@example.org\" (accounts.cf:5) to another account; ignored\n    remove the line; or, "
                "for copies",
                1);
    assert_said(&f, "virtual.cf:7: error: alias loop1@example.net reaches nobody", 1);
    assert_said(&f, "virtual.cf:9: error: alias nobody@example.net reaches nobody", 1);
    assert_said(&f, "quotas.cf:2: warning: quota for ghost@example.org, which is no account", 1);
    assert_said(&f, "example.org\" reaches nobody", 0);
    arena_free(&f.arena);

    f = fixture_new(
        "a@x.test|1\nA@X.test|2\na@x.test|1\nno-at|1\nb@x.test|\nc@x.test\n|x\n",
        "i@x.test a@x.test\ni@x.test b@far.test\n@x.test a@x.test\n@x.test q@x.test\nj@x.test\nk@x.test "
        "plain\n"
        "bad@@x.test a@x.test\nm@x.test a@x.test\n  ,b@far.test\n# c\n\n\tc@far.test\n,\n|x y@z\n"
        "also@@x.test a@x.test\n n@x.test b@far.test\n");
    assert_said(&f,
                "accounts.cf:2: error: account A@X.test is also in accounts.cf:1 with another password; the "
                "first counts",
                1);
    assert_said(&f, "accounts.cf:3: warning: account a@x.test is also in accounts.cf:1; the first counts", 1);
    assert_said(&f, "accounts.cf:4: error: account \"no-at\" is no address", 1);
    assert_said(&f, "no password hash on this line", 2);
    assert_said(&f, "accounts.cf:7: error: account \"\" is no address", 1);
    assert_said(&f, "virtual.cf:2: warning: alias i@x.test is also in virtual.cf:1", 1);
    assert_said(&f, "virtual.cf:4: warning: alias @x.test is also in virtual.cf:3", 1);
    assert_said(&f, "virtual.cf:5: error: no target on this line", 1);
    assert_said(&f, "virtual.cf:6: error: target \"plain\" is no address", 1);
    assert_said(&f, "virtual.cf:7: error: alias \"bad@@x.test\" is no address", 1);
    assert_string_equal(route_text(&f, "m@x.test"), "a@x.test >b@far.test >c@far.test");
    /* what goes on with a line that cannot be read is no alias of its own */
    assert_string_equal(route_text(&f, "n@x.test"), "a@x.test"); /* the catch-all */
    arena_free(&f.arena);
}

/* What Dovecot's extra fields say of quotas; a file of quotas goes before them. */
static void test_quotas(void **state)
{
    static const struct {
        const char *extra;
        uint64_t quota;
    } rows[] = {
        {"userdb_quota_rule=*:storage=5M", 5 << 20},
        {"userdb_quota_rule=*:bytes=5M", 5 << 20},
        {"userdb_quota_rule=*:storage=5", 5 << 10},
        {"userdb_quota_rule=*:bytes=5", 5},
        {"userdb_quota_rule=*:bytes=0", 0},
        {"nologin userdb_quota_rule=*:storage=2G x=y", 2ull << 30},
        {"userdb_quota_rule=Trash:storage=+1M", 1000},
        {"userdb_quota_rule2=*:bytes=5", 1000},
        {"userdb_quota_rule=*:bytes=1 userdb_quota_rule=*:bytes=2k", 2048},
        {"userdb_quota_rule=*:messages=5", 1000},
        {"userdb_quota_rule=*:bytes=many", 1000},
        {"userdb_quota_rule=*:storage=", 1000},
        {"", 1000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char line[200];
        (void)snprintf(line, sizeof line, "q@x.test|1|%s\nalice@example.org|1|%s\n", rows[i].extra,
                       rows[i].extra);
        struct fixture f = fixture_new(line, "");
        if (directory_account(f.table, SLICE("q@x.test"))->quota != rows[i].quota)
            fail_msg("%s", rows[i].extra);
        assert_int_equal(directory_account(f.table, SLICE("alice@example.org"))->quota, 50 << 20);
        assert_said(&f, "quota rule of this line is not understood", i >= 9 && i <= 11 ? 2 : 0);
        arena_free(&f.arena);
    }
}

/* The same address in two sources. */
static void test_two_sources(void **state)
{
    (void)state;
    struct arena *arena = arena_new(64 << 20);
    struct problems *problems = problems_new_in(arena);
    struct directory_input *input = directory_input_new_in(arena, problems);
    struct settings_domain said[] = {{.name = SLICE("x.test"), .catch_all = SLICE("b@x.test")}};
    struct settings settings = {
        .hostname = SLICE("m.x.test"), .domains = {said, 1}, .postmaster = SLICE("b@x.test")};
    directory_read_accounts(input, SLICE("a@x.test|1\nb@x.test|2\n"), SLICE("one.cf"), true);
    directory_read_accounts_json(
        input, SLICE("{\"a@x.test\": \"1\", \"b@x.test\": \"other\", \"c@x.test\": 5, \"d@x.test\": \"d\"}"),
        SLICE("two.json"), true);
    directory_read_accounts_json(input, SLICE("{\"e@x.test\": \"geheim\", \"e@x.test\": \"2\"}"),
                                 SLICE("three.json"), true);
    directory_read_accounts_json(input, SLICE("[1]"), SLICE("four.json"), true);
    directory_read_virtual(input, SLICE("@x.test a@x.test\ni@x.test a@x.test\n"), SLICE("one.virtual"));
    directory_read_virtual(input, SLICE("i@x.test b@x.test\n"), SLICE("two.virtual"));
    directory_add_account(input, SLICE("made@x.test"), SLICE("m"), SLICE("database"));
    struct fixture f = {.arena = arena, .problems = problems};
    f.table = directory_table_new_in(arena, input, &settings, NULL, SLICE("rockdove.yaml"));
    assert_said(&f, "two.json: error: account b@x.test is also in one.cf:2 with another password", 1);
    assert_said(&f, "account a@x.test", 0);
    assert_said(&f, "two.json: error: account \"c@x.test\" has no password", 1);
    assert_said(&f, "three.json:1: error: the same address twice", 1);
    assert_said(&f, "geheim", 0);
    assert_said(&f, "four.json:1: error: not a JSON object", 1);
    assert_said(&f,
                "rockdove.yaml: error: alias @x.test is also in one.virtual:1, with other targets: \"@x.test "
                "a@x.test\"",
                1);
    assert_said(&f, "two.virtual:1: error: alias i@x.test is also in one.virtual:2", 1);
    assert_string_equal(route_text(&f, "d@x.test"), "d@x.test");
    assert_string_equal(route_text(&f, "made@x.test"), "made@x.test");
    assert_string_equal(route_text(&f, "postmaster"), "b@x.test");
    arena_free(&arena);
}

static void test_compare_postfix(void **state)
{
    (void)state;
    struct seen seen = {.len = 0};
    struct fixture f = fixture_new(
        "a@x.test|1\nb@x.test|2\nc@x.test|3\nd@y.test|4\nspam@x.test|5\n",
        "@x.test spam@x.test\nb@x.test b@x.test\nc@x.test a@x.test\nd@y.test d@y.test,d@far.test\n"
        "i@y.test d@y.test\n");
    size_t count = directory_compare_postfix(f.table, note, &seen);
    assert_string_equal(
        seen.text, "a@x.test: a@x.test | spam@x.test\n"   /* no identity alias: the catch-all takes it */
                   "c@x.test: c@x.test | spam@x.test\n"); /* its alias is ignored here, goes to a's there */
    assert_int_equal(count, 2);
    arena_free(&f.arena);
}

/* Chains and fans that would grow without end. */
static void test_bounds(void **state)
{
    (void)state;
    AUTO_BUF struct buf text = buf_new(4 << 20);
    for (int i = 0; i < 40; i++)
        buf_addf(&text, "c%d@x.test c%d@x.test\n", i, i + 1);
    for (int i = 0; i < 12; i++) {
        buf_addf(&text, "f%d@x.test", i);
        for (int j = 0; j < 20; j++)
            buf_addf(&text, "%sf%d@x.test,f%d_%d@far.test", j ? "," : " ", i + 1, i, j);
        buf_add_byte(&text, '\n');
    }
    buf_add_str(&text, "many@x.test a@x.test");
    for (int i = 0; i < 1500; i++)
        buf_addf(&text, ",t%d@far.test", i);
    buf_add_str(&text, "\n");
    buf_add_byte(&text, 0);
    struct fixture f = fixture_new("a@x.test|1\n", (const char *)text.data);
    assert_string_equal(route_text(&f, "c0@x.test"), "TOO MANY");
    assert_string_equal(route_text(&f, "c30@x.test"), "UNKNOWN");
    struct directory_route route;
    directory_route_in(f.arena, f.table, SLICE("f0@x.test"), false, &route);
    assert_int_equal(route.outcome, DIRECTORY_TOO_MANY);
    assert_false(directory_owns(f.table, SLICE("a@x.test"), SLICE("f0@x.test")));
    directory_route_in(f.arena, f.table, SLICE("many@x.test"), false, &route);
    assert_int_equal(route.count, DIRECTORY_TARGETS_MAX);
    assert_said(&f, "more than 1000 targets", 1);
    arena_free(&f.arena);
}

static void test_large(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    AUTO_BUF struct buf text = buf_new(16 << 20), virtual = buf_new(16 << 20);
    for (int i = 0; i < MANY; i++) {
        buf_addf(&text, "user%d@example.org|$6$x\n", i);
        buf_addf(&virtual, "alias%d@example.org user%d@example.org\n", i, i);
    }
    buf_add_byte(&text, 0);
    buf_add_byte(&virtual, 0);
    struct fixture f = fixture_new((const char *)text.data, (const char *)virtual.data);
    assert_int_equal(f.problems->errors, 0);
    uint64_t begin = clock_mono_ns();
    for (int i = 0; i < 2000; i++) {
        AUTO_ARENA struct arena *arena = arena_new(1 << 20);
        struct directory_route route;
        char address[64];
        int len = snprintf(address, sizeof address, "Alias%d@example.org", i * 7);
        directory_route_in(arena, f.table, slice_make(address, (size_t)len), false, &route);
        assert_int_equal(route.count, 1);
    }
    uint64_t each = (clock_mono_ns() - begin) / 2000;
    assert_true(each < 2000000); /* generous: sanitizers, busy machines; a scan over all would be far above */
    arena_free(&f.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),      cmocka_unit_test(test_owns),
        cmocka_unit_test(test_problems),    cmocka_unit_test(test_quotas),
        cmocka_unit_test(test_two_sources), cmocka_unit_test(test_compare_postfix),
        cmocka_unit_test(test_bounds),      cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
