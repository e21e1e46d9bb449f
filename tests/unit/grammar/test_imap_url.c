/* IMAP URLs of messages: the examples of RFC 5092, RFC 4469 and RFC 4467, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "grammar/imap_url.h"

static void dump(struct buf *out, const struct imap_url *u)
{
    static const char *const access[] = {"", " submit+", " user+", " authuser", " anonymous"};
    if (u->absolute)
        buf_addf(out, "<%.*s> <%.*s> ", SLICE_ARG(u->user), SLICE_ARG(u->host));
    buf_addf(out, "'%.*s' %u %u ", SLICE_ARG(u->mailbox), u->uidvalidity, u->uid);
    imap_section_write_name(out, &u->section);
    if (u->section.partial)
        buf_addf(out, ".%u", u->section.length);
    if (u->expires)
        buf_addf(out, " until %lld", (long long)u->expire);
    buf_addf(out, "%s%.*s", access[u->access], SLICE_ARG(u->access_user));
    if (u->mechanism.len)
        buf_addf(out, " %.*s %.*s", SLICE_ARG(u->mechanism), SLICE_ARG(u->token));
}

static void test_urls(void **state)
{
    (void)state;
    static const struct {
        const char *text, *dumped; /* NULL: none */
    } rows[] = {
        /* RFC 5092 section 9 */
        {"imap://minbari.example.org/gray-council;UIDVALIDITY=385759045/;UID=20/;PARTIAL=0.1024",
         "<> <minbari.example.org> 'gray-council' 385759045 20 BODY[]<0>.1024"},
        {"imap://psicorp.example.org/~peter/%E6%97%A5%E6%9C%AC%E8%AA%9E/%E5%8F%B0%E5%8C%97/;UID=5",
         "<> <psicorp.example.org> '~peter/\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e/\xe5\x8f\xb0\xe5\x8c\x97' 0 "
         "5 BODY[]"},
        {"imap://;AUTH=GSSAPI@minbari.example.org/gray-council/;uid=20/;section=1.2",
         "<> <minbari.example.org> 'gray-council' 0 20 BODY[1.2]"},
        {"imap://;AUTH=*@minbari.example.org/gray%20council;UIDVALIDITY=9/;UID=2",
         "<> <minbari.example.org> 'gray council' 9 2 BODY[]"},
        {"imap://john;AUTH=*@minbari.example.org:143/babylon5/personel/;UID=3",
         "<john> <minbari.example.org> 'babylon5/personel' 0 3 BODY[]"},
        {"imap://ann%40example.org@[2001:db8::1]:993/INBOX/;UID=1",
         "<ann@example.org> <[2001:db8::1]> 'INBOX' 0 1 BODY[]"},
        /* RFC 4469 section 3 */
        {"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER", "'Drafts' 385759045 20 BODY[HEADER]"},
        {"/Drafts;UIDVALIDITY=385759045/;UID=30/;section=1.MIME", "'Drafts' 385759045 30 BODY[1.MIME]"},
        {"Drafts/;uid=20", "'Drafts' 0 20 BODY[]"},
        {"/Drafts;uid=20/;section=HEADER.FIELDS%20(From%20To)",
         "'Drafts' 0 20 BODY[HEADER.FIELDS (From To)]"},
        {";UID=20/;PARTIAL=5", "'' 0 20 BODY[]<5>.4294967295"},
        {"/inbox/;UID=4294967295", "'INBOX' 0 4294967295 BODY[]"},
        /* RFC 4467 section 5 */
        {"imap://joe@example.com/INBOX/;uid=20/;section=1.2;urlauth=submit+fred:internal:"
         "91354a473744909de610943775f92038",
         "<joe> <example.com> 'INBOX' 0 20 BODY[1.2] submit+fred internal 91354a473744909de610943775f92038"},
        {"imap://joe@example.com/Shared/;uid=20;EXPIRE=2026-11-21T10:00:00Z;URLAUTH=anonymous",
         "<joe> <example.com> 'Shared' 0 20 BODY[] until 1795255200 anonymous"},
        {"/x/;uid=20/;partial=1.2/;expire=2026-11-21T10:00:00+01:00;urlauth=user+a%40b.c",
         "'x' 0 20 BODY[]<1>.2 until 1795251600 user+a@b.c"},
        {"/x;uid=20;urlauth=authuser", "'x' 0 20 BODY[] authuser"},
        {"", NULL},
        {"/", NULL},
        {"/INBOX", NULL},
        {"imap://host", NULL},
        {"imap://host/", NULL},
        {"imap://host/;UID=1", NULL},
        {"imap:///x/;UID=1", NULL},
        {"imap://u;x@host/x/;UID=1", NULL},
        {"imaps://host/x/;UID=1", NULL},
        {"http://host/x/;UID=1", NULL},
        {"/x/;UID=0", NULL},
        {"/x/;UID=4294967296", NULL},
        {"/x/;UID=", NULL},
        {"/x/;UID=1x", NULL},
        {"/x;UIDVALIDITY=0/;UID=1", NULL},
        {"/x;UIDVALIDITY=/;UID=1", NULL},
        {"/x;UIDVALIDITY=1", NULL},
        {"/x/;UID=1/;SECTION=", "'x' 0 1 BODY[]"},
        {"/x/;UID=1/;SECTION=0", NULL},
        {"/x/;UID=1/;SECTION=1]", NULL},
        {"/x/;UID=1/;SECTION=TEXT<1.2>", NULL},
        {"/x/;UID=1/;PARTIAL=1.0", NULL},
        {"/x/;UID=1/;PARTIAL=.5", NULL},
        {"/x/;UID=1/;PARTIAL=1/;SECTION=1", NULL},
        {"/x%0/;UID=1", NULL},
        {"/x%", NULL},
        {"/x%00/;UID=1", NULL},
        {"/x%0d%0a/;UID=1", NULL},
        {"/x%ff/;UID=1", NULL},
        {"/x y/;UID=1", NULL},
        {"/x/;UID=1;EXPIRE=2026-11-21T10:00:00Z", NULL},
        {"/x/;UID=1;EXPIRE=never;URLAUTH=anonymous", NULL},
        {"/x/;UID=1;URLAUTH=", NULL},
        {"/x/;UID=1;URLAUTH=user+", NULL},
        {"/x/;UID=1;URLAUTH=anonymousx", NULL},
        {"/x/;UID=1;URLAUTH=authuser:internal", NULL},
        {"/x/;UID=1;URLAUTH=authuser::91354a473744909de610943775f92038", NULL},
        {"/x/;UID=1;URLAUTH=authuser:internal:91354a473744909de610943775f9203", NULL},
        {"/x/;UID=1;URLAUTH=authuser:internal:91354a473744909de610943775f9203g", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_ARENA struct arena *arena = arena_new(1u << 20);
        AUTO_BUF struct buf out = buf_new(2000);
        struct imap_url url;
        struct why why;
        enum err err = imap_url_parse_in(arena, slice_of(rows[i].text), &url, &why);
        if (err == ERR_OK)
            dump(&out, &url);
        buf_add_byte(&out, 0);
        if ((err == ERR_OK) != (rows[i].dumped != NULL))
            print_message("%s\n", rows[i].text);
        assert_int_equal(err, rows[i].dumped ? ERR_OK : ERR_BAD);
        if (!err)
            assert_string_equal((const char *)out.data, rows[i].dumped);
    }
}

static void test_rump(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(1u << 20);
    struct imap_url url;
    struct why why;
    struct slice text =
        SLICE("imap://joe@example.com/x/"
              ";uid=20;urlauth=user+Ann%40example.com:internal:91354A473744909de610943775f92038");
    assert_int_equal(imap_url_parse_in(arena, text, &url, &why), ERR_OK);
    assert_true(slice_eq(url.rump, SLICE("imap://joe@example.com/x/;uid=20;urlauth=user+Ann%40example.com")));
    assert_true(imap_url_is_of(&url, SLICE("joe@example.com")));
    assert_false(imap_url_is_of(&url, SLICE("joe@example.org")));
    assert_true(imap_url_is_for(&url, SLICE("ann@example.com")));
    assert_false(imap_url_is_for(&url, SLICE("bob@example.com")));
    assert_false(imap_url_is_for(&url, SLICE("ann")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_urls), cmocka_unit_test(test_rump)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
