/* plan.h: one reading of the configuration as the supervisor holds it: settings, and every descriptor that
 * goes with them. Opened once, so that a role restarted later gets the same as the others have. */
#ifndef PROC_PLAN_H
#define PROC_PLAN_H

#include <sys/stat.h>

#include "base/arena.h"
#include "proc/roles.h"

struct plan_file {
    enum sup_file kind;
    uint32_t index;
    struct slice path;
    struct slice missing; /* why there is no descriptor */
    int fd;
    struct stat opened; /* as it was then, zeroed without a descriptor; see watch.h */
};

struct plan {
    uint64_t number;
    struct arena *arena;
    struct settings *settings;
    int settings_fd; /* sealed memfd */
    struct plan_file *files;
    size_t file_count;
    int *listeners; /* one per settings->listeners */
    int *logs;      /* one per settings->log */
};

/* Reads `config_path` through the unprivileged child (its report goes to stderr) and opens all that it names.
 * Listening sockets of `old` (may be NULL) with the same address are used again. */
enum err plan_new(const char *config_path, uint64_t number, const struct plan *old, struct plan **plan,
                  struct why *why) MUST_CHECK;
void plan_free(struct plan **plan);
/* Sends the role all of it that is its own. */
enum err plan_hand_over(const struct plan *plan, enum role role, struct ipc_link *link) MUST_CHECK;

/* Parses the configuration in a child that has no rights; a sealed memfd with settings_encode()'s bytes. */
enum err config_child_run(const char *config_path, int *settings_fd, struct why *why) MUST_CHECK;
/* A listening socket; "[::]" falls back to 0.0.0.0 where the kernel has no IPv6. */
enum err bind_listener(const struct conf_address *address, int *fd, struct why *why) MUST_CHECK;

#endif
