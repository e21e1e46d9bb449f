/* schedule_parts.h: what the files of the scheduler share: schedule.c (whose turn it is), schedule_where.c
 * (destinations), schedule_whose.c (senders and what waits of each), schedule_fetch.c (what waits in the
 * database), schedule_command.c (the operator's part). Private to them.
 */
#ifndef QUEUE_SCHEDULE_PARTS_H
#define QUEUE_SCHEDULE_PARTS_H

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "queue/schedule.h"
#include "queue/send.h"
#include "queue/spool.h"
#include "settings/metrics.h"

#define SCHEDULE_DESTINATIONS_MAX 20000 /* in memory; more than that wait for a minute */
#define SCHEDULE_CHAIN_MAX        8     /* relays that take over from each other */
#define SCHEDULE_FETCH_MANY       20    /* rows of one route at once when many routes have something */
#define SCHEDULE_LOOK_IDLE_MS     60000 /* the database is looked at at least this often */

enum shut { OPEN, SHUT_FAILED, SHUT_QUOTA, SHUT_LOGIN };

struct destination {
    struct slice key; /* the bytes stand behind the struct */
    struct route route;
    bool local; /* needs no relay */
    struct destination_pace pace;
    enum shut shut;
    uint64_t shut_until_ms; /* queue_now_ms() */
    struct list flows[2];   /* letters, mass mail: struct flow, in turn */
    uint32_t waiting;       /* groups */
    uint32_t letters;       /* begun in a row */
    bool backlog;           /* rows in the database are due */
    bool fetching;
    struct list ready;  /* in s->ready: something of it may begin */
    struct list hungry; /* in s->hungry: something of it is to be fetched */
    struct list paced;  /* in s->paced: waits for its pause */
    uint64_t used_ms;
};

/* Whose mail it is. */
struct sender {
    uint32_t messages; /* in memory */
    uint32_t flows;
    size_t len;
    uint8_t name[];
};

/* Groups of one sender, class and destination. */
struct flow_key {
    struct destination *to;
    struct sender *sender;
    uintptr_t rank;
};
struct flow {
    struct list node;
    struct flow_key key;
    struct list groups;
};

/* Rows of one message that leave together. */
struct group {
    struct list node;
    struct queued *message;
    struct slice sender;
    bool seven_bit;
    struct vec rows; /* struct queued_row * */
    size_t next;     /* the first not begun */
};

struct recall {
    struct list node;
    schedule_recalled *done;
    void *ctx;
};

struct schedule {
    struct queue *q;
    struct map *destinations, *senders, *flows;
    struct list ready, hungry, paced;
    size_t hungry_count;
    uint32_t running, fetches, backs;
    struct list recalls;
    struct list jobs; /* under way */
    struct loop_timer *look_timer, *pace_timer;
    uint64_t look_at_ms; /* of the loop's clock; 0: not armed */
    bool looking, look_again, swept, more;
};

/* ---- schedule_where.c ---- */

struct destination_limits schedule_limits(const struct queue *q);
/* Made when it is not there. NULL when there are too many. */
struct destination *schedule_destination(struct schedule *s, struct slice key);
/* What its key says under these settings. */
void schedule_read_key(struct schedule *s, struct destination *d);
/* Sets the metric of a relay's state. */
void schedule_show_state(const struct destination *d);
/* Opens it when its time is over. */
bool schedule_is_shut(const struct schedule *s, struct destination *d);
/* The open destination for a row: that of its route, or of the relay that takes over. NULL: none, and
 * `until_ms` is when to look again. */
struct destination *schedule_choose(struct schedule *s, struct queued_row *row, uint64_t *until_ms);
/* Settings or relay maps may have changed since the row was written: its route is looked up again. */
void schedule_refresh_route(struct schedule *s, struct queued *message, struct queued_row *row);
/* Whether rows of this route could go anywhere now, as far as that can be told without them; else when. */
bool schedule_may_leave(struct schedule *s, struct destination *d, uint64_t *until_ms);

/* ---- schedule_whose.c ---- */

/* The group of this message at `to` for rows with this envelope sender; made when it is not there. */
struct group *schedule_group(struct schedule *s, struct queued *message, struct destination *to,
                             struct slice sender, bool seven_bit);
/* Whose turn it is; something waits there. */
struct flow *schedule_pick_flow(struct destination *d);
void schedule_free_flow(struct schedule *s, struct flow *flow);
void schedule_free_group(struct group *group);

/* ---- schedule.c ---- */

/* Something of it may begin. */
void schedule_make_ready(struct schedule *s, struct destination *d);
/* Takes all waiting groups of `d` away; those with `place_again` find another destination if there is one,
 * the others go back to the database. */
void schedule_evacuate(struct schedule *s, struct destination *d, bool place_again, uint64_t route_due_ms);

/* ---- schedule_fetch.c ---- */

/* Something of it is to be fetched, if the database has some. */
void schedule_be_hungry(struct schedule *s, struct destination *d);
/* Fetches what there is room for. */
void schedule_feed(struct schedule *s);
/* The timer of schedule_look_in(). */
void schedule_on_look(void *arg);

#endif
