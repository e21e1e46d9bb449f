/* control_destinations.h: `rockdove queue destinations`: how much waits for each way mail takes, the most
 * first.
 *
 * A command and no metric: the metrics' tables are fixed, what is a destination is chosen by whoever sends,
 * and the metrics page tells no names of those people write to.
 */
#ifndef QUEUE_CONTROL_DESTINATIONS_H
#define QUEUE_CONTROL_DESTINATIONS_H

#include "queue/command.h"
#include "queue/control_queue.h"

#define DESTINATIONS_LISTED 20   /* without --limit */
#define DESTINATIONS_MOST   1000 /* whatever --limit says */

void control_destinations(struct queue *q, uint64_t limit, bool json, const struct control_sink *sink);

#endif
