/* Any bytes as postfix-relaymap.cf: every line kept is found again under its key. */
#include <stdlib.h>

#include "directory/relay_map.h"

#define ARENA_MAX (64u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len > 20000)
        return 0;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct relay_map *map = relay_map_new_in(arena);
    relay_map_read(map, slice_make(data, len), SLICE("map.cf"), problems_new_in(arena));
    for (size_t i = 0; i < relay_map_count(map); i++) {
        const struct relay_map_entry *entry = relay_map_at(map, i);
        if (entry->port == 0 || entry->key.len == 0 || (entry->bracketed && !entry->host.len))
            abort();
        if (entry->key.ptr[0] == '@')
            continue;
        if (relay_map_find(map, entry->key) != entry)
            abort();
    }
    (void)relay_map_find(map, slice_make(data, len < 300 ? len : 300));
    return 0;
}
