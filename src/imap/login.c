/* login.c: the way of a SASL exchange to auth and back. Input: names, passwords and SASL messages of anyone
 * who connects, passed on unread. Called by cmd_login.c (IMAP) and pop3_login.c. */
#include "imap/login.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/sasl_offer.h"
#include "settings/compat.h"

#define LOGGED_USER_MAX 256
#define MECHANISM_MAX   32

/* A failed login, for the log. */
struct failure {
    const struct caller_ops *ops;
    char session[CALLER_ID + 1], mechanism[MECHANISM_MAX + 1];
    struct netaddr_text client;
    size_t user_len;
    uint8_t user[LOGGED_USER_MAX];
    bool tls;
    struct compat_line line; /* empty: no tool is to see it */
};

/* A question to auth. It outlives the session that asked it: a grant that comes too late is given back, and
 * whoever does not wait for the answer, which a wrong password delays, has still guessed. */
struct login_call {
    struct imap *imap;
    struct login *login;     /* NULL: gone */
    struct failure *failure; /* of a session that is gone, should it turn out to be one */
};

struct login {
    struct caller *caller;
    struct stream *stream;
    login_answered *answered;
    void *session;
    struct login_call *call; /* under way */
    char mechanism[MECHANISM_MAX + 1];
    struct slice user; /* as claimed, for the log */
    uint64_t exchange; /* of auth, while it goes on */
    bool tls;
};

struct login *login_new_in(struct arena *arena, struct caller *caller, struct stream *stream,
                           login_answered *answered, void *session)
{
    struct login *login = ARENA_NEW(arena, struct login);
    *login = (struct login){.caller = caller,
                            .stream = stream,
                            .answered = answered,
                            .session = session,
                            .tls = stream_is_tls(stream)};
    return login;
}

/* ---- the log ---- */

/* "imap.login_failed" and the like. */
struct event_name {
    char text[40];
};

static struct event_name event_name(const struct caller_ops *ops, const char *what)
{
    struct event_name name;
    (void)snprintf(name.text, sizeof name.text, "%s.%s", ops->name, what);
    return name;
}

/* What is said of a failed login, when the session may be gone. */
static void note_failure(const struct login *login, struct failure *failure)
{
    const struct caller *c = login->caller;
    uint64_t ms = clock_mono_ms() - c->started_ms;
    failure->ops = c->ops;
    memcpy(failure->session, c->id, sizeof failure->session);
    memcpy(failure->mechanism, login->mechanism, sizeof failure->mechanism);
    failure->client = c->client_text;
    failure->user_len = login->user.len < sizeof failure->user ? login->user.len : sizeof failure->user;
    if (failure->user_len)
        memcpy(failure->user, login->user.ptr, failure->user_len);
    failure->tls = login->tls; /* the stream may be gone */
    failure->line.len = 0;
    const struct compat_login tried = {.service = c->ops->service,
                                       .ip = slice_of(c->client_text.text),
                                       .server_ip = slice_of(c->server_ip),
                                       .user = login->user,
                                       .mechanism = slice_of(login->mechanism),
                                       .attempts = c->failures + 1,
                                       .seconds = (unsigned)(ms / 1000),
                                       .tls = failure->tls};
    if (caller_is_stranger(c))
        compat_login_failed(&failure->line, &tried);
}

static void log_failure(const struct failure *f, const char *why)
{
    const struct event_name name = event_name(f->ops, "login_failed");
    log_event(f->line.len ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, name.text, LOG_CSTR("session", f->session),
              LOG_CSTR("client", f->client.text), LOG_STR("user", slice_make(f->user, f->user_len)),
              LOG_CSTR("mechanism", f->mechanism), LOG_BOOL("tls", f->tls), LOG_CSTR("why", why),
              LOG_COMPAT_LINE(&f->line));
}

static void log_success(const struct login *login, struct slice account)
{
    const struct caller *c = login->caller;
    const struct event_name name = event_name(c->ops, "login");
    log_event(LOG_LEVEL_INFO, name.text, LOG_CSTR("session", c->id), LOG_CSTR("client", c->client_text.text),
              LOG_STR("user", account), LOG_CSTR("mechanism", login->mechanism),
              LOG_STR("tls", stream_tls_text(login->stream)));
}

/* ---- answers ---- */

static void send_cancel(struct imap *imap, uint64_t exchange)
{
    const struct wire_auth_cancel cancel = {.exchange = exchange};
    enum err err = exchange ? wire_send(role_link(imap->run, ROLE_AUTH), WIRE_AUTH_CANCEL, &cancel) : ERR_OK;
    (void)err; /* auth away: the exchange died with it */
}

/* Nobody wants the answer any more: what auth holds for it ends. */
static void give_back(struct imap *imap, const struct wire_auth_result *result)
{
    const struct wire_auth_logout logout = {.grant = result->grant};
    if (grant_is_none(&result->grant)) {
        send_cancel(imap, result->exchange);
        return;
    }
    enum err err = wire_send(role_link(imap->run, ROLE_AUTH), WIRE_AUTH_LOGOUT, &logout);
    (void)err; /* auth away: it will not replay a grant nobody uses */
}

static void failed(struct login *login, bool repeated)
{
    const struct wire_auth_result none = {.status = AUTH_FAILED};
    struct failure failure;
    note_failure(login, &failure);
    if (repeated)
        failure.line.len = 0; /* a device with an old password is nobody to ban */
    log_failure(&failure, "wrong name or password");
    login->caller->failures++;
    login->answered(login->session, LOGIN_FAILED, &none);
}

