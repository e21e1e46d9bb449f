/* Any bytes as postfix-sasl-password.cf: nothing of a line gets into what is said about it. */
#include <stdlib.h>

#include "policy/relay_secrets.h"

#define ARENA_MAX (64u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len > 20000)
        return 0;
    AUTO_ARENA struct arena *arena = arena_new(ARENA_MAX);
    struct slice text = slice_make(data, len), rest = text, line;
    struct relay_secrets *secrets = relay_secrets_new_in(arena);
    struct problems *problems = problems_new_in(arena);
    bool usable = relay_secrets_read(secrets, text, SLICE("sasl.cf"), problems);
    if (usable != (relay_secrets_count(secrets) > 0))
        abort();
    for (size_t i = 0; i < problems->count; i++)
        if (!slice_starts(problems->items[i].text, SLICE("this line has no ")))
            abort();
    while (slice_token(&rest, '\n', &line)) {
        line = slice_sub(line, 0, 300);
        const struct relay_secret *secret = relay_secrets_find(secrets, line, line, 587);
        if (secret && (!secret->user.len || !secret->password.len))
            abort();
    }
    return 0;
}
