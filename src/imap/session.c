/* session.c: the life of one IMAP connection: greeting, commands off the input, the end. Input: anyone who
 * connects. Called by role.c and by the stream's callbacks. */
#include "imap/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "imap/capability.h"
#include "imap/command.h"
#include "imap/notify.h"
#include "imap/status_ahead.h"

#define INPUT_SLACK 4096 /* of the input buffer above what a command may take */

static const struct imap_frame_limits login_limits = {.line = IMAP_LOGIN_LINE_MAX,
                                                      .literals = IMAP_LOGIN_LINE_MAX};
static const struct imap_frame_limits full_limits = {.line = IMAP_LINE_MAX, .literals = IMAP_LITERALS_MAX};

static const char *const state_names[] = {"greeted", "logged-in", "selected", "logged-out"};

static void use_limits(struct session *s, struct imap_frame_limits limits)
{
    s->framer = imap_framer_new(limits);
    stream_set_input_max(s->stream, limits.line + limits.literals + INPUT_SLACK);
}

void imap_session_set_state(struct session *s, enum session_state state)
{
    log_debug("imap.state", LOG_CSTR("session", s->caller.id), LOG_CSTR("from", state_names[s->state]),
              LOG_CSTR("to", state_names[state]));
    if (s->state == SESSION_GREETED && state == SESSION_LOGGED_IN) {
        use_limits(s, full_limits);
        stream_set_deadline(s->stream, 0);
        stream_set_timeout(s->stream, role_settings(s->imap->run)->timeouts.imap_idle);
    }
    s->state = state;
}

struct buf *imap_session_output(struct session *s)
{
    return stream_output(s->stream);
}

struct slice imap_session_account(const struct session *s)
{
    return slice_of(s->account);
}

bool imap_session_is_full(const struct session *s)
{
    return stream_is_full(s->stream);
}

bool imap_session_may_login(const struct session *s)
{
    return s->caller.insecure_auth || stream_is_tls(s->stream);
}

/* ---- the end ---- */

static void log_end(const struct session *s)
{
    uint64_t ms = clock_mono_ms() - s->caller.started_ms;
    if (caller_is_check(&s->caller, &s->grant))
        return;
    log_info("imap.closed", LOG_CSTR("session", s->caller.id), LOG_CSTR("client", s->caller.client_text.text),
             LOG_STR("user", imap_session_account(s)), LOG_U64("commands", s->commands), LOG_MS("took", ms));
}

static void destroy(struct session *s)
{
    for (; s->run; imap_run_free(s))
        if (s->run->stop)
            s->run->stop(s);
    imap_ahead_free(s);
    imap_session_unselect(s);
    imap_notify_free(s);
    log_end(s);
    caller_logout(&s->caller, &s->grant);
    caller_leave(&s->caller);
    free(s->account);
    free(s);
}

void imap_session_forget_user(struct session *s)
{
    const struct settings *settings = role_settings(s->imap->run);
    imap_session_unselect(s);
    imap_notify_free(s);
    caller_logout(&s->caller, &s->grant);
    free(s->account);
    s->account = NULL;
    s->condstore = s->qresync = s->rev2 = s->utf8_accept = s->utf8 = s->uidonly = false;
    s->hidden = imap_capability_hidden(settings, SLICE_EMPTY);
    imap_session_set_state(s, SESSION_GREETED);
    use_limits(s, login_limits);
    stream_set_timeout(s->stream, 0);
    stream_set_deadline(s->stream, settings->timeouts.imap_login);
}

void imap_session_enter(struct session *s)
{
    s->busy++;
}

void imap_session_leave(struct session *s)
{
    if (--s->busy == 0 && s->closing)
        destroy(s);
}

/* With what is written already (`politely`), or at once. */
static void close_session(struct session *s, bool politely)
{
    if (s->closing)
        return;
    imap_session_enter(s);
    s->closing = true;
    if (politely)
        stream_finish(&s->stream);
    else
        stream_free(&s->stream);
    imap_session_leave(s);
}

void imap_session_bye(struct session *s, const char *text)
{
    if (s->closing)
        return;
    buf_addf(imap_session_output(s), "* BYE %s\r\n", text);
    metric_add(METRIC_IMAP_REPLIES, METRIC_IMAP_BYE, 1);
    close_session(s, true);
}

void imap_session_drop(struct session *s, const char *why)
{
    if (!s->closing)
        log_debug("imap.dropped", LOG_CSTR("session", s->caller.id), LOG_CSTR("why", why));
    close_session(s, false);
}

