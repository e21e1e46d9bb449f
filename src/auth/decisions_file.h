/* decisions_file.h: CrowdSec's decisions on disk, so that a restart while the LAPI is away forgets none.
 * Losing the file costs what the next full answer brings again. Calls block. */
#ifndef AUTH_DECISIONS_FILE_H
#define AUTH_DECISIONS_FILE_H

#include "auth/decisions.h"
#include "base/err.h"

/* In the role's folder (its working folder). */
#define DECISIONS_PATH "decisions"

/* Replaces the file. */
enum err decisions_file_save(const struct decisions *decisions, uint64_t now_s, struct why *why) MUST_CHECK;
/* ERR_ABSENT: there is none. */
enum err decisions_file_load(struct decisions *decisions, uint64_t now_s, struct why *why) MUST_CHECK;

#endif
