/* schedule.h: what is sent when: the rows for other servers that this process has claimed, by destination,
 * and what waits in the database. Called by deliver.c (new rows), send.c (results), the commands.
 *
 * A destination takes as many transactions at once as it answers well; where it fails as a whole, nothing
 * more is tried there until a while has passed. Whose turn it is: letters before mass mail, and senders in
 * turn. Memory is bounded: what has no room waits in the database, where one probe of an index finds what is
 * due of a route.
 */
#ifndef QUEUE_SCHEDULE_H
#define QUEUE_SCHEDULE_H

#include "queue/context.h"

struct schedule *schedule_new(struct queue *q);
/* Takes NULL. */
void schedule_free(struct schedule **schedule);

/* Its remote rows get their turn. */
void schedule_add(struct queue *q, struct queued *message);
/* Whether a message of this submitter (or sender) may stay in memory now; else its rows are to be born
 * waiting in the database. */
bool schedule_has_room(const struct queue *q, struct slice account, struct slice sender);
/* What an earlier process had claimed waits again: from now on claimed rows are this one's. */
bool schedule_has_swept(const struct queue *q);
/* Starts what may start. */
void schedule_pump(struct queue *q);
/* Looks into the database for what is due, at the latest after this. */
void schedule_look_in(struct queue *q, uint64_t ms);
/* A message comes into memory, or leaves it: counted for its sender. */
void schedule_enter(struct queued *message);
void schedule_leave(struct queued *message);
/* 0 a letter, 1 mass mail: of this many recipients, this large. */
unsigned schedule_class(uint32_t rows, uint64_t size);
/* Transactions under way. */
uint32_t schedule_running(const struct queue *q);
/* q->routes is another. */
void schedule_reload(struct queue *q);
/* Destinations nobody needs any more; `all`: also those of a moment ago. */
void schedule_forget_idle(struct queue *q, bool all);

/* ---- for the commands ---- */

/* Rows in the database have changed, or new ones are due: looks again. */
void schedule_look(struct queue *q);
/* An operator's retry: routes with this key ("relay:NAME", "direct:DOMAIN"; empty: all) forget that they
 * failed, that their login was refused and what relay knows of their names. Then schedule_look(). */
void schedule_unblock(struct queue *q, struct slice route);
/* All rows of memory that wait for their turn go back to the database (not claimed any more); those under way
 * stay claimed. `done` comes when that is on disk, never from inside the call: then a command may change
 * whatever is not claimed. */
typedef void schedule_recalled(void *ctx);
void schedule_recall(struct queue *q, schedule_recalled *done, void *ctx);
/* Why rows of this route wait, beside their own time: "waiting for quota", "login refused", "not reached",
 * "slowed down", or "". `until_ms`: queue_now_ms() when that ends; 0: not known. */
const char *schedule_route_state(const struct queue *q, struct slice route, uint64_t *until_ms);
/* Transactions under way on this route, and how many there may be. */
void schedule_route_load(const struct queue *q, struct slice route, uint32_t *running, uint32_t *window);

/* relay said that the secret of a relay is another (index as in settings_relay_at, UINT32_MAX: a relay
 * map's). */
bool schedule_on_secret_changed(void *ctx, struct ipc_link *link, struct ipc_packet *packet,
                                const void *message);
/* relay is there (again): what it lost is sent again. */
void schedule_relay_up(struct queue *q);

#endif
