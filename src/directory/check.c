/* check.c: what in a finished table does not fit together: aliases and rules that reach nobody, lead in a
 * circle, or would take an account's mail. Called by table.c; the texts are for `rockdove check` and the log.
 */
#include "base/random.h"
#include "directory/table_inside.h"

#include <string.h>

#define SCRATCH_MAX (16u << 20) /* for one address at a time: a route's result */
#define LOOPS_MAX   1000        /* circles reported */
/* Expressions tried on accounts; more accounts or rules, and the question is left to `route
 * --compare-postfix`. */
#define TRIALS_MAX 50000

struct checking {
    const struct directory_table *table;
    struct problems *problems;
    struct arena *scratch;
    struct map *loops; /* circles reported, as text */
};

/* ---- aliases that take ---- */

/* The one other account that would get all mail of the account `key`, or NULL. */
static const struct directory_account *taken_by(const struct directory_table *table, struct arena *scratch,
                                                struct slice key, const struct table_alias *alias)
{
    struct directory_route route;
    if (alias->count != 1 || slice_eq(alias->targets[0].key, key))
        return NULL;
    struct slice target = table_target_key_in(scratch, &alias->targets[0], key);
    directory_route_in(scratch, table, target, false, &route);
    if (route.outcome != DIRECTORY_DELIVER || route.count != 1 || !route.targets[0].local)
        return NULL;
    return slice_eq(route.targets[0].address, key) ? NULL
                                                   : directory_account(table, route.targets[0].address);
}

/* "FILE:LINE", for the other place of a conflict. */
static struct slice place_text_in(struct arena *arena, const struct directory_place *place)
{
    return place->line ? arena_printf(arena, "%.*s:%u", SLICE_ARG(place->file), place->line) : place->file;
}

static void report_taking(struct problems *problems, const struct directory_account *account,
                          const struct table_alias *alias)
{
    struct arena *arena = problems->arena;
    struct slice line = problem_quote(arena, alias->place->text);
    struct slice own = problem_quote(arena, account->entry->place.text),
                 where = place_text_in(arena, &account->entry->place);
    struct slice remedy = arena_printf(
        arena, "remove the line; or, for copies to both, write: %.*s %.*s,%.*s", SLICE_ARG(account->address),
        SLICE_ARG(account->address), SLICE_ARG(alias->targets[0].text));
    problem_add(problems, PROBLEM_WARNING, alias->place->file, alias->place->line, remedy,
                "alias %.*s would take all mail of the account %.*s (%.*s) to another account; ignored",
                SLICE_ARG(line), SLICE_ARG(own), SLICE_ARG(where));
}

/* First find all of them (with every alias in force), then leave them out. */
void table_ignore_taking_aliases(struct directory_table *table, struct problems *problems)
{
    struct table_alias **taking = ARENA_ARRAY(table->arena, struct table_alias *, table->count + 1);
    struct arena *scratch = arena_new(SCRATCH_MAX);
    size_t count = 0;
    for (size_t i = 0; i < table->count; i++) {
        const struct directory_account *account = &table->list[i];
        struct table_alias *alias = map_get(table->aliases, account->address);
        if (alias && taken_by(table, scratch, account->address, alias)) {
            taking[count++] = alias;
            report_taking(problems, account, alias);
        }
        arena_reset(scratch);
    }
    arena_free(&scratch);
    for (size_t i = 0; i < count; i++)
        taking[i]->ignored = true;
}

/* ---- circles ---- */

/* "b -> c -> a -> b" begun at its smallest address, so that each circle has one text: "a -> b -> c -> a". */
static struct slice rotate_in(struct arena *arena, struct slice chain, struct slice *first)
{
    static const char arrow[] = " -> ";
    struct slice rest = chain, smallest = SLICE_EMPTY;
    ptrdiff_t at;
    while ((at = slice_search(rest, SLICE(" -> "))) >= 0) {
        struct slice one = slice_sub(rest, 0, (size_t)at);
        if (smallest.len == 0 || slice_cmp(one, smallest) < 0)
            smallest = one;
        rest = slice_from(rest, (size_t)at + strlen(arrow));
    }
    *first = smallest;
    if (smallest.len == 0 || smallest.ptr == chain.ptr)
        return chain;
    size_t from = (size_t)(smallest.ptr - chain.ptr), last = chain.len - rest.len;
    return arena_printf(arena, "%.*s%.*s%.*s", SLICE_ARG(slice_sub(chain, from, last - from)),
                        SLICE_ARG(slice_sub(chain, 0, from)), SLICE_ARG(smallest));
}

