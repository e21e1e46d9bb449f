/* ears.h: accounts whose sessions listen to what other accounts share with them (RFC 5465), see hearsay.h.
 *
 * An ear is a watch on the whole of an account (handle_listen.c) whose sessions want to hear of others, too.
 * It ends with the watch, and so with the link. On the loop's thread but for `count`. */
#ifndef STORE_EARS_H
#define STORE_EARS_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/coll.h"
#include "wire/event_row.h"
#include "wire/grant.h"

#define EAR_TOLD_MAX  10000      /* mailboxes one ear was told of; with more it is called back in vain, too */
#define EAR_NAMES_MAX (1u << 20) /* bytes of the names one account has subscribed of others */

struct acl;
struct slot;
struct store;
struct watch;
struct ear {
    struct list node, due;
    struct watch *watch;
    struct map *subscribed; /* struct name: of mailboxes below "Other Users" */
    struct map *told;       /* struct name: of what it was told and may not have passed on yet */
    bool told_more;         /* and of more than fitted */
    struct buf rows;        /* to be sent, all of them done by: */
    struct grant by;
};
struct ears {
    atomic_uint count; /* read on strands */
    struct list all;
    struct list due; /* those with something to be sent */
};
void ears_start(struct ears *ears);
/* The watch hears of others too. `subscribed`: what its account has subscribed of them (wire_strings), as of
 * now. */
void ear_join(struct store *store, struct watch *watch, struct slice subscribed);
/* The watch ends. */
void ear_leave(struct store *store, struct watch *watch);
/* Rows of the ear's own account: it may have subscribed something else. */
void ear_subscriptions(struct ear *ear, struct slice rows);
bool ear_has_subscribed(const struct ear *ear, struct slice name);

/* Every ear the list may give something to, once. */
typedef void ear_hears(void *arg, struct ear *ear);
void ears_each(struct store *store, const struct acl *acl, ear_hears *fn, void *arg);
/* Of an account that is not the ear's own, which it hears as its owner: then none. */
uint32_t ear_rights(const struct slot *owner, const struct acl *acl, const struct ear *ear);

/* A row for it, done by whose session (none: nobody's alone); ears_send() follows. */
void ear_add_row(struct store *store, struct ear *ear, const struct event_row *row, const struct grant *by);
/* It will be told that some are missing; ears_send() follows. */
void ear_lose(struct store *store, struct ear *ear);
void ears_send(struct store *store);

/* It was told of the mailbox's name, or of what is in it. */
void ear_remember_told(struct ear *ear, const struct slot *owner, uint64_t mailbox, bool name);
/* Was it, since it was asked last? */
bool ear_forget_told(struct ear *ear, const struct slot *owner, uint64_t mailbox, bool name) MUST_CHECK;

#endif