void imap_session_finish(struct session *s)
{
    close_session(s, true);
}

/* ---- input ---- */

static struct run *run_new(struct session *s, struct slice input)
{
    struct run *run = mem_zero(1, sizeof *run);
    run->arena = arena_new(IMAP_RUN_ARENA);
    run->started_ns = clock_mono_ns();
    s->run = run;
    imap_progress_watch(s->imap);
    s->commands++;
    s->bytes_in += input.len;
    return run;
}

/* It does not speak IMAP. */
static void give_up(struct session *s, const char *detail, const char *text)
{
    caller_report_abuse(&s->caller, detail);
    imap_session_bye(s, text);
}

/* A command that could not be parsed. */
static void answer_bad(struct session *s, enum err err, const char *text)
{
    if (err != ERR_REFUSED && ++s->bads > IMAP_BAD_MAX && s->state == SESSION_GREETED) {
        imap_session_done(s, "BAD %s", text);
        give_up(s, "too many bad commands", "Too many errors");
        return;
    }
    imap_session_done(s, err == ERR_REFUSED ? "NO [CANNOT] %s" : "BAD %s", text);
}

/* The first `len` octets of the input are a command; with `message` they end with the announcement of octets
 * of a message, which follow. */
static void take_command(struct session *s, struct slice input, const struct imap_frame *message)
{
    struct run *run = run_new(s, input);
    struct slice text = arena_dup(run->arena, input);
    stream_consume(s->stream, input.len);
    struct imap_parse_options options = {.utf8 = s->utf8};
    struct why why;
    enum err err = imap_command_parse_in(run->arena, text, options, &run->command, &why);
    bool append = !err && (run->command.verb == IMAP_APPEND || run->command.verb == IMAP_REPLACE);
    if (err || run->command.verb != IMAP_STATUS)
        imap_ahead_free(s);
    if (message && !append) {
        imap_cmd_append_skip(s, (struct append_announcement){message->literal, message->sync}, err, why.text);
        return;
    }
    if (err) {
        answer_bad(s, err, why.text);
        return;
    }
    s->bads = 0;
    if (append)
        imap_cmd_append_begin(s, message && message->sync);
    else
        imap_command_start(s);
}

static void answer_frame(struct session *s, const struct imap_frame *frame)
{
    struct buf *out = imap_session_output(s);
    if (frame->tag.len)
        buf_add(out, frame->tag);
    else
        buf_add_byte(out, '*');
    buf_addf(out, " BAD %s\r\n", frame->text);
    metric_add(METRIC_IMAP_REPLIES, METRIC_IMAP_BAD, 1);
    if (++s->bads > IMAP_BAD_MAX && s->state == SESSION_GREETED)
        give_up(s, "too many bad commands", "Too many errors");
}

/* One step on the input; false when nothing more can be done with it now. */
static bool next_command(struct session *s)
{
    struct slice input = stream_input(s->stream);
    struct imap_frame frame = imap_framer_next(&s->framer, input);
    switch (frame.state) {
    case IMAP_FRAME_MORE:
        return false;
    case IMAP_FRAME_CONTINUE:
        buf_add_str(imap_session_output(s), "+ OK\r\n");
        break;
    case IMAP_FRAME_COMPLETE:
        take_command(s, slice_sub(input, 0, frame.len), NULL);
        break;
    case IMAP_FRAME_MESSAGE:
        take_command(s, slice_sub(input, 0, frame.len), &frame);
        break;
    case IMAP_FRAME_SKIP:
        stream_consume(s->stream, frame.len);
        break;
    case IMAP_FRAME_BAD:
        stream_consume(s->stream, frame.len);
        answer_frame(s, &frame);
        break;
    case IMAP_FRAME_CLOSE:
        answer_frame(s, &frame);
        if (s->state == SESSION_GREETED)
            give_up(s, "a command without an end", "Command too long");
        else
            imap_session_bye(s, "Command too long");
        break;
    }
    return true;
}

/* The running command takes its own input; false when it took none. */
static bool feed_run(struct session *s)
{
    struct run *run = s->run;
    if (!run->input || run->ending)
        return false;
    size_t before = stream_input(s->stream).len;
    run->input(s);
    return !s->closing && (s->run != run || stream_input(s->stream).len != before);
}

/* Told without a command (NOTIFY) and not to the end yet: numbers are between two states. Or store is about
 * to be back. */
static bool must_wait(const struct session *s)
{
    return s->selected && (s->selected->sync.phase != SYNC_IDLE || s->selected->stale);
}

