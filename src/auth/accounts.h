/* accounts.h: every account that can log in, from the files of the settings and from secrets.db. Immutable
 * once built. */
#ifndef AUTH_ACCOUNTS_H
#define AUTH_ACCOUNTS_H

#include "auth/password.h"
#include "auth/scram.h"
#include "base/arena.h"
#include "base/coll.h"
#include "directory/table.h"

struct account {
    struct slice address; /* folded */
    struct slice secret;  /* as written */
    struct slice source;  /* the file it stands in */
    struct password_form form;
    bool usable;       /* the secret is of a form we can verify */
    bool has_verifier; /* SCRAM */
    struct scram_verifier verifier;
};

struct accounts {
    struct arena *arena;
    struct directory_table *table;
    struct account *items;
    size_t count;
    struct map *by_address;
    const struct account
        *dummy;     /* whose hash is computed for unknown names: of the commonest kind; may be NULL */
    bool all_scram; /* every account can use SCRAM-SHA-256 */
};

/* Gathers entries: the texts of files are copied. */
struct accounts_builder;
struct accounts_builder *accounts_builder_new(void) __attribute__((returns_nonnull));
void accounts_builder_file(struct accounts_builder *b, const struct settings_accounts *settings,
                           struct slice text);
/* From secrets.db. */
void accounts_builder_row(struct accounts_builder *b, struct slice address, struct slice hash,
                          struct slice scram);
/* Frees the builder. `problem` is told of each account that cannot log in and each conflict. */
struct accounts *
accounts_build(struct accounts_builder *b, const struct settings *settings,
               void (*problem)(void *arg, struct slice file, uint32_t line, struct slice what), void *arg);
void accounts_free(struct accounts **accounts);
/* By any spelling of the address; NULL when there is none. */
const struct account *accounts_find(const struct accounts *accounts, struct slice user);

#endif
