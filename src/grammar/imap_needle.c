/* imap_needle.c: text to look for (i;unicode-casemap as a substring, RFC 5051; RFC 5255 section 4.3). Input:
 * needles of clients, texts of any origin. Called by the evaluation of search programs. */
#include "grammar/casefold.h"
#include "grammar/imap_search.h"

#define WINDOW_NEEDLE 64 /* octets: longer needles are looked for in one pass over the whole text */
#define SHRINK        4  /* octets that may fold into one */

static size_t folded_size(struct slice text)
{
    uint8_t octets[CASEFOLD_OCTETS];
    size_t size = 0;
    for (size_t at = 0; at < text.len;)
        size += casefold_put(octets, casefold_next(text, &at));
    return size;
}

/* Where to go on in the needle when its octet i does not fit (Knuth, Morris, Pratt). */
static uint32_t *borders_in(struct arena *arena, struct slice needle)
{
    uint32_t *border = ARENA_ARRAY(arena, uint32_t, needle.len + 1);
    uint32_t k = 0;
    for (size_t i = 1; i < needle.len; i++) {
        while (k > 0 && needle.ptr[k] != needle.ptr[i])
            k = border[k - 1];
        k += needle.ptr[k] == needle.ptr[i];
        border[i] = k;
    }
    return border;
}

struct imap_needle imap_needle_in(struct arena *arena, struct slice text)
{
    struct imap_needle needle = {.text = text};
    uint8_t *folded = ARENA_ARRAY(arena, uint8_t, folded_size(text) + CASEFOLD_OCTETS);
    size_t n = 0;
    for (size_t at = 0; at < text.len;)
        n += casefold_put(folded + n, casefold_next(text, &at));
    needle.folded = slice_make(folded, n);
    needle.ascii = slice_is_ascii(needle.folded);
    if (n)
        needle.find = find_new(needle.folded, needle.ascii);
    needle.borders = borders_in(arena, needle.folded);
    return needle;
}

/* Looks in text[from, …) until `rest` folded octets behind `until` were seen: a match that has to do with
 * what is before `until` ends there. */
static bool match_folded(const struct imap_needle *needle, struct casefold_memo *memo, struct slice text,
                         size_t from, size_t until, size_t rest)
{
    const struct slice folded = needle->folded;
    size_t have = 0, behind = 0;
    for (size_t at = from; at < text.len && behind < rest;) {
        struct slice octets = casefold_take(memo, text, &at);
        for (size_t i = 0; i < octets.len; i++) {
            while (have > 0 && folded.ptr[have] != octets.ptr[i])
                have = needle->borders[have - 1];
            have += folded.ptr[have] == octets.ptr[i];
            if (have == folded.len)
                return true;
        }
        behind += at > until ? octets.len : 0;
    }
    return false;
}

/* Can an ASCII needle be found at a letter that folds to these octets? Only where it has one of them; and
 * when the last is none of ASCII (an accent) it must end in one of them. */
static bool may_touch(struct slice needle, struct slice octets)
{
    uint8_t end = needle.ptr[needle.len - 1];
    bool closed = octets.ptr[octets.len - 1] >= 0x80;
    for (size_t i = 0; i < octets.len; i++)
        if (octets.ptr[i] < 0x80 && (closed ? octets.ptr[i] == end : slice_find(needle, octets.ptr[i]) >= 0))
            return true;
    return false;
}

/* An ASCII needle in foreign text: e with an accent is an e, and something. Only around such letters. */
static bool match_around(const struct imap_needle *needle, struct casefold_memo *memo, struct slice text,
                         size_t first)
{
    size_t back = SHRINK * needle->folded.len;
    for (size_t at = first; at < text.len; at = find_foreign(text, at)) {
        size_t start = at;
        if (may_touch(needle->folded, casefold_take(memo, text, &at)) &&
            match_folded(needle, memo, text, start > back ? start - back : 0, at, needle->folded.len))
            return true;
    }
    return false;
}

bool imap_needle_match(const struct imap_needle *needle, struct slice text)
{
    if (needle->folded.len == 0)
        return true;
    if (text.len == 0 || text.len > INT32_MAX)
        return false;
    if (needle->ascii && find_in(&needle->find, text, 0) >= 0)
        return true;
    size_t foreign = find_foreign(text, 0);
    if (foreign == text.len)
        return false;
    struct casefold_memo memo;
    casefold_start(&memo);
    if (needle->ascii && needle->folded.len <= WINDOW_NEEDLE)
        return match_around(needle, &memo, text, foreign);
    return match_folded(needle, &memo, text, 0, text.len, SIZE_MAX);
}
