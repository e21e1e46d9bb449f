/* What sending a message asks for: 8-bit bytes, and what a signature covers: verified against the message as
 * it is sent, put together the way store does it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/io.h"
#include "grammar/header.h"
#include "scan/job.h"

#define DATE "Sat, 21 Nov 2026 03:42:49 +0000"
#define ID   "<new@example.org>"
#define NOW  1600000000u

static struct job_tools tools;
static struct dkim_key *key;
static struct arena *arena;

static int memfd_of(struct slice bytes)
{
    int fd = -1;
    assert_int_equal(io_memfd("test", &fd, NULL), ERR_OK);
    assert_int_equal(io_write_all(fd, bytes, NULL), ERR_OK);
    return fd;
}

static void scan(uint32_t kind, struct slice message, struct facts *facts, struct sending *sending)
{
    AUTO_BUF struct buf encoded = buf_new(FACTS_MAX_ENCODED);
    const struct wire_scan_task task = {.kind = kind,
                                        .size = message.len,
                                        .hostname = SLICE("mail.example.org"),
                                        .date = SLICE(DATE),
                                        .message_id = SLICE(ID)};
    AUTO_FD int fd = memfd_of(message);
    assert_int_equal(job_scan_sending(&tools, &task, fd, &encoded, sending, NULL), ERR_OK);
    assert_int_equal(facts_decode_in(arena, arena_dup(arena, buf_slice(&encoded)), facts, NULL), ERR_OK);
}

static struct slice served_in(struct slice message, const struct facts *facts)
{
    AUTO_BUF struct buf out = buf_new(facts->size);
    uint64_t at = 0;
    buf_add(&out, facts->added);
    for (size_t i = 0; i < facts->cut_count; i++) {
        buf_add(&out, slice_sub(message, at, facts->cuts[i].off - at));
        at = facts->cuts[i].off + facts->cuts[i].len;
    }
    buf_add(&out, slice_from(message, at));
    assert_int_equal(out.len, facts->size);
    return arena_dup(arena, buf_slice(&out));
}

/* Signs as auth does, then verifies the message as a stranger does. */
static bool verifies(struct slice message, const struct sending *sending)
{
    struct dkim_summary summary = {.names = buf_slice(&sending->names),
                                   .fields = buf_slice(&sending->fields)};
    const struct dkim_signing signing = {SLICE("example.org"), SLICE("s"), NOW, 0, &summary};
    const struct dkim_record record = {
        .algorithm = DKIM_ED25519_SHA256, .key = dkim_key_public(key), .sha256 = true, .email = true};
    struct dkim_signature signature;
    struct slice field, header, body;
    for (size_t i = 0; i < sizeof summary.hash; i++)
        summary.hash[i] = sending->hash[i];
    assert_int_equal(dkim_sign_in(arena, key, &signing, &field, NULL), ERR_OK);
    assert_int_equal(dkim_signature_parse_in(arena, slice_from(field, 15), &signature, NULL), ERR_OK);
    struct slice whole = arena_printf(arena, "%.*s%.*s", SLICE_ARG(field), SLICE_ARG(message));
    header_split(whole, &header, &body);
    const struct dkim_message signed_message = {header, &body, 1};
    return dkim_verify_in(arena, &signature, &record, &signed_message, 0, NOW, NULL) == DKIM_PASS;
}

