/* cmd_starttls.c: STARTTLS (RFC 3207). What was sent in the clear behind it must not be taken for commands
 * under TLS (CVE-2011-0411). */
#include "smtp/session.h"

void smtp_cmd_starttls(struct smtp_session *s, const struct smtp_command *command)
{
    (void)command;
    if (s->port->settings.tls != SETTINGS_TLS_STARTTLS || !s->smtp->service.tls) {
        smtp_send_error(s, 502, "5.5.1", "STARTTLS is not offered here");
        return;
    }
    if (stream_is_tls(s->stream)) {
        smtp_send_error(s, 503, "5.5.1", "TLS is active already");
        return;
    }
    if (stream_input(s->stream).len > 0) {
        smtp_send_error(s, 554, "5.5.1", "Nothing may be sent behind STARTTLS before the handshake");
        smtp_session_close(s, NULL, NULL);
        return;
    }
    smtp_send(s, 220, "2.0.0", "Ready for the TLS handshake");
    if (!stream_start_tls(s->stream, s->smtp->service.tls)) {
        smtp_session_close(s, NULL, NULL);
        return;
    }
    s->helo = SLICE_EMPTY; /* RFC 3207 section 4.2: what was learned in the clear is forgotten */
    smtp_auth_logout(s);   /* also who logged in there: it may have been somebody in between */
    s->esmtp = false;
    smtp_session_enter(s, SMTP_STATE_TLS);
}
