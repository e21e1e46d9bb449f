/* cmd_auth.c: AUTH (RFC 4954): carries a SASL exchange between the client and the auth role. What the blobs
 * mean is not known here. Called by the command table, by session.c for the client's responses, and by auth's
 * answers. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/base64.h"
#include "net/sasl_offer.h"
#include "smtp/session.h"

/* Outlives its session: an answer that comes too late still has a grant in it, which must be given back. */
struct smtp_auth_call {
    struct smtp *smtp;
    struct smtp_session *session; /* NULL: gone */
};

bool smtp_auth_is_offered(const struct smtp_session *s)
{
    return s->port->settings.service == SETTINGS_SUBMISSION && grant_is_none(&s->grant) &&
           s->smtp->mechanisms[0] && (stream_is_tls(s->stream) || s->port->settings.insecure_auth);
}

static void send_cancel(struct smtp *smtp, uint64_t exchange)
{
    const struct wire_auth_cancel cancel = {.exchange = exchange};
    enum err ignored = exchange ? wire_send(smtp->auth, WIRE_AUTH_CANCEL, &cancel) : ERR_OK;
    (void)ignored; /* an auth that is away has forgotten it */
}

void smtp_auth_abandon(struct smtp_session *s)
{
    if (s->auth)
        s->auth->session = NULL; /* its answer cleans up */
    else if (s->exchange)
        send_cancel(s->smtp, s->exchange);
    s->auth = NULL;
    s->exchange = 0;
}

void smtp_auth_logout(struct smtp_session *s)
{
    if (grant_is_none(&s->grant))
        return;
    const struct wire_auth_logout logout = {.grant = s->grant};
    enum err ignored = wire_send(s->smtp->auth, WIRE_AUTH_LOGOUT, &logout);
    (void)ignored; /* an auth that starts anew forgets its grants */
    s->grant = (struct grant){0};
    s->account = SLICE_EMPTY;
}

/* ---- the answer ---- */

static void logged_in(struct smtp_session *s, const struct wire_auth_result *r)
{
    s->grant = r->grant;
    s->account = arena_dup(s->arena, r->account);
    smtp_report_login(s, s->mechanism);
    smtp_send(s, 235, "2.7.0", "Authentication succeeded");
}

/* `repeated`: a device with an old password is nobody to ban, also when it hangs up then. */
static void failed(struct smtp_session *s, enum auth_status status, bool repeated)
{
    smtp_report_login_failed(s, s->mechanism, status, repeated);
    s->deferred |= repeated;
    s->auth_failures++;
    if (status == AUTH_FAILED)
        smtp_send_error(s, 535, "5.7.8", "Authentication failed");
    else if (status == AUTH_MALFORMED)
        smtp_send_error(s, 501, "5.5.2", "Malformed authentication message");
    else
        smtp_send_error(s, 504, "5.5.4", "Mechanism not offered");
    if (s->auth_failures >= SMTP_AUTH_FAILURES_MAX)
        smtp_session_close(s, "4.7.0", "Too many failed logins");
}

static void challenge(struct smtp_session *s, const struct wire_auth_result *r)
{
    struct slice text = base64_encode_in(s->smtp->scratch, r->challenge);
    s->exchange = r->exchange;
    buf_addf(stream_output(s->stream), "334 %.*s\r\n", SLICE_ARG(text));
    arena_reset(s->smtp->scratch);
    smtp_session_enter(s, SMTP_STATE_AUTH);
}

static void answered(struct smtp_session *s, const struct wire_auth_result *r)
{
    smtp_session_enter(s, SMTP_STATE_READY);
    s->exchange = 0;
    switch ((enum auth_status)r->status) {
    case AUTH_OK:
        logged_in(s, r);
        break;
    case AUTH_CONTINUE:
        challenge(s, r);
        break;
    case AUTH_LATER:
        smtp_send(s, 454, "4.7.0", "Authentication is not possible now, try again later");
        break;
    case AUTH_FAILED:
    case AUTH_MALFORMED:
    case AUTH_NO_MECHANISM:
        failed(s, (enum auth_status)r->status, r->repeated);
        break;
    }
}

