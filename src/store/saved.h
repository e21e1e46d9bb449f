/* saved.h: when messages came into their mailbox (RFC 8514). For a delivery that is its INTERNALDATE; what
 * APPEND, COPY and MOVE brought stands in ranges of UIDs beside it. On the account's strand. */
#ifndef STORE_SAVED_H
#define STORE_SAVED_H

#include "base/buf.h"
#include "store/account.h"

#define SAVED_RANGE 12          /* bytes of a range: le32 first UID, last UID, unix seconds */
#define SAVED_MAX   (24u << 20) /* bytes of the ranges of one mailbox that are given out */

/* In a transaction: messages that a change adds to the mailbox at `now`. Those whose INTERNALDATE it is need
 * nothing. */
enum err saved_note(struct account *account, const struct mailbox *mailbox, struct slice entries,
                    uint32_t now, struct why *why) MUST_CHECK;
/* In a transaction: the mailbox goes. */
enum err saved_forget(struct account *account, uint64_t mailbox, struct why *why) MUST_CHECK;
/* Ranges, ascending; UIDs in none have their INTERNALDATE. */
enum err saved_ranges(struct account *account, uint64_t mailbox, struct buf *ranges,
                      struct why *why) MUST_CHECK;

#endif
