/* buf.c: growing buffers with a hard maximum, and the little-endian forms of our own formats. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define BUF_FIRST 64

struct buf buf_new(size_t max)
{
    return (struct buf){.max = max};
}

void buf_free(struct buf *b)
{
    if (!b)
        return;
    free(b->data);
    *b = buf_new(b->max);
}

bool buf_ok(const struct buf *b)
{
    return !b->overflow;
}

struct slice buf_slice(const struct buf *b)
{
    return (struct slice){b->data, b->len};
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->overflow = false;
}

void buf_consume(struct buf *b, size_t len)
{
    if (len >= b->len) {
        b->len = 0;
        return;
    }
    if (len == 0)
        return;
    memmove(b->data, b->data + len, b->len - len);
    b->len -= len;
}

void buf_truncate(struct buf *b, size_t len)
{
    if (len < b->len)
        b->len = len;
}

uint8_t *buf_reserve(struct buf *b, size_t want)
{
    if (want > b->max || b->len > b->max - want) {
        b->overflow = true;
        return NULL;
    }
    if (!b->data || b->cap - b->len < want) { /* also for nothing: no pointer is made from NULL */
        size_t cap = b->cap ? b->cap : BUF_FIRST;
        while (cap < b->len + want)
            cap *= 2;
        if (cap > b->max)
            cap = b->max;
        b->data = mem_realloc(b->data, cap);
        b->cap = cap;
    }
    return b->data + b->len;
}

void buf_added(struct buf *b, size_t len)
{
    b->len += len;
}

void buf_add(struct buf *b, struct slice s)
{
    if (s.len == 0)
        return;
    uint8_t *at = buf_reserve(b, s.len);
    if (!at)
        return;
    memcpy(at, s.ptr, s.len);
    b->len += s.len;
}

void buf_add_byte(struct buf *b, uint8_t byte)
{
    if (b->len < b->cap && b->len < b->max) {
        b->data[b->len++] = byte;
        return;
    }
    buf_add(b, slice_make(&byte, 1));
}

void buf_add_str(struct buf *b, const char *text)
{
    buf_add(b, slice_of(text));
}

void buf_add_u64(struct buf *b, uint64_t decimal)
{
    uint8_t digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (uint8_t)('0' + decimal % 10);
        decimal /= 10;
    } while (decimal);
    buf_add(b, slice_make(digits + at, sizeof digits - at));
}

/* Bytes at the front that stand in a JSON string as they are. */
static size_t plain_in_json(struct slice text)
{
    size_t i = 0;
    while (i < text.len && text.ptr[i] >= 0x20 && text.ptr[i] < 0x7f && text.ptr[i] != '"' &&
           text.ptr[i] != '\\')
        i++;
    return i;
}

/* Adds the character at the front, which is no plain one; answers its length. */
static size_t add_json_character(struct buf *b, struct slice text)
{
    uint8_t c = text.ptr[0];
    size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    bool whole = len <= text.len && slice_is_utf8(slice_sub(text, 0, len));
    if (!whole)
        buf_add_str(b, "\\ufffd");
    else if (c == '"' || c == '\\')
        buf_addf(b, "\\%c", c);
    else if (len == 1)
        buf_addf(b, "\\u%04x", c);
    else
        buf_add(b, slice_sub(text, 0, len));
    return whole ? len : 1;
}

void buf_add_json_string(struct buf *b, struct slice text)
{
    buf_add_byte(b, '"');
    while (text.len) {
        size_t plain = plain_in_json(text);
        buf_add(b, slice_sub(text, 0, plain));
        text = slice_from(text, plain);
        if (text.len)
            text = slice_from(text, add_json_character(b, text));
    }
    buf_add_byte(b, '"');
}

void buf_addf(struct buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    /* vsnprintf needs room for a NUL, which is not kept. */
    size_t want = len > 0 ? (size_t)len : 0;
    if (want && want <= b->max && b->len <= b->max - want) {
        size_t max = b->max;
        b->max = max + 1;
        uint8_t *at = buf_reserve(b, want + 1);
        b->max = max;
        if (at) {
            (void)vsnprintf((char *)at, want + 1, format, again);
            b->len += want;
        }
    } else if (want) {
        b->overflow = true;
    }
    va_end(again);
}

uint8_t *buf_take(struct buf *b, size_t *len)
{
    uint8_t *data = b->len ? b->data : NULL;
    if (!data)
        free(b->data);
    *len = b->len;
    *b = buf_new(b->max);
    return data;
}

static void add_le(struct buf *b, uint64_t v, size_t bytes)
{
    uint8_t *at = buf_reserve(b, bytes);
    if (!at)
        return;
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(v >> (8 * i));
    b->len += bytes;
}

void buf_add_le16(struct buf *b, uint16_t v)
{
    add_le(b, v, 2);
}

void buf_add_le32(struct buf *b, uint32_t v)
{
    add_le(b, v, 4);
}

void buf_add_le64(struct buf *b, uint64_t v)
{
    add_le(b, v, 8);
}

void buf_add_varint(struct buf *b, uint64_t v)
{
    while (v >= 0x80) {
        buf_add_byte(b, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    buf_add_byte(b, (uint8_t)v);
}

static bool take_le(struct slice *s, uint64_t *v, size_t bytes)
{
    if (s->len < bytes)
        return false;
    *v = 0;
    for (size_t i = 0; i < bytes; i++)
        *v |= (uint64_t)s->ptr[i] << (8 * i);
    *s = slice_from(*s, bytes);
    return true;
}

bool slice_take_u8(struct slice *s, uint8_t *v)
{
    uint64_t wide;
    if (!take_le(s, &wide, 1))
        return false;
    *v = (uint8_t)wide;
    return true;
}

bool slice_take_le16(struct slice *s, uint16_t *v)
{
    uint64_t wide;
    if (!take_le(s, &wide, 2))
        return false;
    *v = (uint16_t)wide;
    return true;
}

bool slice_take_le32(struct slice *s, uint32_t *v)
{
    uint64_t wide;
    if (!take_le(s, &wide, 4))
        return false;
    *v = (uint32_t)wide;
    return true;
}

bool slice_take_le64(struct slice *s, uint64_t *v)
{
    return take_le(s, v, 8);
}

bool slice_take_varint(struct slice *s, uint64_t *v)
{
    uint64_t value = 0;
    for (size_t i = 0; i < s->len && i < 10; i++) {
        uint8_t byte = s->ptr[i];
        if (i == 9 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80)) {
            *v = value;
            *s = slice_from(*s, i + 1);
            return true;
        }
    }
    return false;
}

bool slice_take_bytes(struct slice *s, size_t len, struct slice *bytes)
{
    if (s->len < len)
        return false;
    *bytes = slice_sub(*s, 0, len);
    *s = slice_from(*s, len);
    return true;
}
