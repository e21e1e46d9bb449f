/* table.h: the one address table: who gets mail for an address, and why; who may send as an address.
 *
 * One precedence for every source: exact alias (its targets may include the address itself), exact account,
 * the same two without the plus-tag, aliases with "*", regexp tables, the domain's catch-all. Neither an
 * expression nor a catch-all takes an account's mail; a wildcard or expression whose targets include the
 * account adds to it. postmaster, bare and at each domain, always reaches somebody. A look-up costs a few
 * hash probes whatever the size. Immutable once built; lives in the arena. Used by queue and auth and by
 * `rockdove route` and `check`.
 */
#ifndef DIRECTORY_TABLE_H
#define DIRECTORY_TABLE_H

#include "directory/input.h"

#define DIRECTORY_EXPAND_MAX 1000 /* final targets of one address */
#define DIRECTORY_DEPTH_MAX  20   /* aliases behind aliases */
#define DIRECTORY_STEPS_MAX  2000 /* look-ups for one address */

struct directory_table;

/* Decides. Conflicts are added to the problems of `input`: the same address with different meanings (error),
 * an alias that would take one account's mail to another single account (warning, both lines quoted;
 * ignored), aliases and catch-alls to nowhere, loops with their chain, expressions that would take accounts'
 * mail in Postfix, quotas of nobody. Catch-alls, postmaster and sender grants of `settings` count too.
 * `origin` (may be NULL) and `file` give their lines. */
struct directory_table *directory_table_new_in(struct arena *arena, struct directory_input *input,
                                               const struct settings *settings,
                                               const struct conf_origin *origin, struct slice file);

enum directory_outcome {
    DIRECTORY_DELIVER,  /* to the targets */
    DIRECTORY_UNKNOWN,  /* our domain, nobody there: 550 5.1.1 */
    DIRECTORY_REMOTE,   /* not our domain: the address itself is the only target */
    DIRECTORY_TOO_MANY, /* more than DIRECTORY_EXPAND_MAX targets or a chain too deep: 5.4.6 */
    DIRECTORY_INVALID   /* no address */
};

enum directory_rule {
    DIRECTORY_RULE_ALIAS,
    DIRECTORY_RULE_ALIAS_SELF,    /* an alias that names itself: delivered here */
    DIRECTORY_RULE_ALIAS_IGNORED, /* it would take one account's mail to another */
    DIRECTORY_RULE_ACCOUNT,
    DIRECTORY_RULE_PLUS_TAG,
    DIRECTORY_RULE_CATCH_ALL,
    DIRECTORY_RULE_POSTMASTER,
    DIRECTORY_RULE_REMOTE,
    DIRECTORY_RULE_UNKNOWN,
    DIRECTORY_RULE_LOOP, /* seen before in this chain: dropped */
    DIRECTORY_RULE_WILDCARD,
    DIRECTORY_RULE_REGEXP,
    DIRECTORY_RULE_GAVE_UP, /* an expression that would have cost too much: taken as not matching */
    DIRECTORY_RULE_COUNT
};
const char *directory_rule_name(enum directory_rule rule);

/* One reason in the chain. */
struct directory_step {
    unsigned depth;
    enum directory_rule rule;
    struct slice address;                /* what was looked up */
    struct slice to;                     /* account, target or base address */
    const struct directory_place *place; /* NULL when it has none */
    struct slice chain;                  /* of a loop: "a -> b -> a"; else empty */
};

struct directory_target {
    bool local;
    struct slice address; /* local: the account as in directory_account(); remote: the local part as in the
                             alias line or as asked, the domain in A-labels */
    struct slice tag;     /* local: the plus-tag, or empty */
};

struct directory_route {
    enum directory_outcome outcome;
    struct directory_target *targets; /* each once, however many ways lead there */
    size_t count;
    bool loop;                    /* aliases lead in a circle somewhere; the rest counts */
    struct directory_step *steps; /* only when asked for */
    size_t step_count;
};

/* Where mail for `address` goes. `explain` also fills the steps. */
void directory_route_in(struct arena *arena, const struct directory_table *table, struct slice address,
                        bool explain, struct directory_route *route);

struct directory_account {
    struct slice address; /* canonical: folded */
    uint64_t quota;       /* bytes; 0: no limit */
    const struct directory_account_entry *entry;
};
/* The account with exactly this address (any spelling); NULL when there is none. No alias, no tag: for
 * logins. */
const struct directory_account *directory_account(const struct directory_table *table, struct slice address);
size_t directory_table_accounts(const struct directory_table *table);
const struct directory_account *directory_table_account_at(const struct directory_table *table, size_t index);
/* One of our domains (any spelling)? */
bool directory_is_domain(const struct directory_table *table, struct slice domain);

/* Where an alias leads to another server: the first such line of the files, NULL when there is none. */
const struct directory_place *directory_first_forward(const struct directory_table *table);

/* May `account` send as `address`? Its own address with any tag; aliases that deliver to it, whoever else
 * they name; free addresses (of no account, no alias) whose wildcard, expression or catch-all it gets; what
 * sender_grants say. The null address: yes. */
bool directory_owns(const struct directory_table *table, struct slice account, struct slice address);

/* Calls `each` for every known address whose mail goes elsewhere here than it would under docker-mailserver's
 * Postfix (there a catch-all takes the mail of accounts without an alias to themselves, and any alias wins
 * over an account). `here` and `there` are readable lists. Returns the number of differences. */
size_t directory_compare_postfix(const struct directory_table *table,
                                 void (*each)(void *arg, struct slice address, struct slice here,
                                              struct slice there),
                                 void *arg);

#endif
