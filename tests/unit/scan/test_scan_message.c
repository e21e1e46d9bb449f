/* Whole messages to facts. */
#include "scan/scan_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

struct fixture {
    struct arena *arena;
    struct charset_set *set;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){arena_new(SCAN_ARENA_MAX), charset_set_new()};
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    arena_free(&f->arena);
    charset_set_free(&f->set);
    return 0;
}

/* Scans, encodes, decodes and checks, as the real thing does. */
static struct facts scan(struct fixture *f, uint32_t kind, struct slice message)
{
    struct wire_scan_task task = {.kind = kind,
                                  .size = message.len,
                                  .hostname = SLICE("mail.example.org"),
                                  .date = SLICE("Sat, 21 Nov 2026 03:42:49 +0000"),
                                  .message_id = SLICE("<new@example.org>")};
    AUTO_BUF struct buf bytes = buf_new(FACTS_MAX_ENCODED);
    struct facts facts = {0};
    struct why why = {0};
    if (scan_message_in(f->arena, f->set, &task, message, &facts, &why) != ERR_OK)
        fail_msg("%s", why.text);
    facts_encode(&facts, &bytes);
    assert_true(buf_ok(&bytes));
    if (facts_decode_in(f->arena, arena_dup(f->arena, buf_slice(&bytes)), &facts, &why) != ERR_OK ||
        facts_check(&facts, message.len, &why) != ERR_OK)
        fail_msg("%s", why.text);
    return facts;
}

#define assert_slice(got, wanted)                                                                            \
    do {                                                                                                     \
        struct slice got_slice = (got);                                                                      \
        if (!slice_eq(got_slice, slice_of(wanted)))                                                          \
            fail_msg("got \"%.*s\", wanted \"%s\"", SLICE_ARG(got_slice), (wanted));                         \
    } while (0)

static const char letter[] =
    "Return-Path: <forged@example.net>\r\n"
    "Received: from a by b; Sat, 21 Nov 2026 03:42:49 +0000\r\n"
    "From: =?utf-8?q?J=C3=BCrgen?= <Juergen.M@M\xc3\xbcnchen.Example>\r\n"
    "To: \"Doe, John\" <john@example.com>, jane@example.com\r\n"
    "Subject: Re: [list] =?iso-8859-1?Q?Gr=FC=DFe?=\r\n"
    "Date: Sat, 21 Nov 2026 03:42:49 +0100\r\n"
    "Message-ID: <abc@example.org>\r\n"
    "In-Reply-To: Your message of today <prev@example.org>\r\n"
    "References: <one@x>\r\n <two@x>\r\n"
    "Delivered-To: somebody@example.org\r\n"
    "X-Uncached: x\r\n"
    "Content-Type: multipart/mixed; boundary=b\r\n"
    "\r\n"
    "preamble\r\n"
    "--b\r\nContent-Type: text/html; charset=iso-8859-1\r\n\r\n<p>Hallo J\xfcrgen</p>\r\n"
    "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
    "base64\r\n\r\nR3LDvMOfZQ==\r\n"
    "--b\r\nContent-Type: application/pdf; name=\"=?utf-8?q?=C3=BC.pdf?=\"\r\nContent-ID: <c@i>\r\n"
    "Content-Transfer-Encoding: BASE64\r\nContent-Disposition: attachment\r\n\r\nAAAA\r\n"
    "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: =?utf-8?q?in=C3=BCde?=\r\n\r\ninner text\r\n"
    "--b--\r\n";

static void test_letter(void **state)
{
    struct facts facts = scan(*state, BODY_MX, slice_of(letter));
    assert_int_equal(facts.size, sizeof letter - 1 - 35);
    assert_int_equal(facts.cut_count, 1);
    assert_int_equal(facts.sent, 1795228969);
    assert_int_equal(facts.received_count, 1);
    assert_int_equal(facts.flags, FACTS_HAS_ATTACHMENT | FACTS_HEADERS_COMPLETE | FACTS_TEXT_COMPLETE |
                                      FACTS_PARTS_COMPLETE);
    assert_int_equal(facts.from.count, 1);
    assert_slice(facts.from.at[0], "Juergen.M@xn--mnchen-3ya.example");
    assert_slice(facts.message_id, "abc@example.org");
    assert_slice(facts.in_reply_to, "prev@example.org");
    assert_int_equal(facts.references.count, 2);
    assert_slice(facts.references.at[1], "two@x");
    assert_int_equal(facts.delivered_to.count, 1);
    assert_slice(facts.delivered_to.at[0], "somebody@example.org");
    assert_slice(facts.subject, "Re: [list] Grüße");
    assert_slice(facts.base_subject, "grüße");
    assert_slice(facts.search_from, "Jürgen <Juergen.M@München.Example>");
    assert_slice(facts.sort_from, "juergen.m");
    assert_slice(facts.sort_to, "john");
    assert_slice(facts.sort_display_from, "jürgen");
    assert_slice(facts.sort_display_to, "doe, john");
    assert_slice(facts.preview, "Grüße");
    assert_slice(facts.text, "Hallo Jürgen\nGrüße\nü.pdf\ninüde\ninner text\n");
    assert_true(slice_starts(facts.headers, SLICE("Received: from a by b")));
    assert_int_equal(slice_search(facts.headers, SLICE("X-Uncached")), -1);
}

