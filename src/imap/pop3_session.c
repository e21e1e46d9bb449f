/* pop3_session.c: the life of one POP3 connection: greeting, commands off the input, the end. Input: anyone
 * who connects. Called by role.c and by the stream's callbacks. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "grammar/imap_frame.h"
#include "grammar/smtp_command.h"
#include "imap/pop3.h"

#define INPUT_SLACK 1024  /* of the input buffer above a line */
#define REPLY_MAX   512   /* octets of a reply's line (RFC 1939 section 3) */
#define WAIT_MS     60000 /* until store counts as away */

struct buf *pop3_output(struct pop3 *p)
{
    return stream_output(p->stream);
}

bool pop3_may_login(const struct pop3 *p)
{
    return p->caller.insecure_auth || stream_is_tls(p->stream);
}

/* ---- replies ---- */

static void reply(struct pop3 *p, const char *indicator, const char *format, va_list args)
{
    char text[REPLY_MAX];
    int len = vsnprintf(text, sizeof text, format, args);
    struct buf *out = pop3_output(p);
    buf_add_str(out, indicator);
    if (len > 0) {
        buf_add_byte(out, ' ');
        buf_add_str(out, text);
    }
    buf_add_str(out, "\r\n");
}

void pop3_ok(struct pop3 *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    reply(p, "+OK", format, args);
    va_end(args);
    p->bads = 0;
    metric_add(METRIC_POP3_REPLIES, METRIC_POP3_OK, 1);
}

void pop3_err(struct pop3 *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    reply(p, "-ERR", format, args);
    va_end(args);
    p->bads++;
    metric_add(METRIC_POP3_REPLIES, METRIC_POP3_ERR, 1);
}

void pop3_refused(struct pop3 *p, uint32_t err, uint32_t code)
{
    if (code == STORE_CODE_EXPIRED)
        pop3_bye(p, "-ERR [SYS/TEMP] The login is over, log in again");
    else if (code == STORE_CODE_EXPUNGEISSUED || err == ERR_ABSENT)
        pop3_err(p, "Message is gone: another session removed it");
    else if (code == STORE_CODE_INUSE)
        pop3_err(p, "[IN-USE] Mailbox is in use, try again later");
    else if (code == STORE_CODE_NOPERM || err == ERR_REFUSED)
        pop3_err(p, "[SYS/PERM] Not permitted");
    else
        pop3_err(p, "[SYS/TEMP] Not possible at the moment, try again later");
}

/* ---- the end ---- */

static void log_end(const struct pop3 *p)
{
    const struct pop3_drop *drop = p->drop;
    if (caller_is_check(&p->caller, &p->grant))
        return;
    log_info("pop3.closed", LOG_CSTR("session", p->caller.id), LOG_CSTR("client", p->caller.client_text.text),
             LOG_STR("user", slice_of(p->account)), LOG_U64("commands", p->commands),
             LOG_U64("fetched", drop ? drop->fetched : 0), LOG_U64("deleted", drop ? drop->removed : 0),
             LOG_MS("took", clock_mono_ms() - p->caller.started_ms));
}

static void destroy(struct pop3 *p)
{
    if (p->request)
        ipc_cancel(p->link, p->request);
    pop3_login_free(p);
    log_end(p);
    pop3_drop_free(p);
    caller_logout(&p->caller, &p->grant);
    caller_leave(&p->caller);
    free(p->user);
    free(p->account);
    free(p);
}

void pop3_enter(struct pop3 *p)
{
    p->busy++;
}

void pop3_leave(struct pop3 *p)
{
    if (--p->busy == 0 && p->closing)
        destroy(p);
}

void pop3_close(struct pop3 *p, bool politely)
{
    if (p->closing)
        return;
    pop3_enter(p);
    p->closing = true;
    if (politely)
        stream_finish(&p->stream);
    else
        stream_free(&p->stream);
    pop3_leave(p);
}

void pop3_bye(struct pop3 *p, const char *text)
{
    if (p->closing)
        return;
    buf_addf(pop3_output(p), "%s\r\n", text);
    metric_add(METRIC_POP3_REPLIES, text[0] == '+' ? METRIC_POP3_OK : METRIC_POP3_ERR, 1);
    pop3_close(p, true);
}

/* ---- commands ---- */

