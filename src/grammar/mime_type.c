/* mime_type.c: Content-Type, Content-Disposition and their parameters. Trusts nothing; called by mime.c,
 * scan. */
#include "grammar/mime_type.h"

#include <string.h>

#include "base/buf.h"
#include "grammar/header.h"

/* Sections of one RFC 2231 parameter; more than that is an attack. */
#define SECTIONS_MAX MIME_MAX_PARAMS
#define VALUE_MAX    (64 * 1024) /* of one joined value */

/* A parameter as it stands in the field, before continuations are joined. */
struct piece {
    struct slice name, value;
    int section; /* -1: not numbered */
    bool extended, used;
};

/* tspecials of RFC 2045 but '/' '?' '=' inside values are common in the wild; names and types stop at all of
 * them. */
static bool is_token_byte(uint8_t c)
{
    return c > ' ' && c != 0x7f && !memchr("()<>@,;:\\\"/[]?=", c, 15);
}

struct slice mime_take_token(struct slice *s)
{
    *s = header_skip_cfws(*s);
    size_t n = 0;
    while (n < s->len && is_token_byte(s->ptr[n]))
        n++;
    struct slice token = slice_sub(*s, 0, n);
    *s = slice_from(*s, n);
    return token;
}

/* quoted-string = <"> *(qtext / quoted-pair) <">; an unclosed one ends with the field. */
static struct slice take_quoted_in(struct arena *arena, struct slice *s)
{
    size_t end = 1, escapes = 0;
    while (end < s->len && s->ptr[end] != '"') {
        if (s->ptr[end] == '\\' && end + 1 < s->len) {
            end++;
            escapes++;
        }
        end++;
    }
    struct slice inside = slice_sub(*s, 1, end - 1);
    *s = slice_from(*s, end + 1);
    if (!escapes)
        return inside;
    uint8_t *text = arena_must(arena, inside.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < inside.len; i++) {
        if (inside.ptr[i] == '\\' && i + 1 < inside.len)
            i++;
        text[len++] = inside.ptr[i];
    }
    return slice_make(text, len);
}

/* An unquoted value: up to ';', without the blanks at its end. File names with blanks are often left
 * unquoted. */
static struct slice take_unquoted(struct slice *s)
{
    size_t n = 0;
    while (n < s->len && s->ptr[n] != ';')
        n++;
    struct slice value = slice_trim(slice_sub(*s, 0, n));
    *s = slice_from(*s, n);
    ptrdiff_t comment = slice_search(value, SLICE(" ("));
    if (comment > 0)
        value = slice_trim(slice_sub(value, 0, (size_t)comment));
    return value;
}

/* attribute [ "*" section ] [ "*" ]  (RFC 2231 section 7) */
static void read_name(struct slice name, struct piece *piece)
{
    piece->section = -1;
    piece->name = name;
    if (name.len > 1 && name.ptr[name.len - 1] == '*') {
        piece->extended = true;
        piece->name.len--;
    }
    ptrdiff_t star = slice_find(piece->name, '*');
    uint64_t section;
    if (star > 0 && slice_u64(slice_from(piece->name, (size_t)star + 1), SECTIONS_MAX, &section)) {
        piece->section = (int)section;
        piece->name.len = (size_t)star;
    }
}

/* *( ";" attribute "=" value ); stray text up to the next ';' is skipped. */
static size_t take_pieces_in(struct arena *arena, struct slice s, struct piece *pieces)
{
    size_t count = 0;
    while (count < MIME_MAX_PARAMS && s.len) {
        ptrdiff_t semicolon = slice_find(s, ';');
        if (semicolon < 0)
            break;
        s = slice_from(s, (size_t)semicolon + 1);
        struct slice name = mime_take_token(&s);
        s = header_skip_cfws(s);
        if (!name.len || !s.len || s.ptr[0] != '=')
            continue;
        s = header_skip_cfws(slice_from(s, 1));
        struct piece *piece = &pieces[count++];
        *piece = (struct piece){0};
        read_name(name, piece);
        piece->value = s.len && s.ptr[0] == '"' ? take_quoted_in(arena, &s) : take_unquoted(&s);
    }
    return count;
}

