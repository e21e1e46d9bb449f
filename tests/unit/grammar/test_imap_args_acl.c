/* SETACL and its kin: RFC 4314's examples, letters of rights, identifiers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "grammar/imap_acl.h"
#include "grammar/imap_command.h"

static const struct {
    const char *text, *dumped;
} cases[] = {
    {"SETACL INBOX/Drafts fred@example.org lrswicda", "'INBOX/Drafts' fred@example.org 0 lrswikxteacd"},
    {"SETACL INBOX Byron@Example.ORG +cd", "'INBOX' byron@example.org 1 kxtecd"},
    {"SETACL INBOX -anyone -d", "'INBOX' -anyone 2 ted"},
    {"SETACL INBOX anyone \"\"", "'INBOX' anyone 0 "},
    {"SETACL INBOX anyone +", "'INBOX' anyone 1 "},
    {"DELETEACL INBOX -fred@example.org", "'INBOX' -fred@example.org 0 "},
    {"GETACL INBOX", "'INBOX'  0 "},
    {"LISTRIGHTS INBOX anyone", "'INBOX' anyone 0 "},
    {"MYRIGHTS \"Other Users/x@y/z\"", "'Other Users/x@y/z'  0 "},
    {"SETACL INBOX anyone L", "BAD: Unknown right"},
    {"SETACL INBOX anyone lz", "BAD: Unknown right"},
    {"SETACL INBOX anyone 0", "BAD: Unknown right"},
    {"SETACL INBOX anyone", "BAD: Missing argument"},
    {"SETACL INBOX anyone l r", "BAD: Unexpected text behind the arguments"},
    {"SETACL INBOX fred l", "NO: An identifier is an address of this server, or anyone"},
    {"SETACL INBOX - l", "NO: An identifier is an address of this server, or anyone"},
    {"SETACL INBOX \"\" l", "NO: An identifier is an address of this server, or anyone"},
    {"SETACL INBOX \"a b@c\" l", "NO: An identifier is an address of this server, or anyone"},
    {"SETACL INBOX \"a@\xff\" l", "NO: An identifier is an address of this server, or anyone"},
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
        enum err err =
            imap_command_parse_in(arena, buf_slice(&line), (struct imap_parse_options){0}, &c, &why);
        if (err) {
            buf_addf(&out, "%s: %s", err == ERR_REFUSED ? "NO" : "BAD", why.text);
        } else {
            buf_addf(&out, "'%.*s' %.*s %d ", SLICE_ARG(c.acl.mailbox), SLICE_ARG(c.acl.identifier),
                     c.acl.mode);
            imap_rights_write(&out, c.acl.rights);
        }
        buf_add_byte(&out, 0);
        assert_string_equal((const char *)out.data, cases[i].dumped);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
