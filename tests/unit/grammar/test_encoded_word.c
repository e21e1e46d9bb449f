/* RFC 2047 and RFC 2231 text. */
#include "grammar/encoded_word.h"

#include "check.h"

static void test_words(void **state)
{
    (void)state;
    static const struct {
        const char *value, *text;
    } rows[] = {
        {"", ""},
        {"plain text", "plain text"},
        {"=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"},
        {"=?ISO-8859-1?Q?a_b?= c", "a b c"},
        {"=?utf-8?B?w7w=?=", "ü"},
        {"=?utf-8?b?w7w?=", "ü"},
        {"=?utf-8*de?q?x?=", "x"},
        /* RFC 2047 section 8 */
        {"=?ISO-8859-1?Q?a?= b", "a b"},
        {"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"},
        {"=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=", "ab"},
        {"=?ISO-8859-1?Q?a_?= =?ISO-8859-2?Q?b?=", "a b"},
        {"  =?utf-8?q?a?=  ", "  a  "},
        {"x =?utf-8?q?a?= y =?utf-8?q?b?= z", "x a y b z"},
        /* a character cut in two by two words */
        {"=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"},
        {"=?utf-8?b?w7zD?= =?utf-8?b?vA==?=", "üü"},
        {"=?iso-2022-jp?b?GyRCJDMbKEI=?= =?iso-2022-jp?b?GyRCJHMbKEI=?=", "こん"},
        /* broken ones people send: no blanks around, blanks inside, question marks inside, never closed */
        {"a=?utf-8?q?b?=c", "abc"},
        {"\"=?utf-8?q?b?=\" <x>", "\"b\" <x>"},
        {"=?utf-8?q?a b c?=", "a b c"},
        {"=?utf-8?q?what?"
         "?= x",
         "what? x"},
        {"=?utf-8?q?open", "=?utf-8?q?open"},
        {"=?utf-8?x?a?=", "=?utf-8?x?a?="},
        {"=??q?a?=", "=??q?a?="},
        {"=?utf-8?q", "=?utf-8?q"},
        {"=?", "=?"},
        {"=?=?utf-8?q?a?=", "=?a"},
        {"=?no-such?q?caf=E9?=", "café"},
        {"=?utf-8?q?=ZZ=4?=", "=ZZ=4"},
        {"=?utf-8?q?a=0D=0Ab=00c?=", "a  b c"},
        /* raw 8-bit text */
        {"caf\xc3\xa9", "café"},
        {"caf\xe9", "café"},
        {"caf\xe9 =?utf-8?q?=C3=A9?=", "café é"},
    };
    struct charset_set *set = charset_set_new();
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_BUF struct buf out = buf_new(1000);
        encoded_word_decode(set, slice_of(rows[i].value), &out);
        assert_text(buf_slice(&out), rows[i].text, i);
    }
    charset_set_free(&set);
}

/* Time must not grow with the square of the length. */
static void test_hostile(void **state)
{
    (void)state;
    struct charset_set *set = charset_set_new();
    AUTO_BUF struct buf value = buf_new(1 << 21), out = buf_new(1 << 21);
    while (value.len < 1 << 20)
        buf_add_str(&value, "=?a?q? =?a?b? ");
    encoded_word_decode(set, buf_slice(&value), &out);
    assert_int_equal(out.len, value.len);
    charset_set_free(&set);
}

static void test_params(void **state)
{
    (void)state;
    static const struct {
        const char *value, *name;
    } rows[] = {
        {"attachment; filename=a.pdf", "a.pdf"},
        {"attachment; filename*=utf-8''%C3%BC.pdf", "ü.pdf"},
        {"attachment; filename*=utf-8'de'%C3%BC%2", "ü%2"},
        {"attachment; filename*=iso-8859-1''%FC", "ü"},
        {"attachment; filename*=''%C3%BC", "ü"},
        {"attachment; filename*=noquotes%20", "noquotes "},
        {"attachment; filename*0*=utf-8''a%C3; filename*1*=%BC; filename*2=\"%41.pdf\"", "aü%41.pdf"},
        {"attachment; filename=\"=?utf-8?q?=C3=BC.pdf?=\"", "ü.pdf"},
        {"attachment; filename=\"\xfc.pdf\"", "ü.pdf"},
    };
    struct charset_set *set = charset_set_new();
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        AUTO_BUF struct buf out = buf_new(1000);
        struct mime_disposition disposition;
        mime_disposition_parse_in(arena, slice_of(rows[i].value), &disposition);
        const struct mime_param *param = mime_params_find(&disposition.params, SLICE("filename"));
        assert_row(param, i);
        encoded_word_decode_param(set, param, &out);
        assert_text(buf_slice(&out), rows[i].name, i);
    }
    charset_set_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_params),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
