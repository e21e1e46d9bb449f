/* control_queue.h: the server's side of `rockdove queue …`: filters, texts, what is done to rows. */
#ifndef QUEUE_CONTROL_QUEUE_H
#define QUEUE_CONTROL_QUEUE_H

#include "queue/context.h"

/* Who asked. */
struct control_sink {
    /* One piece of the answer; the last one has `more` false and the exit code. */
    void (*output)(void *ctx, struct slice text, uint32_t exit_code, bool more);
    /* Is there room for more now? */
    bool (*ready)(void *ctx);
    /* Nobody listens any more; the last output is wanted all the same. */
    bool (*gone)(void *ctx);
    void *ctx;
};

/* `arguments[0]` is the verb, as in command.h. Copies them. */
void control_queue(struct queue *q, const struct slice *arguments, size_t count, bool json,
                   const struct control_sink *sink);

#endif
