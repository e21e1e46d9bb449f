/* route.c: follows the one precedence from an address to its final targets. The address is a stranger's (RCPT
 * TO) or an operator's; every walk is bounded in depth, steps and targets. Called by queue, and by `rockdove
 * route`. */
#include <string.h>

#include "base/buf.h"
#include "directory/table_inside.h"
#include "grammar/address.h"

/* Keys and substituted targets made on the way: past WALK_MEMORY_FULL a walk ends as too long. One step adds
 * far less than the rest. */
#define WALK_MEMORY_MAX  (16u << 20)
#define WALK_MEMORY_FULL (8u << 20)
#define CHAINS_MAX       10 /* loops of one walk written out */

struct walk {
    struct arena *arena; /* lives for the walk */
    const struct directory_table *table;
    bool explain, too_many;
    struct slice chain[DIRECTORY_DEPTH_MAX + 1]; /* keys between the question and here */
    size_t looked_up, loops;
    struct vec targets, steps;
    struct map *remotes; /* keys of the targets elsewhere */
};

const char *directory_rule_name(enum directory_rule rule)
{
    static const char *const names[DIRECTORY_RULE_COUNT] = {
        "alias",     "alias to itself", "alias ignored",     "account", "plus-tag",
        "catch-all", "postmaster",      "not our domain",    "unknown", "loop",
        "wildcard",  "expression",      "expression gave up"};
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

/* Another server's, once for all spellings. */
static void deliver_elsewhere(struct walk *w, struct slice key, struct slice text)
{
    if (map_get(w->remotes, key))
        return;
    struct address parsed;
    bool known = address_parse_in(w->arena, text, ADDRESS_ALLOW_UTF8, &parsed, NULL) == ERR_OK;
    if (!map_put(w->remotes, key, w))
        w->too_many = true;
    deliver(w, false, known ? parsed.text : key, SLICE_EMPTY);
}

static bool in_chain(const struct walk *w, struct slice key, unsigned depth)
{
    for (unsigned i = 0; i < depth; i++)
        if (slice_eq(w->chain[i], key))
            return true;
    return false;
}

/* "a -> b -> a" from the first time `to` was asked. */
static struct slice chain_text_in(struct arena *arena, const struct walk *w, struct slice to, unsigned depth)
{
    AUTO_BUF struct buf text = buf_new((size_t)(DIRECTORY_DEPTH_MAX + 2) * (ADDRESS_MAX + 8));
    for (unsigned i = 0; i <= depth; i++)
        if (text.len || slice_eq(w->chain[i], to))
            buf_addf(&text, "%.*s -> ", SLICE_ARG(w->chain[i]));
    buf_add(&text, to);
    return arena_dup(arena, buf_slice(&text));
}

static void tell_loop(struct walk *w, struct slice key, struct slice to, unsigned depth,
                      const struct directory_place *place)
{
    w->looked_up++;
    tell(w, depth, DIRECTORY_RULE_LOOP, key, to, place);
    if (w->explain && w->steps.len && w->loops < CHAINS_MAX)
        VEC_AT(&w->steps, struct directory_step, w->steps.len - 1)->chain =
            chain_text_in(w->arena, w, to, depth);
    w->loops++;
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
            tell_loop(w, key, to, depth, alias->place);
            reached |= to_account(w, to, tag, depth, DIRECTORY_RULE_ACCOUNT, NULL);
        } else {
            tell(w, depth, rule, key, to, alias->place);
            reached |= expand(w, to, target->key.len ? target->text : to, tag, depth + 1);
        }
    }
    return reached;
}

/* What a wildcard or expression says about `key`; for an account's address only what adds to it. */
static bool to_match(struct walk *w, struct slice key, struct slice tag, unsigned depth,
                     enum table_match_mode mode, bool *reached)
{
    struct table_match match;
    table_match_in(w->arena, w->table, key, mode, &match);
    if (match.gave_up)
        tell(w, depth, DIRECTORY_RULE_GAVE_UP, key, SLICE_EMPTY, match.gave_up);
    if (!match.alias || table_says_nothing(match.alias, key))
        return false;
    *reached = to_targets(w, match.alias, key, tag, depth, match.rule);
    return true;
}

/* Exact alias, exact account. */
static bool exact(struct walk *w, struct slice key, struct slice tag, unsigned depth)
{
    const struct table_alias *alias = table_alias_of(w->table, key);
    bool reached;
    if (alias && alias->ignored)
        tell(w, depth, DIRECTORY_RULE_ALIAS_IGNORED, key, alias->targets[0].text, alias->place);
    else if (alias && !table_says_nothing(alias, key))
        return to_targets(w, alias, key, tag, depth, DIRECTORY_RULE_ALIAS);
    if (to_match(w, key, tag, depth, TABLE_MATCH_ACCOUNT, &reached))
        return reached;
    return to_account(w, key, tag, depth, DIRECTORY_RULE_ACCOUNT, NULL);
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
    bool reached;
    if (table_has_exact(w->table, key))
        return exact(w, key, tag, depth);
    if (table_strip_tag_in(w->arena, key, &base, &own_tag) && table_has_exact(w->table, base)) {
        tell(w, depth, DIRECTORY_RULE_PLUS_TAG, key, base, NULL);
        return exact(w, base, own_tag, depth);
    }
    if (to_match(w, key, SLICE_EMPTY, depth, TABLE_MATCH_FREE, &reached))
        return reached;
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
    if (depth > DIRECTORY_DEPTH_MAX || ++w->looked_up > DIRECTORY_STEPS_MAX ||
        arena_used(w->arena) > WALK_MEMORY_FULL) {
        w->too_many = true;
        return false;
    }
    w->chain[depth] = key;
    struct slice name = table_key_domain(key);
    const struct table_domain *domain = map_get(w->table->domains, name);
    if (domain || name.len == 0)
        return by_domain(w, domain, key, tag, depth);
    tell(w, depth, DIRECTORY_RULE_REMOTE, key, text, NULL);
    deliver_elsewhere(w, key, text);
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
        route->steps[i].chain = arena_dup(arena, route->steps[i].chain);
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

struct slice table_whole_key_in(struct arena *arena, const struct directory_table *table,
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
                     .remotes = map_new(DIRECTORY_EXPAND_MAX),
                     .targets = VEC_NEW(struct directory_target, DIRECTORY_EXPAND_MAX),
                     .steps = VEC_NEW(struct directory_step, DIRECTORY_STEPS_MAX)};
    struct slice key = table_whole_key_in(scratch, table, address);
    *route = (struct directory_route){.outcome = DIRECTORY_INVALID};
    if (key.len) {
        bool reached = expand(&w, key, address, SLICE_EMPTY, 0);
        route->outcome = outcome_of(&w, key, reached);
        route->loop = w.loops > 0;
        keep_targets_in(arena, &w.targets, route);
        keep_steps_in(arena, &w.steps, route);
    }
    map_free(&w.remotes);
    vec_free(&w.targets);
    vec_free(&w.steps);
    arena_free(&scratch);
}
