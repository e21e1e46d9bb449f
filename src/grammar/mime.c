/* mime.c: the MIME parser. Reads strangers' messages and trusts nothing in them; called by scan.
 *
 * One pass: an entity is its header, then its body up to the next line that is a boundary of any multipart
 * still open. That line is the event which ends the entity and, if it belongs further out, those around it.
 * What a level does not know it leaves to the fix-up at the end, which makes every child lie inside its
 * parent.
 */
#include "grammar/mime.h"

#include <string.h>

#include "grammar/header.h"
#include "grammar/mime_boundary.h"

/* What ended an entity: a boundary line or the end of the message. */
struct event {
    int level;    /* level of the boundary in parser.open, or -1 at the end of the message */
    bool closing; /* "--boundary--" */
    size_t end;   /* end of the body in front of it: the line end before a boundary belongs to the boundary */
    size_t after; /* where the next line starts */
    size_t lines; /* LF bytes in front of `end` */
};

struct parser {
    struct arena *arena;
    struct slice message;
    struct mime_limits limits;
    struct mime_boundaries open;
    size_t parts;               /* made so far */
    size_t budget;              /* bytes of field values that may still be copied */
    size_t counted_to, counted; /* LF bytes counted up to an offset; only ever moves on */
    bool complete;
};

/* LF bytes in front of `offset`; offsets never go back. */
static size_t count_lines(struct parser *p, size_t offset)
{
    const uint8_t *bytes = p->message.ptr;
    size_t n = 0;
    for (size_t i = p->counted_to; i < offset; i++)
        n += bytes[i] == '\n';
    if (offset > p->counted_to)
        p->counted_to = offset;
    return p->counted += n;
}

/* The line that starts at `at`, without its line end. */
static struct slice line_at(const struct parser *p, size_t at, size_t *after)
{
    struct slice rest = slice_from(p->message, at);
    ptrdiff_t end = slice_find(rest, '\n');
    *after = end < 0 ? p->message.len : at + (size_t)end + 1;
    struct slice line = slice_sub(rest, 0, end < 0 ? rest.len : (size_t)end);
    if (line.len && line.ptr[line.len - 1] == '\r')
        line.len--;
    return line;
}

/* Offset of the body's end for a boundary line at `line`. */
static size_t end_before(const struct parser *p, size_t line)
{
    if (line && p->message.ptr[line - 1] == '\n')
        line--;
    if (line && p->message.ptr[line - 1] == '\r')
        line--;
    return line;
}

/* Is the line at `at` a boundary? Fills the event. */
static bool boundary_at(struct parser *p, size_t at, struct event *event)
{
    if (p->message.len - at < 3 || p->message.ptr[at] != '-' || p->message.ptr[at + 1] != '-')
        return false;
    size_t after;
    struct slice line = line_at(p, at, &after);
    bool closing = false;
    int level = mime_boundary_match(&p->open, slice_from(line, 2), &closing);
    if (level < 0)
        return false;
    size_t end = end_before(p, at);
    *event = (struct event){level, closing, end, after, count_lines(p, end)};
    return true;
}

static struct event end_of_message(struct parser *p)
{
    size_t end = p->message.len;
    return (struct event){.level = -1, .end = end, .after = end, .lines = count_lines(p, end)};
}

/* The first boundary line at or behind `at`, which is the start of a line. */
static struct event next_event(struct parser *p, size_t at)
{
    struct event event;
    const uint8_t *bytes = p->message.ptr, *lf;
    size_t len = p->open.count ? p->message.len : 0;
    while (at < len) {
        if (boundary_at(p, at, &event))
            return event;
        do {
            lf = memchr(bytes + at, '\n', len - at);
            at = lf ? (size_t)(lf - bytes) + 1 : len;
        } while (at < len && bytes[at] != '-');
    }
    return end_of_message(p);
}

/* Finds the end of the header that starts at `at`: behind its empty line, or at a boundary line or the end of
 * the message. True with the event when it was one of these two. */
