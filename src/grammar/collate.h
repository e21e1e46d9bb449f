/* collate.h: the collation i;unicode-casemap (RFC 5051), by which SORT orders and THREAD compares text (RFC
 * 5256 section 6, RFC 5255 section 4.4). Pure. */
#ifndef GRAMMAR_COLLATE_H
#define GRAMMAR_COLLATE_H

#include "base/buf.h"

/* Appends the key of `text` (UTF-8; octets that are none stand for themselves): each code point in title
 * case, fully decomposed. Two texts compare as their keys do octet by octet. */
void collate_key(struct slice text, struct buf *key);

#endif
