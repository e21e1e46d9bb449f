/* mechanisms.c: PLAIN, LOGIN and SCRAM-SHA-256(-PLUS) as steps: a client's message in, a challenge or a
 * verification out. Input is a stranger's. Called by exchange.c. */
#include <string.h>

#include "auth/context.h"
#include "base/random.h"
#include "grammar/base64.h"

#define NONCE_BYTES 18

/* ---- PLAIN (RFC 4616) ---- */

static void step_plain(struct exchange *x, struct slice data)
{
    struct sasl_plain plain;
    switch (sasl_plain_parse(data, &plain)) {
    case ERR_OK:
        exchange_password(x, plain.user, plain.password);
        return;
    case ERR_REFUSED:
        exchange_failed(x, "authorisation identity differs");
        return;
    default:
        exchange_malformed(x);
    }
}

/* ---- LOGIN (draft-murchison-sasl-login): name, then password ---- */

static void step_login(struct exchange *x, struct slice data)
{
    if (x->steps == 1) {
        if (!sasl_text_ok(data, SASL_USER_MAX)) {
            exchange_malformed(x);
            return;
        }
        x->user = arena_dup(x->arena, data);
        exchange_challenge(x, SLICE("Password:"));
        return;
    }
    if (sasl_text_ok(data, SASL_PASSWORD_MAX))
        exchange_password(x, x->user, data);
    else
        exchange_malformed(x);
}

/* ---- SCRAM-SHA-256 (RFC 5802, RFC 7677) ---- */

enum { SCRAM_FIRST, SCRAM_FINAL, SCRAM_END };

/* Names that do not exist, or whose password cannot be used so, get a salt all the same, always the same one,
 * in every spelling in which they would be found. */
static void choose_keys(struct exchange *x, const struct account *account)
{
    struct verify_proof *p = &x->proof;
    const struct account *dummy = x->auth->accounts->dummy;
    uint8_t bytes[MEMORY_TAG_LEN];
    if (account && account->has_verifier) {
        p->verifier = account->verifier;
        return;
    }
    struct slice folded = account ? account->address : directory_fold_in(x->arena, x->user);
    memory_derive(x->auth->memory, folded.len ? folded : x->user, bytes);
    memcpy(p->verifier.salt, bytes, SCRAM_SALT_LEN);
    p->verifier.salt_len = SCRAM_SALT_LEN;
    p->verifier.iterations = dummy && dummy->has_verifier ? dummy->verifier.iterations : SCRAM_ITERATIONS;
    random_fill(p->verifier.stored_key, sizeof p->verifier.stored_key);
    random_fill(p->verifier.server_key, sizeof p->verifier.server_key);
    if (account && account->usable && account->form.kind == PASSWORD_PLAIN)
        p->password = arena_dup(x->arena, account->form.body);
    else if (dummy && dummy->usable && dummy->form.kind == PASSWORD_PLAIN)
        p->password =
            arena_dup(x->arena, slice_make(bytes, sizeof bytes)); /* the same time; nobody's password */
}

/* NULL: what the client says of channel binding fits what was offered (RFC 5802 section 6). */
static const char *binding_flaw(struct exchange *x)
{
    const struct sasl_gs2 *first = &x->scram_first.gs2;
    struct slice pairs = x->bindings, type, data;
    if (x->mechanism->binds != (first->binding == SASL_BINDING_USED))
        return "channel binding and mechanism do not fit";
    if (first->binding == SASL_BINDING_MISSING && x->bindings.len)
        return "the client was not told of channel binding: somebody is in between";
    if (first->binding != SASL_BINDING_USED)
        return NULL;
    while (wire_strings_take(&pairs, &type) && wire_strings_take(&pairs, &data))
        if (slice_eq(type, first->binding_type)) {
            x->scram_channel = data;
            return NULL;
        }
    return "a channel binding we do not have";
}

