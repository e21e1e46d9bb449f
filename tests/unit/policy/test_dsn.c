/* Notifications: written from facts, read back with our own MIME parser, field by field. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "grammar/base64.h"
#include "grammar/header.h"
#include "grammar/mime.h"
#include "policy/dsn.h"

#define NOW 1795233600 /* Sat, 21 Nov 2026 */

struct made {
    struct arena *arena;
    struct buf message;
    struct mime_part *root, *text, *status, *original;
    struct dsn_needs needs;
    struct slice human; /* the first part, decoded */
};

static struct dsn plain(const struct dsn_recipient *recipients, size_t count)
{
    return (struct dsn){.hostname = SLICE("mail.example.org"),
                        .postmaster = SLICE("postmaster@example.org"),
                        .to = SLICE("jane@example.org"),
                        .id = SLICE("01hq3zzzabcdefg"),
                        .token = SLICE("a1b2c3d4e5f6a7b8"),
                        .now = NOW,
                        .original_id = SLICE("01hq3yyyabcdefg"),
                        .arrival = NOW - 5 * 86400,
                        .message_id = SLICE("<one@example.org>"),
                        .header = SLICE("From: jane@example.org\r\nSubject: Hello\r\n"),
                        .recipients = recipients,
                        .count = count};
}

static const struct dsn_recipient bob = {.address = SLICE("bob@example.net"),
                                         .action = DSN_FAILED,
                                         .status = SLICE("5.1.1"),
                                         .remote = SLICE("mx.example.net"),
                                         .diagnostic = SLICE("550 5.1.1 no such user"),
                                         .is_reply = true,
                                         .last_attempt = NOW - 60};

/* Lines end in CRLF and nothing else; returns the longest one. */
static size_t check_lines(struct slice text)
{
    size_t longest = 0, start = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\n') {
            assert_true(i > 0 && text.ptr[i - 1] == '\r');
            longest = i - 1 - start > longest ? i - 1 - start : longest;
            start = i + 1;
        } else if (text.ptr[i] == '\r') {
            assert_true(i + 1 < text.len && text.ptr[i + 1] == '\n');
        } else {
            assert_true(text.ptr[i] >= 0x20 && text.ptr[i] != 0x7f);
        }
    }
    assert_int_equal(start, text.len);
    return longest;
}

static struct slice decode(struct made *m, const struct mime_part *part)
{
    struct slice body = mime_body(part, buf_slice(&m->message));
    if (part->encoding != MIME_QP)
        return body;
    AUTO_BUF struct buf out = buf_new(body.len + 2000);
    struct qp_decoder decoder = {0};
    qp_feed(&decoder, body, &out);
    qp_finish(&decoder, &out);
    return arena_dup(m->arena, buf_slice(&out));
}

static struct made write_with(const struct dsn *dsn, struct slice original)
{
    struct made m = {.arena = arena_new(64u << 20), .message = buf_new(32u << 20)};
    AUTO_BUF struct buf tail = buf_new(1000);
    m.needs = dsn_write(dsn, &m.message, &tail);
    buf_add(&m.message, original);
    buf_add(&m.message, buf_slice(&tail));
    assert_true(buf_ok(&m.message) && buf_ok(&tail));
    m.root = mime_parse_in(m.arena, buf_slice(&m.message), NULL, NULL);
    assert_true(mime_is(m.root, SLICE("multipart"), SLICE("report")));
    m.text = m.root->child;
    assert_true(mime_is(m.text, SLICE("text"), SLICE("plain")));
    m.status = m.text->next;
    assert_non_null(m.status);
    m.original = m.status->next;
    m.human = decode(&m, m.text);
    return m;
}

static struct made write_one(const struct dsn *dsn)
{
    struct made m = write_with(dsn, SLICE_EMPTY);
    size_t longest = check_lines(buf_slice(&m.message));
    assert_true(longest <= 998);
    return m;
}