/* attribute-char of RFC 2231 section 7 stands for itself in an extended value. */
static void add_percent(struct buf *out, struct slice plain)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < plain.len; i++) {
        uint8_t c = plain.ptr[i];
        if (ascii_is_alnum(c) || c == '.' || c == '-' || c == '_') {
            buf_add_byte(out, c);
        } else {
            buf_add_byte(out, '%');
            buf_add_byte(out, (uint8_t)digits[c >> 4]);
            buf_add_byte(out, (uint8_t)digits[c & 15]);
        }
    }
}

static struct piece *find_section(struct piece *pieces, size_t count, struct slice name, int section)
{
    for (size_t i = 0; i < count; i++)
        if (!pieces[i].used && pieces[i].section == section && slice_ieq(pieces[i].name, name))
            return &pieces[i];
    return NULL;
}

/* Joins name*0, name*1, … in the order of their numbers up to the first gap (RFC 2231 sections 3 and 4.1).
 * Where any section is extended the whole becomes extended: plain sections are percent-encoded then. */
static struct mime_param join_in(struct arena *arena, struct piece *pieces, size_t count, struct piece *first)
{
    struct piece *found[SECTIONS_MAX + 1];
    size_t n = 0;
    bool extended = false;
    for (struct piece *p = first; p && n <= SECTIONS_MAX;
         p = find_section(pieces, count, first->name, (int)n)) {
        p->used = true;
        extended = extended || p->extended;
        found[n++] = p;
    }
    AUTO_BUF struct buf text = buf_new(VALUE_MAX);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 && extended && !found[i]->extended)
            buf_add_str(&text, "''");
        if (extended && !found[i]->extended)
            add_percent(&text, found[i]->value);
        else
            buf_add(&text, found[i]->value);
    }
    return (struct mime_param){first->name, arena_dup(arena, buf_slice(&text)), extended};
}

static void join_pieces_in(struct arena *arena, struct piece *pieces, size_t count,
                           struct mime_params *params)
{
    params->count = 0;
    params->at = count ? ARENA_ARRAY(arena, struct mime_param, count) : NULL;
    for (size_t i = 0; i < count; i++) {
        struct piece *p = &pieces[i];
        if (p->used || p->section > 0)
            continue;
        if (p->section == 0) {
            params->at[params->count++] = join_in(arena, pieces, count, p);
            continue;
        }
        p->used = true;
        params->at[params->count++] = (struct mime_param){p->name, p->value, p->extended};
    }
}

static void take_params_in(struct arena *arena, struct slice s, struct mime_params *params)
{
    struct piece pieces[MIME_MAX_PARAMS];
    size_t count = take_pieces_in(arena, s, pieces);
    join_pieces_in(arena, pieces, count, params);
}

void mime_type_parse_in(struct arena *arena, struct slice value, struct mime_type *type)
{
    struct slice s = header_unfold_in(arena, value);
    *type = (struct mime_type){.type = mime_take_token(&s)};
    s = header_skip_cfws(s);
    if (s.len && s.ptr[0] == '/') {
        s = slice_from(s, 1);
        type->subtype = mime_take_token(&s);
    }
    if (!type->type.len || !type->subtype.len)
        type->type = type->subtype = SLICE_EMPTY;
    take_params_in(arena, s, &type->params);
}

void mime_disposition_parse_in(struct arena *arena, struct slice value, struct mime_disposition *disposition)
{
    struct slice s = header_unfold_in(arena, value);
    *disposition = (struct mime_disposition){.name = mime_take_token(&s)};
    take_params_in(arena, s, &disposition->params);
}

const struct mime_param *mime_params_find(const struct mime_params *params, struct slice name)
{
    for (size_t i = 0; i < params->count; i++)
        if (slice_ieq(params->at[i].name, name))
            return &params->at[i];
    return NULL;
}