static void scram_first(struct exchange *x, struct slice data)
{
    switch (sasl_scram_first_parse_in(x->arena, arena_dup(x->arena, data), &x->scram_first)) {
    case ERR_OK:
        break;
    case ERR_REFUSED:
        exchange_failed(x, "another authorisation identity");
        return;
    default:
        exchange_malformed(x);
        return;
    }
    x->user = x->scram_first.user;
    const char *flaw = binding_flaw(x);
    if (flaw) {
        exchange_failed(x, flaw);
        return;
    }
    const struct account *account = accounts_find(x->auth->accounts, x->user);
    if (account) {
        x->verified_address = arena_dup(x->arena, account->address);
        x->verified_secret = arena_dup(x->arena, account->secret);
    }
    choose_keys(x, account);
    uint8_t random[NONCE_BYTES];
    random_fill(random, sizeof random);
    struct slice ours = base64_encode_in(x->arena, slice_make(random, sizeof random));
    x->scram_nonce = arena_printf(x->arena, "%.*s%.*s", SLICE_ARG(x->scram_first.nonce), SLICE_ARG(ours));
    AUTO_BUF struct buf out = buf_new(SASL_MESSAGE_MAX);
    sasl_scram_server_first(&out, x->scram_nonce,
                            slice_make(x->proof.verifier.salt, x->proof.verifier.salt_len),
                            x->proof.verifier.iterations);
    x->scram_server_first = arena_dup(x->arena, buf_slice(&out));
    x->scram_state = SCRAM_FINAL;
    exchange_challenge(x, x->scram_server_first);
}

static void scram_final(struct exchange *x, struct slice data)
{
    struct sasl_scram_final final;
    if (sasl_scram_final_parse_in(x->arena, data, x->scram_first.gs2_header, x->scram_channel, x->scram_nonce,
                                  &final)) {
        exchange_malformed(x);
        return;
    }
    x->proof.auth_message = arena_printf(x->arena, "%.*s,%.*s,%.*s", SLICE_ARG(x->scram_first.bare),
                                         SLICE_ARG(x->scram_server_first), SLICE_ARG(final.without_proof));
    memcpy(x->proof.proof, final.proof, sizeof x->proof.proof);
    x->busy = true;
    if (verify_scram(x->auth->verify, &x->proof, mechanism_scram_done, x)) {
        x->busy = false;
        exchange_later(x, "too many logins at once");
    }
}

/* The server's proof goes out as a challenge; the client's empty answer to it ends the exchange (RFC 4422
 * section 4, where the protocol has no room for data beside success). */
void mechanism_scram_done(void *ctx, enum err err)
{
    struct exchange *x = ctx;
    x->busy = false;
    if (x->gone) {
        exchange_free(x);
        return;
    }
    if (err || x->verified_address.len == 0) {
        exchange_failed(x, x->verified_address.len ? "wrong password" : "no such account");
        return;
    }
    AUTO_BUF struct buf out = buf_new(SASL_MESSAGE_MAX);
    buf_add_str(&out, "v=");
    base64_encode(&out, slice_make(x->proof.signature, sizeof x->proof.signature), 0);
    x->scram_state = SCRAM_END;
    exchange_challenge(x, buf_slice(&out));
}

static void step_scram(struct exchange *x, struct slice data)
{
    if (x->scram_state == SCRAM_FIRST)
        scram_first(x, data);
    else if (x->scram_state == SCRAM_FINAL)
        scram_final(x, data);
    else if (data.len == 0)
        exchange_verified(x);
    else
        exchange_malformed(x);
}

static const struct mechanism mechanisms[] = {
    {"PLAIN", "", false, step_plain},
    {"LOGIN", "Username:", false, step_login},
    {"SCRAM-SHA-256", "", false, step_scram},
    {"SCRAM-SHA-256-PLUS", "", true, step_scram},
    {"OAUTHBEARER", "", false, oauth_step_bearer},
    {"XOAUTH2", "", false, oauth_step_xoauth2},
};

const struct mechanism *mechanism_find(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++)
        if (slice_ieq(name, slice_of(mechanisms[i].name)))
            return &mechanisms[i];
    return NULL;
}
