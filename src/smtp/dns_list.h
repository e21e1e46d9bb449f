/* dns_list.h: the DNS lists of settings->before_greeting.lists: asked about strangers through the dns role,
 * and tested (policy/dns_list.h) at start, every hour, and when a listing would be believed on an old test. A
 * list that answers wrongly, or does not answer, is not asked any more, and one line in the log says so,
 * until a test goes well again.
 */
#ifndef SMTP_DNS_LIST_H
#define SMTP_DNS_LIST_H

#include "base/buf.h"
#include "base/coll.h"
#include "base/ipc.h"
#include "base/loop.h"
#include "grammar/netaddr.h"
#include "settings/settings.h"

#define SMTP_LISTS_MAX     32u    /* further ones of the settings are not asked */
#define SMTP_LISTS_PENDING 2000u  /* questions on their way; past it a stranger is not asked about */
#define SMTP_LISTS_MS      10000u /* of one question; a stranger's wait is shorter */

struct smtp_lists;

/* What is found out about one client. Zeroed before it is asked. */
struct smtp_listing {
    struct list queries;
    uint32_t found; /* a bit for each list that has it */
    unsigned pending;
    /* All answers have come; NULL: nobody waits for them. Never called from inside smtp_lists_ask(). */
    void (*done)(void *ctx);
    void *ctx;
};

/* `dns` may be NULL, and there may be no lists: then nobody is asked. The settings are kept: a reload makes a
 * new one. The first tests begin at once. */
struct smtp_lists *smtp_lists_new(struct loop *loop, struct ipc_link *dns, const struct settings *settings)
    __attribute__((returns_nonnull));
/* Listings that still wait are told `done` with what they have; the pointer is NULL by then. Takes NULL. */
void smtp_lists_free(struct smtp_lists **lists);

/* Asks all lists in use about a client; the listing must live until its end or smtp_listing_drop(). */
void smtp_lists_ask(struct smtp_lists *lists, const struct netaddr *client, struct smtp_listing *listing);
/* No answer is waited for any more. Questions on their way still count as pending. */
void smtp_listing_drop(struct smtp_listing *listing);
/* The weights of the lists which have it, those of good senders taken off; only of lists in use now; 0
 * without lists. `zones` (may be NULL) gets the names of those which count against it, with blanks between.
 */
int64_t smtp_lists_score(const struct smtp_lists *lists, const struct smtp_listing *listing,
                         struct buf *zones);

#endif
