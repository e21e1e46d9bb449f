/* xtext.c: the encodings of DSN parameters. Decodes what an SMTP client sent; trusts none of it. */
#include "grammar/xtext.h"

/* xchar = any ASCII CHAR between "!" (33) and "~" (126) inclusive, except for "+" and "="  (RFC 3461 section
 * 4) */
static bool is_xchar(uint8_t c)
{
    return c > ' ' && c < 0x7f && c != '+' && c != '=';
}

void xtext_encode(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (is_xchar(text.ptr[i]))
            buf_add_byte(out, text.ptr[i]);
        else
            buf_addf(out, "+%02X", text.ptr[i]);
    }
}

/* xtext = *( xchar / hexchar );  hexchar = "+" 2(%x30-39 / %x41-46) */
bool xtext_decode_in(struct arena *arena, struct slice xtext, struct slice *text)
{
    uint8_t *out = arena_must(arena, xtext.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < xtext.len; i++) {
        uint8_t c = xtext.ptr[i];
        if (c == '+') {
            uint64_t byte;
            struct slice digits = slice_sub(xtext, i + 1, 2);
            if (digits.len != 2 || !slice_hex64(digits, &byte))
                return false;
            c = (uint8_t)byte;
            i += 2;
        } else if (!is_xchar(c)) {
            return false;
        }
        out[len++] = c;
    }
    *text = slice_make(out, len);
    return true;
}

/* QCHAR = %x21-2a / %x2c-3c / %x3e-5b / %x5d-7e  (RFC 6533 section 3) */
static bool is_qchar(uint8_t c)
{
    return is_xchar(c) && c != '\\';
}

void xtext_encode_utf8(struct buf *out, struct slice utf8)
{
    for (size_t i = 0; i < utf8.len; i++) {
        uint8_t c = utf8.ptr[i];
        if (c >= 0x80 || is_qchar(c))
            buf_add_byte(out, c);
        else
            buf_addf(out, "\\x{%02X}", c);
    }
}

/* The character at the front as a code point; U+FFFD for a byte that belongs to none. */
static uint32_t take_point(struct slice *s)
{
    uint8_t c = s->ptr[0];
    size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    struct slice one = slice_sub(*s, 0, len);
    bool sound = one.len == len && slice_is_utf8(one);
    uint32_t point = len == 1 ? c : c & (0x7fu >> len);
    for (size_t i = 1; sound && i < len; i++)
        point = point << 6 | (one.ptr[i] & 0x3fu);
    *s = slice_from(*s, sound ? len : 1);
    return sound ? point : 0xfffd;
}

/* utf-8-addr-xtext = *(QCHAR / EmbeddedUnicodeChar)  (RFC 6533 section 3) */
void xtext_encode_ascii(struct buf *out, struct slice utf8)
{
    while (utf8.len && buf_ok(out)) {
        uint32_t point = take_point(&utf8);
        if (point < 0x80 && is_qchar((uint8_t)point))
            buf_add_byte(out, (uint8_t)point);
        else
            buf_addf(out, "\\x{%02X}", (unsigned)point);
    }
}

static size_t put_utf8(uint8_t *out, uint64_t point)
{
    if (point < 0x80) {
        out[0] = (uint8_t)point;
        return 1;
    }
    size_t len = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, point >>= 6)
        out[i] = (uint8_t)(0x80 | (point & 0x3f));
    out[0] = (uint8_t)((0xf00u >> len) | point);
    return len;
}

/* EmbeddedUnicodeChar = %x5C.78 "{" HEXPOINT "}"; at least 2 and at most 6 digits. Answers its length or 0.
 * The escape is at least six bytes long, so what it decodes to (at most four) always fits where it stood. */
static size_t take_embedded(struct slice s, uint8_t *out, size_t *len)
{
    uint64_t point;
    ptrdiff_t close = slice_find(slice_sub(s, 0, 10), '}');
    if (!slice_starts(s, SLICE("\\x{")) || close < 5 ||
        !slice_hex64(slice_sub(s, 3, (size_t)close - 3), &point) || point == 0 || point > 0x10ffff ||
        (point >= 0xd800 && point <= 0xdfff))
        return 0;
    *len += put_utf8(out + *len, point);
    return (size_t)close + 1;
}

bool xtext_decode_utf8_in(struct arena *arena, struct slice xtext, struct slice *utf8)
{
    if (!slice_is_utf8(xtext))
        return false;
    uint8_t *out = arena_must(arena, xtext.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < xtext.len;) {
        uint8_t c = xtext.ptr[i];
        if (c == '\\') {
            size_t used = take_embedded(slice_from(xtext, i), out, &len);
            if (!used)
                return false;
            i += used;
            continue;
        }
        if (c < 0x80 && !is_qchar(c))
            return false;
        out[len++] = c;
        i++;
    }
    *utf8 = slice_make(out, len);
    return true;
}

/* original-recipient-address = addr-type ";" generic-address; addr-type = atom, of which letters, digits and
 * "-" are taken (RFC 3461 section 4.2). No address of a mailbox begins so: behind such letters stands '@' in
 * it. */
struct slice xtext_orcpt_split(struct slice orcpt, struct slice *type)
{
    size_t len = 0;
    while (len < orcpt.len && (ascii_is_alnum(orcpt.ptr[len]) || orcpt.ptr[len] == '-'))
        len++;
    bool typed = len > 0 && len < orcpt.len && orcpt.ptr[len] == ';';
    *type = slice_sub(orcpt, 0, typed ? len : 0);
    return slice_from(orcpt, typed ? len + 1 : 0);
}
