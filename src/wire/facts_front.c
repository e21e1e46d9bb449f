/* facts_front.c: facts of a message behind a header block of our own. The block is made by our own roles and
 * well-formed; called by store and imap. */
#include <string.h>

#include "wire/facts.h"

struct field {
    struct slice name, value, raw;
};

/* Takes the next field with its continuation lines off the front. */
static bool take_field(struct slice *rest, struct field *field)
{
    size_t end = 0;
    if (!rest->len)
        return false;
    do {
        ptrdiff_t lf = slice_find(slice_from(*rest, end), '\n');
        end = lf < 0 ? rest->len : end + (size_t)lf + 1;
    } while (end < rest->len && (rest->ptr[end] == ' ' || rest->ptr[end] == '\t'));
    field->raw = slice_sub(*rest, 0, end);
    *rest = slice_from(*rest, end);
    ptrdiff_t colon = slice_find(field->raw, ':');
    field->name = slice_trim(slice_sub(field->raw, 0, colon < 0 ? 0 : (size_t)colon));
    field->value = slice_trim(slice_from(field->raw, (size_t)(colon + 1)));
    return true;
}

static size_t count_lines(struct slice s)
{
    size_t lines = 0;
    for (size_t i = 0; i < s.len; i++)
        lines += s.ptr[i] == '\n';
    return lines;
}

static void shift_parts_in(struct arena *arena, struct facts *facts, uint64_t by)
{
    struct facts_part *parts = ARENA_ARRAY(arena, struct facts_part, facts->part_count);
    memcpy(parts, facts->parts, facts->part_count * sizeof *parts);
    for (size_t i = 0; i < facts->part_count; i++) {
        struct facts_part *part = &parts[i];
        if (i == 0) {
            part->inner_header_len += by;
            part->body_len += by;
        } else if (part->parent == 0 && part->header_off == 0) {
            part->header_len +=
                by; /* the body of a message that is not multipart: its header is the message's */
            part->body_off += by;
        } else {
            part->header_off += by;
            part->body_off += by;
        }
    }
    facts->parts = parts;
}

/* Puts the fields of the block that the cache keeps in front of those it holds. */
static void cache_fields_in(struct arena *arena, struct facts *facts, struct slice block)
{
    struct field field;
    size_t total = block.len + facts->headers.len, len = 0;
    uint8_t *headers = arena_must(arena, total + 1);
    for (struct slice rest = block; take_field(&rest, &field);) {
        if (!facts_is_cached(field.name))
            continue;
        memcpy(headers + len, field.raw.ptr, field.raw.len);
        len += field.raw.len;
    }
    if (facts->headers.len)
        memcpy(headers + len, facts->headers.ptr, facts->headers.len);
    facts->headers = slice_make(headers, len + facts->headers.len);
}

static void add_delivered_in(struct arena *arena, struct facts *facts, struct slice block)
{
    struct field field;
    struct slice at[FACTS_MAX_LIST];
    size_t count = 0;
    for (struct slice rest = block; take_field(&rest, &field);) {
        if (slice_ieq(field.name, SLICE("Delivered-To")) && count < FACTS_MAX_LIST)
            at[count++] = field.value;
        if (slice_ieq(field.name, SLICE("Received")) && facts->received_count < UINT32_MAX)
            facts->received_count++;
    }
    for (size_t i = 0; i < facts->delivered_to.count && count < FACTS_MAX_LIST; i++)
        at[count++] = facts->delivered_to.at[i];
    facts->delivered_to = (struct facts_list){count ? ARENA_ARRAY(arena, struct slice, count) : NULL, count};
    if (count)
        memcpy(facts->delivered_to.at, at, count * sizeof *at);
}

void facts_put_in_front(struct arena *arena, struct facts *facts, struct slice block)
{
    if (!block.len || !facts->part_count)
        return;
    shift_parts_in(arena, facts, block.len);
    cache_fields_in(arena, facts, block);
    add_delivered_in(arena, facts, block);
    facts->size += block.len;
    facts->header_len += block.len;
    facts->lines += count_lines(block);
}
