/* grants.c: the grants of logged-in sessions: made at random, told to store or queue before the session hears
 * of them, taken back at logout, told again to a role that was restarted. Called by exchange.c and role.c. */
#include <stdlib.h>
#include <string.h>

#include "auth/context.h"
#include "base/mem.h"
#include "base/random.h"
#include "settings/metrics.h"

/* How many connections one account has from one address. */
struct counted {
    size_t count, len;
    uint8_t key[];
};

void auth_grants_init(struct auth_grants *grants)
{
    grants->alive = map_new(AUTH_GRANTS_MAX);
    grants->counts = map_new(AUTH_GRANTS_MAX);
}

void auth_grants_free(struct auth_grants *grants)
{
    size_t at = 0;
    for (void *g; grants->alive && (g = map_next(grants->alive, &at, NULL)) != NULL;)
        free(g);
    at = 0;
    for (void *c; grants->counts && (c = map_next(grants->counts, &at, NULL)) != NULL;)
        free(c);
    map_free(&grants->alive);
    map_free(&grants->counts);
}

static struct slice name_of(const struct auth_grant *grant)
{
    return slice_make(grant->grant.name, sizeof grant->grant.name);
}

static size_t count_of(const struct auth_grants *grants, struct slice key)
{
    const struct counted *c = map_get(grants->counts, key);
    return c ? c->count : 0;
}

static void count_up(struct auth_grants *grants, struct slice key)
{
    struct counted *c = map_get(grants->counts, key);
    if (!c) {
        c = mem_zero(1, sizeof *c + key.len);
        c->len = key.len;
        memcpy(c->key, key.ptr, key.len);
        if (!map_put(grants->counts, slice_make(c->key, c->len), c))
            abort(); /* never more counters than grants */
    }
    c->count++;
}

static void count_down(struct auth_grants *grants, struct slice key)
{
    struct counted *c = map_get(grants->counts, key);
    if (c && --c->count == 0) {
        (void)map_remove(grants->counts, slice_make(c->key, c->len));
        free(c);
    }
}

size_t auth_grants_count(const struct auth_grants *grants, struct slice account, struct slice client)
{
    uint8_t key[WIRE_NAME_MAX + 65];
    if (account.len + 1 + client.len > sizeof key)
        return 0;
    memcpy(key, account.ptr, account.len);
    key[account.len] = '\0';
    if (client.len)
        memcpy(key + account.len + 1, client.ptr, client.len);
    return count_of(grants, slice_make(key, account.len + 1 + client.len));
}

struct auth_grant *auth_grants_new(struct auth_grants *grants, enum role holder, enum role target,
                                   struct slice account, struct slice client, struct slice session)
{
    struct auth_grant *g = mem_zero(1, sizeof *g + account.len + 1 + client.len + session.len);
    random_fill(g->grant.name, sizeof g->grant.name);
    g->holder = holder;
    g->target = target;
    g->account_len = account.len;
    memcpy(g->text, account.ptr, account.len);
    if (client.len)
        memcpy(g->text + account.len + 1, client.ptr, client.len);
    g->key = slice_make(g->text, account.len + 1 + client.len);
    if (session.len)
        memcpy(g->text + g->key.len, session.ptr, session.len);
    g->session = slice_make(g->text + g->key.len, session.len);
    if (!map_put(grants->alive, name_of(g), g)) {
        free(g);
        return NULL;
    }
    if (holder == ROLE_IMAP) {
        g->counted = true;
        count_up(grants, g->key);
    }
    metric_add(METRIC_AUTH_GRANTS, 0, 1);
    return g;
}

struct slice auth_grants_account(const struct auth_grant *grant)
{
    return slice_make(grant->text, grant->account_len);
}

void auth_grants_message(const struct auth_grant *grant, bool replay, struct wire_grant_add *message)
{
    *message = (struct wire_grant_add){.grant = grant->grant,
                                       .holder = grant->holder,
                                       .replay = replay,
                                       .account = auth_grants_account(grant),
                                       .session = grant->session};
}

/* A link that is down needs no telling: its role forgets everything with its process. */
static void tell_dropped(struct auth *auth, enum role target, const struct grant *name)
{
    const struct wire_grant_drop message = {.grant = *name};
    enum err ignored = wire_send(role_link(auth->run, target), WIRE_GRANT_DROP, &message);
    (void)ignored;
}

void auth_grants_drop(struct auth *auth, struct auth_grant *grant)
{
    if (grant->pending)
        grant->pending->grant = NULL;
    (void)map_remove(auth->grants.alive, name_of(grant));
    if (grant->counted)
        count_down(&auth->grants, grant->key);
    tell_dropped(auth, grant->target, &grant->grant);
    metric_sub(METRIC_AUTH_GRANTS, 0, 1);
    free(grant);
}

static void drop_where(struct auth *auth,
                       bool (*doomed)(const struct auth *, const struct auth_grant *, enum role),
                       enum role role)
{
    struct vec list = VEC_NEW(struct auth_grant *, AUTH_GRANTS_MAX);
    size_t at = 0;
    for (struct auth_grant *g; (g = map_next(auth->grants.alive, &at, NULL)) != NULL;) {
        struct auth_grant **place = doomed(auth, g, role) ? vec_push(&list) : NULL;
        if (place)
            *place = g;
    }
    for (size_t i = 0; i < list.len; i++)
        auth_grants_drop(auth, *VEC_AT(&list, struct auth_grant *, i));
    vec_free(&list);
}

static bool is_held_by(const struct auth *auth, const struct auth_grant *grant, enum role role)
{
    (void)auth;
    return grant->holder == role;
}

static bool is_removed(const struct auth *auth, const struct auth_grant *grant, enum role role)
{
    (void)role;
    return accounts_find(auth->accounts, auth_grants_account(grant)) == NULL;
}

void auth_grants_drop_holder(struct auth *auth, enum role holder)
{
    drop_where(auth, is_held_by, holder);
}

void auth_grants_drop_removed(struct auth *auth)
{
    drop_where(auth, is_removed, ROLE_COUNT);
}

static void ignore(void *ctx, enum err err, struct ipc_packet *packet)
{
    (void)ctx;
    (void)err;
    (void)packet;
}

void auth_grants_replay(struct auth *auth, enum role target)
{
    struct ipc_link *link = role_link(auth->run, target);
    struct wire_grant_replayed done = {0};
    size_t at = 0;
    for (const struct auth_grant *g; (g = map_next(auth->grants.alive, &at, NULL)) != NULL;) {
        if (g->target != target)
            continue;
        struct wire_grant_add add;
        auth_grants_message(g, true, &add);
        (void)wire_call(link, WIRE_GRANT_ADD, &add, AUTH_GRANT_MS, ignore, NULL);
        done.count++;
    }
    enum err ignored = wire_send(link, WIRE_GRANT_REPLAYED, &done);
    (void)ignored;
}

/* After a restart of ours a session may end a login we do not know: whoever has the name may end it. */
bool auth_grants_on_logout(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct auth *auth = ctx;
    const struct wire_auth_logout *m = message;
    enum role peer = role_of_link(link);
    struct auth_grant *grant = map_get(auth->grants.alive, slice_make(m->grant.name, sizeof m->grant.name));
    if (grant && grant->holder != peer)
        return false;
    if (grant)
        auth_grants_drop(auth, grant);
    else
        tell_dropped(auth, peer == ROLE_SMTP ? ROLE_QUEUE : ROLE_STORE, &m->grant);
    if (packet->request)
        wire_reply_result(link, packet->request, ERR_OK, STORE_CODE_NONE, SLICE_EMPTY);
    return true;
}
