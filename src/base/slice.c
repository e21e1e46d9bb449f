/* slice.c: operations on runs of bytes. Trusts only the lengths its callers made; called by everything. */
#include "base/slice.h"

#include <string.h>

struct slice slice_of(const char *text)
{
    return (struct slice){(const uint8_t *)text, text ? strlen(text) : 0};
}

struct slice slice_make(const void *ptr, size_t len)
{
    return (struct slice){ptr, len};
}

uint8_t ascii_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

uint8_t ascii_upper(uint8_t c)
{
    return c >= 'a' && c <= 'z' ? (uint8_t)(c & ~0x20) : c;
}

bool ascii_is_alpha(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

bool ascii_is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

bool ascii_is_alnum(uint8_t c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c);
}

bool ascii_is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool ascii_is_print(uint8_t c)
{
    return c >= 0x20 && c < 0x7f;
}

int ascii_hex_value(uint8_t c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static bool ieq_bytes(const uint8_t *a, const uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (ascii_lower(a[i]) != ascii_lower(b[i]))
            return false;
    return true;
}

bool slice_ieq(struct slice a, struct slice b)
{
    return a.len == b.len && ieq_bytes(a.ptr, b.ptr, a.len);
}

int slice_cmp(struct slice a, struct slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common ? memcmp(a.ptr, b.ptr, common) : 0;
    if (order)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

bool slice_starts(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_eq(slice_sub(s, 0, prefix.len), prefix);
}

bool slice_istarts(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_ieq(slice_sub(s, 0, prefix.len), prefix);
}

bool slice_ends(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len && slice_eq(slice_from(s, s.len - suffix.len), suffix);
}

bool slice_iends(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len && slice_ieq(slice_from(s, s.len - suffix.len), suffix);
}

ptrdiff_t slice_find(struct slice s, uint8_t byte)
{
    const uint8_t *at = s.len ? memchr(s.ptr, byte, s.len) : NULL;
    return at ? at - s.ptr : -1;
}

ptrdiff_t slice_rfind(struct slice s, uint8_t byte)
{
    const uint8_t *at = s.len ? memrchr(s.ptr, byte, s.len) : NULL;
    return at ? at - s.ptr : -1;
}

ptrdiff_t slice_search(struct slice s, struct slice needle)
{
    if (needle.len == 0)
        return 0;
    const uint8_t *at = s.len ? memmem(s.ptr, s.len, needle.ptr, needle.len) : NULL;
    return at ? at - s.ptr : -1;
}

ptrdiff_t slice_isearch(struct slice s, struct slice needle)
{
    if (needle.len == 0)
        return 0;
    if (needle.len > s.len)
        return -1;
    uint8_t first = ascii_lower(needle.ptr[0]);
    for (size_t i = 0; i + needle.len <= s.len; i++)
        if (ascii_lower(s.ptr[i]) == first && ieq_bytes(s.ptr + i, needle.ptr, needle.len))
            return (ptrdiff_t)i;
    return -1;
}

struct slice slice_from(struct slice s, size_t from)
{
    if (from >= s.len)
        return SLICE_EMPTY;
    return (struct slice){s.ptr + from, s.len - from};
}

struct slice slice_sub(struct slice s, size_t from, size_t len)
{
    struct slice part = slice_from(s, from);
    if (part.len > len)
        part.len = len;
    return part;
}

struct slice slice_trim(struct slice s)
{
    while (s.len && ascii_is_space(s.ptr[0]))
        s.ptr++, s.len--;
    while (s.len && ascii_is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool slice_token(struct slice *rest, uint8_t sep, struct slice *token)
{
    if (rest->len == 0)
        return false;
    ptrdiff_t at = slice_find(*rest, sep);
    if (at < 0) {
        *token = *rest;
        *rest = SLICE_EMPTY;
        return true;
    }
    *token = slice_sub(*rest, 0, (size_t)at);
    *rest = slice_from(*rest, (size_t)at + 1);
    return true;
}

bool slice_u64(struct slice s, uint64_t max, uint64_t *number)
{
    uint64_t value = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!ascii_is_digit(s.ptr[i]))
            return false;
        uint64_t digit = (uint64_t)(s.ptr[i] - '0');
        if (value > (max - digit) / 10 || digit > max)
            return false;
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

bool slice_hex64(struct slice s, uint64_t *number)
{
    uint64_t value = 0;
    if (s.len == 0 || s.len > 16)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        int digit = ascii_hex_value(s.ptr[i]);
        if (digit < 0)
            return false;
        value = value << 4 | (uint64_t)digit;
    }
    *number = value;
    return true;
}

#define FNV_OFFSET 0xcbf29ce484222325u
#define FNV_PRIME  0x100000001b3u

uint64_t slice_hash(struct slice s, uint64_t seed)
{
    uint64_t hash = FNV_OFFSET ^ seed;
    for (size_t i = 0; i < s.len; i++)
        hash = (hash ^ s.ptr[i]) * FNV_PRIME;
    return hash ^ hash >> 32;
}

uint64_t slice_ihash(struct slice s, uint64_t seed)
{
    uint64_t hash = FNV_OFFSET ^ seed;
    for (size_t i = 0; i < s.len; i++)
        hash = (hash ^ ascii_lower(s.ptr[i])) * FNV_PRIME;
    return hash ^ hash >> 32;
}

bool slice_is_ascii(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] & 0x80)
            return false;
    return true;
}

/* Length of the well-formed sequence at the start of s, or 0. RFC 3629 section 4. */
static size_t utf8_sequence(struct slice s)
{
    uint8_t lead = s.ptr[0], low = 0x80, high = 0xbf;
    size_t len;
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf)
        len = 2;
    else if (lead >= 0xe0 && lead <= 0xef)
        len = 3, low = lead == 0xe0 ? 0xa0 : 0x80, high = lead == 0xed ? 0x9f : 0xbf;
    else if (lead >= 0xf0 && lead <= 0xf4)
        len = 4, low = lead == 0xf0 ? 0x90 : 0x80, high = lead == 0xf4 ? 0x8f : 0xbf;
    else
        return 0;
    if (s.len < len || s.ptr[1] < low || s.ptr[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((s.ptr[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

/* Eight bytes of ASCII at the start of s: most of what people write. */
static bool starts_with_ascii(struct slice s)
{
    uint64_t eight;
    if (s.len < sizeof eight)
        return false;
    memcpy(&eight, s.ptr, sizeof eight);
    return !(eight & UINT64_C(0x8080808080808080));
}

bool slice_is_utf8(struct slice s)
{
    while (s.len) {
        size_t len = starts_with_ascii(s) ? sizeof(uint64_t) : utf8_sequence(s);
        if (len == 0)
            return false;
        s = slice_from(s, len);
    }
    return true;
}
