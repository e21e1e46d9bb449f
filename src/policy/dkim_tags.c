/* dkim_tags.c: tag lists, the form of signature fields and key records (RFC 6376 section 3.2). Reads
 * strangers' text. */
#include <string.h>

#include "grammar/base64.h"
#include "policy/dkim_inside.h"

static bool is_name_byte(uint8_t c, bool first)
{
    return ascii_is_alpha(c) || (!first && (ascii_is_digit(c) || c == '_'));
}

static bool is_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!is_name_byte(name.ptr[i], i == 0))
            return false;
    return name.len > 0;
}

/* VALCHAR and what folds; bytes above 0x7f are UTF-8 of RFC 8616. */
static bool is_value(struct slice value)
{
    for (size_t i = 0; i < value.len; i++)
        if (!ascii_is_space(value.ptr[i]) && (value.ptr[i] <= ' ' || value.ptr[i] == 0x7f))
            return false;
    return true;
}

/* tag-spec = [FWS] tag-name [FWS] "=" [FWS] tag-value [FWS];  tag-name = ALPHA *ALNUMPUNC */
static enum err parse_tag(struct slice spec, struct dkim_tag *tag, struct why *why)
{
    ptrdiff_t equals = slice_find(spec, '=');
    if (equals < 0)
        return err_set(why, ERR_BAD, "a tag without \"=\"");
    *tag = (struct dkim_tag){.name = slice_trim(slice_sub(spec, 0, (size_t)equals)),
                             .whole = slice_from(spec, (size_t)equals + 1)};
    tag->value = slice_trim(tag->whole);
    if (!is_name(tag->name))
        return err_set(why, ERR_BAD, "an ill-formed tag name");
    if (!is_value(tag->value))
        return err_set(why, ERR_BAD, "control characters in a tag");
    return ERR_OK;
}

static bool is_known(const struct dkim_tags *tags, struct slice name)
{
    for (size_t i = 0; i < tags->count; i++)
        if (slice_eq(tags->at[i].name, name))
            return true;
    return false;
}

/* tag-list = tag-spec *( ";" tag-spec ) [ ";" ] */
enum err dkim_tags_parse(struct slice text, struct dkim_tags *tags, struct why *why)
{
    tags->count = 0;
    while (text.len) {
        ptrdiff_t semicolon = slice_find(text, ';');
        struct slice spec = semicolon < 0 ? text : slice_sub(text, 0, (size_t)semicolon);
        text = semicolon < 0 ? SLICE_EMPTY : slice_from(text, (size_t)semicolon + 1);
        if (semicolon < 0 && tags->count && !slice_trim(spec).len)
            break; /* behind the last ";" */
        if (tags->count == DKIM_TAGS_MAX)
            return err_set(why, ERR_BAD, "more than %d tags", DKIM_TAGS_MAX);
        struct dkim_tag tag;
        enum err err = parse_tag(spec, &tag, why);
        if (err)
            return err;
        if (is_known(tags, tag.name))
            return err_set(why, ERR_BAD, "a tag stands twice");
        tags->at[tags->count++] = tag;
    }
    return tags->count ? ERR_OK : err_set(why, ERR_BAD, "no tags");
}

const struct dkim_tag *dkim_tags_find(const struct dkim_tags *tags, const char *name)
{
    for (size_t i = 0; i < tags->count; i++)
        if (slice_eq(tags->at[i].name, slice_of(name)))
            return &tags->at[i];
    return NULL;
}

struct slice dkim_tag_squeeze_in(struct arena *arena, struct slice value)
{
    uint8_t *bytes = arena_must(arena, value.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < value.len; i++)
        if (!ascii_is_space(value.ptr[i]))
            bytes[len++] = value.ptr[i];
    return slice_make(bytes, len);
}

bool dkim_tag_base64_in(struct arena *arena, struct slice value, struct slice *bytes)
{
    return base64_decode_in(arena, dkim_tag_squeeze_in(arena, value), bytes);
}

bool dkim_tag_word(struct slice *rest, uint8_t sep, struct slice *word)
{
    if (!slice_token(rest, sep, word))
        return false;
    *word = slice_trim(*word);
    return true;
}
