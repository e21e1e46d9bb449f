/* state.c: what is believed of a file with the state of a mailbox, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "store/state.h"

#define MAILBOX 7

struct record {
    uint32_t first;
    const char *row;
};

static uint64_t fill(struct buf *out, const struct record *records, size_t count)
{
    uint64_t sum = state_begin(MAILBOX);
    for (size_t i = 0; i < count; i++) {
        uint8_t head[STATE_HEAD];
        size_t from = out->len;
        state_head(records[i].first, (uint32_t)strlen(records[i].row), head);
        buf_add(out, slice_make(head, sizeof head));
        buf_add(out, slice_of(records[i].row));
        sum = state_next(sum, slice_from(buf_slice(out), from));
    }
    return sum;
}

/* The file in pieces of `piece` bytes. */
static enum err read_in_pieces(struct slice bytes, size_t piece, uint64_t mailbox, uint64_t sum,
                               struct state_reader *reader)
{
    struct slice rest = slice_sub(bytes, 0, piece), state;
    size_t taken = 0, end = rest.len;
    *reader = state_reader_new(mailbox);
    for (;;) {
        enum err err = state_reader_take(reader, &rest, &state, NULL);
        taken = end - rest.len;
        if (err == ERR_BAD)
            return err;
        if (!err)
            continue;
        if (end == bytes.len)
            break;
        end = end + piece < bytes.len ? end + piece : bytes.len;
        rest = slice_sub(bytes, taken, end - taken);
    }
    return rest.len ? ERR_BAD : state_reader_end(reader, sum, NULL);
}

/* The rows that hold, as "1=abc 5=de". */
static void show(struct slice bytes, const struct vec *rows, char text[200])
{
    size_t len = 0;
    text[0] = 0;
    for (size_t i = 0; i < rows->len; i++) {
        const struct state_row *row = VEC_AT(rows, struct state_row, i);
        len += (size_t)snprintf(text + len, 200 - len, "%s%u=%.*s", i ? " " : "", row->first,
                                SLICE_ARG(slice_sub(bytes, row->at, row->len)));
    }
}

static void test_rows_that_hold(void **state)
{
    (void)state;
    static const struct {
        struct record records[6];
        size_t count;
        const char *expect;
        bool in_order;
    } cases[] = {
        {{{0}}, 0, "", true},
        {{{1, "abc"}}, 1, "1=abc", true},
        {{{1, "abc"}, {1001, "def"}, {4000000000, "g"}}, 3, "1=abc 1001=def 4000000000=g", true},
        {{{1, "abc"}, {9, "def"}, {9, "new"}}, 3, "1=abc 9=new"},
        {{{1, "abc"}, {9, "def"}, {1, "new"}, {20, "x"}}, 4, "1=new 9=def 20=x"},
        {{{1, "abc"}, {9, "def"}, {1, ""}}, 3, "9=def"},
        {{{1, "abc"}, {1, ""}, {1, "again"}}, 3, "1=again"},
        {{{1, "abc"}, {1, ""}}, 2, ""},
        {{{5, ""}, {9, "def"}}, 2, "9=def"},
        {{{9, "a"}, {5, "b"}, {9, "c"}, {5, "d"}, {9, "e"}, {1, "f"}}, 6, "1=f 5=d 9=e"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_BUF struct buf out = buf_new(1000);
        char text[200];
        uint64_t sum = fill(&out, cases[i].records, cases[i].count);
        for (size_t piece = 1; piece < 40; piece++) {
            struct state_reader reader;
            assert_int_equal(read_in_pieces(buf_slice(&out), piece, MAILBOX, sum, &reader), ERR_OK);
            show(buf_slice(&out), &reader.rows, text);
            assert_string_equal(text, cases[i].expect);
            assert_int_equal(reader.in_order, cases[i].in_order);
            state_reader_free(&reader);
        }
    }
}

static bool believed(struct slice bytes, uint64_t mailbox, uint64_t sum)
{
    struct state_reader reader;
    enum err err = read_in_pieces(bytes, bytes.len + 1, mailbox, sum, &reader);
    assert_true(err == ERR_OK || err == ERR_BAD);
    state_reader_free(&reader);
    return err == ERR_OK;
}

/* Every bit of every byte counts, every length, the order, the mailbox. */
static void test_damage(void **state)
{
    (void)state;
    static const struct record records[] = {{1, "abcdefgh"}, {1001, "ijk"}, {1, "lmn"}, {2001, ""}};
    static const struct record swapped[] = {{1001, "ijk"}, {1, "abcdefgh"}, {1, "lmn"}, {2001, ""}};
    AUTO_BUF struct buf out = buf_new(1000), other = buf_new(1000);
    uint64_t sum = fill(&out, records, 4);
    struct slice bytes = buf_slice(&out);
    assert_true(believed(bytes, MAILBOX, sum));
    assert_false(believed(bytes, MAILBOX + 1, sum));
    for (unsigned bit = 0; bit < 64; bit++)
        assert_false(believed(bytes, MAILBOX, sum ^ 1ull << bit));
    for (size_t len = 0; len < bytes.len; len++)
        assert_false(believed(slice_sub(bytes, 0, len), MAILBOX, sum));
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        out.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(believed(bytes, MAILBOX, sum));
        out.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(believed(bytes, MAILBOX, sum));
    assert_true(fill(&other, swapped, 4) != sum);
    assert_false(believed(buf_slice(&other), MAILBOX, sum));
    buf_add_byte(&out, 0);
    assert_false(believed(buf_slice(&out), MAILBOX, sum));
}

/* A length no row has is not waited for. */
static void test_too_long(void **state)
{
    (void)state;
    struct slice row;
    uint8_t head[STATE_HEAD];
    for (uint32_t over = 0; over < 2; over++) {
        struct state_reader reader = state_reader_new(MAILBOX);
        state_head(1, STATE_ROW_MAX + over, head);
        struct slice bytes = slice_make(head, sizeof head);
        assert_int_equal(state_reader_take(&reader, &bytes, &row, NULL), over ? ERR_BAD : ERR_LATER);
        state_reader_free(&reader);
    }
}

/* More records than any mailbox has use for. */
static void test_too_many(void **state)
{
    (void)state;
    struct buf out = buf_new(STATE_MAX);
    uint64_t sum = state_begin(MAILBOX);
    uint8_t head[STATE_HEAD];
    for (uint32_t i = 0; i <= STATE_ROWS; i++) {
        if (i == STATE_ROWS)
            assert_true(believed(buf_slice(&out), MAILBOX, sum));
        state_head(i, 0, head);
        buf_add(&out, slice_make(head, sizeof head));
        sum = state_next(sum, slice_make(head, sizeof head));
    }
    assert_false(believed(buf_slice(&out), MAILBOX, sum));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows_that_hold), cmocka_unit_test(test_damage),
                                       cmocka_unit_test(test_too_long), cmocka_unit_test(test_too_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
