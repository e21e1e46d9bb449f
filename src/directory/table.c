/* table.c: makes the one address table from everything that was read, and says what does not fit together.
 * Trusts the readers for folded keys, nothing else. Called by auth, queue and the commands at start and on
 * reload. */
#include "directory/table_inside.h"

#include <string.h>

#include "directory/input_list.h"
#include "grammar/address.h"
#include "grammar/domain.h"

struct making {
    struct arena *arena;
    struct directory_table *table;
    struct directory_input *input;
    const struct settings *settings;
    const struct conf_origin *origin;
    struct slice file;
};

static void free_map(void *arg)
{
    struct map *map = arg;
    map_free(&map);
}

static struct map *new_map_in(struct arena *arena)
{
    struct map *map = map_new((size_t)DIRECTORY_ENTRIES_MAX * 2);
    arena_defer(arena, free_map, map);
    return map;
}

/* The maximum was checked when the entries were read. */
static void put_new(struct map *map, struct slice key, void *value)
{
    bool added = map_put(map, key, value);
    (void)added;
}

struct slice table_key_domain(struct slice key)
{
    ptrdiff_t at = slice_rfind(key, '@');
    return at < 0 ? SLICE_EMPTY : slice_from(key, (size_t)at + 1);
}

struct slice table_key_local(struct slice key)
{
    ptrdiff_t at = slice_rfind(key, '@');
    return at < 0 ? key : slice_sub(key, 0, (size_t)at);
}

bool table_strip_tag_in(struct arena *arena, struct slice key, struct slice *base, struct slice *tag)
{
    struct slice local = table_key_local(key), domain = table_key_domain(key), user;
    if (slice_starts(local, SLICE("\"")) || !address_split_tag(local, '+', &user, tag))
        return false;
    *base = arena_printf(arena, "%.*s%s%.*s", SLICE_ARG(user), domain.len ? "@" : "", SLICE_ARG(domain));
    return true;
}

const struct table_alias *table_alias_of(const struct directory_table *table, struct slice key)
{
    const struct table_alias *alias = map_get(table->aliases, key);
    struct slice domain = table_key_domain(key);
    if (!alias && (domain.len == 0 || slice_eq(domain, table->hostname)))
        alias = map_get(table->locals, table_key_local(key));
    return alias;
}

struct slice table_target_key_in(struct arena *arena, const struct table_target *target, struct slice key)
{
    if (target->key.len)
        return target->key;
    struct slice local = table_key_local(key);
    return arena_printf(arena, "%.*s@%.*s", SLICE_ARG(local), SLICE_ARG(target->domain));
}

bool table_says_nothing(const struct table_alias *alias, struct slice key)
{
    return alias->count == 1 && slice_eq(alias->targets[0].key, key);
}

bool table_names_self(const struct table_alias *alias, struct slice key)
{
    for (size_t i = 0; i < alias->count; i++) {
        const struct table_target *target = &alias->targets[i];
        if (target->key.len ? slice_eq(target->key, key) : slice_eq(target->domain, table_key_domain(key)))
            return true;
    }
    return false;
}

bool table_has_exact(const struct directory_table *table, struct slice key)
{
    const struct table_alias *alias = table_alias_of(table, key);
    return map_get(table->accounts, key) || (alias && !alias->ignored && !table_says_nothing(alias, key));
}

struct table_target table_target_new_in(struct arena *arena, struct arena *scratch, struct slice text)
{
    struct table_target target = {0};
    struct address parsed;
    struct slice domain;
    if (!slice_starts(text, SLICE("@"))) {
        unsigned flags = ADDRESS_ALLOW_UTF8 | ADDRESS_ALLOW_POSTMASTER;
        if (address_parse_in(scratch, text, flags, &parsed, NULL) == ERR_OK) {
            target.key = arena_dup(arena, address_key_in(scratch, &parsed));
            target.text = slice_eq(target.key, parsed.text) ? target.key : arena_dup(arena, parsed.text);
        }
    } else if (domain_to_alabel_in(scratch, slice_from(text, 1), &domain, NULL) == ERR_OK) {
        target.domain = arena_dup(arena, domain);
        target.text = arena_printf(arena, "@%.*s", SLICE_ARG(domain));
    }
    return target;
}

/* ---- domains and accounts ---- */

