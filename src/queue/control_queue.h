/* control_queue.h: the server's side of `rockdove queue …`: filters, texts, what is done to rows. */
#ifndef QUEUE_CONTROL_QUEUE_H
#define QUEUE_CONTROL_QUEUE_H

#include "queue/context.h"

/* One packet of the answer; `more`: further ones follow. */
typedef void control_output(void *ctx, struct slice text, uint32_t exit_code, bool more);
/* `arguments[0]` is the verb: list, show, retry, hold, release, bounce, delete, flush. `output` comes at
 * least once, the last time with `more` false; it may come from inside the call. */
void control_queue(struct queue *q, const struct slice *arguments, size_t count, bool json,
                   control_output *output, void *ctx);

#endif
