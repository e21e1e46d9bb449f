/* dns.h: the role that asks resolvers and validates what they say. Started by proc/. */
#ifndef DNS_DNS_H
#define DNS_DNS_H

#include "role/role.h"

extern const struct role_ops dns_role;

#endif
