/* quota.c: how much an account may hold: one limit for all, others by lines "ADDRESS:SIZE" of files
 * (docker-mailserver's dovecot-quotas.cf; 0: no limit). Input: the administrator's files. */
#include <stdlib.h>

#include "base/mem.h"
#include "store/context.h"

#define QUOTAS_MAX 1000000

struct quota {
    struct slice account; /* in the arena, lower case */
    uint64_t bytes;
};

struct quotas {
    struct arena *arena;
    struct map *by_account;
    uint64_t everybody;
};

static struct slice lower_in(struct arena *arena, struct slice s)
{
    uint8_t *bytes = arena_must(arena, s.len + 1);
    for (size_t i = 0; i < s.len; i++)
        bytes[i] = ascii_lower(s.ptr[i]);
    return slice_make(bytes, s.len);
}

/* What cannot be read was reported by `check`; here it gives no limit of its own. */
static void read_line(struct quotas *quotas, struct slice line)
{
    line = slice_trim(line);
    ptrdiff_t colon = slice_rfind(line, ':');
    uint64_t bytes;
    if (colon <= 0 || line.ptr[0] == '#' ||
        !conf_read_size(slice_trim(slice_from(line, (size_t)colon + 1)), &bytes))
        return;
    struct quota *q = ARENA_NEW(quotas->arena, struct quota);
    *q =
        (struct quota){.account = lower_in(quotas->arena, slice_sub(line, 0, (size_t)colon)), .bytes = bytes};
    (void)!map_put(quotas->by_account, q->account, q); /* the last line counts; beyond the maximum: none */
}

static void read_file(struct quotas *quotas, struct slice content)
{
    struct slice line;
    while (slice_token(&content, '\n', &line))
        read_line(quotas, line);
}

struct quotas *quotas_new(struct role_run *run, bool next)
{
    const struct settings *settings = next ? role_next_settings(run) : role_settings(run);
    struct quotas *quotas = mem_zero(1, sizeof *quotas);
    quotas->arena = arena_new(ROLE_FILE_MAX * 2);
    quotas->by_account = map_new(QUOTAS_MAX);
    quotas->everybody = settings->quota.account;
    for (uint32_t i = 0; i < settings->quota.files.count; i++) {
        const struct role_file *file =
            next ? role_next_file(run, SUP_FILE_QUOTAS, i) : role_file(run, SUP_FILE_QUOTAS, i);
        if (file)
            read_file(quotas, file->content);
    }
    return quotas;
}

void quotas_free(struct quotas **quotas)
{
    if (!*quotas)
        return;
    map_free(&(*quotas)->by_account);
    arena_free(&(*quotas)->arena);
    free(*quotas);
    *quotas = NULL;
}

struct account_limits quotas_of(const struct quotas *quotas, struct slice account)
{
    if (!quotas)
        return (struct account_limits){0};
    const struct quota *q = map_get(quotas->by_account, account);
    return (struct account_limits){.bytes = q ? q->bytes : quotas->everybody};
}
