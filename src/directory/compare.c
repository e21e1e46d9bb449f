/* compare.c: what docker-mailserver's Postfix would do with an address, beside what we do. There
 * virtual_alias_maps is asked for every address, accounts too: the whole address in the aliases, then in the
 * regexp tables; then user@domain without the tag and @domain in the aliases, again and again until an
 * address answers itself or nothing (postconf(5) virtual_alias_maps; virtual(5) and regexp_table(5) "TABLE
 * SEARCH ORDER"). */
#include <stdlib.h>
#include <string.h>

#include "directory/table_inside.h"

#define SCRATCH_MAX   (32u << 20) /* memory for one address */
#define SCRATCH_FULL  (16u << 20) /* an expansion that needs more is broken off */
#define LIST_TEXT_MAX 65536       /* bytes of one readable list */

struct postfix_walk {
    struct arena *arena;
    const struct directory_table *table;
    size_t looked_up;
    struct vec found; /* struct slice: final addresses */
    bool broken;
};

static const struct table_alias *postfix_lookup(struct postfix_walk *w, struct slice key)
{
    struct slice base, tag;
    struct table_match match = {0};
    const struct table_alias *alias = map_get(w->table->aliases, key);
    if (!alias)
        table_match_in(w->arena, w->table, key, TABLE_MATCH_POSTFIX, &match);
    if (match.alias)
        return match.alias;
    if (!alias && table_strip_tag_in(w->arena, key, &base, &tag))
        alias = map_get(w->table->aliases, base);
    if (alias)
        return alias;
    const struct table_domain *domain = map_get(w->table->domains, table_key_domain(key));
    return domain ? domain->catch_all : NULL;
}

static void postfix_final(struct postfix_walk *w, struct slice key)
{
    struct slice base = key, tag;
    if (!map_get(w->table->accounts, key) && table_strip_tag_in(w->arena, key, &base, &tag) &&
        !map_get(w->table->accounts, base))
        base = key;
    bool ours = map_get(w->table->domains, table_key_domain(base)) != NULL;
    if (ours && !map_get(w->table->accounts, base))
        return; /* bounced as unknown */
    struct slice *found = vec_push(&w->found);
    if (found)
        *found = base;
    else
        w->broken = true;
}

static void postfix_expand(struct postfix_walk *w, struct slice key, unsigned depth)
{
    if (depth > DIRECTORY_DEPTH_MAX || ++w->looked_up > DIRECTORY_STEPS_MAX ||
        arena_used(w->arena) > SCRATCH_FULL) {
        w->broken = true;
        return;
    }
    const struct table_alias *alias = postfix_lookup(w, key);
    if (!alias) {
        postfix_final(w, key);
        return;
    }
    for (size_t i = 0; i < alias->count; i++) {
        struct slice to = table_target_key_in(w->arena, &alias->targets[i], key);
        if (slice_eq(to, key))
            postfix_final(w, key);
        else
            postfix_expand(w, to, depth + 1);
    }
}

static int slice_order(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

/* Sorted, each once, with commas. */
static struct slice list_text(struct arena *arena, struct slice *addresses, size_t count, const char *none)
{
    AUTO_BUF struct buf text = buf_new(LIST_TEXT_MAX);
    if (count)
        qsort(addresses, count, sizeof *addresses, slice_order);
    for (size_t i = 0; i < count; i++) {
        if (i && slice_eq(addresses[i], addresses[i - 1]))
            continue;
        if (i)
            buf_add_str(&text, ", ");
        buf_add(&text, addresses[i]);
    }
    if (count == 0)
        buf_add_str(&text, none);
    return arena_dup(arena, buf_slice(&text));
}

static struct slice here_text(struct arena *arena, const struct directory_table *table, struct slice key)
{
    struct directory_route route;
    directory_route_in(arena, table, key, false, &route);
    struct slice *all = ARENA_ARRAY(arena, struct slice, route.count + 1);
    for (size_t i = 0; i < route.count; i++)
        all[i] = route.targets[i].local ? route.targets[i].address
                                        : directory_fold_in(arena, route.targets[i].address);
    return list_text(arena, all, route.outcome == DIRECTORY_TOO_MANY ? 0 : route.count, "nobody");
}

static struct slice there_text(struct arena *arena, const struct directory_table *table, struct slice key)
{
    struct postfix_walk w = {
        .arena = arena, .table = table, .found = VEC_NEW(struct slice, DIRECTORY_EXPAND_MAX)};
    postfix_expand(&w, key, 0);
    struct slice text = list_text(arena, w.found.items, w.broken ? 0 : w.found.len, "nobody");
    vec_free(&w.found);
    return text;
}

struct comparison {
    const struct directory_table *table;
    void (*each)(void *arg, struct slice address, struct slice here, struct slice there);
    void *arg;
    struct arena *scratch;
    size_t differences;
};

static void compare_one(struct comparison *c, struct slice key)
{
    struct slice here = here_text(c->scratch, c->table, key), there = there_text(c->scratch, c->table, key);
    if (!slice_eq(here, there)) {
        c->differences++;
        c->each(c->arg, key, here, there);
    }
    arena_reset(c->scratch);
}

size_t directory_compare_postfix(const struct directory_table *table,
                                 void (*each)(void *arg, struct slice address, struct slice here,
                                              struct slice there),
                                 void *arg)
{
    struct comparison c = {.table = table, .each = each, .arg = arg, .scratch = arena_new(SCRATCH_MAX)};
    size_t at = 0;
    struct slice key;
    for (size_t i = 0; i < table->count; i++)
        compare_one(&c, table->list[i].address);
    while (map_next(table->aliases, &at, &key))
        if (!map_get(table->accounts, key))
            compare_one(&c, key);
    arena_free(&c.scratch);
    return c.differences;
}
