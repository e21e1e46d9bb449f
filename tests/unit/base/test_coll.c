/* Collections, hashes, random numbers, clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/coll.h"
#include "base/random.h"

struct thing {
    struct list link;
    int number;
};

static void test_list(void **state)
{
    (void)state;
    struct list head;
    struct thing things[4];
    list_init(&head);
    assert_true(list_empty(&head));
    for (int i = 0; i < 4; i++) {
        things[i].number = i;
        list_init(&things[i].link);
        list_push_back(&head, &things[i].link);
    }
    list_remove(&things[1].link);
    list_remove(&things[1].link);
    int seen = 0, sum = 0;
    LIST_EACH(&head, node)
    {
        struct thing *thing = CONTAINER_OF(node, struct thing, link);
        sum = sum * 10 + thing->number;
        seen++;
        if (thing->number == 2)
            list_remove(node);
    }
    assert_int_equal(seen, 3);
    assert_int_equal(sum, 23);
    assert_ptr_equal(list_pop_front(&head), &things[0].link);
    assert_ptr_equal(list_pop_front(&head), &things[3].link);
    assert_null(list_pop_front(&head));
}

static void test_vec(void **state)
{
    (void)state;
    struct vec vec = VEC_NEW(int, 10);
    for (int i = 0; i < 10; i++) {
        int *item = vec_push(&vec);
        assert_non_null(item);
        assert_int_equal(*item, 0);
        *item = i;
    }
    assert_null(vec_push(&vec));
    vec_remove_swap(&vec, 3);
    assert_int_equal(vec.len, 9);
    assert_int_equal(*VEC_AT(&vec, int, 3), 9);
    vec_free(&vec);
}

/* Random puts and removes beside a plain array. */
static void test_maps_against_model(void **state)
{
    (void)state;
    enum { KEYS = 500 };
    static char names[KEYS][16];
    static uint64_t values[KEYS];
    struct map *map = map_new(KEYS);
    struct idmap *ids = idmap_new(KEYS);
    bool in[KEYS] = {false};
    uint64_t seed = 12345;
    size_t count = 0;
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(names[i], sizeof names[i], "k%d", i);
        values[i] = (uint64_t)i;
    }
    for (int step = 0; step < 20000; step++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        size_t k = (size_t)(seed >> 33) % KEYS;
        if (seed >> 63) {
            assert_true(map_put(map, slice_of(names[k]), &values[k]));
            assert_true(idmap_put(ids, k, &values[k]));
            count += !in[k];
            in[k] = true;
        } else {
            assert_ptr_equal(map_remove(map, slice_of(names[k])), in[k] ? &values[k] : NULL);
            assert_ptr_equal(idmap_remove(ids, k), in[k] ? &values[k] : NULL);
            count -= in[k];
            in[k] = false;
        }
        assert_int_equal(map_count(map), count);
    }
    for (size_t k = 0; k < KEYS; k++) {
        assert_ptr_equal(map_get(map, slice_of(names[k])), in[k] ? &values[k] : NULL);
        assert_ptr_equal(idmap_get(ids, k), in[k] ? &values[k] : NULL);
    }
    size_t at = 0, walked = 0;
    uint64_t id;
    while (idmap_next(ids, &at, &id))
        walked += in[id];
    assert_int_equal(walked, count);
    map_free(&map);
    idmap_free(&ids);
    assert_null(map);
}

static void test_map_maximum(void **state)
{
    (void)state;
    struct map *map = map_new(1);
    int value = 1;
    assert_null(map_get(map, SLICE("a")));
    assert_true(map_put(map, SLICE("a"), &value));
    assert_true(map_put(map, SLICE("a"), &value));
    assert_false(map_put(map, SLICE("b"), &value));
    map_free(&map);
}

/* The reference vectors of SipHash-2-4: key 00…0f, input 00…n-1. */
static void test_hashes(void **state)
{
    (void)state;
    struct hash_key key = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    uint8_t input[64];
    for (size_t i = 0; i < sizeof input; i++)
        input[i] = (uint8_t)i;
    assert_int_equal(hash_sip(&key, SLICE_EMPTY), 0x726fdb47dd0e0e31u);
    assert_int_equal(hash_sip(&key, slice_make(input, 15)), 0xa129ca6149be45e5u);
    assert_int_equal(hash_crc32c(0, SLICE("123456789")), 0xe3069283u);
    assert_int_equal(hash_crc32c(hash_crc32c(0, SLICE("1234")), SLICE("56789")), 0xe3069283u);

    static const uint8_t empty[16] = {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6,
                                      0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93};
    uint8_t whole[HASH_SUM_LEN], parts[HASH_SUM_LEN];
    struct hash_sum sum;
    hash_sum_begin(&sum, &key);
    hash_sum_end(&sum, whole);
    assert_memory_equal(whole, empty, sizeof empty);
    for (size_t cut = 0; cut <= sizeof input; cut++) {
        hash_sum_begin(&sum, &key);
        hash_sum_add(&sum, slice_make(input, sizeof input));
        hash_sum_end(&sum, whole);
        hash_sum_begin(&sum, &key);
        hash_sum_add(&sum, slice_make(input, cut));
        hash_sum_add(&sum, SLICE_EMPTY);
        hash_sum_add(&sum, slice_make(input + cut, sizeof input - cut));
        hash_sum_end(&sum, parts);
        assert_memory_equal(whole, parts, sizeof parts);
    }
}

static void test_clock_and_random(void **state)
{
    (void)state;
    char text[CLOCK_TEXT_MAX];
    assert_int_equal(clock_rfc3339(1795231801123u, text), 24);
    assert_string_equal(text, "2026-11-21T03:30:01.123Z");
    assert_int_equal(clock_syslog(1795231801123u, text), 15);
    uint64_t a = clock_mono_ns();
    assert_true(clock_mono_ns() >= a);
    for (int i = 0; i < 1000; i++)
        assert_true(random_below(7) < 7);
    assert_int_equal(random_below(0), 0);
    assert_true(random_u64() != random_u64());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_vec),
        cmocka_unit_test(test_maps_against_model),
        cmocka_unit_test(test_map_maximum),
        cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_clock_and_random),
    };
    return cmocka_run_group_tests_name("coll", tests, NULL, NULL);
}
