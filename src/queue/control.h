/* control.h: the administrator's socket. Each connection is checked by its peer's credentials (root, or the
 * user the server runs as) and sends WIRE_CONTROL; the answer comes as WIRE_CONTROL_OUTPUT packets. What
 * concerns other roles is passed on to them. */
#ifndef QUEUE_CONTROL_H
#define QUEUE_CONTROL_H

#include "queue/context.h"

#define CONTROL_CONNECTIONS_MAX 16
#define CONTROL_FORWARD_MS      600000 /* a rebuild may take long */
#define CONTROL_ARGUMENTS_MAX   100

/* `fd`: the listening socket (stays the runtime's, we keep one of our own), or -1: no control. `uid`: who may
 * talk beside root. */
struct control *control_new(struct queue *q, int fd, uint32_t uid);
/* Takes NULL. */
void control_free(struct control **control);
/* A connection accepted elsewhere (tests). Takes the descriptor. */
void control_serve(struct control *control, int fd);

#endif
