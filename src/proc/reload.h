/* reload.h: SIGHUP and `rockdove reload`: a new reading of the configuration, prepared by all roles, then
 * used by all, or by none. */
#ifndef PROC_RELOAD_H
#define PROC_RELOAD_H

#include "base/log.h"
#include "proc/family.h"

void reload_begin(struct supervisor *s);
/* A role answered the first phase. */
void reload_prepared(struct supervisor *s, struct child *child, const struct wire_role_prepared *m);
/* Gives up a reload in progress, if there is one. */
void reload_cancel(struct supervisor *s, const char *why);
/* A command of the administrator that is the supervisor's: "reload", "status"; of queue for one: "look" (are
 * files other than what was read? 0: no; 3: yes, and a reload has begun; 1: yes, and they cannot be read). */
void reload_control(struct supervisor *s, struct ipc_link *link, uint32_t request,
                    const struct wire_control *m);
/* The supervisor's own log outputs. */
void reload_use_logs(const struct plan *plan, struct log_output outputs[LOG_OUTPUTS_MAX]);

#endif
