/* security.h: the one way a network role says that a stranger did what he should not: one line in the log in
 * a documented, stable form (docs/door.md: event "security.KIND" with client, listener, session, detail,
 * count), one metric, and a notice for auth, which scores it.
 *
 * Never for trusted_networks, proxy_trusted_networks or this machine itself: security_report() does nothing
 * for them (the caller looks out for a load balancer's LOCAL connections). Each role has one, in its struct
 * service (net/service.h).
 */
#ifndef NET_SECURITY_H
#define NET_SECURITY_H

#include "base/ipc.h"
#include "base/loop.h"
#include "grammar/netaddr.h"
#include "settings/compat.h"
#include "settings/settings.h"
#include "wire/wire.h"

/* The same offence of the same address is told at once the first time, then at most every so often, with a
 * count. */
#define SECURITY_GATHER_MS 1000u
#define SECURITY_PENDING   4096u /* of them gathered at once; more are told one by one */
#define SECURITY_LINES     100u  /* in that time, of all kinds; then one line says how many were left out */

/* "failed_login", "early_talker", … */
const char *security_name(enum offence kind);

/* Own networks, load balancers and this machine itself; whoever has no IP address. */
bool security_is_exempt(const struct settings *settings, const struct netaddr *client);

struct security;

struct security *security_new(struct loop *loop) __attribute__((returns_nonnull));
/* Tells what is gathered. Clears the pointer; takes NULL. */
void security_free(struct security **security);
/* For what comes from now on; both may change with a reload. `auth` may be NULL or down: then the points are
 * lost. Both are kept. */
void security_use(struct security *security, struct ipc_link *auth, const struct settings *settings);

struct security_event {
    enum offence kind;
    uint32_t listener; /* index in settings */
    const struct netaddr *client;
    struct slice session, detail;     /* any bytes; cut at SECURITY_DETAIL_MAX */
    const struct compat_line *compat; /* its form for tools that read Postfix's log, or NULL */
};
#define SECURITY_DETAIL_MAX 200u
/* Counts, logs, tells auth (but OFFENCE_BANNED, which is worth nothing). `security` may be NULL: the role
 * ends. */
void security_report(struct security *security, const struct security_event *event);

#endif
