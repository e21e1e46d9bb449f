/* reindex.c: see reindex.h. Input: an index in any state. Called by the offline command. */
#include "store/reindex.h"

#include "base/io.h"
#include "store/account.h"
#include "store/fulltext.h"

enum err store_reindex(const char *store, struct slice address, uint64_t *messages, struct why *why)
{
    struct store_root root = {.dir = -1, .path = store};
    struct account *account = NULL;
    enum err err = io_open_dir(AT_FDCWD, store, &root.dir, why);
    if (!err)
        err = account_open(&root, address, false, &account, why);
    if (!err)
        err = fulltext_rebuild(account, messages, why);
    account_free(&account);
    io_close(&root.dir);
    return err;
}
