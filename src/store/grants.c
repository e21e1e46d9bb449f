/* grants.c: which account a name of 128 random bits stands for. Input: names from network roles, which may be
 * taken over: they can only be found or not. Told by auth. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/context.h"

static struct slice key_of(const struct grant *name)
{
    return slice_make(name->name, sizeof name->name);
}

static void free_grant(struct store_grant *g)
{
    free((void *)(uintptr_t)g->account.ptr);
    free(g);
}

void grants_start(struct grants *grants)
{
    grants->alive = map_new(STORE_GRANTS_MAX);
}

void grants_stop(struct grants *grants)
{
    if (!grants->alive)
        return;
    size_t at = 0;
    struct store_grant *g;
    while ((g = map_next(grants->alive, &at, NULL)))
        free_grant(g);
    map_free(&grants->alive);
}

bool grants_add(struct grants *grants, const struct grant *name, enum role holder, struct slice account)
{
    struct store_grant *old = map_remove(grants->alive, key_of(name));
    if (old)
        free_grant(old);
    struct store_grant *g = mem_zero(1, sizeof *g);
    *g = (struct store_grant){.name = *name,
                              .holder = holder,
                              .account = slice_make(mem_dup(account.ptr, account.len), account.len)};
    if (map_put(grants->alive, key_of(&g->name), g))
        return true;
    free_grant(g);
    return false;
}

void grants_drop(struct grants *grants, const struct grant *name)
{
    struct store_grant *g = map_remove(grants->alive, key_of(name));
    if (!g)
        return;
    grants->expired[grants->expired_next++ % STORE_EXPIRED_MAX] = *name;
    free_grant(g);
}

void grants_all_told(struct grants *grants)
{
    grants->replayed = true;
}

static bool has_expired(const struct grants *grants, const struct grant *name)
{
    size_t count = grants->expired_next < STORE_EXPIRED_MAX ? grants->expired_next : STORE_EXPIRED_MAX;
    for (size_t i = 0; i < count; i++)
        if (grant_eq(&grants->expired[i], name))
            return true;
    return false;
}

enum grant_state grants_find(const struct grants *grants, const struct grant *name, enum role asker,
                             struct slice *account)
{
    const struct store_grant *g = map_get(grants->alive, key_of(name));
    if (g && g->holder != asker)
        return GRANT_FORGED; /* another role's session */
    if (g) {
        *account = g->account;
        return GRANT_ALIVE;
    }
    if (has_expired(grants, name))
        return GRANT_EXPIRED;
    if (grant_is_none(name))
        return GRANT_FORGED;
    return grants->replayed ? GRANT_FORGED : GRANT_UNKNOWN_YET;
}
