/* cmd_login.c: LOGIN and AUTHENTICATE (RFC 9051 section 6.2). What the client sends goes to `auth` unread;
 * nothing of it is kept or logged but the name. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "grammar/base64.h"
#include "imap/capability.h"
#include "imap/command.h"
#include "net/sasl_offer.h"
#include "settings/compat.h"

#define CREDENTIALS_MAX 12000 /* octets of a decoded SASL message */

#define LOGGED_USER_MAX 256

/* A failed login, for the log. */
struct failure {
    char session[IMAP_SESSION_ID + 1], mechanism[33];
    struct netaddr_text client;
    size_t user_len;
    uint8_t user[LOGGED_USER_MAX];
    bool tls;
    struct compat_line line; /* empty: no tool is to see it */
};

/* A question to auth. It outlives the session that asked it: a grant that comes too late is given back, and
 * whoever does not wait for the answer, which a wrong password delays, has still guessed. */
struct auth_call {
    struct imap *imap;
    struct session *session; /* NULL: gone */
    struct failure *failure; /* of a session that is gone, should it turn out to be one */
};

struct login {
    struct auth_call *call; /* under way */
    char mechanism[33];
    struct slice user; /* as claimed, for the log */
    uint64_t exchange; /* of auth, while it goes on */
    bool tls;
};

static struct login *login_of(struct session *s)
{
    return s->run->state;
}

/* A tool that bans must never see our own monitors, clients and load balancers. */
static bool is_stranger(const struct session *s)
{
    return !s->probe && !s->trusted && compat_may_ban(role_settings(s->imap->run), &s->client);
}

/* What is said of a failed login, when the session may be gone. */
static void note_failure(struct session *s, struct failure *failure)
{
    struct login *login = login_of(s);
    uint64_t ms = clock_mono_ms() - s->started_ms;
    memcpy(failure->session, s->id, sizeof failure->session);
    memcpy(failure->mechanism, login->mechanism, sizeof failure->mechanism);
    failure->client = s->client_text;
    failure->user_len = login->user.len < sizeof failure->user ? login->user.len : sizeof failure->user;
    if (failure->user_len)
        memcpy(failure->user, login->user.ptr, failure->user_len);
    failure->tls = login->tls; /* the stream may be gone */
    failure->line.len = 0;
    if (is_stranger(s))
        compat_imap_failed(&failure->line, slice_of(s->client_text.text), slice_of(s->server_ip), login->user,
                           slice_of(login->mechanism), s->failures + 1, (unsigned)(ms / 1000), failure->tls);
}

static void log_failure(const struct failure *f, const char *why)
{
    log_event(f->line.len ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "imap.login_failed",
              LOG_CSTR("session", f->session), LOG_CSTR("client", f->client.text),
              LOG_STR("user", slice_make(f->user, f->user_len)), LOG_CSTR("mechanism", f->mechanism),
              LOG_BOOL("tls", f->tls), LOG_CSTR("why", why), LOG_COMPAT_LINE(&f->line));
}

static void login_failed(struct session *s, bool repeated)
{
    struct failure failure;
    note_failure(s, &failure);
    if (repeated)
        failure.line.len = 0; /* a device with an old password is nobody to ban */
    log_failure(&failure, "wrong name or password");
    s->failures++;
    imap_session_done(s, "NO [AUTHENTICATIONFAILED] Authentication failed");
    if (s->failures >= IMAP_LOGIN_FAILURES)
        imap_session_bye(s, "Too many failed logins");
}

/* The connections of one account from one address are counted (settings: limits.imap). */
static bool count_user(struct session *s)
{
    const struct settings *settings = role_settings(s->imap->run);
    uint64_t limit = s->trusted ? 0 : settings->limits.imap.connections_per_user_and_address;
    struct netaddr one = netaddr_client(&s->client);
    AUTO_BUF struct buf key = buf_new(WIRE_NAME_MAX + sizeof one.bytes);
    buf_add(&key, slice_make(one.bytes, sizeof one.bytes));
    buf_add_str(&key, s->account);
    s->user = imap_user_add(s->imap->users, buf_slice(&key), limit);
    return s->user != NULL;
}

