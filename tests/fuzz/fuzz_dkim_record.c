/* Any bytes as a DKIM key record: what is accepted is within its bounds, and printed it parses to the same
 * key. */
#include <stdlib.h>

#include "policy/dkim_record.h"

static void require(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO_ARENA struct arena *arena = arena_new(1u << 20);
    AUTO_BUF struct buf text = buf_new(2 * DKIM_RECORD_MAX);
    struct dkim_record record, again;
    if (dkim_record_parse_in(arena, slice_make(data, len), &record, NULL))
        return 0;
    require(len <= DKIM_RECORD_MAX && record.key.len <= DKIM_PUBLIC_MAX + 64);
    unsigned bits = dkim_public_bits(record.algorithm, record.key);
    require(record.algorithm != DKIM_ED25519_SHA256 || !record.key.len || bits == 256);
    if (record.algorithm == DKIM_UNKNOWN || !record.key.len || record.key.len > DKIM_PUBLIC_MAX)
        return 0;
    dkim_record_print(record.algorithm, record.key, &text);
    require(dkim_record_parse_in(arena, buf_slice(&text), &again, NULL) == ERR_OK);
    require(again.algorithm == record.algorithm && slice_eq(again.key, record.key));
    return 0;
}
