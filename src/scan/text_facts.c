/* text_facts.c: decodes the text parts of a stranger's message. Called by scan_message.c. */
#include "scan/text_facts.h"

#include "grammar/base64.h"
#include "grammar/encoded_word.h"
#include "grammar/header.h"
#include "grammar/html.h"
#include "grammar/preview.h"
#include "scan/header_facts.h"

#define PART_MAX  (1024 * 1024) /* bytes of one encoded part that are decoded; HTML is mostly markup */
#define META_MAX  1024          /* where HTML may name its charset (WHATWG HTML, section 4.2.5.4) */
#define FIELD_MAX 512           /* bytes of a file name or a header field of a message inside */

struct reader {
    struct arena *arena;
    struct charset_set *set;
    struct slice message;
    struct buf text;
    bool complete;
    struct slice preview; /* made so far */
    bool preview_is_plain;
};

/* Undoes the transfer encoding of a body. Answers a slice of the message or of `bytes`. */
static struct slice decode_transfer(struct reader *r, const struct mime_part *part, struct buf *bytes)
{
    struct slice body = mime_body(part, r->message);
    if (body.len > PART_MAX) {
        body = slice_sub(body, 0, PART_MAX);
        r->complete = false;
    }
    if (part->encoding == MIME_BASE64) {
        struct base64_decoder decoder = {0};
        base64_feed(&decoder, body, bytes);
        base64_finish(&decoder, bytes);
        return buf_slice(bytes);
    }
    if (part->encoding == MIME_QP) {
        struct qp_decoder decoder;
        decoder.underscore = false;
        decoder.hold_len = 0;
        decoder.blanks_len = 0;
        qp_feed(&decoder, body, bytes);
        qp_finish(&decoder, bytes);
        return buf_slice(bytes);
    }
    return body;
}

/* <meta charset="x"> or <meta … content="text/html; charset=x"> */
static struct slice meta_charset(struct slice html)
{
    struct slice head = slice_sub(html, 0, META_MAX);
    ptrdiff_t at = slice_isearch(head, SLICE("charset="));
    if (at < 0)
        return SLICE_EMPTY;
    struct slice s = slice_from(head, (size_t)at + 8);
    if (s.len && (s.ptr[0] == '"' || s.ptr[0] == '\''))
        s = slice_from(s, 1);
    return mime_take_token(&s);
}

static void add_html(struct reader *r, struct slice charset, struct slice bytes)
{
    if (!charset.len)
        charset = meta_charset(bytes);
    if (charset_is_plain(charset, bytes)) {
        r->complete = html_to_text(bytes, &r->text) && r->complete;
        return;
    }
    AUTO_BUF struct buf html = buf_new(PART_MAX);
    r->complete = charset_to_utf8(r->set, charset, bytes, &html) && r->complete;
    r->complete = html_to_text(buf_slice(&html), &r->text) && r->complete;
}

static void end_line(struct reader *r)
{
    if (!r->text.len || r->text.data[r->text.len - 1] == '\n')
        return;
    if (r->text.len < r->text.max)
        buf_add_byte(&r->text, '\n');
}

/* The preview is made of the first plain text, or of the first HTML when there is none before it; not of
 * attachments. */
static void note_preview(struct reader *r, const struct mime_part *part, size_t begin, bool plain)
{
    struct slice added = slice_from(buf_slice(&r->text), begin);
    bool better = !r->preview.len || (plain && !r->preview_is_plain);
    if (!better || slice_ieq(part->disposition.name, SLICE("attachment")) || !slice_trim(added).len)
        return;
    AUTO_BUF struct buf words = buf_new(PREVIEW_MAX_BYTES);
    preview_make(added, &words);
    if (!words.len)
        return;
    r->preview = arena_dup(r->arena, buf_slice(&words));
    r->preview_is_plain = plain;
}

static void add_text_part(struct reader *r, const struct mime_part *part)
{
    const struct mime_param *param = mime_params_find(&part->type.params, SLICE("charset"));
    struct slice charset = param ? slice_trim(param->value) : SLICE_EMPTY;
    AUTO_BUF struct buf bytes = buf_new(PART_MAX);
    struct slice decoded = decode_transfer(r, part, &bytes);
    bool html = mime_is(part, SLICE("text"), SLICE("html"));
    size_t begin = r->text.len;
    if (html)
        add_html(r, charset, decoded);
    else
        r->complete = charset_to_utf8(r->set, charset, decoded, &r->text) && r->complete;
    note_preview(r, part, begin, !html);
    end_line(r);
}

/* Adds one decoded line if there is room for all of it. */
static void add_line(struct reader *r, struct slice line)
{
    if (!line.len)
        return;
    if (r->text.max - r->text.len < line.len + 1) {
        r->complete = false;
        return;
    }
    buf_add(&r->text, line);
    end_line(r);
}

static void add_file_name(struct reader *r, const struct mime_part *part)
{
    AUTO_BUF struct buf name = buf_new(FIELD_MAX);
    const struct mime_param *param = mime_params_find(&part->disposition.params, SLICE("filename"));
    if (!param)
        param = mime_params_find(&part->type.params, SLICE("name"));
    if (!param)
        return;
    encoded_word_decode_param(r->set, param, &name);
    add_line(r, buf_slice(&name));
}

/* The first Subject, From and To of a message inside. */
static void add_inner_header(struct reader *r, const struct mime_part *message)
{
    static const struct slice wanted[] = {SLICE("Subject"), SLICE("From"), SLICE("To")};
    bool seen[sizeof wanted / sizeof *wanted] = {0};
    struct header_iter iter = header_iter_new(mime_header(message, r->message));
    struct header_field field;
    while (header_next(&iter, &field)) {
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
            if (seen[i] || !header_is(&field, wanted[i]))
                continue;
            seen[i] = true;
            add_line(r, header_text_in(r->arena, r->set, slice_sub(field.value, 0, FIELD_MAX), FIELD_MAX));
        }
    }
}

static void add_part(struct reader *r, const struct mime_part *part)
{
    bool full = r->text.len + 4 > r->text.max;
    bool text = part->kind == MIME_LEAF && mime_is(part, SLICE("text"), SLICE_EMPTY);
    if (full && (text || part->kind == MIME_MESSAGE))
        r->complete = false;
    if (full)
        return;
    if (part->kind == MIME_LEAF)
        add_file_name(r, part);
    if (text)
        add_text_part(r, part);
    else if (part->kind == MIME_MESSAGE)
        add_inner_header(r, part->child);
}

void text_facts_in(struct arena *arena, struct charset_set *set, const struct mime_part *root,
                   struct slice message, struct facts *facts)
{
    struct reader r = {
        .arena = arena, .set = set, .message = message, .text = buf_new(FACTS_MAX_TEXT), .complete = true};
    for (const struct mime_part *part = root; part; part = mime_walk(part))
        add_part(&r, part);
    facts->text = arena_dup(arena, buf_slice(&r.text));
    facts->text_len = facts->text.len;
    facts->preview = r.preview;
    if (r.complete)
        facts->flags |= FACTS_TEXT_COMPLETE;
    buf_free(&r.text);
}
