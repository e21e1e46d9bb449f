/* xtext.h: the encodings of DSN parameters: xtext (RFC 3461 section 4) and utf-8-addr-xtext (RFC 6533 section
 * 3). Pure. */
#ifndef GRAMMAR_XTEXT_H
#define GRAMMAR_XTEXT_H

#include "base/arena.h"
#include "base/buf.h"

/* Any bytes. */
void xtext_encode(struct buf *out, struct slice text);
/* False on '=', bytes outside '!' to '~', or a '+' without two upper-case hexadecimal digits (lower case is
 * taken too). The result may hold control characters when the sender put them in: check before it goes into a
 * header. */
bool xtext_decode_in(struct arena *arena, struct slice xtext, struct slice *text) MUST_CHECK;
/* UTF-8 with "\x{HEX}" for what xtext would escape; for ORCPT=utf-8;… . The text must be UTF-8. */
void xtext_encode_utf8(struct buf *out, struct slice utf8);
/* The same for where only ASCII may stand: "\x{HEX}" also for every other character; a byte that belongs to
 * none is U+FFFD. What does not fit into `out` is left out from the first such character on. */
void xtext_encode_ascii(struct buf *out, struct slice utf8);
/* A decoded ORCPT, "type;address" (RFC 3461 section 4.2), in its parts; the address is the result. Without a
 * type (as older versions kept it in the queue) `type` is empty: it is rfc822, or utf-8 when it is not ASCII.
 */
struct slice xtext_orcpt_split(struct slice orcpt, struct slice *type);
/* Takes utf-8-addr-xtext and utf-8-addr-unitext. */
bool xtext_decode_utf8_in(struct arena *arena, struct slice xtext, struct slice *utf8) MUST_CHECK;

#endif
