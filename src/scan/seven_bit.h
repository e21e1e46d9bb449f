/* seven_bit.h: a message for a server without 8BITMIME (RFC 6152 section 3): the same message with every part
 * that holds 8-bit bytes encoded anew. */
#ifndef SCAN_SEVEN_BIT_H
#define SCAN_SEVEN_BIT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/* More than any result needs: see QP_SHARE in seven_bit.c. */
#define SEVEN_BIT_MAX(size) (2 * (size) + ((size_t)1 << 20))

/* Appends the converted message to `out` (made with SEVEN_BIT_MAX). Parts that are 7-bit already stay as they
 * are, byte by byte. ERR_REFUSED where the conversion would break a signature (a DKIM-Signature on the whole,
 * multipart/signed around what must be changed), where a header itself holds 8-bit bytes, or where the
 * structure is beyond our bounds; `why` says which. */
enum err seven_bit_convert(struct arena *arena, struct slice message, struct buf *out,
                           struct why *why) MUST_CHECK;

#endif
