/* servers.h: the resolvers to ask, from a resolv.conf. Pure; the file is the system's. */
#ifndef DNS_SERVERS_H
#define DNS_SERVERS_H

#include "base/slice.h"

#define SERVERS_MAX 8

/* Addresses of its `nameserver` lines as resolv.conf(5) has them, at most SERVERS_MAX; slices point into the
 * text. */
size_t servers_read(struct slice resolv_conf, struct slice servers[SERVERS_MAX]);

#endif
