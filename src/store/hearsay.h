/* hearsay.h: telling sessions what happens to mailboxes other accounts share with theirs (RFC 5465).
 *
 * Nothing is kept by pair of owner and reader: what an owner's commit did comes with the mailbox's list
 * (overhear.h), and whoever that list lets look it up and has an ear (ears.h) is told. So rights given later
 * count at once, and those taken away end with the list that gave them; what imap has not told its client yet
 * is called back. Each owner's events are told at most every HEARSAY_MS, because one commit may be of
 * interest to many. On the loop's thread. */
#ifndef STORE_HEARSAY_H
#define STORE_HEARSAY_H

#include "store/ears.h"
#include "store/overhear.h"

#define HEARSAY_MS 250 /* events of one owner are told at most this often, the first at once */
#define HEARSAY_EVENTS_MAX                                                                                   \
    200 /* of one owner, not told yet; with more, hearers are told that some are missing */
#define HEARSAY_EARS_MAX 1000 /* accounts told of one event; the others are told that they miss some */

struct hearsay;
struct hearsays {
    struct list owners; /* struct hearsay: told of a moment ago */
    struct loop_timer *timer;
    bool armed;
};
void hearsay_start(struct store *store);
void hearsay_stop(struct store *store);
/* What a job has done to the shared mailboxes of the slot's account, and whose it was (NULL: nobody's alone).
 * Clears the pointer; takes NULL. */
void hearsay_take(struct store *store, struct slot *slot, struct overheard_news **news,
                  const struct grant *by);
/* The mailbox has a new list: whoever was told of it and may not hear of it any more is told to forget what
 * was not passed on. Where that cannot be said the link is marked as broken: watches_tell_rights() comes
 * next.
 */
void hearsay_rights(struct store *store, struct slot *slot, uint64_t mailbox, const struct acl *before,
                    const struct acl *after);

#endif
