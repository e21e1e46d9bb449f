/* mutf7.c: modified UTF-7. Mailbox names from IMAP clients; trusts none. */
#include "grammar/mutf7.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/* UTF-16 units gathered from the base64 of one shift. */
struct shift {
    uint32_t bits;
    unsigned held;
    uint32_t high; /* a high surrogate that waits for its low one, or 0 */
};

static int letter_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (ascii_is_digit(c))
        return c - '0' + 52;
    return c == '+' ? 62 : c == ',' ? 63 : -1;
}

static size_t put_utf8(uint8_t *out, uint32_t point)
{
    if (point < 0x800) {
        out[0] = (uint8_t)(0xc0 | point >> 6);
        out[1] = (uint8_t)(0x80 | (point & 0x3f));
        return 2;
    }
    size_t len = point < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, point >>= 6)
        out[i] = (uint8_t)(0x80 | (point & 0x3f));
    out[0] = (uint8_t)((0xf00u >> len) | point);
    return len;
}

/* One unit: what could stand as itself, NUL, and surrogates out of order are refused. Controls may only come
 * this way. */
static bool put_unit(struct shift *s, uint32_t unit, uint8_t *out, size_t *len)
{
    bool low = unit >= 0xdc00 && unit <= 0xdfff, high = unit >= 0xd800 && unit <= 0xdbff;
    if (low != (s->high != 0) || unit == 0 || (unit >= 0x20 && unit < 0x7f))
        return false;
    if (high) {
        s->high = unit;
        return true;
    }
    uint32_t point = low ? 0x10000 + ((s->high - 0xd800) << 10) + (unit - 0xdc00) : unit;
    s->high = 0;
    if (point < 0x80)
        out[(*len)++] = (uint8_t)point;
    else
        *len += put_utf8(out + *len, point);
    return true;
}

/* modified base64 up to "-"; `*at` stands behind the "&" and is left behind the "-". */
static bool take_shift(struct slice text, size_t *at, uint8_t *out, size_t *len)
{
    struct shift s = {0};
    size_t start = *at;
    for (; *at < text.len && text.ptr[*at] != '-'; (*at)++) {
        int value = letter_value(text.ptr[*at]);
        if (value < 0)
            return false;
        s.bits = s.bits << 6 | (uint32_t)value;
        s.held += 6;
        if (s.held >= 16) {
            s.held -= 16;
            if (!put_unit(&s, s.bits >> s.held & 0xffff, out, len))
                return false;
        }
    }
    bool padded = s.held >= 6 || (s.bits & ((1u << s.held) - 1)) != 0;
    if (*at == text.len || *at == start || padded || s.high)
        return false;
    (*at)++;
    return true;
}

bool mutf7_to_utf8_in(struct arena *arena, struct slice mutf7, struct slice *utf8)
{
    /* 8 characters of base64 hold 3 units of at most 3 bytes each; the rest does not grow. */
    uint8_t *out = arena_must(arena, mutf7.len / 8 * 9 + 16);
    size_t len = 0;
    bool shifted = false; /* the last thing was a shift: another one right behind it is needless */
    for (size_t at = 0; at < mutf7.len;) {
        uint8_t c = mutf7.ptr[at++];
        if (!ascii_is_print(c))
            return false;
        if (c == '&' && at < mutf7.len && mutf7.ptr[at] != '-') {
            if (shifted || !take_shift(mutf7, &at, out, &len))
                return false;
            shifted = true;
            continue;
        }
        if (c == '&' && at++ >= mutf7.len)
            return false;
        out[len++] = c;
        shifted = false;
    }
    *utf8 = slice_make(out, len);
    return true;
}

/* The next character of checked UTF-8. */
static uint32_t take_point(struct slice text, size_t *at)
{
    uint8_t lead = text.ptr[(*at)++];
    if (lead < 0x80)
        return lead;
    unsigned more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    uint32_t point = lead & (0x3fu >> more);
    for (; more; more--)
        point = point << 6 | (text.ptr[(*at)++] & 0x3f);
    return point;
}

static void put_bits(struct shift *s, uint32_t unit, uint8_t *out, size_t *len)
{
    s->bits = s->bits << 16 | unit;
    s->held += 16;
    while (s->held >= 6) {
        s->held -= 6;
        out[(*len)++] = (uint8_t)letters[s->bits >> s->held & 63];
    }
}

/* A run of characters that cannot stand as themselves. */
static void put_shift(struct slice utf8, size_t *at, uint8_t *out, size_t *len)
{
    struct shift s = {0};
    out[(*len)++] = '&';
    while (*at < utf8.len && !ascii_is_print(utf8.ptr[*at])) {
        uint32_t point = take_point(utf8, at);
        if (point >= 0x10000) {
            put_bits(&s, 0xd800 + ((point - 0x10000) >> 10), out, len);
            point = 0xdc00 + ((point - 0x10000) & 0x3ff);
        }
        put_bits(&s, point, out, len);
    }
    if (s.held)
        out[(*len)++] = (uint8_t)letters[s.bits << (6 - s.held) & 63];
    out[(*len)++] = '-';
}

bool mutf7_from_utf8_in(struct arena *arena, struct slice utf8, struct slice *mutf7)
{
    if (!slice_is_utf8(utf8) || slice_find(utf8, 0) >= 0)
        return false;
    /* The worst is a lone control or two-byte character between ASCII: "&" 3 letters "-". */
    uint8_t *out = arena_must(arena, utf8.len * 5 + 1);
    size_t len = 0;
    for (size_t at = 0; at < utf8.len;) {
        uint8_t c = utf8.ptr[at];
        if (!ascii_is_print(c)) {
            put_shift(utf8, &at, out, &len);
            continue;
        }
        out[len++] = c;
        if (c == '&')
            out[len++] = '-';
        at++;
    }
    *mutf7 = slice_make(out, len);
    return true;
}
