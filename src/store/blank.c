/* blank.c: making message files in advance. Called on pool threads, several at once for one account. */
#include "store/blank.h"

#include "store/account.h"
#include "store/blob.h"
#include "store/closed.h"

#define FOLDER_IDS 256 /* of the ids that share a folder: a lot is synced with one of them */

void blanks_start(struct blanks *blanks)
{
    *blanks = (struct blanks){.lot = 1};
    (void)pthread_mutex_init(&blanks->lock, NULL);
}

void blanks_stop(struct blanks *blanks)
{
    (void)pthread_mutex_destroy(&blanks->lock);
}

/* All that are left share a folder. */
bool blanks_drop(struct account *account)
{
    struct blanks *b = &account->blanks;
    uint64_t first = b->next;
    bool gone = true;
    for (; b->next < b->end; b->next++)
        gone = blob_remove(&account->root, account->folder, b->next, NULL) == ERR_OK && gone;
    b->lot = 1;
    return first == b->end ||
           (gone && blob_sync_folder(&account->root, account->folder, first, NULL) == ERR_OK);
}

/* As many as there can be of those wanted; a name that is taken is stepped over. */
static enum err make_files(struct account *account, uint64_t first, unsigned count, struct why *why)
{
    struct blanks *b = &account->blanks;
    enum err err = ERR_OK;
    b->next = b->end = first;
    for (uint64_t id = first; id < first + count && (!err || b->end == b->next); id++) {
        err = blob_make(&account->root, account->folder, id, why);
        if (!err)
            b->end = id + 1;
        else if (err == ERR_REFUSED && b->end == b->next)
            b->next = b->end = id + 1;
        else
            break;
    }
    return b->end > b->next ? ERR_OK : err;
}

/* Without a sync. Counted as given out without a row, so that the next opening looks for them. */
static void forget_lot(struct account *account)
{
    struct blanks *b = &account->blanks;
    b->taken += b->end - b->next + 1;
    for (; b->next < b->end; b->next++)
        (void)!blob_remove(&account->root, account->folder, b->next, NULL);
    b->lot = 1;
}

static enum err make_lot(struct account *account, struct why *why)
{
    struct blanks *b = &account->blanks;
    uint64_t first = atomic_load(&account->next_message), room = FOLDER_IDS - first % FOLDER_IDS;
    unsigned count = b->lot < room ? b->lot : (unsigned)room;
    if (first + count > IMAGE_MESSAGE_MAX)
        return err_set(why, ERR_REFUSED, "the account has no message number left");
    atomic_store(&account->next_message, first + count);
    enum err err = closed_drop(account, first, why);
    if (!err)
        err = make_files(account, first, count, why);
    if (!err)
        err = blob_sync_folder(&account->root, account->folder, first, why);
    if (err) {
        forget_lot(account); /* names whose sync failed are not durable, whatever a second one says */
        return err;
    }
    closed_gone(account);
    if (b->lot < BLANK_LOT_MAX)
        b->lot *= 2;
    return ERR_OK;
}

enum err blanks_take(struct account *account, uint64_t *id, struct why *why)
{
    struct blanks *b = &account->blanks;
    (void)pthread_mutex_lock(&b->lock);
    enum err err = b->next < b->end ? ERR_OK : make_lot(account, why);
    if (!err) {
        *id = b->next++;
        b->taken++;
    }
    (void)pthread_mutex_unlock(&b->lock);
    return err;
}