static bool read_header(struct parser *p, size_t at, struct mime_part *part, struct event *event)
{
    size_t start = at, after;
    bool ended = false, empty_line = false;
    while (!ended && !empty_line && at < p->message.len) {
        ended = p->open.count && boundary_at(p, at, event);
        if (!ended) {
            empty_line = !line_at(p, at, &after).len;
            at = after;
        }
    }
    part->header_off = start;
    part->header_len = at - start;
    part->body_off = at;
    if (!ended && !empty_line) {
        *event = end_of_message(p);
        ended = true;
    }
    return ended;
}

/* Text without any header field in front of its first empty line is body from the start. */
static bool has_field(struct slice header)
{
    struct header_iter iter = header_iter_new(header);
    struct header_field field;
    while (header_next(&iter, &field))
        if (!field.junk)
            return true;
    return false;
}

/* The value of a field as far as the budget goes. */
static struct slice take_value(struct parser *p, const struct header_field *field)
{
    struct slice value = slice_sub(field->value, 0, MIME_MAX_VALUE);
    if (value.len > p->budget)
        value = slice_sub(value, 0, p->budget);
    p->budget -= value.len;
    return value;
}

static const struct {
    struct slice name;
    enum mime_encoding encoding;
} encodings[] = {
    {SLICE("7bit"), MIME_7BIT},           {SLICE("8bit"), MIME_8BIT},     {SLICE("binary"), MIME_BINARY},
    {SLICE("quoted-printable"), MIME_QP}, {SLICE("base64"), MIME_BASE64}, {SLICE("x-uuencode"), MIME_OTHER},
};

static void set_encoding(struct parser *p, struct mime_part *part, struct slice value)
{
    struct slice s = header_unfold_in(p->arena, value);
    part->encoding_text = mime_take_token(&s);
    part->encoding = part->encoding_text.len ? MIME_OTHER : MIME_7BIT;
    for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++)
        if (slice_ieq(part->encoding_text, encodings[i].name))
            part->encoding = encodings[i].encoding;
}

static void set_type(struct parser *p, struct mime_part *part, struct slice value)
{
    mime_type_parse_in(p->arena, value, &part->type);
}

static void set_disposition(struct parser *p, struct mime_part *part, struct slice value)
{
    mime_disposition_parse_in(p->arena, value, &part->disposition);
}

static void set_id(struct parser *p, struct mime_part *part, struct slice value)
{
    part->id = header_unfold_in(p->arena, value);
}

static void set_description(struct parser *p, struct mime_part *part, struct slice value)
{
    part->description = header_unfold_in(p->arena, value);
}

static void set_md5(struct parser *p, struct mime_part *part, struct slice value)
{
    part->md5 = header_unfold_in(p->arena, value);
}

static void set_location(struct parser *p, struct mime_part *part, struct slice value)
{
    part->location = header_unfold_in(p->arena, value);
}

/* Language-Tag *("," Language-Tag)  (RFC 3282) */
static void set_languages(struct parser *p, struct mime_part *part, struct slice value)
{
    struct slice rest = header_strip_comments_in(p->arena, value), tag;
    part->languages = ARENA_ARRAY(p->arena, struct slice, MIME_MAX_LANGUAGES);
    while (part->language_count < MIME_MAX_LANGUAGES && slice_token(&rest, ',', &tag)) {
        tag = slice_trim(tag);
        if (tag.len)
            part->languages[part->language_count++] = tag;
    }
}

static const struct content_field {
    struct slice name;
    void (*set)(struct parser *p, struct mime_part *part, struct slice value);
} content_fields[] = {
    {SLICE("Content-Type"), set_type},
    {SLICE("Content-Transfer-Encoding"), set_encoding},
    {SLICE("Content-Disposition"), set_disposition},
    {SLICE("Content-ID"), set_id},
    {SLICE("Content-Description"), set_description},
    {SLICE("Content-MD5"), set_md5},
    {SLICE("Content-Language"), set_languages},
    {SLICE("Content-Location"), set_location},
};
#define CONTENT_FIELDS (sizeof content_fields / sizeof *content_fields)

