/* Modified UTF-7: one encoding for each name, everything else refused. */
#include "check.h"
#include "grammar/mutf7.h"

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *mutf7, *utf8; /* utf8 NULL: refused */
    } rows[] = {
        {"", ""},
        {"INBOX", "INBOX"},
        {"a&-b", "a&b"},
        {"&-", "&"},
        {"&-&-", "&&"},
        /* RFC 3501 section 5.1.3 */
        {"~peter/mail/&U,BTFw-/&ZeVnLIqe-",
         "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"},
        {"Entw&APw-rfe", "Entw\xc3\xbcrfe"},
        {"&2D3eAA-", "\xf0\x9f\x98\x80"},
        {"&IKwgrA-", "\xe2\x82\xac\xe2\x82\xac"},
        {"&AAo-", "\n"},
        {"&AH8-", "\x7f"},
        {"&APw-&-&APw-", "\xc3\xbc&\xc3\xbc"},
        {"&Jjo-!", "\xe2\x98\xba!"},
        {"&", NULL},
        {"&APw", NULL},
        {"&APw-&APw-", NULL}, /* needless shift */
        {"&Jjo!", NULL},      /* RFC 3501: no way back without "-" */
        {"&U,BTFw-&ZeVnLIqe-", NULL},
        {"&AGE-", NULL}, /* "a" in base64 */
        {"&ACY-", NULL}, /* "&" in base64 */
        {"&AAA-", NULL}, /* NUL */
        {"&2D0-", NULL}, /* lone high surrogate */
        {"&3gA-", NULL}, /* lone low surrogate */
        {"&2D0APA-", NULL},
        {"&2D3YPQ-", NULL},
        {"&APx-", NULL},  /* bits behind the end */
        {"&APwA-", NULL}, /* a whole letter behind the end */
        {"&AP-", NULL},
        {"&A-", NULL},
        {"&AP/w-", NULL},
        {"&AP=-", NULL},
        {"\xc3\xbc", NULL},
        {"a\tb", NULL},
        {"\x7f", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
        struct slice utf8 = SLICE_EMPTY, back = SLICE_EMPTY;
        assert_row(mutf7_to_utf8_in(arena, slice_of(rows[i].mutf7), &utf8) == (rows[i].utf8 != NULL), i);
        if (!rows[i].utf8)
            continue;
        assert_text(utf8, rows[i].utf8, i);
        assert_row(mutf7_from_utf8_in(arena, utf8, &back), i);
        assert_text(back, rows[i].mutf7, i);
    }
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct slice out;
    assert_false(mutf7_from_utf8_in(arena, SLICE("\xff"), &out));
    assert_false(mutf7_from_utf8_in(arena, slice_make("a\0", 2), &out));
    assert_false(mutf7_to_utf8_in(arena, slice_make("a\0", 2), &out));
}

/* Every character of the first planes, alone and between ASCII, comes back as it was. */
static void test_round_trip(void **state)
{
    (void)state;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    for (uint32_t point = 1; point < 0x30000; point++) {
        uint8_t text[8] = {'a'};
        size_t len = 1;
        if (point >= 0xd800 && point <= 0xdfff)
            continue;
        if (point < 0x80) {
            text[len++] = (uint8_t)point;
        } else if (point < 0x800) {
            text[len++] = (uint8_t)(0xc0 | point >> 6);
        } else if (point < 0x10000) {
            text[len++] = (uint8_t)(0xe0 | point >> 12);
            text[len++] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        } else {
            text[len++] = (uint8_t)(0xf0 | point >> 18);
            text[len++] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
            text[len++] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        }
        if (point >= 0x80)
            text[len++] = (uint8_t)(0x80 | (point & 0x3f));
        text[len++] = 'z';
        struct slice in = slice_sub(slice_make(text, len), point & 1, len - (point & 1)), mutf7, back;
        assert_true(mutf7_from_utf8_in(arena, in, &mutf7));
        assert_true(mutf7_to_utf8_in(arena, mutf7, &back) && slice_eq(in, back));
        arena_reset(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_round_trip)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
