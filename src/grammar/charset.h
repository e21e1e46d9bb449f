/* charset.h: text of any charset to UTF-8, with ICU. Never fails: what cannot be read becomes U+FFFD. */
#ifndef GRAMMAR_CHARSET_H
#define GRAMMAR_CHARSET_H

#include "base/buf.h"
#include "base/slice.h"

#define CHARSET_NAME_MAX 60 /* longer names are unknown ones */

/* Converters opened so far, for one thread: opening one costs far more than using it. Pure functions take it
 * as an argument, so that there is no hidden state. */
struct charset_set;
struct charset_set *charset_set_new(void) __attribute__((returns_nonnull));
/* Clears the caller's pointer; takes NULL. */
void charset_set_free(struct charset_set **set);

/* Makes ICU load what it needs, so that no file is opened later. Once per process, before it is confined. */
void charset_load(void);

/* Appends `bytes`, read as `charset` (any case; empty: unknown), as well-formed UTF-8 without NUL. ASCII and
 * UTF-8 pass unchanged under any name that is a superset of ASCII; a wrong "us-ascii" or an unknown charset
 * reads as UTF-8 where that is well-formed, else as windows-1252, which mail programs do too (WHATWG
 * Encoding, section 4.2). The output stops at the maximum of `out`, never inside a character; the result is
 * false then and `out` is not marked as overflowed. */
bool charset_to_utf8(struct charset_set *set, struct slice charset, struct slice bytes, struct buf *out);
/* Whether `bytes` in that charset are well-formed UTF-8 without NUL as they stand: conversion would change
 * nothing. */
bool charset_is_plain(struct slice charset, struct slice bytes);
/* Whether bytes below 0x80 may mean something else than ASCII in it: escape sequences, shifts, wide units.
 * Such texts must not be glued together before conversion. */
bool charset_is_stateful(struct slice charset);
/* Whether text in that charset can be read: known to us or ICU. */
bool charset_is_known(struct charset_set *set, struct slice charset);

/* `s` cut to at most `max` bytes, not inside a UTF-8 character. */
struct slice utf8_cut(struct slice s, size_t max);
/* Appends well-formed UTF-8 in lower case for comparison (simple case folding of Unicode; no normalisation).
 */
void utf8_fold(struct slice text, struct buf *out);

#endif
