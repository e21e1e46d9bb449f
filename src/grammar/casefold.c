/* casefold.c: simple case folding through ICU. Input: texts of any origin, any octets. Called by the search
 * and by who indexes for it. */
#include "grammar/casefold.h"

#include <unicode/uchar.h>
#include <unicode/utf8.h>

#define NO_UNICODE 0x110000 /* octets that are no UTF-8 stand here and above */

int32_t casefold_next(struct slice text, size_t *at)
{
    uint8_t octet = text.ptr[*at];
    if (octet < 0x80) {
        (*at)++;
        return ascii_lower(octet);
    }
    int32_t i = (int32_t)*at, c;
    U8_NEXT(text.ptr, i, (int32_t)text.len, c);
    if (c < 0) {
        (*at)++;
        return NO_UNICODE + octet;
    }
    *at = (size_t)i;
    return u_foldCase(c, U_FOLD_CASE_DEFAULT);
}

size_t casefold_put(uint8_t to[CASEFOLD_OCTETS], int32_t c)
{
    size_t n = 0;
    if (c >= NO_UNICODE)
        to[n++] = (uint8_t)(c - NO_UNICODE);
    else
        U8_APPEND_UNSAFE(to, n, c);
    return n;
}

uint32_t casefold_version(void)
{
    UVersionInfo version;
    u_getUnicodeVersion(version);
    return (uint32_t)version[0] << 24 | (uint32_t)version[1] << 16 | (uint32_t)version[2] << 8 | version[3];
}
