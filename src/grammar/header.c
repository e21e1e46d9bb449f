/* header.c: header blocks, folding, comments and message ids. Reads messages of strangers; every byte string
 * is some header. */
#include "grammar/header.h"

#include <string.h>

/* Nested deeper than this, "(" inside a comment is text. */
#define COMMENT_DEPTH_MAX 64

/* Length of the line at `at` with its LF; all that is left when there is none. */
static size_t line_len(struct slice s, size_t at)
{
    struct slice rest = slice_from(s, at);
    ptrdiff_t lf = slice_find(rest, '\n');
    return lf < 0 ? rest.len : (size_t)lf + 1;
}

static bool is_empty_line(struct slice line)
{
    return slice_eq(line, SLICE("\r\n")) || slice_eq(line, SLICE("\n"));
}

void header_split(struct slice message, struct slice *header, struct slice *body)
{
    size_t at = 0, end = message.len;
    while (at < message.len) {
        size_t len = line_len(message, at);
        if (is_empty_line(slice_sub(message, at, len))) {
            end = at + len;
            break;
        }
        at += len;
    }
    if (header)
        *header = slice_sub(message, 0, at);
    if (body)
        *body = slice_from(message, end);
}

struct header_iter header_iter_new(struct slice block)
{
    return (struct header_iter){.block = block};
}

/* field = field-name *WSP ":" unstructured;  field-name = 1*%d33-57 / %d59-126  (RFC 5322
 * sections 2.2, 3.6.8, 4.5) */
static bool split_name(struct slice line, struct slice *name)
{
    struct slice head = slice_sub(line, 0, HEADER_NAME_MAX + 1);
    ptrdiff_t colon = slice_find(head, ':');
    if (colon < 1)
        return false;
    struct slice found = slice_sub(head, 0, (size_t)colon);
    while (found.len && (found.ptr[found.len - 1] == ' ' || found.ptr[found.len - 1] == '\t'))
        found.len--;
    for (size_t i = 0; i < found.len; i++)
        if (found.ptr[i] <= ' ' || found.ptr[i] >= 0x7f)
            return false;
    *name = found;
    return found.len > 0;
}

/* The line at `at` with every line behind it that begins with a blank. */
static size_t folded_len(struct slice block, size_t at)
{
    size_t len = line_len(block, at);
    while (at + len < block.len && (block.ptr[at + len] == ' ' || block.ptr[at + len] == '\t'))
        len += line_len(block, at + len);
    return len;
}

static struct slice without_line_end(struct slice s)
{
    if (slice_ends(s, SLICE("\n")))
        s.len--;
    if (slice_ends(s, SLICE("\r")))
        s.len--;
    return s;
}

bool header_next(struct header_iter *iter, struct header_field *field)
{
    struct slice block = iter->block;
    if (iter->at >= block.len || is_empty_line(slice_sub(block, iter->at, line_len(block, iter->at))))
        return false;
    size_t len = iter->count < HEADER_FIELDS_MAX ? folded_len(block, iter->at) : block.len - iter->at;
    *field = (struct header_field){.raw = slice_sub(block, iter->at, len), .offset = iter->at};
    field->value = without_line_end(field->raw);
    field->junk = iter->count >= HEADER_FIELDS_MAX || !split_name(field->raw, &field->name);
    if (!field->junk)
        field->value = slice_from(field->value, (size_t)slice_find(field->raw, ':') + 1);
    iter->at += len;
    iter->count++;
    return true;
}

bool header_is(const struct header_field *field, struct slice name)
{
    return slice_ieq(field->name, name);
}

bool header_find(struct slice block, struct slice name, struct header_field *field)
{
    struct header_iter iter = header_iter_new(block);
    struct header_field found;
    while (header_next(&iter, &found)) {
        if (header_is(&found, name)) {
            *field = found;
            return true;
        }
    }
    return false;
}

bool header_find_last(struct slice block, struct slice name, struct header_field *field)
{
    struct header_iter iter = header_iter_new(block);
    struct header_field found;
    bool any = false;
    while (header_next(&iter, &found)) {
        if (header_is(&found, name)) {
            *field = found;
            any = true;
        }
    }
    return any;
}

struct slice header_unfold_in(struct arena *arena, struct slice value)
{
    uint8_t *out = arena_must(arena, value.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.ptr[i];
        if (c == '\r' && i + 1 < value.len && value.ptr[i + 1] == '\n')
            continue;
        bool fold = c == '\n' && i + 1 < value.len && (value.ptr[i + 1] == ' ' || value.ptr[i + 1] == '\t');
        if (!fold)
            out[len++] = c == '\r' || c == '\n' || c == 0 ? ' ' : c;
    }
    return slice_trim(slice_make(out, len));
}

