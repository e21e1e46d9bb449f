/* preview.h: the first words of a message for message lists (RFC 8970). Pure. */
#ifndef GRAMMAR_PREVIEW_H
#define GRAMMAR_PREVIEW_H

#include "base/buf.h"

#define PREVIEW_MAX_CHARS 200 /* RFC 8970 section 3.1: at most 256 */
#define PREVIEW_MAX_BYTES (PREVIEW_MAX_CHARS * 4)
#define PREVIEW_MAX_INPUT (64 * 1024) /* of the text; what is quoted before may be long */

/* Appends at most PREVIEW_MAX_CHARS characters of `text` (well-formed UTF-8): white space squeezed, invisible
 * characters left out, quoted lines skipped where anything else is left, nothing behind a signature mark ("--
 * "). */
void preview_make(struct slice text, struct buf *out);

#endif
