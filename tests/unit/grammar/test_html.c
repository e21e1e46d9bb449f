/* Text out of HTML, and previews. */
#include "grammar/html.h"

#include "check.h"

static void test_text(void **state)
{
    (void)state;
    static const struct {
        const char *html, *text;
    } rows[] = {
        {"", ""},
        {"plain", "plain"},
        {"<p>one</p><p>two</p>", "one\ntwo"},
        {"  <b>a</b>\n\n <i>b</i> c ", "a b c"},
        {"a<br>b<BR/>c", "a\nb\nc"},
        {"<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"},
        {"<style>p{}</style>a<script>if (a<b) \"</p>\"</script>b<title>t</title>", "a b"},
        {"<STYLE type='x'>p</Style >a", "a"},
        {"a<script>never closed", "a"},
        {"a<!-- x > -- -->b<!--[if mso]><p>c</p><![endif]-->d", "abd"},
        {"<![if !mso]>a<![endif]><?xml x?>b<!DOCTYPE html>", "ab"},
        {"a<!-- never closed", "a"},
        {"<a href=\"x>y\" title='<p>'>b</a>", "b"},
        {"<p don't>a's", "a's"},
        {"a < b && c > d", "a < b && c > d"},
        {"a <b", "a"},
        {"a <", "a <"},
        {"a </", "a"},
        {"&lt;p&gt; &amp;amp; &quot;x&quot;", "<p> &amp; \"x\""},
        {"&uuml;&Uuml;&szlig;&euro;&hellip;", "üÜß€…"},
        {"&#252;&#xFC;&#XFC;&#8364;", "üüü€"},
        {"&nbsp;a&nbsp;&nbsp;b&#160;c", "a b c"},
        {"&nosuch; &; &# &#x &#xZ; &amp", "&nosuch; &; &# &#x &#xZ; &"},
        {"&#0;a&#xD800;&#x110000;&#99999999999;", "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"so&shy;ft&zwnj;&#8203;x", "softx"},
        {"Grüße\xc2\xa0😀", "Grüße 😀"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_BUF struct buf out = buf_new(1000);
        assert_row(html_to_text(slice_of(rows[i].html), &out), i);
        assert_text(buf_slice(&out), rows[i].text, i);
    }
}

static void test_maximum(void **state)
{
    (void)state;
    struct slice html = SLICE("<p>abcdefgh</p> <p>ü€😀 word &amp; word</p>");
    for (size_t max = 0; max < 40; max++) {
        AUTO_BUF struct buf out = buf_new(max);
        bool whole = html_to_text(html, &out);
        assert_true(buf_ok(&out) && slice_is_utf8(buf_slice(&out)));
        assert_int_equal(whole, max >= 30);
    }
}

/* Unclosed things, many times: each may be looked for once only. */
static void test_hostile(void **state)
{
    (void)state;
    static const char *const units[] = {"<!--", "<script>", "<a b=\"", "<a ", "&", "</script", "<style></"};
    for (size_t i = 0; i < COUNT(units); i++) {
        AUTO_BUF struct buf html = buf_new(1 << 21), out = buf_new(1 << 21);
        while (html.len < 1 << 20)
            buf_add_str(&html, units[i]);
        (void)html_to_text(buf_slice(&html), &out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_maximum),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
