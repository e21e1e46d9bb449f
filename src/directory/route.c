/* route.c: follows the one precedence from an address to its final targets. The address is a stranger's (RCPT
 * TO) or an operator's; every walk is bounded in depth, steps and targets. Called by queue, and by `rockdove
 * route`. */
#include <string.h>

#include "directory/table_inside.h"
#include "grammar/address.h"

/* Keys made on the way; the bounds on steps keep it far below. */
#define WALK_MEMORY_MAX (16u << 20)

struct walk {
    struct arena *arena; /* lives for the walk */
    const struct directory_table *table;
    bool explain, too_many;
    struct slice chain[DIRECTORY_DEPTH_MAX + 1]; /* keys between the question and here */
    size_t looked_up;
    struct vec targets, steps;
};

const char *directory_rule_name(enum directory_rule rule)
{
    static const char *const names[DIRECTORY_RULE_COUNT] = {
        "alias",     "alias to itself", "alias ignored",  "account", "plus-tag",
        "catch-all", "postmaster",      "not our domain", "unknown", "loop"};
    return rule < DIRECTORY_RULE_COUNT ? names[rule] : "?";
}

static void tell(struct walk *w, unsigned depth, enum directory_rule rule, struct slice address,
                 struct slice to, const struct directory_place *place)
{
    struct directory_step *step = w->explain ? vec_push(&w->steps) : NULL;
    if (step)
        *step = (struct directory_step){
            .depth = depth, .rule = rule, .address = address, .to = to, .place = place};
}

static void deliver(struct walk *w, bool local, struct slice address, struct slice tag)
{
    for (size_t i = 0; i < w->targets.len; i++) {
        const struct directory_target *known = VEC_AT(&w->targets, struct directory_target, i);
        if (known->local == local && slice_eq(known->address, address))
            return; /* each once, whatever its tag */
    }
    struct directory_target *target = vec_push(&w->targets);
    if (target)
        *target = (struct directory_target){.local = local, .address = address, .tag = tag};
    else
        w->too_many = true;
}

static bool in_chain(const struct walk *w, struct slice key, unsigned depth)
{
    for (unsigned i = 0; i < depth; i++)
        if (slice_eq(w->chain[i], key))
            return true;
    return false;
}

static bool expand(struct walk *w, struct slice key, struct slice text, struct slice tag, unsigned depth);

/* Delivers to the account with this key. */
static bool to_account(struct walk *w, struct slice key, struct slice tag, unsigned depth,
                       enum directory_rule rule, const struct directory_place *place)
{
    const struct directory_account *account = map_get(w->table->accounts, key);
    if (!account)
        return false;
    tell(w, depth, rule, key, account->address, place ? place : &account->entry->place);
    deliver(w, true, account->address, tag);
    return true;
}

/* All targets of an alias; one that is the key itself is the account of that address. */
static bool to_targets(struct walk *w, const struct table_alias *alias, struct slice key, struct slice tag,
                       unsigned depth, enum directory_rule rule)
{
    bool reached = false;
    for (size_t i = 0; i < alias->count && !w->too_many; i++) {
        const struct table_target *target = &alias->targets[i];
        struct slice to = table_target_key_in(w->arena, target, key);
        if (slice_eq(to, key)) {
            reached |= to_account(w, key, tag, depth, DIRECTORY_RULE_ALIAS_SELF, alias->place);
        } else if (in_chain(w, to, depth)) {
            w->looked_up++;
            tell(w, depth, DIRECTORY_RULE_LOOP, key, to, alias->place);
            reached |= to_account(w, to, tag, depth, DIRECTORY_RULE_ACCOUNT, NULL);
        } else {
            tell(w, depth, rule, key, to, alias->place);
            reached |= expand(w, to, target->key.len ? target->text : to, tag, depth + 1);
        }
    }
    return reached;
}

