/* cmd_misc.c: the commands of one line: RSET, NOOP, VRFY, HELP, QUIT, and those we do not offer (RFC 5321
 * section 4.1.1). */
#include "smtp/session.h"

void smtp_cmd_rset(struct smtp_session *s, const struct smtp_command *command)
{
    (void)command;
    smtp_txn_reset(s);
    if (s->state != SMTP_STATE_NEW)
        smtp_session_enter(s, SMTP_STATE_READY);
    smtp_send(s, 250, "2.0.0", "Ok");
}

void smtp_cmd_noop(struct smtp_session *s, const struct smtp_command *command)
{
    (void)command;
    smtp_send(s, 250, "2.0.0", "Ok");
}

/* RFC 5321 section 7.3: addresses are not given away. */
void smtp_cmd_vrfy(struct smtp_session *s, const struct smtp_command *command)
{
    (void)command;
    smtp_send(s, 252, "2.1.5", "Send the mail and you will see");
}

void smtp_cmd_help(struct smtp_session *s, const struct smtp_command *command)
{
    (void)command;
    smtp_send(s, 214, "2.0.0", "RFC 5321 says how to talk to this server");
}

void smtp_cmd_quit(struct smtp_session *s, const struct smtp_command *command)
{
    (void)command;
    smtp_send(s, 221, "2.0.0", "Bye");
    s->quit = true;
    smtp_session_close(s, NULL, NULL);
}

void smtp_cmd_not_offered(struct smtp_session *s, const struct smtp_command *command)
{
    (void)command;
    smtp_send_error(s, 502, "5.5.1", "Command not implemented");
}
