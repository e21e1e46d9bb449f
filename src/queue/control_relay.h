/* control_relay.h: the server's side of `rockdove relay list|test|count`. */
#ifndef QUEUE_CONTROL_RELAY_H
#define QUEUE_CONTROL_RELAY_H

#include "queue/context.h"

/* `arguments[0]` is "list" or "count": adds the text, returns the exit code. */
uint32_t control_relay(struct queue *q, const struct slice *arguments, size_t count, bool json,
                       struct buf *out);

/* `relay test [NAME] [--to ADDRESS]`: what WIRE_RELAY_TEST is to carry, and the message to send in `*fd` (-1:
 * none). False: `out` says what is wrong, `*code` the exit code. Slices point into the arguments and the
 * settings. */
bool control_relay_test(struct queue *q, const struct slice *arguments, size_t count, struct arena *arena,
                        struct wire_relay_test *test, int *fd, struct buf *out, uint32_t *code) MUST_CHECK;

#endif
