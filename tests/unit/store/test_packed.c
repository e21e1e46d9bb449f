/* Packed state, changes, texts, paths: what is written is read; what is damaged is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "store/change.h"
#include "store/packed.h"
#include "store/paths.h"
#include "store/text.h"
#include "wire/image.h"

static void check_same(const struct entry *a, const struct entry *b)
{
    assert_int_equal(a->uid, b->uid);
    assert_int_equal(a->size, b->size);
    assert_int_equal(a->date, b->date);
    assert_true(a->modseq == b->modseq && a->flags == b->flags && a->message == b->message);
}

static void test_packed(void **state)
{
    (void)state;
    static const struct entry rows[][3] = {
        {{1, 0, 0, 0, 0, 0}, {2, 0, 0, 0, 0, 0}, {3, 0, 0, 0, 0, 0}},
        {{1, 5, 9, 1, 1, 1},
         {200, 300, 70000, 5, 2, 2},
         {100000, 1u << 30, 4000000000u, 1ull << 40, 1ull << 63, 99999}},
        {{7, UINT32_MAX, UINT32_MAX, INT64_MAX, ~(uint64_t)IMAGE_EXPUNGED, IMAGE_MESSAGE_MAX},
         {8, 0, 0, 0, 0, 0},
         {UINT32_MAX, 1, 1, 1, 1, 1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_BUF struct buf b = buf_new(10000);
        struct entry out[3];
        struct why why;
        size_t count = 0;
        packed_encode(rows[i], 3, &b);
        assert_int_equal(packed_count(buf_slice(&b), &count, &why), ERR_OK);
        assert_int_equal(count, 3);
        assert_int_equal(packed_decode(buf_slice(&b), out, 3, &why), ERR_OK);
        for (size_t k = 0; k < 3; k++)
            check_same(&out[k], &rows[i][k]);
        for (size_t cut = 0; cut < b.len; cut++)
            assert_int_equal(packed_decode(slice_sub(buf_slice(&b), 0, cut), out, 3, &why), ERR_INTERNAL);
        buf_add_byte(&b, 0);
        assert_int_equal(packed_decode(buf_slice(&b), out, 3, &why), ERR_INTERNAL);
    }
}

static void test_packed_order(void **state)
{
    (void)state;
    static const struct entry rows[][2] = {
        {{5, 0, 0, 0, 0, 0}, {5, 0, 0, 0, 0, 0}},                     /* twice */
        {{6, 0, 0, 0, 0, 0}, {5, 0, 0, 0, 0, 0}},                     /* falling */
        {{0, 0, 0, 0, 0, 0}, {5, 0, 0, 0, 0, 0}},                     /* no UID */
        {{1, 0, 0, 0, IMAGE_EXPUNGED, 0}, {5, 0, 0, 0, 0, 0}},        /* not alive */
        {{1, 0, 0, 0, 0, IMAGE_MESSAGE_MAX + 1}, {5, 0, 0, 0, 0, 0}}, /* an image has no room for the id */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_BUF struct buf b = buf_new(10000);
        struct entry out[2];
        struct why why;
        packed_encode(rows[i], 2, &b);
        assert_int_equal(packed_decode(buf_slice(&b), out, 2, &why), ERR_INTERNAL);
    }
}

static void test_small(void **state)
{
    (void)state;
    struct entry entries[PACKED_CHUNK];
    for (uint32_t i = 0; i < PACKED_CHUNK; i++)
        entries[i] = (struct entry){i + 1, 10000 + i * 7, 1700000000 + i * 60, 5000 + i, i % 3, 70000 + i};
    AUTO_BUF struct buf b = buf_new(100000);
    packed_encode(entries, PACKED_CHUNK, &b);
    assert_in_range(b.len, 1, 6 * PACKED_CHUNK + 50);
    entries[500].uid++; /* one is missing: differences again */
    for (uint32_t i = 501; i < PACKED_CHUNK; i++)
        entries[i].uid++;
    buf_clear(&b);
    packed_encode(entries, PACKED_CHUNK, &b);
    assert_in_range(b.len, 7 * PACKED_CHUNK, 8 * PACKED_CHUNK + 50);
}

