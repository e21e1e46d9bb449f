/* oauth.c: logins with an access token: verified with the issuer's key here, or asked about at the issuer's
 * by relay. The token is a stranger's; what the issuer says of it is checked like the rest. Called by
 * mechanisms.c and role.c. */
#include <string.h>

#include "auth/context.h"
#include "base/clock.h"
#include "base/log.h"
#include "policy/token.h"

#define ASK_MS         30000 /* for relay, which gives the issuer less */
#define TOKENS_AT_ONCE 500   /* that the issuer is asked about; more are "try later" */

bool oauth_is_on(const struct auth *auth)
{
    return auth->token_keys || auth->settings->auth.oauth.introspection.url.len > 0;
}

static struct token_keys *read_keys(struct auth *auth, struct slice path)
{
    const struct role_file *file = role_file(auth->run, SUP_FILE_OAUTH_KEYS, 0);
    struct token_keys *keys = NULL;
    struct why why = {""};
    enum err err = ERR_OK;
    if (!file || file->missing.len)
        err = err_set(&why, ERR_BAD, "%.*s",
                      SLICE_ARG(file ? slice_sub(file->missing, 0, 100) : SLICE("not handed in")));
    else
        err = token_keys_new(file->content, &keys, &why);
    if (err)
        log_error("auth.oauth", LOG_STR("file", path), LOG_WHY(&why));
    return keys;
}

void oauth_use(struct auth *auth)
{
    struct slice path = auth->settings->auth.oauth.keys_file;
    token_keys_free(&auth->token_keys);
    if (path.len)
        auth->token_keys = read_keys(auth, path);
}

/* ---- the ends ---- */

static void add_scopes(struct buf *out, const struct settings *s)
{
    AUTO_BUF struct buf scopes = buf_new(1024);
    for (size_t i = 0; i < s->auth.oauth.scopes.count; i++)
        buf_addf(&scopes, "%s%.*s", i ? " " : "", SLICE_ARG(s->auth.oauth.scopes.items[i]));
    buf_add_json_string(out, buf_slice(&scopes));
}

/* RFC 7628 section 3.2.2: the client is told why in JSON, answers with next to nothing, and then the login
 * fails. */
static void refuse(struct exchange *x, const char *why)
{
    const struct settings *s = x->auth->settings;
    AUTO_BUF struct buf out = buf_new(SASL_MESSAGE_MAX), url = buf_new(1024);
    x->why = arena_cstr(x->arena, slice_of(why));
    x->token_refused = true;
    buf_add_str(&out, "{\"status\":\"invalid_token\",\"schemes\":\"Bearer\",\"scope\":");
    add_scopes(&out, s);
    if (s->auth.oauth.issuer.len) {
        buf_addf(&url, "%.*s/.well-known/openid-configuration", SLICE_ARG(s->auth.oauth.issuer));
        buf_add_str(&out, ",\"openid-configuration\":");
        buf_add_json_string(&out, buf_slice(&url));
    }
    buf_add_byte(&out, '}');
    exchange_challenge(x, buf_slice(&out));
}

static struct token_demand demand_of(const struct auth *auth, bool introspected)
{
    const struct settings *s = auth->settings;
    return (struct token_demand){.issuer = s->auth.oauth.issuer,
                                 .audiences = s->auth.oauth.audiences.items,
                                 .audience_count = s->auth.oauth.audiences.count,
                                 .scopes = s->auth.oauth.scopes.items,
                                 .scope_count = s->auth.oauth.scopes.count,
                                 .leeway = (int64_t)(s->auth.oauth.leeway / 1000),
                                 .introspected = introspected};
}

/* Not longer than the token itself is good for. */
static bool may_remember(const struct auth *auth, const struct token_claims *claims)
{
    int64_t keep = (int64_t)(auth->settings->auth.memory / 1000);
    return !claims->has_expiry || claims->expiry > clock_unix_s() + keep;
}

/* The keyed hash of a token; no password can have the same, as none begins with a control character. */
static bool is_remembered(struct exchange *x, const struct account *account)
{
    struct slice marked = arena_printf(x->arena, "\1%.*s", SLICE_ARG(x->token));
    memory_tag(x->auth->memory, account->address, marked, account->secret, x->tag);
    return memory_has(x->auth->memory, x->tag, loop_now_ms(x->auth->loop));
}

