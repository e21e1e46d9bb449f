/* encoded_word.h: header text for people: RFC 2047 encoded words and RFC 2231 parameter values as UTF-8 on
 * one line. Takes any bytes, gives the best reading; pure. */
#ifndef GRAMMAR_ENCODED_WORD_H
#define GRAMMAR_ENCODED_WORD_H

#include "base/buf.h"
#include "grammar/charset.h"
#include "grammar/mime_type.h"

/* Appends an unfolded value with its encoded words decoded, wherever they stand and however long they are;
 * blanks between two of them go, characters cut in two by them are whole again. Other text reads as UTF-8 or
 * windows-1252. Control characters become blanks. Stops at the maximum of `out`, not inside a character. */
void encoded_word_decode(struct charset_set *set, struct slice value, struct buf *out);

/* Appends the value of a parameter: extended (RFC 2231 section 4), or with encoded words, which many programs
 * write although RFC 2047 section 5 forbids it. */
void encoded_word_decode_param(struct charset_set *set, const struct mime_param *param, struct buf *out);

#endif
