/* reindex.h: `store index`: the full-text index of an account, made anew at once. Offline, under the data
 * lock. */
#ifndef STORE_REINDEX_H
#define STORE_REINDEX_H

#include "base/err.h"
#include "base/slice.h"

/* `store`: the store's folder; `messages`: how many it covers; the last ones are left to be searched as they
 * are. ERR_ABSENT: no such account. */
enum err store_reindex(const char *store, struct slice account, uint64_t *messages,
                       struct why *why) MUST_CHECK;

#endif
