/* pop3_capa.c: CAPA (RFC 2449), STLS (RFC 2595), UTF8 (RFC 6856). */
#include "base/log.h"
#include "imap/pop3.h"

static void write_logins(const struct pop3 *p, struct buf *out)
{
    const struct imap *imap = p->caller.imap;
    struct slice names = slice_make(imap->mechanisms, imap->mechanisms_len), name;
    buf_add_str(out, "USER\r\nSASL");
    while (login_next_mechanism(&p->caller, p->stream, &names, &name)) {
        buf_add_byte(out, ' ');
        buf_add(out, name);
    }
    buf_add_str(out, "\r\n");
}

/* Of what concerns the login only what is true on this connection just now. */
void pop3_cmd_capa(struct pop3 *p, const struct pop3_command *command)
{
    struct buf *out = pop3_output(p);
    (void)command;
    pop3_ok(p, "Capabilities");
    buf_add_str(out,
                "TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\nUTF8 USER\r\n");
    if (p->state == POP3_AUTHORIZATION && pop3_may_login(p))
        write_logins(p, out);
    if (p->state == POP3_AUTHORIZATION && p->caller.starttls && !stream_is_tls(p->stream))
        buf_add_str(out, "STLS\r\n");
    buf_add_str(out, "IMPLEMENTATION Rockdove\r\n.\r\n");
}

/* Octets behind the command's line were sent in the clear by whoever sits on the wire (CVE-2011-0411). */
void pop3_cmd_stls(struct pop3 *p, const struct pop3_command *command)
{
    struct tls_context *tls = p->caller.imap->service.tls;
    (void)command;
    if (stream_is_tls(p->stream) || !p->caller.starttls || !tls) {
        pop3_err(p, "TLS is %s", stream_is_tls(p->stream) ? "active already" : "not available");
        return;
    }
    if (stream_input(p->stream).len > 0) {
        pop3_bye(p, "-ERR Nothing may follow STLS in the clear");
        return;
    }
    pop3_ok(p, "Begin TLS negotiation now");
    if (!stream_start_tls(p->stream, tls))
        pop3_close(p, true);
}

/* Messages are sent as they are stored, header fields in UTF-8 included, to whoever asks for them: a client
 * of 1939 reads them as well as any 8-bit header. So the command changes nothing. */
void pop3_cmd_utf8(struct pop3 *p, const struct pop3_command *command)
{
    (void)command;
    pop3_ok(p, "UTF-8 it is");
}