static void test_parts(void **state)
{
    struct facts facts = scan(*state, BODY_MX, slice_of(letter));
    struct slice served = slice_from(slice_of(letter), 35);
    const struct facts_part *html = facts_find_part(&facts, SLICE("1")),
                            *pdf = facts_find_part(&facts, SLICE("3"));
    const struct facts_part *message = facts_find_part(&facts, SLICE("4")),
                            *inner = facts_find_part(&facts, SLICE("4.1"));
    assert_int_equal(facts.part_count, 6);
    assert_slice(slice_sub(served, html->body_off, html->body_len), "<p>Hallo J\xfcrgen</p>");
    assert_slice(html->charset, "iso-8859-1");
    assert_slice(slice_sub(served, pdf->body_off, pdf->body_len), "AAAA");
    assert_int_equal(pdf->encoding, FACTS_ENC_BASE64);
    assert_slice(pdf->name, "ü.pdf");
    assert_slice(pdf->cid, "c@i");
    assert_slice(pdf->disposition, "attachment");
    assert_int_equal(message->kind, FACTS_MESSAGE);
    assert_slice(slice_sub(served, message->body_off, message->inner_header_len),
                 "Subject: =?utf-8?q?in=C3=BCde?=\r\n\r\n");
    assert_slice(slice_sub(served, inner->body_off, inner->body_len), "inner text");
    assert_int_equal(inner->header_len, message->inner_header_len);
}

static void test_missing(void **state)
{
    struct facts facts = scan(*state, BODY_SUBMISSION, SLICE("Subject: x\r\n\r\nhi\r\n"));
    assert_slice(facts.added, "Date: Sat, 21 Nov 2026 03:42:49 +0000\r\nMessage-ID: <new@example.org>\r\n");
    assert_int_equal(facts.flags & (FACTS_NO_DATE_FIELD | FACTS_NO_MESSAGE_ID | FACTS_NO_FROM),
                     FACTS_NO_DATE_FIELD | FACTS_NO_MESSAGE_ID | FACTS_NO_FROM);
    assert_slice(facts.message_id, "new@example.org");
    assert_int_equal(facts.sent, 1795232569);
    assert_int_equal(facts.parts[1].body_off, facts.added.len + 14);
    facts = scan(*state, BODY_APPEND, SLICE("Subject: x\r\n\r\nhi\r\n"));
    assert_int_equal(facts.added.len, 0);
    assert_int_equal(facts.sent, FACTS_NO_DATE);
    facts = scan(*state, BODY_APPEND, SLICE_EMPTY);
    assert_int_equal(facts.size, 0);
    assert_int_equal(facts.part_count, 2);
}