static const struct {
    unsigned states;
    pop3_handler *run;
} commands[POP3_VERB_COUNT] = {
    [POP3_AUTH] = {POP3_AUTHORIZATION, pop3_cmd_auth},
    [POP3_CAPA] = {POP3_AUTHORIZATION | POP3_TRANSACTION, pop3_cmd_capa},
    [POP3_DELE] = {POP3_TRANSACTION, pop3_cmd_dele},
    [POP3_LIST] = {POP3_TRANSACTION, pop3_cmd_list},
    [POP3_NOOP] = {POP3_TRANSACTION, pop3_cmd_noop},
    [POP3_PASS] = {POP3_AUTHORIZATION, pop3_cmd_pass},
    [POP3_QUIT] = {POP3_AUTHORIZATION | POP3_TRANSACTION, pop3_cmd_quit},
    [POP3_RETR] = {POP3_TRANSACTION, pop3_cmd_retr},
    [POP3_RSET] = {POP3_TRANSACTION, pop3_cmd_rset},
    [POP3_STAT] = {POP3_TRANSACTION, pop3_cmd_stat},
    [POP3_STLS] = {POP3_AUTHORIZATION, pop3_cmd_stls},
    [POP3_TOP] = {POP3_TRANSACTION, pop3_cmd_retr},
    [POP3_UIDL] = {POP3_TRANSACTION, pop3_cmd_uidl},
    [POP3_USER] = {POP3_AUTHORIZATION, pop3_cmd_user},
    [POP3_UTF8] = {POP3_AUTHORIZATION, pop3_cmd_utf8},
};

static void give_up_on_garbage(struct pop3 *p)
{
    if (p->closing || p->state != POP3_AUTHORIZATION || p->bads <= POP3_BAD_MAX)
        return;
    caller_report_abuse(&p->caller, "too many bad commands");
    pop3_close(p, true);
}

static void take_command(struct pop3 *p, struct slice line)
{
    struct pop3_command command;
    const char *wrong = pop3_command_parse(line, &command);
    p->commands++;
    metric_add(METRIC_POP3_COMMANDS,
               metrics_command(&metrics_pop3_commands, slice_of(pop3_verb_name(command.verb))), 1);
    if (wrong)
        pop3_err(p, "%s", wrong);
    else if (!(commands[command.verb].states & p->state))
        pop3_err(p, p->state == POP3_AUTHORIZATION ? "Log in first" : "Not after the login");
    else
        commands[command.verb].run(p, &command);
    give_up_on_garbage(p);
}

static size_t line_max(const struct pop3 *p)
{
    return p->state == POP3_AUTHORIZATION ? IMAP_LOGIN_LINE_MAX : POP3_LINE_MAX;
}

static void bad_line(struct pop3 *p, enum smtp_line_state state)
{
    bool challenged = p->login && p->login->reads;
    const char *text = state == SMTP_LINE_TOO_LONG ? "Line too long" : "Lines end in CR LF, and hold no NUL";
    if (challenged)
        pop3_bye(p, "-ERR Malformed authentication response");
    else
        pop3_err(p, "%s", text);
    give_up_on_garbage(p);
}

/* One line off the input; false when there is none. */
static bool next_line(struct pop3 *p)
{
    struct slice input = stream_input(p->stream), rest = input, line;
    char text[IMAP_LOGIN_LINE_MAX];
    enum smtp_line_state state = smtp_line_take(&rest, line_max(p), &p->skipping, &line);
    if (state == SMTP_LINE_OK)
        memcpy(text, line.ptr, line.len); /* the input moves */
    stream_consume(p->stream, input.len - rest.len);
    if (state == SMTP_LINE_MORE)
        return false;
    if (state != SMTP_LINE_OK)
        bad_line(p, state);
    else if (!pop3_login_line(p, slice_make(text, line.len)))
        take_command(p, slice_make(text, line.len));
    return true;
}

static bool can_take(const struct pop3 *p)
{
    bool answer = p->login && p->login->reads;
    return !p->closing && (!p->waits || answer) && !stream_is_full(p->stream);
}

void pop3_go_on(struct pop3 *p)
{
    if (p->pumping || p->closing)
        return;
    pop3_enter(p);
    p->pumping = true;
    while (can_take(p) && next_line(p))
        ;
    p->pumping = false;
    /* Nothing more will come, and what came is answered. */
    if (p->eof && can_take(p))
        pop3_close(p, true);
    else if (!p->closing && !p->waits && p->caller.imap->service.draining)
        pop3_bye(p, "-ERR [SYS/TEMP] The server is going down");
    pop3_leave(p);
}

