/* find.h beside the plain way, at all lengths around the width of what is read at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/find.h"

#define TEXT_MAX 100
#define ROUNDS   200000

static uint32_t seed = 7;

static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static void fill(uint8_t *bytes, size_t len, bool small)
{
    static const uint8_t some[] = {'a', 'A', 'b', 'z', 'Z', '[', '@', '{', 0x00, 0x20, 0xc3, 0xe1};
    for (size_t i = 0; i < len; i++)
        bytes[i] = small ? ascii_lower(some[draw(sizeof some)]) : some[draw(sizeof some)];
}

static ptrdiff_t plainly(struct slice text, struct slice needle, bool any_case, size_t from)
{
    for (size_t at = from; at + needle.len <= text.len; at++) {
        size_t same = 0;
        while (same < needle.len &&
               (any_case ? ascii_lower(text.ptr[at + same]) : text.ptr[at + same]) == needle.ptr[same])
            same++;
        if (same == needle.len)
            return (ptrdiff_t)at;
    }
    return -1;
}

static void test_find(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint8_t bytes[TEXT_MAX], wanted[8];
        struct slice text = slice_make(bytes, draw(TEXT_MAX + 1)), needle = slice_make(wanted, 1 + draw(5));
        bool any_case = draw(2);
        size_t from = draw(4) ? 0 : draw(TEXT_MAX + 10);
        fill(bytes, text.len, false);
        fill(wanted, needle.len, any_case);
        struct find find = find_new(needle, any_case);
        assert_int_equal(find_in(&find, text, from), plainly(text, needle, any_case, from));
        size_t foreign = from;
        while (foreign < text.len && text.ptr[foreign] < 0x80)
            foreign++;
        assert_int_equal(find_foreign(text, from), foreign);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_find)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
