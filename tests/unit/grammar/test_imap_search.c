/* Search programs: needles, the blob between imap and store, three-valued evaluation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "grammar/imap_command.h"
#include "grammar/casefold.h"
#include "grammar/imap_search.h"

static void test_needles(void **state)
{
    (void)state;
    static const struct {
        const char *needle, *text;
        bool match;
    } rows[] = {
        {"", "", true},
        {"", "x", true},
        {"x", "", false},
        {"world", "Hello WORLD", true},
        {"WORLD", "hello world!", true},
        {"worlds", "hello world", false},
        {"aab", "aaaab", true},
        {"zz", "z", false},
        {"@", "a@b", true},
        {"\xc3\x89T\xc3\x89", "un \xc3\xa9t\xc3\xa9", true},
        {"\xc3\xa9", "e", false},
        {"\xd0\x96\xd0\xa3\xd0\x9a", "\xd0\xb6\xd1\x83\xd0\xba\xd0\xb8", true},
        {"kelvin",
         "\xe2\x84\xaa"
         "elvin",
         true}, /* KELVIN SIGN */
        {"\xe2\x84\xaa", "k", true},
        {"mass", "ma\xc5\xbf\xc5\xbf", true}, /* LONG S */
        {"\xff\xfe", "a\xff\xfe", true},      /* no UTF-8: itself */
        {"\xff", "\xc3\xbf", false},
        {"cafe", "CAF\xc3\x89", true}, /* decomposed: E and an accent */
        {"caf\xc3\xa9", "cafe", false},
        {"caf\xc3\xa9", "cafe\xcc\x81", true},
        {"\xc5\xbf\xc4\xb1", "SI", true},                      /* LONG S, DOTLESS I */
        {"find", "\xef\xac\x81nd it", true},                   /* LIGATURE FI */
        {"in", "\xef\xac\x81n", true},                         /* from the middle of it */
        {"abc", "\xef\xbc\xa1\xef\xbc\xa2\xef\xbc\xa3", true}, /* fullwidth */
        {"x2", "x\xc2\xb2", true},                             /* SUPERSCRIPT TWO */
        {"a b",
         "a\xc2\xa0"
         "b",
         true}, /* NO-BREAK SPACE */
        {"strasse",
         "stra\xc3\x9f"
         "e",
         false}, /* SHARP S has no decomposition */
        {"\xcf\x83\xce\xbf\xcf\x86\xcf\x8c\xcf\x82", "\xce\xa3\xce\x9f\xce\xa6\xce\x8c\xce\xa3", true},
        {"\xea\xb0\x80", "\xe1\x84\x80\xe1\x85\xa1", true}, /* HANGUL */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena AUTO_ARENA = arena_new(10000);
        struct imap_needle needle = imap_needle_in(arena, slice_of(rows[i].needle));
        if (imap_needle_match(&needle, slice_of(rows[i].text)) != rows[i].match)
            fail_msg("row %zu", i);
    }
}

/* Against the definition: the folded needle stands in the folded text. */
static void test_needles_by_chance(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "a", "b", "A",    " ",        "\xc3\xa9",     "e", "\xcc\x81", "\xc3\x89",    "\xef\xac\x81",
        "f", "i", "\xff", "\xd0\x96", "\xe2\x84\xaa", "k", "\xc4\xb0", "\xe1\xba\x99"};
    uint32_t seed = 5;
    for (unsigned round = 0; round < 20000; round++) {
        AUTO_BUF struct buf text = buf_new(4000), wanted = buf_new(4000), folded = buf_new(40000);
        unsigned lengths[] = {round % 40, 1 + round % (round % 50 ? 4 : 80)};
        for (unsigned which = 0; which < 2; which++)
            for (unsigned i = 0; i < lengths[which]; i++) {
                seed = seed * 1664525u + 1013904223u;
                unsigned few = round % 3 ? 17 : 5;
                buf_add_str(which ? &wanted : &text, pieces[(seed >> 16) % few + (few == 5 ? 4 : 0)]);
            }
        struct arena *arena AUTO_ARENA = arena_new(100000);
        struct imap_needle needle = imap_needle_in(arena, buf_slice(&wanted));
        struct slice whole = buf_slice(&text);
        uint8_t octets[CASEFOLD_OCTETS];
        for (size_t at = 0; at < whole.len;) {
            size_t n = casefold_put(octets, casefold_next(whole, &at));
            buf_add(&folded, slice_make(octets, n));
        }
        bool expected = slice_search(buf_slice(&folded), needle.folded) >= 0;
        if (imap_needle_match(&needle, whole) != expected)
            fail_msg("round %u: '%.*s' in '%.*s'", round, SLICE_ARG(needle.text), SLICE_ARG(whole));
    }
}

/* A message as the test has it; what is NULL or 0 is unknown at this stage. */
struct subject {
    uint32_t flags;
    const char *subject, *body;
    unsigned body_asked;
};