/* Where its first address stands, if that is an alias; else where it was found. */
static const struct directory_place *loop_place(const struct checking *c, struct slice first,
                                                const struct directory_place *found)
{
    const struct table_alias *alias = table_alias_of(c->table, first);
    return alias ? alias->place : found;
}

static void report_loops(struct checking *c, struct slice asked)
{
    struct directory_route route;
    directory_route_in(c->scratch, c->table, asked, true, &route);
    for (size_t i = 0; i < route.step_count; i++) {
        const struct directory_step *step = &route.steps[i];
        struct slice first, chain;
        if (step->chain.len == 0)
            continue;
        chain = rotate_in(c->problems->arena, step->chain, &first);
        if (map_get(c->loops, chain))
            continue;
        chain = arena_dup(c->problems->arena, chain);
        if (!map_put(c->loops, chain, c))
            return;
        const struct directory_place *place = loop_place(c, first, step->place);
        problem_add(c->problems, PROBLEM_WARNING, place ? place->file : SLICE_EMPTY, place ? place->line : 0,
                    SLICE("take one of them out of another's targets"), "aliases lead in a circle: %.*s",
                    SLICE_ARG(chain));
    }
}

/* ---- dead ends ---- */

static bool reaches(struct checking *c, struct slice address, enum directory_outcome *outcome)
{
    struct directory_route route;
    directory_route_in(c->scratch, c->table, address, false, &route);
    if (route.loop)
        report_loops(c, address);
    *outcome = route.outcome;
    return route.outcome == DIRECTORY_DELIVER || route.outcome == DIRECTORY_REMOTE;
}

static void check_alias(struct checking *c, struct slice asked, struct slice name, const char *kind,
                        const struct directory_place *place)
{
    enum directory_outcome outcome;
    if (!reaches(c, asked, &outcome))
        problem_add(c->problems, PROBLEM_ERROR, place->file, place->line,
                    SLICE("name an account, another alias, or an address elsewhere"),
                    "%s %.*s reaches nobody%s", kind, SLICE_ARG(name),
                    outcome == DIRECTORY_TOO_MANY ? ": a loop, or too many targets" : "");
    arena_reset(c->scratch);
}

/* An address nobody has. */
static struct slice probe_in(struct arena *arena, const char *what, struct slice domain)
{
    return arena_printf(arena, "%s-probe-%016llx@%.*s", what, (unsigned long long)random_u64(),
                        SLICE_ARG(domain));
}

static struct slice wildcard_probe_in(struct arena *arena, const struct table_wildcard *wildcard,
                                      struct slice domain)
{
    AUTO_BUF struct buf text = buf_new(65536);
    struct slice rest = wildcard->local;
    ptrdiff_t star;
    for (; (star = slice_find(rest, '*')) >= 0; rest = slice_from(rest, (size_t)star + 1)) {
        buf_add(&text, slice_sub(rest, 0, (size_t)star));
        buf_addf(&text, "%06x", (unsigned)(random_u64() & 0xffffff));
    }
    buf_add(&text, rest);
    buf_add_byte(&text, '@');
    buf_add(&text, domain);
    return arena_dup(arena, buf_slice(&text));
}

static void check_domain(struct checking *c, const struct table_domain *domain)
{
    for (const struct table_wildcard *w = domain->wildcards; w; w = w->next) {
        struct slice name =
            arena_printf(c->problems->arena, "%.*s@%.*s", SLICE_ARG(w->local), SLICE_ARG(domain->name));
        check_alias(c, wildcard_probe_in(c->scratch, w, domain->name), name, "alias", w->alias->place);
    }
    if (!domain->catch_all)
        return;
    struct slice name = arena_printf(c->problems->arena, "@%.*s", SLICE_ARG(domain->name));
    check_alias(c, probe_in(c->scratch, "catch-all", domain->name), name, "the catch-all",
                domain->catch_all->place);
}

