/* cmd_data.c: DATA (RFC 5321 section 4.1.1.4). The text itself is body.c's. */
#include "smtp/session.h"

void smtp_cmd_data(struct smtp_session *s, const struct smtp_command *command)
{
    (void)command;
    if (!smtp_txn_is_alive(s) || !ipc_link_is_up(s->smtp->store)) {
        smtp_send_later(s);
        smtp_txn_reset(s);
        smtp_session_enter(s, SMTP_STATE_READY);
        return;
    }
    smtp_body_begin(s, false);
    smtp_session_enter(s, SMTP_STATE_DATA);
    smtp_send(s, 354, NULL, "End data with <CR><LF>.<CR><LF>");
}