/* Reads the Content-… fields; the first of a name counts. */
static void read_fields(struct parser *p, struct mime_part *part)
{
    bool seen[CONTENT_FIELDS] = {0};
    struct header_iter iter = header_iter_new(mime_header(part, p->message));
    struct header_field field;
    while (p->budget && header_next(&iter, &field)) {
        if (field.name.len < 10 || !slice_istarts(field.name, SLICE("content-")))
            continue;
        for (size_t i = 0; i < CONTENT_FIELDS; i++) {
            if (seen[i] || !header_is(&field, content_fields[i].name))
                continue;
            seen[i] = true;
            content_fields[i].set(p, part, take_value(p, &field));
        }
    }
}

static void be_plain_text(struct mime_part *part)
{
    part->kind = MIME_LEAF;
    part->type = (struct mime_type){SLICE("text"), SLICE("plain"), {NULL, 0}};
}

static bool is_message_type(const struct mime_part *part)
{
    return mime_is(part, SLICE("message"), SLICE("rfc822")) ||
           mime_is(part, SLICE("message"), SLICE("global"));
}

/* RFC 2045 section 5.2 and RFC 2046 section 5.1.5: what a part without a (readable) Content-Type is. */
static void set_default_type(struct mime_part *part)
{
    if (part->type.type.len)
        return;
    be_plain_text(part);
    if (part->parent && part->parent->kind == MIME_MULTIPART &&
        mime_is(part->parent, SLICE("multipart"), SLICE("digest")))
        part->type = (struct mime_type){SLICE("message"), SLICE("rfc822"), {NULL, 0}};
}