static struct table_domain *add_domain(struct making *m, struct slice name)
{
    struct table_domain *domain = map_get(m->table->domains, name);
    if (!domain && name.len) {
        domain = ARENA_NEW(m->arena, struct table_domain);
        domain->name = name;
        put_new(m->table->domains, name, domain);
    }
    return domain;
}

/* "FILE:LINE", for the other place of a conflict. */
static struct slice place_text(struct making *m, const struct directory_place *place)
{
    return place->line ? arena_printf(m->arena, "%.*s:%u", SLICE_ARG(place->file), place->line) : place->file;
}

static void account_twice(struct making *m, const struct directory_account_entry *first,
                          const struct directory_account_entry *second)
{
    struct slice other = place_text(m, &first->place);
    bool same_file = slice_eq(first->place.file, second->place.file);
    bool same = slice_eq(first->secret, second->secret);
    if (same && !same_file)
        return; /* one meaning, said twice */
    problem_add(m->input->problems, same ? PROBLEM_WARNING : PROBLEM_ERROR, second->place.file,
                second->place.line, SLICE("remove one of the two"),
                "account %.*s is also in %.*s%s; the first counts", SLICE_ARG(second->address),
                SLICE_ARG(other), same ? "" : " with another password");
}

static void add_accounts(struct making *m)
{
    size_t count = directory_account_count(m->input);
    m->table->list = ARENA_ARRAY(m->arena, struct directory_account, count ? count : 1);
    for (size_t i = 0; i < count; i++) {
        const struct directory_account_entry *entry = directory_account_at(m->input, i);
        const struct directory_account *known = map_get(m->table->accounts, entry->key);
        if (known) {
            account_twice(m, known->entry, entry);
            continue;
        }
        struct directory_account *account = &m->table->list[m->table->count++];
        *account =
            (struct directory_account){.address = entry->key,
                                       .quota = entry->has_quota ? entry->quota : m->settings->quota.account,
                                       .entry = entry};
        put_new(m->table->accounts, entry->key, account);
        (void)add_domain(m, table_key_domain(entry->key));
    }
}

static void add_quotas(struct making *m)
{
    for (size_t i = 0; i < m->input->quotas.len; i++) {
        const struct directory_quota_entry *entry = QUOTA_AT(m->input, i);
        struct directory_account *account = map_get(m->table->accounts, entry->key);
        if (account)
            account->quota = entry->bytes;
        else
            problem_add(m->input->problems, PROBLEM_WARNING, entry->place.file, entry->place.line,
                        SLICE("remove the line, or correct the address"),
                        "quota for %.*s, which is no account", SLICE_ARG(entry->key));
    }
}

/* ---- aliases ---- */

static struct table_target make_target(struct making *m, struct slice text)
{
    struct table_target target = table_target_new_in(m->arena, m->input->scratch, text);
    arena_reset(m->input->scratch);
    return target;
}

static struct table_alias *make_alias(struct making *m, const struct slice *targets, size_t count,
                                      const struct directory_place *place)
{
    struct table_alias *alias = ARENA_NEW(m->arena, struct table_alias);
    alias->targets = ARENA_ARRAY(m->arena, struct table_target, count);
    alias->place = place;
    for (size_t i = 0; i < count; i++) {
        struct table_target target = make_target(m, targets[i]);
        if (target.key.len || target.domain.len)
            alias->targets[alias->count++] = target;
    }
    return alias;
}

static bool has_target(const struct table_alias *alias, const struct table_target *wanted)
{
    for (size_t i = 0; i < alias->count; i++)
        if (slice_eq(alias->targets[i].key, wanted->key) &&
            slice_eq(alias->targets[i].domain, wanted->domain))
            return true;
    return false;
}

static bool same_targets(const struct table_alias *a, const struct table_alias *b)
{
    for (size_t i = 0; i < a->count; i++)
        if (!has_target(b, &a->targets[i]))
            return false;
    for (size_t i = 0; i < b->count; i++)
        if (!has_target(a, &b->targets[i]))
            return false;
    return true;
}

static void alias_twice(struct making *m, struct slice what, const struct table_alias *first,
                        const struct table_alias *second)
{
    if (same_targets(first, second))
        return;
    bool same_file = slice_eq(first->place->file, second->place->file);
    struct slice other = place_text(m, first->place), quoted = problem_quote(m->arena, first->place->text);
    problem_add(m->input->problems, same_file ? PROBLEM_WARNING : PROBLEM_ERROR, second->place->file,
                second->place->line, SLICE("write all targets on one line, separated by commas"),
                "alias %.*s is also in %.*s, with other targets: %.*s; the first counts", SLICE_ARG(what),
                SLICE_ARG(other), SLICE_ARG(quoted));
}

