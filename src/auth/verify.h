/* verify.h: work on passwords, on threads: at most so many at once, at most so many waiting. */
#ifndef AUTH_VERIFY_H
#define AUTH_VERIFY_H

#include "auth/accounts.h"
#include "base/loop.h"

#define VERIFY_WAITING_MAX 2000 /* more: "try later" */

struct verify;

/* `threads` hashes at once. */
struct verify *verify_new(struct loop *loop, unsigned threads) __attribute__((returns_nonnull));
/* Lets what waits finish; no answer comes any more. Takes NULL. */
void verify_free(struct verify **verify);
struct loop_pool *verify_pool(struct verify *verify);
size_t verify_waiting(const struct verify *verify);

/* ERR_OK: right; ERR_REFUSED: wrong; ERR_INTERNAL. */
typedef void verify_done(void *ctx, enum err err);
/* Compares `password` with the account's secret; both are copied. ERR_LATER: too many wait, `done` is not
 * called. */
enum err verify_password(struct verify *verify, const struct account *account, struct slice password,
                         verify_done *done, void *ctx) MUST_CHECK;

/* A SCRAM proof. With `password` (of an account that has it in plain) the keys are derived first. Everything
 * must live until `done`; `signature` is set when right. */
struct verify_proof {
    struct scram_verifier verifier;
    struct slice password; /* empty: the keys are in the verifier */
    struct slice auth_message;
    uint8_t proof[SASL_SCRAM_KEY_LEN];
    uint8_t signature[SASL_SCRAM_KEY_LEN];
};
enum err verify_scram(struct verify *verify, struct verify_proof *proof, verify_done *done,
                      void *ctx) MUST_CHECK;

#endif