void imap_session_pump(struct session *s)
{
    if (s->pumping || s->closing)
        return;
    imap_session_enter(s);
    s->pumping = true;
    bool more = true;
    while (more && !s->closing) {
        if (s->run)
            more = feed_run(s);
        else
            more = !imap_session_is_full(s) && !must_wait(s) && next_command(s);
    }
    s->pumping = false;
    /* Nothing more will come, and what came is answered or waits for what will not come. */
    if (!s->closing && s->eof && (!s->run || (s->run->input && !s->run->ending)) && !imap_session_is_full(s))
        close_session(s, true);
    imap_session_leave(s);
}

/* ---- callbacks of the stream ---- */

static void on_readable(void *ctx, struct stream *stream)
{
    (void)stream;
    imap_session_pump(ctx);
}

static void on_writable(void *ctx, struct stream *stream)
{
    (void)stream;
    struct session *s = ctx;
    imap_session_enter(s);
    if (s->run && s->run->ending)
        imap_session_ending(s);
    else if (s->run && s->run->resume)
        s->run->resume(s);
    if (!s->closing)
        imap_notify_flush(s);
    if (!s->closing)
        imap_notify_news(s);
    if (!s->closing)
        imap_session_pump(s);
    imap_session_leave(s);
}

static void on_secured(void *ctx, struct stream *stream)
{
    struct session *s = ctx;
    log_debug("imap.secured", LOG_CSTR("session", s->caller.id), LOG_STR("tls", stream_tls_text(stream)));
    use_limits(s, login_limits);
}

static void on_ended(void *ctx, struct stream *stream, enum stream_end end)
{
    struct session *s = ctx;
    if (end == STREAM_EOF) {
        s->eof = true;
        imap_session_pump(s);
        return;
    }
    imap_session_drop(s, stream_end_text(stream));
}

static const struct stream_ops session_stream_ops = {
    .readable = on_readable, .writable = on_writable, .secured = on_secured, .ended = on_ended};

/* ---- what the role tells ---- */

static struct session *session_of(struct caller *caller)
{
    return CONTAINER_OF(caller, struct session, caller);
}

/* The images we map are the dead one's; commands under way were answered. */
static void store_gone(struct caller *caller)
{
    struct session *s = session_of(caller);
    imap_notify_lost(s);
    imap_resync_lost(s);
}

static void store_ready(struct caller *caller)
{
    imap_session_pump(session_of(caller));
}

/* Who waits is told at once, the others when their command is done (imap_session_pump does not take another),
 * or end with it (`over`). */
static void send_away(struct caller *caller, bool over)
{
    struct session *s = session_of(caller);
    if (over)
        imap_session_drop(s, "drain time is over");
    else if (!s->run || s->run->input)
        imap_session_bye(s, "[UNAVAILABLE] The server is going down");
}

static void drop(struct caller *caller, const char *why)
{
    imap_session_drop(session_of(caller), why);
}

static const struct caller_ops caller_ops = {.service = SETTINGS_IMAP,
                                             .metric = METRIC_IMAP,
                                             .auth = AUTH_SERVICE_IMAP,
                                             .name = "imap",
                                             .binds = true,
                                             .still_busy = imap_progress_tell,
                                             .store_gone = store_gone,
                                             .resync = imap_resync_try,
                                             .store_ready = store_ready,
                                             .send_away = send_away,
                                             .drop = drop};

/* ---- arrival ---- */

static void greet(struct session *s)
{
    const struct settings *settings = role_settings(s->imap->run);
    struct buf *out = imap_session_output(s);
    buf_add_str(out, "* OK [CAPABILITY ");
    imap_capability_write(s, out);
    buf_addf(out, "] %.*s Rockdove ready\r\n", SLICE_ARG(settings->hostname));
}

void imap_session_new(struct imap *imap, struct stream *stream, const struct listener_arrival *arrival)
{
    struct session *s = mem_zero(1, sizeof *s);
    char bye[128];
    s->imap = imap;
    s->stream = stream;
    const char *refusal = caller_enter(&s->caller, &caller_ops, imap, stream, arrival);
    s->hidden = imap_capability_hidden(role_settings(imap->run), SLICE_EMPTY);
    stream_set_owner(stream, &session_stream_ops, s);
    use_limits(s, login_limits);
    stream_set_deadline(stream, role_settings(imap->run)->timeouts.imap_login);
    if (refusal) {
        (void)snprintf(bye, sizeof bye, "[UNAVAILABLE] %s", refusal);
        imap_session_bye(s, bye);
        return;
    }
    greet(s);
}
