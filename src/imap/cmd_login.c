/* cmd_login.c: LOGIN and AUTHENTICATE (RFC 9051 section 6.2): the client's side of a login; the way to auth
 * is login.c's. */
#include "base/mem.h"
#include "grammar/base64.h"
#include "imap/capability.h"
#include "imap/command.h"
#include "imap/login.h"

static void login_failed(struct session *s)
{
    imap_session_done(s, "NO [AUTHENTICATIONFAILED] Authentication failed");
    if (login_is_hopeless(&s->caller))
        imap_session_bye(s, "Too many failed logins");
}

static void login_ok(struct session *s, const struct wire_auth_result *result)
{
    s->grant = result->grant;
    s->account = mem_dup(result->account.ptr, result->account.len);
    s->hidden = imap_capability_hidden(role_settings(s->imap->run), result->account);
    imap_session_set_state(s, SESSION_LOGGED_IN);
    AUTO_BUF struct buf answer = buf_new(4096);
    buf_add_str(&answer, "OK [CAPABILITY ");
    imap_capability_write(s, &answer);
    buf_add_str(&answer, "] Logged in");
    imap_session_answer(s, buf_slice(&answer));
}

static void session_ended(struct session *s)
{
    login_leave(s->run->state);
}

/* The client's answer to a challenge: base64, or "*" to give up. */
static void read_response(struct session *s)
{
    struct slice line, data;
    struct login *login = s->run->state;
    size_t used;
    if (!imap_line_take(stream_input(s->stream), IMAP_LOGIN_LINE_MAX, &line, &used)) {
        if (used == 0)
            return;
        login_cancel(login);
        imap_session_done(s, "BAD Malformed authentication response");
        imap_session_bye(s, "Malformed authentication response");
        return;
    }
    struct run *run = s->run;
    run->input = NULL;
    line = arena_dup(run->arena, line);
    stream_consume(s->stream, used);
    bool gave_up = slice_eq(line, SLICE("*"));
    if (gave_up || !base64_decode_in(run->arena, line, &data) || data.len > LOGIN_MESSAGE_MAX) {
        login_cancel(login);
        imap_session_done(s, gave_up ? "BAD Authentication cancelled" : "BAD Malformed base64");
        return;
    }
    login_step(login, data);
}

static void challenge(struct session *s, const struct wire_auth_result *result)
{
    struct buf *out = imap_session_output(s);
    buf_add_str(out, "+ ");
    base64_encode(out, result->challenge, 0);
    buf_add_str(out, "\r\n");
    s->run->input = read_response;
}

static void answered(struct session *s, enum login_outcome outcome, const struct wire_auth_result *result)
{
    switch (outcome) {
    case LOGIN_OK:
        login_ok(s, result);
        break;
    case LOGIN_CONTINUE:
        challenge(s, result);
        break;
    case LOGIN_FAILED:
        login_failed(s);
        break;
    case LOGIN_MALFORMED:
        imap_session_done(s, "BAD Malformed authentication message");
        break;
    case LOGIN_NO_MECHANISM:
        imap_session_done(s, "NO [CANNOT] Authentication mechanism not supported");
        break;
    case LOGIN_LATER:
        imap_session_done(s, "NO [UNAVAILABLE] Logins are not possible at the moment");
        break;
    case LOGIN_CROWDED:
        imap_session_done(s, "NO [LIMIT] Too many connections of this user from your address");
        imap_session_bye(s, "Too many connections");
        break;
    }
}

static void on_answered(void *session, enum login_outcome outcome, const struct wire_auth_result *result)
{
    struct session *s = session;
    imap_session_enter(s);
    answered(s, outcome, result);
    if (!s->closing)
        imap_session_pump(s); /* a response may be there already */
    imap_session_leave(s);
}

static bool refuse_insecure(struct session *s)
{
    if (imap_session_may_login(s))
        return false;
    imap_session_done(s, "NO [PRIVACYREQUIRED] Logins need TLS here");
    return true;
}

static struct login *begin(struct session *s)
{
    struct run *run = s->run;
    run->state = login_new_in(run->arena, &s->caller, s->stream, on_answered, s);
    run->stop = session_ended;
    return run->state;
}

void imap_cmd_login(struct session *s)
{
    const struct imap_command *c = &s->run->command;
    if (!refuse_insecure(s))
        login_password(begin(s), c->login.user, c->login.password);
}

void imap_cmd_authenticate(struct session *s)
{
    struct run *run = s->run;
    struct imap_command *c = &run->command;
    struct slice initial = SLICE_EMPTY;
    if (refuse_insecure(s))
        return;
    if (!login_offers(&s->caller, s->stream, c->authenticate.mechanism)) {
        imap_session_done(s, "NO [CANNOT] Authentication mechanism not supported");
        return;
    }
    if (c->authenticate.has_initial && (!base64_decode_in(run->arena, c->authenticate.initial, &initial) ||
                                        initial.len > LOGIN_MESSAGE_MAX)) {
        imap_session_done(s, "BAD Malformed base64");
        return;
    }
    login_begin(begin(s), c->authenticate.mechanism, c->authenticate.has_initial, initial);
}
