/* Any bytes as a message of OAUTHBEARER or XOAUTH2: what is taken as a token has no blanks and no controls.
 */
#include <stdlib.h>

#include "auth/sasl.h"

static void look_at(const struct sasl_bearer *bearer)
{
    if (bearer->token.len == 0 || (bearer->user.len && !sasl_text_ok(bearer->user, SASL_USER_MAX)))
        abort();
    for (size_t i = 0; i < bearer->token.len; i++)
        if (bearer->token.ptr[i] <= ' ' || bearer->token.ptr[i] > '~')
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO_ARENA struct arena *arena = arena_new(1u << 20);
    struct sasl_bearer bearer;
    if (sasl_oauthbearer_parse_in(arena, slice_make(data, len), &bearer) == ERR_OK)
        look_at(&bearer);
    if (sasl_xoauth2_parse(slice_make(data, len), &bearer) == ERR_OK)
        look_at(&bearer);
    return 0;
}