static void add_to_map(struct making *m, struct map *map, struct slice key, struct table_alias *alias)
{
    const struct table_alias *known = map_get(map, key);
    if (known)
        alias_twice(m, key, known, alias);
    else
        put_new(map, key, alias);
}

static void add_catch_all(struct making *m, struct slice domain_name, struct table_alias *alias)
{
    struct table_domain *domain = add_domain(m, domain_name);
    if (domain->catch_all)
        alias_twice(m, arena_printf(m->arena, "@%.*s", SLICE_ARG(domain_name)), domain->catch_all, alias);
    else
        domain->catch_all = alias;
}

static void add_wildcard(struct making *m, struct slice key, struct table_alias *alias)
{
    struct table_domain *domain = add_domain(m, table_key_domain(key));
    struct table_wildcard *wildcard = ARENA_NEW(m->arena, struct table_wildcard);
    *wildcard = (struct table_wildcard){.local = table_key_local(key), .alias = alias};
    for (const struct table_wildcard *w = domain->wildcards; w; w = w->next)
        if (slice_eq(w->local, wildcard->local)) {
            alias_twice(m, key, w->alias, alias);
            return;
        }
    if (domain->last_wildcard)
        domain->last_wildcard->next = wildcard;
    else
        domain->wildcards = wildcard;
    domain->last_wildcard = wildcard;
}

static void add_aliases(struct making *m)
{
    for (size_t i = 0; i < m->input->aliases.len; i++) {
        const struct directory_alias_entry *entry = ALIAS_AT(m->input, i);
        struct table_alias *alias = make_alias(m, entry->targets, entry->target_count, &entry->place);
        switch (entry->kind) {
        case DIRECTORY_ALIAS_ADDRESS:
            add_to_map(m, m->table->aliases, entry->key, alias);
            (void)add_domain(m, table_key_domain(entry->key));
            break;
        case DIRECTORY_ALIAS_LOCAL:
            add_to_map(m, m->table->locals, entry->key, alias);
            break;
        case DIRECTORY_ALIAS_DOMAIN:
            add_catch_all(m, entry->key, alias);
            break;
        case DIRECTORY_ALIAS_WILDCARD:
            add_wildcard(m, entry->key, alias);
            break;
        }
    }
}

static void add_rules(struct making *m)
{
    struct directory_table *table = m->table;
    table->rule_count = m->input->rules.len;
    table->rules = ARENA_ARRAY(m->arena, struct table_rule, table->rule_count + 1);
    for (size_t i = 0; i < table->rule_count; i++) {
        struct table_rule *rule = &table->rules[i];
        rule->entry = RULE_AT(m->input, i);
        if (rule->entry->kind == DIRECTORY_RULE_MATCH && !rule->entry->templated)
            rule->fixed = make_alias(m, rule->entry->targets, rule->entry->target_count, &rule->entry->place);
    }
}

/* ---- what the settings say ---- */

static void settings_problem(struct making *m, enum problem_level level, const void *field,
                             const char *remedy, const char *what, struct slice value)
{
    struct slice quoted = problem_quote(m->arena, value);
    problem_add(m->input->problems, level, m->file, conf_line(m->origin, field), slice_of(remedy), "%s: %.*s",
                what, SLICE_ARG(quoted));
}

static void add_settings_domain(struct making *m, const struct settings_domain *said)
{
    struct slice name;
    if (domain_to_alabel_in(m->arena, said->name, &name, NULL) != ERR_OK) {
        settings_problem(m, PROBLEM_ERROR, &said->name, "write it as example.org", "this is no domain",
                         said->name);
        return;
    }
    (void)add_domain(m, name);
    if (said->catch_all.len == 0)
        return;
    struct directory_place *place = ARENA_NEW(m->arena, struct directory_place);
    *place = (struct directory_place){
        .file = m->file,
        .line = conf_line(m->origin, &said->catch_all),
        .text = arena_printf(m->arena, "catch_all: %.*s", SLICE_ARG(said->catch_all))};
    struct table_alias *alias = make_alias(m, &said->catch_all, 1, place);
    if (alias->count)
        add_catch_all(m, name, alias);
    else
        settings_problem(m, PROBLEM_ERROR, &said->catch_all, "write it as user@example.org",
                         "catch_all is no address", said->catch_all);
}

