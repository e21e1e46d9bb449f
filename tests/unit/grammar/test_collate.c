/* i;unicode-casemap (RFC 5051). */
#include "grammar/collate.h"

#include "check.h"

static void test_keys(void **state)
{
    (void)state;
    static const struct {
        const char *text, *key;
    } rows[] = {
        {"", ""},
        {"Hello World_1", "HELLO WORLD_1"},
        {"\xc3\xa4", "A\xcc\x88"},     /* ä: Ä, decomposed */
        {"A\xcc\x88", "A\xcc\x88"},    /* the same in two code points */
        {"\xc7\x84", "D\x7a\xcc\x8c"}, /* U+01C4, section 2's example: U+01C5, then "Dž" in parts */
        {"\xc7\x86", "D\x7a\xcc\x8c"}, /* U+01C6 */
        {"\xef\xac\x81", "fi"},        /* the ligature has no simple title case */
        {"\xe2\x84\xaa", "K"},         /* KELVIN SIGN */
        {"\xce\xb1\xce\xac", "\xce\x91\xce\x91\xcc\x81"}, /* Greek */
        {"a\xff\x62", "A\xff"
                      "B"}, /* no UTF-8: the octet stays */
        {"\xc3", "\xc3"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_BUF struct buf key = buf_new(1000);
        collate_key(slice_of(rows[i].text), &key);
        assert_text(buf_slice(&key), rows[i].key, i);
    }
}

static void test_bound(void **state)
{
    (void)state;
    AUTO_BUF struct buf key = buf_new(4);
    collate_key(SLICE("too long for it"), &key);
    assert_false(buf_ok(&key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_keys), cmocka_unit_test(test_bound)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
