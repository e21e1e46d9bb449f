/* data.h: the data folder: made on first start, one owner per role's folder, locked against a second server.
 */
#ifndef PROC_DATA_H
#define PROC_DATA_H

#include "base/err.h"

/* Makes what is missing below `data`, sets owners where root (uid_base), warns (in the log) of wrong ones
 * elsewhere, and takes the exclusive lock `run/lock`, returned as a descriptor to keep open. ERR_LATER when
 * another process holds it. */
enum err data_prepare(struct slice data, uint64_t uid_base, int *lock_fd, struct why *why) MUST_CHECK;
/* The lock alone, for offline commands. */
enum err data_lock(struct slice data, int *lock_fd, struct why *why) MUST_CHECK;
/* The listening control socket `run/control.sock` (mode 0600, removed before). */
enum err data_control_socket(struct slice data, int *fd, struct why *why) MUST_CHECK;

#endif
