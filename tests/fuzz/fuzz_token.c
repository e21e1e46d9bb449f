/* Any bytes as a token, and as claims: nothing is taken that was not signed, what is read stays within its
 * bounds. */
#include <stdlib.h>

#include "policy/token.h"

static const char keys_text[] =
    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct token_keys *keys;
    AUTO_ARENA struct arena *arena = arena_new(1u << 20);
    struct token_keys *others;
    struct token_claims claims;
    struct why why = {""};
    struct slice input = slice_make(data, len), text;
    if (!keys && token_keys_new(slice_of(keys_text), &keys, &why))
        abort();
    if (token_verify_in(arena, keys, input, &text, &why) == ERR_OK && text.len > TOKEN_MAX)
        abort();
    if (token_claims_read_in(arena, input, SLICE("email"), &claims, &why) == ERR_OK &&
        claims.audience_count > TOKEN_AUDIENCES_MAX)
        abort();
    if (token_keys_new(input, &others, &why) == ERR_OK) {
        if (token_keys_count(others) == 0 || token_keys_count(others) > TOKEN_KEYS_MAX)
            abort();
        token_keys_free(&others);
    }
    return 0;
}
