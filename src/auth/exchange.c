/* exchange.c: logins under way. Messages come from the network roles, which parse strangers; the SASL data
 * inside is a stranger's own. An unknown name and a wrong password cost the same time, get the same words and
 * the same delay. */
#include <stdlib.h>
#include <string.h>

#include "auth/context.h"
#include "base/clock.h"
#include "base/mem.h"
#include "settings/metrics.h"

/* ---- life ---- */

void exchange_free(struct exchange *x)
{
    struct auth *auth = x->auth;
    if (idmap_get(auth->by_id, x->id) == x)
        (void)idmap_remove(auth->by_id, x->id);
    list_remove(&x->node);
    auth->exchange_count--;
    loop_timer_free(&x->timer);
    arena_free(&x->arena);
    free(x);
}

/* Nobody is interested any more. */
static void drop(struct exchange *x)
{
    x->gone = true;
    if (!x->busy)
        exchange_free(x);
}

void exchange_drop_peer(struct auth *auth, enum role peer)
{
    auth->epochs[peer]++;
    LIST_EACH(&auth->exchanges, node)
    {
        struct exchange *x = CONTAINER_OF(node, struct exchange, node);
        if (x->peer == peer)
            drop(x);
    }
}

void exchange_drop_all(struct auth *auth)
{
    LIST_EACH(&auth->exchanges, node)
    exchange_free(CONTAINER_OF(node, struct exchange, node));
}

void exchange_answer(struct exchange *x, enum auth_status status, struct slice challenge, struct slice text)
{
    struct auth *auth = x->auth;
    struct wire_auth_result result = {.status = status,
                                      .repeated = status == AUTH_FAILED && x->repeated,
                                      .exchange = status == AUTH_CONTINUE ? x->id : 0,
                                      .challenge = challenge,
                                      .text = text};
    if (status == AUTH_OK && x->grant) {
        result.grant = x->grant->grant;
        result.account = auth_grants_account(x->grant);
    }
    uint32_t request = x->request;
    x->request = 0;
    if (request && !x->gone && x->epoch == auth->epochs[x->peer])
        wire_reply(role_link(auth->run, x->peer), request, WIRE_AUTH_RESULT, false, &result);
}

void exchange_challenge(struct exchange *x, struct slice challenge)
{
    exchange_answer(x, AUTH_CONTINUE, challenge, SLICE_EMPTY);
    loop_timer_set(x->timer, AUTH_EXCHANGE_MS);
}

void exchange_malformed(struct exchange *x)
{
    exchange_answer(x, AUTH_MALFORMED, SLICE_EMPTY, SLICE("malformed authentication data"));
    exchange_free(x);
}

void exchange_later(struct exchange *x, const char *text)
{
    login_count(x->service, METRIC_LOGIN_LATER);
    exchange_answer(x, AUTH_LATER, SLICE_EMPTY, slice_of(text));
    exchange_free(x);
}

/* A refused token was a guess, whether or not the client stays to say that it has heard (RFC 7628 section
 * 3.2.3). */
static void count_unheard(struct exchange *x)
{
    if (!x->token_refused || x->waits)
        return;
    failure_log(x);
    (void)auth_bans_login_failed(x);
}

/* The delay of a failure is over, or the client never answered a challenge. */
static void on_timer(void *arg)
{
    struct exchange *x = arg;
    if (x->waits)
        exchange_answer(x, AUTH_FAILED, SLICE_EMPTY, SLICE("authentication failed"));
    count_unheard(x);
    exchange_free(x);
}

void exchange_failed(struct exchange *x, const char *why)
{
    x->why = why;
    failure_log(x);
    x->repeated = auth_bans_login_failed(x);
    x->waits = true;
    loop_timer_set(x->timer, x->auth->settings->limits.auth_failure_delay);
}

/* ---- passwords ---- */

static void on_verified(void *ctx, enum err err)
{
    struct exchange *x = ctx;
    x->busy = false;
    if (x->gone) {
        exchange_free(x);
        return;
    }
    if (err == ERR_OK && x->verified_address.len) {
        memory_add(x->auth->memory, x->tag, loop_now_ms(x->auth->loop));
        x->has_tag = false;
        exchange_verified(x);
        return;
    }
    exchange_failed(x, x->verified_address.len ? "wrong password" : "no such account");
}

