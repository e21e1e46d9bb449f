/* remove.h: all mail of an account goes: for `account remove --delete-mail`. */
#ifndef STORE_REMOVE_H
#define STORE_REMOVE_H

#include "store/paths.h"

/* Removes the account's folder. `store`: the store's folder; nobody may have the account open. An account
 * without mail is ERR_OK. A crash in between leaves a folder without an index, which the next call removes.
 */
enum err store_remove_account(const char *store, struct slice account, struct why *why) MUST_CHECK;
/* The same for an opened root. */
enum err remove_account(const struct store_root *root, struct slice account, struct why *why) MUST_CHECK;

/* A folder below the store's with all in it; none is ERR_OK. Not synced. */
enum err remove_scratch(const struct store_root *root, const char *folder, struct why *why) MUST_CHECK;

#endif