static enum imap_truth flag(void *ctx, uint32_t bit)
{
    return ((struct subject *)ctx)->flags & bit ? IMAP_YES : IMAP_NO;
}

static enum imap_truth header(void *ctx, struct slice name, const struct imap_needle *needle)
{
    struct subject *s = ctx;
    if (!s->subject)
        return IMAP_UNKNOWN;
    if (!slice_ieq(name, SLICE("subject")))
        return IMAP_NO;
    return imap_needle_match(needle, slice_of(s->subject)) ? IMAP_YES : IMAP_NO;
}

static enum imap_truth any_header(void *ctx, const struct imap_needle *needle)
{
    return header(ctx, SLICE("Subject"), needle);
}

static enum imap_truth body(void *ctx, const struct imap_needle *needle)
{
    struct subject *s = ctx;
    s->body_asked++;
    if (!s->body)
        return IMAP_UNKNOWN;
    return imap_needle_match(needle, slice_of(s->body)) ? IMAP_YES : IMAP_NO;
}

static bool size(void *ctx, uint64_t *octets)
{
    (void)ctx;
    *octets = 1000;
    return true;
}

static bool internal_date(void *ctx, int64_t *seconds, int64_t *days)
{
    (void)ctx;
    *seconds = 1000000;
    *days = 11;
    return true;
}

static bool sent_date(void *ctx, int64_t *days)
{
    (void)ctx;
    *days = INT64_MIN;
    return true;
}

static bool modseq(void *ctx, uint64_t *value)
{
    (void)ctx;
    *value = 50;
    return true;
}

static const struct imap_search_subject subject_ops = {.uid = 7,
                                                       .now = 1000100,
                                                       .flag = flag,
                                                       .size = size,
                                                       .internal_date = internal_date,
                                                       .sent_date = sent_date,
                                                       .modseq = modseq,
                                                       .header = header,
                                                       .any_header = any_header,
                                                       .body = body};

/* Parses, encodes and decodes again, as imap and store do. */
static struct imap_search_node *program(struct arena *arena, const char *keys, struct buf *blob)
{
    struct imap_command c;
    struct why why;
    struct slice line = arena_printf(arena, "a SEARCH %s\r\n", keys);
    assert_int_equal(imap_command_parse_in(arena, line, (struct imap_parse_options){0}, &c, &why), ERR_OK);
    struct imap_search_node *decoded = NULL;
    assert_int_equal(imap_search_encode(blob, c.search.search.root, &why), ERR_OK);
    assert_int_equal(imap_search_decode_in(arena, buf_slice(blob), &decoded, &why), ERR_OK);
    return decoded;
}

