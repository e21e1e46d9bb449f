/* relay.c: coding of the rows inside WIRE_RELAY_SEND and WIRE_RELAY_SENT. Results come from relay, which
 * talks to strangers: decoding is strict. */
#include "wire/relay.h"

static bool take_u32(struct slice *list, uint32_t *number)
{
    uint64_t wide;
    if (!slice_take_varint(list, &wide) || wide > UINT32_MAX)
        return false;
    *number = (uint32_t)wide;
    return true;
}

void relay_recipient_add(struct buf *list, const struct relay_recipient *recipient)
{
    buf_add_varint(list, recipient->ordinal);
    buf_add_varint(list, recipient->notify);
    wire_strings_add(list, recipient->address);
    wire_strings_add(list, recipient->orcpt);
}

bool relay_recipient_take(struct slice *list, struct relay_recipient *recipient)
{
    return list->len && take_u32(list, &recipient->ordinal) && take_u32(list, &recipient->notify) &&
           wire_strings_take(list, &recipient->address) && wire_strings_take(list, &recipient->orcpt);
}

void relay_result_add(struct buf *list, const struct relay_result *result)
{
    buf_add_varint(list, result->ordinal);
    buf_add_varint(list, result->outcome);
    buf_add_varint(list, result->code);
    wire_strings_add(list, result->enhanced);
    wire_strings_add(list, result->text);
}

bool relay_result_take(struct slice *list, struct relay_result *result)
{
    return list->len && take_u32(list, &result->ordinal) && take_u32(list, &result->outcome) &&
           result->outcome < RELAY_OUTCOME_COUNT && take_u32(list, &result->code) &&
           wire_strings_take(list, &result->enhanced) && wire_strings_take(list, &result->text);
}
