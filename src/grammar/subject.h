/* subject.h: the base subject of a message, by which SORT and THREAD compare (RFC 5256 section 2.1). Pure. */
#ifndef GRAMMAR_SUBJECT_H
#define GRAMMAR_SUBJECT_H

#include "base/buf.h"

#define SUBJECT_MAX_BYTES 1024 /* what is behind them does not count for comparison */

/* Appends the base subject of a decoded subject (UTF-8), case folded. `*reply` (may be NULL) says whether a
 * "Re:" or "Fwd:" was taken off. */
void subject_base(struct slice subject, struct buf *out, bool *reply);

#endif
