/* table_inside.h: the inside of struct directory_table, for table.c (makes it), route.c and compare.c (ask
 * it). */
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

struct table_domain {
    struct slice name;
    struct table_alias *catch_all; /* NULL: none */
};

struct table_grants {
    struct slice *keys; /* folded addresses, or "@domain" */
    size_t count;
};

struct directory_table {
    struct map *accounts; /* key -> struct directory_account */
    struct map *aliases;  /* key -> struct table_alias */
    struct map *locals;   /* local part -> struct table_alias: keys without a domain, at our host name */
    struct map *domains;  /* A-labels -> struct table_domain */
    struct map *grants;   /* account key -> struct table_grants */
    struct directory_account *list;
    size_t count;
    struct slice hostname;   /* A-labels */
    struct slice postmaster; /* key; empty: nobody */
    struct arena *arena;
};

/* The domain of a key: behind its last "@" (a quoted local part may hold one). */
struct slice table_key_domain(struct slice key);
struct slice table_key_local(struct slice key);
/* key without its plus-tag, in `arena`. False when it has none. */
bool table_strip_tag_in(struct arena *arena, struct slice key, struct slice *base, struct slice *tag);
/* The alias with exactly this key; at our own host name also one without a domain. Ignored ones too. */
const struct table_alias *table_alias_of(const struct directory_table *table, struct slice key);
/* The key a target stands for when `key` was asked. */
struct slice table_target_key_in(struct arena *arena, const struct table_target *target, struct slice key);

#endif
