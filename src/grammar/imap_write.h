/* imap_write.h: building responses (RFC 9051 section 9). What can not stand in quotes becomes a literal. */
#ifndef GRAMMAR_IMAP_WRITE_H
#define GRAMMAR_IMAP_WRITE_H

#include "base/buf.h"

/* "text", or {n}CRLF text when it holds CR, LF, NUL, 8-bit octets or is long. Never NIL. */
void imap_write_string(struct buf *out, struct slice text);
/* The same; octets above 0x7f may stand in quotes when they are UTF-8 (RFC 6855, RFC 9051). */
void imap_write_utf8_string(struct buf *out, struct slice text);
/* An atom where possible, else a string. */
void imap_write_astring(struct buf *out, struct slice text);
/* NIL for the empty slice with a NULL pointer, else a string. */
void imap_write_nstring(struct buf *out, struct slice text);
/* "{n}CRLF": the announcement of a literal the caller sends itself. */
void imap_write_literal_head(struct buf *out, uint64_t octets);
/* A mailbox name: modified UTF-7, or UTF-8 for a session that enabled it. `name` is UTF-8. */
void imap_write_mailbox(struct buf *out, struct slice name, bool utf8);
/* Text for the human-readable part of a response: control and non-ASCII octets become '?', bounded to 200
 * octets. */
void imap_write_text(struct buf *out, struct slice text);

#endif
