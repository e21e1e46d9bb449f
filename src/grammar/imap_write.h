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
/* "21-Nov-2026 03:42:49 +0000" in quotes; `time` is in seconds since 1970, shown in the zone given in
 * minutes. */
void imap_write_date_time(struct buf *out, int64_t time, int zone_minutes);
/* Text for the human-readable part of a response: control and non-ASCII octets become '?', bounded to 200
 * octets. */
void imap_write_text(struct buf *out, struct slice text);

/* "-NOV-"-style parsers, both of the whole text (RFC 9051 section 9).
 * date: "1-Feb-1994" as days since 1970-01-01. date-time: " 1-Feb-1994 21:52:25 -0800" as seconds since 1970.
 */
bool imap_date_parse(struct slice text, int64_t *days) MUST_CHECK;
bool imap_date_time_parse(struct slice text, int64_t *time, int *zone_minutes) MUST_CHECK;

#endif
