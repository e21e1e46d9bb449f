/* greet.c: strangers wait for the greeting; early talkers and listed ones are refused. Reads the first bytes
 * a stranger sends, for the log only. Called by session.c. */
#include "smtp/greet.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "net/security.h"
#include "smtp/gateway.h"

#define TEXT_MAX   400 /* of the greeting's first line */
#define DETAIL_MAX 100 /* of what an early talker said */
#define ZONES_MAX  200 /* of the lists' names in a reply */

/* ---- who it is ---- */

static bool is_stranger(const struct smtp_session *s)
{
    const struct netaddr *client = stream_client(s->stream);
    return s->port->settings.service == SETTINGS_MX && !s->trusted && !s->probe && !s->from_proxy &&
           (client->family == NETADDR_V4 || client->family == NETADDR_V6) && !netaddr_is_loopback(client);
}

static uint64_t now_min(void)
{
    return (uint64_t)clock_unix_s() / 60;
}

static void forget_known(struct smtp_greeter *g, const struct netaddr *client)
{
    smtp_known_forget(g->known, client);
    metric_set(METRIC_CLIENTS_KNOWN, 0, smtp_known_count(g->known));
}

bool smtp_offence(struct smtp_session *s, enum offence kind, struct slice detail,
                  const struct compat_line *compat)
{
    const struct settings *settings = s->smtp->settings;
    const struct netaddr *client = stream_client(s->stream);
    if (s->probe || !grant_is_none(&s->grant) || security_is_exempt(settings, client))
        return false;
    if (kind == OFFENCE_PROTOCOL_ABUSE)
        forget_known(s->smtp->greeter, client); /* it waits again next time */
    const struct security_event event = {.kind = kind,
                                         .listener = s->port->index,
                                         .client = client,
                                         .session = slice_make(s->id, SMTP_ID_LEN),
                                         .detail = detail,
                                         .compat = compat};
    security_report(s->smtp->service.security, &event);
    return true;
}

/* ---- other protocols ---- */

/* handshake(22) and the major version of every TLS since SSL 3 (RFC 8446 section 5.1). */
static bool is_tls(struct slice input)
{
    return slice_starts(input, SLICE("\x16\x03"));
}

static bool is_http(struct smtp_session *s, struct slice input)
{
    struct smtp_command command;
    struct smtp_reply_text ignored;
    struct slice line = SLICE_EMPTY;
    (void)slice_token(&input, '\n', &line);
    enum err err = smtp_command_parse_in(s->smtp->scratch, slice_trim(line), 0, &command, &ignored);
    arena_reset(s->smtp->scratch);
    return err != ERR_OK && command.verb == SMTP_HTTP;
}

bool smtp_greet_is_lost(struct smtp_session *s)
{
    if (s->commands > 0 || stream_is_tls(s->stream) || !is_tls(stream_input(s->stream)))
        return false;
    s->told = smtp_offence(s, OFFENCE_PROTOCOL_ABUSE, SLICE("TLS where none is spoken yet"), NULL);
    smtp_session_close(s, NULL, NULL);
    return true;
}

/* ---- the end of the wait ---- */

static void forget_waiting(struct smtp_waiting *w)
{
    smtp_listing_drop(&w->listing);
    list_remove(&w->node);
    if (w->session)
        w->session->waiting = NULL;
    free(w);
}

void smtp_greet_abandon(struct smtp_session *s)
{
    if (!s->waiting)
        return;
    metric_add(METRIC_EARLY_GREETINGS, METRIC_GREETING_LEFT, 1);
    forget_waiting(s->waiting);
}

static void greet(struct smtp_session *s)
{
    smtp_session_enter(s, SMTP_STATE_NEW);
    smtp_reply_addf(stream_output(s->stream), 220, NULL, "%.*s ESMTP Rockdove",
                    SLICE_ARG(s->smtp->settings->hostname));
    smtp_ptr_begin(s);
}