static void add_grant(struct making *m, const struct settings_sender_grant *said)
{
    struct slice account = directory_fold_in(m->arena, said->account);
    struct table_grants *grants = ARENA_NEW(m->arena, struct table_grants);
    grants->keys = ARENA_ARRAY(m->arena, struct slice, said->addresses.count + 1);
    for (size_t i = 0; i < said->addresses.count; i++) {
        struct table_target target = make_target(m, said->addresses.items[i]);
        if (target.key.len)
            grants->keys[grants->count++] = target.key;
        else if (target.domain.len)
            grants->keys[grants->count++] = arena_printf(m->arena, "@%.*s", SLICE_ARG(target.domain));
        else
            settings_problem(m, PROBLEM_ERROR, &said->addresses.items[i],
                             "write user@example.org or @example.org", "sender_grants: no address",
                             said->addresses.items[i]);
    }
    if (account.len == 0 || map_get(m->table->grants, account))
        settings_problem(m, PROBLEM_ERROR, &said->account, "write each account once, as user@example.org",
                         "sender_grants: no address, or given twice", said->account);
    else
        put_new(m->table->grants, account, grants);
}

static void choose_postmaster(struct making *m)
{
    struct slice said = m->settings->postmaster;
    struct directory_table *table = m->table;
    if (said.len)
        table->postmaster = directory_fold_in(m->arena, said);
    if (said.len && table->postmaster.len == 0)
        settings_problem(m, PROBLEM_ERROR, &m->settings->postmaster, "write it as user@example.org",
                         "postmaster is no address", said);
    if (table->postmaster.len == 0 && table->count)
        table->postmaster = table->list[0].address;
}

static void add_settings(struct making *m)
{
    const struct settings *s = m->settings;
    for (size_t i = 0; i < s->domains.count; i++)
        add_settings_domain(m, &s->domains.items[i]);
    for (size_t i = 0; i < s->sender_grants.count; i++)
        add_grant(m, &s->sender_grants.items[i]);
    if (domain_to_alabel_in(m->arena, s->hostname, &m->table->hostname, NULL) != ERR_OK)
        m->table->hostname = SLICE_EMPTY; /* settings_check() tells */
    (void)add_domain(m, m->table->hostname);
    choose_postmaster(m);
}

struct directory_table *directory_table_new_in(struct arena *arena, struct directory_input *input,
                                               const struct settings *settings,
                                               const struct conf_origin *origin, struct slice file)
{
    struct directory_table *table = ARENA_NEW(arena, struct directory_table);
    struct making m = {.arena = arena,
                       .table = table,
                       .input = input,
                       .settings = settings,
                       .origin = origin,
                       .file = arena_dup(arena, file)};
    table->arena = arena;
    table->accounts = new_map_in(arena);
    table->aliases = new_map_in(arena);
    table->locals = new_map_in(arena);
    table->domains = new_map_in(arena);
    table->grants = new_map_in(arena);
    add_accounts(&m);
    add_quotas(&m);
    add_aliases(&m);
    add_rules(&m);
    add_settings(&m);
    table_ignore_taking_aliases(table, input->problems);
    table_report(table, input->problems);
    return table;
}

/* ---- simple questions ---- */

const struct directory_account *directory_account(const struct directory_table *table, struct slice address)
{
    struct arena *scratch = arena_new(1u << 16);
    const struct directory_account *account = map_get(table->accounts, directory_fold_in(scratch, address));
    arena_free(&scratch);
    return account;
}

size_t directory_table_accounts(const struct directory_table *table)
{
    return table->count;
}

const struct directory_account *directory_table_account_at(const struct directory_table *table, size_t index)
{
    return index < table->count ? &table->list[index] : NULL;
}

bool directory_is_domain(const struct directory_table *table, struct slice domain)
{
    struct arena *scratch = arena_new(1u << 16);
    struct slice name;
    bool ours =
        domain_to_alabel_in(scratch, domain, &name, NULL) == ERR_OK && map_get(table->domains, name) != NULL;
    arena_free(&scratch);
    return ours;
}