static bool remembered(struct exchange *x, const struct account *account, struct slice password)
{
    memory_tag(x->auth->memory, account->address, password, account->secret, x->tag);
    x->has_tag = memory_has(x->auth->memory, x->tag, loop_now_ms(x->auth->loop));
    return x->has_tag;
}

uint64_t exchange_guess(struct exchange *x, const struct account *account, struct slice password)
{
    uint8_t tag[MEMORY_TAG_LEN];
    uint64_t guess;
    memory_tag(x->auth->memory, account ? account->address : x->user, password, SLICE("guess"), tag);
    memcpy(&guess, tag, sizeof guess);
    return guess ? guess : 1;
}

void exchange_password(struct exchange *x, struct slice user, struct slice password)
{
    struct auth *auth = x->auth;
    x->user = arena_dup(x->arena, user);
    const struct account *account = accounts_find(auth->accounts, user);
    if (account && !account->usable)
        account = NULL; /* reported when the table was built */
    if (account) {
        x->verified_address = arena_dup(x->arena, account->address);
        x->verified_secret = arena_dup(x->arena, account->secret);
        if (remembered(x, account, password)) {
            metric_inc(METRIC_AUTH_MEMORY_HITS);
            exchange_verified(x);
            return;
        }
    }
    x->guess = exchange_guess(x, account, password);
    const struct account *subject = account ? account : auth->accounts->dummy;
    if (!subject) {
        exchange_failed(x, "no accounts");
        return;
    }
    x->busy = true;
    if (verify_password(auth->verify, subject, password, on_verified, x)) {
        x->busy = false;
        exchange_later(x, "too many logins at once");
    }
}

/* ---- grants ---- */

static void on_granted(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct exchange *x = ctx;
    struct wire_result result;
    x->busy = false;
    err = wire_answer(err, packet, WIRE_RESULT, &result);
    if (x->grant && (err || result.err != ERR_OK || x->gone))
        auth_grants_drop(x->auth, x->grant);
    if (!x->grant) { /* also when its holder or the account went away meanwhile */
        if (x->gone)
            exchange_free(x);
        else
            exchange_later(x, "temporary failure");
        return;
    }
    x->grant->pending = NULL;
    success_log(x, auth_grants_account(x->grant), x->has_tag);
    auth_bans_login_ok(x);
    exchange_answer(x, AUTH_OK, SLICE_EMPTY, SLICE_EMPTY);
    exchange_free(x);
}

static bool too_many(const struct exchange *x, struct slice account)
{
    uint64_t limit = x->auth->settings->limits.imap.connections_per_user_and_address;
    bool reads = x->service == AUTH_SERVICE_IMAP || x->service == AUTH_SERVICE_POP3;
    return reads && limit && !x->trusted && auth_grants_count(&x->auth->grants, account, x->client) >= limit;
}

void exchange_verified(struct exchange *x)
{
    struct auth *auth = x->auth;
    const struct account *account = accounts_find(auth->accounts, x->verified_address);
    if (!account || !slice_eq(account->secret, x->verified_secret)) {
        exchange_failed(x, "the account changed meanwhile");
        return;
    }
    if (loop_now_ms(auth->loop) - x->asked_ms > auth->answer_ms) { /* nobody waits for the answer any more */
        exchange_later(x, "too many logins at once");
        return;
    }
    if (auth->draining || too_many(x, account->address)) {
        exchange_later(x, auth->draining ? "temporary failure"
                                         : "too many connections of this user from this address");
        return;
    }
    enum role target = x->service == AUTH_SERVICE_SUBMISSION ? ROLE_QUEUE : ROLE_STORE;
    x->grant = auth_grants_new(&auth->grants, x->peer, target, account->address, x->client, x->session);
    if (!x->grant) {
        exchange_later(x, "too many logins");
        return;
    }
    x->grant->pending = x;
    struct wire_grant_add add;
    auth_grants_message(x->grant, false, &add);
    loop_timer_stop(x->timer);
    x->busy = true;
    (void)wire_call(role_link(auth->run, target), WIRE_GRANT_ADD, &add, AUTH_GRANT_MS, on_granted, x);
}

