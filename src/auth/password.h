/* password.h: stored passwords in every form that is met in the wild, and whether a password fits.
 *
 * The `{SCHEME}` in front is not trustworthy: real installations carry bcrypt under {SHA512-CRYPT}, {CRYPT}
 * or with no prefix at all. So a `$id$` decides whatever the prefix says. What a hash may cost is bounded, so
 * that no line of a file can keep a thread busy for minutes. Verifying takes milliseconds to a second: only
 * on pool threads.
 */
#ifndef AUTH_PASSWORD_H
#define AUTH_PASSWORD_H

#include "base/buf.h"
#include "base/err.h"

#define PASSWORD_SECRET_MAX 1024 /* bytes of a stored form */
/* What one verification may cost at most: each about a second on a slow machine. */
#define PASSWORD_BCRYPT_COST_MAX   14
#define PASSWORD_SHA_ROUNDS_MAX    1000000
#define PASSWORD_PBKDF2_ROUNDS_MAX 2000000
#define PASSWORD_ARGON2_KIB_MAX    (256u * 1024)
#define PASSWORD_ARGON2_PASSES_MAX 64
#define PASSWORD_ARGON2_WORK_MAX   (1024u * 1024) /* KiB times passes */
#define PASSWORD_ARGON2_LANES_MAX  16

enum password_kind {
    PASSWORD_PLAIN,
    PASSWORD_CRYPT, /* crypt(3): bcrypt, SHA512-CRYPT, SHA256-CRYPT, MD5-CRYPT, yescrypt */
    PASSWORD_ARGON2,
    PASSWORD_DIGEST, /* {SHA…}, {SSHA…}, {PLAIN-MD5}: digest(password + salt) */
    PASSWORD_PBKDF2,
    PASSWORD_SCRAM,
    PASSWORD_KIND_COUNT
};

struct password_form {
    enum password_kind kind;
    struct slice scheme; /* prefix without braces, empty when there is none */
    struct slice body;   /* behind the prefix */
};

/* Which form `secret` has; slices point into it. ERR_BAD: none we know; ERR_REFUSED: it costs too much. The
 * text is fit for the operator and never holds the secret. */
enum err password_recognise(struct slice secret, struct password_form *form, struct why *why) MUST_CHECK;
/* ERR_OK: it fits; ERR_REFUSED: it does not; ERR_INTERNAL: the form is damaged behind its head, or no memory.
 */
enum err password_verify(const struct password_form *form, struct slice password) MUST_CHECK;
/* Adds "{ARGON2ID}$argon2id$…" of a new random salt. */
#define PASSWORD_NEW_KIB    19456
#define PASSWORD_NEW_PASSES 2
enum err password_hash(struct slice password, struct buf *out) MUST_CHECK;

/* The single kinds, for password.c only. */
enum err password_argon2_check(struct slice body, struct why *why) MUST_CHECK;
enum err password_argon2_verify(struct slice body, struct slice password) MUST_CHECK;
bool password_digest_known(struct slice scheme);
enum err password_digest_verify(struct slice scheme, struct slice body, struct slice password) MUST_CHECK;
enum err password_pbkdf2_check(struct slice body, struct why *why) MUST_CHECK;
enum err password_pbkdf2_verify(struct slice body, struct slice password) MUST_CHECK;

#endif