static void free_made(struct made *m)
{
    arena_free(&m->arena);
    buf_free(&m->message);
}

static struct slice field_of(struct made *m, struct slice block, const char *name)
{
    struct header_field field;
    if (!header_find(block, slice_of(name), &field))
        return SLICE_EMPTY;
    return header_unfold_in(m->arena, field.value);
}

static void assert_slice(struct slice got, const char *want)
{
    if (!slice_eq(got, slice_of(want)))
        fail_msg("got \"%.*s\", want \"%s\"", SLICE_ARG(got), want);
}

static void assert_top(struct made *m, const char *name, const char *want)
{
    assert_slice(field_of(m, mime_header(m->root, buf_slice(&m->message)), name), want);
}

/* Block `n` of the status part: 0 is the message's, then one for each recipient. */
static struct slice status_block(struct made *m, size_t n)
{
    struct slice rest = mime_body(m->status, buf_slice(&m->message));
    for (; n; n--) {
        ptrdiff_t at = slice_search(rest, SLICE("\r\n\r\n"));
        assert_true(at > 0);
        rest = slice_from(rest, (size_t)at + 4);
    }
    ptrdiff_t end = slice_search(rest, SLICE("\r\n\r\n"));
    return end < 0 ? rest : slice_sub(rest, 0, (size_t)end + 2);
}

static void assert_field(struct made *m, size_t block, const char *name, const char *want)
{
    assert_slice(field_of(m, status_block(m, block), name), want);
}

/* Wherever its lines are broken. */
static bool says(const struct made *m, const char *text)
{
    AUTO_BUF struct buf flat = buf_new(m->human.len + 1);
    bool blank = false;
    for (size_t i = 0; i < m->human.len; i++) {
        bool space = ascii_is_space(m->human.ptr[i]);
        if (!space || !blank)
            buf_add_byte(&flat, space ? ' ' : m->human.ptr[i]);
        blank = space;
    }
    return slice_search(buf_slice(&flat), slice_of(text)) >= 0;
}

static void failure(void **state)
{
    (void)state;
    struct dsn dsn = plain(&bob, 1);
    dsn.envid = SLICE("QQ314159");
    dsn.references = SLICE("<zero@example.org>\r\n <one@example.org>");
    struct made m = write_one(&dsn);
    assert_top(&m, "From", "Mail Delivery System <MAILER-DAEMON@mail.example.org>");
    assert_top(&m, "To", "<jane@example.org>");
    assert_top(&m, "Subject", "Your mail to bob@example.net could not be delivered");
    assert_top(&m, "Auto-Submitted", "auto-replied");
    assert_top(&m, "MIME-Version", "1.0");
    assert_top(&m, "Message-ID", "<01hq3zzzabcdefg.report@mail.example.org>");
    assert_top(&m, "In-Reply-To", "<one@example.org>");
    assert_top(&m, "References", "<zero@example.org> <one@example.org>");
    assert_true(mime_is(m.status, SLICE("message"), SLICE("delivery-status")));
    assert_field(&m, 0, "Original-Envelope-Id", "QQ314159");
    assert_field(&m, 0, "Reporting-MTA", "dns; mail.example.org");
    assert_field(&m, 0, "Arrival-Date", "Mon, 16 Nov 2026 04:00:00 +0000");
    assert_field(&m, 1, "Final-Recipient", "rfc822; bob@example.net");
    assert_field(&m, 1, "Original-Recipient", "");
    assert_field(&m, 1, "Action", "failed");
    assert_field(&m, 1, "Status", "5.1.1");
    assert_field(&m, 1, "Remote-MTA", "dns; mx.example.net");
    assert_field(&m, 1, "Diagnostic-Code", "smtp; 550 5.1.1 no such user");
    assert_field(&m, 1, "Last-Attempt-Date", "Sat, 21 Nov 2026 03:59:00 +0000");
    assert_field(&m, 1, "Will-Retry-Until", "");
    assert_true(mime_is(m.original, SLICE("text"), SLICE("rfc822-headers")));
    assert_slice(mime_body(m.original, buf_slice(&m.message)),
                 "From: jane@example.org\r\nSubject: Hello\r\n");
    assert_null(m.original->next);
    assert_true(says(&m, "bob@example.net") && says(&m, "no such mailbox") &&
                says(&m, "mx.example.net answered:"));
    assert_true(says(&m, "postmaster@example.org"));
    assert_false(m.needs.eightbit || m.needs.smtputf8);
    free_made(&m);
}