/* Targets that are the same for every address can be asked. */
static void check_rule(struct checking *c, const struct table_rule *rule)
{
    const struct directory_place *place = &rule->entry->place;
    for (size_t i = 0; rule->fixed && i < rule->fixed->count; i++) {
        const struct table_target *target = &rule->fixed->targets[i];
        enum directory_outcome outcome;
        if (target->key.len && !reaches(c, target->key, &outcome))
            problem_add(c->problems, PROBLEM_ERROR, place->file, place->line,
                        SLICE("name an account, another alias, or an address elsewhere"),
                        "target %.*s reaches nobody%s", SLICE_ARG(target->text),
                        outcome == DIRECTORY_TOO_MANY ? ": a loop, or too many targets" : "");
        arena_reset(c->scratch);
    }
}

/* ---- expressions over accounts ---- */

/* The rule that Postfix would apply to the account, and the account would get nothing. */
static const struct directory_place *taking_rule(const struct checking *c,
                                                 const struct directory_account *account)
{
    struct table_match match;
    const struct table_alias *alias = table_alias_of(c->table, account->address);
    if (alias)
        return NULL; /* asked first */
    table_match_in(c->scratch, c->table, account->address, TABLE_MATCH_POSTFIX, &match);
    return match.alias && match.alias->count && !table_names_self(match.alias, account->address)
               ? match.alias->place
               : NULL;
}

/* Once per rule, with the first account it would take. */
static void report_taking_rules(struct checking *c)
{
    AUTO_BUF struct buf seen = buf_new(sizeof(void *) * DIRECTORY_RULES_MAX);
    if (c->table->rule_count == 0 || c->table->count > TRIALS_MAX / c->table->rule_count)
        return;
    for (size_t i = 0; i < c->table->count; i++) {
        const struct directory_account *account = &c->table->list[i];
        const struct directory_place *place = taking_rule(c, account);
        arena_reset(c->scratch);
        if (!place || slice_search(buf_slice(&seen), slice_make(&place, sizeof place)) >= 0)
            continue;
        buf_add(&seen, slice_make(&place, sizeof place));
        problem_add(
            c->problems, PROBLEM_WARNING, place->file, place->line,
            SLICE("for copies name the account among the targets too; else make the expression narrower"),
            "this expression matches the account %.*s, which keeps its mail (Postfix would take it away)",
            SLICE_ARG(account->address));
    }
}

void table_report(const struct directory_table *table, struct problems *problems)
{
    struct checking c = {
        .table = table, .problems = problems, .scratch = arena_new(SCRATCH_MAX), .loops = map_new(LOOPS_MAX)};
    struct slice key;
    size_t at = 0;
    for (const struct table_alias *alias; (alias = map_next(table->aliases, &at, &key)) != NULL;)
        check_alias(&c, key, key, "alias", alias->place);
    at = 0;
    for (const struct table_domain *domain; (domain = map_next(table->domains, &at, NULL)) != NULL;)
        check_domain(&c, domain);
    for (size_t i = 0; i < table->rule_count; i++)
        check_rule(&c, &table->rules[i]);
    report_taking_rules(&c);
    map_free(&c.loops);
    arena_free(&c.scratch);
}

/* ---- leading elsewhere ---- */

/* The earlier of two lines of one file; of two files any, but always the same. */
static const struct directory_place *earlier(const struct directory_place *a, const struct directory_place *b)
{
    if (!a || !b)
        return a ? a : b;
    int order = slice_cmp(a->file, b->file);
    return order < 0 || (order == 0 && a->line <= b->line) ? a : b;
}

static const struct directory_place *elsewhere(const struct directory_table *table,
                                               const struct table_alias *alias)
{
    for (size_t i = 0; alias && !alias->ignored && i < alias->count; i++) {
        const struct table_target *target = &alias->targets[i];
        struct slice domain = target->key.len ? table_key_domain(target->key) : target->domain;
        if (domain.len && !map_get(table->domains, domain))
            return alias->place;
    }
    return NULL;
}

const struct directory_place *directory_first_forward(const struct directory_table *table)
{
    const struct directory_place *first = NULL;
    size_t at = 0;
    for (const struct table_alias *alias; (alias = map_next(table->aliases, &at, NULL)) != NULL;)
        first = earlier(first, elsewhere(table, alias));
    at = 0;
    for (const struct table_domain *domain; (domain = map_next(table->domains, &at, NULL)) != NULL;) {
        first = earlier(first, elsewhere(table, domain->catch_all));
        for (const struct table_wildcard *w = domain->wildcards; w; w = w->next)
            first = earlier(first, elsewhere(table, w->alias));
    }
    for (size_t i = 0; i < table->rule_count; i++)
        first = earlier(first, elsewhere(table, table->rules[i].fixed));
    return first;
}
