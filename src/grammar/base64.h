/* base64.h: base64, quoted-printable and hexadecimal, strict for protocols and tolerant for mail. Pure.
 *
 * Encoders and decoders add to a buf; what does not fit marks the buf as overflowed (see base/buf.h). The
 * decoders with a state may be fed any cut of the input. At the maximum they stop: what was written is a
 * prefix of the whole, with less than 1,100 bytes left free.
 */
#ifndef GRAMMAR_BASE64_H
#define GRAMMAR_BASE64_H

#include "base/arena.h"
#include "base/buf.h"

/* RFC 4648 sections 4 and 5. `line` is the number of characters after which CRLF is put (a multiple of 4; 76
 * for MIME); 0: none. With lines, the last one ends in CRLF too. */
void base64_encode(struct buf *out, struct slice bytes, size_t line);
struct slice base64_encode_in(struct arena *arena, struct slice bytes);
/* URL alphabet, no padding. */
void base64url_encode(struct buf *out, struct slice bytes);
/* Strict: whole groups, padding where due, zero bits behind the end, nothing else. */
bool base64_decode_in(struct arena *arena, struct slice text, struct slice *bytes) MUST_CHECK;
/* Strict, URL alphabet, without padding. */
bool base64url_decode_in(struct arena *arena, struct slice text, struct slice *bytes) MUST_CHECK;

/* Tolerant: other characters are skipped; '=' ends a group, and what follows starts afresh (parts glued
 * together). */
struct base64_decoder {
    uint32_t bits;
    uint8_t count;
};
void base64_feed(struct base64_decoder *decoder, struct slice text, struct buf *out);
/* Writes what an unfinished last group holds. */
void base64_finish(struct base64_decoder *decoder, struct buf *out);

/* Tolerant quoted-printable (RFC 2045 section 6.7): a wrong escape stays as it is, blanks at the end of a
 * line go, soft breaks with LF or CRLF. `underscore` gives the Q encoding of RFC 2047 section 4.2 ("_" is a
 * blank). Starts zeroed. */
#define QP_HOLD_MAX 1024 /* blanks held back until it is known what follows; a longer run is let through */
struct qp_decoder {
    bool underscore;
    uint8_t hold_len; /* of an escape: "=", "=A", "=\r" */
    uint8_t hold[3];
    uint16_t blanks_len;
    uint8_t blanks[QP_HOLD_MAX];
};
void qp_feed(struct qp_decoder *decoder, struct slice text, struct buf *out);
void qp_finish(struct qp_decoder *decoder, struct buf *out);
/* Encodes text whose lines end in CRLF (kept as line ends); lines of at most 76 characters. No line
 * of the result starts with a dot, with "From " or with "--" (RFC 2045 section 6.7, RFC 2046 section 5.1.1).
 */
void qp_encode(struct buf *out, struct slice text);

/* Lower-case digits. */
void hex_encode(struct buf *out, struct slice bytes);
struct slice hex_encode_in(struct arena *arena, struct slice bytes);
/* Pairs of digits in either case, nothing else. */
bool hex_decode_in(struct arena *arena, struct slice text, struct slice *bytes) MUST_CHECK;

#endif
