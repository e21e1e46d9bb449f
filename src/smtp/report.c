/* report.c: the lines of the smtp role in the log, one per event, and their second form for tools that read
 * Postfix's. Health checks leave no line. Called by session.c, body.c and the commands. */
#include <stdio.h>
#include <string.h>

#include "smtp/gateway.h"
#include "smtp/session.h"

#define ID(s) LOG_STR("session", slice_make((s)->id, SMTP_ID_LEN))

#define CHECK_COMMANDS 3 /* EHLO, perhaps NOOP or RSET, QUIT */

/* A tool that bans must never see our own monitors, clients and load balancers, nor an address behind which
 * many hide. */
static bool is_stranger(const struct smtp_session *s)
{
    const struct netaddr *client = stream_client(s->stream);
    return !s->trusted && !s->probe && !s->from_proxy && compat_may_ban(s->smtp->settings, client) &&
           !smtp_gateway_is(s->smtp, client);
}

static struct slice client(const struct smtp_session *s)
{
    return slice_of(s->client.text);
}

static uint64_t age(const struct smtp_session *s)
{
    return loop_now_ms(s->smtp->loop) - s->started_ms;
}

#define SESSION_FIELDS(s, end)                                                                               \
    ID(s), LOG_STR("client", client(s)), LOG_STR("name", (s)->client_name),                                  \
        LOG_STR("listener", (s)->port->settings.name), LOG_STR("helo", (s)->helo),                           \
        LOG_STR("tls", stream_tls_text((s)->stream)), LOG_STR("user", (s)->account),                         \
        LOG_U64("commands", (s)->commands), LOG_U64("messages", (s)->accepted),                              \
        LOG_U64("refused", (s)->refused), LOG_U64("errors", (s)->errors), LOG_CSTR("stage", (s)->stage),     \
        LOG_CSTR("end", end), LOG_MS("took", age(s))

/* The client went away in the middle of something. One that delivered its mail and only did not say QUIT is
 * no suspect, and neither is one that we sent away or asked to come later, nor one that only looked whether
 * somebody answers. */
static bool is_vanished(const struct smtp_session *s, const char *end)
{
    bool done = s->accepted > 0 && s->txn.id == 0;
    bool looked = s->commands == 0 && !s->skipping && stream_input(s->stream).len == 0;
    return is_stranger(s) && !s->quit && !done && !looked && !s->deferred && strcmp(end, "lost") == 0;
}

/* A load balancer's own connection, though without a LOCAL header: some checks have none, or one of
 * version 1. */
static bool is_check(const struct smtp_session *s)
{
    bool greeted_only = s->mails == 0 && s->errors == 0 && s->auth_failures == 0 && s->account.len == 0;
    return s->from_proxy && greeted_only && s->commands <= CHECK_COMMANDS;
}

void smtp_report_session(const struct smtp_session *s, const char *end)
{
    bool check = stream_was_silent(s->stream) || is_check(s);
    if (check && !s->probe)
        metric_inc(METRIC_HEALTH_CHECKS);
    if (s->probe || s->told || s->waiting || check)
        return; /* who left before the greeting is only counted */
    if (!is_vanished(s, end)) {
        log_info("smtp.session", SESSION_FIELDS(s, end));
        return;
    }
    struct compat_line line;
    compat_lost(&line, &s->port->settings, client(s), s->client_name, s->stage);
    log_info("smtp.session", SESSION_FIELDS(s, end), LOG_COMPAT_LINE(&line));
}

