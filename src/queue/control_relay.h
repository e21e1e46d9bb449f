/* control_relay.h: the server's side of `rockdove relay list|count`; relay_trial.h has `test`. */
#ifndef QUEUE_CONTROL_RELAY_H
#define QUEUE_CONTROL_RELAY_H

#include "queue/context.h"

/* `arguments[0]` is "list" or "count": adds the text, returns the exit code. */
uint32_t control_relay(struct queue *q, const struct slice *arguments, size_t count, bool json,
                       struct buf *out);

#endif
