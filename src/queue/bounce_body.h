/* bounce_body.h: bytes of a notification into the store, bytes of the original out of its file. Private to
 * queue/. */
#ifndef QUEUE_BOUNCE_BODY_H
#define QUEUE_BOUNCE_BODY_H

#include "base/arena.h"
#include "wire/wire.h"

/* Streams `text` as body `body`; `done` gets WIRE_BODY_DONE. Returns the call, for ipc_cancel(). */
uint32_t bounce_body_send(struct ipc_link *store, uint64_t body, struct slice text, ipc_done *done,
                          void *ctx);
/* The whole file; false when it cannot be read. */
bool bounce_body_read_in(struct arena *arena, int fd, uint64_t size, struct slice *bytes) MUST_CHECK;
/* The header in front of it, without the empty line, at most DSN_HEADER_MAX and whole lines; empty when it
 * cannot be read. */
void bounce_body_read_header_in(struct arena *arena, int fd, uint64_t header_len, struct slice *header);

#endif
