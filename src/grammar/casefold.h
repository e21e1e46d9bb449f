/* casefold.h: text compared without regard to case by i;unicode-casemap (RFC 5051): each code point in title
 * case, then decomposed down to the last, so that a letter is found with and without its accent. ASCII
 * letters are written small. Takes any octets; one that is no UTF-8 stands for itself. Pure.
 *
 * The folding of a text is the folding of its pieces: what a search finds anywhere in a text stands in the
 * folded text as the folded needle, octet for octet.
 */
#ifndef GRAMMAR_CASEFOLD_H
#define GRAMMAR_CASEFOLD_H

#include "base/slice.h"

#define CASEFOLD_OCTETS 96 /* the most one folded code point needs */

/* The code point at `*at` (below text.len) in title case, which moves behind it; octets that are no UTF-8
 * give numbers outside Unicode. */
int32_t casefold_next(struct slice text, size_t *at);
/* Writes what casefold_next() answered, decomposed, as octets; their number, never 0. */
size_t casefold_put(uint8_t to[CASEFOLD_OCTETS], int32_t folded);

/* The same for who folds much: letters repeat, so the foldings last met are kept, some 2 KiB on the caller's
 * stack. */
#define CASEFOLD_MEMO       128
#define CASEFOLD_MEMO_SHORT 8 /* octets; longer ones are not kept */
struct casefold_memo {
    int32_t letter[CASEFOLD_MEMO];
    uint8_t count[CASEFOLD_MEMO];
    uint8_t octets[CASEFOLD_MEMO][CASEFOLD_MEMO_SHORT];
    uint8_t other[CASEFOLD_OCTETS]; /* what is not kept */
};
void casefold_start(struct casefold_memo *memo);
/* The octets of the code point at `*at` (below text.len), which moves behind it; they hold until the next
 * call. */
struct slice casefold_take(struct casefold_memo *memo, struct slice text, size_t *at);

/* The folding this is, as one number: another one may fold more. */
uint32_t casefold_version(void);

#endif
