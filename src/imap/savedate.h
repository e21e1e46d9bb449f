/* savedate.h: when messages were saved (RFC 8514), asked for once before a FETCH writes. */
#ifndef IMAP_SAVEDATE_H
#define IMAP_SAVEDATE_H

#include "imap/session.h"

/* Fills `*ranges` (in the command's arena; what it holds lives as long) and goes on with `then`; or ends the
 * command. */
void imap_savedate_ask(struct session *s, struct buf *ranges, void (*then)(struct session *s));
/* Unix seconds; `internal`: what a message has that stands in no range. */
int64_t imap_savedate_find(const struct buf *ranges, uint32_t uid, int64_t internal);

#endif
