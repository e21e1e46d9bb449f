/* conf.c: from the tree of a YAML file into structs, as a table says. Collects every problem, never stops at
 * the first. The file is the operator's; runs in the unprivileged configuration child and in commands. */
#include "base/conf_node.h"

#include <string.h>

#include "base/coll.h"

#define WORD_MAX 64 /* longest word whose spelling is compared */

struct conf_origin {
    struct idmap *lines; /* address of a member -> line */
};

struct reader {
    struct arena *arena;
    struct problems *problems;
    struct slice file;
    conf_env *env;
    void *env_arg;
    struct conf_origin *origin;
};

/* Where we are, for messages: listeners[2].tls */
struct path {
    const struct path *up;
    const char *name;
    size_t index; /* from 1; 0: no list */
};

static struct slice path_text(struct arena *arena, const struct path *path)
{
    if (!path)
        return SLICE_EMPTY;
    struct slice up = path_text(arena, path->up);
    if (path->index)
        return arena_printf(arena, "%.*s[%zu]", SLICE_ARG(up), path->index);
    return arena_printf(arena, "%.*s%s%s", SLICE_ARG(up), up.len ? "." : "", path->name);
}

static void note_line(struct reader *r, const void *member, uint32_t line)
{
    if (!idmap_put(r->origin->lines, (uint64_t)(uintptr_t)member, (void *)(uintptr_t)line))
        return; /* only places of messages are lost */
}

uint32_t conf_line(const struct conf_origin *origin, const void *field)
{
    return origin ? (uint32_t)(uintptr_t)idmap_get(origin->lines, (uint64_t)(uintptr_t)field) : 0;
}

/* ---- typing errors ---- */

/* Edits (insert, drop, change, swap neighbours) from one word to the other. */
static size_t edit_distance(struct slice a, struct slice b)
{
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b.len; j++)
        above[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t change = above[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1]);
            size_t best = above[j] + 1 < row[j - 1] + 1 ? above[j] + 1 : row[j - 1] + 1;
            best = change < best ? change : best;
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[b.len];
}

const char *conf_nearest(struct slice word, const char *const *candidates, size_t count)
{
    const char *nearest = NULL;
    size_t best = word.len / 3 + 1; /* farther away it is another word */
    if (word.len == 0 || word.len > WORD_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        struct slice candidate = slice_of(candidates[i]);
        if (candidate.len == 0 || candidate.len > WORD_MAX)
            continue;
        size_t distance = edit_distance(word, candidate);
        if (distance <= best && (!nearest || distance < best)) {
            best = distance;
            nearest = candidates[i];
        }
    }
    return nearest;
}

static struct slice names_joined(struct arena *arena, const char *const *names, size_t count)
{
    struct slice all = SLICE_EMPTY;
    for (size_t i = 0; i < count; i++)
        all = arena_printf(arena, "%.*s%s%s", SLICE_ARG(all), i ? ", " : "", names[i]);
    return all;
}

/* ---- ${ENV} ---- */

/* The value with ${NAME} replaced. False when one is not set, or the result is too long; then a problem was
 * added. */
