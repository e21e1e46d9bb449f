/* SRS: whatever the address, what is signed comes back, and nothing else does. */
#include <stdlib.h>

#include "grammar/address.h"
#include "policy/srs.h"

#define ARENA_MAX (4u << 20)
#define NOW       1795262580u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct slice input = slice_make(data, len), rewritten, original, again;
    struct srs_secrets secrets, other;
    struct address sender;
    if (!srs_read_secrets(SLICE("first secret\nold\n"), &secrets) ||
        !srs_read_secrets(SLICE("other"), &other))
        abort();
    bool read = srs_read_secrets(input, &other);
    if (read != (other.count > 0))
        abort();
    if (srs_reverse_in(arena, &secrets, input, NOW, &original) == SRS_OK && !srs_is_address(input))
        abort();
    if (srs_forward_in(arena, &secrets, SLICE("srs.example.org"), input, NOW, &rewritten) != SRS_OK ||
        !input.len)
        return 0;
    if (address_parse_in(arena, input, ADDRESS_ALLOW_UTF8, &sender, NULL) || rewritten.len > ADDRESS_MAX)
        abort();
    if (slice_eq(rewritten, sender.text))
        return 0;
    if (srs_reverse_in(arena, &secrets, rewritten, NOW, &original) != SRS_OK)
        abort();
    bool foreign = slice_starts(rewritten, SLICE("SRS1")) || slice_starts(rewritten, SLICE("\"SRS1"));
    if (!foreign && !slice_eq(original, sender.text))
        abort();
    if (srs_forward_in(arena, &secrets, SLICE("srs.example.org"), rewritten, NOW, &again) ||
        !slice_eq(again, rewritten))
        abort();
    return 0;
}