static void login_ok(struct session *s, const struct wire_auth_result *result)
{
    struct login *login = login_of(s);
    s->grant = result->grant;
    s->account = mem_dup(result->account.ptr, result->account.len);
    if (!count_user(s)) {
        struct failure limited;
        note_failure(s, &limited);
        limited.line.len = 0; /* the password was right */
        log_failure(&limited, "too many connections of this user and address");
        imap_session_done(s, "NO [LIMIT] Too many connections of this user from your address");
        imap_session_bye(s, "Too many connections");
        return;
    }
    s->hidden = imap_capability_hidden(role_settings(s->imap->run), result->account);
    imap_session_set_state(s, SESSION_LOGGED_IN);
    log_info("imap.login", LOG_CSTR("session", s->id), LOG_CSTR("client", s->client_text.text),
             LOG_STR("user", result->account), LOG_CSTR("mechanism", login->mechanism),
             LOG_STR("tls", stream_tls_text(s->stream)));
    AUTO_BUF struct buf answer = buf_new(4096);
    buf_add_str(&answer, "OK [CAPABILITY ");
    imap_capability_write(s, &answer);
    buf_add_str(&answer, "] Logged in");
    imap_session_answer(s, buf_slice(&answer));
}

static void ask_auth(struct session *s, enum wire_type type, const void *message);

static void send_cancel(struct imap *imap, uint64_t exchange)
{
    const struct wire_auth_cancel cancel = {.exchange = exchange};
    enum err err = exchange ? wire_send(role_link(imap->run, ROLE_AUTH), WIRE_AUTH_CANCEL, &cancel) : ERR_OK;
    (void)err; /* auth away: the exchange died with it */
}

static void cancel_exchange(struct session *s)
{
    struct login *login = login_of(s);
    send_cancel(s->imap, login->exchange);
    login->exchange = 0;
}

static void session_ended(struct session *s)
{
    struct login *login = login_of(s);
    if (login->call) {
        login->call->session = NULL;
        login->call->failure = mem_zero(1, sizeof *login->call->failure);
        note_failure(s, login->call->failure);
    }
    cancel_exchange(s);
}

/* The client's answer to a challenge: base64, or "*" to give up. */
static void read_response(struct session *s)
{
    struct slice line, data;
    size_t used;
    if (!imap_line_take(stream_input(s->stream), IMAP_LOGIN_LINE_MAX, &line, &used)) {
        if (used == 0)
            return;
        cancel_exchange(s);
        imap_session_done(s, "BAD Malformed authentication response");
        imap_session_bye(s, "Malformed authentication response");
        return;
    }
    struct run *run = s->run;
    run->input = NULL;
    line = arena_dup(run->arena, line);
    stream_consume(s->stream, used);
    bool gave_up = slice_eq(line, SLICE("*"));
    if (gave_up || !base64_decode_in(run->arena, line, &data) || data.len > CREDENTIALS_MAX) {
        cancel_exchange(s);
        imap_session_done(s, gave_up ? "BAD Authentication cancelled" : "BAD Malformed base64");
        return;
    }
    const struct wire_auth_step step = {.exchange = login_of(s)->exchange, .data = data};
    ask_auth(s, WIRE_AUTH_STEP, &step);
}

static void challenge(struct session *s, const struct wire_auth_result *result)
{
    struct buf *out = imap_session_output(s);
    login_of(s)->exchange = result->exchange;
    buf_add_str(out, "+ ");
    base64_encode(out, result->challenge, 0);
    buf_add_str(out, "\r\n");
    s->run->input = read_response;
}

static void answered(struct session *s, const struct wire_auth_result *result)
{
    switch (result->status) {
    case AUTH_OK:
        login_ok(s, result);
        break;
    case AUTH_CONTINUE:
        challenge(s, result);
        break;
    case AUTH_FAILED:
        login_failed(s, result->repeated);
        break;
    case AUTH_MALFORMED:
        imap_session_done(s, "BAD Malformed authentication message");
        break;
    case AUTH_NO_MECHANISM:
        imap_session_done(s, "NO [CANNOT] Authentication mechanism not supported");
        break;
    default:
        imap_session_done(s, "NO [UNAVAILABLE] Logins are not possible at the moment");
        break;
    }
    if (!s->closing)
        imap_session_pump(s); /* a response may be there already */
}

/* The session has gone meanwhile: what auth holds for it ends. */
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

