/* The MIME tree of ordinary, odd and hostile messages. A tree is written as text: each part is
 * "type/subtype@body_off+body_len" with its children in parentheses ("m:" marks a message and its content).
 */
#include "grammar/mime.h"

#include "check.h"

static void write_tree(struct buf *out, const struct mime_part *part)
{
    buf_addf(out, "%.*s/%.*s@%zu+%zu", SLICE_ARG(part->type.type), SLICE_ARG(part->type.subtype),
             part->body_off, part->body_len);
    if (part->opaque)
        buf_add_byte(out, '!');
    if (!part->child)
        return;
    buf_add_str(out, part->kind == MIME_MESSAGE ? "(m:" : "(");
    for (const struct mime_part *child = part->child; child; child = child->next) {
        if (child != part->child)
            buf_add_byte(out, ' ');
        write_tree(out, child);
    }
    buf_add_byte(out, ')');
}

struct row {
    const char *message, *tree;
};

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        AUTO_BUF struct buf tree = buf_new(4096);
        write_tree(&tree, mime_parse_in(arena, slice_of(rows[i].message), NULL, NULL));
        assert_text(buf_slice(&tree), rows[i].tree, i);
    }
}

#define MIXED(b) "Content-Type: multipart/mixed; boundary=" b "\n\n"

static void test_simple(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"", "text/plain@0+0"},
        {"\r\n", "text/plain@2+0"},
        {"\nbody", "text/plain@1+4"},
        {"Subject: x\r\n\r\nbody\r\n", "text/plain@14+6"},
        {"Subject: x\n\nbody\n", "text/plain@12+5"},
        {"Subject: x", "text/plain@10+0"},
        {"Subject: x\r\n", "text/plain@12+0"},
        /* no header: all of it is text */
        {"just text\nmore\n\nend", "text/plain@0+19"},
        {"just text", "text/plain@0+9"},
        /* junk among fields does not end the header */
        {"From x Mon Jan 1\nSubject: x\n\nbody", "text/plain@29+4"},
        {"Subject: x\njunk\nContent-Type: text/html\n\nbody", "text/html@41+4"},
        {"Content-Type: text/html\n\n", "text/html@25+0"},
        {"Content-Type: TEXT/HTML ; charset = x\n\nb", "TEXT/HTML@39+1"},
        {"Content-Type: text\n\nb", "text/plain@20+1"},
        {"Content-Type: /html\n\nb", "text/plain@21+1"},
        {"Content-Type: (c) text (c) / (c) html (c)\n\nb", "text/html@43+1"},
        {"Content-Type: text/html\nContent-Type: image/png\n\nb", "text/html@49+1"},
        {"CONTENT-TYPE : text/html\n\nb", "text/html@26+1"},
        {"Content-Type:\n text/html\n\nb", "text/html@26+1"},
    };
    check_rows(rows, COUNT(rows));
}

static void test_multipart(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {MIXED("a") "pre\n--a\n\none\n--a\n\ntwo\n--a--\nepilogue\n",
         "multipart/mixed@43+37(text/plain@52+3 text/plain@61+3)"},
        {"Content-Type: multipart/mixed; boundary=\"a b\"\r\n\r\n--a b\r\n\r\none\r\n--a b--\r\n",
         "multipart/mixed@49+23(text/plain@58+3)"},
        /* blanks behind the boundary; boundary parameter with a blank at its end */
        {MIXED("\"a \"") "--a \t\n\none\n--a-- \n", "multipart/mixed@46+18(text/plain@53+3)"},
        /* a part with nothing in it, without header, without empty line, cut off */
        {MIXED("a") "--a\n\n--a\n\n\n--a\n--a--",
         "multipart/mixed@43+20(text/plain@48+0 text/plain@53+0 text/plain@58+0)"},
        {MIXED("a") "--a\nhello\n--a--", "multipart/mixed@43+15(text/plain@47+5)"},
        {MIXED("a") "--a\nContent-Type: text/html\n--a--", "multipart/mixed@43+33(text/html@71+0)"},
        {MIXED("a") "--a\n\none", "multipart/mixed@43+8(text/plain@48+3)"},
        {MIXED("a") "--a", "multipart/mixed@43+3(text/plain@46+0)"},
        /* the end boundary comes twice; delimiters behind it are epilogue */
        {MIXED("a") "--a\n\none\n--a--\n--a--\n--a\n\nx", "multipart/mixed@43+27(text/plain@48+3)"},
        /* nothing to split, or nothing to split by: people see the text */
        {MIXED("a") "no boundary here", "text/plain@43+16"},
        {MIXED("a") "--a--\n\nx", "text/plain@43+8"},
        {"Content-Type: multipart/mixed\n\n--a\n\none\n--a--", "text/plain@31+14"},
        {"Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\none\n----", "text/plain@44+12"},
        /* a boundary line needs to start its line */
        {MIXED("a") "--a\n\none --a\n --a\n-a\n--a--", "multipart/mixed@43+26(text/plain@48+15)"},
        /* more text behind the boundary is allowed (RFC 2046 section 5.1.1) */
        {MIXED("a") "--a x\n\none\n--a--y", "multipart/mixed@43+17(text/plain@50+3)"},
    };
    check_rows(rows, COUNT(rows));
}

