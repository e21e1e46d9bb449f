/* relay.h: the only role that connects to other servers: SMTP for mail that leaves, HTTPS for MTA-STS
 * policies, and CrowdSec's local API. Started by proc/. */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "role/role.h"

extern const struct role_ops relay_role;

#endif