static void on_result(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct auth_call *call = ctx;
    struct session *s = call->session;
    struct wire_auth_result result;
    if (wire_answer(err, packet, WIRE_AUTH_RESULT, &result) != ERR_OK ||
        (result.status == AUTH_OK && grant_is_none(&result.grant)))
        result = (struct wire_auth_result){.status = AUTH_LATER};
    if (s) {
        login_of(s)->call = NULL;
        login_of(s)->exchange = 0;
        imap_session_enter(s);
        answered(s, &result);
        imap_session_leave(s);
    } else {
        if (result.status == AUTH_FAILED && !result.repeated && call->failure)
            log_failure(call->failure, "wrong name or password, and gone before the answer");
        give_back(call->imap, &result);
    }
    free(call->failure);
    free(call);
}

static void ask_auth(struct session *s, enum wire_type type, const void *message)
{
    struct auth_call *call = mem_zero(1, sizeof *call);
    *call = (struct auth_call){.imap = s->imap, .session = s};
    login_of(s)->call = call;
    (void)wire_call(role_link(s->imap->run, ROLE_AUTH), type, message, IMAP_CALL_MS, on_result, call);
}

static void begin(struct session *s, struct slice mechanism, bool has_initial, struct slice initial)
{
    struct login *login = login_of(s);
    for (size_t i = 0; i < mechanism.len && i + 1 < sizeof login->mechanism; i++)
        login->mechanism[i] = (char)ascii_upper(mechanism.ptr[i]);
    login->tls = stream_is_tls(s->stream);
    s->run->stop = session_ended;
    AUTO_BUF struct buf bindings = buf_new(SASL_BINDINGS_MAX);
    sasl_offer_bindings(s->stream, mechanism, &bindings);
    const struct wire_auth_begin message = {.service = AUTH_SERVICE_IMAP,
                                            .listener = s->listener,
                                            .tls = stream_is_tls(s->stream) || s->insecure_auth,
                                            .has_initial = has_initial,
                                            .mechanism = slice_of(login->mechanism),
                                            .initial = initial,
                                            .client = slice_of(s->client_text.text),
                                            .session = slice_of(s->id),
                                            .bindings = buf_slice(&bindings)};
    ask_auth(s, WIRE_AUTH_BEGIN, &message);
}

static bool refuse_insecure(struct session *s)
{
    if (imap_session_may_login(s))
        return false;
    imap_session_done(s, "NO [PRIVACYREQUIRED] Logins need TLS here");
    return true;
}

void imap_cmd_login(struct session *s)
{
    struct run *run = s->run;
    struct slice user = run->command.login.user, password = run->command.login.password;
    struct login *login = ARENA_NEW(run->arena, struct login);
    run->state = login;
    login->user = user;
    if (refuse_insecure(s))
        return;
    if (user.len + password.len + 2 > CREDENTIALS_MAX || user.len == 0 || password.len == 0) {
        memcpy(login->mechanism, "PLAIN", sizeof "PLAIN");
        login_failed(s, false);
        return;
    }
    AUTO_BUF struct buf initial = buf_new(CREDENTIALS_MAX);
    buf_add_byte(&initial, 0);
    buf_add(&initial, user);
    buf_add_byte(&initial, 0);
    buf_add(&initial, password);
    begin(s, SLICE("PLAIN"), true, buf_slice(&initial));
    mem_wipe(initial.data, initial.len);
}

/* The authentication identity of PLAIN (RFC 4616): behind the first NUL. */
static struct slice plain_user(struct slice mechanism, struct slice initial)
{
    struct slice rest = initial, identity = SLICE_EMPTY;
    if (slice_ieq(mechanism, SLICE("PLAIN")) && slice_token(&rest, 0, &identity))
        (void)!slice_token(&rest, 0, &identity);
    return identity;
}

void imap_cmd_authenticate(struct session *s)
{
    struct run *run = s->run;
    struct imap_command *c = &run->command;
    struct login *login = ARENA_NEW(run->arena, struct login);
    struct slice initial = SLICE_EMPTY;
    run->state = login;
    if (refuse_insecure(s))
        return;
    struct slice names = slice_make(s->imap->mechanisms, s->imap->mechanisms_len);
    if (!sasl_offer_has(names, s->stream, c->authenticate.mechanism)) {
        imap_session_done(s, "NO [CANNOT] Authentication mechanism not supported");
        return;
    }
    if (c->authenticate.has_initial &&
        (!base64_decode_in(run->arena, c->authenticate.initial, &initial) || initial.len > CREDENTIALS_MAX)) {
        imap_session_done(s, "BAD Malformed base64");
        return;
    }
    login->user = plain_user(c->authenticate.mechanism, initial);
    begin(s, c->authenticate.mechanism, c->authenticate.has_initial, initial);
}
