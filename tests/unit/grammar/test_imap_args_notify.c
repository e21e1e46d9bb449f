/* NOTIFY: RFC 5465's syntax, and what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "grammar/imap_command.h"
#include "grammar/imap_notify.h"

static const struct {
    const char *text, *dumped;
} cases[] = {
    {"NOTIFY NONE", "none"},
    {"notify set (selected none)", "[0 0]"},
    {"NOTIFY SET STATUS (selected (MessageNew (uid body.peek[header.fields (from to)]) MessageExpunge)) "
     "(subtree Lists (MessageNew MessageExpunge))",
     "status [0 3 fetch 1+1] [5 3 Lists]"},
    {"NOTIFY SET (selected-delayed (messagenew messageexpunge flagchange)) (mailboxes (INBOX \"a b\") "
     "(MailboxName))",
     "[1 7] [6 8 INBOX,a b]"},
    {"NOTIFY SET (personal (SubscriptionChange MailboxMetadataChange ServerMetadataChange)) (subscribed "
     "NONE) "
     "(inboxes (MailboxName))",
     "[3 112] [4 0] [2 8]"},
    {"NOTIFY SET (personal (MailboxName AnnotationChange))", "unknown [3 8]"},
    {"NOTIFY SET (personal (Later (a (b)) MailboxName))", "unknown [3 8]"},
    {"NOTIFY", "BAD: Missing argument"},
    {"NOTIFY SET", "BAD: Missing argument"},
    {"NOTIFY SET STATUS", "BAD: Missing argument"},
    {"NOTIFY ALL", "BAD: Expected SET or NONE"},
    {"NOTIFY SET (all NONE)", "BAD: Unknown mailbox specifier"},
    {"NOTIFY SET (selected (MessageNew))",
     "BAD: MessageNew and MessageExpunge come together, FlagChange only with them"},
    {"NOTIFY SET (personal (FlagChange))",
     "BAD: MessageNew and MessageExpunge come together, FlagChange only with them"},
    {"NOTIFY SET (selected (MailboxName))", "BAD: Only events of messages are for the selected mailbox"},
    {"NOTIFY SET (selected NONE) (selected-delayed NONE)", "BAD: The selected mailbox is specified twice"},
    {"NOTIFY SET (personal (MessageNew (UID) MessageExpunge))",
     "BAD: FETCH items are for the selected mailbox only"},
    {"NOTIFY SET (personal (Later (a (b) MailboxName))", "BAD: Malformed event group"},
    {"NOTIFY SET (personal ())", "BAD: Expected an atom"},
    {"NOTIFY SET personal NONE", "BAD: Expected STATUS or an event group"},
};

static void dump(struct buf *out, const struct imap_notify_args *a)
{
    buf_add_str(out, a->none ? "none " : "");
    buf_add_str(out, a->status ? "status " : "");
    buf_add_str(out, a->unknown_event ? "unknown " : "");
    for (size_t i = 0; i < a->group_count; i++) {
        const struct imap_notify_group *g = &a->groups[i];
        buf_addf(out, "[%d %u", g->filter, g->events);
        if (g->has_fetch)
            buf_addf(out, " fetch %u+%zu", g->fetch.simple, g->fetch.section_count);
        for (size_t k = 0; k < g->name_count; k++)
            buf_addf(out, "%s%.*s", k ? "," : " ", SLICE_ARG(g->names[k]));
        buf_add_str(out, "] ");
    }
    out->len -= out->len > 0;
}

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
        if (err)
            buf_addf(&out, "%s: %s", err == ERR_REFUSED ? "NO" : "BAD", why.text);
        else
            dump(&out, &c.notify);
        buf_add_byte(&out, 0);
        assert_string_equal((const char *)out.data, cases[i].dumped);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
