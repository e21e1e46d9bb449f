/* Sequence numbers over a mailbox image, against a model that keeps a plain list of UIDs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "imap/view.h"

#define MESSAGES 200

static struct image *make_image(const uint8_t *expunged, uint32_t count)
{
    struct image *image = aligned_alloc(64, (image_size(count + 64) + 63) / 64 * 64);
    memset(image, 0, image_size(count + 64));
    image_start(image, 1, 1, count + 64);
    image->count = count;
    image->modseq = 100;
    image->uidnext = 2 * count + 2;
    for (uint32_t i = 0; i < count; i++)
        image_place(image, i, &(struct image_fixed){.uid = 2 * i + 1},
                    (struct image_state){.flags = expunged[i] ? IMAGE_EXPUNGED : 0});
    return image;
}

/* A map that is not to be unmapped. */
static struct imap_map map_of(const struct image *image)
{
    return (struct imap_map){.image = image, .refs = 1000};
}

static void check_against_model(const struct imap_view *v, const uint32_t *uids, uint32_t count)
{
    assert_int_equal(imap_view_exists(v), count);
    assert_int_equal(imap_view_last_uid(v), count ? uids[count - 1] : 0);
    for (uint32_t seq = 1; seq <= count; seq++) {
        uint32_t index = imap_view_index(v, seq);
        assert_int_equal(imap_view_entry(v, index)->uid, uids[seq - 1]);
        assert_int_equal(imap_view_seq(v, index), seq);
    }
}

/* Every set gives the same messages as going through the list. */
static void check_walk(const struct imap_view *v, const uint32_t *uids, uint32_t count, bool by_uid)
{
    struct imap_range ranges[4];
    uint32_t at = 1;
    for (size_t i = 0; i < 4; i++) {
        ranges[i].lo = at + (uint32_t)rand() % 50;
        ranges[i].hi = ranges[i].lo + (uint32_t)rand() % 60;
        at = ranges[i].hi + 2;
    }
    struct imap_set set = {.ranges = ranges, .count = 4};
    struct imap_view_walk w = imap_view_walk(v, &set, by_uid);
    struct imap_message m;
    for (uint32_t seq = 1; seq <= count; seq++) {
        if (!imap_set_contains(&set, by_uid ? uids[seq - 1] : seq))
            continue;
        assert_true(imap_view_next(&w, &m));
        assert_int_equal(m.seq, seq);
        assert_int_equal(m.uid, uids[seq - 1]);
    }
    assert_false(imap_view_next(&w, &m));
}

/* The set for store names all of the messages asked for, and none of the others. */
static void check_uids(const struct imap_view *v, const uint32_t *uids, uint32_t count)
{
    struct imap_range range = {1 + (uint32_t)rand() % 50, 60 + (uint32_t)rand() % 100};
    struct imap_set set = {.ranges = &range, .count = 1};
    struct imap_set_builder built = imap_view_uids(v, &set, false);
    struct imap_set got = imap_set_builder_view(&built);
    assert_true(got.count <= 1);
    for (uint32_t seq = 1; seq <= count; seq++)
        assert_int_equal(imap_set_contains(&got, uids[seq - 1]), seq >= range.lo && seq <= range.hi);
    imap_set_builder_free(&built);
}

static void test_against_model(void **state)
{
    (void)state;
    srand(42);
    for (int round = 0; round < 200; round++) {
        uint8_t expunged[MESSAGES];
        uint32_t uids[MESSAGES], count = 0;
        unsigned density = (unsigned)round % 11;
        for (uint32_t i = 0; i < MESSAGES; i++) {
            expunged[i] = (unsigned)rand() % 10 < density;
            if (!expunged[i])
                uids[count++] = 2 * i + 1;
        }
        struct image *image = make_image(expunged, MESSAGES);
        struct imap_map map = map_of(image);
        struct imap_view v;
        imap_view_open(&v, &map);
        v.recent_from = 2 * 150 + 1;
        check_against_model(&v, uids, count);
        check_walk(&v, uids, count, false);
        check_walk(&v, uids, count, true);
        check_uids(&v, uids, count);
        uint32_t recent = 0;
        for (uint32_t i = 0; i < count; i++)
            recent += uids[i] >= 301;
        assert_int_equal(imap_view_recent(&v), recent);
        imap_view_close(&v);
        free(image);
    }
}

/* A walk that leaps finds what a walk over all finds of that kind, in the same numbers. */
static void check_leaps(const struct imap_view *v, const struct imap_set *set, bool by_uid)
{
    struct imap_view_walk plain = imap_view_walk(v, set, by_uid), leaps = imap_view_walk(v, set, by_uid);
    struct imap_message a, b;
    leaps.leap = image_next_unseen;
    while (imap_view_next(&plain, &a)) {
        if (imap_view_state(v, a.index).flags & (IMAGE_SEEN | IMAGE_EXPUNGED))
            continue;
        assert_true(imap_view_next(&leaps, &b));
        assert_memory_equal(&a, &b, sizeof a);
    }
    assert_false(imap_view_next(&leaps, &b));
}