/* An alias that only names itself says nothing. */
static bool says_nothing(const struct table_alias *alias, struct slice key)
{
    return alias->count == 1 && slice_eq(alias->targets[0].key, key);
}

/* Exact alias, exact account. */
static bool exact(struct walk *w, struct slice key, struct slice tag, unsigned depth)
{
    const struct table_alias *alias = table_alias_of(w->table, key);
    if (alias && alias->ignored)
        tell(w, depth, DIRECTORY_RULE_ALIAS_IGNORED, key, alias->targets[0].text, alias->place);
    else if (alias && !says_nothing(alias, key))
        return to_targets(w, alias, key, tag, depth, DIRECTORY_RULE_ALIAS);
    return to_account(w, key, tag, depth, DIRECTORY_RULE_ACCOUNT, NULL);
}

/* Is there anything exact to find? An alias that leads nowhere still is the answer: no catch-all behind it.
 */
static bool has_exact(const struct directory_table *table, struct slice key)
{
    const struct table_alias *alias = table_alias_of(table, key);
    return map_get(table->accounts, key) || (alias && !alias->ignored && !says_nothing(alias, key));
}

static bool to_postmaster(struct walk *w, struct slice key, struct slice tag, unsigned depth)
{
    const struct directory_table *table = w->table;
    if (!slice_eq(table_key_local(key), SLICE("postmaster")) || !table->postmaster.len ||
        in_chain(w, table->postmaster, depth) || slice_eq(table->postmaster, key))
        return false;
    tell(w, depth, DIRECTORY_RULE_POSTMASTER, key, table->postmaster, NULL);
    return expand(w, table->postmaster, table->postmaster, tag, depth + 1);
}

static bool by_domain(struct walk *w, const struct table_domain *domain, struct slice key, struct slice tag,
                      unsigned depth)
{
    struct slice base, own_tag;
    if (has_exact(w->table, key))
        return exact(w, key, tag, depth);
    if (table_strip_tag_in(w->arena, key, &base, &own_tag) && has_exact(w->table, base)) {
        tell(w, depth, DIRECTORY_RULE_PLUS_TAG, key, base, NULL);
        return exact(w, base, own_tag, depth);
    }
    if (domain && domain->catch_all)
        return to_targets(w, domain->catch_all, key, SLICE_EMPTY, depth, DIRECTORY_RULE_CATCH_ALL);
    if (to_postmaster(w, key, tag, depth))
        return true;
    tell(w, depth, DIRECTORY_RULE_UNKNOWN, key, SLICE_EMPTY, NULL);
    return false;
}

/* Where mail for `key` goes; `text` is its spelling, for remote targets. True when somebody was reached. */
static bool expand(struct walk *w, struct slice key, struct slice text, struct slice tag, unsigned depth)
{
    if (depth > DIRECTORY_DEPTH_MAX || ++w->looked_up > DIRECTORY_STEPS_MAX) {
        w->too_many = true;
        return false;
    }
    w->chain[depth] = key;
    struct slice name = table_key_domain(key);
    const struct table_domain *domain = map_get(w->table->domains, name);
    if (domain || name.len == 0)
        return by_domain(w, domain, key, tag, depth);
    tell(w, depth, DIRECTORY_RULE_REMOTE, key, text, NULL);
    deliver(w, false, text, SLICE_EMPTY);
    return true;
}

/* Out of the walk's own memory into the caller's. */
static void keep_targets_in(struct arena *arena, const struct vec *targets, struct directory_route *route)
{
    route->count = targets->len;
    route->targets = ARENA_ARRAY(arena, struct directory_target, targets->len + 1);
    for (size_t i = 0; i < targets->len; i++) {
        const struct directory_target *target = VEC_AT(targets, struct directory_target, i);
        route->targets[i] = (struct directory_target){.local = target->local,
                                                      .address = arena_dup(arena, target->address),
                                                      .tag = arena_dup(arena, target->tag)};
    }
}

