/* hearsay.h: telling sessions what happens to mailboxes other accounts share with theirs (RFC 5465).
 *
 * An ear is a watch on the whole of an account whose sessions also want to hear of others. Nothing is kept by
 * pair of owner and reader: what an owner's commit did comes with the mailbox's list (overhear.h), and
 * whoever that list lets look it up and has an ear is told. So rights given later count at once, and those
 * taken away end with the list that gave them; what imap has not told its client yet is called back. Each
 * owner's events are told at most every HEARSAY_MS, because one commit may be of interest to many. On the
 * loop's thread. */
#ifndef STORE_HEARSAY_H
#define STORE_HEARSAY_H

#include <stdatomic.h>

#include "store/overhear.h"

#define HEARSAY_MS 250 /* events of one owner are told at most this often, the first at once */
#define HEARSAY_EVENTS_MAX                                                                                   \
    200 /* of one owner, not told yet; with more, hearers are told that some are missing */
#define HEARSAY_EARS_MAX  1000       /* accounts told of one event; the others are told that they miss some */
#define HEARSAY_NAMES_MAX (1u << 20) /* bytes of the names one account has subscribed of others */

struct acl;
struct slot;
struct store;
struct watch;
struct ear;
struct hearsay;

struct hearsays {
    atomic_uint ears_count; /* read on strands */
    struct list ears;       /* struct ear */
    struct list due;        /* struct ear: has something to be sent */
    struct list owners;     /* struct hearsay: told a moment ago */
    struct loop_timer *timer;
    bool armed;
};
void hearsay_start(struct store *store);
void hearsay_stop(struct store *store);
/* The watch hears of others too. `subscribed`: what its account has subscribed of them (wire_strings), as of
 * now. */
void hearsay_join(struct store *store, struct watch *watch, struct slice subscribed);
/* The watch ends. */
void hearsay_leave(struct store *store, struct watch *watch);
/* Rows of the ear's own account: it may have subscribed something else. */
void hearsay_subscriptions(struct ear *ear, struct slice rows);
/* What a job has done to the shared mailboxes of the slot's account, and whose it was (NULL: nobody's alone).
 * Clears the pointer; takes NULL. */
void hearsay_take(struct store *store, struct slot *slot, struct overheard_news **news,
                  const struct grant *by);
/* The mailbox has a new list: whoever could hear of it and may not any more is told to forget what it has not
 * passed on. Where that cannot be said the link is marked as broken: watches_tell_rights() comes next. */
void hearsay_rights(struct store *store, struct slot *slot, uint64_t mailbox, const struct acl *before,
                    const struct acl *after);

#endif
