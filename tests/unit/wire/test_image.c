/* Images of open mailboxes, rows of mailboxes and of facts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "wire/facts_row.h"
#include "wire/image.h"
#include "wire/mailbox.h"

static struct image *new_image(uint64_t capacity)
{
    struct image *image = aligned_alloc(64, (image_size(capacity) + 63) / 64 * 64);
    assert_non_null(image);
    memset(image, 0, image_size(capacity));
    image_start(image, 1, 1, capacity);
    return image;
}

static void test_valid(void **state)
{
    (void)state;
    struct image *image = new_image(10);
    assert_true(image_valid(image, image_size(10)));
    assert_false(image_valid(image, image_size(10) - 1));
    assert_false(image_valid(image, 5));
    image->count = 11;
    assert_false(image_valid(image, image_size(10)));
    image->count = 0;
    image->capacity = UINT64_MAX;
    assert_false(image_valid(image, image_size(10)));
    image->capacity = 10;
    image->magic++;
    assert_false(image_valid(image, image_size(10)));
    free(image);
}

static void test_find(void **state)
{
    (void)state;
    struct image *image = new_image(5);
    for (uint32_t i = 0; i < 5; i++)
        image->entries[i].uid = (i + 1) * 10;
    static const struct {
        uint32_t uid;
        uint64_t count, index;
    } rows[] = {{0, 5, 0},  {10, 5, 0}, {11, 5, 1}, {50, 5, 4},
                {51, 5, 5}, {50, 3, 3}, {5, 0, 0},  {99, 1000, 5}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(image_find(image, rows[i].count, rows[i].uid), rows[i].index);
    image->keyword_count = 1;
    image->keywords[0].len = 255; /* never beyond the name */
    assert_int_equal(image_keyword(image, 0).len, IMAGE_KEYWORD_MAX);
    assert_int_equal(image_keyword(image, 1).len, 0);
    image->keyword_count = 1000;
    assert_int_equal(image_keyword(image, 999).len, 0);
    free(image);
}

/* What is placed is read, up to the last bit. */
static void test_place(void **state)
{
    (void)state;
    static const struct {
        struct image_fixed fixed;
        struct image_state state;
        uint32_t bits;
    } rows[] = {
        {{1, 2, 3, 4}, {5, IMAGE_SEEN}, IMAGE_SEEN},
        {{7, 0, 0, 0xfedcba987654}, {0x0123456789abcdef, 0xf0f0f0f00000000f}, 15},
        {{UINT32_MAX, UINT32_MAX, UINT32_MAX, IMAGE_MESSAGE_MAX},
         {UINT64_MAX, 1ull << 63 | IMAGE_EXPUNGED},
         IMAGE_EXPUNGED},
    };
    struct image *image = new_image(1);
    struct image_entry *e = image->entries;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        image_place(image, 0, &rows[i].fixed, rows[i].state);
        assert_int_equal(e->uid, rows[i].fixed.uid);
        assert_int_equal(image_octets(e), rows[i].fixed.size);
        assert_int_equal(image_date(e), rows[i].fixed.date);
        assert_true(image_message(e) == rows[i].fixed.message);
        assert_int_equal(image_bits(e), rows[i].bits);
        assert_int_equal(image_is_expunged(e), (rows[i].bits & IMAGE_EXPUNGED) != 0);
        struct image_state s = image_read(e);
        assert_true(s.modseq == rows[i].state.modseq && s.flags == rows[i].state.flags);
        s = image_own(e);
        assert_true(s.modseq == rows[i].state.modseq && s.flags == rows[i].state.flags);
    }
    free(image);
}

/* ---- blocks: what they lead to is what a walk over all entries finds ---- */

static uint64_t walk(const struct image *image, uint64_t from, uint64_t end, uint32_t mask, uint32_t wanted)
{
    while (from < end && (image_bits(&image->entries[from]) & mask) != wanted)
        from++;
    return from;
}

/* Nothing that changed is passed over, and what is led to stands in a block with a change. */
static void check_changed(const struct image *image, uint64_t from, uint64_t end, uint64_t modseq)
{
    uint64_t found = image_next_changed(image, from, end, modseq);
    assert_true(found <= end);
    for (uint64_t i = from; i < found; i++)
        assert_true(image_read(&image->entries[i]).modseq <= modseq);
    if (found < end)
        assert_true(image->blocks[found >> image->block_shift].modseq > modseq);
    else
        assert_int_equal(found, end);
}

