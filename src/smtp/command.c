/* command.c: the commands of the protocol in one table: in which states they may come, what runs them. Lines
 * are a stranger's; grammar/smtp_command.c parses them. Called by session.c. */
#include "smtp/session.h"

#define GREETED   (SMTP_IN(SMTP_STATE_READY) | IN_TXN)
#define IN_TXN    (SMTP_IN(SMTP_STATE_MAIL) | SMTP_IN(SMTP_STATE_RCPT) | SMTP_IN(SMTP_STATE_BDAT))
#define ANY_STATE (SMTP_IN(SMTP_STATE_NEW) | GREETED)

struct command_row {
    smtp_handler *run;
    unsigned states;      /* set of SMTP_IN(state) */
    const char *disorder; /* the 503 in other states */
};

#define HELO_FIRST "Say EHLO first"
#define NOT_NOW    "Not in this state of a transaction"

/* clang-format off: a table is read by its columns */
static const struct command_row commands[SMTP_VERB_COUNT] = {
    [SMTP_EHLO] = {smtp_cmd_ehlo, ANY_STATE, NOT_NOW},
    [SMTP_HELO] = {smtp_cmd_helo, ANY_STATE, NOT_NOW},
    [SMTP_LHLO] = {smtp_cmd_not_offered, ANY_STATE, NOT_NOW},
    [SMTP_MAIL] = {smtp_cmd_mail, SMTP_IN(SMTP_STATE_READY), "Say EHLO first, and one message at a time"},
    [SMTP_RCPT] = {smtp_cmd_rcpt, SMTP_IN(SMTP_STATE_MAIL) | SMTP_IN(SMTP_STATE_RCPT), "Begin with MAIL"},
    [SMTP_DATA] = {smtp_cmd_data, SMTP_IN(SMTP_STATE_RCPT), "Begin with MAIL and RCPT"},
    [SMTP_BDAT] = {smtp_cmd_bdat, ANY_STATE, NOT_NOW}, /* judges order itself: its bytes come in any case */
    [SMTP_RSET] = {smtp_cmd_rset, ANY_STATE, NOT_NOW},
    [SMTP_NOOP] = {smtp_cmd_noop, ANY_STATE, NOT_NOW},
    [SMTP_VRFY] = {smtp_cmd_vrfy, GREETED, HELO_FIRST},
    [SMTP_EXPN] = {smtp_cmd_not_offered, ANY_STATE, NOT_NOW},
    [SMTP_HELP] = {smtp_cmd_help, ANY_STATE, NOT_NOW},
    [SMTP_QUIT] = {smtp_cmd_quit, ANY_STATE, NOT_NOW},
    [SMTP_STARTTLS] = {smtp_cmd_starttls, SMTP_IN(SMTP_STATE_NEW) | SMTP_IN(SMTP_STATE_READY),
                       "Not within a transaction"},
    [SMTP_AUTH] = {smtp_cmd_auth, SMTP_IN(SMTP_STATE_READY), "Say EHLO first, and not within a transaction"},
    [SMTP_ETRN] = {smtp_cmd_not_offered, ANY_STATE, NOT_NOW},
    [SMTP_TURN] = {smtp_cmd_not_offered, ANY_STATE, NOT_NOW},
};
/* clang-format on */

static unsigned offered(const struct smtp_session *s)
{
    unsigned set = SMTP_OFFER_SIZE | SMTP_OFFER_8BITMIME | SMTP_OFFER_SMTPUTF8 | SMTP_OFFER_DSN;
    if (!grant_is_none(&s->grant) || smtp_auth_is_offered(s))
        set |= SMTP_OFFER_AUTH;
    if (stream_is_tls(s->stream))
        set |= SMTP_OFFER_REQUIRETLS;
    return set | (s->txn.smtputf8 ? SMTP_IN_UTF8 : 0u);
}

bool smtp_command_is_rcpt(struct slice input)
{
    struct slice line;
    bool skipping = false;
    return slice_istarts(input, SLICE("RCPT ")) &&
           smtp_line_take(&input, SMTP_LINE_MAX, &skipping, &line) == SMTP_LINE_OK;
}

static void refuse(struct smtp_session *s, enum smtp_verb verb, const struct smtp_reply_text *wrong)
{
    if (verb == SMTP_HTTP) { /* a web page that makes its reader's browser talk to us gets no answer */
        s->told = smtp_offence(s, OFFENCE_PROTOCOL_ABUSE, SLICE("HTTP"), NULL);
        smtp_session_close(s, NULL, NULL);
        return;
    }
    if (verb == SMTP_RCPT && s->txn.id) {
        s->errors++;
        smtp_rcpt_refuse(s, SLICE_EMPTY, wrong->code, wrong->status, wrong->text);
        return;
    }
    smtp_send_error(s, wrong->code, wrong->status, wrong->text);
    if (verb == SMTP_MAIL)
        smtp_report_rejected(s, "MAIL", SLICE_EMPTY, wrong->code, slice_of(wrong->status),
                             slice_of(wrong->text));
}

void smtp_command_run(struct smtp_session *s, struct slice line)
{
    struct smtp_command command;
    struct smtp_reply_text wrong;
    enum err err = smtp_command_parse_in(s->smtp->scratch, line, offered(s), &command, &wrong);
    const char *name = smtp_verb_name(command.verb);
    const struct command_row *row = &commands[command.verb];
    s->commands++;
    metric_add(METRIC_SMTP_COMMANDS, metrics_command(&metrics_smtp_commands, slice_of(name)), 1);
    if (err != ERR_OK || !row->run) {
        refuse(s, command.verb, &wrong);
        return;
    }
    s->stage = name;
    if (row->states & SMTP_IN(s->state))
        row->run(s, &command);
    else
        smtp_send_error(s, 503, "5.5.1", row->disorder);
}