/* Columns of every width, and numbers in a row, up to the highest a column may hold. */
static void test_widths(void **state)
{
    (void)state;
    static const uint64_t ranges[] = {0,          1,
                                      255,        256,
                                      65535,      65536,
                                      0xffffff,   0x1000000,
                                      UINT32_MAX, UINT32_MAX + 1ull,
                                      1ull << 56, INT64_MAX - 1};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        struct entry in[3] = {{.uid = 1, .modseq = 1}, {.uid = 2, .modseq = 1}, {.uid = 3, .modseq = 1}},
                     out[3];
        AUTO_BUF struct buf b = buf_new(1000);
        in[i % 3].modseq += ranges[i];
        in[(i + 1) % 3].message = ranges[i] <= IMAGE_MESSAGE_MAX ? ranges[i] : 0;
        packed_encode(in, 3, &b);
        uint8_t *exact = malloc(b.len); /* nothing is read behind it */
        assert_non_null(exact);
        memcpy(exact, b.data, b.len);
        assert_int_equal(packed_decode(slice_make(exact, b.len), out, 3, NULL), ERR_OK);
        free(exact);
        for (size_t k = 0; k < 3; k++)
            check_same(&out[k], &in[k]);
    }
    for (uint64_t above = 0; above < 2; above++) { /* the last of a row of three */
        struct entry in[3] = {{.uid = 1}, {.uid = 2}, {.uid = 3}}, out[3];
        AUTO_BUF struct buf b = buf_new(1000);
        for (uint64_t k = 0; k < 3; k++)
            in[k].message = IMAGE_MESSAGE_MAX - 2 + above + k;
        packed_encode(in, 3, &b);
        assert_int_equal(packed_decode(buf_slice(&b), out, 3, NULL), above ? ERR_INTERNAL : ERR_OK);
    }
}

/* As the version before wrote it: no widths of 3, no numbers in a row. */
static void test_version_1(void **state)
{
    (void)state;
    static const uint8_t good[] = {1, 2, 1, 1, 0, 1, 9, 0, 9, 0, 9, 0, 0, 0, 5, 2, 0, 0, 1, 1};
    static const struct entry expect[] = {{1, 9, 9, 9, 0, 5}, {2, 9, 9, 9, 0, 5 + 257}};
    struct entry out[2];
    uint8_t bad[sizeof good];
    assert_int_equal(packed_decode(slice_make(good, sizeof good), out, 2, NULL), ERR_OK);
    for (size_t k = 0; k < 2; k++)
        check_same(&out[k], &expect[k]);
    memcpy(bad, good, sizeof good);
    bad[0] = 3;
    assert_int_equal(packed_decode(slice_make(bad, sizeof bad), out, 2, NULL), ERR_INTERNAL);
    bad[0] = 0;
    assert_int_equal(packed_decode(slice_make(bad, sizeof bad), out, 2, NULL), ERR_INTERNAL);
    static const uint8_t steps[] = {2, 2, 1, 255, 9, 0, 9, 0, 9, 0, 0, 0, 5, 255};
    uint8_t older[sizeof steps];
    memcpy(older, steps, sizeof steps);
    assert_int_equal(packed_decode(slice_make(older, sizeof older), out, 2, NULL), ERR_OK);
    assert_int_equal(out[1].message, 6);
    older[0] = 1;
    assert_int_equal(packed_decode(slice_make(older, sizeof older), out, 2, NULL), ERR_INTERNAL);
}

