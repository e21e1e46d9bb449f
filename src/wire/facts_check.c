/* facts_check.c: are decoded facts consistent? They come from `scan`, which reads strangers' bytes and may be
 * hijacked: nothing here is taken on trust. Called by store before it keeps them. */
#include <string.h>

#include "wire/facts.h"

#define LITERAL_DIGITS_MAX 9

static bool is_list(const uint8_t *at)
{
    return *at == '(';
}

/* quoted = DQUOTE *QUOTED-CHAR DQUOTE (RFC 3501 section 9) */
static bool take_quoted(struct slice *s)
{
    for (size_t i = 1; i < s->len; i++) {
        uint8_t c = s->ptr[i];
        if (c == '"') {
            *s = slice_from(*s, i + 1);
            return true;
        }
        if (c == '\\' && ++i < s->len && s->ptr[i] != '"' && s->ptr[i] != '\\')
            return false;
        if (c == '\r' || c == '\n' || c == 0 || c >= 0x80)
            return false;
    }
    return false;
}

/* literal = "{" number "}" CRLF *CHAR8 */
static bool take_literal(struct slice *s)
{
    uint64_t len;
    ptrdiff_t end = slice_find(slice_sub(*s, 0, LITERAL_DIGITS_MAX + 2), '}');
    if (end < 0 || !slice_u64(slice_sub(*s, 1, (size_t)end - 1), s->len, &len))
        return false;
    struct slice rest = slice_from(*s, (size_t)end + 1), text;
    if (!slice_starts(rest, SLICE("\r\n")))
        return false;
    rest = slice_from(rest, 2);
    if (!slice_take_bytes(&rest, len, &text) || slice_find(text, 0) >= 0)
        return false;
    *s = rest;
    return true;
}

/* number / "NIL" */
static bool take_atom(struct slice *s)
{
    if (slice_starts(*s, SLICE("NIL"))) {
        *s = slice_from(*s, 3);
        return true;
    }
    size_t n = 0;
    while (n < s->len && ascii_is_digit(s->ptr[n]))
        n++;
    *s = slice_from(*s, n);
    return n > 0;
}

static bool take_item(struct slice *s)
{
    if (s->ptr[0] == '"')
        return take_quoted(s);
    return s->ptr[0] == '{' ? take_literal(s) : take_atom(s);
}

/* One parenthesised list of strings, numbers, NIL and lists, with one blank between (lists may touch), and no
 * more. */
static bool is_ready_text(struct slice s)
{
    size_t depth = 0;
    bool expect_item = true; /* after "(" or a blank */
    do {
        if (!s.len)
            return false;
        if (is_list(s.ptr)) {
            if (!expect_item || ++depth > FACTS_MAX_DEPTH)
                return false;
            s = slice_from(s, 1);
        } else if (s.ptr[0] == ')') {
            if (expect_item || !depth)
                return false;
            depth--;
            s = slice_from(s, 1);
            expect_item = s.len && is_list(s.ptr); /* lists may touch */
        } else if (s.ptr[0] == ' ') {
            if (expect_item || !depth)
                return false;
            s = slice_from(s, 1);
            expect_item = true;
        } else {
            if (!expect_item || !depth || !take_item(&s))
                return false;
            expect_item = false;
        }
    } while (depth);
    return !s.len;
}

/* UTF-8 on one line. */
static bool is_line(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < ' ' || s.ptr[i] == 0x7f)
            return false;
    return slice_is_utf8(s);
}

static bool is_text(struct slice s)
{
    return slice_find(s, 0) < 0 && slice_is_utf8(s);
}

/* Whole lines, each a field or its continuation. */
static bool are_fields(struct slice s)
{
    struct slice line;
    if (!s.len)
        return true;
    if (s.ptr[s.len - 1] != '\n' || s.ptr[0] == ' ' || s.ptr[0] == '\t')
        return false;
    while (slice_token(&s, '\n', &line))
        if (!line.len || (line.ptr[0] != ' ' && line.ptr[0] != '\t' && slice_find(line, ':') <= 0))
            return false;
    return true;
}

static bool are_lines(const struct facts_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (!is_line(list->at[i]))
            return false;
    return true;
}

