/* problem.c: a bounded list of what is wrong with a configuration. Texts quote the operator's files. */
#include "base/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBLEM_TEXT_MAX  1000 /* bytes of one text */
#define PROBLEM_QUOTE_MAX 80

struct problems *problems_new_in(struct arena *arena)
{
    struct problems *list = ARENA_NEW(arena, struct problems);
    list->arena = arena;
    return list;
}

static struct slice printable_in(struct arena *arena, struct slice raw)
{
    static const char digits[] = "0123456789abcdef";
    bool utf8 = slice_is_utf8(raw);
    char *out = arena_must(arena, raw.len * 4 + 1);
    size_t len = 0;
    for (size_t i = 0; i < raw.len; i++) {
        uint8_t c = raw.ptr[i];
        if (ascii_is_print(c) || (utf8 && c >= 0x80)) {
            out[len++] = (char)c;
        } else {
            out[len++] = '\\';
            out[len++] = 'x';
            out[len++] = digits[c >> 4];
            out[len++] = digits[c & 15];
        }
    }
    return slice_make(out, len);
}

void problem_add(struct problems *list, enum problem_level level, struct slice file, uint32_t line,
                 struct slice remedy, const char *format, ...)
{
    if (level == PROBLEM_ERROR)
        list->errors++;
    else
        list->warnings++;
    if (list->count >= PROBLEM_MAX)
        return;
    char text[PROBLEM_TEXT_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t used = len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    struct problem *p = &list->items[list->count++];
    p->level = level;
    p->file = arena_dup(list->arena, file);
    p->line = line;
    p->text = printable_in(list->arena, slice_make(text, used));
    p->remedy = printable_in(list->arena, remedy);
}

struct slice problem_quote(struct arena *arena, struct slice raw)
{
    bool cut = raw.len > PROBLEM_QUOTE_MAX;
    size_t keep = cut ? PROBLEM_QUOTE_MAX : raw.len;
    while (cut && keep > 0 && (raw.ptr[keep] & 0xc0) == 0x80)
        keep--; /* not in the middle of a character */
    struct slice shown = printable_in(arena, slice_sub(raw, 0, keep));
    return arena_printf(arena, "\"%.*s%s\"", SLICE_ARG(shown), cut ? "…" : "");
}

static int place_order(const void *left, const void *right)
{
    const struct problem *a = *(const struct problem *const *)left,
                         *b = *(const struct problem *const *)right;
    int order = slice_cmp(a->file, b->file);
    if (order == 0 && a->line != b->line)
        order = a->line < b->line ? -1 : 1;
    if (order == 0)
        order = a < b ? -1 : a > b; /* as they were found */
    return order;
}

static void print_one(const struct problem *p, struct buf *text)
{
    if (p->file.len) {
        buf_add(text, p->file);
        if (p->line)
            buf_addf(text, ":%u", p->line);
        buf_add_str(text, ": ");
    }
    buf_add_str(text, p->level == PROBLEM_ERROR ? "error: " : "warning: ");
    buf_add(text, p->text);
    buf_add_byte(text, '\n');
    if (p->remedy.len) {
        buf_add_str(text, "    ");
        buf_add(text, p->remedy);
        buf_add_byte(text, '\n');
    }
}

void problems_print(const struct problems *list, struct buf *text)
{
    const struct problem *order[PROBLEM_MAX];
    for (size_t i = 0; i < list->count; i++)
        order[i] = &list->items[i];
    qsort(order, list->count, sizeof *order, place_order);
    for (size_t i = 0; i < list->count; i++)
        print_one(order[i], text);
    size_t all = list->errors + list->warnings;
    if (all > list->count)
        buf_addf(text, "and %zu more\n", all - list->count);
}