static void on_result(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct smtp_auth_call *call = ctx;
    struct smtp_session *s = call->session;
    struct wire_auth_result r;
    if (wire_answer(err, packet, WIRE_AUTH_RESULT, &r) != ERR_OK ||
        (r.status == AUTH_OK && grant_is_none(&r.grant)))
        r = (struct wire_auth_result){.status = AUTH_LATER};
    if (s) {
        s->auth = NULL;
        s->waits = SMTP_WAITS_NOT;
        answered(s, &r);
        smtp_session_continue(s);
    } else if (!grant_is_none(&r.grant)) {
        const struct wire_auth_logout logout = {.grant = r.grant};
        enum err ignored = wire_send(call->smtp->auth, WIRE_AUTH_LOGOUT, &logout);
        (void)ignored;
    } else {
        send_cancel(call->smtp, r.exchange);
    }
    free(call);
}

/* ---- the client ---- */

static struct smtp_auth_call *call_new(struct smtp_session *s)
{
    struct smtp_auth_call *call = mem_alloc(sizeof *call);
    *call = (struct smtp_auth_call){.smtp = s->smtp, .session = s};
    s->auth = call;
    s->waits = SMTP_WAITS_AUTH;
    return call;
}

/* NULL when AUTH may go on. */
static const struct smtp_reply_text *refusal(const struct smtp_session *s, struct slice mechanism)
{
    static const struct smtp_reply_text not_here = {503, "5.5.1", "Authentication is not offered here"};
    static const struct smtp_reply_text twice = {503, "5.5.1", "Already authenticated"};
    static const struct smtp_reply_text needs_tls = {538, "5.7.11",
                                                     "Encryption is required: say STARTTLS first"};
    static const struct smtp_reply_text away = {454, "4.7.0",
                                                "Authentication is not possible now, try again later"};
    static const struct smtp_reply_text unknown = {504, "5.5.4", "Mechanism not offered"};
    if (s->port->settings.service != SETTINGS_SUBMISSION)
        return &not_here;
    if (!grant_is_none(&s->grant))
        return &twice;
    if (!stream_is_tls(s->stream) && !s->port->settings.insecure_auth)
        return &needs_tls;
    if (!s->smtp->mechanisms[0] || !ipc_link_is_up(s->smtp->auth))
        return &away;
    return sasl_offer_has(slice_of(s->smtp->mechanisms), false, mechanism) ? NULL : &unknown;
}

static void begin(struct smtp_session *s, bool has_initial, struct slice initial)
{
    const struct wire_auth_begin begin = {.service = AUTH_SERVICE_SUBMISSION,
                                          .listener = s->port->index,
                                          .tls = stream_is_tls(s->stream),
                                          .has_initial = has_initial,
                                          .mechanism = slice_of(s->mechanism),
                                          .initial = initial,
                                          .client = slice_of(s->client.text),
                                          .session = slice_make(s->id, SMTP_ID_LEN)};
    (void)wire_call(s->smtp->auth, WIRE_AUTH_BEGIN, &begin, SMTP_AUTH_MS, on_result, call_new(s));
}

void smtp_cmd_auth(struct smtp_session *s, const struct smtp_command *command)
{
    const struct smtp_reply_text *wrong = refusal(s, command->argument);
    struct slice initial = SLICE_EMPTY, mechanism = slice_sub(command->argument, 0, sizeof s->mechanism - 1);
    if (!wrong && command->has_initial && command->initial.len &&
        !base64_decode_in(s->smtp->scratch, command->initial, &initial)) {
        smtp_send_error(s, 501, "5.5.2", "Initial response is not base64");
        return;
    }
    if (wrong) {
        smtp_send_error(s, wrong->code, wrong->status, wrong->text);
        return;
    }
    for (size_t i = 0; i < mechanism.len; i++)
        s->mechanism[i] = (char)ascii_upper(mechanism.ptr[i]);
    s->mechanism[mechanism.len] = 0;
    begin(s, command->has_initial, initial);
}

void smtp_auth_line(struct smtp_session *s, struct slice line)
{
    struct slice data = SLICE_EMPTY;
    if (slice_eq(line, SLICE("*"))) {
        smtp_auth_abandon(s);
        smtp_session_enter(s, SMTP_STATE_READY);
        smtp_send_error(s, 501, "5.7.0", "Authentication cancelled");
        return;
    }
    if (line.len && !base64_decode_in(s->smtp->scratch, line, &data)) {
        smtp_auth_abandon(s);
        smtp_session_enter(s, SMTP_STATE_READY);
        smtp_send_error(s, 501, "5.5.2", "Response is not base64");
        return;
    }
    const struct wire_auth_step step = {.exchange = s->exchange, .data = data};
    (void)wire_call(s->smtp->auth, WIRE_AUTH_STEP, &step, SMTP_AUTH_MS, on_result, call_new(s));
}
