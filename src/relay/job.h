/* job.h: WIRE_RELAY_SEND: one message for some recipients, from the request to the answer, the line in the
 * log and the metrics. For role.c's dispatch. */
#ifndef RELAY_JOB_H
#define RELAY_JOB_H

#include "relay/context.h"

#define RELAY_JOBS_MAX 10000 /* at once; queue sends as many as settings->queue.connections */

/* Answers `packet` on `link` with WIRE_RELAY_SENT when every recipient has its result. Takes descriptor 0.
 * False: an ill-formed request. */
bool relay_job_begin(struct relay *relay, struct ipc_link *link, struct ipc_packet *packet,
                     const struct wire_relay_send *request) MUST_CHECK;
/* How a destination stands at the front of its connections' key, with '|' behind it: without brackets. */
struct slice relay_job_key_host(struct slice host);
/* The queue went down: connections of all jobs are closed, nothing is answered. */
void relay_jobs_forget(struct relay *relay);

#endif
