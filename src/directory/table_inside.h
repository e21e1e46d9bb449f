/* table_inside.h: the inside of struct directory_table, for table.c (makes it), check.c (says what does not
 * fit together), match.c, route.c, owns.c and compare.c (ask it). */
#ifndef DIRECTORY_TABLE_INSIDE_H
#define DIRECTORY_TABLE_INSIDE_H

#include "base/coll.h"
#include "directory/table.h"

/* A target of an alias, folded once. */
struct table_target {
    struct slice key;    /* "user@domain"; empty for "@domain" */
    struct slice text;   /* as written */
    struct slice domain; /* of "@domain": the same user there */
};

struct table_alias {
    struct table_target *targets;
    size_t count;
    bool ignored; /* would take one account's mail to another */
    const struct directory_place *place;
};

/* An alias line with "*" in its local part. */
struct table_wildcard {
    struct slice local;
    struct table_alias *alias;
    const struct table_wildcard *next; /* of the same domain, in the order of the files */
};

/* A line of a regexp table. */
struct table_rule {
    const struct directory_rule_entry *entry;
    const struct table_alias *fixed; /* its targets when they name no groups */
};

struct table_domain {
    struct slice name;
    struct table_alias *catch_all; /* NULL: none */
    struct table_wildcard *wildcards, *last_wildcard;
};

struct table_grants {
    struct slice *keys; /* folded addresses, or "@domain" */
    size_t count;
};

struct directory_table {
    struct map *accounts;     /* key -> struct directory_account */
    struct map *aliases;      /* key -> struct table_alias */
    struct map *locals;       /* local part -> struct table_alias: keys without a domain, at our host name */
    struct map *domains;      /* A-labels -> struct table_domain */
    struct map *grants;       /* account key -> struct table_grants */
    struct table_rule *rules; /* all regexp tables, one behind the other */
    size_t rule_count;
    struct directory_account *list;
    size_t count;
    struct slice hostname;   /* A-labels */
    struct slice postmaster; /* key; empty: nobody */
    struct arena *arena;
};

/* What is looked up for an address; "postmaster" without a domain is the one of our own name. Empty: no
 * address. */
struct slice table_whole_key_in(struct arena *arena, const struct directory_table *table,
                                struct slice address);
/* The domain of a key: behind its last "@" (a quoted local part may hold one). */
struct slice table_key_domain(struct slice key);
struct slice table_key_local(struct slice key);
/* key without its plus-tag, in `arena`. False when it has none. */
bool table_strip_tag_in(struct arena *arena, struct slice key, struct slice *base, struct slice *tag);
/* The alias with exactly this key; at our own host name also one without a domain. Ignored ones too. */
const struct table_alias *table_alias_of(const struct directory_table *table, struct slice key);
/* An alias that only names itself says nothing. */
bool table_says_nothing(const struct table_alias *alias, struct slice key);
/* One of its targets is `key` itself. */
bool table_names_self(const struct table_alias *alias, struct slice key);
/* Is there an exact alias (that says something) or account? An alias that leads nowhere still is an answer.
 */
bool table_has_exact(const struct directory_table *table, struct slice key);
/* A target as written, folded. Its key and domain stay empty when it is no address. `scratch` may be `arena`.
 */
struct table_target table_target_new_in(struct arena *arena, struct arena *scratch, struct slice text);
/* The key a target stands for when `key` was asked. */
struct slice table_target_key_in(struct arena *arena, const struct table_target *target, struct slice key);

/* ---- wildcards and expressions (match.c) ---- */

enum table_match_mode {
    TABLE_MATCH_FREE,    /* an address of nobody: the first wildcard or rule that matches */
    TABLE_MATCH_ACCOUNT, /* an account's: the first that also names the account; the others would take its
                            mail */
    TABLE_MATCH_POSTFIX  /* the first rule of the regexp tables, as Postfix */
};
struct table_match {
    const struct table_alias *alias; /* in the arena or the table; NULL: nothing matched */
    enum directory_rule rule;
    const struct directory_place *gave_up; /* an expression that would have cost too much, or NULL */
};
#define TABLE_GIVE_UPS_MAX 4 /* expressions that give up on one address; then the rest is not tried */
void table_match_in(struct arena *arena, const struct directory_table *table, struct slice key,
                    enum table_match_mode mode, struct table_match *match);

/* ---- what does not fit together (check.c) ---- */

/* Leaves out aliases that would take one account's mail to another. First. */
void table_ignore_taking_aliases(struct directory_table *table, struct problems *problems);
/* Aliases, rules and catch-alls that reach nobody or lead in a circle; rules that Postfix would apply to
 * accounts. */
void table_report(const struct directory_table *table, struct problems *problems);

#endif