/* Two From fields, groups, addresses that are none: the sender check must see all of them. */
static void test_from(void **state)
{
    static const struct {
        const char *header, *from; /* separated by '|' */
    } rows[] = {
        {"From: a@B.Example\r\n", "a@b.example"},
        {"From: a@b.example, c@d.example\r\nFrom: e@f.example\r\n", "a@b.example|c@d.example|e@f.example"},
        {"From: g: a@b.example;\r\n", "a@b.example"},
        {"From: \"a b\"@c.example\r\n", "\"a b\"@c.example"},
        {"From: <a@b.example> (c@d.example)\r\n", "a@b.example"},
        {"From: root\r\n", "root"},
        {"From: <>\r\n", ""},
        {"From:\r\n", ""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_BUF struct buf message = buf_new(1000), from = buf_new(1000);
        buf_addf(&message, "%s\r\nbody", rows[i].header);
        struct facts facts = scan(*state, BODY_MX, buf_slice(&message));
        for (size_t k = 0; k < facts.from.count; k++)
            buf_addf(&from, "%s%.*s", k ? "|" : "", SLICE_ARG(facts.from.at[k]));
        assert_slice(buf_slice(&from), rows[i].from);
        assert_int_equal(!(facts.flags & FACTS_NO_FROM), facts.from.count > 0);
    }
}

/* More From fields, addresses or header than are looked at. */
static void test_unread_from(void **state)
{
    static const struct {
        const char *unit;
        size_t times;
    } rows[] = {{"From: a@b.example\r\n", 17},
                {"From: a@b.example,\r\n c@d.example\r\n", 100},
                {"A: b\r\n", 10001},
                {"A: 0123456789abcdef0123456789abcdef\r\n", 8000}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_BUF struct buf message = buf_new(1 << 20);
        for (size_t k = 0; k < rows[i].times; k++)
            buf_add_str(&message, rows[i].unit);
        buf_add_str(&message, "From: evil@example.net\r\n\r\n");
        struct facts facts = scan(*state, BODY_SUBMISSION, buf_slice(&message));
        assert_true(facts.from.count > 0);
        assert_slice(facts.from.at[facts.from.count - 1], FACTS_FROM_UNREAD);
    }
}

static void test_attachments(void **state)
{
    static const struct {
        const char *fields;
        bool attachment;
    } rows[] = {
        {"Content-Type: text/plain", false},
        {"Content-Type: text/plain\r\nContent-Disposition: attachment", true},
        {"Content-Type: text/calendar", false},
        {"Content-Type: application/pdf", true},
        {"Content-Type: image/png", true},
        {"Content-Type: image/png\r\nContent-ID: <a>\r\nContent-Disposition: inline", false},
        {"Content-Type: application/pgp-signature", false},
        {"Content-Type: message/rfc822", true},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_BUF struct buf message = buf_new(1000);
        buf_addf(&message, "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n%s\r\n\r\nx\r\n--b--\r\n",
                 rows[i].fields);
        struct facts facts = scan(*state, BODY_APPEND, buf_slice(&message));
        assert_int_equal(!!(facts.flags & FACTS_HAS_ATTACHMENT), rows[i].attachment);
    }
}

/* A bound was met: facts say that they are not complete, and stay within theirs. */
static void test_bounds(void **state)
{
    AUTO_BUF struct buf message = buf_new(8 << 20);
    for (int i = 0; i < 1000; i++)
        buf_addf(&message, "To: somebody-%d@example.org\r\nReferences: <%d@x>\r\n", i, i);
    buf_add_str(&message, "References: ");
    for (int i = 0; i < 1000; i++)
        buf_addf(&message, "\r\n <%d@x>", i);
    buf_add_str(&message, "\r\n\r\n");
    for (int i = 0; i < 50000; i++)
        buf_add_str(&message, "a line of text\r\n");
    struct facts facts = scan(*state, BODY_APPEND, buf_slice(&message));
    assert_int_equal(facts.flags & (FACTS_HEADERS_COMPLETE | FACTS_TEXT_COMPLETE), 0);
    assert_int_equal(facts.text.len, FACTS_MAX_TEXT);
    assert_in_range(facts.headers.len, 1, FACTS_MAX_HEADERS);
    assert_int_equal(facts.lines, 2000 + 1002 + 50000);
}

static void test_many_references(void **state)
{
    AUTO_BUF struct buf message = buf_new(1 << 20);
    buf_add_str(&message, "References:");
    for (int i = 0; i < 1000; i++)
        buf_addf(&message, "\r\n <%d@x>", i);
    buf_add_str(&message, "\r\n\r\n");
    struct facts facts = scan(*state, BODY_APPEND, buf_slice(&message));
    assert_int_equal(facts.references.count, FACTS_MAX_LIST);
    assert_slice(facts.references.at[0], "0@x");
    assert_slice(facts.references.at[FACTS_MAX_LIST - 1], "999@x");
}

/* A tree whose texts would outgrow every bound still has facts: it is not split as far. */
static void test_large_structure(void **state)
{
    AUTO_BUF struct buf message = buf_new(32 << 20);
    buf_add_str(&message, "Content-Type: multipart/mixed; boundary=b\r\n\r\n");
    for (int i = 0; i < 800; i++) {
        buf_add_str(&message, "--b\r\nContent-Type: message/rfc822\r\n\r\n");
        for (int k = 0; k < 100; k++)
            buf_addf(&message, "To: a-long-enough-address-%d@example.org\r\n", k);
        buf_add_str(&message, "\r\ntext\r\n");
    }
    struct facts facts = scan(*state, BODY_APPEND, buf_slice(&message));
    assert_int_equal(facts.flags & FACTS_PARTS_COMPLETE, 0);
    assert_true(facts.bodystructure.len > 100);
}

/* Memory is bounded whatever the headers of the messages inside look like. */
static void test_inner_headers(void **state)
{
    AUTO_BUF struct buf message = buf_new(64 << 20);
    buf_add_str(&message, "Content-Type: multipart/digest; boundary=b\r\n\r\n");
    for (int i = 0; i < 800; i++) {
        buf_add_str(&message, "--b\r\n\r\n");
        for (int k = 0; k < 5000; k++)
            buf_add_str(&message, "To:\r\nFrom:\r\n");
        buf_add_str(&message, "\r\n");
    }
    struct fixture *f = *state;
    (void)scan(f, BODY_APPEND, buf_slice(&message));
    assert_in_range(arena_used(f->arena), 1, SCAN_ARENA_MAX / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_letter, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_missing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_from, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unread_from, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_attachments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bounds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_references, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_inner_headers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_large_structure, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
