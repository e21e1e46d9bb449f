/* cmd_data.c: DATA (RFC 5321 section 4.1.1.4). The text itself is body.c's. */
#include "smtp/session.h"

void cmd_data(struct smtp_session *s, const struct smtp_command *command)
{
    (void)command;
    if (!txn_is_alive(s) || !ipc_link_is_up(s->smtp->store)) {
        reply_later(s);
        txn_reset(s);
        session_enter(s, SMTP_STATE_READY);
        return;
    }
    body_begin(s, false);
    session_enter(s, SMTP_STATE_DATA);
    reply(s, 354, NULL, "End data with <CR><LF>.<CR><LF>");
}