static void check_blocks(const struct image *image, uint64_t end, uint64_t modseq)
{
    for (uint64_t i = 0; i < end; i++) {
        assert_int_equal(image_next_expunged(image, i, end),
                         walk(image, i, end, IMAGE_EXPUNGED, IMAGE_EXPUNGED));
        assert_int_equal(image_next_unseen(image, i, end),
                         walk(image, i, end, IMAGE_SEEN | IMAGE_EXPUNGED, 0));
        assert_int_equal(image_next_deleted(image, i, end),
                         walk(image, i, end, IMAGE_DELETED | IMAGE_EXPUNGED, IMAGE_DELETED));
        check_changed(image, i, end, modseq);
    }
    uint64_t expunged = 0;
    for (uint64_t i = 0; i < image->capacity; i++)
        expunged += image_is_expunged(&image->entries[i]);
    assert_int_equal(image->expunged, expunged);
}

static void test_blocks(void **state)
{
    (void)state;
    static const uint64_t capacities[] = {1, 5, 128, 129, 200, 256, 257, 700};
    unsigned random = 5;
    for (size_t k = 0; k < sizeof capacities / sizeof *capacities; k++) {
        uint64_t n = capacities[k], modseq = 1;
        struct image *image = new_image(n);
        assert_true(image_valid(image, image_size(n)));
        for (uint32_t i = 0; i < n; i++)
            image_place(image, i, &(struct image_fixed){.uid = i + 1}, (struct image_state){1, IMAGE_SEEN});
        check_blocks(image, n, 0);
        assert_int_equal(image_next_changed(image, 0, n, 1), n);
        for (int round = 0; round < 40; round++) {
            random = random * 1103515245 + 12345;
            uint64_t at = (random >> 8) % n, flags = (random >> 4) & (IMAGE_SEEN | IMAGE_DELETED);
            bool gone = image_is_expunged(&image->entries[at]) || random >> 30 == 0;
            image_write(image, at, ++modseq, flags | (gone ? IMAGE_EXPUNGED : 0));
            if (round % 8 == 0)
                check_blocks(image, n - (unsigned)round % n, modseq - (unsigned)round % 3);
        }
        check_blocks(image, n, modseq - 1);
        image->block_shift = 40; /* what would lead outside is no image */
        assert_false(image_valid(image, image_size(n)));
        image->block_shift = 0;
        assert_int_equal(image_valid(image, image_size(n)), n <= IMAGE_BLOCKS);
        free(image);
    }
}

/* A reader sees all halves of one state, never of two; the turn goes round meanwhile. */
#define STATES_MS     300
#define STATES_MAX_MS 10000 /* a busy machine lets the writer wait */
static _Atomic bool stop;
static void *write_states(void *arg)
{
    struct image *image = arg;
    for (uint64_t i = 1; !stop; i++)
        image_write(image, 0, i << 32 | i, ~(i << 32 | i));
    return NULL;
}

static void test_states(void **state)
{
    (void)state;
    struct image *image = new_image(1);
    pthread_t writer;
    image_write(image, 0, 0, ~0ull);
    assert_int_equal(pthread_create(&writer, NULL, write_states, image), 0);
    uint64_t last = 0, torn = 0, backward = 0;
    uint64_t begun = clock_mono_ms(), now = begun;
    for (; now < begun + STATES_MS || (last >> 32 <= UINT16_MAX && now < begun + STATES_MAX_MS);
         now = clock_mono_ms())
        for (int i = 0; i < 1000; i++) {
            struct image_state s = image_read(&image->entries[0]);
            torn += s.flags != ~s.modseq || (uint32_t)s.modseq != s.modseq >> 32;
            backward += s.modseq < last;
            last = s.modseq;
        }
    assert_int_equal(torn, 0);
    assert_int_equal(backward, 0);
    assert_true(last >> 32 > UINT16_MAX); /* the turn did go round */
    stop = true;
    (void)pthread_join(writer, NULL);
    image->entries[0].turn = 7; /* a writer that died in between does not hold the reader */
    (void)image_read(&image->entries[0]);
    free(image);
}

