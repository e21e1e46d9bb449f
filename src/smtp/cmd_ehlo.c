/* cmd_ehlo.c: EHLO and HELO: who the client says it is, what this listener offers it (RFC 5321
 * section 4.1.1.1). */
#include "net/sasl_offer.h"
#include "smtp/gateway.h"
#include "smtp/session.h"

/* A second greeting ends the transaction, as RSET does. */
static void greeted(struct smtp_session *s, const struct smtp_command *command, bool esmtp)
{
    smtp_txn_reset(s);
    s->esmtp = esmtp;
    if (!slice_eq(s->helo, command->argument)) {
        s->helo = arena_dup(s->arena, command->argument);
        smtp_gateway_greeted(s);
    }
    smtp_session_enter(s, SMTP_STATE_READY);
}

static bool offers_starttls(const struct smtp_session *s)
{
    return s->port->settings.tls == SETTINGS_TLS_STARTTLS && s->smtp->service.tls &&
           !stream_is_tls(s->stream);
}

static void line(struct buf *out, const char *keyword)
{
    buf_add_str(out, "250-");
    buf_add_str(out, keyword);
    buf_add_str(out, "\r\n");
}

static void write_auth(const struct smtp_session *s, struct buf *out)
{
    struct slice names = slice_of(s->smtp->mechanisms), name;
    buf_add_str(out, "250-AUTH");
    while (sasl_offer_next(&names, false, &name))
        buf_addf(out, " %.*s", SLICE_ARG(name));
    buf_add_str(out, "\r\n");
}

void smtp_cmd_ehlo(struct smtp_session *s, const struct smtp_command *command)
{
    const struct settings *settings = s->smtp->settings;
    if (arena_used(s->arena) > SMTP_SESSION_ARENA_MAX / 2) {
        smtp_session_close(s, "4.7.0", "Too many greetings");
        return;
    }
    greeted(s, command, true);
    struct buf *out = stream_output(s->stream);
    buf_addf(out, "250-%.*s\r\n", SLICE_ARG(settings->hostname));
    line(out, "PIPELINING");
    buf_addf(out, "250-SIZE %llu\r\n", (unsigned long long)settings->limits.message_size);
    line(out, "8BITMIME");
    line(out, "SMTPUTF8");
    line(out, "CHUNKING");
    line(out, "DSN");
    buf_addf(out, "250-LIMITS RCPTMAX=%llu MAILMAX=%u\r\n", (unsigned long long)settings->limits.recipients,
             SMTP_MAILS_MAX);
    if (offers_starttls(s))
        line(out, "STARTTLS");
    if (stream_is_tls(s->stream))
        line(out, "REQUIRETLS"); /* RFC 8689 section 2: under TLS only */
    if (smtp_auth_is_offered(s))
        write_auth(s, out);
    buf_add_str(out, "250 ENHANCEDSTATUSCODES\r\n");
    metric_add(METRIC_SMTP_REPLIES, 0, 1);
}

void smtp_cmd_helo(struct smtp_session *s, const struct smtp_command *command)
{
    if (arena_used(s->arena) > SMTP_SESSION_ARENA_MAX / 2) {
        smtp_session_close(s, "4.7.0", "Too many greetings");
        return;
    }
    greeted(s, command, false);
    smtp_send_slices(s, 250, SLICE_EMPTY, s->smtp->settings->hostname);
}
