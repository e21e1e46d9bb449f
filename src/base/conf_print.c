/* conf_print.c: what the table knows, for people: the settings in effect, and the manual. Called by commands.
 */
#include "base/conf_node.h"

#include <stdio.h>
#include <string.h>

static void show_struct(const struct conf_table *table, const char *from, unsigned indent, struct buf *yaml);

static void spaces(unsigned count, struct buf *text)
{
    for (unsigned i = 0; i < count; i++)
        buf_add_byte(text, ' ');
}

/* Texts and addresses may be left out; every other kind always has a value. */
static bool is_unset(enum conf_kind kind, const void *at)
{
    if (kind == CONF_STRING)
        return ((const struct slice *)at)->len == 0;
    return kind == CONF_ADDRESS && ((const struct conf_address *)at)->text.len == 0;
}

static void show_scalar(const struct conf_field *field, enum conf_kind kind, const void *at, struct buf *yaml)
{
    if ((field->flags & CONF_SECRET) && !is_unset(kind, at))
        buf_add_str(yaml, "(set, not shown)");
    else
        conf_value_print(field, kind, at, yaml);
}

/* Scalars on one line; structs below each other, the first key behind the dash. */
static void show_list(const struct conf_field *field, const struct conf_list *list, unsigned indent,
                      struct buf *yaml)
{
    size_t size = conf_value_size(field, field->item);
    bool inline_list = field->item != CONF_STRUCT;
    buf_add_str(yaml, inline_list || !list->count ? " [" : "\n");
    for (size_t i = 0; i < list->count; i++) {
        const char *at = (const char *)list->items + i * size;
        if (inline_list) {
            buf_add_str(yaml, i ? ", " : " ");
            show_scalar(field, field->item, at, yaml);
            continue;
        }
        spaces(indent + 2, yaml);
        buf_add_str(yaml, "-\n");
        show_struct(field->table, at, indent + 4, yaml);
    }
    if (inline_list || !list->count)
        buf_add_str(yaml, list->count ? " ]\n" : "]\n");
}

static void show_struct(const struct conf_table *table, const char *from, unsigned indent, struct buf *yaml)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct conf_field *field = &table->fields[i];
        const void *at = from + field->offset;
        if (is_unset(field->kind, at))
            continue; /* not set */
        spaces(indent, yaml);
        buf_addf(yaml, "%s:", field->name);
        if (field->kind == CONF_STRUCT) {
            buf_add_byte(yaml, '\n');
            show_struct(field->table, at, indent + 2, yaml);
        } else if (field->kind == CONF_LIST) {
            show_list(field, at, indent, yaml);
        } else {
            buf_add_byte(yaml, ' ');
            show_scalar(field, field->kind, at, yaml);
            buf_add_byte(yaml, '\n');
        }
    }
}

void conf_show(const struct conf_table *table, const void *settings, struct buf *yaml)
{
    show_struct(table, settings, 0, yaml);
}

/* ---- manual ---- */

static const char *kind_text(enum conf_kind kind)
{
    static const char *const texts[CONF_KIND_COUNT] = {
        [CONF_BOOL] = "true or false",   [CONF_STRING] = "text",
        [CONF_U64] = "whole number",     [CONF_SIZE] = "size",
        [CONF_DURATION] = "time",        [CONF_ENUM] = "one of",
        [CONF_ADDRESS] = "ADDRESS:PORT", [CONF_NETWORK] = "network",
        [CONF_STRUCT] = "keys",          [CONF_LIST] = "list"};
    return texts[kind];
}

static void manual_bounds(const struct conf_field *field, struct buf *md)
{
    if (field->kind != CONF_U64 && field->kind != CONF_SIZE && field->kind != CONF_DURATION)
        return;
    if (field->min == 0 && field->max == 0)
        return;
    buf_add_str(md, ", from ");
    conf_value_print(field, field->kind, &field->min, md);
    if (field->max) {
        buf_add_str(md, " to ");
        conf_value_print(field, field->kind, &field->max, md);
    }
}

static void manual_type(const struct conf_field *field, struct buf *md)
{
    enum conf_kind kind = field->kind == CONF_LIST ? field->item : field->kind;
    if (field->kind == CONF_LIST)
        buf_add_str(md, "list of ");
    buf_add_str(md, kind_text(kind));
    for (size_t i = 0; kind == CONF_ENUM && field->names[i]; i++)
        buf_addf(md, "%s `%s`", i ? "," : "", field->names[i]);
    manual_bounds(field, md);
    if (field->flags & CONF_REQUIRED)
        buf_add_str(md, "; required");
    else if (field->fallback)
        buf_addf(md, "; default `%s`", field->fallback);
    if (field->flags & CONF_NOT_YET)
        buf_add_str(md, "; not yet in effect");
}

static void manual_table(const struct conf_table *table, const char *prefix, unsigned depth, struct buf *md)
{
    for (size_t i = 0; i < table->count && depth < CONF_DEPTH_MAX; i++) {
        const struct conf_field *field = &table->fields[i];
        buf_addf(md, "\n%s `%s%s`\n\n", depth ? "###" : "##", prefix, field->name);
        buf_addf(md, "*");
        manual_type(field, md);
        buf_addf(md, "*\n");
        if (field->help)
            buf_addf(md, "\n%s\n", field->help);
        if (field->example)
            buf_addf(md, "\n```yaml\n%s: %s\n```\n", field->name, field->example);
        if (!field->table)
            continue;
        AUTO_BUF struct buf below = buf_new(CONF_DEPTH_MAX * 64);
        buf_addf(&below, "%s%s%s", prefix, field->name, field->kind == CONF_LIST ? "[]." : ".");
        buf_add_byte(&below, 0);
        manual_table(field->table, (const char *)below.data, depth + 1, md);
    }
}

void conf_print_manual(const struct conf_table *table, struct buf *markdown)
{
    if (table->help)
        buf_addf(markdown, "%s\n", table->help);
    manual_table(table, "", 0, markdown);
}