static void test_kinds(void **state)
{
    static const struct {
        uint32_t kind;
        const char *message;
        bool eightbit, utf8, can_sign;
    } rows[] = {
        {BODY_SUBMISSION, "From: a@b\r\n\r\nhello\r\n", false, false, true},
        {BODY_SUBMISSION, "Received: cut\r\nFrom: a@b\r\nBcc: c@d\r\nSubject: x\r\n\r\nhello\r\n\r\n\r\n",
         false, false, true},
        {BODY_SUBMISSION, "From: a@b\r\nDate: " DATE "\r\nMessage-ID: <x@y>\r\n\r\nhello \xc3\xa9\r\n", true,
         false, true},
        {BODY_SUBMISSION, "Subject: \xc3\xa9\r\nFrom: a@b\r\nUser-Agent: x\r\n\r\n", false, true, true},
        {BODY_SUBMISSION, "From: a@b\r\n", false, false, true},
        {BODY_SUBMISSION, "Subject: no sender\r\n\r\nhello\r\n", false, false, false},
        {BODY_SUBMISSION, "Bcc: only\r\n\r\n", false, false, false},
        {BODY_SUBMISSION, "", false, false, false},
        {BODY_MX, "From: a@b\r\nX-Spam: \xff\r\n\r\nhello \xff\r\n", true, false, false},
        {BODY_MX, "From: \xff\r\n\r\nhello\r\n", false, true, false},
        {BODY_APPEND, "From: \xff\r\n\r\n\xff", false, false, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sending sending = sending_new();
        struct facts facts;
        struct slice message = slice_of(rows[i].message);
        scan(rows[i].kind, message, &facts, &sending);
        if (sending.eightbit != rows[i].eightbit || sending.utf8_header != rows[i].utf8 ||
            sending.can_sign != rows[i].can_sign)
            fail_msg("row %zu: %d %d %d", i, sending.eightbit, sending.utf8_header, sending.can_sign);
        if (sending.can_sign && !verifies(served_in(message, &facts), &sending))
            fail_msg("row %zu does not verify", i);
        sending_free(&sending);
    }
}

/* Mapped ones, and headers larger than what is read of them: not signed rather than signed wrongly. */
static void test_large(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        AUTO_BUF struct buf message = buf_new(4u << 20);
        struct sending sending = sending_new();
        struct facts facts;
        buf_add_str(&message, "From: a@b\r\n");
        for (int j = 0; i && j < 30000; j++)
            buf_addf(&message, "X-%d: filler\r\n", j);
        buf_add_str(&message, "Subject: last\r\n\r\n");
        for (int j = 0; j < 50000; j++)
            buf_add_str(&message, "A line of  text \r\n");
        scan(BODY_SUBMISSION, buf_slice(&message), &facts, &sending);
        assert_int_equal(sending.can_sign, i == 0);
        if (sending.can_sign)
            assert_true(verifies(served_in(buf_slice(&message), &facts), &sending));
        sending_free(&sending);
    }
}

static void test_seven_bit(void **state)
{
    (void)state;
    struct slice message = SLICE("From: a@b\r\n\r\nhere is caf\xc3\xa9\r\n");
    const struct wire_scan_task task = {.kind = BODY_SEVEN_BIT, .size = message.len};
    struct sending sending = sending_new();
    struct slice converted;
    AUTO_FD int fd = memfd_of(message), out = -1;
    assert_int_equal(job_seven_bit(&tools, &task, fd, &out, &sending, NULL), ERR_OK);
    assert_true(io_is_sealed(out));
    assert_int_equal(io_read_all_in(arena, out, 10000, &converted, NULL), ERR_OK);
    assert_true(slice_is_ascii(converted) && !sending.eightbit && !sending.utf8_header);
    assert_true(sending.can_sign && verifies(converted, &sending));
    struct slice body;
    header_split(converted, NULL, &body);
    assert_int_equal(sending.header_len, converted.len - body.len);
    sending_free(&sending);
    AUTO_FD int refused = memfd_of(SLICE("DKIM-Signature: x\r\n\r\n\xff\r\n")), none = -1;
    const struct wire_scan_task other = {.kind = BODY_SEVEN_BIT, .size = 25};
    struct why why;
    sending = sending_new();
    assert_int_equal(job_seven_bit(&tools, &other, refused, &none, &sending, &why), ERR_BAD); /* too short */
    const struct wire_scan_task right = {.kind = BODY_SEVEN_BIT, .size = 24};
    assert_int_equal(job_seven_bit(&tools, &right, refused, &none, &sending, &why), ERR_REFUSED);
    assert_int_equal(none, -1);
    sending_free(&sending);
}

static int set_up(void **state)
{
    (void)state;
    tools = job_tools_new();
    arena = arena_new((size_t)64 << 20);
    return dkim_key_generate(DKIM_ED25519_SHA256, &key, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    job_tools_free(&tools);
    arena_free(&arena);
    dkim_key_free(&key);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_seven_bit),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
