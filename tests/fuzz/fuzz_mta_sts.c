/* Fuzzes MTA-STS: the first byte even: a policy; odd: TXT records, a line each. */
#include <stdlib.h>

#include "policy/mta_sts.h"
#include "policy/rdata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void read_policy(struct arena *arena, struct slice text)
{
    struct sts_policy policy;
    struct why why;
    if (sts_policy_parse_in(arena, text, &policy, &why))
        return;
    if (policy.max_age > STS_AGE_MAX || policy.mx_count > STS_MX_MAX ||
        (policy.mode != STS_MODE_NONE && policy.mx_count == 0))
        abort();
    for (size_t i = 0; i < policy.mx_count; i++) {
        bool wild = slice_starts(policy.mx[i], SLICE("*."));
        if (!wild && !sts_policy_has(&policy, policy.mx[i]))
            abort();
        if (slice_find(slice_from(policy.mx[i], wild ? 1 : 0), '*') >= 0)
            abort();
    }
    (void)sts_policy_has(&policy, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO_ARENA struct arena *arena = arena_new(4u << 20);
    struct slice input = slice_from(slice_make(data, len), 1), records[20], joined;
    size_t count = 0;
    struct sts_id id;
    if (len == 0)
        return 0;
    if (data[0] % 2 == 0) {
        read_policy(arena, input);
        return 0;
    }
    if (rdata_txt_in(arena, input, &joined) && joined.len >= input.len)
        abort();
    (void)sts_type_is_plain(input);
    while (count < 20 && slice_token(&input, '\n', &records[count]))
        count++;
    if (sts_record_read(records, count, &id) && (id.len == 0 || id.len > STS_ID_MAX))
        abort();
    return 0;
}
