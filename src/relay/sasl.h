/* sasl.h: the client's side of SASL: PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 (RFC 5802, RFC 7677), XOAUTH2.
 * Pure but for the time SCRAM takes; challenges are a stranger's.
 *
 * Channel binding (-PLUS) is not used: a server does not say which kind of binding it knows, and a wrong
 * guess looks like a wrong password, which stops the whole route. */
#ifndef RELAY_SASL_H
#define RELAY_SASL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define SASL_CHALLENGE_MAX  4096    /* decoded */
#define SASL_ITERATIONS_MIN 4096    /* RFC 7677 section 4; a server that asks for less is not trusted */
#define SASL_ITERATIONS_MAX 200000u /* some 50 ms: it is the server who chooses */
#define SASL_STEPS_MAX      8       /* challenges of one exchange */
#define SASL_NONCE_LEN      24      /* characters of ours */

/* Mechanisms as a set, by grammar/smtp_ehlo.h's bits. */
struct sasl_login {
    struct slice user, secret; /* XOAUTH2: the secret is the bearer token */
    unsigned mechanisms;       /* set of SMTP_SASL_… that may be used; 0: all but XOAUTH2 */
};

struct sasl_client {
    unsigned mechanism; /* one of SMTP_SASL_… */
    unsigned step;
    bool proven; /* SCRAM: the server has shown that it knows the secret too */
    struct sasl_login login;
    struct arena *arena;
    struct slice nonce, first_bare; /* SCRAM */
    uint8_t server_signature[32];
};

/* The best mechanism that both sides can; 0 when there is none. */
unsigned sasl_client_choose(unsigned offered, const struct sasl_login *login);
/* "SCRAM-SHA-256". */
const char *sasl_mechanism_name(unsigned mechanism);

/* Begins an exchange; the login's texts must live as long as it does. `nonce`: SASL_NONCE_LEN random
 * printable characters without comma. */
void sasl_client_begin(struct sasl_client *sasl, struct arena *arena, unsigned mechanism,
                       const struct sasl_login *login, struct slice nonce);
/* The initial response, not yet in base64, added to `out`; false: the mechanism has none (LOGIN). */
bool sasl_client_initial(struct sasl_client *sasl, struct buf *out) MUST_CHECK;
/* The answer to a challenge (decoded). ERR_BAD: no message of this mechanism; ERR_REFUSED: the server is not
 * what it says it is. */
enum err sasl_client_answer(struct sasl_client *sasl, struct slice challenge, struct buf *out,
                            struct why *why) MUST_CHECK;
/* The server said 235: ERR_REFUSED when it has not proven itself (SCRAM). */
enum err sasl_client_finish(const struct sasl_client *sasl, struct why *why) MUST_CHECK;

#endif
