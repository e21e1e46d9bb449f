/* resolve.c: calls, and what is kept of domains between them. Called by pool.c, role.c and test_login.c. */
#include "relay/resolve.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/domain.h"
#include "relay/resolve_int.h"

static void known_free(struct known *known)
{
    resolve_lookup_cancel(known);
    list_remove(&known->node);
    if (!known->orphan)
        (void)map_remove(known->resolve->known, known->key);
    arena_free(&known->arena);
    free((void *)(uintptr_t)known->key.ptr);
    free(known);
}

/* ---- answering ---- */

static void call_free(struct resolve_call *call)
{
    struct known *known = call->known;
    list_remove(&call->node);
    sts_cancel(&call->sts_call);
    if (known && call->known_ready && --known->refs == 0 && known->orphan)
        known_free(known);
    call->resolve->calls--;
    free(call);
}

/* When all is there the call is answered by a later turn of the loop, never from inside resolve_begin(). */
static void call_check(struct resolve_call *call)
{
    struct resolve *resolve = call->resolve;
    if (!call->known_ready)
        return;
    list_remove(&call->node);
    if (call->sts_ready && list_empty(&resolve->ready))
        loop_timer_set(resolve->turn, 0);
    list_push_back(call->sts_ready ? &resolve->ready : &resolve->waiting, &call->node);
}

static void on_turn(void *arg)
{
    struct resolve *resolve = arg;
    struct list now; /* what becomes ready meanwhile has its own turn */
    list_init(&now);
    for (struct list *node; (node = list_pop_front(&resolve->ready)) != NULL;)
        list_push_back(&now, node);
    for (struct list *node; (node = list_pop_front(&now)) != NULL;) {
        struct resolve_call *call = CONTAINER_OF(node, struct resolve_call, node);
        const struct resolve_answer *answer = resolve_answer_make(call);
        resolve_done *done = call->done;
        void *ctx = call->ctx;
        call_free(call);
        done(ctx, answer);
    }
}

void resolve_known_ready(struct known *known)
{
    for (struct list *node; (node = list_pop_front(&known->calls)) != NULL;) {
        struct resolve_call *call = CONTAINER_OF(node, struct resolve_call, node);
        call->known_ready = true;
        known->refs++;
        call_check(call);
    }
}

static void on_tick(void *arg)
{
    struct resolve *resolve = arg;
    uint64_t now = loop_now_ms(resolve->loop);
    LIST_EACH(&resolve->busy, node)
    resolve_lookup_tick(CONTAINER_OF(node, struct known, busy), now);
    if (!list_empty(&resolve->busy))
        loop_timer_set(resolve->tick, RESOLVE_TICK_MS);
}

/* ---- what is known ---- */

static bool make_room(struct resolve *resolve)
{
    if (map_count(resolve->known) < RESOLVE_DOMAINS_MAX)
        return true;
    LIST_EACH(&resolve->used, node)
    {
        struct known *known = CONTAINER_OF(node, struct known, node);
        if (known->is_busy || known->refs || !list_empty(&known->calls))
            continue;
        known_free(known);
        return true;
    }
    return false;
}

static bool is_outdated(const struct known *known)
{
    return !known->is_busy && loop_now_ms(known->resolve->loop) >= known->expires_ms;
}

/* What a call still reads cannot be looked up again in place. */
static struct known *known_current(struct resolve *resolve, struct slice key)
{
    struct known *known = map_get(resolve->known, key);
    if (!known || known->refs == 0 || !is_outdated(known))
        return known;
    (void)map_remove(resolve->known, known->key);
    list_remove(&known->node);
    known->orphan = true;
    return NULL;
}

static struct known *known_get(struct resolve *resolve, enum known_kind kind, struct slice name)
{
    uint8_t key[DOMAIN_MAX + 1];
    key[0] = (uint8_t)kind;
    for (size_t i = 0; i < name.len; i++)
        key[i + 1] = ascii_lower(name.ptr[i]);
    struct slice wanted = slice_make(key, name.len + 1);
    struct known *known = known_current(resolve, wanted);
    if (!known && make_room(resolve)) {
        known = mem_zero(1, sizeof *known);
        known->resolve = resolve;
        known->key = slice_make(mem_dup(wanted.ptr, wanted.len), wanted.len);
        known->name = slice_from(known->key, 1);
        list_init(&known->calls);
        if (!map_put(resolve->known, known->key, known))
            abort(); /* there is room */
    }
    if (known) {
        list_remove(&known->node);
        list_push_back(&resolve->used, &known->node);
    }
    return known;
}

/* ---- calls ---- */

static void copy_policy(struct resolve_call *call, const struct sts_policy *policy)
{
    if (!policy || policy->mode == STS_MODE_NONE)
        return;
    call->policy = *policy;
    call->policy.mx = ARENA_ARRAY(call->arena, struct slice, policy->mx_count);
    for (size_t i = 0; i < policy->mx_count; i++)
        call->policy.mx[i] = arena_dup(call->arena, policy->mx[i]);
}

