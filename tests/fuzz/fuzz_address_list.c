/* Address lists: any bytes give a list within its bounds, with balanced groups. */
#include <stdlib.h>

#include "grammar/address.h"

#define ARENA_MAX (64u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct address_list list;
    if (len == 0 || len > 65536)
        return 0;
    size_t max = data[0] < 16 ? data[0] : ADDRESS_LIST_MAX;
    int depth = 0;
    address_list_parse_in(arena, slice_make(data + 1, len - 1), max, &list);
    if (list.count > max)
        abort();
    for (size_t i = 0; i < list.count; i++) {
        depth += list.items[i].kind == ADDRESS_GROUP_START;
        depth -= list.items[i].kind == ADDRESS_GROUP_END;
        if (depth < 0 || depth > 1)
            abort();
        (void)address_item_text_in(arena, list.items + i);
    }
    if (depth)
        abort();
    return 0;
}