static void keep_steps_in(struct arena *arena, const struct vec *steps, struct directory_route *route)
{
    route->step_count = steps->len;
    route->steps = ARENA_ARRAY(arena, struct directory_step, steps->len + 1);
    for (size_t i = 0; i < steps->len; i++) {
        route->steps[i] = *VEC_AT(steps, struct directory_step, i);
        route->steps[i].address = arena_dup(arena, route->steps[i].address);
        route->steps[i].to = arena_dup(arena, route->steps[i].to);
    }
}

static enum directory_outcome outcome_of(const struct walk *w, struct slice key, bool reached)
{
    struct slice name = table_key_domain(key);
    if (w->too_many)
        return DIRECTORY_TOO_MANY;
    if (name.len && !map_get(w->table->domains, name))
        return DIRECTORY_REMOTE;
    return reached && w->targets.len ? DIRECTORY_DELIVER : DIRECTORY_UNKNOWN;
}

/* "postmaster" without a domain is the one of our own name. */
static struct slice whole_key_in(struct arena *arena, const struct directory_table *table,
                                 struct slice address)
{
    struct slice key = directory_fold_in(arena, address);
    if (key.len == 0 || slice_find(key, '@') >= 0 || table->hostname.len == 0)
        return key;
    return arena_printf(arena, "%.*s@%.*s", SLICE_ARG(key), SLICE_ARG(table->hostname));
}

void directory_route_in(struct arena *arena, const struct directory_table *table, struct slice address,
                        bool explain, struct directory_route *route)
{
    struct arena *scratch = arena_new(WALK_MEMORY_MAX);
    struct walk w = {.arena = scratch,
                     .table = table,
                     .explain = explain,
                     .targets = VEC_NEW(struct directory_target, DIRECTORY_EXPAND_MAX),
                     .steps = VEC_NEW(struct directory_step, DIRECTORY_STEPS_MAX)};
    struct slice key = whole_key_in(scratch, table, address);
    *route = (struct directory_route){.outcome = DIRECTORY_INVALID};
    if (key.len) {
        bool reached = expand(&w, key, address, SLICE_EMPTY, 0);
        route->outcome = outcome_of(&w, key, reached);
        keep_targets_in(arena, &w.targets, route);
        keep_steps_in(arena, &w.steps, route);
    }
    vec_free(&w.targets);
    vec_free(&w.steps);
    arena_free(&scratch);
}

/* ---- who may send as ---- */

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

/* An account's address is its own and nobody else's, whoever gets copies of its mail; an alias is owned by
 * the accounts it names, directly or through aliases that are no accounts; a free address by those the
 * catch-all names. */
static bool owns_key(struct owning *o, struct slice key, unsigned depth)
{
    const struct directory_table *table = o->table;
    struct slice base, tag;
    if (depth > DIRECTORY_DEPTH_MAX || ++o->looked_up > DIRECTORY_STEPS_MAX)
        return false;
    if (map_get(table->accounts, key))
        return slice_eq(key, o->account);
    const struct table_alias *alias = table_alias_of(table, key);
    if (alias && !says_nothing(alias, key))
        return owns_target(o, alias, key, depth);
    if (table_strip_tag_in(o->arena, key, &base, &tag) && has_exact(table, base))
        return owns_key(o, base, depth + 1);
    const struct table_domain *domain = map_get(table->domains, table_key_domain(key));
    if (domain && domain->catch_all)
        return owns_target(o, domain->catch_all, key, depth);
    return slice_eq(table_key_local(key), SLICE("postmaster")) && slice_eq(table->postmaster, o->account);
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
    struct slice key = whole_key_in(scratch, table, address);
    const struct table_domain *ours = map_get(table->domains, table_key_domain(key));
    bool owns =
        key.len && o.account.len && ((ours && owns_key(&o, key, 0)) || is_granted(table, o.account, key));
    arena_free(&scratch);
    return owns;
}
