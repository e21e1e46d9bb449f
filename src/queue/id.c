/* id.c: makes queue ids. Pure but for the randomness. Called by transaction.c and, for what an administrator
 * typed, by control.c. */
#include "queue/id.h"

#include "base/random.h"

#define TIME_DIGITS 9
#define LOW_BITS    30

/* No i, l, o, u: read aloud, an id stays itself (as Crockford's base32). In ASCII order, so that ids sort as
 * numbers. */
static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";

void queue_id_next(struct queue_id_state *state, uint64_t unix_ms, char id[QUEUE_ID_LEN + 1])
{
    uint64_t fresh = random_below(UINT64_C(1) << LOW_BITS);
    if (unix_ms > state->ms) {
        state->ms = unix_ms;
        state->low = fresh;
    } else {
        state->low += 1 + (fresh & 0xff);
        state->ms += state->low >> LOW_BITS;
        state->low &= (UINT64_C(1) << LOW_BITS) - 1;
    }
    for (unsigned i = 0; i < TIME_DIGITS; i++)
        id[i] = digits[state->ms >> (5 * (TIME_DIGITS - 1 - i)) & 31];
    for (unsigned i = TIME_DIGITS; i < QUEUE_ID_LEN; i++)
        id[i] = digits[state->low >> (5 * (QUEUE_ID_LEN - 1 - i)) & 31];
    id[QUEUE_ID_LEN] = '\0';
}

bool queue_id_ok(struct slice text)
{
    if (text.len != QUEUE_ID_LEN)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (slice_find(slice_make(digits, 32), text.ptr[i]) < 0)
            return false;
    return true;
}