/* True when the lists together ask for a refusal. */
static bool weigh(struct smtp_greeter *g, const struct smtp_waiting *w, struct buf *zones)
{
    uint64_t limit = g->smtp->settings->before_greeting.reject_score;
    int64_t score = smtp_lists_score(g->lists, &w->listing, zones);
    bool refuse = limit > 0 && score > 0 && (uint64_t)score >= limit;
    const struct netaddr_text client = netaddr_text(&w->client);
    if (score != 0)
        log_info("smtp.listed", LOG_CSTR("client", client.text), LOG_I64("score", score),
                 LOG_STR("zones", buf_slice(zones)), LOG_BOOL("refused", refuse));
    return refuse;
}

static void refuse_listed(struct smtp_session *s, struct slice zones)
{
    char text[ZONES_MAX + 100];
    (void)snprintf(text, sizeof text, "No mail is taken from %s: it is on %.*s", s->client.text,
                   SLICE_ARG(zones));
    metric_add(METRIC_EARLY_GREETINGS, METRIC_GREETING_LISTED, 1);
    s->told = smtp_offence(s, OFFENCE_LISTED, zones, NULL);
    smtp_send(s, 554, "5.7.1", text);
    smtp_session_close(s, NULL, NULL);
}

static void passed(struct smtp_waiting *w)
{
    struct smtp_greeter *g = w->greeter;
    uint64_t now = now_min();
    metric_add(METRIC_EARLY_GREETINGS, METRIC_GREETING_PASSED, 1);
    if (w->early || g->smtp->settings->before_greeting.remember == 0)
        return;
    smtp_known_add(g->known, &w->client, now);
    smtp_known_asked(g->known, &w->client, now);
    metric_set(METRIC_CLIENTS_KNOWN, 0, smtp_known_count(g->known));
}

static void end_wait(struct smtp_waiting *w)
{
    struct smtp_session *s = w->session;
    AUTO_BUF struct buf zones = buf_new(ZONES_MAX);
    bool refuse = weigh(w->greeter, w, &zones);
    if (!refuse)
        passed(w);
    forget_waiting(w);
    if (refuse)
        refuse_listed(s, buf_slice(&zones));
    else
        greet(s);
    stream_resume(s->stream);
    smtp_session_continue(s);
}

static void arm(struct smtp_greeter *g)
{
    if (list_empty(&g->waiting))
        return;
    uint64_t now = loop_now_ms(g->smtp->loop);
    uint64_t due = CONTAINER_OF(g->waiting.next, struct smtp_waiting, node)->due_ms;
    loop_timer_set(g->due, due > now ? due - now : 0);
}

void smtp_greet_due(void *arg)
{
    struct smtp_greeter *g = arg;
    uint64_t now = loop_now_ms(g->smtp->loop);
    while (!list_empty(&g->waiting)) {
        struct smtp_waiting *w = CONTAINER_OF(g->waiting.next, struct smtp_waiting, node);
        if (w->due_ms > now)
            break;
        end_wait(w);
    }
    arm(g);
}

/* ---- the wait ---- */

static struct smtp_waiting *waiting_new(struct smtp_session *s)
{
    struct smtp_waiting *w = mem_zero(1, sizeof *w);
    w->greeter = s->smtp->greeter;
    w->client = *stream_client(s->stream);
    return w;
}

/* Behind all that are due before it; after a reload the last one is not always the latest. */
static void wait_in_line(struct smtp_greeter *g, struct smtp_waiting *w)
{
    struct list *behind = &g->waiting;
    while (behind->prev != &g->waiting &&
           CONTAINER_OF(behind->prev, struct smtp_waiting, node)->due_ms > w->due_ms)
        behind = behind->prev;
    list_push_back(behind, &w->node);
    if (g->waiting.next == &w->node)
        arm(g);
}

static void say_wait(struct smtp_session *s)
{
    struct slice text = slice_sub(s->smtp->settings->before_greeting.text, 0, TEXT_MAX);
    if (text.len == 0)
        return;
    struct buf *out = stream_output(s->stream);
    buf_add_str(out, "220-");
    buf_add(out, text);
    buf_add_str(out, "\r\n");
}

