/* vanished.h: VANISHED (EARLIER): what was expunged before this session began to count (RFC 7162 section
 * 3.2.10). */
#ifndef IMAP_VANISHED_H
#define IMAP_VANISHED_H

#include "imap/session.h"

/* Asks store for the UIDs expunged since `modseq`, tells those in `among` (normalised; NULL: all) and calls
 * `then`. One call at a time per command. */
void imap_vanished_ask(struct session *s, uint64_t modseq, const struct imap_set *among,
                       void (*then)(struct session *s));

#endif