static void test_nested(void **state)
{
    (void)state;
    static const struct row rows[] = {
        /* one boundary begins another, both ways round */
        {MIXED("a") "--a\n" MIXED("ab") "--ab\n\none\n--ab--\n--a\n\ntwo\n--a--\n",
         "multipart/mixed@43+80(multipart/mixed@91+16(text/plain@97+3) text/plain@113+3)"},
        {MIXED("ab") "--ab\n" MIXED("a") "--a\n\none\n--a--\n--ab\n\ntwo\n--ab--\n",
         "multipart/mixed@44+80(multipart/mixed@92+14(text/plain@97+3) text/plain@113+3)"},
        /* the same boundary inside: the innermost takes it */
        {MIXED("a") "--a\n" MIXED("a") "--a\n\none\n--a--\n--a\n\ntwo\n--a--\n",
         "multipart/mixed@43+77(multipart/mixed@90+14(text/plain@95+3) text/plain@110+3)"},
        /* the inner end boundary is missing */
        {MIXED("a") "--a\n" MIXED("b") "--b\n\none\n--a\n\ntwo\n--a--\n",
         "multipart/mixed@43+71(multipart/mixed@90+8(text/plain@95+3) text/plain@104+3)"},
        /* the outer boundary right behind the inner one */
        {MIXED("a") "--a\n" MIXED("b") "--b\n--a--\n",
         "multipart/mixed@43+57(multipart/mixed@90+3(text/plain@93+0))"},
        /* both end boundaries are missing */
        {MIXED("a") "--a\n" MIXED("b") "--b\n\none\n",
         "multipart/mixed@43+56(multipart/mixed@90+9(text/plain@95+4))"},
        {"Content-Type: multipart/digest; boundary=a\n\n--a\n\nSubject: x\n\ny\n--a\nContent-Type: "
         "text/plain\n\nz\n--a--",
         "multipart/digest@44+56(message/rfc822@49+13(m:text/plain@61+1) text/plain@93+1)"},
    };
    check_rows(rows, COUNT(rows));
}

static void test_messages(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"Content-Type: message/rfc822\n\nSubject: x\n\nbody", "message/rfc822@30+16(m:text/plain@42+4)"},
        {"Content-Type: message/global\n\nSubject: x\n\nbody", "message/global@30+16(m:text/plain@42+4)"},
        {"Content-Type: message/rfc822\n\n", "message/rfc822@30+0(m:text/plain@30+0)"},
        {"Content-Type: message/rfc822\n", "message/rfc822@29+0(m:text/plain@29+0)"},
        {"Content-Type: message/rfc822\n\nno header", "message/rfc822@30+9(m:text/plain@30+9)"},
        {"Content-Type: message/delivery-status\n\nSubject: x\n\nbody", "message/delivery-status@39+16"},
        {MIXED("a") "--a\nContent-Type: message/rfc822\n\nSubject: x\n--a--\n",
         "multipart/mixed@43+51(message/rfc822@77+10(m:text/plain@87+0))"},
        {MIXED("a") "--a\nContent-Type: message/rfc822\n\n--a--\n",
         "multipart/mixed@43+40(message/rfc822@77+0(m:text/plain@77+0))"},
        {MIXED("a") "--a\nContent-Type: message/rfc822\n\n" MIXED("b") "--b\n\nx\n--b--\n\n--a--\n",
         "multipart/mixed@43+97(message/rfc822@77+56(m:multipart/mixed@120+13(text/plain@125+1)))"},
    };
    check_rows(rows, COUNT(rows));
}

static void test_fields(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    const struct mime_part *part = mime_parse_in(
        arena,
        SLICE("Content-Type: text/plain; charset=\"utf-8\"; format=flowed\r\nContent-Transfer-Encoding: (x) "
              "BASE64\r\n"
              "Content-ID:\r\n <id@x>\r\nContent-Description: a\r\n\tb\r\nContent-MD5: Q2hlY2s=\r\n"
              "Content-Language: de, en-US (x),\r\nContent-Location: http://x/\r\n"
              "Content-Disposition: Attachment; filename=\"a \\\"b\\\".txt\"\r\n\r\none\r\ntwo\r\n"),
        NULL, NULL);
    assert_int_equal(part->encoding, MIME_BASE64);
    assert_text(part->encoding_text, "BASE64", 0);
    assert_text(part->id, "<id@x>", 0);
    assert_text(part->description, "a\tb", 0);
    assert_text(part->md5, "Q2hlY2s=", 0);
    assert_int_equal(part->language_count, 2);
    assert_text(part->languages[1], "en-US", 0);
    assert_text(part->location, "http://x/", 0);
    assert_text(part->disposition.name, "Attachment", 0);
    assert_text(mime_params_find(&part->disposition.params, SLICE("FILENAME"))->value, "a \"b\".txt", 0);
    assert_text(mime_params_find(&part->type.params, SLICE("charset"))->value, "utf-8", 0);
    assert_int_equal(part->body_lines, 2);
}

