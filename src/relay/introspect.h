/* introspect.h: what an issuer says about an access token (RFC 7662). auth asks, because it must not connect
 * to anybody. Called by role.c. */
#ifndef RELAY_INTROSPECT_H
#define RELAY_INTROSPECT_H

#include "base/ipc.h"
#include "relay/https.h"
#include "role/role.h"

#define INTROSPECT_MS         20000 /* for the issuer's answer */
#define INTROSPECT_ANSWER_MAX 16384 /* bytes of it */
#define INTROSPECT_SECRET_MAX 512   /* bytes of our secret there */
#define INTROSPECT_AT_ONCE    500

struct introspect;

/* Links and https live longer. It does nothing before introspect_update(). */
struct introspect *introspect_new(struct loop *loop, struct https *https, struct ipc_link *dns)
    __attribute__((returns_nonnull));
/* The settings in use from now on, and the file with the secret (NULL: none). What is under way ends as
 * failed. */
void introspect_update(struct introspect *introspect, const struct settings *settings,
                       const struct role_file *secret_file);
/* Answers `request` on `link` with WIRE_TOKEN_CHECKED, once. */
void introspect_token(struct introspect *introspect, struct ipc_link *link, uint32_t request,
                      struct slice token);
/* auth is gone: nobody waits for answers. */
void introspect_forget(struct introspect *introspect);
/* Clears the pointer; takes NULL. */
void introspect_free(struct introspect **introspect);

#endif
