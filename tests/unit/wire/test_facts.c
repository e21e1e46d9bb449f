/* Facts: coding, the check store relies on, lookup of parts, the header block in front. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "wire/facts.h"

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))
#define ARENA_MAX   (64u * 1024 * 1024)

static struct slice from_list[] = {SLICE("a@example.org")};
static struct facts_cut cut_list[] = {{3, 7}, {20, 10}};

/* A message of 1,000 bytes received, 990 served: header 100, two parts, the second one a message with one
 * part. */
static struct facts_part part_rows[] = {
    {0, 0, FACTS_MESSAGE, FACTS_ENC_8BIT, 0, 0, 0, 990, 100, SLICE("message"), SLICE("rfc822")},
    {0, 1, FACTS_LEAF, FACTS_ENC_QP, 110, 20, 130, 50, 0, SLICE("text"), SLICE("plain"), SLICE("utf-8")},
    {0, 2, FACTS_MESSAGE, FACTS_ENC_7BIT, 190, 30, 220, 700, 60, SLICE("message"), SLICE("rfc822")},
    {2, 1, FACTS_LEAF, FACTS_ENC_7BIT, 220, 60, 280, 640, 0, SLICE("text"), SLICE("html")},
};

static struct facts good(struct facts_part parts[4])
{
    memcpy(parts, part_rows, sizeof part_rows);
    return (struct facts){
        .flags = FACTS_HAS_ATTACHMENT,
        .size = 990,
        .header_len = 100,
        .lines = 30,
        .sent = -12345,
        .received_count = 2,
        .envelope = SLICE("(\"x\" NIL ((NIL NIL \"a\" \"b\")(NIL NIL {1}\r\n\xfc NIL)) NIL)"),
        .body = SLICE("(\"a\" 1)"),
        .bodystructure = SLICE("((\"a\")(\"b \\\" \\\\\" 12) \"mixed\")"),
        .parts = parts,
        .part_count = 4,
        .headers = SLICE("From: a\r\n b\r\nTo: c\r\n"),
        .from = {from_list, 1},
        .message_id = SLICE("id@x"),
        .subject = SLICE("Grüße"),
        .added = SLICE("Da: n\r\n"),
        .cuts = cut_list,
        .cut_count = 2,
        .text = SLICE("some text\r\n"),
        .text_len = 11,
    };
}

static void test_round_trip(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    AUTO_BUF struct buf bytes = buf_new(FACTS_MAX_ENCODED), again = buf_new(FACTS_MAX_ENCODED);
    struct facts_part parts[4];
    struct facts facts = good(parts), read = {0};
    facts_encode(&facts, &bytes);
    assert_true(buf_ok(&bytes));
    assert_int_equal(facts_decode_in(arena, buf_slice(&bytes), &read, NULL), ERR_OK);
    assert_int_equal(read.sent, -12345);
    assert_int_equal(read.part_count, 4);
    assert_true(slice_eq(read.text, facts.text));
    assert_true(slice_eq(read.parts[1].charset, SLICE("utf-8")));
    assert_int_equal(read.cuts[1].len, 10);
    facts_encode(&read, &again);
    assert_true(slice_eq(buf_slice(&bytes), buf_slice(&again)));
    assert_int_equal(facts_check(&read, 1000, NULL), ERR_OK);
}

/* The ready texts are had without the rest; a record cut short is none. */
static void test_front(void **state)
{
    (void)state;
    AUTO_BUF struct buf bytes = buf_new(FACTS_MAX_ENCODED);
    struct facts_part parts[4];
    struct facts facts = good(parts);
    struct facts_front front = {0};
    facts.preview = SLICE("the beginning");
    facts_encode(&facts, &bytes);
    for (int with = 0; with < 2; with++) {
        assert_true(facts_front(buf_slice(&bytes), with, &front));
        assert_int_equal(front.flags, facts.flags);
        assert_true(slice_eq(front.envelope, facts.envelope) && slice_eq(front.body, facts.body));
        assert_true(slice_eq(front.bodystructure, facts.bodystructure));
        assert_true(slice_eq(front.headers, facts.headers));
        assert_true(slice_eq(front.preview, with ? facts.preview : SLICE_EMPTY));
    }
    for (size_t len = 0; len < facts_record_len(buf_slice(&bytes)); len++)
        assert_false(facts_front(slice_sub(buf_slice(&bytes), 0, len), true, &front));
}

