/* Fuzzes TLSA sets: rows of two length bytes and rdata. */
#include <stdlib.h>

#include "base/buf.h"
#include "policy/tlsa.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO_ARENA struct arena *arena = arena_new(4u << 20);
    struct slice input = slice_make(data, len), rdata[64];
    size_t count = 0;
    uint16_t size;
    while (count < 64 && slice_take_le16(&input, &size) && slice_take_bytes(&input, size, &rdata[count]))
        count++;
    struct tlsa_set set;
    tlsa_set_read_in(arena, rdata, count, &set);
    if (set.count > TLSA_RECORDS_MAX || (set.level == TLSA_VERIFY) != (set.count > 0) ||
        (set.level == TLSA_ABSENT) != (count == 0))
        abort();
    for (size_t i = 0; i < set.count; i++)
        if (set.records[i].usage < 2 || set.records[i].usage > 3 || set.records[i].data.len == 0)
            abort();
    return 0;
}
