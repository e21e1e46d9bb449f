/* owns.c: which account may send as which address. Addresses are what clients of submission say. Called by
 * queue, and by `rockdove route`. */
#include "directory/table_inside.h"

#define WALK_MEMORY_MAX  (16u << 20)
#define WALK_MEMORY_FULL (8u << 20) /* no further then */

struct owning {
    struct arena *arena;
    const struct directory_table *table;
    struct slice account;
    size_t looked_up;
};

static bool owns_key(struct owning *o, struct slice key, unsigned depth);

static bool owns_target(struct owning *o, const struct table_alias *alias, struct slice key, unsigned depth)
{
    for (size_t i = 0; i < alias->count; i++) {
        struct slice to = table_target_key_in(o->arena, &alias->targets[i], key);
        if (!slice_eq(to, key) && owns_key(o, to, depth + 1))
            return true;
    }
    return false;
}

/* Those whom a wildcard or expression names. */
static bool owns_match(struct owning *o, struct slice key, unsigned depth, bool *owns)
{
    struct table_match match;
    table_match_in(o->arena, o->table, key, TABLE_MATCH_FREE, &match);
    if (!match.alias || table_says_nothing(match.alias, key))
        return false;
    *owns = owns_target(o, match.alias, key, depth);
    return true;
}

/* An account's address is its own and nobody else's, whoever gets copies of its mail; an alias is owned by
 * the accounts it names, directly or through aliases that are no accounts; a free address by those its
 * wildcard or expression names, else the catch-all. */
static bool owns_key(struct owning *o, struct slice key, unsigned depth)
{
    const struct directory_table *table = o->table;
    struct slice base, tag;
    bool owns;
    if (depth > DIRECTORY_DEPTH_MAX || ++o->looked_up > DIRECTORY_STEPS_MAX ||
        arena_used(o->arena) > WALK_MEMORY_FULL)
        return false;
    if (map_get(table->accounts, key))
        return slice_eq(key, o->account);
    const struct table_alias *alias = table_alias_of(table, key);
    if (alias && !table_says_nothing(alias, key))
        return owns_target(o, alias, key, depth);
    if (table_strip_tag_in(o->arena, key, &base, &tag) && table_has_exact(table, base))
        return owns_key(o, base, depth + 1);
    const struct table_domain *domain = map_get(table->domains, table_key_domain(key));
    if (domain && owns_match(o, key, depth, &owns))
        return owns;
    if (domain && domain->catch_all)
        return owns_target(o, domain->catch_all, key, depth);
    return domain && slice_eq(table_key_local(key), SLICE("postmaster")) &&
           slice_eq(table->postmaster, o->account);
}

static bool is_granted(const struct directory_table *table, struct slice account, struct slice key)
{
    const struct table_grants *grants = map_get(table->grants, account);
    struct slice domain = table_key_domain(key);
    for (size_t i = 0; grants && i < grants->count; i++) {
        struct slice granted = grants->keys[i];
        if (slice_eq(granted, key) || (granted.ptr[0] == '@' && slice_eq(slice_from(granted, 1), domain)))
            return true;
    }
    return false;
}

bool directory_owns(const struct directory_table *table, struct slice account, struct slice address)
{
    if (address.len == 0)
        return true;
    struct arena *scratch = arena_new(WALK_MEMORY_MAX);
    struct owning o = {.arena = scratch, .table = table, .account = directory_fold_in(scratch, account)};
    struct slice key = table_whole_key_in(scratch, table, address);
    const struct table_domain *ours = map_get(table->domains, table_key_domain(key));
    bool owns =
        key.len && o.account.len && ((ours && owns_key(&o, key, 0)) || is_granted(table, o.account, key));
    arena_free(&scratch);
    return owns;
}
