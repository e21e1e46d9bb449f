/* admission.h: the inside of net/service.h: who may come in at all, by address alone, before a byte of the
 * protocol: bans, connections per minute, the share of a network when a role is nearly full. */
#ifndef NET_ADMISSION_H
#define NET_ADMISSION_H

#include "net/service.h"

/* As listener_ops.refusal. Who is let in is counted with its network until the stream is closed. */
const char *admission_refusal(struct service *service, struct stream *stream,
                              const struct listener_arrival *arrival);

void admission_init(struct service *service);
/* New settings. */
void admission_use(struct service *service, const struct settings *settings);
void admission_free(struct service *service);

/* service.c: the port connections to settings->listeners[index] arrive at; NULL where there is none. */
struct service_port *service_port_at(const struct service *service, uint32_t index);
/* service.c: connections in their preamble. */
size_t service_waiting(const struct service *service);

#endif
