/* family.h: the supervisor's children: one process per role, its link, its counters, its restarts. */
#ifndef PROC_FAMILY_H
#define PROC_FAMILY_H

#include <sys/types.h>

#include "base/hash.h"
#include "base/metric.h"
#include "proc/plan.h"

enum child_state {
    CHILD_NONE,     /* not running; a restart may be due */
    CHILD_STARTING, /* handed everything, not ready yet */
    CHILD_READY,
    CHILD_ENDING /* drained, told to end */
};

struct supervisor;

struct child {
    struct supervisor *supervisor;
    enum role role;
    enum child_state state;
    pid_t pid;
    struct ipc_link *link;
    int metrics_fd;
    struct metric_block *metrics;
    uint64_t started_ms, seen_beats, seen_ms; /* of the heartbeat */
    unsigned delay_ms, restarts;
    struct loop_timer *restart;
    bool prepared, drained; /* in the present reload, drain */
};

/* What the files of the plan are; see watch.h. */
struct watch_identity {
    uint8_t sum[HASH_SUM_LEN];
};
struct watch {
    struct loop_timer *timer;
    uint64_t generation;              /* the plan `used` belongs to */
    struct watch_identity used, last; /* read, or tried; at the last look */
};

struct supervisor {
    struct loop *loop;
    const char *config_path;
    struct plan *plan, *next;
    struct child children[ROLE_COUNT];
    int lock_fd, control_fd, exit_code;
    struct loop_timer *watch, *deadline;
    bool was_ready, draining;
    unsigned drain_stage;
    uint64_t drain_end_ms;
    struct watch files;
};

/* Starts the role's process and hands over the present plan. */
enum err family_spawn(struct supervisor *s, enum role role, struct why *why) MUST_CHECK;
/* Makes new links between this role and every peer that runs. */
void family_connect(struct supervisor *s, enum role role);
bool family_all_ready(const struct supervisor *s);
/* Signals a process of ours; nothing when it is not running. */
void family_kill(struct child *child, int signal);

extern const struct ipc_ops family_link_ops; /* in supervisor.c */

#endif
