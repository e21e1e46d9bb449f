/* copy_across.h: COPY and MOVE between mailboxes of two accounts. */
#ifndef STORE_COPY_ACROSS_H
#define STORE_COPY_ACROSS_H

#include "store/context.h"

/* Answers a WIRE_COPY whose grant and watch were checked and whose target lies in another account than the
 * watch. */
void copy_across_start(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                       const struct watch *watch, struct slot *target);

#endif
