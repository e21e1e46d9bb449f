/* cmd_bdat.c: BDAT (RFC 3030): the same body in counted chunks. Whatever is wrong with the command, its
 * octets follow and must be taken off the stream. */
#include "smtp/session.h"

static bool in_order(const struct smtp_session *s)
{
    return s->state == SMTP_STATE_RCPT || s->state == SMTP_STATE_BDAT;
}

void smtp_cmd_bdat(struct smtp_session *s, const struct smtp_command *command)
{
    struct smtp_body *body = &s->body;
    if (command->bdat_size > SMTP_DISCARD_MAX &&
        command->bdat_size > s->smtp->settings->limits.message_size) {
        /* It would take hours to throw away. */
        smtp_send_error(s, 552, "5.3.4", "Message is larger than we take");
        smtp_session_close(s, NULL, NULL);
        return;
    }
    if (!in_order(s))
        body->orphan = true;
    else if (s->state == SMTP_STATE_RCPT)
        smtp_body_begin(s, true);
    body->bdat_left = command->bdat_size;
    body->bdat_last = command->bdat_last;
    smtp_session_enter(s, SMTP_STATE_CHUNK);
}
