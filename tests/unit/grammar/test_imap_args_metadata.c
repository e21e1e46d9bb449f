/* GETMETADATA and SETMETADATA: RFC 5464's examples, and what is no name of an annotation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "grammar/imap_command.h"

static void dump(struct buf *out, const struct imap_metadata_args *a)
{
    buf_addf(out, "'%.*s' %d %llu", SLICE_ARG(a->mailbox), a->depth,
             a->has_max_size ? (unsigned long long)a->max_size : 0ull);
    for (size_t i = 0; i < a->count; i++) {
        buf_addf(out, " %.*s", SLICE_ARG(a->entries[i]));
        if (a->values && a->values[i].ptr)
            buf_addf(out, "=%.*s", SLICE_ARG(a->values[i]));
    }
}

static const struct {
    const char *text, *dumped;
} cases[] = {
    {"GETMETADATA \"\" /shared/comment", "'' 0 0 /shared/comment"},
    {"GETMETADATA \"INBOX\" /private/comment", "'INBOX' 0 0 /private/comment"},
    {"GETMETADATA INBOX (/Shared/COMMENT \"/private/comment\")",
     "'INBOX' 0 0 /shared/comment /private/comment"},
    {"GETMETADATA \"INBOX\" (MAXSIZE 1024) (/shared/comment /private/comment)",
     "'INBOX' 0 1024 /shared/comment /private/comment"},
    {"GETMETADATA (DEPTH 1 MAXSIZE 9) inbox (/private/filters/values)",
     "'INBOX' 1 9 /private/filters/values"},
    {"GETMETADATA (DEPTH infinity) x /private", "'x' 2 0 /private"},
    {"SETMETADATA INBOX (/private/comment {3+}\r\na\r\n)", "'INBOX' 0 0 /private/comment=a\r\n"},
    {"SETMETADATA INBOX (/private/comment ~{3+}\r\nabc)", "'INBOX' 0 0 /private/comment=abc"},
    {"SETMETADATA INBOX (/private/comment NIL /shared/x \"\")", "'INBOX' 0 0 /private/comment /shared/x="},
    {"GETMETADATA INBOX comment", "BAD: An annotation begins with /private/ or /shared/"},
    {"GETMETADATA INBOX /privateer", "BAD: An annotation begins with /private/ or /shared/"},
    {"GETMETADATA INBOX \"\"", "BAD: An annotation begins with /private/ or /shared/"},
    {"GETMETADATA INBOX \"/private/a*\"", "BAD: Invalid name of an annotation"},
    {"GETMETADATA INBOX \"/private/%\"", "BAD: Invalid name of an annotation"},
    {"GETMETADATA INBOX \"/private/\xc3\xa4\"", "BAD: Invalid name of an annotation"},
    {"GETMETADATA INBOX /private//a", "BAD: Invalid name of an annotation"},
    {"GETMETADATA INBOX /private/", "BAD: Invalid name of an annotation"},
    {"GETMETADATA INBOX ()", "BAD: Missing argument"},
    {"GETMETADATA INBOX (/private/a", "BAD: Malformed list of annotations"},
    {"GETMETADATA (DEPTH 3) INBOX /private/a", "BAD: DEPTH is 0, 1 or infinity"},
    {"GETMETADATA (FROB 3) INBOX /private/a", "BAD: Unknown GETMETADATA option"},
    {"SETMETADATA INBOX (/shared \"x\")", "BAD: An annotation begins with /private/ or /shared/"},
    {"SETMETADATA INBOX (/shared/x y)", "BAD: Expected a string or NIL"},
    {"SETMETADATA INBOX /shared/x \"y\"", "BAD: Expected a list of annotations"},
    {"SETMETADATA INBOX (/shared/x ~{9+}\r\nabc)", "BAD: Unfinished literal"},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena *arena AUTO_ARENA = arena_new(IMAP_COMMAND_ARENA);
        AUTO_BUF struct buf line = buf_new(10000), out = buf_new(10000);
        struct imap_command c;
        struct why why;
        buf_addf(&line, "a %s\r\n", cases[i].text);
        if (imap_command_parse_in(arena, buf_slice(&line), (struct imap_parse_options){0}, &c, &why))
            buf_addf(&out, "BAD: %s", why.text);
        else
            dump(&out, &c.metadata);
        buf_add_byte(&out, 0);
        assert_string_equal((const char *)out.data, cases[i].dumped);
    }
}

static void test_too_many(void **state)
{
    (void)state;
    struct arena *arena AUTO_ARENA = arena_new(IMAP_COMMAND_ARENA);
    AUTO_BUF struct buf line = buf_new(10000);
    struct imap_command c;
    struct why why;
    buf_add_str(&line, "a GETMETADATA x (/private/0");
    for (int i = 1; i <= IMAP_ENTRIES_MAX; i++)
        buf_addf(&line, " /private/%d", i);
    buf_add_str(&line, ")\r\n");
    assert_int_equal(imap_command_parse_in(arena, buf_slice(&line), (struct imap_parse_options){0}, &c, &why),
                     ERR_BAD);
    assert_string_equal(why.text, "Too many annotations");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_too_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