static bool expand_env(struct reader *r, const struct path *path, const struct conf_node *node,
                       struct slice *value)
{
    if (slice_search(node->text, SLICE("${")) < 0) {
        *value = node->text;
        return true;
    }
    AUTO_BUF struct buf out = buf_new(CONF_SCALAR_MAX);
    struct slice rest = node->text;
    for (ptrdiff_t at; (at = slice_search(rest, SLICE("${"))) >= 0;) {
        bool escaped = at > 0 && rest.ptr[at - 1] == '$';
        buf_add(&out, slice_sub(rest, 0, (size_t)at - escaped));
        rest = slice_from(rest, (size_t)at + 2);
        ptrdiff_t end = slice_find(rest, '}');
        if (escaped) {
            buf_add_str(&out, "${");
            continue;
        }
        struct slice name = end < 0 ? rest : slice_sub(rest, 0, (size_t)end);
        const char *found = end > 0 && r->env ? r->env(r->env_arg, arena_cstr(r->arena, name)) : NULL;
        if (!found) {
            struct slice where = path_text(r->arena, path), quoted = problem_quote(r->arena, name);
            problem_add(r->problems, PROBLEM_ERROR, r->file, node->line,
                        SLICE("set it, or write the value here"), "%.*s: the environment has no %.*s",
                        SLICE_ARG(where), SLICE_ARG(quoted));
            return false;
        }
        buf_add_str(&out, found);
        rest = slice_from(rest, (size_t)end + 1);
    }
    buf_add(&out, rest);
    if (!buf_ok(&out)) {
        struct slice where = path_text(r->arena, path);
        problem_add(r->problems, PROBLEM_ERROR, r->file, node->line, SLICE_EMPTY, "%.*s: value is too long",
                    SLICE_ARG(where));
        return false;
    }
    *value = arena_dup(r->arena, buf_slice(&out));
    return true;
}

/* ---- values ---- */

/* What stands in place of a value in an error: never the text of a secret or of the environment. */
static struct slice shown(struct reader *r, const struct conf_field *field, const struct conf_node *node)
{
    return field->flags & CONF_SECRET ? SLICE("the value") : problem_quote(r->arena, node->text);
}

static struct slice value_remedy(struct reader *r, const struct conf_field *field, enum conf_kind kind,
                                 const char *form, struct slice text)
{
    if (kind == CONF_ENUM) {
        size_t count = conf_names_count(field->names);
        struct slice all = names_joined(r->arena, field->names, count);
        const char *nearest = conf_nearest(text, field->names, count);
        if (nearest)
            return arena_printf(r->arena, "write %s: %s (one of: %.*s)", field->name, nearest,
                                SLICE_ARG(all));
        return arena_printf(r->arena, "write one of: %.*s", SLICE_ARG(all));
    }
    return arena_printf(r->arena, "write %s", form);
}

static bool in_bounds(const struct conf_field *field, enum conf_kind kind, const void *at)
{
    uint64_t number;
    if ((field->min == 0 && field->max == 0) ||
        (kind != CONF_U64 && kind != CONF_SIZE && kind != CONF_DURATION))
        return true;
    memcpy(&number, at, sizeof number);
    return number >= field->min && (field->max == 0 || number <= field->max);
}

static void bounds_problem(struct reader *r, const struct conf_field *field, enum conf_kind kind,
                           const struct path *path, const struct conf_node *node)
{
    AUTO_BUF struct buf low = buf_new(64), high = buf_new(64);
    conf_value_print(field, kind, &field->min, &low);
    conf_value_print(field, kind, &field->max, &high);
    struct slice where = path_text(r->arena, path), quoted = shown(r, field, node);
    struct slice remedy = field->max
                              ? arena_printf(r->arena, "write a value from %.*s to %.*s",
                                             SLICE_ARG(buf_slice(&low)), SLICE_ARG(buf_slice(&high)))
                              : arena_printf(r->arena, "write at least %.*s", SLICE_ARG(buf_slice(&low)));
    problem_add(r->problems, PROBLEM_ERROR, r->file, node->line, remedy, "%.*s: %.*s is out of bounds",
                SLICE_ARG(where), SLICE_ARG(quoted));
}

static void read_scalar(struct reader *r, const struct conf_field *field, enum conf_kind kind,
                        const struct path *path, const struct conf_node *node, void *at)
{
    struct slice value;
    if (node->kind != CONF_NODE_SCALAR) {
        struct slice where = path_text(r->arena, path);
        problem_add(r->problems, PROBLEM_ERROR, r->file, node->line, SLICE_EMPTY,
                    "%.*s: takes a single value", SLICE_ARG(where));
        return;
    }
    if (!expand_env(r, path, node, &value))
        return;
    const char *form = conf_value_read_in(r->arena, field, kind, value, at);
    if (form) {
        struct slice where = path_text(r->arena, path), quoted = shown(r, field, node);
        problem_add(r->problems, PROBLEM_ERROR, r->file, node->line,
                    value_remedy(r, field, kind, form, value), "%.*s: %.*s cannot be read", SLICE_ARG(where),
                    SLICE_ARG(quoted));
        return;
    }
    if (!in_bounds(field, kind, at))
        bounds_problem(r, field, kind, path, node);
    note_line(r, at, node->line);
}