static void whole_message(void **state)
{
    (void)state;
    struct dsn dsn = plain(&bob, 1);
    struct slice original = SLICE("Subject: caf\xc3\xa9\r\n\r\nline\r\n--=_report_x\r\nend\r\n");
    dsn.full = dsn.eightbit = true;
    struct made m = write_with(&dsn, original);
    assert_true(mime_is(m.original, SLICE("message"), SLICE("rfc822")));
    assert_int_equal(m.original->encoding, MIME_8BIT);
    assert_true(slice_eq(mime_body(m.original, buf_slice(&m.message)), original));
    assert_true(m.needs.eightbit && !m.needs.smtputf8);
    free_made(&m);
    dsn.smtputf8 = true;
    m = write_with(&dsn, original);
    assert_true(mime_is(m.original, SLICE("message"), SLICE("global")));
    assert_true(m.needs.smtputf8);
    free_made(&m);
    dsn.full = false;
    dsn.header = SLICE_EMPTY;
    m = write_with(&dsn, SLICE_EMPTY);
    assert_null(m.original);
    free_made(&m);
}

/* Each action: its name, its default status, what people read. */
static void actions(void **state)
{
    (void)state;
    static const struct {
        enum dsn_action action;
        const char *status, *want_status, *name, *subject, *text;
    } table[] = {
        {DSN_FAILED, "4.4.1", "5.4.1", "failed", "Your mail to bob@example.net could not be delivered",
         "We tried for 5 days."},
        {DSN_FAILED, "nonsense", "5.0.0", "failed", "Your mail to bob@example.net could not be delivered",
         "refused for good"},
        {DSN_FAILED, "5.1.", "5.0.0", "failed", "Your mail to bob@example.net could not be delivered",
         "refused"},
        {DSN_DELAYED, "4.4.1", "4.4.1", "delayed", "Your mail to bob@example.net is delayed",
         "It has been waiting for 5 days."},
        {DSN_DELAYED, "5.1.1", "4.0.0", "delayed", "Your mail to bob@example.net is delayed",
         "need not do anything"},
        {DSN_DELIVERED, "", "2.0.0", "delivered", "Your mail to bob@example.net was delivered",
         "was delivered to"},
        {DSN_RELAYED, "2.1.9", "2.1.9", "relayed", "Your mail to bob@example.net was passed on",
         "sends no confirmations"},
        {DSN_EXPANDED, "2.1.5.1", "2.0.0", "expanded", "Your mail to bob@example.net was passed on",
         "members"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct dsn_recipient r = bob;
        r.action = table[i].action;
        r.status = slice_of(table[i].status);
        r.retry_until = NOW + 3600;
        const struct dsn dsn = plain(&r, 1);
        struct made m = write_one(&dsn);
        assert_field(&m, 1, "Action", table[i].name);
        assert_field(&m, 1, "Status", table[i].want_status);
        assert_field(&m, 1, "Will-Retry-Until",
                     r.action == DSN_DELAYED ? "Sat, 21 Nov 2026 05:00:00 +0000" : "");
        assert_top(&m, "Subject", table[i].subject);
        if (!says(&m, table[i].text))
            fail_msg("%s: %.*s", table[i].text, SLICE_ARG(m.human));
        free_made(&m);
    }
}

static void reasons(void **state)
{
    (void)state;
    static const struct {
        const char *status;
        enum dsn_reason reason;
    } table[] = {
        {"5.1.1", DSN_REASON_ADDRESS},    {"5.1.2", DSN_REASON_DOMAIN},      {"5.1.10", DSN_REASON_DOMAIN},
        {"5.1.8", DSN_REASON_SENDER},     {"5.2.1", DSN_REASON_CLOSED},      {"4.2.2", DSN_REASON_FULL},
        {"5.3.4", DSN_REASON_SIZE},       {"4.4.7", DSN_REASON_UNREACHABLE}, {"5.4.6", DSN_REASON_LOOP},
        {"5.6.3", DSN_REASON_CONVERSION}, {"5.6.7", DSN_REASON_UTF8},        {"5.7.1", DSN_REASON_SPAM},
        {"5.7.10", DSN_REASON_TLS},       {"5.0.0", DSN_REASON_OTHER},       {"", DSN_REASON_OTHER},
        {"5", DSN_REASON_OTHER},          {"5.7", DSN_REASON_OTHER},         {"5.7.x", DSN_REASON_OTHER},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_int_equal(dsn_reason_of(slice_of(table[i].status)), table[i].reason);
    /* Every reason has a name and words of its own for both kinds. */
    for (int reason = DSN_REASON_NONE + 1; reason < DSN_REASON_COUNT; reason++) {
        assert_true(strlen(dsn_reason_name((enum dsn_reason)reason)) > 2);
        for (int action = DSN_FAILED; action <= DSN_DELAYED; action++) {
            struct dsn_recipient r = bob;
            r.reason = (enum dsn_reason)reason;
            r.action = (enum dsn_action)action;
            const struct dsn dsn = plain(&r, 1);
            struct made m = write_one(&dsn);
            assert_true(check_lines(m.human) <= 78);
            assert_true(slice_search(m.human, SLICE("bob@example.net\r\n    ")) > 0);
            free_made(&m);
        }
    }
}

/* What a remote says stays in its place, whatever it says. */
static void hostile(void **state)
{
    (void)state;
    char endless[5000];
    memset(endless, 'x', sizeof endless);
    static const char *const texts[] = {"550 a\r\nBcc: eve@example.com\r\n\r\nbody",
                                        "550 \x01\x02\x1b[2J\x7f bell\a",
                                        "550 \xff\xfe\xc0\x80 raw",
                                        "550 \xe2\x80\xaetxt.exe \xc2\x9b",
                                        "550\t\t\n\n\n ",
                                        "\r\n--=_report_a1b2c3d4e5f6a7b8--\r\n",
                                        "<x@y\r\nBcc: eve@example.com>"};
    for (size_t i = 0; i <= sizeof texts / sizeof *texts; i++) {
        struct dsn_recipient r = bob;
        r.diagnostic =
            i < sizeof texts / sizeof *texts ? slice_of(texts[i]) : slice_make(endless, sizeof endless);
        r.remote = r.diagnostic;
        r.orcpt = r.diagnostic;
        struct dsn dsn = plain(&r, 1);
        dsn.message_id = dsn.references = dsn.envid = dsn.subject = r.diagnostic;
        struct made m = write_one(&dsn);
        assert_true(m.original && !m.original->next);
        assert_slice(field_of(&m, mime_header(m.root, buf_slice(&m.message)), "Bcc"), "");
        assert_slice(field_of(&m, status_block(&m, 1), "Bcc"), "");
        assert_field(&m, 1, "Action", "failed");
        assert_true(buf_slice(&m.message).len < 20000);
        assert_true(slice_is_ascii(mime_body(m.status, buf_slice(&m.message))) || i == 3);
        assert_true(slice_search(m.human, SLICE("\xe2\x80\xae")) < 0);
        free_made(&m);
    }
}

static void utf8_addresses(void **state)
{
    (void)state;
    struct dsn_recipient r = bob;
    r.address = SLICE("b\xc3\xb6"
                      "b@example.net");
    r.orcpt = SLICE("b\xc3\xb6"
                    "b@example.net");
    struct dsn dsn = plain(&r, 1);
    struct made m = write_one(&dsn);
    assert_true(mime_is(m.status, SLICE("message"), SLICE("delivery-status")));
    assert_field(&m, 1, "Final-Recipient", "utf-8; b\\x{F6}b@example.net");
    assert_true(!m.needs.smtputf8 && !m.needs.eightbit);
    assert_int_equal(m.text->encoding, MIME_QP);
    assert_true(says(&m, "b\xc3\xb6"
                         "b@example.net"));
    free_made(&m);
    dsn.smtputf8 = true;
    m = write_one(&dsn);
    assert_true(mime_is(m.status, SLICE("message"), SLICE("global-delivery-status")));
    assert_field(&m, 1, "Final-Recipient",
                 "utf-8; b\xc3\xb6"
                 "b@example.net");
    assert_field(&m, 1, "Original-Recipient",
                 "utf-8; b\xc3\xb6"
                 "b@example.net");
    assert_true(slice_search(mime_header(m.root, buf_slice(&m.message)),
                             SLICE("report-type=global-delivery-status")) > 0);
    assert_true(m.needs.smtputf8 && m.needs.eightbit);
    free_made(&m);
}

/* The type of address the sender's system gave comes back to it (RFC 3464 section 2.3.1). */
static void original_recipient(void **state)
{
    (void)state;
    static const struct {
        const char *orcpt, *field;
    } rows[] = {
        {"rfc822;jo@example.org", "rfc822; jo@example.org"},
        {"jo@example.org", "rfc822; jo@example.org"}, /* as older versions kept it */
        {"X400;/C=de;S=jo/", "X400; /C=de;S=jo/"},
        {"utf-8;j\xc3\xb6@example.org", "utf-8; j\\x{F6}@example.org"},
        {"rfc822;x400;a", "rfc822; x400;a"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dsn_recipient r = bob;
        r.orcpt = slice_of(rows[i].orcpt);
        struct dsn dsn = plain(&r, 1);
        struct made m = write_one(&dsn);
        assert_field(&m, 1, "Original-Recipient", rows[i].field);
        free_made(&m);
    }
}

/* A forward's target is nobody's business but its owner's. */
static void hidden_target(void **state)
{
    (void)state;
    struct dsn_recipient r = bob;
    r.hidden = SLICE("Bob.Private@mail.example");
    r.diagnostic = SLICE("550 5.1.1 <bob.private@mail.example>: unknown; bob.private@mail.example is gone");
    const struct dsn dsn = plain(&r, 1);
    struct made m = write_one(&dsn);
    assert_true(slice_isearch(buf_slice(&m.message), SLICE("private")) < 0);
    assert_field(&m, 1, "Diagnostic-Code",
                 "smtp; 550 5.1.1 <(the recipient)>: unknown; (the recipient) is gone");
    free_made(&m);
}

/* The lines of a reply become one. */
static void long_reply(void **state)
{
    (void)state;
    struct dsn_recipient r = bob;
    r.diagnostic = SLICE("550-5.7.1 first line\n550-5.7.1\tsecond  line\r\n550 5.7.1 third");
    const struct dsn dsn = plain(&r, 1);
    struct made m = write_one(&dsn);
    assert_field(&m, 1, "Diagnostic-Code",
                 "smtp; 550-5.7.1 first line 550-5.7.1 second line 550 5.7.1 third");
    free_made(&m);
}

static void several(void **state)
{
    (void)state;
    struct dsn_recipient r[3] = {bob, bob, bob};
    r[1].action = DSN_DELIVERED;
    r[1].address = SLICE("carl@example.net");
    r[2].address = SLICE("dora@example.net");
    r[2].reason = DSN_REASON_FULL;
    struct dsn dsn = plain(r, 3);
    struct made m = write_one(&dsn);
    assert_top(&m, "Subject", "Your mail to 2 recipients could not be delivered");
    assert_field(&m, 1, "Final-Recipient", "rfc822; bob@example.net");
    assert_field(&m, 2, "Final-Recipient", "rfc822; carl@example.net");
    assert_field(&m, 2, "Action", "delivered");
    assert_field(&m, 3, "Final-Recipient", "rfc822; dora@example.net");
    assert_true(says(&m, "could not be delivered to:") && says(&m, "was delivered to:") &&
                says(&m, "mailbox is full"));
    free_made(&m);
    dsn.double_bounce = true;
    m = write_one(&dsn);
    assert_true(says(&m, "You get it as postmaster"));
    free_made(&m);
}

static void bounds(void **state)
{
    (void)state;
    static struct dsn_recipient many[DSN_RECIPIENTS_MAX];
    char address[700], diagnostic[4000];
    for (size_t i = 0; i + 3 < sizeof address; i += 3)
        memcpy(address + i, "\xe2\x82\xac", 3);
    memset(diagnostic, 0xc3, sizeof diagnostic);
    for (size_t i = 0; i < sizeof diagnostic; i += 2)
        diagnostic[i + 1] = (char)0xa9;
    for (size_t i = 0; i < DSN_RECIPIENTS_MAX; i++) {
        many[i] = bob;
        many[i].address = many[i].orcpt = slice_make(address, 600);
        many[i].diagnostic = slice_make(diagnostic, sizeof diagnostic);
    }
    struct dsn dsn = plain(many, DSN_RECIPIENTS_MAX);
    static char header[2 * DSN_HEADER_MAX];
    memset(header, 'h', sizeof header);
    memcpy(header + 1000, "\r\n", 2);
    dsn.header = slice_make(header, sizeof header);
    struct made m = write_with(&dsn, SLICE_EMPTY);
    assert_true(m.message.len <= DSN_MAX);
    assert_int_equal(mime_body(m.original, buf_slice(&m.message)).len, 1002);
    free_made(&m);
}

static void wanted(void **state)
{
    (void)state;
    static const struct {
        uint32_t notify;
        bool failed, delayed, delivered;
    } table[] = {{0, true, true, false},   {1, false, false, false}, {2, false, false, true},
                 {4, true, false, false},  {8, false, true, false},  {14, true, true, true},
                 {15, false, false, false}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(dsn_wanted(table[i].notify, DSN_FAILED), table[i].failed);
        assert_int_equal(dsn_wanted(table[i].notify, DSN_DELAYED), table[i].delayed);
        assert_int_equal(dsn_wanted(table[i].notify, DSN_DELIVERED), table[i].delivered);
        assert_int_equal(dsn_wanted(table[i].notify, DSN_RELAYED), table[i].delivered);
    }
}

/* What is escaped grows; a line must not (RFC 5322 section 2.1.1). */
static void test_long_addresses(void **state)
{
    static const char *const units[] = {"\xd9\xa9", "=\xc3\xb6", "+", "\xf0\x9f\x98\x80", "\xc3"};
    (void)state;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        AUTO_BUF struct buf address = buf_new(600);
        buf_add_str(&address, "\xc3\xb6");
        while (address.len < 490)
            buf_add_str(&address, units[i]);
        struct dsn_recipient long_one = bob;
        long_one.orcpt = buf_slice(&address);
        struct dsn dsn = plain(&long_one, 1);
        struct made m = write_one(&dsn);
        assert_false(m.needs.smtputf8);
        free_made(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_addresses),
        cmocka_unit_test(original_recipient),
        cmocka_unit_test(failure),
        cmocka_unit_test(whole_message),
        cmocka_unit_test(actions),
        cmocka_unit_test(reasons),
        cmocka_unit_test(hostile),
        cmocka_unit_test(utf8_addresses),
        cmocka_unit_test(hidden_target),
        cmocka_unit_test(several),
        cmocka_unit_test(long_reply),
        cmocka_unit_test(bounds),
        cmocka_unit_test(wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
