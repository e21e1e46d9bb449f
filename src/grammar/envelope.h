/* envelope.h: ENVELOPE as ready IMAP text (RFC 3501 section 7.4.2, RFC 9051 section 7.5.2). Takes any header;
 * pure. */
#ifndef GRAMMAR_ENVELOPE_H
#define GRAMMAR_ENVELOPE_H

#include "base/buf.h"

struct envelope_limits {
    size_t addresses; /* of each field, at most ADDRESS_LIST_MAX; groups count twice */
    size_t bytes;     /* of the value of each field */
};

/* Appends "(date subject from sender reply-to to cc bcc in-reply-to message-id)". Strings are as they stand
 * in the header, on one line, encoded words left alone; 8-bit text goes into literals. Sender and Reply-To
 * default to From. An address without a domain gets "MISSING_DOMAIN", one without local part
 * "MISSING_MAILBOX", as NIL would mean a group. */
void envelope_write(struct slice header, const struct envelope_limits *limits, struct buf *out);

#endif