/* The text may be kept apart; nothing else may be missing, and no byte may follow. */
static void test_truncation(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    AUTO_BUF struct buf bytes = buf_new(FACTS_MAX_ENCODED);
    struct facts_part parts[4];
    struct facts facts = good(parts), read = {0};
    facts_encode(&facts, &bytes);
    size_t record = facts_record_len(buf_slice(&bytes));
    assert_int_equal(record, bytes.len - facts.text.len);
    for (size_t len = 0; len <= bytes.len; len++) {
        enum err err = facts_decode_in(arena, slice_sub(buf_slice(&bytes), 0, len), &read, NULL);
        assert_int_equal(err, len == record || len == bytes.len ? ERR_OK : ERR_BAD);
        assert_int_equal(facts_record_len(slice_sub(buf_slice(&bytes), 0, len)), len < record ? 0 : record);
        if (len == record)
            assert_true(!read.text.len && read.text_len == 11);
    }
    buf_add_byte(&bytes, 'x');
    assert_int_equal(facts_decode_in(arena, buf_slice(&bytes), &read, NULL), ERR_BAD);
    bytes.data[0] = FACTS_VERSION + 1;
    assert_int_equal(facts_decode_in(arena, buf_slice(&bytes), &read, NULL), ERR_BAD);
}

static void test_too_much(void **state)
{
    (void)state;
    AUTO_BUF struct buf bytes = buf_new(FACTS_MAX_ENCODED), large = buf_new(3 << 20);
    struct facts_part parts[4];
    struct facts facts = good(parts);
    assert_non_null(buf_reserve(&large, 3 << 20));
    buf_added(&large, 3 << 20);
    facts.subject = buf_slice(&large);
    facts_encode(&facts, &bytes);
    assert_false(buf_ok(&bytes));
}

