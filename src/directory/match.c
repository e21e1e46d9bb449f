/* match.c: aliases that stand for many addresses: wildcards and regexp tables. Addresses are strangers'; what
 * one may cost is bounded in pattern.h and here. Called by route.c, owns.c and compare.c. */
#include <string.h>

#include "directory/input_list.h"
#include "directory/table_inside.h"
#include "grammar/address.h"

#define SCRATCH_MAX (1u << 18) /* for folding one address at a time */
#define TARGET_MAX  1024       /* of an address made from a template: no valid one is longer */

static const struct table_alias *wildcard_of(const struct directory_table *table, struct slice key,
                                             bool account)
{
    const struct table_domain *domain = map_get(table->domains, table_key_domain(key));
    struct slice local = table_key_local(key);
    for (const struct table_wildcard *w = domain ? domain->wildcards : NULL; w; w = w->next)
        if (pattern_wildcard(w->local, local) && (!account || table_names_self(w->alias, key)))
            return w->alias;
    return NULL;
}

/* ---- regexp tables ---- */

struct search {
    struct arena *arena;
    const struct directory_table *table;
    struct slice key;
    struct matcher *matcher;
    const struct directory_place *gave_up;
    unsigned give_ups;
};

static bool holds(struct search *s, const struct directory_rule_entry *entry)
{
    if (!entry->pattern)
        return false;
    enum pattern_result result = pattern_match(s->matcher, entry->pattern, s->key);
    if (result == PATTERN_GAVE_UP) {
        s->gave_up = &entry->place;
        s->give_ups++;
        return false;
    }
    return (result == PATTERN_YES) != entry->negate;
}

/* The endif of the if at `index`. */
static size_t behind_block(const struct directory_table *table, size_t index)
{
    unsigned depth = 0;
    for (; index < table->rule_count; index++) {
        enum directory_rule_kind kind = table->rules[index].entry->kind;
        depth += kind == DIRECTORY_RULE_IF;
        if (kind == DIRECTORY_RULE_ENDIF && --depth == 0)
            break;
    }
    return index;
}

static struct slice substitute_in(struct arena *arena, const struct search *s, struct slice template)
{
    AUTO_BUF struct buf made = buf_new(TARGET_MAX);
    struct slice text;
    unsigned group;
    while (template.len && directory_take_group(&template, &text, &group)) {
        buf_add(&made, text);
        if (group != DIRECTORY_NO_GROUP)
            buf_add(&made, matcher_group(s->matcher, s->key, group));
    }
    return buf_ok(&made) ? arena_dup(arena, buf_slice(&made)) : SLICE_EMPTY;
}

/* The rule's targets for this address. What comes out as no address is left out. */
static const struct table_alias *make_alias(const struct search *s, const struct directory_rule_entry *entry)
{
    struct table_alias *alias = ARENA_NEW(s->arena, struct table_alias);
    struct arena *scratch = arena_new(SCRATCH_MAX);
    alias->targets = ARENA_ARRAY(s->arena, struct table_target, entry->target_count);
    alias->place = &entry->place;
    for (size_t i = 0; i < entry->target_count; i++) {
        struct table_target target =
            table_target_new_in(s->arena, scratch, substitute_in(scratch, s, entry->targets[i]));
        if (target.key.len || target.domain.len)
            alias->targets[alias->count++] = target;
        arena_reset(scratch);
    }
    arena_free(&scratch);
    return alias;
}

/* The alias that the rule at `index` makes of the address; NULL when it does not apply. */
static const struct table_alias *apply(struct search *s, size_t index, bool account)
{
    const struct table_rule *rule = &s->table->rules[index];
    if (account && rule->fixed && !table_names_self(rule->fixed, s->key))
        return NULL;
    if (!holds(s, rule->entry))
        return NULL;
    const struct table_alias *alias = rule->fixed ? rule->fixed : make_alias(s, rule->entry);
    return account && !table_names_self(alias, s->key) ? NULL : alias;
}

static const struct table_alias *search_rules(struct search *s, bool account)
{
    const struct table_alias *found = NULL;
    for (size_t i = 0; i < s->table->rule_count && !found && s->give_ups < TABLE_GIVE_UPS_MAX; i++)
        switch (s->table->rules[i].entry->kind) {
        case DIRECTORY_RULE_IF:
            if (!holds(s, s->table->rules[i].entry))
                i = behind_block(s->table, i);
            break;
        case DIRECTORY_RULE_ENDIF:
            break;
        case DIRECTORY_RULE_MATCH:
            found = apply(s, i, account);
            break;
        }
    return found;
}

void table_match_in(struct arena *arena, const struct directory_table *table, struct slice key,
                    enum table_match_mode mode, struct table_match *match)
{
    bool account = mode == TABLE_MATCH_ACCOUNT;
    *match = (struct table_match){.rule = DIRECTORY_RULE_WILDCARD};
    if (mode != TABLE_MATCH_POSTFIX)
        match->alias = wildcard_of(table, key, account);
    if (match->alias || table->rule_count == 0)
        return;
    AUTO_MATCHER struct matcher *matcher = matcher_new();
    struct search search = {.arena = arena, .table = table, .key = key, .matcher = matcher};
    match->rule = DIRECTORY_RULE_REGEXP;
    match->alias = search_rules(&search, account);
    match->gave_up = search.gave_up;
}
