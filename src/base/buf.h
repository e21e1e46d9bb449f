/* buf.h: a growing byte buffer with a hard maximum fixed at creation.
 *
 * Writing past the maximum changes nothing and marks the buffer as overflowed; the writer may go on and ask
 * once, at the end, with buf_ok(). Running out of memory ends the process (see mem.h).
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/slice.h"

struct buf {
    uint8_t *data;
    size_t len, cap, max;
    bool overflow;
};

/* An empty buffer that may grow to `max` bytes. No memory is taken before the first write. */
struct buf buf_new(size_t max);
/* Frees the memory and leaves an empty buffer with the same maximum. Takes NULL. */
void buf_free(struct buf *b);
/* Frees on leaving the scope: AUTO_BUF struct buf b = buf_new(1000); */
#define AUTO_BUF __attribute__((cleanup(buf_free)))

/* True while nothing was written past the maximum. */
bool buf_ok(const struct buf *b) MUST_CHECK;
struct slice buf_slice(const struct buf *b);
/* Empties the buffer and clears the overflow; keeps the memory. */
void buf_clear(struct buf *b);
/* Drops `len` bytes from the front (all if there are fewer). */
void buf_consume(struct buf *b, size_t len);
/* Cuts the buffer to its first `len` bytes. */
void buf_truncate(struct buf *b, size_t len);

void buf_add(struct buf *b, struct slice s);
void buf_add_byte(struct buf *b, uint8_t byte);
void buf_add_str(struct buf *b, const char *text);
void buf_add_u64(struct buf *b, uint64_t decimal);
/* The text as a JSON string, quotes included (RFC 8259 section 7): quotes, backslashes and control bytes are
 * escaped, and each byte that is no UTF-8 becomes U+FFFD. */
void buf_add_json_string(struct buf *b, struct slice text);
/* printf; our own formats only. */
void buf_addf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* At least `want` writable bytes at the end, or NULL (overflow) past the maximum; then buf_added(). */
uint8_t *buf_reserve(struct buf *b, size_t want);
void buf_added(struct buf *b, size_t len);
/* The memory of the buffer as a malloc'ed block the caller frees (NULL when empty); the buffer is empty
 * after. */
uint8_t *buf_take(struct buf *b, size_t *len);

/* Little-endian integers, for our own formats. */
void buf_add_le16(struct buf *b, uint16_t v);
void buf_add_le32(struct buf *b, uint32_t v);
void buf_add_le64(struct buf *b, uint64_t v);
/* Unsigned LEB128. */
void buf_add_varint(struct buf *b, uint64_t v);

/* Readers for the same forms: take from the front of `*s`; false (and nothing taken) when there is too
 * little. */
bool slice_take_u8(struct slice *s, uint8_t *v) MUST_CHECK;
bool slice_take_le16(struct slice *s, uint16_t *v) MUST_CHECK;
bool slice_take_le32(struct slice *s, uint32_t *v) MUST_CHECK;
bool slice_take_le64(struct slice *s, uint64_t *v) MUST_CHECK;
bool slice_take_varint(struct slice *s, uint64_t *v) MUST_CHECK;
bool slice_take_bytes(struct slice *s, size_t len, struct slice *bytes) MUST_CHECK;

#endif
