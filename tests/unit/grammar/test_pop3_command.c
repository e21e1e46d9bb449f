/* POP3 command lines: what they mean, or what is wrong with them. */
#include "check.h"
#include "grammar/pop3_command.h"

static const struct {
    const char *line;
    enum pop3_verb verb;
    const char *wrong;  /* NULL: right */
    const char *wanted; /* "text=… initial=… number=… lines=…" of what is set */
} rows[] = {
    {"STAT", POP3_STAT, NULL, ""},
    {"stat ", POP3_STAT, NULL, ""},
    {"STAT 1", POP3_STAT, "Command takes no argument", ""},
    {"", POP3_UNKNOWN, "Command not recognised", ""},
    {" STAT", POP3_UNKNOWN, "Command not recognised", ""},
    {"STATS", POP3_UNKNOWN, "Command not recognised", ""},
    {"STAT\t", POP3_UNKNOWN, "Command not recognised", ""},
    {"APOP mrose c4c9334bac560ecc979e58001b3e22fb", POP3_UNKNOWN, "Command not recognised", ""},
    {"?", POP3_UNKNOWN, "Command not recognised", ""},
    {"LIST", POP3_LIST, NULL, ""},
    {"LIST 2", POP3_LIST, NULL, "number=2"},
    {"list 2  ", POP3_LIST, NULL, "number=2"},
    {"LIST 0", POP3_LIST, "Command needs the number of a message", ""},
    {"LIST 2 3", POP3_LIST, "Command needs the number of a message", ""},
    {"UIDL 007", POP3_UIDL, NULL, "number=7"},
    {"RETR 4294967295", POP3_RETR, NULL, "number=4294967295"},
    {"RETR 18446744073709551617", POP3_RETR, NULL, "number=4294967295"},
    {"RETR", POP3_RETR, "Command needs the number of a message", ""},
    {"RETR  1", POP3_RETR, "Command needs the number of a message", ""},
    {"DELE -1", POP3_DELE, "Command needs the number of a message", ""},
    {"DELE 1x", POP3_DELE, "Command needs the number of a message", ""},
    {"TOP 1 10", POP3_TOP, NULL, "number=1 lines=10"},
    {"TOP 1 0", POP3_TOP, NULL, "number=1 lines=0"},
    {"TOP 1 99999999999", POP3_TOP, NULL, "number=1 lines=4294967295"},
    {"TOP 1", POP3_TOP, "Syntax: TOP message lines", ""},
    {"TOP 0 1", POP3_TOP, "Syntax: TOP message lines", ""},
    {"TOP 1 2 3", POP3_TOP, "Syntax: TOP message lines", ""},
    {"USER mrose", POP3_USER, NULL, "text=mrose"},
    {"USER", POP3_USER, "Command needs an argument", ""},
    {"USER \xc3\xbc@example.org", POP3_USER, NULL, "text=\xc3\xbc@example.org"},
    {"USER \xff", POP3_USER, "Argument is not UTF-8", ""},
    {"PASS  two blanks ", POP3_PASS, NULL, "text= two blanks "}, /* RFC 1939 section 7 */
    {"PASS ", POP3_PASS, "Command needs an argument", ""},
    {"AUTH", POP3_AUTH, NULL, "text="},
    {"AUTH PLAIN", POP3_AUTH, NULL, "text=PLAIN"},
    {"AUTH PLAIN dGVzdAB0ZXN0AHRlc3Q=", POP3_AUTH, NULL, "text=PLAIN initial=dGVzdAB0ZXN0AHRlc3Q="},
    {"AUTH PLAIN =", POP3_AUTH, NULL, "text=PLAIN initial="},
    {"UTF8", POP3_UTF8, NULL, ""},
    {"CAPA", POP3_CAPA, NULL, ""},
    {"STLS", POP3_STLS, NULL, ""},
    {"QUIT", POP3_QUIT, NULL, ""},
};

/* What the verb's own parser has set. */
static struct slice render(struct arena *a, const struct pop3_command *c)
{
    struct slice initial = arena_printf(a, " initial=%.*s", SLICE_ARG(c->initial));
    switch (c->verb) {
    case POP3_USER:
    case POP3_PASS:
        return arena_printf(a, "text=%.*s", SLICE_ARG(c->text));
    case POP3_AUTH:
        return arena_printf(a, "text=%.*s%s", SLICE_ARG(c->text),
                            c->has_initial ? arena_cstr(a, initial) : "");
    case POP3_TOP:
        return arena_printf(a, "number=%u lines=%u", c->number, c->lines);
    default:
        return c->has_number ? arena_printf(a, "number=%u", c->number) : SLICE_EMPTY;
    }
}

static void test_commands(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        struct pop3_command command;
        const char *wrong = pop3_command_parse(slice_of(rows[i].line), &command);
        assert_row(command.verb == rows[i].verb, i);
        assert_text(slice_of(wrong ? wrong : ""), rows[i].wrong ? rows[i].wrong : "", i);
        if (!wrong)
            assert_text(render(arena, &command), rows[i].wanted, i);
    }
}

/* Every line once more, one byte shorter each time: never a crash, always a command or a reason. */
static void test_truncated(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t len = 0; len < strlen(rows[i].line); len++) {
            struct pop3_command command;
            char *copy = malloc(len ? len : 1); /* exactly as long, for the address sanitizer */
            memcpy(copy, rows[i].line, len);
            const char *wrong = pop3_command_parse(slice_make(copy, len), &command);
            assert_row(wrong || command.verb != POP3_UNKNOWN, i);
            free(copy);
        }
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(pop3_verb_name(POP3_RETR), "RETR");
    assert_string_equal(pop3_verb_name(POP3_UNKNOWN), "?");
    assert_string_equal(pop3_verb_name(POP3_VERB_COUNT), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
