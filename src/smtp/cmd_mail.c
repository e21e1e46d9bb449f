/* cmd_mail.c: MAIL opens a transaction with the queue (RFC 5321 section 4.1.1.2). On the MX that is a notice:
 * nothing depends on the answer before the first RCPT; on submission the queue says whether the account may
 * send as this. */
#include "smtp/session.h"

/* RFC 3848, RFC 6531 section 4.3. */
static struct slice protocol(const struct smtp_session *s, bool utf8)
{
    static const char *const names[2][2][2] = {{{"ESMTP", "ESMTPA"}, {"ESMTPS", "ESMTPSA"}},
                                               {{"UTF8SMTP", "UTF8SMTPA"}, {"UTF8SMTPS", "UTF8SMTPSA"}}};
    if (!s->esmtp)
        return SLICE("SMTP");
    return slice_of(names[utf8][stream_is_tls(s->stream)][!grant_is_none(&s->grant)]);
}

static void opened(struct smtp_session *s)
{
    smtp_session_enter(s, SMTP_STATE_MAIL);
}

static void on_mail(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct smtp_session *s = ctx;
    struct wire_smtp_reply r;
    err = wire_answer(err, packet, WIRE_SMTP_REPLY, &r);
    s->waits = SMTP_WAITS_NOT;
    if (err != ERR_OK)
        smtp_send_later(s);
    else
        smtp_send_wire(s, &r);
    if (err == ERR_OK && r.code / 100 == 2) {
        opened(s);
    } else {
        if (err == ERR_OK)
            smtp_report_rejected(s, "MAIL", SLICE_EMPTY, r.code, r.enhanced, r.text);
        smtp_txn_reset(s);
    }
    smtp_session_continue(s);
}

static struct wire_queue_mail request(const struct smtp_session *s, const struct smtp_mail *mail)
{
    return (struct wire_queue_mail){
        .txn = s->txn.id,
        .grant = s->grant,
        .listener = s->port->index,
        .smtputf8 = mail->smtputf8,
        .eightbit = mail->body != SMTP_BODY_7BIT,
        .requiretls = mail->requiretls,
        .ret = mail->ret == SMTP_RET_FULL   ? 1
               : mail->ret == SMTP_RET_HDRS ? 2
                                            : 0,
        .size = mail->has_size ? mail->size : 0,
        .sender = mail->from.text,
        .envid = mail->envid,
        .client = slice_of(s->client.text),
        .client_name = s->client_name,
        .helo = s->helo,
        .protocol = protocol(s, mail->smtputf8),
        .tls = stream_tls_text(s->stream),
        .session = slice_make(s->id, SMTP_ID_LEN),
    };
}

/* NULL when the command may go to the queue. */
static const struct smtp_reply_text *refusal(const struct smtp_session *s, const struct smtp_mail *mail)
{
    static const struct smtp_reply_text needs_auth = {530, "5.7.0", "Authentication required"};
    static const struct smtp_reply_text size = {552, "5.3.4", "Message is larger than we take"};
    if (s->port->settings.service == SETTINGS_SUBMISSION && grant_is_none(&s->grant))
        return &needs_auth;
    if (mail->has_size && mail->size > s->smtp->settings->limits.message_size)
        return &size;
    return NULL;
}

void smtp_cmd_mail(struct smtp_session *s, const struct smtp_command *command)
{
    struct smtp *smtp = s->smtp;
    const struct smtp_reply_text *wrong = refusal(s, &command->mail);
    struct smtp_reply_text limit;
    if (wrong) {
        smtp_send_error(s, wrong->code, wrong->status, wrong->text);
        return;
    }
    if (smtp->service.draining || s->mails >= SMTP_MAILS_MAX) {
        smtp_session_close(s, smtp->service.draining ? "4.3.2" : "4.5.3",
                           smtp->service.draining ? "Going down" : "Too many messages in one session");
        return;
    }
    if (!smtp_limit_mail(s, &command->mail, &limit)) {
        s->refused++; /* no error of the client's, but no reason to go on for ever */
        smtp_send(s, limit.code, limit.status, limit.text);
        return;
    }
    s->mails++;
    s->txn.id = ++smtp->next_txn;
    s->txn.epoch = smtp->queue_epoch;
    s->txn.started_ms = loop_now_ms(smtp->loop);
    s->txn.sender = arena_dup(s->txn_arena, command->mail.from.text);
    s->txn.smtputf8 = command->mail.smtputf8;
    const struct wire_queue_mail mail = request(s, &command->mail);
    if (!grant_is_none(&s->grant)) {
        s->waits = SMTP_WAITS_MAIL;
        s->request = wire_call(smtp->queue, WIRE_QUEUE_MAIL, &mail, SMTP_QUEUE_MS, on_mail, s);
    } else if (wire_send(smtp->queue, WIRE_QUEUE_MAIL, &mail) == ERR_OK) {
        opened(s);
        smtp_send(s, 250, "2.1.0", "Ok");
    } else {
        smtp_send_later(s);
        smtp_txn_done(s);
    }
}
