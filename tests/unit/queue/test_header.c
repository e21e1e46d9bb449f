/* Our header block, and queue ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "queue/header.h"
#include "queue/id.h"

#define NOW 1795232569 /* Sat, 21 Nov 2026 03:42:49 +0000 */

static void check(const struct wire_queue_mail *mail, bool submission, const char *only_to,
                  const char *expected)
{
    const struct header_facts facts = {.mail = mail,
                                       .submission = submission,
                                       .hostname = SLICE("mail.example.org"),
                                       .id = SLICE("0123456789abcde"),
                                       .only_to = slice_of(only_to),
                                       .now = NOW};
    AUTO_BUF struct buf out = buf_new(WIRE_HEADER_MAX);
    header_add_received(&out, &facts);
    buf_add_byte(&out, 0);
    assert_true(buf_ok(&out));
    assert_string_equal((const char *)out.data, expected);
}

static void test_received(void **state)
{
    (void)state;
    struct wire_queue_mail mail = {.client = SLICE("192.0.2.1"),
                                   .client_name = SLICE("mx.b.example"),
                                   .helo = SLICE("mx.b.example"),
                                   .protocol = SLICE("ESMTPS"),
                                   .tls = SLICE("TLSv1.3 TLS_AES_256_GCM_SHA384")};
    check(&mail, false, "jane@example.org",
          "Received: from mx.b.example (mx.b.example [192.0.2.1])\r\n"
          "\tby mail.example.org (Rockdove) with ESMTPS id 0123456789abcde\r\n"
          "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384)\r\n"
          "\tfor <jane@example.org>;\r\n\tSat, 21 Nov 2026 03:42:49 +0000\r\n");
    check(&mail, true, "",
          "Received: by mail.example.org (Rockdove) with ESMTPS id 0123456789abcde\r\n"
          "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384);\r\n\tSat, 21 Nov 2026 03:42:49 +0000\r\n");
    mail = (struct wire_queue_mail){
        .client = SLICE("2001:db8::1"), .helo = SLICE("[IPv6:2001:db8::1]"), .protocol = SLICE("SMTP")};
    check(&mail, false, "",
          "Received: from [IPv6:2001:db8::1] (unknown [IPv6:2001:db8::1])\r\n"
          "\tby mail.example.org (Rockdove) with SMTP id 0123456789abcde;\r\n\tSat, 21 Nov 2026 03:42:49 "
          "+0000\r\n");
}

/* Nothing a client says of itself may end the line, open a comment or another field. */
static void test_hostile(void **state)
{
    (void)state;
    const struct wire_queue_mail mail = {.client = SLICE("192.0.2.1"),
                                         .helo = SLICE("x\r\nX-Evil: (1;<\0\xc3\xa9"),
                                         .protocol = SLICE("ESMTP")};
    check(&mail, false, "a\r\nb@example.org",
          "Received: from x??X-Evil:??1????? (unknown [192.0.2.1])\r\n"
          "\tby mail.example.org (Rockdove) with ESMTP id 0123456789abcde\r\n"
          "\tfor <a??b@example.org>;\r\n\tSat, 21 Nov 2026 03:42:49 +0000\r\n");
}

static void test_delivery(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = buf_new(1000);
    header_add_delivery(&out, SLICE_EMPTY, SLICE("jane@example.org"));
    header_add_delivery(&out, SLICE("a\nb@c.example"), SLICE("x\ry"));
    assert_true(slice_eq(buf_slice(&out), SLICE("Return-Path: <>\r\nDelivered-To: jane@example.org\r\n"
                                                "Return-Path: <a?b@c.example>\r\nDelivered-To: x?y\r\n")));
}

static void test_ids(void **state)
{
    (void)state;
    struct queue_id_state ids = {0};
    char last[QUEUE_ID_LEN + 1] = "", id[QUEUE_ID_LEN + 1];
    static const int64_t steps[] = {0, 0, 1, 0, -5000, 0, 100000, 0};
    uint64_t now = 1795232569000;
    for (unsigned i = 0; i < 20000; i++) {
        now += (uint64_t)steps[i % (sizeof steps / sizeof *steps)];
        queue_id_next(&ids, now, id);
        assert_int_equal(strlen(id), QUEUE_ID_LEN);
        assert_true(queue_id_ok(slice_of(id)));
        assert_true(strcmp(last, id) < 0); /* always growing, also when the clock is set back */
        memcpy(last, id, sizeof last);
    }
    assert_false(queue_id_ok(SLICE("")));
    assert_false(queue_id_ok(SLICE("0123456789abcdi")));
    assert_false(queue_id_ok(SLICE("0123456789abcdef")));
}

static void test_subject(void **state)
{
    (void)state;
    assert_true(slice_eq(header_subject(SLICE(" Hello you ")), SLICE("Hello you")));
    assert_int_equal(header_subject(SLICE_EMPTY).len, 0);
    char longer[2000] = "x";
    for (size_t i = 1; i < 1000; i += 2)
        memcpy(longer + i, "\xc3\xa4", 3);
    struct slice cut = header_subject(slice_of(longer));
    assert_true(cut.len <= HEADER_SUBJECT_MAX && cut.len >= HEADER_SUBJECT_MAX - 3 && slice_is_utf8(cut));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_received), cmocka_unit_test(test_hostile), cmocka_unit_test(test_delivery),
        cmocka_unit_test(test_ids),      cmocka_unit_test(test_subject),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
