/* verify.h: `store verify`: is everything there that the indexes promise, and nothing else? Offline, under
 * the data lock. */
#ifndef STORE_VERIFY_H
#define STORE_VERIFY_H

#include "base/err.h"
#include "base/slice.h"

struct verify_report {
    uint64_t accounts, mailboxes, messages, bytes; /* looked at */
    uint64_t findings;
    /* Called for each finding: one line without line feed. May be NULL. */
    void (*finding)(void *arg, struct slice account, const char *text);
    void *arg;
};

/* `store`: the store's folder. `account` empty: all of them. Files that an interrupted delivery has left are
 * removed, as the server does at its start. ERR_OK also with findings; an error when it could not be looked.
 */
enum err store_verify(const char *store, struct slice account, struct verify_report *report,
                      struct why *why) MUST_CHECK;

#endif