static void test_match(void **state)
{
    (void)state;
    static const struct {
        const char *keys;
        enum imap_truth first, full; /* without and with header and body */
    } rows[] = {
        {"ALL", IMAP_YES, IMAP_YES},
        {"SEEN", IMAP_YES, IMAP_YES},
        {"UNSEEN", IMAP_NO, IMAP_NO},
        {"SEEN UNDELETED", IMAP_YES, IMAP_YES},
        {"DELETED BODY x", IMAP_NO, IMAP_NO},
        {"SEEN BODY marker", IMAP_UNKNOWN, IMAP_YES},
        {"OR SEEN BODY marker", IMAP_YES, IMAP_YES},
        {"OR DELETED BODY nope", IMAP_UNKNOWN, IMAP_NO},
        {"NOT BODY nope", IMAP_UNKNOWN, IMAP_YES},
        {"SUBJECT HELLO", IMAP_UNKNOWN, IMAP_YES},
        {"HEADER Subject \"\"", IMAP_UNKNOWN, IMAP_YES},
        {"FROM hello", IMAP_UNKNOWN, IMAP_NO},
        {"TEXT hello", IMAP_UNKNOWN, IMAP_YES},
        {"TEXT marker", IMAP_UNKNOWN, IMAP_YES},
        {"TEXT nope", IMAP_UNKNOWN, IMAP_NO},
        {"UID 5:9", IMAP_YES, IMAP_YES},
        {"UID 8:9", IMAP_NO, IMAP_NO},
        {"LARGER 999", IMAP_YES, IMAP_YES},
        {"LARGER 1000", IMAP_NO, IMAP_NO},
        {"SMALLER 1000", IMAP_NO, IMAP_NO},
        {"ON 12-Jan-1970", IMAP_YES, IMAP_YES},
        {"BEFORE 12-Jan-1970", IMAP_NO, IMAP_NO},
        {"SINCE 12-Jan-1970", IMAP_YES, IMAP_YES},
        {"SINCE 13-Jan-1970", IMAP_NO, IMAP_NO},
        {"BEFORE 1-Jan-1960", IMAP_NO, IMAP_NO},
        {"SINCE 1-Jan-1960", IMAP_YES, IMAP_YES},
        {"SENTSINCE 1-Jan-1960", IMAP_NO, IMAP_NO}, /* no Date field */
        {"YOUNGER 100", IMAP_YES, IMAP_YES},
        {"YOUNGER 99", IMAP_NO, IMAP_NO},
        {"OLDER 100", IMAP_YES, IMAP_YES},
        {"OLDER 101", IMAP_NO, IMAP_NO},
        {"MODSEQ 50", IMAP_YES, IMAP_YES},
        {"MODSEQ 51", IMAP_NO, IMAP_NO},
        {"SAVEDON 1-Jan-1970", IMAP_UNKNOWN, IMAP_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena AUTO_ARENA = arena_new(100000);
        AUTO_BUF struct buf blob = buf_new(10000);
        struct imap_search_node *root = program(arena, rows[i].keys, &blob);
        struct subject first = {.flags = IMAP_FLAG_SEEN};
        struct subject full = {.flags = IMAP_FLAG_SEEN, .subject = "Say hello", .body = "a Marker here"};
        if (imap_search_match(root, &subject_ops, &first) != rows[i].first)
            fail_msg("%s first", rows[i].keys);
        if (imap_search_match(root, &subject_ops, &full) != rows[i].full)
            fail_msg("%s full", rows[i].keys);
    }
}

static void test_costly_last(void **state)
{
    (void)state;
    struct arena *arena AUTO_ARENA = arena_new(100000);
    AUTO_BUF struct buf blob = buf_new(10000);
    struct imap_search_node *root = program(arena, "BODY marker (OR TEXT x DELETED) DELETED", &blob);
    struct subject s = {.flags = 0, .subject = "x", .body = "marker"};
    assert_int_equal(imap_search_match(root, &subject_ops, &s), IMAP_NO);
    assert_int_equal(s.body_asked, 0);
}

static void test_blob_is_strict(void **state)
{
    (void)state;
    struct arena *arena AUTO_ARENA = arena_new(1000000);
    AUTO_BUF struct buf blob = buf_new(10000);
    struct why why;
    struct imap_search_node *root = program(arena, "OR (SEEN UID 1:5,9) HEADER X y", &blob), *again;
    (void)root;
    for (size_t cut = 0; cut < blob.len; cut++)
        assert_int_equal(imap_search_decode_in(arena, slice_make(blob.data, cut), &again, &why), ERR_BAD);
    buf_add_byte(&blob, 0);
    assert_int_equal(imap_search_decode_in(arena, buf_slice(&blob), &again, &why), ERR_BAD);
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {"\x02\x00", 2},                             /* version */
        {"\x01\xff", 2},                             /* op */
        {"\x01\x05\x01\x01\x00", 5},                 /* SEQ is not for store */
        {"\x01\x07\x20", 3},                         /* nor \Recent */
        {"\x01\x02\x00", 3},                         /* AND of nothing */
        {"\x01\x06\x01\x00\x00", 5},                 /* UID 0 */
        {"\x01\x06\x02\x01\x00", 5},                 /* set cut short */
        {"\x01\x06\x01\xff\xff\xff\xff\x0f\x01", 9}, /* range past 2^32 */
        {"\x01\x09\x00\x00", 4},                     /* header without a name */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(imap_search_decode_in(arena, slice_make(rows[i].bytes, rows[i].len), &again, &why),
                         ERR_BAD);
    AUTO_BUF struct buf deep = buf_new(10000);
    buf_add_byte(&deep, 1);
    for (int i = 0; i < 1000; i++)
        buf_add_byte(&deep, IMAP_SEARCH_NOT);
    buf_add_byte(&deep, IMAP_SEARCH_ALL);
    assert_int_equal(imap_search_decode_in(arena, buf_slice(&deep), &again, &why), ERR_BAD);
}

static bool count_nodes(struct imap_search_node *node, void *ctx)
{
    (void)node;
    ++*(int *)ctx;
    return true;
}

static void test_walk_and_translation(void **state)
{
    (void)state;
    struct arena *arena AUTO_ARENA = arena_new(100000);
    struct imap_command c;
    struct why why;
    AUTO_BUF struct buf blob = buf_new(10000);
    assert_int_equal(
        imap_command_parse_in(arena, SLICE("a SEARCH NEW 1:3\r\n"), (struct imap_parse_options){0}, &c, &why),
        ERR_OK);
    int count = 0;
    assert_true(imap_search_walk(c.search.search.root, count_nodes, &count));
    assert_int_equal(count, 6);
    assert_true(imap_search_uses(c.search.search.root, IMAP_SEARCH_SEQ));
    assert_int_equal(imap_search_encode(&blob, c.search.search.root, &why), ERR_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_needles),        cmocka_unit_test(test_needles_by_chance),
        cmocka_unit_test(test_match),          cmocka_unit_test(test_costly_last),
        cmocka_unit_test(test_blob_is_strict), cmocka_unit_test(test_walk_and_translation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
