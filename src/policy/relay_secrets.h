/* relay_secrets.h: who we are to a relay: user and password from docker-mailserver's
 * postfix-sasl-password.cf, or from a file with nothing but "user:password". Pure; used by relay, which alone
 * holds them, and by `rockdove check`.
 *
 *   line = key 1*WSP user ":" password
 *        / user ":" password               for every sender and relay
 *   key  = "@domain" / "user@domain"       of the sender
 *        / "[host]:port" / "host:port" / "[host]" / "host"
 *
 * A password may hold blanks and colons; of XOAUTH2 it is the token. No text of a line ever gets into a
 * problem.
 */
#ifndef POLICY_RELAY_SECRETS_H
#define POLICY_RELAY_SECRETS_H

#include "base/problem.h"

#define RELAY_SECRETS_MAX      10000      /* lines of all files together */
#define RELAY_SECRETS_FILE_MAX (4u << 20) /* bytes of one file */
#define RELAY_SECRET_USER_MAX  320
#define RELAY_SECRET_MAX       8192 /* a token may be long */

struct relay_secret {
    struct slice user, password;
};

struct relay_secrets; /* lives in its arena; the passwords are wiped when that is freed */

struct relay_secrets *relay_secrets_new_in(struct arena *arena);
/* Adds a file. What cannot be read is a problem with its line number; of two lines for one key the first
 * counts. Texts are copied. False when nothing in it could be used. */
bool relay_secrets_read(struct relay_secrets *secrets, struct slice text, struct slice file,
                        struct problems *problems);
size_t relay_secrets_count(const struct relay_secrets *secrets);
/* What to log in with: the line of the sender's address (also without plus-tag), of the sender's domain, of
 * host and port, of the host, the line for everybody; NULL when there is none of these. `sender` may be empty
 * (and is for a relay that is not per sender); `host` without brackets. Compared without case. */
const struct relay_secret *relay_secrets_find(const struct relay_secrets *secrets, struct slice sender,
                                              struct slice host, uint16_t port);

#endif
