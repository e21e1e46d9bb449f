/* dkim_key.h: private keys for DKIM: read from any of the usual files, made anew, printed. No function here
 * puts any part of a private key into a text for people. */
#ifndef POLICY_DKIM_KEY_H
#define POLICY_DKIM_KEY_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define DKIM_KEY_FILE_MAX  (64 * 1024)
#define DKIM_RSA_BITS_MIN  1024 /* RFC 8301 section 3.2: less is never signed with nor verified */
#define DKIM_RSA_BITS_GOOD 2048 /* less gets a warning */
#define DKIM_RSA_BITS_MAX  4096 /* of a key we sign with or verify with */
#define DKIM_ED25519_LEN   32
#define DKIM_PUBLIC_MAX    1024 /* bytes behind p= */
#define DKIM_SIGNATURE_MAX 1024 /* bytes behind b= */

enum dkim_algorithm { DKIM_UNKNOWN, DKIM_RSA_SHA256, DKIM_ED25519_SHA256 };
/* As in a=: "rsa-sha256", "ed25519-sha256", "unknown"; as in k=: "rsa", "ed25519", "unknown". */
const char *dkim_algorithm_name(enum dkim_algorithm algorithm);
const char *dkim_key_type_name(enum dkim_algorithm algorithm);
/* The algorithm of a k= value, compared without case. */
enum dkim_algorithm dkim_key_type(struct slice name);

struct dkim_key;

/* Reads a key file: PEM with PKCS#8 ("PRIVATE KEY") or PKCS#1 ("RSA PRIVATE KEY"), not encrypted, text around
 * it allowed; or base64 of 32 (seed) or 64 bytes (seed and public key), Rspamd's form of Ed25519. ERR_BAD:
 * no such key, or its halves do not fit; ERR_REFUSED: RSA below DKIM_RSA_BITS_MIN or above DKIM_RSA_BITS_MAX,
 * or another kind of key. The caller wipes `file`. */
enum err dkim_key_read(struct slice file, struct dkim_key **key, struct why *why) MUST_CHECK;
/* A new key: RSA of DKIM_RSA_BITS_GOOD bits, or Ed25519. */
enum err dkim_key_generate(enum dkim_algorithm algorithm, struct dkim_key **key, struct why *why) MUST_CHECK;
/* Clears the caller's pointer; takes NULL. */
void dkim_key_free(struct dkim_key **key);

enum dkim_algorithm dkim_key_algorithm(const struct dkim_key *key);
unsigned dkim_key_bits(const struct dkim_key *key); /* 256 for Ed25519 */
/* The bytes behind p=: SubjectPublicKeyInfo for RSA, 32 bytes for Ed25519 (RFC 8463 section 4.2). Live as
 * long as the key. */
struct slice dkim_key_public(const struct dkim_key *key);
/* PEM with PKCS#8, for a file that only its owner reads; the caller wipes it. */
enum err dkim_key_pem(const struct dkim_key *key, struct buf *pem, struct why *why) MUST_CHECK;

/* Signs the SHA-256 `digest` of the header (RSASSA-PKCS1-v1_5, or PureEdDSA over the digest: RFC 8463 section
 * 3). Slow for RSA (about a millisecond); safe on several threads at once. */
enum err dkim_key_sign_in(struct arena *arena, const struct dkim_key *key, const uint8_t digest[32],
                          struct slice *signature, struct why *why) MUST_CHECK;
/* True when `signature` is that of `digest` under the public key in the form of dkim_key_public(). False also
 * for keys out of bounds. */
bool dkim_public_verify(enum dkim_algorithm algorithm, struct slice key, const uint8_t digest[32],
                        struct slice signature) MUST_CHECK;
/* Bits of an RSA public key, 256 for 32 bytes of Ed25519, 0 when it is no key. */
unsigned dkim_public_bits(enum dkim_algorithm algorithm, struct slice key);

#endif
