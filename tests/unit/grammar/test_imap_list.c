/* Mailbox names and LIST patterns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "grammar/imap_list.h"

static void test_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *name;
        bool match, below;
    } rows[] = {
        {"*", "INBOX", true, true},
        {"*", "a/b/c", true, true},
        {"%", "a", true, false},
        {"%", "a/b", false, false},
        {"%/%", "a/b", true, false},
        {"%/%", "a", false, true},
        {"a/%", "a", false, true},
        {"a/%", "a/", true, false},
        {"a*", "a/b", true, true},
        {"*b", "a/b", true, true},
        {"a%c", "abc", true, false},
        {"a%c", "a/c", false, false},
        {"a*c", "a/c", true, true},
        {"", "a", false, false},
        {"INBOX", "INBOX", true, false},
        {"inbox", "INBOX", true, false},
        {"inb%", "INBOX", true, false},
        {"inbox/x", "INBOX/x", true, false},
        {"inbox/X", "INBOX/x", false, false},
        {"inboxes", "INBOXES", false, false},
        {"~/Mail/%", "~/Mail/foo", true, false}, /* RFC 9051 section 6.3.9.7 */
        {"*%*%*%*", "a/b/c/d", true, true},
        {"%%", "ab", true, false},
        {"*a", "aaaaab", false, true},
        {"Projets/\xc3\xa9*", "Projets/\xc3\xa9t\xc3\xa9", true, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct slice pattern = slice_of(rows[i].pattern), name = slice_of(rows[i].name);
        if (imap_pattern_match(pattern, name, '/') != rows[i].match)
            fail_msg("match %s %s", rows[i].pattern, rows[i].name);
        if (imap_pattern_matches_below(pattern, name, '/') != rows[i].below)
            fail_msg("below %s %s", rows[i].pattern, rows[i].name);
    }
}

/* Stacked wildcards must not cost more than name times pattern. */
static void test_hostile_pattern(void **state)
{
    (void)state;
    char pattern[IMAP_PATTERN_MAX], name[IMAP_MAILBOX_NAME_MAX];
    for (size_t i = 0; i < sizeof pattern; i += 2)
        memcpy(pattern + i, "*a", 2);
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = 'b';
    assert_false(imap_pattern_match(slice_make(pattern, sizeof pattern), slice_make(name, sizeof name), '/'));
}

static void test_join(void **state)
{
    (void)state;
    static const struct {
        const char *reference, *pattern, *joined;
    } rows[] = {
        {"", "*", "*"},           {"Junk/sub/", "*", "Junk/sub/*"},
        {"foo", "bar", "foobar"}, {"foo/", "/bar", "/bar"},
        {"foo", "", "foo"},
    };
    struct arena *arena AUTO_ARENA = arena_new(10000);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_true(
            slice_eq(imap_pattern_join_in(arena, slice_of(rows[i].reference), slice_of(rows[i].pattern), '/'),
                     slice_of(rows[i].joined)));
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *given, *canonical;
        bool creatable;
    } rows[] = {
        {"inbox", "INBOX", true},
        {"Inbox/Sub", "INBOX/Sub", true},
        {"inboxes", "inboxes", true},
        {"e\xcc\x81t\xc3\xa9", "\xc3\xa9t\xc3\xa9", true}, /* NFD becomes NFC */
        {"a/b/c", "a/b/c", true},
        {"", "", false},
        {"/a", "/a", false},
        {"a/", "a/", false},
        {"a//b", "a//b", false},
        {"a/../b", "a/../b", false},
        {"a*", "a*", false},
        {"a%b", "a%b", false},
        {"a\x01", "a\x01", false},
        {"a\x7f", "a\x7f", false},
        {"a\xc2\x85", "a\xc2\x85", false},
        {"a\xe2\x80\xa8", "a\xe2\x80\xa8", false},
        {"a\xff", "a\xff", false},
        {"a.b", "a.b", true},
        {"...", "...", true},
    };
    struct arena *arena AUTO_ARENA = arena_new(100000);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct slice name = imap_mailbox_canonical_in(arena, slice_of(rows[i].given), '/');
        assert_true(slice_eq(name, slice_of(rows[i].canonical)));
        struct why why;
        enum err err = imap_mailbox_check_new(name, '/', &why);
        assert_int_equal(err, rows[i].creatable ? ERR_OK : ERR_REFUSED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_hostile_pattern),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
