/* blank.h: message files made in advance: empty, under their final names, and these names durable.
 *
 * A delivery then writes and syncs one file and no folder. An account that gets one message now and then has
 * one made for each, just before it is written; for one that gets many they are made in ever larger lots,
 * with one sync of the folder each. Those not used go when the account's handle closes; after a crash
 * account_open() removes them: an empty file is never mail. */
#ifndef STORE_BLANK_H
#define STORE_BLANK_H

#include <pthread.h>
#include <stdint.h>

#include "base/err.h"

#define BLANK_LOT_MAX 16 /* files without a row after a crash: docs/store.md */

struct account;

struct blanks {
    pthread_mutex_t lock;
    uint64_t next, end; /* ids of those that are left */
    unsigned lot;       /* how many are made next time */
    uint64_t taken;     /* how many were given out since the account was loaded */
};

void blanks_start(struct blanks *blanks);
void blanks_stop(struct blanks *blanks);
/* The id of a file that is empty and has a durable name; nobody else gets it. Any thread. */
enum err blanks_take(struct account *account, uint64_t *id, struct why *why) MUST_CHECK;
/* Removes what is left; when nobody takes any. False: some of it may be there again after a crash. */
bool blanks_drop(struct account *account);

#endif
