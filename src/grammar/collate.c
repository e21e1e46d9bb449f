/* collate.c: keys of i;unicode-casemap with ICU's tables. Input: decoded text of strangers' headers, bounded
 * by whoever stored it. Called by store. */
#include "grammar/collate.h"

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/utf16.h>
#include <unicode/utf8.h>

#define DECOMPOSED_MAX 32 /* UTF-16 units; the longest decomposition has 18 */

static void add_code_point(struct buf *key, UChar32 c)
{
    uint8_t octets[U8_MAX_LENGTH];
    size_t n = 0;
    U8_APPEND_UNSAFE(octets, n, c);
    buf_add(key, slice_make(octets, n));
}

/* Section 2 (2) and (3): the title case, then its decomposition down to the last. */
static void add_mapped(struct buf *key, const UNormalizer2 *normalizer, UChar32 c)
{
    UChar units[DECOMPOSED_MAX];
    UErrorCode error = U_ZERO_ERROR;
    UChar32 title = u_totitle(c);
    int32_t count =
        normalizer ? unorm2_getDecomposition(normalizer, title, units, DECOMPOSED_MAX, &error) : -1;
    if (count < 0 || U_FAILURE(error) || count > DECOMPOSED_MAX) {
        add_code_point(key, title);
        return;
    }
    for (int32_t i = 0; i < count;) {
        UChar32 part;
        U16_NEXT(units, i, count, part);
        add_code_point(key, part);
    }
}

static void add_foreign(struct slice text, struct buf *key)
{
    UErrorCode error = U_ZERO_ERROR;
    const UNormalizer2 *normalizer = unorm2_getNFKDInstance(&error);
    if (U_FAILURE(error))
        normalizer = NULL;
    for (int32_t at = 0; at < (int32_t)text.len;) {
        int32_t start = at;
        UChar32 c;
        U8_NEXT(text.ptr, at, (int32_t)text.len, c);
        if (c >= 0)
            add_mapped(key, normalizer, c);
        else
            buf_add(key, slice_sub(text, (size_t)start, (size_t)(at - start)));
    }
}

void collate_key(struct slice text, struct buf *key)
{
    if (text.len > INT32_MAX || !slice_is_ascii(text)) {
        add_foreign(slice_sub(text, 0, INT32_MAX), key);
        return;
    }
    uint8_t *room = buf_reserve(key, text.len);
    if (!room)
        return;
    for (size_t i = 0; i < text.len; i++)
        room[i] = ascii_upper(text.ptr[i]);
    buf_added(key, text.len);
}
