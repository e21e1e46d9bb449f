/* Fuzzes the PLAIN message: what is accepted obeys its own rules. */
#include <stdlib.h>

#include "auth/sasl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct sasl_plain plain;
    if (sasl_plain_parse(slice_make(data, len), &plain) != ERR_OK)
        return 0;
    if (!sasl_text_ok(plain.user, SASL_USER_MAX) || !sasl_text_ok(plain.password, SASL_PASSWORD_MAX))
        abort();
    if (plain.user.ptr < data || plain.password.ptr + plain.password.len != data + len)
        abort();
    return 0;
}
