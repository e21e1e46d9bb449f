/* Address lists of header fields: the best reading. Each item is written "display|local|domain", groups
 * "{name" and "}". */
#include "check.h"
#include "grammar/address.h"

static struct slice render(struct arena *arena, const struct address_list *list)
{
    struct slice text = SLICE_EMPTY;
    for (size_t i = 0; i < list->count; i++) {
        const struct address_item *it = list->items + i;
        const char *comma = i ? "," : "";
        if (it->kind == ADDRESS_GROUP_START)
            text = arena_printf(arena, "%.*s%s{%.*s", SLICE_ARG(text), comma, SLICE_ARG(it->local));
        else if (it->kind == ADDRESS_GROUP_END)
            text = arena_printf(arena, "%.*s%s}", SLICE_ARG(text), comma);
        else
            text = arena_printf(arena, "%.*s%s%.*s|%.*s|%.*s", SLICE_ARG(text), comma, SLICE_ARG(it->display),
                                SLICE_ARG(it->local), SLICE_ARG(it->domain));
    }
    return text;
}

static void test_readings(void **state)
{
    (void)state;
    static const struct {
        const char *value, *wanted;
    } rows[] = {
        {"", ""},
        {"joe@x", "|joe|x"},
        {" joe@x \r\n", "|joe|x"},
        {"Joe <joe@x>", "Joe|joe|x"},
        {"a@b, c@d,e@f", "|a|b,|c|d,|e|f"},
        /* RFC 5322 appendix A.1.2, A.1.3, A.5, A.6.1 */
        {"\"Joe Q. Public\" <john.q.public@example.com>", "Joe Q. Public|john.q.public|example.com"},
        {"Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
         "Mary Smith|mary|x.test,|jdoe|example.org,Who?|one|y.test"},
        {"<boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sysservices@example.net>",
         "|boss|nil.test,Giant; \"Big\" Box|sysservices|example.net"},
        {"A Group:Ed Jones <joe@where.test>,joe@where.test,John <jdoe@one.test>;",
         "{A Group,Ed Jones|joe|where.test,|joe|where.test,John|jdoe|one.test,}"},
        {"Undisclosed recipients:;", "{Undisclosed recipients,}"},
        {"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "Pete|pete|silly.test"},
        {"A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n "
         "joe@example.org,\r\n John "
         "<jdoe@one.test> (my dear friend); (the end of the group)",
         "{A Group,Chris Jones|c|public.example,|joe|example.org,John|jdoe|one.test,}"},
        {"(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;", "{Hidden recipients,}"},
        {"Joe Q. Public <john.q.public@example.com>", "Joe Q. Public|john.q.public|example.com"},
        {"Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example",
         "Mary Smith|mary|example.net,|jdoe|test.example"},
        /* names in comments, encoded words, odd quoting */
        {"joe@x (Joe Doe)", "Joe Doe|joe|x"},
        {"joe@x (Joe \\(D\\) (x))", "Joe (D) (x)|joe|x"},
        {"=?utf-8?q?J=C3=B6rg?= =?utf-8?q?_M?= <j@x>", "=?utf-8?q?J=C3=B6rg?= =?utf-8?q?_M?=|j|x"},
        {"\"=?utf-8?q?J=C3=B6rg?=\" <j@x>", "=?utf-8?q?J=C3=B6rg?=|j|x"},
        {"J\xc3\xb6rg <j@x>", "J\xc3\xb6rg|j|x"},
        {"\"Doe, Joe\" <joe@x>", "Doe, Joe|joe|x"},
        {"'Joe' <joe@x>", "'Joe'|joe|x"},
        {"joe@x <joe@x>", "joe@x|joe|x"},
        {"\"joe@x\" <joe@x>", "joe@x|joe|x"},
        {"\"a b\"@x", "|a b|x"},
        {"<\"a>b\"@x>", "|a>b|x"},
        {"\"a@b\"@x", "|a@b|x"},
        {"Joe\r\n\t<joe@x>", "Joe|joe|x"},
        {"joe @ x . y", "|joe|x.y"},
        {"joe@[192.0.2.1]", "|joe|[192.0.2.1]"},
        {"a@b; c@d", "|a|b,|c|d"},
        /* broken */
        {"joe", "|joe|"},
        {"John Doe", "|John Doe|"},
        {"Joe joe@x", "Joe|joe|x"},
        {"joe@x Joe", "Joe|joe|x"},
        {"Joe <joe@x", "Joe|joe|x"},
        {"Joe <joe@x, Ann <ann@y>", "Joe|joe|x,Ann|ann|y"},
        {"Joe <joe@x>>", "Joe|joe|x"},
        {"Joe <<joe@x>>", "Joe|joe|x"},
        {"Joe <>", "Joe||"},
        {"<>", ""},
        {"<> (Joe)", ""},
        {"Doe, Joe <joe@x>", "|Doe|,Joe|joe|x"},
        {"\"Joe <joe@x>", "\"Joe|joe|x"},
        {"Joe (x <joe@x>", "Joe (x|joe|x"},
        {"a@b@c", "|a@b|c"},
        {"@", ""},
        {"@x", "||x"},
        {"joe@", "|joe|"},
        {",,,;;;", ""},
        {":", "|:|"},
        {"g:a@b", "{g,|a|b,}"},
        {"g:h:a@b;", "{g,|h:a|b,}"},
        {"g:;h:a@b;", "{g,},{h,|a|b,}"},
        {"g:a@b;c@d", "{g,|a|b,},|c|d"},
        {"(comment)", ""},
        {"\"", "|\"|"},
        {"\\", "|\\|"},
        {"\"\\", "|\"\\|"},
        {"<", ""},
        {">", "|>|"},
        {"mailto:joe@x", "{mailto,|joe|x,}"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        struct address_list list;
        address_list_parse_in(arena, slice_of(rows[i].value), 100, &list);
        assert_text(render(arena, &list), rows[i].wanted, i);
        assert_false(list.truncated);
    }
}

static void test_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        size_t max;
        const char *wanted;
    } rows[] = {
        {"a@b,c@d,e@f", 2, "|a|b,|c|d"}, {"a@b,c@d", 0, ""}, {"g:a@b,c@d;", 2, "{g,}"},
        {"g:a@b,c@d;", 3, "{g,|a|b,}"},  {"g:a@b;", 1, ""},  {"a@b,g:c@d;", 2, "|a|b"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        struct address_list list;
        address_list_parse_in(arena, slice_of(rows[i].value), rows[i].max, &list);
        assert_text(render(arena, &list), rows[i].wanted, i);
        assert_row(list.truncated, i);
    }
}

/* Runs of one opening byte must not take quadratic time: 256 KiB each, in well under the test's time limit.
 */
static void test_hostile_runs(void **state)
{
    (void)state;
    static const char *const runs[] = {"(", "\"",  "<",   "\\\"", "\"\\", "@",  ",", ":",
                                       ";", "(\"", "<\"", "\"<",  "(\\",  "a:", "<,"};
    static char value[256 * 1024];
    for (size_t i = 0; i < COUNT(runs); i++) {
        size_t len = strlen(runs[i]);
        for (size_t k = 0; k < sizeof value; k++)
            value[k] = runs[i][k % len];
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        struct address_list list;
        address_list_parse_in(arena, slice_make(value, sizeof value), ADDRESS_LIST_MAX, &list);
        assert_row(list.count <= ADDRESS_LIST_MAX, i);
    }
}

static void test_text(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct address_item item = {.local = SLICE("a b"), .domain = SLICE("x")};
    assert_text(address_item_text_in(arena, &item), "\"a b\"@x", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readings),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_hostile_runs),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
