/* seven_bit.c: parts with 8-bit bytes become quoted-printable or base64, containers keep their boundaries
 * (RFC 2045 section 6.4, RFC 6152 section 3). Reads strangers' messages that wait in the queue; called by
 * job.c. */
#include "scan/seven_bit.h"

#include "grammar/base64.h"
#include "grammar/header.h"
#include "grammar/mime.h"

/* Text with more than a QP_SHARE-th of bytes that need an escape becomes base64. */
#define QP_SHARE    4
#define BASE64_LINE 76

struct conversion {
    struct slice message;
    struct buf *out;
    struct why *why;
};

typedef enum err convert_fn(struct conversion *c, const struct mime_part *part);
static enum err convert(struct conversion *c, const struct mime_part *part);

static struct slice bytes_of(const struct conversion *c, size_t from, size_t to)
{
    return slice_sub(c->message, from, to - from);
}

static struct slice header_of(const struct conversion *c, const struct mime_part *part)
{
    return bytes_of(c, part->header_off, part->header_off + part->header_len);
}

static struct slice body_of(const struct conversion *c, const struct mime_part *part)
{
    return bytes_of(c, part->body_off, part->body_off + part->body_len);
}

/* ---- headers ---- */

static size_t empty_line_len(struct slice header)
{
    if (slice_ends(header, SLICE("\r\n\r\n")) || slice_eq(header, SLICE("\r\n")))
        return 2;
    return slice_ends(header, SLICE("\n\n")) || slice_eq(header, SLICE("\n")) ? 1 : 0;
}

/* The header with this Content-Transfer-Encoding in place of any other, and `more` lines. */
static void put_header(struct conversion *c, const struct mime_part *part, const char *encoding,
                       struct slice more)
{
    struct slice header = header_of(c, part), fields = header;
    fields.len -= empty_line_len(header);
    struct header_iter iter = header_iter_new(fields);
    struct header_field field;
    while (header_next(&iter, &field))
        if (!header_is(&field, SLICE("Content-Transfer-Encoding")))
            buf_add(c->out, field.raw);
    if (fields.len && !slice_ends(fields, SLICE("\n")))
        buf_add_str(c->out, "\r\n");
    buf_addf(c->out, "Content-Transfer-Encoding: %s\r\n", encoding);
    buf_add(c->out, more);
    buf_add_str(c->out, "\r\n");
}

/* RFC 1428 section 3: what a message without MIME fields, but with 8-bit bytes, must be given. */
static struct slice missing_fields(const struct conversion *c, const struct mime_part *part)
{
    struct header_field field;
    struct slice header = header_of(c, part);
    if (part->parent && part->parent->kind != MIME_MESSAGE)
        return SLICE_EMPTY;
    bool version = header_find(header, SLICE("MIME-Version"), &field);
    bool type = header_find(header, SLICE("Content-Type"), &field);
    if (type)
        return version ? SLICE_EMPTY : SLICE("MIME-Version: 1.0\r\n");
    if (slice_is_utf8(body_of(c, part)))
        return version ? SLICE("Content-Type: text/plain; charset=utf-8\r\n")
                       : SLICE("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n");
    return version ? SLICE("Content-Type: text/plain; charset=unknown-8bit\r\n")
                   : SLICE("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n");
}

/* ---- leaves ---- */

/* What the body says, undone as far as it is encoded. */
static struct slice content_in(struct buf *decoded, const struct mime_part *part, struct slice body)
{
    if (part->encoding == MIME_QP) {
        struct qp_decoder decoder = {0};
        qp_feed(&decoder, body, decoded);
        qp_finish(&decoder, decoded);
        return buf_slice(decoded);
    }
    if (part->encoding == MIME_BASE64) {
        struct base64_decoder decoder = {0};
        base64_feed(&decoder, body, decoded);
        base64_finish(&decoder, decoded);
        return buf_slice(decoded);
    }
    return body;
}

/* A line end is CRLF; CR and LF alone are not. */
static bool needs_escape(struct slice content, size_t at)
{
    uint8_t c = content.ptr[at];
    if (c == '\r')
        return at + 1 == content.len || content.ptr[at + 1] != '\n';
    if (c == '\n')
        return at == 0 || content.ptr[at - 1] != '\r';
    return (!ascii_is_print(c) && c != '\t') || c == '=';
}

/* Text that people can still read becomes quoted-printable. */
static bool wants_qp(const struct mime_part *part, struct slice content)
{
    size_t escapes = 0;
    if (!mime_is(part, SLICE("text"), SLICE_EMPTY) && !mime_is(part, SLICE("message"), SLICE_EMPTY))
        return false;
    for (size_t i = 0; i < content.len; i++)
        escapes += needs_escape(content, i);
    return escapes <= content.len / QP_SHARE;
}

