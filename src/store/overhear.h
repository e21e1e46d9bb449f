/* overhear.h: what a commit did to mailboxes that are shared, for accounts they are shared with (RFC 5465).
 *
 * On the owner's strand each event is noted with the mailbox's list as it is then; nothing is noted while
 * nobody listens, nor of a mailbox without a list. The loop tells it on (hearsay.c), and judges there who may
 * hear it. */
#ifndef STORE_OVERHEAR_H
#define STORE_OVERHEAR_H

#include "base/coll.h"
#include "store/account.h"
#include "wire/event_row.h"

#define OVERHEARD_MAX                                                                                        \
    200 /* events of one job; with more, who could hear them is told that some are missing */

struct overheard {
    struct list node;
    struct acl *acl;  /* owned: as it was, or has become since */
    struct acl *knew; /* owned: whoever this one lets look it up is told nothing new; NULL: nobody */
    uint64_t mailbox;
    struct grant by; /* whose session did it; none: nobody's alone. Of the loop */
    uint32_t what;
    bool gone;        /* the mailbox was deleted */
    struct slice row; /* owned: wire/event_row.h, with names and flags as the owner has them */
};
/* What one job has done. */
struct overheard_news {
    struct list events; /* struct overheard */
    size_t count;
    bool lost; /* there were more */
};

/* Does anybody listen to what other accounts share, and is there something that this one does? */
bool account_is_overheard(const struct account *account);
/* Something happened to the messages of the mailbox. */
void overhear_messages(struct account *account, const struct mailbox *mailbox, uint32_t what);
/* It was made or renamed; `old`: from. */
void overhear_name(struct account *account, const struct mailbox *mailbox, struct slice old);
/* It has another list than `before`: some may see it now. */
void overhear_shared(struct account *account, const struct mailbox *mailbox, const struct acl *before);
/* It is about to go: its list is still there. */
void overhear_gone(struct account *account, const struct mailbox *mailbox);
/* Shared annotations were changed. */
void overhear_metadata(struct account *account, const struct mailbox *mailbox, struct slice entries);

void overheard_free(struct overheard *event);
/* Takes NULL. */
void overheard_news_free(struct overheard_news **news);

#endif
