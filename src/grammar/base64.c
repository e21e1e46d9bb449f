/* base64.c: base64 and hexadecimal. The strict decoders read SASL and settings, the tolerant one whatever
 * mail holds. */
#include "grammar/base64.h"

#include <string.h>

/* Bytes decoded before they are added to the output at once. */
#define PIECE 768
#define NONE  0xff

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Values of '+' (0x2b) to 'z'. */
#define TABLE_FIRST '+'
static const uint8_t values['z' - TABLE_FIRST + 1] = {
    62,   NONE, NONE, NONE, 63,   52,   53, 54, 55, 56, 57, 58, 59, 60, 61, NONE,
    NONE, NONE, NONE, NONE, NONE, NONE, 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,
    10,   11,   12,   13,   14,   15,   16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
    NONE, NONE, NONE, NONE, NONE, NONE, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35,
    36,   37,   38,   39,   40,   41,   42, 43, 44, 45, 46, 47, 48, 49, 50, 51,
};

static uint8_t value_of(uint8_t c)
{
    uint8_t index = (uint8_t)(c - TABLE_FIRST);
    return index < sizeof values ? values[index] : NONE;
}

static uint8_t url_value_of(uint8_t c)
{
    if (c == '-' || c == '_')
        return c == '-' ? 62 : 63;
    return c == '+' || c == '/' ? NONE : value_of(c);
}

/* One to three bytes as characters without padding; answers how many. */
static size_t encode_group(const char *letters, const uint8_t *p, size_t len, uint8_t out[4])
{
    uint32_t bits = (uint32_t)p[0] << 16 | (len > 1 ? (uint32_t)p[1] << 8 : 0) | (len > 2 ? p[2] : 0u);
    for (size_t i = 0; i <= len; i++)
        out[i] = (uint8_t)letters[bits >> (18 - 6 * i) & 63];
    return len + 1;
}

static void encode(struct buf *out, const char *letters, struct slice bytes, size_t line, bool pad)
{
    size_t column = 0;
    for (size_t at = 0; at < bytes.len; at += 3) {
        uint8_t group[4] = {'=', '=', '=', '='};
        size_t left = bytes.len - at;
        size_t len = encode_group(letters, bytes.ptr + at, left < 3 ? left : 3, group);
        buf_add(out, slice_make(group, pad ? 4 : len));
        column += 4;
        if (line && (column >= line || left <= 3)) {
            buf_add(out, SLICE("\r\n"));
            column = 0;
        }
    }
}

void base64_encode(struct buf *out, struct slice bytes, size_t line)
{
    encode(out, alphabet, bytes, line, true);
}

void base64url_encode(struct buf *out, struct slice bytes)
{
    encode(out, url_alphabet, bytes, 0, false);
}

struct slice base64_encode_in(struct arena *arena, struct slice bytes)
{
    uint8_t *text = arena_must(arena, bytes.len / 3 * 4 + 4);
    size_t len = 0;
    for (size_t at = 0; at < bytes.len; at += 3) {
        size_t left = bytes.len - at;
        memset(text + len, '=', 4);
        (void)encode_group(alphabet, bytes.ptr + at, left < 3 ? left : 3, text + len);
        len += 4;
    }
    return slice_make(text, len);
}

/* Characters without padding to bytes; every bit behind the last whole byte must be zero (RFC 4648
 * section 3.5). */
static bool decode_strict(struct arena *arena, struct slice text, uint8_t (*value)(uint8_t),
                          struct slice *bytes)
{
    if (text.len % 4 == 1)
        return false;
    uint8_t *out = arena_must(arena, text.len / 4 * 3 + 3);
    size_t len = 0;
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t v = value(text.ptr[i]);
        if (v == NONE)
            return false;
        bits = bits << 6 | v;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[len++] = (uint8_t)(bits >> held);
        }
    }
    if (bits & ((1u << held) - 1))
        return false;
    *bytes = slice_make(out, len);
    return true;
}

/* base64 = *(4base64-char) [2base64-char "==" / 3base64-char "="]  (RFC 4954 section 8) */
bool base64_decode_in(struct arena *arena, struct slice text, struct slice *bytes)
{
    if (text.len % 4)
        return false;
    for (int i = 0; i < 2 && text.len && text.ptr[text.len - 1] == '='; i++)
        text.len--;
    return decode_strict(arena, text, value_of, bytes);
}

bool base64url_decode_in(struct arena *arena, struct slice text, struct slice *bytes)
{
    return decode_strict(arena, text, url_value_of, bytes);
}

/* What 2 or 3 characters of an unfinished group hold; a lone one holds nothing. */
static size_t flush_group(struct base64_decoder *decoder, uint8_t *piece)
{
    size_t len = decoder->count > 1 ? decoder->count - 1u : 0;
    uint32_t bits = decoder->bits << (6 * (4 - decoder->count));
    for (size_t i = 0; i < len; i++)
        piece[i] = (uint8_t)(bits >> (16 - 8 * i));
    *decoder = (struct base64_decoder){0};
    return len;
}

void base64_feed(struct base64_decoder *decoder, struct slice text, struct buf *out)
{
    uint8_t piece[PIECE];
    size_t len = 0;
    for (size_t i = 0; i < text.len && buf_ok(out); i++) {
        uint8_t v = value_of(text.ptr[i]);
        if (v == NONE && text.ptr[i] != '=')
            continue;
        if (v != NONE) {
            decoder->bits = decoder->bits << 6 | v;
            decoder->count++;
        }
        if (v == NONE || decoder->count == 4)
            len += flush_group(decoder, piece + len);
        if (len + 3 > sizeof piece) {
            buf_add(out, slice_make(piece, len));
            len = 0;
        }
    }
    buf_add(out, slice_make(piece, len));
}

void base64_finish(struct base64_decoder *decoder, struct buf *out)
{
    uint8_t piece[3];
    size_t len = flush_group(decoder, piece);
    if (buf_ok(out))
        buf_add(out, slice_make(piece, len));
}

static const char hex_digits[] = "0123456789abcdef";

void hex_encode(struct buf *out, struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        buf_add_byte(out, (uint8_t)hex_digits[bytes.ptr[i] >> 4]);
        buf_add_byte(out, (uint8_t)hex_digits[bytes.ptr[i] & 15]);
    }
}

struct slice hex_encode_in(struct arena *arena, struct slice bytes)
{
    uint8_t *text = arena_must(arena, bytes.len * 2 + 1);
    for (size_t i = 0; i < bytes.len; i++) {
        text[2 * i] = (uint8_t)hex_digits[bytes.ptr[i] >> 4];
        text[2 * i + 1] = (uint8_t)hex_digits[bytes.ptr[i] & 15];
    }
    return slice_make(text, bytes.len * 2);
}

bool hex_decode_in(struct arena *arena, struct slice text, struct slice *bytes)
{
    if (text.len % 2)
        return false;
    uint8_t *out = arena_must(arena, text.len / 2 + 1);
    for (size_t i = 0; i < text.len; i += 2) {
        int high = ascii_hex_value(text.ptr[i]), low = ascii_hex_value(text.ptr[i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i / 2] = (uint8_t)(high << 4 | low);
    }
    *bytes = slice_make(out, text.len / 2);
    return true;
}