static void accept_as(struct exchange *x, const struct account *account)
{
    x->verified_address = arena_dup(x->arena, account->address);
    x->verified_secret = arena_dup(x->arena, account->secret);
    if (x->user.len == 0)
        x->user = x->verified_address;
    exchange_verified(x);
}

/* The token's own user, who must be the one the client asked for where it asked for one. */
static void judge(struct exchange *x, struct slice json, bool introspected)
{
    struct auth *auth = x->auth;
    struct token_claims claims;
    struct why why = {""};
    const struct token_demand demand = demand_of(auth, introspected);
    if (token_claims_read_in(x->arena, json, auth->settings->auth.oauth.user_claim, &claims, &why) ||
        token_claims_check(&claims, &demand, clock_unix_s(), &why)) {
        refuse(x, why.text);
        return;
    }
    const struct account *account = accounts_find(auth->accounts, claims.user);
    const struct account *asked = x->user.len ? accounts_find(auth->accounts, x->user) : account;
    if (!account || asked != account) {
        refuse(x, account ? "the token is another user's" : "the token's user has no account");
        return;
    }
    if (introspected && may_remember(auth, &claims) && !is_remembered(x, account))
        memory_add(auth->memory, x->tag, loop_now_ms(auth->loop));
    accept_as(x, account);
}

/* ---- asking the issuer ---- */

static void on_told(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct exchange *x = ctx;
    struct wire_token_checked told;
    x->busy = false;
    x->auth->tokens_asked--;
    err = wire_answer(err, packet, WIRE_TOKEN_CHECKED, &told);
    if (x->gone) {
        exchange_free(x);
    } else if (err || told.err) {
        log_warn("auth.oauth_away", LOG_STR("session", x->session),
                 LOG_STR("why", err ? SLICE("relay does not answer") : told.text));
        exchange_later(x, "the token cannot be checked now");
    } else {
        judge(x, arena_dup(x->arena, told.claims), true);
    }
}

static void ask(struct exchange *x)
{
    struct auth *auth = x->auth;
    struct ipc_link *relay = role_link(auth->run, ROLE_RELAY);
    const struct wire_token_check check = {.token = x->token};
    if (auth->tokens_asked >= TOKENS_AT_ONCE || !relay || !ipc_link_is_up(relay)) {
        exchange_later(x, "the token cannot be checked now");
        return;
    }
    auth->tokens_asked++;
    x->busy = true;
    (void)wire_call(relay, WIRE_TOKEN_CHECK, &check, ASK_MS, on_told, x);
}

/* Where both are configured, what is no JSON Web Token is the issuer's to judge. */
static void verify(struct exchange *x)
{
    struct auth *auth = x->auth;
    struct slice claims;
    struct why why = {""};
    bool may_ask = auth->settings->auth.oauth.introspection.url.len > 0;
    if (may_ask && (!auth->token_keys || !token_is_jwt(x->token)))
        ask(x);
    else if (!auth->token_keys)
        refuse(x, "no key to verify tokens with");
    else if (token_verify_in(x->arena, auth->token_keys, x->token, &claims, &why))
        refuse(x, why.text);
    else
        judge(x, claims, false);
}

/* ---- the messages ---- */

static void take(struct exchange *x, enum err err, const struct sasl_bearer *bearer)
{
    if (err) {
        exchange_malformed(x);
        return;
    }
    x->user = arena_dup(x->arena, bearer->user);
    x->token = arena_dup(x->arena, bearer->token);
    const struct account *account = x->user.len ? accounts_find(x->auth->accounts, x->user) : NULL;
    x->guess = exchange_guess(x, account, x->token);
    if (account && is_remembered(x, account)) {
        metric_inc(METRIC_AUTH_MEMORY_HITS);
        accept_as(x, account);
        return;
    }
    verify(x);
}

void oauth_step_bearer(struct exchange *x, struct slice data)
{
    struct sasl_bearer bearer;
    if (x->token_refused)
        exchange_failed(x, x->why);
    else
        take(x, sasl_oauthbearer_parse_in(x->arena, data, &bearer), &bearer);
}

void oauth_step_xoauth2(struct exchange *x, struct slice data)
{
    struct sasl_bearer bearer;
    if (x->token_refused)
        exchange_failed(x, x->why);
    else
        take(x, sasl_xoauth2_parse(data, &bearer), &bearer);
}
