/* session.c: one client's session: its life, its states, its input line by line. Reads what anyone sends;
 * trusts nothing. Called by role.c (arrivals), by its stream, and by the answers of other roles. */
#include "smtp/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"

static const struct stream_ops session_ops;

const char *smtp_session_state_name(enum smtp_state state)
{
    static const char *const names[SMTP_STATE_COUNT] = {
        [SMTP_STATE_GREET] = "greet", [SMTP_STATE_NEW] = "new",      [SMTP_STATE_READY] = "ready",
        [SMTP_STATE_MAIL] = "mail",   [SMTP_STATE_RCPT] = "rcpt",    [SMTP_STATE_DATA] = "data",
        [SMTP_STATE_BDAT] = "bdat",   [SMTP_STATE_CHUNK] = "chunk",  [SMTP_STATE_AUTH] = "auth",
        [SMTP_STATE_TLS] = "tls",     [SMTP_STATE_CLOSED] = "closed"};
    return state < SMTP_STATE_COUNT ? names[state] : "?";
}

static bool takes_text(enum smtp_state state)
{
    return state == SMTP_STATE_DATA || state == SMTP_STATE_CHUNK;
}

void smtp_session_enter(struct smtp_session *s, enum smtp_state state)
{
    if (log_wants(LOG_LEVEL_DEBUG))
        log_debug("smtp.state", LOG_STR("session", slice_make(s->id, SMTP_ID_LEN)),
                  LOG_CSTR("from", smtp_session_state_name(s->state)),
                  LOG_CSTR("to", smtp_session_state_name(state)));
    s->state = state;
}

bool smtp_session_is_idle(const struct smtp_session *s)
{
    return s->waits == SMTP_WAITS_NOT && s->txn.id == 0 && !takes_text(s->state);
}

/* ---- life ---- */

static void make_id(char id[SMTP_ID_LEN])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    uint8_t bytes[SMTP_ID_LEN];
    random_fill(bytes, sizeof bytes);
    for (size_t i = 0; i < SMTP_ID_LEN; i++)
        id[i] = letters[bytes[i] % (sizeof letters - 1)];
}

static void unlink_session(struct smtp_session *s)
{
    smtp_greet_abandon(s);
    smtp_auth_abandon(s);
    smtp_ptr_abandon(s);
    smtp_txn_reset(s);
    smtp_limit_leave(s);
    service_leave(&s->smtp->service, &s->node);
    metric_sub(METRIC_SESSIONS, s->port->settings.service, 1);
    metric_observe(METRIC_SMTP_SESSION_SECONDS, 0, (loop_now_ms(s->smtp->loop) - s->started_ms) * 1000000u);
    smtp_auth_logout(s);
}

void smtp_session_free(struct smtp_session **ref)
{
    struct smtp_session *s = ref ? *ref : NULL;
    if (!s)
        return;
    *ref = NULL;
    unlink_session(s);
    stream_free(&s->stream);
    arena_free(&s->arena);
    arena_free(&s->txn_arena);
    service_port_free(&s->port);
    free(s);
}

/* Ends the session with the replies that are in the output. */
static void finish(struct smtp_session *s, const char *end)
{
    smtp_report_session(s, end);
    smtp_txn_reset(s); /* counts what came of a message, by the stream's address */
    stream_finish(&s->stream);
    smtp_session_free(&s);
}

void smtp_session_close(struct smtp_session *s, const char *status, const char *text)
{
    if (s->state == SMTP_STATE_CLOSED)
        return;
    if (text)
        smtp_send(s, 421, status, text);
    smtp_txn_reset(s);
    smtp_session_enter(s, SMTP_STATE_CLOSED);
}

static void admit(struct smtp_session *s)
{
    const struct smtp_reply_text *full = smtp_limit_arrival(s);
    if (full)
        smtp_session_close(s, full->status, full->text);
    else
        smtp_greet_begin(s);
}

