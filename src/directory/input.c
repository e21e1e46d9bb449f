/* input.c: what was read so far, in the order it was read. Filled by the readers beside this file. */
#include "directory/input_list.h"

#include <string.h>

#include "grammar/address.h"

#define SCRATCH_MAX (1u << 20) /* bytes folding one address may take */

static void free_vec(void *arg)
{
    vec_free(arg);
}

static void free_scratch(void *arg)
{
    struct arena *scratch = arg;
    arena_free(&scratch);
}

struct directory_input *directory_input_new_in(struct arena *arena, struct problems *problems)
{
    struct directory_input *input = ARENA_NEW(arena, struct directory_input);
    input->arena = arena;
    input->scratch = arena_new(SCRATCH_MAX);
    arena_defer(arena, free_scratch, input->scratch);
    input->problems = problems;
    input->accounts = VEC_NEW(struct directory_account_entry *, DIRECTORY_ENTRIES_MAX);
    input->aliases = VEC_NEW(struct directory_alias_entry *, DIRECTORY_ENTRIES_MAX);
    input->quotas = VEC_NEW(struct directory_quota_entry *, DIRECTORY_ENTRIES_MAX);
    input->rules = VEC_NEW(struct directory_rule_entry *, DIRECTORY_RULES_MAX);
    arena_defer(arena, free_vec, &input->accounts);
    arena_defer(arena, free_vec, &input->aliases);
    arena_defer(arena, free_vec, &input->quotas);
    arena_defer(arena, free_vec, &input->rules);
    return input;
}

bool directory_list_add(struct directory_input *input, struct vec *list, void *entry,
                        const struct directory_place *place)
{
    void **at = vec_push(list);
    if (at)
        *at = entry;
    else
        problem_add(input->problems, PROBLEM_ERROR, place->file, place->line, SLICE_EMPTY,
                    "more than %u entries; the rest is not read", DIRECTORY_ENTRIES_MAX);
    return at != NULL;
}

struct slice directory_fold_in(struct arena *arena, struct slice address)
{
    struct address parsed;
    if (address_parse_in(arena, address, ADDRESS_ALLOW_UTF8 | ADDRESS_ALLOW_POSTMASTER, &parsed, NULL) !=
        ERR_OK)
        return SLICE_EMPTY;
    return address_key_in(arena, &parsed);
}

struct slice directory_input_fold(struct directory_input *input, struct slice address)
{
    struct slice key = arena_dup(input->arena, directory_fold_in(input->scratch, address));
    arena_reset(input->scratch);
    return key;
}

void directory_input_account(struct directory_input *input, struct slice address, struct slice secret,
                             struct slice extra, const struct directory_place *place)
{
    struct arena *arena = input->arena;
    struct slice key = directory_input_fold(input, address);
    if (key.len == 0 || slice_find(key, '@') < 0) {
        struct slice quoted = problem_quote(arena, address);
        problem_add(input->problems, PROBLEM_ERROR, place->file, place->line,
                    SLICE("write it as user@example.org"), "account %.*s is no address", SLICE_ARG(quoted));
        return;
    }
    struct directory_account_entry *entry = ARENA_NEW(arena, struct directory_account_entry);
    *entry = (struct directory_account_entry){.address = arena_dup(arena, address),
                                              .key = key,
                                              .secret = arena_dup(arena, secret),
                                              .extra = arena_dup(arena, extra),
                                              .place = *place};
    entry->place.text = entry->address; /* never the secret */
    (void)directory_list_add(input, &input->accounts, entry, place);
}

void directory_limit_account(struct directory_input *input, uint64_t bytes)
{
    if (input->accounts.len == 0)
        return;
    struct directory_account_entry *entry = ACCOUNT_AT(input, input->accounts.len - 1);
    entry->has_quota = true;
    entry->quota = bytes;
}

void directory_add_account(struct directory_input *input, struct slice address, struct slice secret,
                           struct slice source)
{
    struct directory_place place = {.file = arena_dup(input->arena, source)};
    directory_input_account(input, address, secret, SLICE_EMPTY, &place);
}

size_t directory_account_count(const struct directory_input *input)
{
    return input->accounts.len;
}

const struct directory_account_entry *directory_account_at(const struct directory_input *input, size_t index)
{
    return index < input->accounts.len ? ACCOUNT_AT(input, index) : NULL;
}