static void test_lines(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    const struct mime_part *root = mime_parse_in(
        arena,
        SLICE(MIXED("a") "1\n--a\nno\nheader\n--a\nContent-Type: message/rfc822\n\nS: x\n\n1\n2\n3\n--a--\n"),
        NULL, NULL);
    const struct mime_part *first = root->child, *second = first->next;
    assert_int_equal(root->body_lines, 13);
    assert_int_equal(first->body_lines, 1);
    assert_int_equal(second->body_lines, 4);
    assert_int_equal(second->child->body_lines, 2);
}

static size_t count_parts(const struct mime_part *root)
{
    size_t n = 0;
    for (const struct mime_part *part = root; part; part = mime_walk(part))
        n++;
    return n;
}

static const struct mime_part *parse_buf(struct arena *arena, const struct buf *message, bool *complete)
{
    assert_true(buf_ok(message));
    return mime_parse_in(arena, buf_slice(message), NULL, complete);
}

/* 10,000 multiparts and 10,000 messages inside each other. */
static void test_deep(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    AUTO_BUF struct buf parts = buf_new(1 << 20), messages = buf_new(1 << 20);
    bool complete = true;
    for (int i = 0; i < 10000; i++) {
        buf_addf(&parts, "Content-Type: multipart/mixed; boundary=b%05d\n\n--b%05d\n", i, i);
        buf_add_str(&messages, "Content-Type: message/rfc822\n\n");
    }
    assert_int_equal(count_parts(parse_buf(arena, &parts, &complete)), MIME_MAX_DEPTH + 1);
    assert_false(complete);
    assert_int_equal(count_parts(parse_buf(arena, &messages, &complete)), MIME_MAX_DEPTH + 1);
    assert_false(complete);
}

/* A message of only boundaries: what is beyond the bound is one part, which reaches to the end. */
static void test_many(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    AUTO_BUF struct buf message = buf_new(8 << 20);
    bool complete = true;
    buf_add_str(&message, MIXED("a:b"));
    for (int i = 0; i < 1000000; i++)
        buf_add_str(&message, "--a:b\n");
    const struct mime_part *root = parse_buf(arena, &message, &complete), *last = root->child;
    assert_false(complete);
    assert_int_equal(count_parts(root), MIME_MAX_PARTS);
    while (last->next)
        last = last->next;
    assert_int_equal(last->body_off + last->body_len, message.len);
}

/* Many open boundaries and many lines that look like one: time must not be their product. */
static void test_look_alikes(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    AUTO_BUF struct buf message = buf_new(32 << 20);
    for (int i = 0; i < 100; i++)
        buf_addf(&message, "Content-Type: multipart/mixed; boundary=%0*d\n\n--%0*d\n", i + 60, 0, i + 60, 0);
    size_t head = message.len;
    for (int i = 0; i < 200000; i++)
        buf_add_str(&message, "--00000000000000000000000000000000000000000000000000000000001\n--\n-\n");
    const struct mime_part *part = parse_buf(arena, &message, NULL);
    while (part->child)
        part = part->child;
    assert_int_equal(part->body_len, message.len - head);
}

static void test_limits(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    static const struct mime_limits two = {MIME_MAX_DEPTH, 3}, flat = {0, 1};
    bool complete;
    struct slice message = SLICE(MIXED("a") "--a\n\none\n--a\n\ntwo\n--a\n\nthree\n--a--\n");
    const struct mime_part *root = mime_parse_in(arena, message, &two, &complete);
    AUTO_BUF struct buf tree = buf_new(4096);
    write_tree(&tree, root);
    assert_text(buf_slice(&tree), "multipart/mixed@43+35(text/plain@48+3 text/plain@57+14)", 0);
    assert_false(complete);
    root = mime_parse_in(arena, message, &flat, &complete);
    assert_true(root->opaque && !root->child && !complete);
    assert_int_equal(root->body_len, 35);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simple),   cmocka_unit_test(test_multipart), cmocka_unit_test(test_nested),
        cmocka_unit_test(test_messages), cmocka_unit_test(test_fields),    cmocka_unit_test(test_lines),
        cmocka_unit_test(test_deep),     cmocka_unit_test(test_many),      cmocka_unit_test(test_look_alikes),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
