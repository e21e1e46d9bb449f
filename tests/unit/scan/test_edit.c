/* What is cut from and added to headers, by the way a message came. */
#include "scan/edit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "grammar/header.h"
#include "grammar/mime.h"

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))
#define ARENA_MAX   (256u * 1024 * 1024)

static struct wire_scan_task task_of(uint32_t kind)
{
    return (struct wire_scan_task){.kind = kind,
                                   .hostname = SLICE("mail.example.org"),
                                   .date = SLICE("NOW"),
                                   .message_id = SLICE("<new@id>")};
}

static void test_edits(void **state)
{
    (void)state;
    static const struct {
        uint32_t kind;
        const char *header, *served;
    } rows[] = {
        {BODY_MX, "From: a\r\n\r\n", "From: a\r\n\r\n"},
        {BODY_MX, "Return-Path: <x>\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n"},
        {BODY_MX, "Delivered-To: a\r\nBcc: b\r\nReceived: c\r\nUser-Agent: d\r\n\r\n",
         "Delivered-To: a\r\nBcc: b\r\nReceived: c\r\nUser-Agent: d\r\n\r\n"},
        {BODY_MX, "X-Spam-Flag: YES\r\nA: b\r\nx-spamd-result: c\r\n d\r\nX-SPAM: e\r\n\r\n", "A: b\r\n\r\n"},
        {BODY_MX, "X-Spam : YES\r\nA: b\r\n\r\n", "A: b\r\n\r\n"},
        /* only results in our name; RFC 8601 section 5 */
        {BODY_MX, "Authentication-Results: MAIL.example.org; spf=pass\r\nA: b\r\n\r\n", "A: b\r\n\r\n"},
        {BODY_MX, "Authentication-Results:\r\n (c) \"mail.example.org\" 1; spf=pass\r\nA: b\r\n\r\n",
         "A: b\r\n\r\n"},
        {BODY_MX, "Authentication-Results: mail.example.org\r\nA: b\r\n\r\n", "A: b\r\n\r\n"},
        {BODY_MX, "Authentication-Results: mx.example.org; spf=pass\r\n\r\n",
         "Authentication-Results: mx.example.org; spf=pass\r\n\r\n"},
        {BODY_MX, "Authentication-Results: mail.example.org.evil; spf=pass\r\n\r\n",
         "Authentication-Results: mail.example.org.evil; spf=pass\r\n\r\n"},
        /* a first line that would continue our own last field */
        {BODY_MX, " dkim=pass\r\n more\r\nA: b\r\n\r\n", "A: b\r\n\r\n"},
        {BODY_APPEND, " dkim=pass\r\nA: b\r\n\r\n", " dkim=pass\r\nA: b\r\n\r\n"},
        /* no header, no empty line, nothing left */
        {BODY_MX, "", "\r\n"},
        {BODY_APPEND, "", ""},
        {BODY_MX, "\r\n", "\r\n"},
        {BODY_MX, "X-Spam: a\r\n\r\n", "\r\n"},
        {BODY_MX, "A: b\r\nX-Spam: a", "A: b\r\n"},
        {BODY_SUBMISSION, "", "Date: NOW\r\nMessage-ID: <new@id>\r\n\r\n"},
        {BODY_SUBMISSION, "From: a\r\n\r\n", "Date: NOW\r\nMessage-ID: <new@id>\r\nFrom: a\r\n\r\n"},
        {BODY_SUBMISSION, "date: x\r\nFrom: a\r\n\r\n", "Message-ID: <new@id>\r\ndate: x\r\nFrom: a\r\n\r\n"},
        {BODY_SUBMISSION, "Date: x\r\nMESSAGE-id: y\r\n\r\n", "Date: x\r\nMESSAGE-id: y\r\n\r\n"},
        {BODY_SUBMISSION,
         "Date: x\r\nBcc: a,\r\n b\r\nMessage-ID: y\r\nReceived: c\r\nX-Originating-IP: d\r\nUser-Agent: "
         "e\r\n"
         "X-Mailer: f\r\nX-Enigmail-Version: g\r\nReturn-Path: h\r\nResent-Bcc: i\r\nTo: j\r\n\r\n",
         "Date: x\r\nMessage-ID: y\r\nTo: j\r\n\r\n"},
        {BODY_APPEND, "Bcc: a\r\nReturn-Path: b\r\nX-Spam: c\r\n\r\n",
         "Bcc: a\r\nReturn-Path: b\r\nX-Spam: c\r\n\r\n"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        struct wire_scan_task task = task_of(rows[i].kind);
        struct edit edit;
        edit_header_in(arena, &task, slice_of(rows[i].header), &edit);
        if (!slice_eq(edit.header, slice_of(rows[i].served)) || edit.header_len != edit.header.len)
            fail_msg("row %zu: got \"%.*s\"", i, SLICE_ARG(edit.header));
    }
}

static void test_flags(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct wire_scan_task task = task_of(BODY_MX);
    struct edit edit;
    edit_header_in(arena, &task, SLICE("Received: a\r\nReceived: b\r\nDate: x\r\n\r\n"), &edit);
    assert_int_equal(edit.received_count, 2);
    assert_int_equal(edit.flags, FACTS_NO_MESSAGE_ID);
    assert_int_equal(edit.lines, 4);
}

/* A forged result behind ten thousand other fields, and more cuts than facts can hold. */
static void test_many_fields(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    AUTO_BUF struct buf header = buf_new(1 << 22);
    struct wire_scan_task task = task_of(BODY_MX);
    struct edit edit;
    for (int i = 0; i < 3 * HEADER_FIELDS_MAX; i++)
        buf_add_str(&header, "a: b\r\n");
    buf_add_str(&header, "Authentication-Results: mail.example.org; x\r\nc: d\r\n\r\n");
    edit_header_in(arena, &task, buf_slice(&header), &edit);
    assert_int_equal(edit.cut_count, 1);
    assert_int_equal(edit.header_len, header.len - 45);
    assert_true(slice_ends(edit.header, SLICE("a: b\r\nc: d\r\n\r\n")));

    buf_clear(&header);
    for (int i = 0; i < 2 * FACTS_MAX_LIST; i++)
        buf_add_str(&header, "X-Spam: a\r\na: b\r\n");
    buf_add_str(&header, "\r\n");
    edit_header_in(arena, &task, buf_slice(&header), &edit);
    assert_int_equal(edit.cut_count, FACTS_MAX_LIST);
    assert_int_equal(slice_search(edit.header, SLICE("X-Spam")), -1);
    assert_true(slice_ends(edit.header, SLICE("a: b\r\n\r\n")));
    assert_int_equal(edit.header_len, edit.header.len);
}

static void test_long_header(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    AUTO_BUF struct buf header = buf_new(1 << 22);
    struct wire_scan_task task = task_of(BODY_SUBMISSION);
    struct edit edit;
    buf_add_str(&header, "X: ");
    while (header.len < 3 << 20)
        buf_add_str(&header, "0123456789abcdef");
    buf_add_str(&header, "\r\nBcc: x\r\n\r\n");
    edit_header_in(arena, &task, buf_slice(&header), &edit);
    assert_int_equal(edit.cut_count, 1);
    assert_int_equal(edit.header_len, header.len - 8 + edit.added.len);
    assert_in_range(edit.header.len, edit.added.len, MIME_MAX_HEADER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edits),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_many_fields),
        cmocka_unit_test(test_long_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
