/* What an operator types behind `rockdove queue`. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "queue/command.h"

static enum err parse(const char *line, struct queue_command *command, struct why *why)
{
    static struct slice words[100];
    struct slice rest = slice_of(line);
    size_t count = 0;
    while (count < 100 && slice_token(&rest, ' ', &words[count]))
        count++;
    return queue_command_parse(words, count, command, why);
}

static void good(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        struct queue_command want;
    } table[] = {
        {"list", {.verb = QUEUE_LIST, .state = -1}},
        {"list --limit 7 --older 90s", {.verb = QUEUE_LIST, .state = -1, .limit = 7, .older_ms = 90000}},
        {"flush", {.verb = QUEUE_FLUSH, .state = -1}},
        {"destinations --limit 7", {.verb = QUEUE_DESTINATIONS, .state = -1, .limit = 7}},
        {"retry --all", {.verb = QUEUE_RETRY, .state = -1, .all = true}},
        {"hold --state deferred", {.verb = QUEUE_HOLD, .state = QUEUE_DEFERRED}},
        {"delete --sender <>", {.verb = QUEUE_DELETE, .state = -1, .has_sender = true}},
        {"bounce --newer 2d 0123456789abcde",
         {.verb = QUEUE_BOUNCE, .state = -1, .newer_ms = 172800000, .id_count = 1}},
        {"show 0123456789abcde 0123456789abcdf", {.verb = QUEUE_SHOW, .state = -1, .id_count = 2}},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct queue_command c;
        struct why why = {0};
        if (parse(table[i].line, &c, &why) != ERR_OK)
            fail_msg("%s: %s", table[i].line, why.text);
        const struct queue_command *w = &table[i].want;
        assert_int_equal(c.verb, w->verb);
        assert_int_equal(c.state, w->state);
        assert_int_equal(c.all, w->all);
        assert_int_equal(c.has_sender, w->has_sender);
        assert_int_equal(c.older_ms, w->older_ms);
        assert_int_equal(c.newer_ms, w->newer_ms);
        assert_int_equal(c.limit, w->limit);
        assert_int_equal(c.id_count, w->id_count);
    }
}

static void texts(void **state)
{
    (void)state;
    struct queue_command c;
    struct why why;
    assert_int_equal(
        parse("retry --sender jane@example.org --recipient @example.net --domain @example.net --reason full",
              &c, &why),
        ERR_OK);
    assert_true(slice_eq(c.sender, SLICE("jane@example.org")));
    assert_true(slice_eq(c.recipient, SLICE("@example.net")));
    assert_true(slice_eq(c.domain, SLICE("example.net")));
    assert_true(slice_eq(c.reason, SLICE("full")));
}

/* Nothing is changed by a command that was not understood, or that selects nothing. */
static void bad(void **state)
{
    (void)state;
    static const char *const lines[] = {"",
                                        "lst",
                                        "delete",
                                        "delete --limit 3",
                                        "retry --limit 3 --all",
                                        "retry --all 0123456789abcde",
                                        "retry --all --domain example.net",
                                        "hold --state nonsense",
                                        "hold --older 3",
                                        "hold --older 0",
                                        "hold --older",
                                        "hold --domain",
                                        "hold --recipient nobody",
                                        "hold --domain a@b",
                                        "hold --everything",
                                        "hold 0123456789ABCDE",
                                        "hold 0123456789abcd",
                                        "show",
                                        "show --all",
                                        "show --domain example.net",
                                        "flush --all",
                                        "destinations --all",
                                        "destinations --domain example.net",
                                        "destinations 0123456789abcde",
                                        "list --limit 0",
                                        "list --limit x"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct queue_command c = {.verb = QUEUE_SHOW};
        struct why why = {0};
        if (parse(lines[i], &c, &why) != ERR_BAD)
            fail_msg("taken: %s", lines[i]);
        assert_true(why.text[0] != '\0');
        assert_int_equal(c.verb, QUEUE_SHOW);
    }
}

static void many_ids(void **state)
{
    (void)state;
    char line[2000] = "retry";
    struct queue_command c;
    struct why why;
    size_t len = strlen(line);
    for (int i = 0; i < COMMAND_IDS_MAX; i++, len += 16)
        memcpy(line + len, " 0123456789abcde", 17);
    assert_int_equal(parse(line, &c, &why), ERR_OK);
    memcpy(line + len, " 0123456789abcde", 17);
    assert_int_equal(parse(line, &c, &why), ERR_BAD);
}

static void names(void **state)
{
    (void)state;
    for (int i = 0; i < QUEUE_STATE_COUNT; i++)
        assert_int_equal(queue_state_by_name(slice_of(queue_state_name((enum queue_state)i))), i);
    assert_int_equal(queue_state_by_name(SLICE("HELD")), QUEUE_HELD);
    assert_int_equal(queue_state_by_name(SLICE("")), -1);
    assert_string_equal(queue_verb_name(QUEUE_RELEASE), "release");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(good), cmocka_unit_test(texts), cmocka_unit_test(bad),
                                       cmocka_unit_test(many_ids), cmocka_unit_test(names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