void smtp_session_begin(struct smtp *smtp, struct stream *stream, const struct listener_arrival *arrival,
                        struct service_port *port)
{
    struct smtp_session *s = mem_zero(1, sizeof *s);
    s->smtp = smtp;
    s->stream = stream;
    s->port = port;
    port->refs++;
    s->trusted = arrival->trusted;
    s->from_proxy = settings_is_proxy(smtp->settings, stream_client(stream));
    s->probe = arrival->probe;
    s->started_ms = loop_now_ms(smtp->loop);
    s->client = netaddr_text(stream_client(stream));
    s->stage = "CONNECT";
    s->arena = arena_new(SMTP_SESSION_ARENA_MAX);
    s->txn_arena = arena_new(SMTP_TXN_ARENA_MAX);
    s->body.chunk = buf_new(SMTP_CHUNK);
    make_id(s->id);
    service_enter(&smtp->service, &s->node);
    metric_add(METRIC_CONNECTIONS, port->settings.service, 1);
    metric_add(METRIC_SESSIONS, port->settings.service, 1);
    stream_set_owner(stream, &session_ops, s);
    admit(s);
    smtp_session_continue(s);
}

/* ---- input ---- */

/* A response that is no line ends the exchange (RFC 4954 section 4): what follows are commands again. */
static bool spoils_auth(struct smtp_session *s)
{
    if (s->state != SMTP_STATE_AUTH)
        return false;
    smtp_auth_abandon(s);
    smtp_session_enter(s, SMTP_STATE_READY);
    return true;
}

/* A line that is none. What stands behind a bare line end may be read differently by whoever relayed it: the
 * connection is of no more use (RFC 5321 section 2.3.8). */
static void bad_line(struct smtp_session *s, enum smtp_line_state state)
{
    switch (state) {
    case SMTP_LINE_TOO_LONG:
        smtp_send_error(s, 500, spoils_auth(s) ? "5.5.6" : "5.5.2", "Line too long");
        break;
    case SMTP_LINE_NUL:
        (void)spoils_auth(s);
        smtp_send_error(s, 500, "5.5.2", "Line holds a NUL byte");
        break;
    case SMTP_LINE_BARE_LF:
    case SMTP_LINE_BARE_CR:
        (void)smtp_offence(s, OFFENCE_PROTOCOL_ABUSE, SLICE("bare CR or LF"), NULL);
        smtp_send_error(s, 554, "5.5.2", "Lines end in CRLF: a bare CR or LF was sent");
        smtp_session_close(s, NULL, NULL);
        break;
    case SMTP_LINE_OK:
    case SMTP_LINE_MORE:
        break;
    }
}

bool smtp_session_is_hopeless(const struct smtp_session *s)
{
    return s->errors >= SMTP_ERRORS_MAX || s->refused >= SMTP_REFUSED_MAX || s->excess >= SMTP_EXCESS_MAX;
}

static void run_line(struct smtp_session *s, struct slice line)
{
    if (s->state == SMTP_STATE_AUTH)
        smtp_auth_line(s, line);
    else
        smtp_command_run(s, line);
    arena_reset(s->smtp->scratch);
}

/* Behind each line, whatever it was. */
static void judge(struct smtp_session *s)
{
    if (s->state == SMTP_STATE_CLOSED)
        return;
    if (smtp_session_is_hopeless(s)) {
        smtp_limit_hopeless(s);
        smtp_session_close(s, "4.7.0", "Too many errors");
    } else if (s->smtp->service.draining && smtp_session_is_idle(s)) {
        smtp_session_close(s, "4.3.2", "Going down, come back soon");
    }
}

static bool take_line(struct smtp_session *s)
{
    struct slice input = stream_input(s->stream), line = SLICE_EMPTY;
    size_t before = input.len;
    bool sasl =
        s->state == SMTP_STATE_AUTH || (s->port->settings.service == SETTINGS_SUBMISSION && s->txn.id == 0);
    if (s->waits == SMTP_WAITS_RCPT && !smtp_command_is_rcpt(input))
        return false;
    enum smtp_line_state state =
        smtp_line_take(&input, sasl ? SMTP_LINE_AUTH_MAX : SMTP_LINE_MAX, &s->skipping, &line);
    stream_consume(s->stream,
                   before - input.len); /* the bytes stay where they are until the stream reads again */
    s->skipped = s->skipping ? s->skipped + (before - input.len) : 0;
    if (s->skipped > SMTP_SKIP_MAX) {
        smtp_limit_hopeless(s);
        smtp_session_close(s, "4.7.0", "A line without an end");
        return true;
    }
    if (state == SMTP_LINE_MORE)
        return false;
    if (state == SMTP_LINE_OK)
        run_line(s, line);
    else
        bad_line(s, state);
    judge(s);
    return true;
}