/* ---- messages ---- */

static struct exchange *new_exchange(struct auth *auth, enum role peer, const struct wire_auth_begin *m)
{
    struct exchange *x = mem_zero(1, sizeof *x);
    x->auth = auth;
    x->arena = arena_new(AUTH_ARENA_MAX);
    x->id = ++auth->next_exchange;
    x->peer = peer;
    x->epoch = auth->epochs[peer];
    x->service = (enum auth_service)m->service;
    x->listener = m->listener;
    x->tls = m->tls;
    x->client = arena_dup(x->arena, m->client);
    x->session = arena_dup(x->arena, m->session);
    x->bindings = arena_dup(x->arena, m->bindings);
    x->begun_ns = clock_mono_ns();
    x->asked_ms = loop_now_ms(auth->loop);
    x->timer = loop_timer_new(auth->loop, on_timer, x);
    struct netaddr client;
    x->trusted = netaddr_parse(m->client, &client) && settings_is_trusted(auth->settings, &client);
    list_push_back(&auth->exchanges, &x->node);
    auth->exchange_count++;
    return x;
}

/* What a role may log in for. */
static bool service_fits(uint32_t service, enum role peer)
{
    return (service == AUTH_SERVICE_SUBMISSION && peer == ROLE_SMTP) ||
           ((service == AUTH_SERVICE_IMAP || service == AUTH_SERVICE_POP3) && peer == ROLE_IMAP) ||
           (service == AUTH_SERVICE_HTTP && peer == ROLE_HTTP);
}

static void refuse(struct ipc_link *link, uint32_t request, enum auth_status status, const char *text)
{
    const struct wire_auth_result result = {.status = status, .text = slice_of(text)};
    wire_reply(link, request, WIRE_AUTH_RESULT, false, &result);
}

bool exchange_on_begin(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct auth *auth = ctx;
    const struct wire_auth_begin *m = message;
    enum role peer = role_of_link(link);
    if (!packet->request || !service_fits(m->service, peer))
        return false;
    const struct mechanism *mechanism = mechanism_find(m->mechanism);
    if (!mechanism) {
        refuse(link, packet->request, AUTH_NO_MECHANISM, "mechanism not available");
        return true;
    }
    if (auth->exchange_count >= AUTH_EXCHANGES_MAX || !auth->accounts) {
        login_count((enum auth_service)m->service, METRIC_LOGIN_LATER);
        refuse(link, packet->request, AUTH_LATER, "too many logins at once");
        return true;
    }
    struct exchange *x = new_exchange(auth, peer, m);
    x->mechanism = mechanism;
    x->request = packet->request;
    if (!idmap_put(auth->by_id, x->id, x)) {
        exchange_later(x, "too many logins at once");
        return true;
    }
    if (m->has_initial) {
        x->steps = 1;
        mechanism->step(x, m->initial);
    } else {
        exchange_challenge(x, slice_of(mechanism->greeting));
    }
    return true;
}

bool exchange_on_step(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct auth *auth = ctx;
    const struct wire_auth_step *m = message;
    struct exchange *x = m->exchange == UINT64_MAX ? NULL : idmap_get(auth->by_id, m->exchange);
    if (!packet->request)
        return false;
    if (!x) { /* timed out, or we were restarted */
        refuse(link, packet->request, AUTH_LATER, "the login took too long");
        return true;
    }
    if (x->peer != role_of_link(link) || x->request || x->busy)
        return false;
    x->request = packet->request;
    x->asked_ms = loop_now_ms(auth->loop);
    loop_timer_stop(x->timer);
    if (++x->steps > AUTH_STEPS_MAX)
        exchange_malformed(x);
    else
        x->mechanism->step(x, m->data);
    return true;
}

bool exchange_on_cancel(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct auth *auth = ctx;
    const struct wire_auth_cancel *m = message;
    struct exchange *x = m->exchange == UINT64_MAX ? NULL : idmap_get(auth->by_id, m->exchange);
    (void)packet;
    if (x && x->peer != role_of_link(link))
        return false;
    if (x && !x->request) {
        count_unheard(x);
        drop(x);
    }
    return true;
}
