/* names.h: mailboxes as a tree of names: create, delete, rename, subscribe, list. On the account's strand.
 * Names are UTF-8 with '/', "INBOX" in this spelling (imap_mailbox_canonical_in). */
#ifndef STORE_NAMES_H
#define STORE_NAMES_H

#include "store/account.h"

/* Makes the mailbox and those above it that are missing (RFC 3501 section 6.3.3). */
enum err names_create(struct account *account, struct slice name, enum special_use use,
                      struct refusal *refusal) MUST_CHECK;
/* With mailboxes below it the name stays and cannot be selected (section 6.3.4); names above that hold
 * nothing any more go too. */
enum err names_delete(struct account *account, struct slice name, struct refusal *refusal) MUST_CHECK;
/* With all below it; INBOX gives its messages to the new mailbox and stays (section 6.3.5). */
enum err names_rename(struct account *account, struct slice from, struct slice to,
                      struct refusal *refusal) MUST_CHECK;
/* The nearest mailbox above the name, which need not be there itself; NULL: none. */
struct mailbox *names_above(const struct account *account, struct slice name);
enum err names_subscribe(struct account *account, struct slice name, bool on,
                         struct refusal *refusal) MUST_CHECK;
/* All rows, in order of the names; subscribed names without a mailbox among them, but for those of other
 * accounts. */
void names_list(const struct account *account, struct buf *rows);
struct mailbox_row names_row(const struct account *account, const struct mailbox *mailbox);

#endif