/* Encoded, what was no boundary in a multipart without parts might become one. */
static bool claims_multipart(struct slice header)
{
    struct header_iter iter = header_iter_new(header);
    struct header_field field;
    while (header_next(&iter, &field))
        if (header_is(&field, SLICE("Content-Type")) &&
            slice_istarts(header_skip_cfws(field.value), SLICE("multipart")))
            return true;
    return false;
}

static enum err convert_leaf(struct conversion *c, const struct mime_part *part)
{
    struct slice body = body_of(c, part);
    if (part->opaque)
        return err_set(c->why, ERR_REFUSED, "the message is nested too deeply to be converted to 7 bits");
    if (claims_multipart(header_of(c, part)))
        return err_set(c->why, ERR_REFUSED, "8-bit bytes in a multipart without parts");
    if (part->encoding == MIME_OTHER)
        return err_set(c->why, ERR_REFUSED, "8-bit bytes in a part with an unknown encoding");
    AUTO_BUF struct buf decoded = buf_new(body.len + 1);
    struct slice content = content_in(&decoded, part, body);
    bool qp = wants_qp(part, content);
    put_header(c, part, qp ? "quoted-printable" : "base64", missing_fields(c, part));
    if (qp) {
        qp_encode(c->out, content);
        return ERR_OK;
    }
    base64_encode(c->out, content, BASE64_LINE);
    if (part->parent && slice_ends(buf_slice(c->out), SLICE("\r\n")))
        buf_truncate(c->out, c->out->len - 2); /* the line end in front of the boundary follows */
    return ERR_OK;
}

/* ---- containers ---- */

/* Between the parts only what nobody reads can hold 8-bit bytes. */
static void put_gap(struct conversion *c, size_t from, size_t to)
{
    struct slice gap = bytes_of(c, from, to);
    if (slice_is_ascii(gap)) {
        buf_add(c->out, gap);
        return;
    }
    for (size_t i = 0; i < gap.len; i++)
        buf_add_byte(c->out, gap.ptr[i] & 0x80 ? '?' : gap.ptr[i]);
}

/* A container may say 8bit no more; 7bit need not be said. */
static void put_container_header(struct conversion *c, const struct mime_part *part)
{
    if (part->encoding == MIME_7BIT)
        buf_add(c->out, header_of(c, part));
    else
        put_header(c, part, "7bit", SLICE_EMPTY);
}

static enum err convert_multipart(struct conversion *c, const struct mime_part *part)
{
    size_t at = part->body_off;
    if (mime_is(part, SLICE("multipart"), SLICE("signed")))
        return err_set(c->why, ERR_REFUSED, "converting a signed part to 7 bits would break its signature");
    put_container_header(c, part);
    for (const struct mime_part *child = part->child; child; child = child->next) {
        put_gap(c, at, child->header_off);
        enum err err = convert(c, child);
        if (err)
            return err;
        at = child->body_off + child->body_len;
    }
    put_gap(c, at, part->body_off + part->body_len);
    return ERR_OK;
}

static enum err convert_message(struct conversion *c, const struct mime_part *part)
{
    if (part->encoding == MIME_QP || part->encoding == MIME_BASE64 || part->encoding == MIME_OTHER)
        return err_set(c->why, ERR_REFUSED, "8-bit bytes in an encoded message"); /* RFC 2046 section 5.2.1 */
    put_container_header(c, part);
    return convert(c, part->child);
}

/* The depth is MIME_MAX_DEPTH at most. */
static enum err convert(struct conversion *c, const struct mime_part *part)
{
    static convert_fn *const by_kind[] = {
        [MIME_LEAF] = convert_leaf, [MIME_MULTIPART] = convert_multipart, [MIME_MESSAGE] = convert_message};
    struct slice header = header_of(c, part), body = body_of(c, part);
    if (!slice_is_ascii(header))
        return err_set(c->why, ERR_REFUSED, "a header with 8-bit bytes cannot be converted to 7 bits");
    if (slice_is_ascii(body)) {
        buf_add(c->out, header);
        buf_add(c->out, body);
        return ERR_OK;
    }
    return by_kind[part->kind](c, part);
}

enum err seven_bit_convert(struct arena *arena, struct slice message, struct buf *out, struct why *why)
{
    struct conversion c = {message, out, why};
    struct header_field field;
    const struct mime_part *root = mime_parse_in(arena, message, NULL, NULL);
    if (header_find(header_of(&c, root), SLICE("DKIM-Signature"), &field))
        return err_set(why, ERR_REFUSED, "converting the message to 7 bits would break its signature");
    enum err err = convert(&c, root);
    if (err)
        return err;
    return buf_ok(out) ? ERR_OK : err_set(why, ERR_INTERNAL, "the converted message is too long");
}