void pop3_done(struct pop3 *p)
{
    p->waits = false;
    p->resume = NULL;
    pop3_go_on(p);
}

/* ---- requests ---- */

static void on_answer(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct pop3 *p = ctx;
    p->request = 0;
    pop3_enter(p);
    p->answered(p, err, packet);
    pop3_leave(p);
}

void pop3_call(struct pop3 *p, enum wire_type type, const void *message, int fd, pop3_answered *answered)
{
    p->waits = true;
    p->answered = answered;
    p->link = role_link(p->caller.imap->run, ROLE_STORE);
    p->request = wire_call_fds(p->link, type, message, &fd, fd >= 0, WAIT_MS, on_answer, p);
}

/* ---- callbacks of the stream ---- */

static void on_readable(void *ctx, struct stream *stream)
{
    (void)stream;
    pop3_go_on(ctx);
}

static void on_writable(void *ctx, struct stream *stream)
{
    (void)stream;
    struct pop3 *p = ctx;
    pop3_enter(p);
    if (p->resume)
        p->resume(p);
    pop3_go_on(p);
    pop3_leave(p);
}

static void on_secured(void *ctx, struct stream *stream)
{
    struct pop3 *p = ctx;
    log_debug("pop3.secured", LOG_CSTR("session", p->caller.id), LOG_STR("tls", stream_tls_text(stream)));
}

/* Who does not say QUIT deletes nothing (RFC 1939 section 6). */
static void on_ended(void *ctx, struct stream *stream, enum stream_end end)
{
    struct pop3 *p = ctx;
    (void)stream;
    if (end == STREAM_EOF) {
        p->eof = true;
        pop3_go_on(p);
        return;
    }
    pop3_close(p, false);
}

static const struct stream_ops pop3_stream_ops = {
    .readable = on_readable, .writable = on_writable, .secured = on_secured, .ended = on_ended};

/* ---- what the role tells ---- */

static struct pop3 *pop3_of(struct caller *caller)
{
    return CONTAINER_OF(caller, struct pop3, caller);
}

static void store_gone(struct caller *caller)
{
    struct pop3 *p = pop3_of(caller);
    if (p->drop)
        pop3_bye(p, "-ERR [SYS/TEMP] The mail store restarts, please reconnect");
}

static void send_away(struct caller *caller, bool over)
{
    struct pop3 *p = pop3_of(caller);
    if (over)
        pop3_close(p, false);
    else if (!p->waits || (p->login && p->login->reads))
        pop3_bye(p, "-ERR [SYS/TEMP] The server is going down");
}

static void drop(struct caller *caller, const char *why)
{
    (void)why;
    pop3_close(pop3_of(caller), false);
}

/* No channel binding: mutt 2.2 picks such a mechanism, cannot do it under TLS 1.3, says "*" without reading
 * what we answer (RFC 5034 section 4), and takes every answer for that to the command before. */
static const struct caller_ops caller_ops = {.service = SETTINGS_POP3,
                                             .metric = METRIC_POP3,
                                             .auth = AUTH_SERVICE_POP3,
                                             .name = "pop3",
                                             .store_gone = store_gone,
                                             .send_away = send_away,
                                             .drop = drop};

void pop3_session_new(struct imap *imap, struct stream *stream, const struct listener_arrival *arrival)
{
    struct pop3 *p = mem_zero(1, sizeof *p);
    const struct settings *settings = role_settings(imap->run);
    char bye[REPLY_MAX];
    p->stream = stream;
    p->state = POP3_AUTHORIZATION;
    const char *refusal = caller_enter(&p->caller, &caller_ops, imap, stream, arrival);
    stream_set_owner(stream, &pop3_stream_ops, p);
    stream_set_input_max(stream, IMAP_LOGIN_LINE_MAX + INPUT_SLACK);
    stream_set_deadline(stream, settings->timeouts.imap_login);
    if (refusal) {
        (void)snprintf(bye, sizeof bye, "-ERR [SYS/TEMP] %s", refusal);
        pop3_bye(p, bye);
        return;
    }
    pop3_ok(p, "%.*s Rockdove ready", SLICE_ARG(slice_sub(settings->hostname, 0, 255)));
}
