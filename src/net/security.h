/* security.h: the one way a network role says that a stranger did what he should not: one line in the log in
 * a documented, stable form (docs/door.md: event "security.KIND" with client, listener, session, detail), one
 * metric, and a notice for auth, which scores it.
 *
 * Never called for trusted_networks, proxy_trusted_networks, loopback or probes: security_is_exempt() says
 * so, and security_report() does nothing for them.
 */
#ifndef NET_SECURITY_H
#define NET_SECURITY_H

#include "base/ipc.h"
#include "grammar/netaddr.h"
#include "settings/settings.h"
#include "wire/wire.h"

/* "failed_login", "early_talker", … */
const char *security_name(enum offence kind);

/* Own networks, load balancers and this machine itself. */
bool security_is_exempt(const struct settings *settings, const struct netaddr *client);

struct security_event {
    enum offence kind;
    uint32_t listener; /* index in settings */
    const struct netaddr *client;
    struct slice session, detail; /* any bytes */
};
/* Logs, counts, tells auth (`auth` may be NULL: it is away; then the points are lost). Lines and notices
 * about the same kind and address are gathered for a second under a flood (SECURITY_LINES_PER_SECOND of all
 * lines). */
void security_report(struct ipc_link *auth, const struct settings *settings,
                     const struct security_event *event, uint64_t now_ms);

#endif
