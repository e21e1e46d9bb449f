/* relay_trial.h: the server's side of `rockdove relay test`: what changed on disk is read again first, and
 * the message is signed as other mail is. Called by control.c and role.c. */
#ifndef QUEUE_RELAY_TRIAL_H
#define QUEUE_RELAY_TRIAL_H

#include "queue/control_queue.h"

/* `arguments[0]` is "test", then [NAME] [--to ADDRESS]. Copies them. */
void relay_trial_begin(struct queue *q, const struct slice *arguments, size_t count, bool json,
                       const struct control_sink *sink);
/* A reload is over, for better or worse: trials that waited for it go on. */
void relay_trials_go_on(struct queue *q, bool used);
/* Those that wait are forgotten. */
void relay_trials_free(struct queue *q);

#endif
