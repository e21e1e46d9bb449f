/* slice.h: a run of bytes as pointer and length.
 *
 * Text from the network is always a slice: it may hold NUL, is never NUL-terminated and is never owned by
 * the slice itself. Whoever hands a slice out says how long the bytes behind it live.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))

struct slice {
    const uint8_t *ptr;
    size_t len;
};

/* A string literal as a slice. */
#define SLICE(literal) ((struct slice){(const uint8_t *)("" literal ""), sizeof(literal) - 1})
#define SLICE_EMPTY    ((struct slice){NULL, 0})
/* For printf's "%.*s". Only for text that was checked to be printable. */
#define SLICE_ARG(s) (int)(s).len, (const char *)((s).len ? (s).ptr : (const uint8_t *)"")

/* The bytes of a C string without its NUL; NULL gives the empty slice. For our own constants and argv. */
struct slice slice_of(const char *text);
struct slice slice_make(const void *ptr, size_t len);

/* Equality of bytes; and with ASCII letters compared without case (RFC 5234 section 2.3). */
bool slice_eq(struct slice a, struct slice b);
bool slice_ieq(struct slice a, struct slice b);
/* memcmp order, the shorter first. */
int slice_cmp(struct slice a, struct slice b);
bool slice_starts(struct slice s, struct slice prefix);
bool slice_istarts(struct slice s, struct slice prefix);
bool slice_ends(struct slice s, struct slice suffix);
bool slice_iends(struct slice s, struct slice suffix);

/* Index of the first (last) `byte`, or -1. */
ptrdiff_t slice_find(struct slice s, uint8_t byte);
ptrdiff_t slice_rfind(struct slice s, uint8_t byte);
/* Index of the first occurrence of `needle`, exactly or with ASCII case folded, or -1. */
ptrdiff_t slice_search(struct slice s, struct slice needle);
ptrdiff_t slice_isearch(struct slice s, struct slice needle);

/* The part from `from` (up to `len` bytes), clamped to the slice. */
struct slice slice_from(struct slice s, size_t from);
struct slice slice_sub(struct slice s, size_t from, size_t len);
/* Without leading and trailing SP, HTAB, CR and LF. */
struct slice slice_trim(struct slice s);
/* Takes the text up to `sep` off the front of `*rest` (and the separator too). False when `*rest` is empty.
 */
bool slice_token(struct slice *rest, uint8_t sep, struct slice *token);

/* The whole slice as a decimal number of at most `max`; false on an empty slice, other bytes or overflow. */
bool slice_u64(struct slice s, uint64_t max, uint64_t *number) MUST_CHECK;
/* The whole slice as a hexadecimal number of at most 16 digits. */
bool slice_hex64(struct slice s, uint64_t *number) MUST_CHECK;

/* A stable 64-bit hash of the bytes (FNV-1a); the second form folds ASCII case. Not for hostile hash tables
 * without `seed` being secret. */
uint64_t slice_hash(struct slice s, uint64_t seed);
uint64_t slice_ihash(struct slice s, uint64_t seed);

/* ASCII only, independent of the locale. */
uint8_t ascii_lower(uint8_t c);
uint8_t ascii_upper(uint8_t c);
bool ascii_is_alpha(uint8_t c);
bool ascii_is_digit(uint8_t c);
bool ascii_is_alnum(uint8_t c);
bool ascii_is_space(uint8_t c); /* SP, HTAB, CR, LF */
bool ascii_is_print(uint8_t c); /* 0x20 to 0x7e */
/* Value of a hexadecimal digit, or -1. */
int ascii_hex_value(uint8_t c);
/* Every byte below 0x80. */
bool slice_is_ascii(struct slice s);
/* Well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). */
bool slice_is_utf8(struct slice s);

#endif
