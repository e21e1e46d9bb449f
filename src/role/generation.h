/* generation.h: everything that belongs to one reading of the configuration: settings, files, listeners, log
 * outputs. */
#ifndef ROLE_GENERATION_H
#define ROLE_GENERATION_H

#include "base/arena.h"
#include "role/role.h"

#define GENERATION_LISTENERS_MAX 256

struct generation_file {
    struct generation_file *next;
    struct role_file file;
};

struct generation {
    uint64_t number;
    struct arena *arena;
    struct settings *settings;
    struct generation_file *files;
    int listeners[GENERATION_LISTENERS_MAX]; /* by index in settings; -1: not ours */
    int logs[LOG_OUTPUTS_MAX];
    int control_fd;
};

struct generation *generation_new(uint64_t number) __attribute__((returns_nonnull));
/* Closes its descriptors; clears the pointer; takes NULL. */
void generation_free(struct generation **generation);
/* Each takes the descriptor (-1: none was sent). False or an error when it is not what it should be. */
enum err generation_take_settings(struct generation *g, int fd, struct why *why) MUST_CHECK;
bool generation_take_file(struct generation *g, const struct wire_sup_file *message, int fd) MUST_CHECK;
bool generation_take_listener(struct generation *g, uint32_t index, int fd) MUST_CHECK;
bool generation_take_log(struct generation *g, uint32_t index, int fd) MUST_CHECK;
/* log_setup() with this generation's outputs. */
void generation_use_logs(struct generation *g, const char *role);
const struct role_file *generation_file(const struct generation *g, enum sup_file kind, uint32_t index);
int generation_listener(const struct generation *g, uint32_t index);

#endif
