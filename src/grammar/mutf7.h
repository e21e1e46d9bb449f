/* mutf7.h: modified UTF-7, the form of mailbox names in IMAP4rev1 (RFC 3501 section 5.1.3). Pure. */
#ifndef GRAMMAR_MUTF7_H
#define GRAMMAR_MUTF7_H

#include "base/arena.h"

/* Strict: only the one right encoding of each name is taken, so that no two texts name one mailbox. Refused:
 * bytes outside printable ASCII, printable ASCII in base64, unfinished or needless shifts, lone surrogates,
 * bits behind the end, NUL. */
bool mutf7_to_utf8_in(struct arena *arena, struct slice mutf7, struct slice *utf8) MUST_CHECK;
/* False when the text is not UTF-8 or holds NUL. */
bool mutf7_from_utf8_in(struct arena *arena, struct slice utf8, struct slice *mutf7) MUST_CHECK;

#endif