static void test_leaps(void **state)
{
    (void)state;
    srand(7);
    for (int round = 0; round < 60; round++) {
        uint8_t expunged[MESSAGES];
        for (uint32_t i = 0; i < MESSAGES; i++)
            expunged[i] = rand() % 10 < round % 3;
        struct image *image = make_image(expunged, MESSAGES);
        for (uint32_t i = 0; i < MESSAGES; i++)
            if (rand() % 20 >= round % 20)
                image_write(image, i, 2, IMAGE_SEEN | image_own(&image->entries[i]).flags);
        struct imap_map map = map_of(image);
        struct imap_view v;
        imap_view_open(&v, &map);
        image_write(image, 7, 3, IMAGE_EXPUNGED); /* not told yet: it has its number still */
        struct imap_range all[] = {{1, UINT32_MAX}},
                          some[] = {{3, 9}, {11, 11}, {40, 200}, {250, 251}, {500, 900}};
        check_leaps(&v, &(struct imap_set){.ranges = all, .count = 1}, true);
        check_leaps(&v, &(struct imap_set){.ranges = some, .count = 5}, true);
        check_leaps(&v, &(struct imap_set){.ranges = some, .count = 5}, false);
        imap_view_close(&v);
        free(image);
    }
}

static void test_resolve(void **state)
{
    (void)state;
    static const struct {
        const char *set;
        bool by_uid, ok_full, ok_empty;
        const char *resolved; /* of ten messages with UIDs 1, 3 … 19 */
    } rows[] = {
        {"1:*", false, true, true, "1:10"},    {"*", false, true, true, "10"},
        {"10", false, true, false, "10"},      {"11", false, false, false, "11"},
        {"5:20", false, false, false, "5:20"}, {"*:3", false, true, true, "3:10"},
        {"1:*", true, true, true, "1:19"},     {"*", true, true, true, "19"},
        {"100:*", true, true, true, "19:100"}, {"7", true, true, true, "7"},
    };
    uint8_t none[10] = {0};
    struct image *full = make_image(none, 10), *empty = make_image(none, 0);
    struct imap_map full_map = map_of(full), empty_map = map_of(empty);
    struct imap_view v, nothing;
    imap_view_open(&v, &full_map);
    imap_view_open(&nothing, &empty_map);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena AUTO_ARENA = arena_new(10000);
        struct imap_set set, again;
        struct why why;
        AUTO_BUF struct buf out = buf_new(1000);
        assert_int_equal(imap_set_parse_in(arena, slice_of(rows[i].set), &set, &why), ERR_OK);
        assert_int_equal(imap_set_parse_in(arena, slice_of(rows[i].set), &again, &why), ERR_OK);
        assert_int_equal(imap_view_resolve(&v, &set, rows[i].by_uid), rows[i].ok_full);
        assert_int_equal(imap_view_resolve(&nothing, &again, rows[i].by_uid), rows[i].ok_empty);
        imap_set_write(&out, &set);
        buf_add_byte(&out, 0);
        assert_string_equal((char *)out.data, rows[i].resolved);
    }
    imap_view_close(&v);
    imap_view_close(&nothing);
    free(full);
    free(empty);
}

/* While the view stands, the mailbox moves to a new image without some of the messages. */
static void test_moved_image(void **state)
{
    (void)state;
    uint8_t none[10] = {0}, some[10] = {0, 1, 0, 0, 1, 0, 0, 0, 0, 0};
    struct image *old = make_image(none, 10), *fresh = make_image(some, 10);
    fresh->entries[0].uid = 2; /* UID 1 is missing there altogether */
    image_write(fresh, 5, 0, IMAGE_FLAGGED);
    struct imap_map old_map = map_of(old), fresh_map = map_of(fresh);
    struct imap_view v;
    imap_view_open(&v, &old_map);
    imap_map_unref(&v.live);
    v.live = imap_map_ref(&fresh_map);
    assert_int_equal(imap_view_exists(&v), 10);
    assert_true(imap_view_state(&v, 0).flags & IMAGE_EXPUNGED);
    assert_true(imap_view_state(&v, 1).flags & IMAGE_EXPUNGED);
    assert_false(imap_view_state(&v, 2).flags & IMAGE_EXPUNGED);
    assert_true(imap_view_state(&v, 5).flags & IMAGE_FLAGGED);
    imap_view_close(&v);
    free(old);
    free(fresh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_leaps),
        cmocka_unit_test(test_resolve),
        cmocka_unit_test(test_moved_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
