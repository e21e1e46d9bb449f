/* Fuzzes the reader of CrowdSec's answers. First byte: how long the pieces are in which the rest comes. What
 * is found may not depend on that. */
#include <stdlib.h>
#include <string.h>

#include "policy/lapi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_word(struct slice word)
{
    if (word.len == 0 || word.len > LAPI_NAME_MAX)
        abort();
    for (size_t i = 0; i < word.len; i++)
        if (word.ptr[i] <= 0x20 || word.ptr[i] > 0x7e)
            abort();
}

static void on_decision(void *ctx, const struct lapi_decision *d)
{
    uint64_t *sum = ctx;
    unsigned most = d->network.base.family == NETADDR_V4 ? 32 : 128;
    struct netaddr prefix = netaddr_prefix(&d->network.base, d->network.bits);
    check_word(d->type);
    check_word(d->origin);
    check_word(d->scenario);
    if (d->network.bits > most || d->network.bits < LAPI_V4_BITS_MIN || d->seconds > LAPI_SECONDS_MAX ||
        (d->gone && d->seconds) || !netaddr_same_host(&prefix, &d->network.base))
        abort();
    *sum = *sum * 31 + d->id + d->seconds + d->network.bits + slice_hash(d->scenario, d->gone);
}

static bool read_in(struct slice input, size_t step, uint64_t *sum)
{
    static struct lapi_reader r;
    *sum = 0;
    lapi_reader_begin(&r, on_decision, sum);
    for (size_t at = 0; at < input.len; at += step) {
        struct slice part = slice_sub(input, at, step);
        uint8_t *copy = malloc(part.len); /* so that a byte read too far is seen */
        if (!copy)
            abort();
        memcpy(copy, part.ptr, part.len);
        enum err err = lapi_reader_feed(&r, slice_make(copy, part.len));
        free(copy);
        if (err)
            return false;
    }
    return !lapi_reader_end(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct slice input = slice_from(slice_make(data, len), 1);
    uint64_t whole, pieces, seconds;
    static struct lapi_token token;
    if (len == 0)
        return 0;
    bool ok = read_in(input, input.len ? input.len : 1, &whole);
    if (read_in(input, data[0] ? data[0] : 1, &pieces) != ok || whole != pieces)
        abort();
    if (lapi_duration_read(input, &seconds) && seconds > LAPI_SECONDS_MAX)
        abort();
    if (lapi_token_read(input, &token))
        for (size_t i = 0; i < token.len; i++)
            if (token.text[i] <= 0x20 || token.text[i] > 0x7e)
                abort();
    return 0;
}
