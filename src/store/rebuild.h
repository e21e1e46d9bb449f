/* rebuild.h: `store rebuild ACCOUNT`: a new index from the message files and what can be read of the old one.
 * Offline, under the data lock. What it keeps and what it loses stands in docs/store.md. */
#ifndef STORE_REBUILD_H
#define STORE_REBUILD_H

#include "base/arena.h"
#include "base/err.h"
#include "wire/facts.h"

/* Scans a file's message (scan_message_in): `message` is the part behind our own header block. Facts may live
 * in the arena and in `message`. */
typedef enum err rebuild_scan(void *arg, struct arena *arena, struct slice message, struct facts *facts,
                              struct why *why);

struct rebuild_report {
    uint64_t messages, bytes; /* in the new index */
    uint64_t kept;            /* of them with their mailbox, flags and UID of the old index */
    uint64_t unreadable;      /* files that could not be read; they stay where they are */
    uint64_t missing;         /* messages the old index had and no file is there for */
    char old_index[64];       /* what the old index is called now; empty when there was none */
};

/* `store`: the store's folder. The old index is kept beside the new one as index.db.broken-N. */
enum err store_rebuild(const char *store, struct slice account, rebuild_scan *scan, void *arg,
                       struct rebuild_report *report, struct why *why) MUST_CHECK;

#endif
