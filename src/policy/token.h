/* token.h: access tokens of a login: JSON Web Tokens (RFC 7519, RFC 9068) signed with a key of their issuer,
 * and what the issuer says about others (introspection, RFC 7662). Pure: time and keys are given.
 *
 * Whoever logs in chooses the token; only its signature, or the issuer's answer over HTTPS, makes it worth
 * anything.
 */
#ifndef POLICY_TOKEN_H
#define POLICY_TOKEN_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

#define TOKEN_MAX           12000  /* bytes of a token */
#define TOKEN_CLAIMS_MAX    16384  /* bytes of its claims, or of an answer about it */
#define TOKEN_AUDIENCES_MAX 16     /* of one token that are looked at */
#define TOKEN_KEYS_MAX      64     /* in one file */
#define TOKEN_KEYS_FILE_MAX 262144 /* bytes of it */
#define TOKEN_KID_MAX       256    /* bytes of a key's name */

struct token_keys;

/* The content of a file: a JWK Set (RFC 7517 section 5) or public keys in PEM. RSA (2048 bits and more),
 * P-256, P-384 and Ed25519; others of a set are left out. ERR_BAD with the reason when no key is left. */
enum err token_keys_new(struct slice content, struct token_keys **keys, struct why *why) MUST_CHECK;
/* Clears the pointer; takes NULL. */
void token_keys_free(struct token_keys **keys);
size_t token_keys_count(const struct token_keys *keys);

/* Three parts with dots between: only such a token can be verified here. */
bool token_is_jwt(struct slice token);
/* JWS in compact form (RFC 7515 section 7.1) with RS256, RS384, RS512, PS256, ES256, ES384 or EdDSA.
 * `claims`: the payload, in the arena. ERR_BAD: no such token; ERR_REFUSED: not signed by any of the keys. */
enum err token_verify_in(struct arena *arena, const struct token_keys *keys, struct slice token,
                         struct slice *claims, struct why *why) MUST_CHECK;

/* What is read of the claims; slices in the arena, empty where a claim is missing. */
struct token_claims {
    bool active;     /* RFC 7662 section 2.2: "active" is true */
    bool unverified; /* "email_verified" is there and false */
    bool has_expiry, has_begin;
    int64_t expiry, begin; /* "exp", "nbf": unix seconds */
    struct slice issuer, user, scope;
    struct slice audiences[TOKEN_AUDIENCES_MAX];
    size_t audience_count;
};
/* `user_claim`: the one that holds the account's address. ERR_BAD: not a JSON object with claims of the right
 * types. */
enum err token_claims_read_in(struct arena *arena, struct slice json, struct slice user_claim,
                              struct token_claims *claims, struct why *why) MUST_CHECK;

/* What a token must say. */
struct token_demand {
    struct slice issuer;           /* empty: any (of an introspected token) */
    const struct slice *audiences; /* one of them; none: any */
    size_t audience_count;
    const struct slice *scopes; /* all of them */
    size_t scope_count;
    int64_t leeway;    /* seconds by which clocks may differ */
    bool introspected; /* "active" must be true; a token that was verified here must have an expiry */
};
/* ERR_REFUSED with the reason, for the log. */
enum err token_claims_check(const struct token_claims *claims, const struct token_demand *demand, int64_t now,
                            struct why *why) MUST_CHECK;

#endif