/* One line, or what there is of a message. False when it must wait. */
static bool step(struct smtp_session *s)
{
    bool asks_ahead = s->waits == SMTP_WAITS_RCPT && s->txn.call_count < SMTP_RCPT_AHEAD;
    if ((s->waits != SMTP_WAITS_NOT && !asks_ahead) || stream_is_full(s->stream))
        return false;
    switch (s->state) {
    case SMTP_STATE_CLOSED:
    case SMTP_STATE_TLS:
        return false;
    case SMTP_STATE_GREET:
        return smtp_greet_early(s);
    case SMTP_STATE_NEW:
        return smtp_greet_is_lost(s) || take_line(s);
    case SMTP_STATE_DATA:
        return smtp_body_take_data(s);
    case SMTP_STATE_CHUNK:
        return smtp_body_take_chunk(s);
    default:
        return take_line(s);
    }
}

/* Nothing more will come, and nothing that came can be done. */
static bool is_over(const struct smtp_session *s)
{
    return s->eof && s->waits == SMTP_WAITS_NOT && !stream_is_full(s->stream) && !s->starved;
}

static enum smtp_clock clock_of(const struct smtp_session *s)
{
    if (s->waits != SMTP_WAITS_NOT || s->starved || s->state == SMTP_STATE_GREET ||
        s->state == SMTP_STATE_TLS || s->state == SMTP_STATE_CLOSED)
        return SMTP_CLOCK_STOPPED;
    return takes_text(s->state) ? SMTP_CLOCK_TEXT : SMTP_CLOCK_COMMAND;
}

/* RFC 5321 section 4.5.3.2. A whole command is due within the time, however it drips; text only has to go on
 * moving, and to end some day. While we ourselves are slow the client has time. */
static void set_clock(struct smtp_session *s, bool progress)
{
    const struct settings *settings = s->smtp->settings;
    enum smtp_clock clock = clock_of(s);
    if (clock == s->clock && !(progress && clock == SMTP_CLOCK_COMMAND))
        return;
    s->clock = clock;
    switch (clock) {
    case SMTP_CLOCK_STOPPED:
        stream_set_timeout(s->stream, 0);
        stream_set_deadline(s->stream, 0);
        break;
    case SMTP_CLOCK_COMMAND:
        stream_set_timeout(s->stream, 0);
        stream_set_deadline(s->stream, smtp_limit_time(s, settings->timeouts.smtp_command));
        break;
    case SMTP_CLOCK_TEXT:
        stream_set_timeout(s->stream, settings->timeouts.smtp_data);
        stream_set_deadline(s->stream, SMTP_TEXT_MS);
        break;
    }
}

void smtp_session_continue(struct smtp_session *s)
{
    bool progress = false;
    if (s->running)
        return; /* an answer within a step: the loop below goes on */
    s->running = true;
    s->starved = false;
    while (step(s))
        progress = true;
    s->running = false;
    if (s->state == SMTP_STATE_CLOSED) {
        finish(s, s->quit ? "quit" : "closed");
    } else if (is_over(s)) {
        finish(s, "lost");
    } else {
        set_clock(s, progress);
        stream_flush(s->stream);
    }
}

/* ---- the stream ---- */

static void on_readable(void *ctx, struct stream *stream)
{
    (void)stream;
    smtp_session_continue(ctx);
}

static void on_secured(void *ctx, struct stream *stream)
{
    struct smtp_session *s = ctx;
    (void)stream;
    metric_add(METRIC_TLS_HANDSHAKES, METRIC_OK, 1);
    smtp_session_enter(s, SMTP_STATE_NEW);
    smtp_session_continue(s);
}

static void on_ended(void *ctx, struct stream *stream, enum stream_end end)
{
    struct smtp_session *s = ctx;
    switch (end) {
    case STREAM_EOF:
        s->eof = true;
        smtp_session_continue(s);
        break;
    case STREAM_TIMEOUT:
        smtp_send(s, 421, "4.4.2", "Timed out");
        finish(s, "timeout");
        break;
    case STREAM_TLS:
        metric_add(METRIC_TLS_HANDSHAKES, METRIC_FAILED, 1);
        smtp_report_session(s, stream_end_text(stream));
        smtp_session_free(&s);
        break;
    case STREAM_RESET:
        smtp_report_session(s, "lost");
        smtp_session_free(&s);
        break;
    }
}

static const struct stream_ops session_ops = {
    .readable = on_readable, .writable = on_readable, .secured = on_secured, .ended = on_ended};
