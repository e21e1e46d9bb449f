/* Every message survives its coding; nothing ill-formed is decoded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdalign.h>
#include <string.h>

#include "wire/relay.h"
#include "wire/wire.h"

static void test_round_trip(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = buf_new(IPC_BODY_MAX);
    struct wire_queue_mail mail = {.txn = UINT64_MAX,
                                   .listener = 3,
                                   .size = 12345,
                                   .sender = SLICE("a@b.test"),
                                   .helo = SLICE("host"),
                                   .tls = SLICE("TLSv1.3"),
                                   .session = SLICE("s")},
                           got;
    memset(mail.grant.name, 0xab, sizeof mail.grant.name);
    wire_encode(WIRE_QUEUE_MAIL, &mail, &out);
    assert_true(buf_ok(&out));
    assert_int_equal(wire_decode(WIRE_QUEUE_MAIL, buf_slice(&out), &got), ERR_OK);
    assert_int_equal(got.txn, mail.txn);
    assert_int_equal(got.size, mail.size);
    assert_true(grant_eq(&got.grant, &mail.grant));
    assert_true(slice_eq(got.sender, mail.sender));
    assert_true(slice_eq(got.session, mail.session));
    assert_int_equal(got.envid.len, 0);
}

/* All zero messages of every type: encodes, decodes; every shorter or longer form is refused. */
static void test_every_type_is_strict(void **state)
{
    (void)state;
    alignas(max_align_t) uint8_t message[512], got[512];
    for (int type = WIRE_NONE + 1; type < WIRE_COUNT; type++) {
        AUTO_BUF struct buf out = buf_new(IPC_BODY_MAX);
        assert_string_not_equal(wire_name((enum wire_type)type), "unknown");
        assert_true(wire_size((enum wire_type)type) <= sizeof message);
        memset(message, 0, sizeof message);
        wire_encode((enum wire_type)type, message, &out);
        assert_int_equal(wire_decode((enum wire_type)type, buf_slice(&out), got), ERR_OK);
        for (size_t len = 0; len < out.len; len++)
            assert_int_equal(wire_decode((enum wire_type)type, slice_sub(buf_slice(&out), 0, len), got),
                             ERR_BAD);
        buf_add_byte(&out, 0);
        assert_int_equal(wire_decode((enum wire_type)type, buf_slice(&out), got), ERR_BAD);
    }
    assert_int_equal(wire_decode(WIRE_COUNT, SLICE(""), got), ERR_BAD);
    assert_int_equal(wire_decode(WIRE_NONE, SLICE(""), got), ERR_BAD);
}

static void test_relay_rows(void **state)
{
    (void)state;
    AUTO_BUF struct buf list = buf_new(IPC_BODY_MAX);
    const struct relay_recipient to = {
        .ordinal = 7, .notify = 4, .address = SLICE("a@b.test"), .orcpt = SLICE("rfc822;a@b.test")};
    relay_recipient_add(&list, &to);
    relay_recipient_add(&list, &to);
    struct slice rest = buf_slice(&list);
    struct relay_recipient recipient;
    for (int i = 0; i < 2; i++) {
        assert_true(relay_recipient_take(&rest, &recipient));
        assert_int_equal(recipient.ordinal, 7);
        assert_true(slice_eq(recipient.orcpt, to.orcpt));
    }
    assert_false(relay_recipient_take(&rest, &recipient));
    assert_int_equal(rest.len, 0);
    AUTO_BUF struct buf results = buf_new(IPC_BODY_MAX);
    struct relay_result made = {.ordinal = 7,
                                .outcome = RELAY_OUTCOME_REFUSED,
                                .code = 550,
                                .enhanced = SLICE("5.1.1"),
                                .text = SLICE("no such user")},
                        result;
    relay_result_add(&results, &made);
    for (size_t len = 0; len < results.len; len++) {
        rest = slice_sub(buf_slice(&results), 0, len);
        assert_false(relay_result_take(&rest, &result));
    }
    rest = buf_slice(&results);
    assert_true(relay_result_take(&rest, &result));
    assert_int_equal(result.code, 550);
    assert_true(slice_eq(result.text, made.text));
    results.len = 0;
    made.outcome = RELAY_OUTCOME_COUNT;
    relay_result_add(&results, &made);
    rest = buf_slice(&results);
    assert_false(relay_result_take(&rest, &result));
}

static void test_bounds(void **state)
{
    (void)state;
    AUTO_BUF struct buf big = buf_new(100000), out = buf_new(IPC_BODY_MAX);
    struct wire_queue_rcpt got;
    for (int i = 0; i < 2000; i++)
        buf_add_byte(&big, 'x');
    const struct wire_queue_rcpt rcpt = {.address = buf_slice(&big)};
    wire_encode(WIRE_QUEUE_RCPT, &rcpt, &out);
    assert_false(buf_ok(&out)); /* ours: over the field's maximum */
    assert_int_equal(wire_decode(WIRE_QUEUE_RCPT, buf_slice(&out), &got), ERR_BAD);
    assert_int_equal(wire_decode(WIRE_QUEUE_RCPT,
                                 SLICE("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02"
                                       "aaaaa"),
                                 &got),
                     ERR_BAD);
}

static void test_peer_matrix(void **state)
{
    (void)state;
    assert_true(wire_allowed(WIRE_QUEUE_RCPT, ROLE_SMTP, ROLE_QUEUE));
    assert_false(wire_allowed(WIRE_QUEUE_RCPT, ROLE_IMAP, ROLE_QUEUE));
    assert_false(wire_allowed(WIRE_DELIVER, ROLE_SMTP, ROLE_STORE));
    assert_false(wire_allowed(WIRE_GRANT_ADD, ROLE_IMAP, ROLE_STORE));
    assert_false(wire_allowed(WIRE_GRANT_ADD, ROLE_SMTP, ROLE_QUEUE));
    assert_false(wire_allowed(WIRE_SUP_DRAIN, ROLE_STORE, ROLE_SMTP));
    assert_false(wire_allowed(WIRE_MBOX_LIST, ROLE_SMTP, ROLE_STORE));
    assert_false(wire_allowed(60000, ROLE_SMTP, ROLE_QUEUE));
}

static void test_lists(void **state)
{
    (void)state;
    AUTO_BUF struct buf list = buf_new(1000);
    struct slice rest, s;
    uint32_t first, last;
    wire_strings_add(&list, SLICE("a"));
    wire_strings_add(&list, SLICE(""));
    rest = buf_slice(&list);
    assert_true(wire_strings_take(&rest, &s) && slice_eq(s, SLICE("a")));
    assert_true(wire_strings_take(&rest, &s) && s.len == 0);
    assert_false(wire_strings_take(&rest, &s));
    rest = SLICE("\x05"
                 "abc");
    assert_false(wire_strings_take(&rest, &s));
    buf_clear(&list);
    wire_range_add(&list, 1, 1);
    wire_range_add(&list, 2, 4);
    wire_range_add(&list, 7, 7);
    assert_int_equal(list.len, 16);
    rest = buf_slice(&list);
    assert_true(wire_range_take(&rest, &first, &last) && first == 1 && last == 4);
    assert_true(wire_range_take(&rest, &first, &last) && first == 7 && last == 7);
    assert_false(wire_range_take(&rest, &first, &last));
    rest = SLICE("\2\0\0\0\1\0\0\0");
    assert_false(wire_range_take(&rest, &first, &last));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_every_type_is_strict),
        cmocka_unit_test(test_relay_rows),  cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_peer_matrix), cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
