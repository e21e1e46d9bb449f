/* remove.h: an account's mail, gone for good. Used by the store role and by `rockdove account remove
 * --delete-mail`. */
#ifndef STORE_REMOVE_H
#define STORE_REMOVE_H

#include "base/err.h"

/* Removes the folder of the account below `store` (the store's own folder) with all in it. Nobody may have it
 * open. ERR_OK when there is none. */
enum err store_remove_account(const char *store, struct slice address, struct why *why) MUST_CHECK;

#endif