static void test_ready_texts(void **state)
{
    (void)state;
    static const struct {
        struct slice text;
        bool good;
    } rows[] = {
        {SLICE("(NIL)"), true},
        {SLICE("(\"a\" NIL 12 (\"b\"))"), true},
        {SLICE("((\"b\")(\"c\"))"), true},
        {SLICE("({3}\r\n\r\n) \"x\")"), true},
        {SLICE("({0}\r\n)"), true},
        {SLICE(""), false},
        {SLICE("NIL"), false},
        {SLICE("\"a\""), false},
        {SLICE("()"), false},
        {SLICE("(NIL"), false},
        {SLICE("(NIL))"), false},
        {SLICE("(NIL)(NIL)"), false},
        {SLICE("(NIL) "), false},
        {SLICE("( NIL)"), false},
        {SLICE("(NIL )"), false},
        {SLICE("(NIL  NIL)"), false},
        {SLICE("(\"a\"\"b\")"), false},
        {SLICE("(NIL(NIL))"), false},
        {SLICE("(atom)"), false},
        {SLICE("(NILL)"), false},
        {SLICE("(-1)"), false},
        {SLICE("(\"a)"), false},
        {SLICE("(\"a\\\")"), false},
        {SLICE("(\"a\\x\")"), false},
        {SLICE("(\"a\r\nb\")"), false},
        {SLICE("(\"a\nb\")"), false},
        {SLICE("(\"a\0b\")"), false},
        {SLICE("(\"\xfc\")"), false},
        {SLICE("({1}\r\n)"), false},
        {SLICE("({2}\r\na)"), false},
        {SLICE("({1}\na)"), false},
        {SLICE("({}\r\n)"), false},
        {SLICE("({1}\r\n\0)"), false},
        {SLICE("({99999999999999999999}\r\na)"), false},
        {SLICE("({18446744073709551615}\r\na)"), false},
        {SLICE("(NIL)\r\n* BYE"), false},
        {SLICE("(NIL\r\n)"), false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct facts_part parts[4];
        struct facts a = good(parts), b = a, c = a;
        a.envelope = b.body = c.bodystructure = rows[i].text;
        enum err wanted = rows[i].good ? ERR_OK : ERR_BAD;
        if (facts_check(&a, 1000, NULL) != wanted || facts_check(&b, 1000, NULL) != wanted ||
            facts_check(&c, 1000, NULL) != wanted)
            fail_msg("row %zu: %.*s", i, SLICE_ARG(rows[i].text));
    }
}

/* Each change of good facts must be noticed. */
static void set_size(struct facts *f)
{
    f->size++;
}
static void set_header_len(struct facts *f)
{
    f->header_len = 991;
}
static void set_lines(struct facts *f)
{
    f->lines = 991;
}
static void set_no_parts(struct facts *f)
{
    f->part_count = 0;
}
static void set_root_len(struct facts *f)
{
    f->parts[0].body_len--;
}
static void set_root_kind(struct facts *f)
{
    f->parts[0].kind = FACTS_LEAF;
}
static void set_body_outside(struct facts *f)
{
    f->parts[3].body_len++;
}
static void set_body_wraps(struct facts *f)
{
    f->parts[1].body_len = UINT64_MAX - 10;
}
static void set_header_outside(struct facts *f)
{
    f->parts[3].header_off = 100;
}
static void set_gap(struct facts *f)
{
    f->parts[1].body_off++;
}
static void set_parent(struct facts *f)
{
    f->parts[1].parent = 2;
}
static void set_leaf_parent(struct facts *f)
{
    f->parts[3].parent = 1;
}
static void set_number(struct facts *f)
{
    f->parts[2].number = 3;
}
static void set_inner(struct facts *f)
{
    f->parts[2].inner_header_len = 701;
}
static void set_leaf_inner(struct facts *f)
{
    f->parts[1].inner_header_len = 1;
}
static void set_type(struct facts *f)
{
    f->parts[1].type = SLICE("te\r\nxt");
}
static void set_no_type(struct facts *f)
{
    f->parts[1].type = SLICE_EMPTY;
}
static void set_subject(struct facts *f)
{
    f->subject = SLICE("a\nb");
}
static void set_preview(struct facts *f)
{
    f->preview = SLICE("\xff");
}
static void set_text(struct facts *f)
{
    f->text = SLICE("\xff----------");
}
static void set_text_len(struct facts *f)
{
    f->text_len = 12;
}
static void set_from(struct facts *f)
{
    static struct slice bad[] = {SLICE("a@b\r\nX: y")};
    f->from.at = bad;
}
static void set_headers(struct facts *f)
{
    f->headers = SLICE("From: a");
}
static void set_headers_blank(struct facts *f)
{
    f->headers = SLICE("From: a\r\n\r\nbody\r\n");
}
static void set_headers_first(struct facts *f)
{
    f->headers = SLICE(" a\r\n");
}
static void set_added(struct facts *f)
{
    f->added = SLICE("Da: n--");
}
static void set_cut_order(struct facts *f)
{
    static struct facts_cut cuts[] = {{20, 10}, {3, 7}};
    f->cuts = cuts;
}
static void set_cut_touch(struct facts *f)
{
    static struct facts_cut cuts[] = {{3, 7}, {10, 10}};
    f->cuts = cuts;
}
static void set_cut_wraps(struct facts *f)
{
    static struct facts_cut cuts[] = {{3, 7}, {20, UINT64_MAX - 5}};
    f->cuts = cuts;
}
static void set_cut_empty(struct facts *f)
{
    static struct facts_cut cuts[] = {{3, 17}, {30, 0}};
    f->cuts = cuts;
}
static void set_flags(struct facts *f)
{
    f->flags = FACTS_FLAGS_ALL + 1;
}

static void test_check(void **state)
{
    (void)state;
    static void (*const changes[])(struct facts *) = {
        set_size,          set_header_len,   set_lines,      set_no_parts,       set_root_len,
        set_root_kind,     set_body_outside, set_body_wraps, set_header_outside, set_gap,
        set_parent,        set_leaf_parent,  set_number,     set_inner,          set_leaf_inner,
        set_type,          set_no_type,      set_subject,    set_preview,        set_text,
        set_text_len,      set_from,         set_headers,    set_headers_blank,  set_added,
        set_cut_order,     set_cut_touch,    set_cut_wraps,  set_cut_empty,      set_flags,
        set_headers_first,
    };
    for (size_t i = 0; i < COUNT(changes); i++) {
        struct facts_part parts[4];
        struct facts facts = good(parts);
        assert_int_equal(facts_check(&facts, 1000, NULL), ERR_OK);
        changes[i](&facts);
        if (facts_check(&facts, 1000, NULL) != ERR_BAD)
            fail_msg("change %zu was not noticed", i);
    }
    struct facts_part parts[4];
    struct facts facts = good(parts);
    assert_int_equal(facts_check(&facts, 1001, NULL), ERR_BAD);
}

static void test_find_part(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int row;
    } rows[] = {
        {"", 0},     {"1", 1},  {"2", 2},   {"2.1", 3},   {"3", -1},  {"0", -1}, {"1.1", -1},
        {"2.2", -1}, {".", -1}, {"2.", -1}, {"2..1", -1}, {".1", -1}, {"x", -1}, {"99999999999999999999", -1},
    };
    struct facts_part parts[4];
    struct facts facts = good(parts);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct facts_part *found = facts_find_part(&facts, slice_of(rows[i].path));
        assert_ptr_equal(found, rows[i].row < 0 ? NULL : &parts[rows[i].row]);
    }
}

