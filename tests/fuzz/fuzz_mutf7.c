/* Modified UTF-7: an accepted name has exactly this one encoding, and every UTF-8 text has one. */
#include <stdlib.h>

#include "grammar/mutf7.h"

#define ARENA_MAX (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct slice text = slice_make(data, len), other, back;
    if (len > 65536)
        return 0;
    if (mutf7_to_utf8_in(arena, text, &other) &&
        (!slice_is_utf8(other) || !mutf7_from_utf8_in(arena, other, &back) || !slice_eq(back, text)))
        abort();
    if (mutf7_from_utf8_in(arena, text, &other) &&
        (!mutf7_to_utf8_in(arena, other, &back) || !slice_eq(back, text)))
        abort();
    return 0;
}