static void begin_wait(struct smtp_session *s)
{
    struct smtp_greeter *g = s->smtp->greeter;
    struct smtp_waiting *w = waiting_new(s);
    w->session = s;
    w->due_ms = loop_now_ms(s->smtp->loop) + s->smtp->settings->before_greeting.wait;
    s->waiting = w;
    smtp_session_enter(s, SMTP_STATE_GREET);
    say_wait(s);
    if (g->lists)
        smtp_lists_ask(g->lists, &w->client, &w->listing);
    wait_in_line(g, w);
}

/* ---- known clients ---- */

static void on_listed_again(void *ctx)
{
    struct smtp_waiting *w = ctx;
    AUTO_BUF struct buf zones = buf_new(ZONES_MAX);
    if (weigh(w->greeter, w, &zones))
        forget_known(w->greeter, &w->client); /* it waits for the greeting next time */
    forget_waiting(w);
}

/* Somebody known may have come onto a list since. The client does not wait for that. */
static void ask_again(struct smtp_session *s, uint64_t listed_min)
{
    struct smtp_greeter *g = s->smtp->greeter;
    uint64_t now = now_min();
    if (!g->lists || listed_min + SMTP_LISTS_AGAIN_MIN > now)
        return;
    struct smtp_waiting *w = waiting_new(s);
    w->listing.done = on_listed_again;
    w->listing.ctx = w;
    list_push_back(&g->again, &w->node);
    smtp_known_asked(g->known, &w->client, now);
    smtp_lists_ask(g->lists, &w->client, &w->listing);
    if (w->listing.pending == 0)
        forget_waiting(w);
}

static bool is_known(const struct smtp_session *s, uint64_t *listed_min)
{
    uint64_t remember = s->smtp->settings->before_greeting.remember / 60000;
    return smtp_known_has(s->smtp->greeter->known, stream_client(s->stream), now_min(), remember, listed_min);
}

bool smtp_greet_is_known(const struct smtp_session *s)
{
    return is_known(s, NULL);
}

void smtp_greet_begin(struct smtp_session *s)
{
    const struct settings *settings = s->smtp->settings;
    uint64_t listed = 0;
    if (!is_stranger(s) || settings->before_greeting.wait == 0) {
        greet(s);
    } else if (is_known(s, &listed)) {
        metric_add(METRIC_EARLY_GREETINGS, METRIC_GREETING_KNOWN, 1);
        ask_again(s, listed);
        greet(s);
    } else {
        begin_wait(s);
    }
}

/* ---- early talkers ---- */

static void report_early(struct smtp_session *s, struct slice input)
{
    const struct netaddr *client = stream_client(s->stream);
    struct compat_line line;
    uint64_t after = loop_now_ms(s->smtp->loop) - s->started_ms;
    metric_add(METRIC_EARLY_GREETINGS, METRIC_GREETING_EARLY, 1);
    bool may_ban = compat_may_ban(s->smtp->settings, client) && !smtp_gateway_is(s->smtp, client);
    compat_pregreet(&line, slice_of(s->client.text), client->port, after, input);
    s->told = smtp_offence(s, OFFENCE_EARLY_TALKER, slice_sub(input, 0, DETAIL_MAX), may_ban ? &line : NULL);
}

static void report_other(struct smtp_session *s, struct slice what)
{
    metric_add(METRIC_EARLY_GREETINGS, METRIC_GREETING_EARLY, 1);
    s->told = smtp_offence(s, OFFENCE_PROTOCOL_ABUSE, what, NULL);
}

bool smtp_greet_early(struct smtp_session *s)
{
    struct smtp_waiting *w = s->waiting;
    struct slice input = stream_input(s->stream);
    if (input.len == 0 || w->early)
        return false;
    if (is_tls(input) || is_http(s, input)) {
        report_other(s, is_tls(input) ? SLICE("TLS before the greeting") : SLICE("HTTP"));
    } else {
        report_early(s, input);
        if (!s->smtp->settings->before_greeting.reject_early) {
            w->early = true;
            s->told = false;
            stream_pause(s->stream);
            return false;
        }
        smtp_send(s, 521, "5.5.1", "You spoke before the greeting");
    }
    forget_waiting(w);
    smtp_session_close(s, NULL, NULL);
    return true;
}