static void read_struct(struct reader *r, const struct conf_table *table, const struct path *path,
                        const struct conf_node *node, void *out);

static void read_item(struct reader *r, const struct conf_field *field, const struct path *path,
                      const struct conf_node *node, void *at)
{
    if (field->item == CONF_STRUCT)
        read_struct(r, field->table, path, node, at);
    else
        read_scalar(r, field, field->item, path, node, at);
}

static void read_list(struct reader *r, const struct conf_field *field, const struct path *path,
                      const struct conf_node *node, void *at)
{
    bool single = node->kind != CONF_NODE_LIST;
    struct conf_list list = {.count = single ? 1 : node->count};
    struct slice where = path_text(r->arena, path);
    size_t max = field->max ? field->max : CONF_LIST_MAX;
    if (list.count > max || list.count < field->min) {
        problem_add(r->problems, PROBLEM_ERROR, r->file, node->line, SLICE_EMPTY,
                    "%.*s: %zu entries; %llu to %zu can stand here", SLICE_ARG(where), list.count,
                    (unsigned long long)field->min, max);
        return;
    }
    size_t size = conf_value_size(field, field->item);
    list.items = list.count ? arena_must(r->arena, list.count * size) : NULL;
    const struct conf_node *child = single ? node : node->first;
    for (size_t i = 0; i < list.count; i++, child = child->next) {
        struct path item = {.up = path, .index = i + 1};
        read_item(r, field, &item, child, (char *)list.items + i * size);
    }
    memcpy(at, &list, sizeof list);
    note_line(r, at, node->line);
}

static void read_field(struct reader *r, const struct conf_field *field, const struct path *up,
                       const struct conf_node *node, void *out)
{
    struct path path = {.up = up, .name = field->name};
    void *at = (char *)out + field->offset;
    if (node->null)
        return; /* "key:" with nothing behind it keeps the default */
    if (field->flags & CONF_NOT_YET) {
        struct slice where = path_text(r->arena, &path);
        problem_add(r->problems, PROBLEM_WARNING, r->file, node->key_line, SLICE_EMPTY,
                    "%.*s: understood, but not yet in effect in this version", SLICE_ARG(where));
    }
    if (field->kind == CONF_STRUCT)
        read_struct(r, field->table, &path, node, at);
    else if (field->kind == CONF_LIST)
        read_list(r, field, &path, node, at);
    else
        read_scalar(r, field, field->kind, &path, node, at);
}

/* ---- structs ---- */

static size_t find_field(const struct conf_table *table, struct slice name)
{
    size_t i = 0;
    while (i < table->count && !slice_eq(slice_of(table->fields[i].name), name))
        i++;
    return i;
}

static void unknown_key(struct reader *r, const struct conf_table *table, const struct path *path,
                        const struct conf_node *node)
{
    const char **names = ARENA_ARRAY(r->arena, const char *, table->count);
    for (size_t i = 0; i < table->count; i++)
        names[i] = table->fields[i].name;
    struct slice where = path_text(r->arena, path), quoted = problem_quote(r->arena, node->key);
    struct slice all = names_joined(r->arena, names, table->count);
    const char *nearest = conf_nearest(node->key, names, table->count);
    struct slice remedy = nearest ? arena_printf(r->arena, "did you mean \"%s\"?", nearest)
                                  : arena_printf(r->arena, "known here: %.*s", SLICE_ARG(all));
    problem_add(r->problems, PROBLEM_ERROR, r->file, node->key_line, remedy, "%.*s%sunknown key %.*s",
                SLICE_ARG(where), where.len ? ": " : "", SLICE_ARG(quoted));
}

