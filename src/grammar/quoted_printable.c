/* quoted_printable.c: quoted-printable and the Q encoding, declared in base64.h. Reads whatever mail holds.
 */
#include "grammar/base64.h"

#include <string.h>

/* RFC 2045 section 6.7 rule 5: 76 characters with the "=" of a soft break. */
#define QP_LINE 76
/* Plain text copied at once; so much of a bounded output may stay unused. */
#define QP_RUN 256

static void release_blanks(struct qp_decoder *d, struct buf *out)
{
    buf_add(out, slice_make(d->blanks, d->blanks_len));
    d->blanks_len = 0;
}

/* What was held back is no escape after all. */
static void release(struct qp_decoder *d, struct buf *out)
{
    buf_add(out, slice_make(d->hold, d->hold_len));
    d->hold_len = 0;
    release_blanks(d, out);
}

static void drop(struct qp_decoder *d)
{
    d->hold_len = 0;
    d->blanks_len = 0;
}

static void hold_blank(struct qp_decoder *d, uint8_t c, struct buf *out)
{
    if (d->blanks_len == QP_HOLD_MAX)
        release(d, out);
    d->blanks[d->blanks_len++] = c;
}

/* A byte outside an escape. */
static void take_plain(struct qp_decoder *d, uint8_t c, struct buf *out)
{
    if (c == '=') {
        release_blanks(d, out); /* only a line end may drop them */
        d->hold[d->hold_len++] = c;
        return;
    }
    if ((c == ' ' || c == '\t') && !d->underscore) {
        hold_blank(d, c, out);
        return;
    }
    if (c == '\r' || c == '\n')
        d->blanks_len = 0;
    else
        release_blanks(d, out);
    buf_add_byte(out, d->underscore && c == '_' ? ' ' : c);
}

/* A byte behind "=": escape = "=" 2HEXDIG / "=" *WSP CRLF; answers whether it was used up. */
static bool take_first(struct qp_decoder *d, uint8_t c, struct buf *out)
{
    if (c == '\n') {
        drop(d);
        return true;
    }
    if (c == ' ' || c == '\t') {
        hold_blank(d, c, out);
        return true;
    }
    if (c == '\r' || (d->blanks_len == 0 && ascii_hex_value(c) >= 0)) {
        d->hold[d->hold_len++] = c;
        return true;
    }
    release(d, out);
    return false;
}

/* A byte behind "=A" or "=" CR. */
static bool take_second(struct qp_decoder *d, uint8_t c, struct buf *out)
{
    if (d->hold[1] == '\r') {
        drop(d);
        return c == '\n';
    }
    if (ascii_hex_value(c) < 0) {
        release(d, out);
        return false;
    }
    uint8_t byte = (uint8_t)(ascii_hex_value(d->hold[1]) << 4 | ascii_hex_value(c));
    drop(d);
    buf_add_byte(out, byte);
    return true;
}

/* Most text is plain: as much of the front of `s` as needs no look at single bytes is copied at once. Blanks
 * at its end are left. */
static size_t take_run(struct qp_decoder *d, struct slice s, struct buf *out)
{
    size_t len = 0;
    if (s.ptr[0] == ' ' || s.ptr[0] == '\t') /* or a long run of blanks would be searched again for each */
        return 0;
    while (len < QP_RUN && len < s.len && s.ptr[len] != '=' && s.ptr[len] != '\n' && s.ptr[len] != '\r' &&
           s.ptr[len] != '_')
        len++;
    while (len && (s.ptr[len - 1] == ' ' || s.ptr[len - 1] == '\t'))
        len--;
    if (len)
        release_blanks(d, out);
    buf_add(out, slice_sub(s, 0, len));
    return len;
}

void qp_feed(struct qp_decoder *d, struct slice text, struct buf *out)
{
    for (size_t i = 0; i < text.len && buf_ok(out); i++) {
        i += d->hold_len == 0 ? take_run(d, slice_from(text, i), out) : 0;
        if (i == text.len || !buf_ok(out))
            break;
        uint8_t c = text.ptr[i];
        bool used = d->hold_len == 1   ? take_first(d, c, out)
                    : d->hold_len == 2 ? take_second(d, c, out)
                                       : false;
        if (!used)
            take_plain(d, c, out);
    }
}

void qp_finish(struct qp_decoder *d, struct buf *out)
{
    /* "=" as the last byte is a soft break at the end of the part; "=A" is text. */
    if (d->hold_len == 2 && d->hold[1] != '\r' && buf_ok(out))
        buf_add(out, slice_make(d->hold, d->hold_len));
    drop(d);
}

static bool qp_is_literal(struct slice text, size_t at)
{
    uint8_t c = text.ptr[at];
    if (c == ' ' || c == '\t') {
        bool ends_line = at + 1 == text.len || text.ptr[at + 1] == '\r' || text.ptr[at + 1] == '\n';
        return !ends_line;
    }
    return c > ' ' && c < 0x7f && c != '=';
}

/* At the start of a line: what transports (a dot), mbox files ("From ") and multiparts (a boundary) take for
 * theirs. */
static bool qp_is_risky(struct slice rest)
{
    return slice_starts(rest, SLICE(".")) || slice_starts(rest, SLICE("--")) ||
           slice_starts(rest, SLICE("From "));
}

void qp_encode(struct buf *out, struct slice text)
{
    size_t column = 0;
    for (size_t i = 0; i < text.len; i++) {
        struct slice rest = slice_from(text, i);
        if (slice_starts(rest, SLICE("\r\n"))) {
            buf_add(out, SLICE("\r\n"));
            column = 0;
            i++;
            continue;
        }
        bool literal = qp_is_literal(text, i);
        if (column + (literal ? 1 : 3) > QP_LINE - 1) {
            buf_add(out, SLICE("=\r\n"));
            column = 0;
        }
        literal = literal && (column > 0 || !qp_is_risky(rest));
        if (literal)
            buf_add_byte(out, text.ptr[i]);
        else
            buf_addf(out, "=%02X", text.ptr[i]);
        column += literal ? 1 : 3;
    }
}