static void on_sts(void *ctx, const struct sts_policy *policy, const char *failure)
{
    struct resolve_call *call = ctx;
    call->sts_call = NULL;
    call->sts_failure = failure;
    copy_policy(call, policy);
    call->sts_ready = true;
    call_check(call);
}

static void wait_for_known(struct resolve_call *call)
{
    struct resolve *resolve = call->resolve;
    const struct resolve_question *q = &call->question;
    enum known_kind kind = !q->mx ? KNOWN_HOST : q->direct ? KNOWN_DIRECT : KNOWN_MX;
    struct known *known = known_get(resolve, kind, q->name);
    call->known = known;
    if (!known) {
        call->refusal = "too many look-ups wait";
        call->known_ready = true;
    } else if (known->is_busy || is_outdated(known)) {
        list_push_back(&known->calls, &call->node);
        if (!known->is_busy)
            resolve_lookup_begin(known);
    } else {
        known->refs++;
        call->known_ready = true;
    }
}

static bool is_literal(struct slice name)
{
    struct netaddr addr;
    return netaddr_parse(name, &addr) || domain_is_ip_literal(name, &addr);
}

struct resolve_call *resolve_begin(struct resolve *resolve, const struct resolve_question *question,
                                   struct arena *arena, resolve_done *done, void *ctx)
{
    struct resolve_call *call = mem_zero(1, sizeof *call);
    *call = (struct resolve_call){
        .resolve = resolve, .question = *question, .arena = arena, .done = done, .ctx = ctx};
    call->question.name = arena_dup(arena, question->name);
    resolve->calls++;
    bool sts = question->direct && question->mx && question->tls != SETTINGS_RELAY_NONE && resolve->sts &&
               resolve->settings->direct.mta_sts;
    if (resolve->calls > RESOLVE_CALLS_MAX)
        call->refusal = "too many look-ups wait";
    if (call->refusal || is_literal(question->name) || !domain_is_host(question->name)) {
        call->known_ready = call->sts_ready = true;
        call_check(call);
        return call;
    }
    wait_for_known(call);
    if (!sts) {
        call->sts_ready = true;
        call_check(call);
        return call;
    }
    struct sts_call *sts_call = sts_ask(resolve->sts, call->question.name, on_sts, call);
    if (!call->sts_ready) {
        call->sts_call = sts_call;
        call_check(call);
    }
    return call;
}

void resolve_cancel(struct resolve_call **call)
{
    if (*call)
        call_free(*call);
    *call = NULL;
}

/* ---- life ---- */

struct resolve *resolve_new(struct loop *loop, struct ipc_link *dns, const struct settings *settings,
                            struct sts *sts, struct identity *identity)
{
    struct resolve *resolve = mem_zero(1, sizeof *resolve);
    *resolve =
        (struct resolve){.loop = loop, .dns = dns, .settings = settings, .sts = sts, .identity = identity};
    resolve->known = map_new(RESOLVE_DOMAINS_MAX);
    list_init(&resolve->used);
    list_init(&resolve->busy);
    list_init(&resolve->ready);
    list_init(&resolve->waiting);
    resolve->tick = loop_timer_new(loop, on_tick, resolve);
    resolve->turn = loop_timer_new(loop, on_turn, resolve);
    return resolve;
}

void resolve_forget(struct resolve *resolve, struct slice domain)
{
    LIST_EACH(&resolve->used, node)
    {
        struct known *known = CONTAINER_OF(node, struct known, node);
        if (domain.len && !slice_ieq(known->name, domain))
            continue;
        known->expires_ms = 0;
        known->stale = known->is_busy;
    }
    if (resolve->sts)
        sts_forget(resolve->sts, domain);
}

void resolve_update(struct resolve *resolve, const struct settings *settings)
{
    resolve->settings = settings;
    resolve_forget(resolve, SLICE_EMPTY);
}

size_t resolve_count(const struct resolve *resolve)
{
    return map_count(resolve->known);
}

void resolve_free(struct resolve **resolve)
{
    struct resolve *r = *resolve;
    if (!r)
        return;
    LIST_EACH(&r->used, node)
    {
        struct known *known = CONTAINER_OF(node, struct known, node);
        LIST_EACH(&known->calls, waiting)
        call_free(CONTAINER_OF(waiting, struct resolve_call, node));
    }
    LIST_EACH(&r->ready, waiting)
    call_free(CONTAINER_OF(waiting, struct resolve_call, node));
    LIST_EACH(&r->waiting, waiting)
    call_free(CONTAINER_OF(waiting, struct resolve_call, node));
    LIST_EACH(&r->used, node)
    known_free(CONTAINER_OF(node, struct known, node));
    map_free(&r->known);
    loop_timer_free(&r->tick);
    loop_timer_free(&r->turn);
    free(r);
    *resolve = NULL;
}
