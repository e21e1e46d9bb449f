/* base64, quoted-printable, hexadecimal: strict and tolerant. */
#include "check.h"
#include "grammar/base64.h"

static void test_base64_strict(void **state)
{
    (void)state;
    static const struct {
        const char *text, *bytes; /* NULL: refused */
    } rows[] = {
        /* RFC 4648 section 10 */
        {"", ""},
        {"Zg==", "f"},
        {"Zm8=", "fo"},
        {"Zm9v", "foo"},
        {"Zm9vYg==", "foob"},
        {"Zm9vYmE=", "fooba"},
        {"Zm9vYmFy", "foobar"},
        {"+/+/", "\xfb\xff\xbf"},
        {"Zg", NULL},
        {"Zg=", NULL},
        {"Zg===", NULL},
        {"Z===", NULL},
        {"====", NULL},
        {"Zh==", NULL},
        {"Zm9=", NULL},
        {"Zm9v\n", NULL},
        {"Zm 9", NULL},
        {"Zg==Zg==", NULL},
        {"Z=g=", NULL},
        {"-_-_", NULL},
        {"Zm9\x80", NULL},
        {"*", NULL},
        {"{{{{", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        struct slice bytes = SLICE_EMPTY;
        assert_row(base64_decode_in(arena, slice_of(rows[i].text), &bytes) == (rows[i].bytes != NULL), i);
        assert_text(bytes, rows[i].bytes, i);
        if (!rows[i].bytes)
            continue;
        AUTO_BUF struct buf out = buf_new(100);
        base64_encode(&out, bytes, 0);
        assert_text(buf_slice(&out), rows[i].text, i);
        assert_text(base64_encode_in(arena, bytes), rows[i].text, i);
    }
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    AUTO_BUF struct buf url = buf_new(100);
    struct slice bytes;
    base64url_encode(&url, SLICE("\xfb\xff\xbf\xff"));
    assert_text(buf_slice(&url), "-_-__w", 0);
    assert_true(base64url_decode_in(arena, buf_slice(&url), &bytes) &&
                slice_eq(bytes, SLICE("\xfb\xff\xbf\xff")));
    assert_false(base64url_decode_in(arena, SLICE("+/+/"), &bytes));
    assert_false(base64url_decode_in(arena, SLICE("Zg=="), &bytes));
    assert_false(base64url_decode_in(arena, SLICE("Zh"), &bytes));
}

static void test_base64_lines(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = buf_new(1000);
    base64_encode(&out, SLICE("foobarfoobar"), 8);
    assert_text(buf_slice(&out), "Zm9vYmFy\r\nZm9vYmFy\r\n", 0);
    buf_clear(&out);
    base64_encode(&out, SLICE("foobarf"), 8);
    assert_text(buf_slice(&out), "Zm9vYmFy\r\nZg==\r\n", 1);
}

static void test_base64_tolerant(void **state)
{
    (void)state;
    static const struct {
        const char *text, *bytes;
    } rows[] = {
        {"Zm9v\r\nYmFy", "foobar"},
        {"Z m\t9v!*", "foo"},
        {"Zg==Zm9v", "ffoo"},
        {"Zg", "f"},
        {"Zm8", "fo"},
        {"Z", ""},
        {"=Zm9v=", "foo"},
        {"====", ""},
        {"\x80\xff", ""},
        {"Zm9vYg==\r\nYmFy", "foobbar"},
        {"Zh==", "f"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t cut = 0; cut <= strlen(rows[i].text); cut++) {
            struct base64_decoder decoder = {0};
            AUTO_BUF struct buf out = buf_new(100);
            base64_feed(&decoder, slice_sub(slice_of(rows[i].text), 0, cut), &out);
            base64_feed(&decoder, slice_from(slice_of(rows[i].text), cut), &out);
            base64_finish(&decoder, &out);
            assert_text(buf_slice(&out), rows[i].bytes, i);
        }
    }
    /* More than one piece, and a maximum that stops it without mixing the order. */
    static char text[40000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('A' + i / 4 % 26);
    struct base64_decoder decoder = {0};
    AUTO_BUF struct buf all = buf_new(100000), some = buf_new(1000);
    base64_feed(&decoder, slice_make(text, sizeof text), &all);
    assert_int_equal(all.len, 30000);
    base64_feed(&decoder, slice_make(text, sizeof text), &some);
    assert_false(buf_ok(&some));
    assert_true(some.len > 0 && slice_starts(buf_slice(&all), buf_slice(&some)));
}

static struct slice qp(struct buf *out, struct slice text, size_t cut, bool underscore)
{
    struct qp_decoder decoder = {.underscore = underscore};
    buf_clear(out);
    qp_feed(&decoder, slice_sub(text, 0, cut), out);
    qp_feed(&decoder, slice_from(text, cut), out);
    qp_finish(&decoder, out);
    return buf_slice(out);
}

static void test_qp(void **state)
{
    (void)state;
    static const struct {
        const char *text, *bytes;
        bool underscore;
    } rows[] = {
        {"a=3Db", "a=b", false},
        {"caf=C3=A9", "caf\xc3\xa9", false},
        {"caf=c3=a9", "caf\xc3\xa9", false},
        {"a=\r\nb", "ab", false},
        {"a=\nb", "ab", false},
        {"a= \t\r\nb", "ab", false},
        {"a \t\r\nb", "a\r\nb", false},
        {"a \nb", "a\nb", false},
        {"a b", "a b", false},
        {"a =\r\nb", "a b", false},
        {"a =3D", "a =", false},
        {"a=20\r\nb", "a \r\nb", false},
        {"a=XYb", "a=XYb", false},
        {"a=4Gb", "a=4Gb", false},
        {"a==41", "a=A", false},
        {"a= b", "a= b", false},
        {"a=4", "a=4", false},
        {"a=", "a", false},
        {"a=\r", "a", false},
        {"a=\rb", "ab", false},
        {"a  ", "a", false},
        {"a_b", "a_b", false},
        {"a_b", "a b", true},
        {"a=5Fb", "a_b", true},
        {"a b ", "a b ", true},
        {"", "", false},
        {"=", "", false},
    };
    AUTO_BUF struct buf out = buf_new(100);
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t cut = 0; cut <= strlen(rows[i].text); cut++)
            assert_text(qp(&out, slice_of(rows[i].text), cut, rows[i].underscore), rows[i].bytes, i);
    /* A run of blanks past what is held back is let through rather than lost. */
    static char blanks[QP_HOLD_MAX + 101];
    memset(blanks, ' ', sizeof blanks - 1);
    blanks[sizeof blanks - 1] = 'x';
    AUTO_BUF struct buf big = buf_new(10000);
    assert_int_equal(qp(&big, slice_make(blanks, sizeof blanks), 0, false).len, sizeof blanks);
    /* A maximum stops it at a prefix. */
    static char text[3000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 50 == 0 ? ' ' : (char)('a' + i % 17);
    (void)qp(&big, slice_make(text, sizeof text), 0, false);
    for (size_t max = 0; max < 600; max++) {
        AUTO_BUF struct buf some = buf_new(max);
        (void)qp(&some, slice_make(text, sizeof text), 0, false);
        assert_true(!buf_ok(&some) && slice_starts(buf_slice(&big), buf_slice(&some)) &&
                    some.len + QP_HOLD_MAX > max);
    }
}

static void test_qp_encode(void **state)
{
    (void)state;
#define X25 "xxxxxxxxxxxxxxxxxxxxxxxxx"
#define X75 X25 X25 X25
    static const struct {
        const char *bytes, *text;
    } rows[] = {
        {"a=b", "a=3Db"},
        {"caf\xc3\xa9", "caf=C3=A9"},
        {"a \r\nb\t", "a=20\r\nb=09"},
        {"a\nb", "a=0Ab"},
        {".a\r\n.\r\nFrom x\r\nfrom", "=2Ea\r\n=2E\r\n=46rom x\r\nfrom"},
        {"--B\r\n-b--B", "=2D-B\r\n-b--B"},
        /* what a soft break brings to the start of a line is escaped too */
        {X75 "--B", X75 "=\r\n=2D-B"},
        {X75 "From ", X75 "=\r\n=46rom=20"},
        {X75 ".b", X75 "=\r\n=2Eb"},
    };
    AUTO_BUF struct buf out = buf_new(100000), back = buf_new(100000);
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_clear(&out);
        qp_encode(&out, slice_of(rows[i].bytes));
        assert_text(buf_slice(&out), rows[i].text, i);
    }
    static uint8_t bytes[5000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    buf_clear(&out);
    qp_encode(&out, slice_make(bytes, sizeof bytes));
    assert_true(slice_eq(qp(&back, buf_slice(&out), 17, false), slice_make(bytes, sizeof bytes)));
    struct slice rest = buf_slice(&out), line;
    while (slice_token(&rest, '\n', &line))
        assert_true(line.len <= 77); /* 76 and CR */
}

static void test_hex(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    AUTO_BUF struct buf out = buf_new(100);
    struct slice bytes;
    hex_encode(&out, SLICE("\x01\xab\xff"));
    assert_text(buf_slice(&out), "01abff", 0);
    assert_text(hex_encode_in(arena, SLICE("\x01\xab")), "01ab", 0);
    assert_true(hex_decode_in(arena, SLICE("01ABff"), &bytes) && slice_eq(bytes, SLICE("\x01\xab\xff")));
    assert_true(hex_decode_in(arena, SLICE(""), &bytes) && bytes.len == 0);
    assert_false(hex_decode_in(arena, SLICE("0"), &bytes));
    assert_false(hex_decode_in(arena, SLICE("0g"), &bytes));
    assert_false(hex_decode_in(arena, SLICE("0x"), &bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64_strict),   cmocka_unit_test(test_base64_lines),
        cmocka_unit_test(test_base64_tolerant), cmocka_unit_test(test_qp),
        cmocka_unit_test(test_qp_encode),       cmocka_unit_test(test_hex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
