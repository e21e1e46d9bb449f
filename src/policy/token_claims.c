/* token_claims.c: what a token says, and whether that is enough. The JSON is signed by the issuer or comes
 * from it, but the issuer may be careless and a service in between hijacked: bounded and strict. Called by
 * auth. */
#include "grammar/json_events.h"
#include "policy/token.h"

enum claim {
    CLAIM_NONE,
    CLAIM_ACTIVE,
    CLAIM_VERIFIED,
    CLAIM_EXPIRY,
    CLAIM_BEGIN,
    CLAIM_ISSUER,
    CLAIM_SCOPE,
    CLAIM_AUDIENCE
};

struct reader {
    struct arena *arena;
    struct slice user_claim;
    struct token_claims *claims;
    enum claim claim; /* the member whose value comes */
    bool is_user, in_list;
    const char *flaw;
};

static enum claim claim_of(struct slice key)
{
    static const struct {
        struct slice name;
        enum claim claim;
    } rows[] = {
        {SLICE("active"), CLAIM_ACTIVE}, {SLICE("email_verified"), CLAIM_VERIFIED},
        {SLICE("exp"), CLAIM_EXPIRY},    {SLICE("nbf"), CLAIM_BEGIN},
        {SLICE("iss"), CLAIM_ISSUER},    {SLICE("scope"), CLAIM_SCOPE},
        {SLICE("aud"), CLAIM_AUDIENCE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (slice_eq(key, rows[i].name))
            return rows[i].claim;
    return CLAIM_NONE;
}

/* NumericDate (RFC 7519 section 2): a fraction is left out. */
static bool read_date(struct slice text, int64_t *date)
{
    uint64_t seconds;
    ptrdiff_t dot = slice_find(text, '.');
    if (!slice_u64(dot < 0 ? text : slice_sub(text, 0, (size_t)dot), INT64_MAX / 2, &seconds))
        return false;
    *date = (int64_t)seconds;
    return true;
}

static bool refuse(struct reader *r, const char *flaw)
{
    r->flaw = flaw;
    return false;
}

static bool on_string(struct reader *r, const struct json_event *e)
{
    struct token_claims *c = r->claims;
    if (e->cut)
        return r->claim || r->is_user ? refuse(r, "a claim is too long") : true;
    if (r->is_user)
        c->user = arena_dup(r->arena, e->text);
    if (r->claim == CLAIM_ISSUER)
        c->issuer = arena_dup(r->arena, e->text);
    if (r->claim == CLAIM_SCOPE)
        c->scope = arena_dup(r->arena, e->text);
    if (r->claim == CLAIM_AUDIENCE && c->audience_count < TOKEN_AUDIENCES_MAX)
        c->audiences[c->audience_count++] = arena_dup(r->arena, e->text);
    if (r->claim == CLAIM_EXPIRY || r->claim == CLAIM_BEGIN)
        return refuse(r, "exp or nbf is no number");
    return true;
}

static bool on_number(struct reader *r, const struct json_event *e)
{
    struct token_claims *c = r->claims;
    if (r->claim == CLAIM_EXPIRY)
        return (c->has_expiry = read_date(e->text, &c->expiry)) || refuse(r, "exp is no date");
    if (r->claim == CLAIM_BEGIN)
        return (c->has_begin = read_date(e->text, &c->begin)) || refuse(r, "nbf is no date");
    return true;
}

/* Only members of the outer object count, and the strings of an array of audiences. */
static bool on_event(void *ctx, const struct json_event *e)
{
    struct reader *r = ctx;
    if (e->depth == 0)
        return e->kind == JSON_OBJECT || e->kind == JSON_OBJECT_END || refuse(r, "no JSON object");
    if (e->depth == 1 && e->kind == JSON_KEY) {
        r->claim = e->cut ? CLAIM_NONE : claim_of(e->text);
        r->is_user = !e->cut && slice_eq(e->text, r->user_claim);
        return true;
    }
    if (e->depth == 1)
        r->in_list = r->claim == CLAIM_AUDIENCE && e->kind == JSON_ARRAY;
    if (e->depth > 1 && !(e->depth == 2 && r->in_list && e->kind == JSON_STRING))
        return true;
    switch (e->kind) {
    case JSON_STRING:
        return on_string(r, e);
    case JSON_NUMBER:
        return on_number(r, e);
    case JSON_TRUE:
        r->claims->active |= r->claim == CLAIM_ACTIVE;
        return true;
    case JSON_FALSE:
        r->claims->unverified |= r->claim == CLAIM_VERIFIED;
        return true;
    default:
        return true;
    }
}

enum err token_claims_read_in(struct arena *arena, struct slice json, struct slice user_claim,
                              struct token_claims *claims, struct why *why)
{
    struct token_claims found = {0};
    struct reader r = {.arena = arena, .user_claim = user_claim, .claims = &found};
    struct json_reader reader;
    if (json.len > TOKEN_CLAIMS_MAX)
        return err_set(why, ERR_BAD, "the claims are too long");
    json_reader_begin(&reader, on_event, &r);
    if (json_reader_feed(&reader, json) || json_reader_end(&reader))
        return err_set(why, ERR_BAD, "%s", r.flaw ? r.flaw : "the claims are no JSON");
    *claims = found;
    return ERR_OK;
}

static bool has_audience(const struct token_claims *c, const struct token_demand *d)
{
    for (size_t i = 0; i < d->audience_count; i++)
        for (size_t j = 0; j < c->audience_count; j++)
            if (slice_eq(d->audiences[i], c->audiences[j]))
                return true;
    return d->audience_count == 0;
}

/* scope = scope-token *( SP scope-token )                                  RFC 6749 section 3.3 */
static bool has_scope(struct slice scope, struct slice wanted)
{
    struct slice word;
    while (slice_token(&scope, ' ', &word))
        if (slice_eq(word, wanted))
            return true;
    return false;
}

enum err token_claims_check(const struct token_claims *c, const struct token_demand *d, int64_t now,
                            struct why *why)
{
    if (d->introspected && !c->active)
        return err_set(why, ERR_REFUSED, "the issuer says that the token is not active");
    if (!d->introspected && !c->has_expiry)
        return err_set(why, ERR_REFUSED, "the token never expires");
    if (c->has_expiry && now - d->leeway >= c->expiry)
        return err_set(why, ERR_REFUSED, "the token has expired");
    if (c->has_begin && now + d->leeway < c->begin)
        return err_set(why, ERR_REFUSED, "the token is not valid yet");
    if (d->issuer.len && !slice_eq(c->issuer, d->issuer) && !(d->introspected && c->issuer.len == 0))
        return err_set(why, ERR_REFUSED, "the token has another issuer");
    if (!has_audience(c, d))
        return err_set(why, ERR_REFUSED, "the token is meant for another audience");
    for (size_t i = 0; i < d->scope_count; i++)
        if (!has_scope(c->scope, d->scopes[i]))
            return err_set(why, ERR_REFUSED, "the token lacks a scope");
    if (c->user.len == 0)
        return err_set(why, ERR_REFUSED, "the token names no user");
    return c->unverified ? err_set(why, ERR_REFUSED, "the token's address is not verified") : ERR_OK;
}
