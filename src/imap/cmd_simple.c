/* cmd_simple.c: commands that need no other role: CAPABILITY, NOOP, CHECK, LOGOUT, ID, STARTTLS,
 * UNAUTHENTICATE, NAMESPACE.
 */
#include "base/log.h"
#include "imap/capability.h"
#include "imap/command.h"
#include "wire/mailbox.h"

void imap_cmd_capability(struct session *s)
{
    struct buf *out = imap_session_output(s);
    buf_add_str(out, "* CAPABILITY ");
    imap_capability_write(s, out);
    buf_add_str(out, "\r\n");
    imap_session_done(s, "OK Capability completed");
}

/* NOOP and CHECK: the news come with the answer. */
void imap_cmd_noop(struct session *s)
{
    imap_session_done(s, "OK %s completed", s->run->command.verb == IMAP_CHECK ? "Check" : "NOOP");
}

void imap_cmd_logout(struct session *s)
{
    buf_add_str(imap_session_output(s), "* BYE Logging out\r\n");
    metric_add(METRIC_IMAP_REPLIES, METRIC_IMAP_BYE, 1);
    imap_session_set_state(s, SESSION_LOGGED_OUT);
    imap_session_done(s, "OK Logout completed");
    imap_session_finish(s);
}

/* The client's name helps when one misbehaves (RFC 2971). */
void imap_cmd_id(struct session *s)
{
    const struct imap_command *c = &s->run->command;
    struct slice name = SLICE_EMPTY, version = SLICE_EMPTY;
    for (size_t i = 0; i < c->id.count; i++) {
        if (slice_ieq(c->id.names[i], SLICE("name")))
            name = c->id.values[i];
        else if (slice_ieq(c->id.names[i], SLICE("version")))
            version = c->id.values[i];
    }
    if (name.len)
        log_info("imap.client", LOG_CSTR("session", s->caller.id), LOG_STR("name", slice_sub(name, 0, 100)),
                 LOG_STR("version", slice_sub(version, 0, 100)));
    buf_add_str(imap_session_output(s), "* ID (\"name\" \"Rockdove\")\r\n");
    imap_session_done(s, "OK ID completed");
}

/* Octets behind the command's line were sent in the clear by whoever sits on the wire (CVE-2011-0411). */
void imap_cmd_starttls(struct session *s)
{
    if (stream_is_tls(s->stream) || !s->caller.starttls || !s->imap->service.tls) {
        imap_session_done(s, "BAD TLS is %s", stream_is_tls(s->stream) ? "active already" : "not available");
        return;
    }
    if (stream_input(s->stream).len > 0) {
        imap_session_done(s, "BAD Nothing may follow STARTTLS in the clear");
        imap_session_bye(s, "Nothing may follow STARTTLS in the clear");
        return;
    }
    imap_session_done(s, "OK Begin TLS negotiation now");
    if (!s->closing && !stream_start_tls(s->stream, s->imap->service.tls))
        imap_session_bye(s, "Nothing may follow STARTTLS in the clear");
}

/* RFC 8437. The answer names no capabilities: whoever reuses connections asks with his next login. */
void imap_cmd_unauthenticate(struct session *s)
{
    if (stream_is_deflated(
            s->stream)) { /* no NO is allowed, and where our compression ends nobody could tell */
        imap_session_bye(s, "[CLIENTBUG] A compressed connection cannot be used again");
        return;
    }
    imap_session_forget_user(s);
    imap_session_done(s, "OK Logged out");
}

void imap_cmd_namespace(struct session *s)
{
    bool others = imap_capability_has(s, CAP_ACL);
    buf_addf(imap_session_output(s), "* NAMESPACE ((\"\" \"/\")) %s NIL\r\n",
             others ? "((\"" MAILBOX_OTHERS "/\" \"/\"))" : "NIL");
    imap_session_done(s, "OK Namespace completed");
}
