/* imap_needle.c: text to look for (i;unicode-casemap as a substring, RFC 5051; RFC 5255 section 4.3). Input:
 * needles of clients, texts of any origin. Called by the evaluation of search programs. */
#include <string.h>

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
    needle.borders = borders_in(arena, needle.folded);
    return needle;
}

/* ---- ASCII in ASCII ---- */

/* Letters of mail text by how common they are; the search looks for the needle's rarest first. */
static unsigned commonness(uint8_t c)
{
    static const char by_frequency[] = "zqxjkvbpygfwmculdrhsnioate ";
    const char *at = c ? strchr(by_frequency, c) : NULL;
    return at ? (unsigned)(at - by_frequency) + 1 : 0;
}

static size_t rarest(struct slice needle)
{
    size_t best = 0;
    for (size_t i = 1; i < needle.len; i++)
        if (commonness(needle.ptr[i]) < commonness(needle.ptr[best]))
            best = i;
    return best;
}

static bool equal_folded(const uint8_t *text, struct slice needle)
{
    for (size_t i = 0; i < needle.len; i++)
        if (ascii_lower(text[i]) != needle.ptr[i])
            return false;
    return true;
}

static const uint8_t *find_byte(const uint8_t *from, const uint8_t *end, uint8_t c)
{
    const uint8_t *at = from < end ? memchr(from, c, (size_t)(end - from)) : NULL;
    return at ? at : end;
}

static bool match_ascii(struct slice needle, struct slice text)
{
    if (text.len < needle.len)
        return false;
    size_t pivot = rarest(needle);
    const uint8_t *end = text.ptr + text.len - (needle.len - 1 - pivot);
    uint8_t low = needle.ptr[pivot], high = ascii_upper(low);
    const uint8_t *next_low = find_byte(text.ptr + pivot, end, low);
    const uint8_t *next_high = high == low ? end : find_byte(text.ptr + pivot, end, high);
    while (next_low < end || next_high < end) {
        const uint8_t *at = next_low < next_high ? next_low : next_high;
        if (equal_folded(at - pivot, needle))
            return true;
        if (at == next_low)
            next_low = find_byte(at + 1, end, low);
        else
            next_high = find_byte(at + 1, end, high);
    }
    return false;
}

/* ---- through the folding ---- */

/* Looks in text[from, …) until `rest` folded octets behind `until` were seen: a match that has to do with
 * what is before `until` ends there. */
static bool match_folded(const struct imap_needle *needle, struct slice text, size_t from, size_t until,
                         size_t rest)
{
    const struct slice folded = needle->folded;
    uint8_t octets[CASEFOLD_OCTETS];
    size_t have = 0, behind = 0;
    for (size_t at = from; at < text.len && behind < rest;) {
        size_t n = casefold_put(octets, casefold_next(text, &at));
        for (size_t i = 0; i < n; i++) {
            while (have > 0 && folded.ptr[have] != octets[i])
                have = needle->borders[have - 1];
            have += folded.ptr[have] == octets[i];
            if (have == folded.len)
                return true;
        }
        behind += at > until ? n : 0;
    }
    return false;
}

static size_t next_foreign(struct slice text, size_t at)
{
    for (uint64_t word; at + sizeof word <= text.len; at += sizeof word) {
        memcpy(&word, text.ptr + at, sizeof word);
        if (word & 0x8080808080808080u)
            break;
    }
    while (at < text.len && text.ptr[at] < 0x80)
        at++;
    return at;
}

static bool shares_octet(struct slice needle, const uint8_t *octets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_find(needle, (char)octets[i]) >= 0)
            return true;
    return false;
}

/* An ASCII needle in foreign text: e with an accent is an e, and something. Only around such letters. */
static bool match_around(const struct imap_needle *needle, struct slice text)
{
    size_t back = SHRINK * needle->folded.len;
    for (size_t at = 0; (at = next_foreign(text, at)) < text.len;) {
        uint8_t octets[CASEFOLD_OCTETS];
        size_t start = at, n = casefold_put(octets, casefold_next(text, &at));
        if (shares_octet(needle->folded, octets, n) &&
            match_folded(needle, text, start > back ? start - back : 0, at, needle->folded.len))
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
    if (needle->ascii && match_ascii(needle->folded, text))
        return true;
    if (next_foreign(text, 0) == text.len)
        return false;
    if (needle->ascii && needle->folded.len <= WINDOW_NEEDLE)
        return match_around(needle, text);
    return match_folded(needle, text, 0, text.len, SIZE_MAX);
}
