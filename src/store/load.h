/* load.h: from the index database into memory. Used by account.c and fold.c. */
#ifndef STORE_LOAD_H
#define STORE_LOAD_H

#include "store/account.h"

/* Counters, mailboxes, subscriptions, and what the log says about them; the first content of a new index. */
enum err load_account(struct account *account, struct why *why) MUST_CHECK;
/* Removes files that a crash has left without a row: they have ids around the next one. */
enum err load_sweep(struct account *account, struct why *why) MUST_CHECK;
/* The image of a mailbox, from its packed state and the log. */
enum err load_view(struct account *account, struct mailbox *mailbox, struct why *why) MUST_CHECK;
/* Entries of a log row of kind ADD, allocated. */
enum err load_entries(struct slice packed, struct entry **entries, size_t *count, struct why *why) MUST_CHECK;
/* Inserts a mailbox's row. */
enum err load_insert_mailbox(struct account *account, const struct mailbox *mailbox,
                             struct why *why) MUST_CHECK;
/* Puts it into the account's tables; takes it. False when there are too many. */
bool load_adopt(struct account *account, struct mailbox *mailbox) MUST_CHECK;
bool load_subscribe(struct account *account, struct slice name) MUST_CHECK;
void load_delivered(struct account *account, struct slice queue_id, uint64_t mailbox, uint32_t uid,
                    uint64_t message);

#endif