void smtp_report_rejected(const struct smtp_session *s, const char *stage, struct slice to, unsigned code,
                          struct slice status, struct slice text)
{
    struct compat_line line;
    char whole[256];
    int len = snprintf(whole, sizeof whole, "%u %.*s %.*s", code, SLICE_ARG(status),
                       SLICE_ARG(slice_sub(text, 0, 200)));
    struct slice reply = slice_make(whole, len > 0 && (size_t)len < sizeof whole ? (size_t)len : 0);
    if (code < 500 || !is_stranger(s)) {
        log_info("smtp.rejected", ID(s), LOG_STR("client", client(s)), LOG_CSTR("stage", stage),
                 LOG_STR("from", s->txn.sender), LOG_STR("to", to), LOG_STR("reply", reply));
        return;
    }
    const struct compat_reject reject = {
        .stage = stage, .reply = reply, .from = s->txn.sender, .to = to, .helo = s->helo, .esmtp = s->esmtp};
    compat_rejected(&line, &s->port->settings, client(s), s->client_name, &reject);
    log_info("smtp.rejected", ID(s), LOG_STR("client", client(s)), LOG_CSTR("stage", stage),
             LOG_STR("from", s->txn.sender), LOG_STR("to", to), LOG_STR("reply", reply),
             LOG_COMPAT_LINE(&line));
}

void smtp_report_accepted(const struct smtp_session *s, const struct wire_smtp_reply *r, uint64_t size)
{
    uint64_t now = loop_now_ms(s->smtp->loop);
    log_info("smtp.accepted", ID(s), LOG_STR("id", r->id), LOG_STR("client", client(s)),
             LOG_STR("user", s->account), LOG_STR("from", s->txn.sender), LOG_STR("to", s->txn.first_rcpt),
             LOG_U64("recipients", s->txn.accepted), LOG_U64("size", size),
             LOG_STR("tls", stream_tls_text(s->stream)), LOG_MS("took", now - s->txn.started_ms));
}

void smtp_report_refused(const struct smtp_session *s, unsigned code, struct slice status, struct slice text)
{
    if (code >= 500) {
        smtp_report_rejected(s, "DATA", s->txn.first_rcpt, code, status, text);
        return;
    }
    log_info("smtp.deferred", ID(s), LOG_STR("client", client(s)), LOG_STR("from", s->txn.sender),
             LOG_STR("to", s->txn.first_rcpt), LOG_U64("recipients", s->txn.accepted),
             LOG_U64("size", s->body.data.size), LOG_U64("code", code), LOG_STR("why", text));
}

void smtp_report_login(const struct smtp_session *s, const char *mechanism)
{
    log_info("smtp.login", ID(s), LOG_STR("client", client(s)), LOG_STR("user", s->account),
             LOG_CSTR("mechanism", mechanism), LOG_STR("tls", stream_tls_text(s->stream)));
}

void smtp_report_login_failed(const struct smtp_session *s, const char *mechanism, enum auth_status status,
                              bool repeated)
{
    const char *why = status == AUTH_FAILED ? "wrong name or password" : "malformed";
    struct compat_line line;
    if (repeated || !is_stranger(s)) {
        log_info("smtp.login.failed", ID(s), LOG_STR("client", client(s)), LOG_CSTR("mechanism", mechanism),
                 LOG_CSTR("why", why));
        return;
    }
    compat_sasl_failed(&line, &s->port->settings, client(s), s->client_name, slice_of(mechanism), why);
    log_info("smtp.login.failed", ID(s), LOG_STR("client", client(s)), LOG_CSTR("mechanism", mechanism),
             LOG_CSTR("why", why), LOG_COMPAT_LINE(&line));
}

/* A connection that never came to its first command. */
void smtp_report_lost(const struct listener_arrival *arrival, const struct netaddr *peer,
                      enum listener_loss loss, const char *text)
{
    static const char *const losses[] = {[LISTENER_NO_HEADER] = "no PROXY header",
                                         [LISTENER_BAD_HEADER] = "malformed PROXY header",
                                         [LISTENER_UNTRUSTED] = "PROXY from an address not trusted",
                                         [LISTENER_TLS] = "TLS handshake failed"};
    const struct netaddr_text address = netaddr_text(peer);
    log_info("smtp.lost", LOG_CSTR("client", address.text), LOG_STR("listener", arrival->settings->name),
             LOG_CSTR("end", losses[loss]), LOG_CSTR("why", text));
}