static void test_put_in_front(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct facts_part parts[4];
    struct facts facts = good(parts);
    struct slice block =
        SLICE("Return-Path: <x>\r\nX-Other: a\r\n b\r\nDelivered-To: d@e\r\nReceived: f\r\n");
    facts_put_in_front(arena, &facts, block);
    assert_int_equal(facts.size, 990 + block.len);
    assert_int_equal(facts.header_len, 100 + block.len);
    assert_int_equal(facts.lines, 35);
    assert_int_equal(facts.received_count, 3);
    assert_int_equal(facts.delivered_to.count, 1);
    assert_true(slice_eq(facts.delivered_to.at[0], SLICE("d@e")));
    assert_true(slice_eq(facts.headers, SLICE("Return-Path: <x>\r\nDelivered-To: d@e\r\nReceived: f\r\n"
                                              "From: a\r\n b\r\nTo: c\r\n")));
    assert_int_equal(facts.parts[0].body_off, 0);
    assert_int_equal(facts.parts[0].inner_header_len, 100 + block.len);
    assert_int_equal(facts.parts[1].body_off, 130 + block.len);
    assert_int_equal(facts.parts[3].header_off, 220 + block.len);
    assert_int_equal(parts[1].body_off, 130);
    facts.added = block;
    facts.cut_count = 0;
    assert_int_equal(facts_check(&facts, 990, NULL), ERR_OK);
}

/* A message that is not multipart: its one part has the message's own header. */
static void test_put_in_front_of_one(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct facts_part parts[4];
    struct facts facts = good(parts);
    facts.part_count = 2;
    parts[1].header_off = 0;
    parts[1].header_len = parts[1].body_off = 100;
    facts_put_in_front(arena, &facts, SLICE("A: b\r\n"));
    assert_int_equal(facts.parts[1].header_off, 0);
    assert_int_equal(facts.parts[1].header_len, 106);
    assert_int_equal(facts.parts[1].body_off, 106);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),          cmocka_unit_test(test_front),
        cmocka_unit_test(test_truncation),          cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_ready_texts),         cmocka_unit_test(test_check),
        cmocka_unit_test(test_find_part),           cmocka_unit_test(test_put_in_front),
        cmocka_unit_test(test_put_in_front_of_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
