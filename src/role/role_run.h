/* role_run.h: starting a role, for proc/ only. */
#ifndef ROLE_ROLE_RUN_H
#define ROLE_ROLE_RUN_H

#include "role/role.h"

struct role_hooks {
    /* load() succeeded: confine, then call role_run_start(), now or after leaving the loop. */
    void (*loaded)(void *arg, struct role_run *run);
    /* The role cannot work (reported to the supervisor already), was drained and released, or lost its
     * supervisor. */
    void (*ended)(void *arg, struct role_run *run, int exit_code);
    void *arg;
};

#define ROLE_EXIT_OK     0
#define ROLE_EXIT_CONFIG 78 /* load() or start() failed: trying again will not help */
#define ROLE_EXIT_ORPHAN 75

/* `peers`: set of roles (1 << role) this one has links to. Takes the supervisor's descriptor. */
struct role_run *role_run_new(struct loop *loop, const struct role_ops *ops, uint32_t peers,
                              int supervisor_fd, const struct role_hooks *hooks)
    __attribute__((returns_nonnull));
/* After confinement: start() and tell the supervisor. */
void role_run_start(struct role_run *run);
void role_run_free(struct role_run **run);

#endif
