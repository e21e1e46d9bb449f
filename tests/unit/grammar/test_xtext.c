/* xtext and its UTF-8 relative. */
#include "check.h"
#include "grammar/xtext.h"

static void test_xtext(void **state)
{
    (void)state;
    static const struct {
        const char *xtext, *text, *again; /* text NULL: refused; again: as we write it */
    } rows[] = {
        {"", "", ""},
        {"abc", "abc", "abc"},
        {"a+2Bb+3Dc+20d", "a+b=c d", "a+2Bb+3Dc+20d"},
        {"+41", "A", "A"},
        {"+c3+a9", "\xc3\xa9", "+C3+A9"},
        {"+0A", "\n", "+0A"},
        {"a=b", NULL, NULL},
        {"a b", NULL, NULL},
        {"+", NULL, NULL},
        {"+4", NULL, NULL},
        {"+4G", NULL, NULL},
        {"\x80", NULL, NULL},
        {"a\tb", NULL, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        AUTO_BUF struct buf out = buf_new(1000);
        struct slice text = SLICE_EMPTY;
        assert_row(xtext_decode_in(arena, slice_of(rows[i].xtext), &text) == (rows[i].text != NULL), i);
        assert_text(text, rows[i].text, i);
        if (rows[i].text) {
            xtext_encode(&out, text);
            assert_text(buf_slice(&out), rows[i].again, i);
        }
    }
}

static void test_orcpt(void **state)
{
    (void)state;
    static const struct {
        const char *orcpt, *type, *address;
    } rows[] = {
        {"rfc822;jo@x", "rfc822", "jo@x"},
        {"X400;/C=de;S=jo/", "X400", "/C=de;S=jo/"},
        {"utf-8;j\xc3\xb6@x", "utf-8", "j\xc3\xb6@x"},
        {"jo@x", "", "jo@x"},
        {"\"a;b\"@x", "", "\"a;b\"@x"},
        {";jo@x", "", ";jo@x"},
        {"", "", ""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct slice type, address = xtext_orcpt_split(slice_of(rows[i].orcpt), &type);
        assert_text(type, rows[i].type, i);
        assert_text(address, rows[i].address, i);
    }
}

static void test_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *xtext, *text, *again;
    } rows[] = {
        {"j\\x{F6}rg@x", "j\xc3\xb6rg@x", "j\xc3\xb6rg@x"},
        {"j\xc3\xb6rg@x", "j\xc3\xb6rg@x", "j\xc3\xb6rg@x"},
        {"\\x{20AC}\\x{1F600}", "\xe2\x82\xac\xf0\x9f\x98\x80", "\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"a\\x{2B}b\\x{3D}\\x{5C}\\x{20}", "a+b=\\ ", "a\\x{2B}b\\x{3D}\\x{5C}\\x{20}"},
        {"\\x{10FFFF}", "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
        {"\\x{110000}", NULL, NULL},
        {"\\x{D800}", NULL, NULL},
        {"\\x{00}", NULL, NULL},
        {"\\x{F}", NULL, NULL},
        {"\\x{1234567}", NULL, NULL},
        {"\\x{}", NULL, NULL},
        {"\\x{F6", NULL, NULL},
        {"\\", NULL, NULL},
        {"a+2B", NULL, NULL},
        {"a=b", NULL, NULL},
        {"\xff", NULL, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        AUTO_BUF struct buf out = buf_new(1000);
        struct slice text = SLICE_EMPTY;
        assert_row(xtext_decode_utf8_in(arena, slice_of(rows[i].xtext), &text) == (rows[i].text != NULL), i);
        assert_text(text, rows[i].text, i);
        if (rows[i].text) {
            xtext_encode_utf8(&out, text);
            assert_text(buf_slice(&out), rows[i].again, i);
        }
    }
}

static void test_ascii(void **state)
{
    (void)state;
    static const struct {
        const char *text, *xtext;
        size_t room;
    } rows[] = {
        {"plain@example.net", "plain@example.net", 100},
        {"b\xc3\xb6@x", "b\\x{F6}@x", 100},
        {"+=\\ \x7f", "\\x{2B}\\x{3D}\\x{5C}\\x{20}\\x{7F}", 100},
        {"\xe2\x82\xac\xf0\x9f\x98\x80", "\\x{20AC}\\x{1F600}", 100},
        {"\xc3", "\\x{FFFD}", 100},
        {"\xc3\xb6\x80\x80", "\\x{F6}\\x{FFFD}\\x{FFFD}", 100},
        {"\xff\xc3x", "\\x{FFFD}\\x{FFFD}x", 100},
        {"ab\xc3\xb6x", "ab", 7},
        {"", "", 7},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        AUTO_BUF struct buf out = buf_new(rows[i].room);
        struct slice back;
        xtext_encode_ascii(&out, slice_of(rows[i].text));
        assert_text(buf_slice(&out), rows[i].xtext, i);
        if (slice_is_utf8(slice_of(rows[i].text)) && buf_ok(&out)) {
            assert_row(xtext_decode_utf8_in(arena, buf_slice(&out), &back), i);
            assert_text(back, rows[i].text, i);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_xtext), cmocka_unit_test(test_orcpt),
                                       cmocka_unit_test(test_utf8), cmocka_unit_test(test_ascii)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
