/* Charsets to UTF-8, known, unknown and wrongly named. */
#include "grammar/charset.h"

#include "check.h"

static void test_conversion(void **state)
{
    (void)state;
    static const struct {
        const char *charset, *bytes, *text;
    } rows[] = {
        {"utf-8", "Gr\xc3\xbc\xc3\x9f", "Grüß"},
        {"UTF8", "\xf0\x9f\x98\x80", "😀"},
        {"utf-8", "a\xff\xc3z", "a\xef\xbf\xbd\xef\xbf\xbdz"},
        {"us-ascii", "plain", "plain"},
        {"us-ascii", "caf\xe9", "café"},
        {"us-ascii", "caf\xc3\xa9", "café"},
        {"", "caf\xe9", "café"},
        {"no-such-charset", "caf\xe9 \x80", "café €"},
        {"no-such-charset", "caf\xc3\xa9", "café"},
        {"iso-8859-1", "caf\xe9 \x93x\x94", "café “x”"},
        {"windows-1252", "\x80\x9f\xff", "€Ÿÿ"},
        {"iso-8859-15", "\xa4", "€"},
        {"iso-8859-2", "\xb3\xf3\xbf", "łóż"},
        {"KOI8-R", "\xf0\xf2\xe9\xf7\xe5\xf4", "ПРИВЕТ"},
        {"windows-1251", "\xcf\xf0", "Пр"},
        {"gb2312", "\xc4\xe3\xba\xc3", "你好"},
        {"big5", "\xa7\x41", "你"},
        {"euc-kr", "\xbe\xc8", "안"},
        {"ks_c_5601-1987", "\xbe\xc8", "안"},
        {"shift_jis", "\x82\xb1", "こ"},
        {"euc-jp", "\xa4\xb3", "こ"},
        {"iso-2022-jp", "\x1b$B$3$s\x1b(B!", "こん!"},
        {"utf-7", "caf+AOk-", "café"},
        {"hz-gb-2312", "~{Dc~}", "你"},
        {"../../etc/passwd", "x\xe9", "xé"},
        {"utf-8,swaplfnl", "x\xc3\xa9", "xé"},
    };
    struct charset_set *set = charset_set_new();
    charset_load();
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_BUF struct buf out = buf_new(1000);
        assert_row(charset_to_utf8(set, slice_of(rows[i].charset), slice_of(rows[i].bytes), &out), i);
        assert_text(buf_slice(&out), rows[i].text, i);
    }
    charset_set_free(&set);
}

static void test_utf16_and_nul(void **state)
{
    (void)state;
    struct charset_set *set = charset_set_new();
    AUTO_BUF struct buf out = buf_new(1000);
    assert_true(charset_to_utf8(set, SLICE("utf-16"), SLICE("\xfe\xff\x00h\x00i\xd8\x3d\xde\x00"), &out));
    assert_text(buf_slice(&out), "hi😀", 0);
    buf_clear(&out);
    assert_true(charset_to_utf8(set, SLICE("utf-8"), SLICE("a\0b\0"), &out));
    assert_text(buf_slice(&out), "a b ", 0);
    charset_set_free(&set);
    assert_null(set);
    charset_set_free(&set);
}

/* Never more than fits, never half a character; long texts in pieces, with surrogate pairs at the seams. */
static void test_maximum(void **state)
{
    (void)state;
    struct charset_set *set = charset_set_new();
    AUTO_BUF struct buf bytes = buf_new(100000);
    for (int i = 0; i < 3001; i++)
        buf_add(&bytes,
                i % 2 ? i % 4 == 1 ? SLICE("\xd8\x3d\xde\x00") : SLICE("\xd8\x01\xdc\x37") : SLICE("\x00h"));
    for (size_t max = 0; max < 40; max++) {
        AUTO_BUF struct buf icu = buf_new(max), utf8 = buf_new(max), latin = buf_new(max);
        assert_false(charset_to_utf8(set, SLICE("utf-16be"), buf_slice(&bytes), &icu));
        bool whole = charset_to_utf8(set, SLICE("utf-8"), SLICE("aü€😀aü€😀"), &utf8);
        assert_int_equal(whole, max >= 20);
        (void)charset_to_utf8(set, SLICE("iso-8859-1"), SLICE("\xfc\xfc\xfc\xfc\xfc\xfc\xfc\xfc"), &latin);
        assert_true(buf_ok(&icu) && buf_ok(&utf8) && buf_ok(&latin));
        assert_true(slice_is_utf8(buf_slice(&icu)) && slice_is_utf8(buf_slice(&utf8)) &&
                    slice_is_utf8(buf_slice(&latin)));
        assert_true(icu.len + 4 > max && utf8.len + 4 > (max < 20 ? max : 20));
    }
    AUTO_BUF struct buf all = buf_new(100000);
    assert_true(charset_to_utf8(set, SLICE("utf-16be"), buf_slice(&bytes), &all));
    assert_int_equal(all.len, 1501 + 1500 * 4);
    assert_int_equal(slice_search(buf_slice(&all), SLICE("\xef\xbf\xbd")), -1);
    for (struct slice rest = buf_slice(&all); rest.len > 10; rest = slice_from(rest, 10))
        assert_true(slice_starts(rest, SLICE("h😀h𐐷")));
    charset_set_free(&set);
}

/* More charsets than the set keeps open. */
static void test_many_converters(void **state)
{
    (void)state;
    struct charset_set *set = charset_set_new();
    for (int round = 0; round < 3; round++) {
        for (int i = 2; i < 17; i++) {
            char name[32];
            AUTO_BUF struct buf out = buf_new(100);
            snprintf(name, sizeof name, "iso-8859-%d", i);
            assert_true(charset_to_utf8(set, slice_of(name), SLICE("\xe4"), &out));
            assert_true(out.len > 1);
        }
    }
    assert_true(charset_is_known(set, SLICE("koi8-u")));
    assert_false(charset_is_known(set, SLICE("koi9")));
    charset_set_free(&set);
}

static void test_fold(void **state)
{
    (void)state;
    AUTO_BUF struct buf out = buf_new(100);
    utf8_fold(SLICE("Grüße ÄÖÜ ПРИВЕТ Σ"), &out);
    assert_text(buf_slice(&out), "grüße äöü привет σ", 0);
    assert_int_equal(utf8_cut(SLICE("aü"), 2).len, 1);
    assert_int_equal(utf8_cut(SLICE("aü"), 3).len, 3);
    assert_int_equal(utf8_cut(SLICE("ü"), 1).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conversion), cmocka_unit_test(test_utf16_and_nul),
        cmocka_unit_test(test_maximum),    cmocka_unit_test(test_many_converters),
        cmocka_unit_test(test_fold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