/* comment = "(" *([FWS] ccontent) [FWS] ")"  (RFC 5322 section 3.2.2) */
size_t header_comment_closed_len(struct slice s)
{
    size_t depth = 0;
    if (s.len == 0 || s.ptr[0] != '(')
        return 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\\')
            i++;
        else if (s.ptr[i] == '(' && depth < COMMENT_DEPTH_MAX)
            depth++;
        else if (s.ptr[i] == ')' && --depth == 0)
            return i + 1;
    }
    return 0;
}

size_t header_comment_len(struct slice s)
{
    size_t len = header_comment_closed_len(s);
    return len == 0 && s.len && s.ptr[0] == '(' ? s.len : len;
}

struct slice header_skip_cfws(struct slice s)
{
    while (s.len) {
        size_t skip = ascii_is_space(s.ptr[0]) ? 1 : header_comment_len(s);
        if (skip == 0)
            break;
        s = slice_from(s, skip);
    }
    return s;
}

/* quoted-string = DQUOTE *([FWS] qcontent) [FWS] DQUOTE  (RFC 5322 section 3.2.4) */
size_t header_quoted_len(struct slice s)
{
    if (s.len == 0 || s.ptr[0] != '"')
        return 0;
    for (size_t i = 1; i < s.len; i++) {
        if (s.ptr[i] == '\\')
            i++;
        else if (s.ptr[i] == '"')
            return i + 1;
    }
    return 0;
}

struct slice header_strip_comments_in(struct arena *arena, struct slice value)
{
    struct slice s = header_unfold_in(arena, value);
    uint8_t *out = arena_must(arena, s.len + 1);
    size_t len = 0;
    bool quotes = true; /* false once a quote was found to have no end: the others have none either */
    while (s.len) {
        size_t comment = header_comment_len(s), take = 1;
        if (comment) {
            out[len++] = ' ';
            s = slice_from(s, comment);
            continue;
        }
        if (s.ptr[0] == '"' && quotes) {
            take = header_quoted_len(s);
            quotes = take > 0;
            take += take == 0;
        }
        memcpy(out + len, s.ptr, take);
        len += take;
        s = slice_from(s, take);
    }
    return slice_trim(slice_make(out, len));
}

/* A copy without blanks and line ends. */
static struct slice squeeze_in(struct arena *arena, struct slice s)
{
    uint8_t *out = arena_must(arena, s.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] > ' ')
            out[len++] = s.ptr[i];
    return slice_make(out, len);
}

/* msg-id = [CFWS] "<" id-left "@" id-right ">" [CFWS]. Without "@" it passes as long as it holds no blank:
 * some programs write such ids, but phrases of old In-Reply-To fields hold dates in brackets. */
static bool bracketed_id(struct arena *arena, struct slice inner, struct slice *id)
{
    struct slice trimmed = slice_trim(inner);
    if (trimmed.len == 0 || trimmed.len > HEADER_MSGID_MAX)
        return false;
    struct slice squeezed = squeeze_in(arena, trimmed);
    if (squeezed.len == 0 || (squeezed.len != trimmed.len && slice_find(squeezed, '@') < 0))
        return false;
    *id = squeezed;
    return true;
}

/* Words of a value without brackets. */
static bool word_id(struct arena *arena, struct slice *rest, struct slice *id)
{
    while (rest->len) {
        struct slice word = *rest = slice_trim(*rest);
        for (word.len = 0; word.len < rest->len && !ascii_is_space(rest->ptr[word.len]);)
            word.len++;
        *rest = slice_from(*rest, word.len);
        if (word.len <= HEADER_MSGID_MAX && slice_find(word, '@') > 0) {
            *id = squeeze_in(arena, word);
            return true;
        }
    }
    return false;
}

bool header_msgid_take_in(struct arena *arena, struct slice *rest, struct slice *id)
{
    ptrdiff_t open = slice_find(*rest, '<');
    if (open < 0)
        return word_id(arena, rest, id);
    while (open >= 0) {
        struct slice inner = slice_from(*rest, (size_t)open + 1);
        ptrdiff_t close = slice_find(inner, '>');
        if (close < 0)
            break;
        inner = slice_sub(inner, 0, (size_t)close);
        /* "<a <b@c>": the last bracket opened counts. */
        inner = slice_from(inner, (size_t)(slice_rfind(inner, '<') + 1));
        *rest = slice_from(*rest, (size_t)(open + close) + 2);
        open = slice_find(*rest, '<');
        if (bracketed_id(arena, inner, id)) {
            if (open < 0)
                *rest = SLICE_EMPTY; /* words behind the last id are no ids */
            return true;
        }
    }
    *rest = SLICE_EMPTY;
    return false;
}
