/* casefold.h: text compared without regard to case: Unicode's simple case folding, code point by code point
 * (RFC 5051 in spirit, without decomposition). Takes any octets; one that is no UTF-8 stands for itself.
 * Pure.
 *
 * The folding of a text is the folding of its pieces: what a search finds anywhere in a text stands in the
 * folded text as the folded needle, octet for octet.
 */
#ifndef GRAMMAR_CASEFOLD_H
#define GRAMMAR_CASEFOLD_H

#include "base/slice.h"

#define CASEFOLD_OCTETS 4 /* the most one folded code point needs */

/* The folding of the code point at `*at` (below text.len), which moves behind it; octets that are no UTF-8
 * give numbers outside Unicode. */
int32_t casefold_next(struct slice text, size_t *at);
/* Writes what casefold_next() answered as octets; their number. */
size_t casefold_put(uint8_t to[CASEFOLD_OCTETS], int32_t folded);
/* The version of Unicode whose folding this is, as one number: another one may fold more. */
uint32_t casefold_version(void);

#endif
