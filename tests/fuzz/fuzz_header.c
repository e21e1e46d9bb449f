/* Header blocks: the fields cover the block without gaps, and unfolding, comments and message ids take any
 * bytes. */
#include <stdlib.h>

#include "grammar/header.h"

#define ARENA_MAX (64u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct slice header, body;
    if (len > 65536)
        return 0;
    header_split(slice_make(data, len), &header, &body);
    if (header.len + body.len > len)
        abort();
    struct header_iter iter = header_iter_new(header);
    struct header_field field;
    size_t at = 0;
    while (header_next(&iter, &field)) {
        struct slice rest = field.value, id;
        if (field.offset != at || field.junk == (field.name.len > 0))
            abort();
        at += field.raw.len;
        (void)header_strip_comments_in(arena, field.value);
        while (header_msgid_take_in(arena, &rest, &id))
            if (id.len == 0 || id.len > HEADER_MSGID_MAX)
                abort();
    }
    if (at != header.len)
        abort();
    return 0;
}
