/* Previews of text. */
#include "grammar/preview.h"

#include "check.h"

static void test_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *preview;
    } rows[] = {
        {"", ""},
        {"  one\r\n\r\n two\tthree ", "one two three"},
        {"> quoted\n> more\nanswer\n> again\nend", "answer end"},
        {"> only\n> quoted", "> only > quoted"},
        {"text\n-- \nsignature", "text"},
        {"-- \nonly signature", "-- only signature"},
        {"text\n--\nnot a signature", "text -- not a signature"},
        {"a\xc2\xad"
         "b\xe2\x80\x8b\xe2\x80\x8c"
         "c\xef\xbb\xbf",
         "abc"},
        {"a\xc2\xa0\x01"
         "b",
         "a b"},
        {"Grüße 😀", "Grüße 😀"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_BUF struct buf out = buf_new(PREVIEW_MAX_BYTES);
        preview_make(slice_of(rows[i].text), &out);
        assert_text(buf_slice(&out), rows[i].preview, i);
    }
}

static size_t characters(struct slice s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += (s.ptr[i] & 0xc0) != 0x80;
    return n;
}

static void test_length(void **state)
{
    (void)state;
    static const char *const units[] = {"a", "a ", "ü", "😀", "😀 ", "word\n"};
    for (size_t i = 0; i < COUNT(units); i++) {
        AUTO_BUF struct buf text = buf_new(1 << 20), out = buf_new(PREVIEW_MAX_BYTES);
        while (text.len < 100000)
            buf_add_str(&text, units[i]);
        preview_make(buf_slice(&text), &out);
        assert_true(buf_ok(&out) && slice_is_utf8(buf_slice(&out)));
        assert_in_range(characters(buf_slice(&out)), PREVIEW_MAX_CHARS - 1, PREVIEW_MAX_CHARS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_texts), cmocka_unit_test(test_length)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
