/* confine.h: taking away, for good, what a role does not need: identity, file tree, system calls. */
#ifndef PROC_CONFINE_H
#define PROC_CONFINE_H

#include "base/err.h"
#include "proc/roles.h"

/* What this kernel lacks of it (bits); said in the log and by `check`. */
enum { CONFINE_NO_LANDLOCK = 1, CONFINE_NO_LANDLOCK_NET = 2, CONFINE_NO_SECCOMP = 4 };
unsigned confine_missing(void);

/* Confines the calling process, in this order: own uid and root folder (when root and `uid_base` is not 0),
 * no new privileges, not dumpable, Landlock, seccomp. Its working folder is the role's folder afterwards. An
 * error means the process must not go on. */
enum err confine_role(enum role role, struct slice data, uint64_t uid_base, struct why *why) MUST_CHECK;
/* For a child that only parses (the configuration, or messages during a rebuild): nobody, no files, no
 * sockets. */
enum err confine_parser(struct why *why) MUST_CHECK;
/* For a command on a role's files: takes the role's uid when root; otherwise nothing. */
enum err confine_identity(enum role role, uint64_t uid_base, struct why *why) MUST_CHECK;

/* Landlock: access to nothing but what is below `folder` (NULL: to nothing at all); TCP bind and connect
 * refused unless `network`. False when the kernel cannot; ERRNO is set when it should have been able. */
enum err landlock_confine(const char *folder, bool network, struct why *why) MUST_CHECK;
/* 0 when the kernel has none. */
int landlock_abi(void);
/* The allow-list of a profile, for all threads. */
enum err seccomp_confine(enum profile profile, bool accepts, struct why *why) MUST_CHECK;

#endif
