/* accounts.c: builds the table of accounts. Input: the operator's files and secrets.db. Called by role.c. */
#include "auth/accounts.h"

#include <stdlib.h>

#include "auth/secrets.h"
#include "base/mem.h"

#define ACCOUNTS_ARENA_MAX (1u << 30)
#define FOLD_ARENA         8192
#define PROBLEMS_TOLD      50

struct kept {
    struct slice address, scram;
};

struct accounts_builder {
    struct arena *arena;
    struct problems *problems;
    struct directory_input *input;
    struct vec kept; /* verifiers of secrets.db */
};

static const char database[] = SECRETS_PATH;

struct accounts_builder *accounts_builder_new(void)
{
    struct accounts_builder *b = mem_zero(1, sizeof *b);
    b->arena = arena_new(ACCOUNTS_ARENA_MAX);
    b->problems = problems_new_in(b->arena);
    b->input = directory_input_new_in(b->arena, b->problems);
    b->kept = VEC_NEW(struct kept, DIRECTORY_ENTRIES_MAX);
    return b;
}

void accounts_builder_file(struct accounts_builder *b, const struct settings_accounts *settings,
                           struct slice text)
{
    if (settings->format == SETTINGS_ACCOUNTS_JSON)
        directory_read_accounts_json(b->input, text, settings->file, true);
    else
        directory_read_accounts(b->input, text, settings->file, true);
}

void accounts_builder_row(struct accounts_builder *b, struct slice address, struct slice hash,
                          struct slice scram)
{
    directory_add_account(b->input, address, hash, slice_of(database));
    struct kept *kept = vec_push(&b->kept);
    if (kept)
        *kept = (struct kept){.address = arena_dup(b->arena, address), .scram = arena_dup(b->arena, scram)};
}

static void read_secret(struct account *account, struct why *why)
{
    account->usable = password_recognise(account->secret, &account->form, why) == ERR_OK;
    if (account->usable && account->form.kind == PASSWORD_SCRAM)
        account->has_verifier = scram_verifier_parse(account->form.body, &account->verifier) == ERR_OK;
}

static void add_verifiers(struct accounts *made, const struct accounts_builder *b)
{
    for (size_t i = 0; i < b->kept.len; i++) {
        const struct kept *kept = VEC_AT(&b->kept, struct kept, i);
        struct account *account = map_get(made->by_address, kept->address);
        if (account && slice_eq(account->source, slice_of(database)))
            account->has_verifier = scram_verifier_parse(kept->scram, &account->verifier) == ERR_OK;
    }
}

/* The commonest kind, and of crypt(3) the first one met: what most wrong passwords cost. */
static void choose_dummy(struct accounts *made)
{
    size_t counts[PASSWORD_KIND_COUNT] = {0};
    const struct account *first[PASSWORD_KIND_COUNT] = {NULL};
    enum password_kind most = PASSWORD_PLAIN;
    for (size_t i = 0; i < made->count; i++) {
        const struct account *account = &made->items[i];
        if (!account->usable)
            continue;
        if (!first[account->form.kind])
            first[account->form.kind] = account;
        if (++counts[account->form.kind] > counts[most])
            most = account->form.kind;
    }
    made->dummy = first[most];
}

static void check_scram(struct accounts *made)
{
    made->all_scram = made->count > 0;
    for (size_t i = 0; i < made->count; i++) {
        const struct account *account = &made->items[i];
        made->all_scram &= account->has_verifier || (account->usable && account->form.kind == PASSWORD_PLAIN);
    }
}

struct accounts *
accounts_build(struct accounts_builder *b, const struct settings *settings,
               void (*problem)(void *arg, struct slice file, uint32_t line, struct slice what), void *arg)
{
    struct accounts *made = mem_zero(1, sizeof *made);
    made->arena = b->arena;
    made->table = directory_table_new_in(b->arena, b->input, settings, NULL, SLICE_EMPTY);
    made->count = directory_table_accounts(made->table);
    made->items = ARENA_ARRAY(made->arena, struct account, made->count + 1);
    made->by_address = map_new(DIRECTORY_ENTRIES_MAX);
    size_t told = 0;
    for (size_t i = 0; i < made->count; i++) {
        const struct directory_account *entry = directory_table_account_at(made->table, i);
        struct account *account = &made->items[i];
        struct why why = {0};
        *account = (struct account){
            .address = entry->address, .secret = entry->entry->secret, .source = entry->entry->place.file};
        read_secret(account, &why);
        if (!map_put(made->by_address, account->address, account))
            abort(); /* bounded by DIRECTORY_ENTRIES_MAX */
        if (!account->usable && told++ < PROBLEMS_TOLD)
            problem(arg, account->source, entry->entry->place.line, slice_of(why.text));
    }
    for (size_t i = 0; i < b->problems->count && told++ < PROBLEMS_TOLD; i++)
        if (b->problems->items[i].level == PROBLEM_ERROR)
            problem(arg, b->problems->items[i].file, b->problems->items[i].line, b->problems->items[i].text);
    add_verifiers(made, b);
    choose_dummy(made);
    check_scram(made);
    vec_free(&b->kept);
    free(b);
    return made;
}

void accounts_free(struct accounts **accounts)
{
    if (!*accounts)
        return;
    map_free(&(*accounts)->by_address);
    arena_free(&(*accounts)->arena);
    free(*accounts);
    *accounts = NULL;
}

const struct account *accounts_find(const struct accounts *accounts, struct slice user)
{
    /* as written, most names are folded already */
    const struct account *account = map_get(accounts->by_address, user);
    if (account)
        return account;
    AUTO_ARENA struct arena *arena = arena_new(FOLD_ARENA);
    struct slice key = directory_fold_in(arena, user);
    return key.len ? map_get(accounts->by_address, key) : NULL;
}
