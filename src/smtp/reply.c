/* reply.c: replies of a session: into the stream's output (which goes out once per turn), counted. Called by
 * the commands of the smtp role. */
#include "smtp/session.h"

static void count(struct smtp_session *s, unsigned code)
{
    s->deferred |= code / 100 == 4;
    if (code >= 200 && code < 600)
        metric_add(METRIC_SMTP_REPLIES, code / 100 - 2, 1);
}

void smtp_send(struct smtp_session *s, unsigned code, const char *status, const char *text)
{
    count(s, code);
    smtp_reply_add(stream_output(s->stream), code, status, slice_of(text));
}

#define STATUS_MAX 16

void smtp_send_slices(struct smtp_session *s, unsigned code, struct slice status, struct slice text)
{
    char enhanced[STATUS_MAX] = "";
    if (status.len < sizeof enhanced)
        for (size_t i = 0; i < status.len; i++)
            enhanced[i] = (char)status.ptr[i];
    count(s, code);
    smtp_reply_add(stream_output(s->stream), code, enhanced, text);
}

void smtp_send_error(struct smtp_session *s, unsigned code, const char *status, const char *text)
{
    s->errors++;
    smtp_send(s, code, status, text);
}

void smtp_send_later(struct smtp_session *s)
{
    smtp_send(s, 451, "4.3.0", "Try again later");
}

void smtp_send_wire(struct smtp_session *s, const struct wire_smtp_reply *r)
{
    bool sane = r->code >= 200 && r->code < 600;
    if (sane)
        smtp_send_slices(s, r->code, r->enhanced, r->text);
    else
        smtp_send_later(s);
}