static struct slice boundary_of(const struct mime_part *part)
{
    const struct mime_param *boundary = mime_params_find(&part->type.params, SLICE("boundary"));
    struct slice text = boundary ? boundary->value : SLICE_EMPTY;
    while (text.len && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--; /* RFC 2046 section 5.1.1: never ends in a blank */
    return slice_sub(text, 0, MIME_MAX_BOUNDARY);
}

static struct event parse_entity(struct parser *p, struct mime_part *part, size_t at, size_t depth);

static struct mime_part *new_part(struct parser *p, struct mime_part *parent)
{
    struct mime_part *part = ARENA_NEW(p->arena, struct mime_part);
    part->parent = parent;
    p->parts++;
    return part;
}

/* The last part that MIME_MAX_PARTS allows takes in what follows it in the same multipart. */
static struct event take_siblings(struct parser *p, struct event event)
{
    p->complete = false;
    while (event.level >= 0 && event.level == p->open.count - 1 && !event.closing)
        event = next_event(p, event.after);
    return event;
}

/* multipart-body = [preamble CRLF] dash-boundary … close-delimiter [CRLF epilogue]  (RFC 2046 section 5.1.1)
 */
static struct event parse_multipart(struct parser *p, struct mime_part *part, size_t at, size_t depth)
{
    mime_boundary_push(&p->open, boundary_of(part));
    int level = p->open.count - 1;
    struct mime_part **link = &part->child;
    struct event event = next_event(p, at);
    while (event.level == level && !event.closing) {
        struct mime_part *child = new_part(p, part);
        *link = child;
        link = &child->next;
        event = parse_entity(p, child, event.after, depth + 1);
    }
    mime_boundary_pop(&p->open);
    if (event.level == level) /* closed: the epilogue belongs to what is around */
        event = next_event(p, event.after);
    return event;
}

/* Whether a multipart or message may be split; sets the kind. */
static void choose_kind(struct parser *p, struct mime_part *part, size_t depth)
{
    bool multipart = mime_is(part, SLICE("multipart"), SLICE_EMPTY), message = is_message_type(part);
    if (!multipart && !message)
        return;
    if (multipart && !boundary_of(part).len) {
        be_plain_text(part);
        return;
    }
    if (depth >= p->limits.depth || p->parts >= p->limits.parts) {
        part->opaque = true;
        p->complete = false;
        return;
    }
    part->kind = multipart ? MIME_MULTIPART : MIME_MESSAGE;
}

static bool is_full(const struct parser *p, const struct mime_part *part)
{
    return p->parts >= p->limits.parts && part->parent && part->parent->kind == MIME_MULTIPART;
}

/* Parses a body that is there. */
static struct event parse_body(struct parser *p, struct mime_part *part, size_t depth)
{
    if (part->kind == MIME_MULTIPART)
        return parse_multipart(p, part, part->body_off, depth);
    if (part->kind == MIME_MESSAGE) {
        part->child = new_part(p, part);
        return parse_entity(p, part->child, part->body_off, depth + 1);
    }
    return next_event(p, part->body_off);
}

/* Makes up for a body that is not there because the header was the end of the part. */
static void end_in_header(struct parser *p, struct mime_part *part)
{
    if (part->kind != MIME_MESSAGE)
        return;
    part->child = new_part(p, part);
    part->child->header_off = part->child->body_off = part->body_off;
    be_plain_text(part->child);
}

/* Makes all of an entity body when it has no header: text, though not an empty line, in front of the first
 * empty line and no field in it. */
static bool drop_header(const struct parser *p, struct mime_part *part)
{
    size_t after;
    if (!part->header_len || !line_at(p, part->header_off, &after).len ||
        has_field(mime_header(part, p->message)))
        return false;
    part->body_off = part->header_off;
    part->header_len = 0;
    return true;
}

/* entity = *field CRLF body. Answers the event that ended it. */
static struct event parse_entity(struct parser *p, struct mime_part *part, size_t at, size_t depth)
{
    struct event event;
    size_t lines = count_lines(p, at);
    bool ended = read_header(p, at, part, &event);
    bool dropped = drop_header(p, part);
    read_fields(p, part);
    set_default_type(part);
    choose_kind(p, part, depth);
    if (!dropped)
        lines = ended ? event.lines : count_lines(p, part->body_off);
    if (ended)
        end_in_header(p, part);
    else
        event = parse_body(p, part, depth);
    if (part->kind == MIME_LEAF && is_full(p, part))
        event = take_siblings(p, event);
    part->body_len = event.end > part->body_off ? event.end - part->body_off : 0;
    part->body_lines = event.lines > lines ? event.lines - lines : 0;
    if (part->kind == MIME_MULTIPART && !part->child)
        be_plain_text(part);
    return event;
}

static size_t clamp(size_t n, size_t low, size_t high)
{
    return n < low ? low : n > high ? high : n;
}

/* Makes a part lie inside [low, high): a boundary right behind a header takes that header's line end away. */
static void fix_offsets(struct mime_part *part, size_t low, size_t high)
{
    size_t body = clamp(part->body_off, low, high), end = clamp(part->body_off + part->body_len, body, high);
    part->header_off = clamp(part->header_off, low, body);
    part->header_len = body - part->header_off;
    part->body_off = body;
    part->body_len = end - body;
    for (struct mime_part *child = part->child; child; child = child->next)
        fix_offsets(child, body, end);
}

struct mime_part *mime_parse_in(struct arena *arena, struct slice message, const struct mime_limits *limits,
                                bool *complete)
{
    struct parser p = {.arena = arena,
                       .message = message,
                       .limits = limits ? *limits : (struct mime_limits){MIME_MAX_DEPTH, MIME_MAX_PARTS},
                       .budget = MIME_MAX_VALUES,
                       .complete = true};
    mime_boundaries_init(&p.open);
    struct mime_part *root = new_part(&p, NULL);
    parse_entity(&p, root, 0, 0);
    fix_offsets(root, 0, message.len);
    if (complete)
        *complete = p.complete;
    return root;
}

struct slice mime_header(const struct mime_part *part, struct slice message)
{
    size_t len = part->header_len < MIME_MAX_HEADER ? part->header_len : MIME_MAX_HEADER;
    return slice_sub(message, part->header_off, len);
}

struct slice mime_body(const struct mime_part *part, struct slice message)
{
    return slice_sub(message, part->body_off, part->body_len);
}

bool mime_is(const struct mime_part *part, struct slice type, struct slice subtype)
{
    return slice_ieq(part->type.type, type) && (!subtype.len || slice_ieq(part->type.subtype, subtype));
}

const struct mime_part *mime_walk(const struct mime_part *part)
{
    if (part->child)
        return part->child;
    while (part && !part->next)
        part = part->parent;
    return part ? part->next : NULL;
}
