/* token_inside.h: what token_keys.c makes and token_verify.c uses. */
#ifndef POLICY_TOKEN_INSIDE_H
#define POLICY_TOKEN_INSIDE_H

#include <openssl/evp.h>

#include "policy/token.h"

enum token_key_kind { TOKEN_RSA, TOKEN_P256, TOKEN_P384, TOKEN_ED25519 };

struct token_key {
    EVP_PKEY *key;
    enum token_key_kind kind;
    size_t kid_len; /* 0: it has no name */
    uint8_t kid[TOKEN_KID_MAX];
};

struct token_keys {
    size_t count;
    struct token_key at[TOKEN_KEYS_MAX];
};

#endif
