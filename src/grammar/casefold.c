/* casefold.c: i;unicode-casemap through ICU. Input: texts of any origin, any octets. Called by the search and
 * by who indexes for it. */
#include "grammar/casefold.h"

#include <string.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/utf16.h>
#include <unicode/utf8.h>

#define NO_UNICODE 0x110000              /* octets that are no UTF-8 stand here and above */
#define UNITS_MAX  (CASEFOLD_OCTETS / 3) /* UTF-16 units, of at most 3 octets each; the longest has 18 */
#define MAP        1 /* of the number that names it: folded differently by another version of this file */

/* Not below 0x80; octets that are no UTF-8 are NO_UNICODE and more. */
static int32_t next_foreign(struct slice text, size_t *at)
{
    int32_t i = (int32_t)*at, c;
    U8_NEXT(text.ptr, i, (int32_t)text.len, c);
    if (c < 0)
        return NO_UNICODE + text.ptr[(*at)++];
    *at = (size_t)i;
    return c;
}

static int32_t in_title_case(int32_t c)
{
    c = c < NO_UNICODE ? u_totitle(c) : c;
    return c < 0x80 ? ascii_lower((uint8_t)c) : c;
}

int32_t casefold_next(struct slice text, size_t *at)
{
    uint8_t octet = text.ptr[*at];
    if (octet < 0x80) {
        (*at)++;
        return ascii_lower(octet);
    }
    return in_title_case(next_foreign(text, at));
}

/* A letter of ASCII is written small wherever it comes from. */
static size_t put(uint8_t *to, size_t n, int32_t c)
{
    if (c < 0x80)
        to[n++] = ascii_lower((uint8_t)c);
    else
        U8_APPEND_UNSAFE(to, n, c);
    return n;
}

size_t casefold_put(uint8_t to[CASEFOLD_OCTETS], int32_t c)
{
    UChar units[UNITS_MAX];
    UErrorCode error = U_ZERO_ERROR;
    size_t n = 0;
    if (c < 0x80 || c >= NO_UNICODE) {
        to[0] = (uint8_t)(c < 0x80 ? c : c - NO_UNICODE);
        return 1;
    }
    const UNormalizer2 *normalizer = unorm2_getNFKDInstance(&error);
    int32_t count = U_SUCCESS(error) ? unorm2_getDecomposition(normalizer, c, units, UNITS_MAX, &error) : -1;
    if (count < 0 || U_FAILURE(error) || count > UNITS_MAX)
        return put(to, 0, c);
    for (int32_t i = 0, part; i < count;) {
        U16_NEXT(units, i, count, part);
        n = put(to, n, part);
    }
    return n;
}

void casefold_start(struct casefold_memo *memo)
{
    memset(memo->letter, 0, sizeof memo->letter); /* no foreign one */
}

/* Puts what the slot did not hold yet there, or where what is long stands. */
static struct slice fold_anew(struct casefold_memo *memo, size_t slot, int32_t letter)
{
    size_t n = casefold_put(memo->other, in_title_case(letter));
    if (n > CASEFOLD_MEMO_SHORT)
        return slice_make(memo->other, n);
    memo->letter[slot] = letter;
    memo->count[slot] = (uint8_t)n;
    memcpy(memo->octets[slot], memo->other, n);
    return slice_make(memo->octets[slot], n);
}

struct slice casefold_take(struct casefold_memo *memo, struct slice text, size_t *at)
{
    if (text.ptr[*at] < 0x80) {
        memo->other[0] = ascii_lower(text.ptr[(*at)++]);
        return slice_make(memo->other, 1);
    }
    int32_t letter = next_foreign(text, at);
    size_t slot = (size_t)letter % CASEFOLD_MEMO;
    if (memo->letter[slot] == letter)
        return slice_make(memo->octets[slot], memo->count[slot]);
    return fold_anew(memo, slot, letter);
}

uint32_t casefold_version(void)
{
    UVersionInfo version;
    u_getUnicodeVersion(version);
    return (uint32_t)version[0] << 24 | (uint32_t)version[1] << 16 | (uint32_t)version[2] << 8 | MAP;
}