static void succeeded(struct login *login, const struct wire_auth_result *result)
{
    struct failure limited;
    if (caller_count_account(login->caller, result->account)) {
        log_success(login, result->account);
        login->answered(login->session, LOGIN_OK, result);
        return;
    }
    note_failure(login, &limited);
    limited.line.len = 0; /* the password was right */
    log_failure(&limited, "too many connections of this user and address");
    give_back(login->caller->imap, result);
    login->answered(login->session, LOGIN_CROWDED, result);
}

static void answered(struct login *login, const struct wire_auth_result *result)
{
    switch ((enum auth_status)result->status) {
    case AUTH_OK:
        succeeded(login, result);
        break;
    case AUTH_CONTINUE:
        login->exchange = result->exchange;
        login->answered(login->session, LOGIN_CONTINUE, result);
        break;
    case AUTH_FAILED:
        failed(login, result->repeated);
        break;
    case AUTH_MALFORMED:
        login->answered(login->session, LOGIN_MALFORMED, result);
        break;
    case AUTH_NO_MECHANISM:
        login->answered(login->session, LOGIN_NO_MECHANISM, result);
        break;
    case AUTH_LATER:
    default:
        login->answered(login->session, LOGIN_LATER, result);
        break;
    }
}

static void on_result(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct login_call *call = ctx;
    struct login *login = call->login;
    struct wire_auth_result result;
    if (wire_answer(err, packet, WIRE_AUTH_RESULT, &result) != ERR_OK ||
        (result.status == AUTH_OK && grant_is_none(&result.grant)))
        result = (struct wire_auth_result){.status = AUTH_LATER};
    if (login) {
        login->call = NULL;
        login->exchange = 0;
        answered(login, &result);
    } else {
        if (result.status == AUTH_FAILED && !result.repeated && call->failure)
            log_failure(call->failure, "wrong name or password, and gone before the answer");
        give_back(call->imap, &result);
    }
    free(call->failure);
    free(call);
}

/* ---- questions ---- */

static void ask(struct login *login, enum wire_type type, const void *message)
{
    struct imap *imap = login->caller->imap;
    struct login_call *call = mem_zero(1, sizeof *call);
    *call = (struct login_call){.imap = imap, .login = login};
    login->call = call;
    (void)wire_call(role_link(imap->run, ROLE_AUTH), type, message, CALLER_ANSWER_MS, on_result, call);
}

/* The authentication identity of PLAIN (RFC 4616): behind the first NUL. */
static struct slice plain_user(struct slice mechanism, struct slice initial)
{
    struct slice rest = initial, identity = SLICE_EMPTY;
    if (slice_ieq(mechanism, SLICE("PLAIN")) && slice_token(&rest, 0, &identity))
        (void)!slice_token(&rest, 0, &identity);
    return identity;
}

void login_begin(struct login *login, struct slice mechanism, bool has_initial, struct slice initial)
{
    const struct caller *c = login->caller;
    for (size_t i = 0; i < mechanism.len && i < MECHANISM_MAX; i++)
        login->mechanism[i] = (char)ascii_upper(mechanism.ptr[i]);
    if (!login->user.len)
        login->user = plain_user(mechanism, initial);
    AUTO_BUF struct buf bindings = buf_new(SASL_BINDINGS_MAX);
    if (c->ops->binds)
        sasl_offer_bindings(login->stream, mechanism, &bindings);
    const struct wire_auth_begin message = {.service = c->ops->auth,
                                            .listener = c->listener,
                                            .tls = login->tls || c->insecure_auth,
                                            .has_initial = has_initial,
                                            .mechanism = slice_of(login->mechanism),
                                            .initial = initial,
                                            .client = slice_of(c->client_text.text),
                                            .session = slice_of(c->id),
                                            .bindings = buf_slice(&bindings)};
    ask(login, WIRE_AUTH_BEGIN, &message);
}

void login_password(struct login *login, struct slice user, struct slice password)
{
    login->user = user;
    if (user.len + password.len + 2 > LOGIN_MESSAGE_MAX || user.len == 0 || password.len == 0) {
        memcpy(login->mechanism, "PLAIN", sizeof "PLAIN");
        failed(login, false);
        return;
    }
    AUTO_BUF struct buf initial = buf_new(LOGIN_MESSAGE_MAX);
    buf_add_byte(&initial, 0);
    buf_add(&initial, user);
    buf_add_byte(&initial, 0);
    buf_add(&initial, password);
    login_begin(login, SLICE("PLAIN"), true, buf_slice(&initial));
    mem_wipe(initial.data, initial.len);
}

void login_step(struct login *login, struct slice data)
{
    const struct wire_auth_step step = {.exchange = login->exchange, .data = data};
    ask(login, WIRE_AUTH_STEP, &step);
}

void login_cancel(struct login *login)
{
    send_cancel(login->caller->imap, login->exchange);
    login->exchange = 0;
}

void login_leave(struct login *login)
{
    if (!login)
        return;
    if (login->call) {
        login->call->login = NULL;
        login->call->failure = mem_zero(1, sizeof *login->call->failure);
        note_failure(login, login->call->failure);
    }
    login_cancel(login);
}

static bool binds(const struct caller *caller, const struct stream *stream)
{
    return caller->ops->binds && stream_is_tls(stream);
}

bool login_next_mechanism(const struct caller *caller, const struct stream *stream, struct slice *names,
                          struct slice *mechanism)
{
    return sasl_offer_next(names, binds(caller, stream), mechanism);
}

bool login_offers(const struct caller *caller, const struct stream *stream, struct slice mechanism)
{
    const struct imap *imap = caller->imap;
    return sasl_offer_has(slice_make(imap->mechanisms, imap->mechanisms_len), binds(caller, stream),
                          mechanism);
}

bool login_is_hopeless(const struct caller *caller)
{
    return caller->failures >= CALLER_FAILURES;
}
