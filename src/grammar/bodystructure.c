/* bodystructure.c: builds BODYSTRUCTURE and BODY from the tree of parts. Reads what mime.c made of a
 * stranger's message; called by scan. */
#include "grammar/bodystructure.h"

#include "grammar/envelope.h"
#include "grammar/imap_write.h"

struct writer {
    struct buf *out;
    struct slice message;
    bool extended;
};

static const struct envelope_limits inner_limits = {BODYSTRUCTURE_MAX_ADDRESSES, BODYSTRUCTURE_MAX_VALUE};

static void write_part(struct writer *w, const struct mime_part *part);

static void write_or_nil(struct buf *out, struct slice s)
{
    if (s.ptr)
        imap_write_string(out, s);
    else
        buf_add_str(out, "NIL");
}

static bool names_charset(const struct mime_params *params)
{
    for (size_t i = 0; i < params->count; i++)
        if (slice_ieq(params->at[i].name, SLICE("charset")))
            return true;
    return false;
}

/* body-fld-param = "(" string SP string *(SP string SP string) ")" / nil; with `text` a charset that is not
 * given is US-ASCII (RFC 2046 section 4.1.2), which is said. */
static void write_params(struct buf *out, const struct mime_params *params, bool text)
{
    bool ascii = text && !names_charset(params);
    if (!params->count && !ascii) {
        buf_add_str(out, "NIL");
        return;
    }
    for (size_t i = 0; i < params->count; i++) {
        const struct mime_param *param = &params->at[i];
        buf_add_byte(out, i ? ' ' : '(');
        if (param->extended) {
            AUTO_BUF struct buf name = buf_new(MIME_MAX_VALUE + 1);
            buf_add(&name, param->name);
            buf_add_byte(&name, '*');
            imap_write_string(out, buf_slice(&name));
        } else {
            imap_write_string(out, param->name);
        }
        buf_add_byte(out, ' ');
        imap_write_string(out, param->value);
    }
    if (ascii)
        buf_add_str(out, params->count ? " \"charset\" \"us-ascii\"" : "(\"charset\" \"us-ascii\"");
    buf_add_byte(out, ')');
}

/* body-fld-dsp = "(" string SP body-fld-param ")" / nil */
static void write_disposition(struct buf *out, const struct mime_disposition *disposition)
{
    if (!disposition->name.len) {
        buf_add_str(out, "NIL");
        return;
    }
    buf_add_byte(out, '(');
    imap_write_string(out, disposition->name);
    buf_add_byte(out, ' ');
    write_params(out, &disposition->params, false);
    buf_add_byte(out, ')');
}

/* body-fld-lang = nstring / "(" string *(SP string) ")" */
static void write_languages(struct buf *out, const struct mime_part *part)
{
    if (!part->language_count)
        buf_add_str(out, "NIL");
    for (size_t i = 0; i < part->language_count; i++) {
        buf_add_byte(out, i ? ' ' : '(');
        imap_write_string(out, part->languages[i]);
    }
    if (part->language_count)
        buf_add_byte(out, ')');
}

/* [SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc]]], common to both extension lists */
static void write_extension_tail(struct buf *out, const struct mime_part *part)
{
    buf_add_byte(out, ' ');
    write_disposition(out, &part->disposition);
    buf_add_byte(out, ' ');
    write_languages(out, part);
    buf_add_byte(out, ' ');
    write_or_nil(out, part->location);
}

/* body-type-mpart = 1*body SP media-subtype [SP body-ext-mpart] */
static void write_multipart(struct writer *w, const struct mime_part *part)
{
    for (const struct mime_part *child = part->child; child; child = child->next)
        write_part(w, child);
    buf_add_byte(w->out, ' ');
    imap_write_string(w->out, part->type.subtype);
    if (!w->extended)
        return;
    buf_add_byte(w->out, ' ');
    write_params(w->out, &part->type.params, false);
    write_extension_tail(w->out, part);
}

/* media-basic / media-message / media-text, then body-fields up to the encoding. */
static void write_fields(struct writer *w, const struct mime_part *part)
{
    struct buf *out = w->out;
    imap_write_string(out, part->opaque ? SLICE("application") : part->type.type);
    buf_add_byte(out, ' ');
    imap_write_string(out, part->opaque ? SLICE("octet-stream") : part->type.subtype);
    buf_add_byte(out, ' ');
    write_params(out, &part->type.params, mime_is(part, SLICE("text"), SLICE_EMPTY));
    buf_add_byte(out, ' ');
    write_or_nil(out, part->id);
    buf_add_byte(out, ' ');
    write_or_nil(out, part->description);
    buf_add_byte(out, ' ');
    imap_write_string(out, part->encoding_text.len ? part->encoding_text : SLICE("7bit"));
    buf_add_byte(out, ' ');
    buf_add_u64(out, part->body_len);
}

/* body-type-1part = (body-type-basic / body-type-msg / body-type-text) [SP body-ext-1part] */
static void write_single(struct writer *w, const struct mime_part *part)
{
    write_fields(w, part);
    if (part->kind == MIME_MESSAGE) {
        buf_add_byte(w->out, ' ');
        envelope_write(mime_header(part->child, w->message), &inner_limits, w->out);
        buf_add_byte(w->out, ' ');
        write_part(w, part->child);
    }
    if (part->kind == MIME_MESSAGE || mime_is(part, SLICE("text"), SLICE_EMPTY)) {
        buf_add_byte(w->out, ' ');
        buf_add_u64(w->out, part->body_lines);
    }
    if (!w->extended)
        return;
    buf_add_byte(w->out, ' ');
    write_or_nil(w->out, part->md5);
    write_extension_tail(w->out, part);
}

/* body = "(" (body-type-1part / body-type-mpart) ")". Nests at most MIME_MAX_DEPTH deep; stops early when the
 * text has outgrown its maximum already. */
static void write_part(struct writer *w, const struct mime_part *part)
{
    if (!buf_ok(w->out))
        return;
    buf_add_byte(w->out, '(');
    if (part->kind == MIME_MULTIPART)
        write_multipart(w, part);
    else
        write_single(w, part);
    buf_add_byte(w->out, ')');
}

void bodystructure_write(const struct mime_part *root, struct slice message, bool extended, struct buf *out)
{
    struct writer w = {out, message, extended};
    write_part(&w, root);
}
