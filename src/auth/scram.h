/* scram.h: the keys of SCRAM-SHA-256 (RFC 5802 section 3): made from a password, kept as a verifier, proven
 * by a client. Pure but for the time it takes. */
#ifndef AUTH_SCRAM_H
#define AUTH_SCRAM_H

#include "auth/sasl.h"

#define SCRAM_ITERATIONS     4096 /* RFC 7677 section 4: at least */
#define SCRAM_ITERATIONS_MAX 1000000
#define SCRAM_SALT_LEN       16
#define SCRAM_SALT_MAX       64

struct scram_verifier {
    uint32_t iterations;
    uint8_t salt_len;
    uint8_t salt[SCRAM_SALT_MAX];
    uint8_t stored_key[SASL_SCRAM_KEY_LEN], server_key[SASL_SCRAM_KEY_LEN];
};

/* Keys of this password for the salt and iterations already set in `verifier`. Takes milliseconds. */
enum err scram_derive(struct slice password, struct scram_verifier *verifier) MUST_CHECK;
/* "4096,salt,stored,server", the keys in base64: what stands behind {SCRAM-SHA-256}, as Dovecot writes it. */
enum err scram_verifier_parse(struct slice text, struct scram_verifier *verifier) MUST_CHECK;
void scram_verifier_write(const struct scram_verifier *verifier, struct buf *out);
/* Does the password belong to the verifier? ERR_REFUSED when not. Takes milliseconds. */
enum err scram_verify_password(const struct scram_verifier *verifier, struct slice password) MUST_CHECK;
/* Does the client's proof? Then `signature` is what proves the server to him. ERR_REFUSED when not. */
enum err scram_verify_proof(const struct scram_verifier *verifier, struct slice auth_message,
                            const uint8_t proof[SASL_SCRAM_KEY_LEN],
                            uint8_t signature[SASL_SCRAM_KEY_LEN]) MUST_CHECK;

#endif
