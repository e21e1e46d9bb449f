/* upkeep.h: what happens by the clock: messages that have grown too old, warnings, how much there is, the
 * queue's clock kept on disk, what is not needed any more. Started by role.c. */
#ifndef QUEUE_UPKEEP_H
#define QUEUE_UPKEEP_H

#include "queue/context.h"

#define UPKEEP_TICK_MS  200   /* at least; a quarter of the shortest time that is set */
#define UPKEEP_EVERY_MS 5000  /* at most */
#define UPKEEP_KEEP_MS  60000 /* the clock is kept so often, and idle destinations are forgotten */

struct upkeep *upkeep_new(struct queue *q);
/* Takes NULL. */
void upkeep_free(struct upkeep **upkeep);

#endif