static void test_mailbox_rows(void **state)
{
    (void)state;
    static const struct mailbox_row rows[] = {
        {.id = 1, .name = {(const uint8_t *)"INBOX", 5}},
        {.id = UINT64_MAX,
         .flags = MAILBOX_SUBSCRIBED | MAILBOX_NOSELECT,
         .special_use = SPECIAL_TRASH,
         .uidvalidity = UINT32_MAX,
         .uidnext = UINT32_MAX,
         .modseq = UINT64_MAX,
         .messages = 5,
         .unseen = 4,
         .recent = 3,
         .deleted = 2,
         .bytes = 1,
         .name = {(const uint8_t *)"a/b", 3}},
    };
    AUTO_BUF struct buf b = buf_new(1000);
    for (size_t i = 0; i < 2; i++)
        mailbox_row_add(&b, &rows[i]);
    struct slice rest = buf_slice(&b);
    struct mailbox_row row;
    for (size_t i = 0; i < 2; i++) {
        assert_true(mailbox_row_take(&rest, &row));
        assert_true(row.id == rows[i].id && row.modseq == rows[i].modseq && row.uidnext == rows[i].uidnext);
        assert_true(row.special_use == rows[i].special_use && row.flags == rows[i].flags);
        assert_true(row.messages == rows[i].messages && row.unseen == rows[i].unseen &&
                    row.recent == rows[i].recent);
        assert_true(row.deleted == rows[i].deleted && row.bytes == rows[i].bytes);
        assert_true(slice_eq(row.name, rows[i].name));
    }
    assert_false(mailbox_row_take(&rest, &row));
    for (size_t cut = 1; cut < 16; cut++) {
        rest = slice_sub(buf_slice(&b), 0, cut);
        assert_false(mailbox_row_take(&rest, &row));
        assert_int_equal(rest.len, cut);
    }
}

static void test_facts_rows(void **state)
{
    (void)state;
    static const struct facts_row rows[] = {
        {.message = 5,
         .found = 1,
         .header = {(const uint8_t *)"h", 1},
         .front = {.flags = FACTS_TEXT_COMPLETE,
                   .envelope = {(const uint8_t *)"(e)", 3},
                   .body = {(const uint8_t *)"(b)", 3},
                   .bodystructure = {(const uint8_t *)"(bs)", 4},
                   .headers = {(const uint8_t *)"To: x", 5},
                   .preview = {(const uint8_t *)"p", 1}},
         .facts = {(const uint8_t *)"facts", 5}},
        {.message = 6},
        {.message = UINT64_MAX, .found = 1, .large = 1},
    };
    AUTO_BUF struct buf b = buf_new(1000);
    for (size_t i = 0; i < 3; i++)
        facts_row_add(&b, FACTS_WANT_ALL, &rows[i]);
    struct slice rest = buf_slice(&b);
    struct facts_row row;
    for (size_t i = 0; i < 3; i++) {
        assert_true(facts_row_take(&rest, FACTS_WANT_ALL, &row));
        assert_true(row.message == rows[i].message && row.found == rows[i].found &&
                    row.large == rows[i].large);
        assert_true(slice_eq(row.header, rows[i].header) && slice_eq(row.facts, rows[i].facts));
        assert_true(slice_eq(row.front.envelope, rows[i].front.envelope));
        assert_true(slice_eq(row.front.body, rows[i].front.body));
        assert_true(slice_eq(row.front.bodystructure, rows[i].front.bodystructure));
        assert_true(slice_eq(row.front.headers, rows[i].front.headers));
        assert_true(slice_eq(row.front.preview, rows[i].front.preview));
        assert_int_equal(row.front.flags, rows[i].front.flags);
    }
    assert_false(facts_row_take(&rest, FACTS_WANT_ALL, &row));
    rest = SLICE("\x05\x04\x00\x00"); /* an unknown bit */
    assert_false(facts_row_take(&rest, FACTS_WANT_ALL, &row));
    buf_clear(&b); /* only what was asked for */
    facts_row_add(&b, FACTS_WANT_PREVIEW, &rows[0]);
    assert_int_equal(b.len, 5);
    rest = buf_slice(&b);
    assert_true(facts_row_take(&rest, FACTS_WANT_PREVIEW, &row) && rest.len == 0);
    assert_true(slice_eq(row.front.preview, rows[0].front.preview) && row.facts.len == 0);
    rest = SLICE("\x05\x01\x00\x09x"); /* longer than what is there */
    assert_false(facts_row_take(&rest, FACTS_WANT_ALL, &row));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid),      cmocka_unit_test(test_find),   cmocka_unit_test(test_place),
        cmocka_unit_test(test_states),     cmocka_unit_test(test_blocks), cmocka_unit_test(test_mailbox_rows),
        cmocka_unit_test(test_facts_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