static void set_defaults(struct arena *arena, const struct conf_table *table, void *out)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct conf_field *field = &table->fields[i];
        void *at = (char *)out + field->offset;
        if (field->kind == CONF_STRUCT)
            set_defaults(arena, field->table, at);
        else if (field->fallback && field->kind != CONF_LIST)
            (void)conf_value_read_in(arena, field, field->kind, slice_of(field->fallback), at);
    }
}

void conf_defaults_in(struct arena *arena, const struct conf_table *table, void *out)
{
    set_defaults(arena, table, out);
}

static void missing_keys(struct reader *r, const struct conf_table *table, const struct path *path,
                         uint32_t line, const bool *seen)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct conf_field *field = &table->fields[i];
        if (seen[i] || !(field->flags & CONF_REQUIRED))
            continue;
        struct slice where = path_text(r->arena, path);
        struct slice remedy =
            arena_printf(r->arena, "add %s: %s", field->name, field->example ? field->example : "…");
        problem_add(r->problems, PROBLEM_ERROR, r->file, line, remedy, "%.*s%s%s is missing",
                    SLICE_ARG(where), where.len ? ": " : "", field->name);
    }
}

static void read_struct(struct reader *r, const struct conf_table *table, const struct path *path,
                        const struct conf_node *node, void *out)
{
    bool *seen = ARENA_ARRAY(r->arena, bool, table->count);
    set_defaults(r->arena, table, out);
    note_line(r, out, node->line);
    if (node->kind != CONF_NODE_MAP) {
        struct slice where = path_text(r->arena, path);
        problem_add(r->problems, PROBLEM_ERROR, r->file, node->line, slice_of("write \"key: value\" pairs"),
                    "%.*s: takes keys, not a single value or a list", SLICE_ARG(where));
        return;
    }
    for (const struct conf_node *child = node->first; child; child = child->next) {
        size_t i = find_field(table, child->key);
        if (i == table->count) {
            unknown_key(r, table, path, child);
        } else if (seen[i]) {
            struct slice where =
                path_text(r->arena, &(struct path){.up = path, .name = table->fields[i].name});
            problem_add(r->problems, PROBLEM_ERROR, r->file, child->key_line, SLICE("remove one of the two"),
                        "%.*s is given twice", SLICE_ARG(where));
        } else {
            seen[i] = true;
            read_field(r, &table->fields[i], path, child, out);
        }
    }
    missing_keys(r, table, path, node->line, seen);
}

static void free_lines(void *arg)
{
    struct idmap *lines = arg;
    idmap_free(&lines);
}

enum err conf_parse_in(struct arena *arena, const struct conf_table *table, struct slice yaml,
                       struct slice file, conf_env *env, void *env_arg, void *out,
                       struct conf_origin **origin, struct problems *problems)
{
    struct reader r = {.arena = arena,
                       .problems = problems,
                       .file = file,
                       .env = env,
                       .env_arg = env_arg,
                       .origin = ARENA_NEW(arena, struct conf_origin)};
    r.origin->lines = idmap_new(CONF_NODES_MAX);
    arena_defer(arena, free_lines, r.origin->lines);
    size_t errors = problems->errors;
    struct conf_node empty = {.kind = CONF_NODE_MAP};
    struct conf_node *root = conf_node_parse_in(arena, yaml, file, problems);
    bool broken = problems->errors > errors; /* not YAML: what it lacks is not worth saying */
    if (broken)
        set_defaults(arena, table, out);
    else
        read_struct(&r, table, NULL, root && !root->null ? root : &empty, out);
    *origin = r.origin;
    return problems->errors > errors ? ERR_BAD : ERR_OK;
}