static void test_change(void **state)
{
    (void)state;
    static const struct change rows[] = {
        {.kind = CHANGE_ADD,
         .counts = {1, 1, 0, 5000},
         .entries = {(const uint8_t *)"abc", 3},
         .queue_ids = {NULL, 0}},
        {.kind = CHANGE_FLAGS,
         .counts = {0, -3, 2, 0},
         .clear = ~0ull,
         .set = 5,
         .uids = {(const uint8_t *)"12345678", 8}},
        {.kind = CHANGE_EXPUNGE,
         .counts = {-1, -1, -1, INT64_MIN / 2},
         .uids = {(const uint8_t *)"1234567812345678", 16}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_BUF struct buf b = buf_new(1000);
        struct change out;
        struct why why;
        change_encode(&rows[i], &b);
        assert_int_equal(change_decode(buf_slice(&b), &out, &why), ERR_OK);
        assert_int_equal(out.kind, rows[i].kind);
        assert_memory_equal(&out.counts, &rows[i].counts, sizeof out.counts);
        assert_true(slice_eq(out.entries, rows[i].entries) && slice_eq(out.uids, rows[i].uids));
        assert_true(out.clear == rows[i].clear && out.set == rows[i].set);
        for (size_t cut = 0; cut < b.len; cut++)
            assert_int_equal(change_decode(slice_sub(buf_slice(&b), 0, cut), &out, &why), ERR_INTERNAL);
    }
}

static void test_text(void **state)
{
    (void)state;
    static uint8_t bytes[200000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)('a' + i % 17);
    static const struct {
        size_t text, header;
        bool left_out;
    } rows[] = {
        {0, 0, false}, {10, 10, false}, {5000, 300, false}, {200000, 60000, false}, {100, 100000, true}};
    struct text_reader *reader = text_reader_new();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_BUF struct buf b = buf_new(TEXT_PACKED_MAX);
        AUTO_ARENA struct arena *arena = arena_new(1 << 20);
        struct text_parts parts;
        struct why why;
        text_pack(slice_make(bytes, rows[i].text), slice_make(bytes, rows[i].header), &b);
        assert_int_equal(text_unpack_in(reader, arena, buf_slice(&b), &parts, &why), ERR_OK);
        assert_true(slice_eq(parts.text, slice_make(bytes, rows[i].text)));
        assert_int_equal(parts.header_left_out, rows[i].left_out);
        assert_int_equal(parts.header.len, rows[i].left_out ? 0 : rows[i].header);
        assert_int_equal(text_unpack_in(reader, arena, slice_sub(buf_slice(&b), 0, b.len - 1), &parts, &why),
                         ERR_INTERNAL);
    }
    text_reader_free(&reader);
}

static void test_paths(void **state)
{
    (void)state;
    static const struct {
        const char *address, *folder;
    } rows[] = {
        {"ann@example.test", "accounts/ann@example.test"},
        {"a+b_c-d.e@x.y", "accounts/a+b_c-d.e@x.y"},
        {"../../etc@x", "accounts/%2E.%2F..%2Fetc@x"},
        {".hidden@x", "accounts/%2Ehidden@x"},
        {"a b%c@x", "accounts/a%20b%25c@x"},
        {"\xc3\xbc@x", "accounts/%C3%BC@x"},
    };
    char folder[PATHS_FOLDER_MAX], other[PATHS_FOLDER_MAX];
    uint8_t back[PATHS_FOLDER_MAX];
    size_t len;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        paths_account(slice_of(rows[i].address), folder);
        assert_string_equal(folder, rows[i].folder);
        assert_true(paths_address(slice_of(folder + 9), back, &len));
        assert_true(slice_eq(slice_make(back, len), slice_of(rows[i].address)));
    }
    char longer[1000];
    memset(longer, '/', sizeof longer);
    paths_account(slice_make(longer, sizeof longer), folder);
    longer[999] = 'x';
    paths_account(slice_make(longer, sizeof longer), other);
    assert_string_not_equal(folder, other);
    assert_true(strlen(folder) < PATHS_FOLDER_MAX - 10);
    assert_false(paths_address(slice_of(folder + 9), back, &len));
    char path[PATHS_FILE_MAX];
    assert_int_equal(paths_queue(SLICE("../x"), path), ERR_BAD);
    assert_int_equal(paths_queue(SLICE(""), path), ERR_BAD);
    assert_int_equal(paths_queue(SLICE("abc1"), path), ERR_OK);
    assert_string_equal(path, "queue/abc1.eml");
    uint64_t id;
    assert_true(paths_message_id("17.eml", &id) && id == 17);
    assert_true(paths_message_id("281474976710655.eml", &id) && id == IMAGE_MESSAGE_MAX);
    assert_false(paths_message_id("281474976710656.eml", &id));
    assert_false(paths_message_id("17.new", &id));
    assert_false(paths_message_id("x17.eml", &id));
    assert_false(paths_message_id(".eml", &id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packed), cmocka_unit_test(test_packed_order), cmocka_unit_test(test_small),
        cmocka_unit_test(test_widths), cmocka_unit_test(test_version_1),    cmocka_unit_test(test_change),
        cmocka_unit_test(test_text),   cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
