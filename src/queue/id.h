/* id.h: names of messages on their way: 15 characters of [0-9a-z] that sort by time and never repeat. */
#ifndef QUEUE_ID_H
#define QUEUE_ID_H

#include "base/slice.h"

#define QUEUE_ID_LEN 15

/* What the last id was; zeroed at first. One per process. */
struct queue_id_state {
    uint64_t ms, low;
};

/* The id for a message that came at `unix_ms`: nine digits of time, six of chance. Within one process they
 * only ever grow, also when the clock goes back; across processes 30 random bits per millisecond keep them
 * apart. */
void queue_id_next(struct queue_id_state *state, uint64_t unix_ms, char id[QUEUE_ID_LEN + 1]);
/* Could `text` be an id? */
bool queue_id_ok(struct slice text);

#endif
