/* find.c: a needle is looked for by two of its bytes: where both stand in their places the rest is compared.
 * Input: texts of any origin, needles of clients. Called by grammar/imap_needle.c, store. */
#include "base/find.h"

#include <string.h>

#define WIDTH 16

/* The compiler makes vector instructions of these where the processor has them. */
typedef uint8_t wide __attribute__((vector_size(WIDTH)));
typedef uint64_t words __attribute__((vector_size(WIDTH)));

static wide load(const uint8_t *at)
{
    wide w;
    memcpy(&w, at, sizeof w);
    return w;
}

static wide all(uint8_t byte)
{
    return byte - (wide){0};
}

static bool any(wide w)
{
    words both = (words)w;
    return both[0] | both[1];
}

/* ---- the needle ---- */

/* Letters of mail text by how common they are. */
static unsigned commonness(uint8_t c)
{
    static const char by_frequency[] = "zqxjkvbpygfwmculdrhsnioate ";
    const char *at = c ? strchr(by_frequency, c) : NULL;
    return at ? (unsigned)(at - by_frequency) + 1 : 0;
}

static size_t rarest(struct slice needle, size_t but)
{
    size_t best = but == 0 && needle.len > 1 ? 1 : 0;
    for (size_t i = best + 1; i < needle.len; i++)
        if (i != but && commonness(needle.ptr[i]) < commonness(needle.ptr[best]))
            best = i;
    return best;
}

static bool is_small(uint8_t c)
{
    return c >= 'a' && c <= 'z';
}

struct find find_new(struct slice needle, bool any_case)
{
    struct find f = {.needle = needle, .any_case = any_case};
    size_t one = rarest(needle, SIZE_MAX), two = rarest(needle, one);
    f.at[0] = one < two ? one : two;
    f.at[1] = one < two ? two : one;
    for (size_t i = 0; i < 2; i++) {
        f.byte[i] = needle.ptr[f.at[i]];
        f.bit[i] = any_case && is_small(f.byte[i]) ? 0x20 : 0;
    }
    return f;
}

/* ---- the text ---- */

static bool is_here(const struct find *f, const uint8_t *at)
{
    if (!f->any_case)
        return !memcmp(at, f->needle.ptr, f->needle.len);
    for (size_t i = 0; i < f->needle.len; i++)
        if (ascii_lower(at[i]) != f->needle.ptr[i])
            return false;
    return true;
}

/* Of places from .. from + count, all of which the text has. */
static ptrdiff_t try_each(const struct find *f, struct slice text, size_t from, size_t count)
{
    for (size_t i = from; i < from + count; i++)
        if ((text.ptr[i + f->at[0]] | f->bit[0]) == f->byte[0] && is_here(f, text.ptr + i))
            return (ptrdiff_t)i;
    return -1;
}

ptrdiff_t find_in(const struct find *f, struct slice text, size_t from)
{
    if (text.len < f->needle.len || from > text.len - f->needle.len)
        return -1;
    size_t places = text.len - f->needle.len + 1, i = from;
    const wide byte0 = all(f->byte[0]), byte1 = all(f->byte[1]), bit0 = all(f->bit[0]), bit1 = all(f->bit[1]);
    const uint8_t *first = text.ptr + f->at[0], *second = text.ptr + f->at[1];
    for (; i + WIDTH <= places; i += WIDTH) {
        wide both = (wide)((load(first + i) | bit0) == byte0) & (wide)((load(second + i) | bit1) == byte1);
        ptrdiff_t found = any(both) ? try_each(f, text, i, WIDTH) : -1;
        if (found >= 0)
            return found;
    }
    return try_each(f, text, i, places - i);
}

size_t find_foreign(struct slice text, size_t from)
{
    size_t at = from;
    for (; at + 2 * (size_t)WIDTH <= text.len; at += 2 * (size_t)WIDTH)
        if (any((load(text.ptr + at) | load(text.ptr + at + WIDTH)) & all(0x80)))
            break;
    while (at < text.len && text.ptr[at] < 0x80)
        at++;
    return at;
}