static const char *check_texts(const struct facts *facts)
{
    const struct slice lines[] = {facts->message_id,        facts->in_reply_to,    facts->base_subject,
                                  facts->subject,           facts->search_from,    facts->search_to,
                                  facts->search_cc,         facts->search_bcc,     facts->sort_from,
                                  facts->sort_to,           facts->sort_cc,        facts->preview,
                                  facts->sort_display_from, facts->sort_display_to};
    if (!is_ready_text(facts->envelope) || !is_ready_text(facts->body) ||
        !is_ready_text(facts->bodystructure))
        return "ready text is no list";
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!is_line(lines[i]))
            return "text with control bytes or not UTF-8";
    if (!are_lines(&facts->from) || !are_lines(&facts->references) || !are_lines(&facts->delivered_to))
        return "list with control bytes or not UTF-8";
    if (!is_text(facts->text))
        return "search text is not UTF-8";
    return are_fields(facts->headers) ? NULL : "header cache is no header";
}

/* [off, off + len) inside [low, high), without overflow. */
static bool lies_in(uint64_t off, uint64_t len, uint64_t low, uint64_t high)
{
    return off >= low && off <= high && len <= high - off;
}

static bool is_root(const struct facts *facts)
{
    const struct facts_part *root = facts->parts;
    return root->kind == FACTS_MESSAGE && !root->parent && !root->number && !root->header_off &&
           !root->header_len && !root->body_off && root->body_len == facts->size &&
           root->inner_header_len == facts->header_len;
}

static bool has_good_texts(const struct facts_part *part)
{
    return part->type.len && part->subtype.len && is_line(part->type) && is_line(part->subtype) &&
           is_line(part->charset) && is_line(part->disposition) && is_line(part->name) && is_line(part->cid);
}

/* A row against the row it is numbered in. */
static bool fits(const struct facts_part *part, const struct facts_part *in)
{
    uint64_t end = in->body_off + in->body_len;
    return in->kind != FACTS_LEAF && lies_in(part->header_off, part->header_len, in->body_off, end) &&
           part->body_off == part->header_off + part->header_len &&
           lies_in(part->body_off, part->body_len, in->body_off, end) &&
           part->inner_header_len <= (part->kind == FACTS_MESSAGE ? part->body_len : 0);
}

static const char *check_parts(const struct facts *facts)
{
    uint32_t children[FACTS_MAX_PARTS] = {0};
    uint16_t depth[FACTS_MAX_PARTS] = {0};
    if (!facts->part_count || facts->part_count > FACTS_MAX_PARTS || !is_root(facts))
        return "the first part is not the message";
    for (size_t i = 0; i < facts->part_count; i++) {
        const struct facts_part *part = &facts->parts[i];
        if (!has_good_texts(part))
            return "part with a malformed text";
        if (i == 0)
            continue;
        if (part->parent >= i || part->number != ++children[part->parent] ||
            (depth[i] = (uint16_t)(depth[part->parent] + 1)) > FACTS_MAX_DEPTH)
            return "part out of order";
        if (!fits(part, &facts->parts[part->parent]))
            return "part outside of its parent";
    }
    return NULL;
}

static const char *check_cuts(const struct facts *facts, uint64_t received)
{
    uint64_t end = 0, cut = 0;
    for (size_t i = 0; i < facts->cut_count; i++) {
        const struct facts_cut *c = &facts->cuts[i];
        if (!c->len || !lies_in(c->off, c->len, end, received) || (i && c->off == end))
            return "cut outside of the message";
        end = c->off + c->len;
        cut += c->len;
    }
    if (facts->added.len > facts->size || facts->size - facts->added.len != received - cut)
        return "size does not add up";
    if (facts->added.len && !slice_ends(facts->added, SLICE("\r\n")))
        return "added fields are no lines";
    return slice_find(facts->added, 0) < 0 ? NULL : "added fields hold NUL";
}

static const char *check_numbers(const struct facts *facts)
{
    if (facts->flags > FACTS_FLAGS_ALL || facts->text_len > FACTS_MAX_TEXT ||
        (facts->text.len && facts->text.len != facts->text_len))
        return "numbers out of range";
    if (facts->header_len > facts->size || facts->lines > facts->size || facts->received_count > facts->size)
        return "numbers beyond the size";
    return facts->headers.len <= FACTS_MAX_HEADERS ? NULL : "header cache too long";
}

enum err facts_check(const struct facts *facts, uint64_t received_size, struct why *why)
{
    const char *wrong = check_numbers(facts);
    if (!wrong)
        wrong = check_cuts(facts, received_size);
    if (!wrong)
        wrong = check_parts(facts);
    if (!wrong)
        wrong = check_texts(facts);
    return wrong ? err_set(why, ERR_BAD, "facts: %s", wrong) : ERR_OK;
}
