/* body.c: the text of a message on its way from the stream to the store, in chunks. Judges line ends through
 * grammar/smtp_data.c, counts size and header. Everything here is a stranger's. Called by session.c and by
 * the commands DATA and BDAT. */
#include <string.h>

#include "smtp/session.h"

/* ---- to the store ---- */

void smtp_body_drop(struct smtp_session *s)
{
    struct smtp_body *body = &s->body;
    if (body->begun && body->epoch == s->smtp->store_epoch) {
        const struct wire_body_drop drop = {.body = body->id};
        enum err ignored = wire_send(s->smtp->store, WIRE_BODY_DROP, &drop);
        (void)ignored; /* a store that is away has forgotten it already */
    }
    body->begun = false;
    body->lost = true;
    buf_free(&body->chunk);
}

static struct wire_body_chunk next_chunk(struct smtp_session *s, unsigned flags)
{
    struct smtp_body *body = &s->body;
    bool submission = s->port->settings.service == SETTINGS_SUBMISSION;
    if (!body->begun) {
        body->begun = true;
        body->id = ++s->smtp->next_body;
        body->epoch = s->smtp->store_epoch;
        flags |= BODY_FIRST;
    }
    return (struct wire_body_chunk){.body = body->id,
                                    .flags = flags,
                                    .kind = submission ? BODY_SUBMISSION : BODY_MX,
                                    .data = buf_slice(&body->chunk)};
}

static void send_chunk(struct smtp_session *s)
{
    struct smtp_body *body = &s->body;
    bool stale = body->begun && body->epoch != s->smtp->store_epoch;
    const struct wire_body_chunk chunk = next_chunk(s, 0);
    if (stale || wire_send(s->smtp->store, WIRE_BODY_CHUNK, &chunk) != ERR_OK)
        smtp_body_drop(s);
    else
        buf_clear(&body->chunk);
}

/* ---- what comes in ---- */

/* Counts the header up to its empty line, whatever pieces it comes in. */
static void count_header(struct smtp_body *body, struct slice text)
{
    while (text.len && !body->header_done) {
        ptrdiff_t lf = slice_find(text, '\n');
        size_t len = lf < 0 ? text.len : (size_t)lf + 1;
        bool blank = body->header_line + len <= 2 && (len == 2 ? text.ptr[0] == '\r' : true);
        body->header_size += len;
        body->header_line += (uint32_t)(len < UINT16_MAX ? len : UINT16_MAX);
        text = slice_from(text, len);
        if (lf < 0)
            return;
        body->header_done = blank && body->header_line == 2;
        body->header_line = 0;
    }
}

static bool is_too_big(const struct smtp_session *s)
{
    return s->body.data.size > s->smtp->settings->limits.message_size ||
           s->body.header_size > SMTP_HEADER_MAX;
}

static void keep(struct smtp_session *s, struct slice text)
{
    struct smtp_body *body = &s->body;
    if (!body->header_done)
        count_header(body, text);
    if (!body->lost && is_too_big(s))
        smtp_body_drop(s);
    while (text.len && !body->lost) {
        size_t room = SMTP_CHUNK - body->chunk.len;
        struct slice part = slice_sub(text, 0, room);
        buf_add(&body->chunk, part);
        text = slice_from(text, part.len);
        if (body->chunk.len == SMTP_CHUNK)
            send_chunk(s);
    }
    body->discarded += text.len;
}

/* ---- the end ---- */

/* Why the message cannot be taken, or NULL. */
static const struct smtp_reply_text *judge(const struct smtp_session *s)
{
    static const struct smtp_reply_text size = {552, "5.3.4", "Message is larger than we take"};
    static const struct smtp_reply_text header = {552, "5.3.4", "Message header is larger than we take"};
    static const struct smtp_reply_text line_end = {
        550, "5.5.2", "Message holds a bare CR or LF; lines end in CRLF (RFC 5321 section 2.3.8)"};
    static const struct smtp_reply_text nul = {550, "5.6.0", "Message holds NUL bytes"};
    static const struct smtp_reply_text line = {550, "5.6.0", "Message holds a line that is too long"};
    const struct smtp_data *data = &s->body.data;
    if (data->size > s->smtp->settings->limits.message_size)
        return &size;
    if (s->body.header_size > SMTP_HEADER_MAX)
        return &header;
    if (data->bare_cr || data->bare_lf)
        return &line_end;
    if (data->nul)
        return &nul;
    return smtp_data_is_clean(data) ? NULL : &line;
}

static void finished(struct smtp_session *s)
{
    smtp_session_enter(s, SMTP_STATE_READY);
    if (s->smtp->service.draining)
        smtp_session_close(s, "4.3.2", "Going down, come back soon");
    smtp_session_continue(s);
}

/* The queue's id goes into the reply: it is what a sender can ask about later. */
static void send_outcome(struct smtp_session *s, const struct wire_smtp_reply *r)
{
    AUTO_BUF struct buf text = buf_new(SMTP_REPLY_LINE_MAX);
    if (r->code / 100 != 2 || r->id.len == 0) {
        smtp_send_wire(s, r);
        return;
    }
    buf_addf(&text, "Ok: queued as %.*s", SLICE_ARG(r->id));
    smtp_send_slices(s, r->code, r->enhanced, buf_slice(&text));
}

static void on_commit(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct smtp_session *s = ctx;
    struct wire_smtp_reply r;
    err = wire_answer(err, packet, WIRE_SMTP_REPLY, &r);
    s->waits = SMTP_WAITS_NOT;
    if (err != ERR_OK) {
        smtp_send_later(s);
        smtp_report_refused(s, 451, SLICE("4.3.0"), SLICE("the queue did not answer"));
    } else {
        send_outcome(s, &r);
        if (r.code / 100 == 2) {
            s->accepted++;
            smtp_limit_accepted(s);
            metric_add(METRIC_BYTES_ACCEPTED, 0, s->body.data.size);
            smtp_report_accepted(s, &r, s->body.data.size);
        } else {
            smtp_report_refused(s, r.code, r.enhanced, r.text);
        }
    }
    smtp_txn_done(s);
    finished(s);
}

/* The message is refused; what the queue and the store know of it goes. */
static void refuse(struct smtp_session *s, unsigned code, const char *status, const char *text)
{
    smtp_send(s, code, status, text);
    metric_add(METRIC_MESSAGES_REFUSED, s->port->settings.service, 1);
    smtp_report_refused(s, code, slice_of(status), slice_of(text));
    smtp_txn_reset(s);
}

static void on_body_done(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct smtp_session *s = ctx;
    struct wire_body_done done;
    err = wire_answer(err, packet, WIRE_BODY_DONE, &done);
    s->waits = SMTP_WAITS_NOT;
    if (err != ERR_OK || done.err != ERR_OK) {
        refuse(s, 451, "4.3.0",
               err == ERR_OK && done.err == ERR_REFUSED ? "No room for the message now" : "Try again later");
        finished(s);
    } else if (done.hops > s->smtp->settings->limits.received_headers) {
        refuse(s, 554, "5.4.6", "Routing loop: too many Received fields");
        finished(s);
    } else {
        const struct wire_queue_commit commit = {.txn = s->txn.id, .body = s->body.id};
        s->waits = SMTP_WAITS_COMMIT;
        s->request = wire_call(s->smtp->queue, WIRE_QUEUE_COMMIT, &commit, SMTP_COMMIT_MS, on_commit, s);
    }
}

/* The last byte is here. With bare line ends two servers may disagree about where a message ends (SMTP
 * smuggling): what follows on this connection is not to be trusted either. */
static void body_end(struct smtp_session *s)
{
    struct smtp_body *body = &s->body;
    const struct smtp_reply_text *wrong = judge(s);
    if (wrong) {
        bool ambiguous = body->data.bare_cr || body->data.bare_lf;
        refuse(s, wrong->code, wrong->status, wrong->text);
        smtp_session_enter(s, SMTP_STATE_READY);
        if (ambiguous) {
            (void)smtp_offence(s, OFFENCE_PROTOCOL_ABUSE, SLICE("bare CR or LF in a message"), NULL);
            smtp_session_close(s, NULL, NULL);
        }
        return;
    }
    if (body->lost || !smtp_txn_is_alive(s) || (body->begun && body->epoch != s->smtp->store_epoch)) {
        refuse(s, 451, "4.3.0", "Try again later");
        smtp_session_enter(s, SMTP_STATE_READY);
        return;
    }
    const struct wire_body_chunk chunk = next_chunk(s, BODY_LAST);
    s->waits = SMTP_WAITS_BODY;
    s->request = wire_call(s->smtp->store, WIRE_BODY_CHUNK, &chunk, SMTP_BODY_MS, on_body_done, s);
    buf_free(&body->chunk);
}

void smtp_body_begin(struct smtp_session *s, bool plain)
{
    struct smtp_body *body = &s->body;
    if (plain)
        smtp_data_init_plain(&body->data);
    else
        smtp_data_init(&body->data);
    body->started_ms = loop_now_ms(s->smtp->loop);
}

/* A message refused long ago that does not end. */
static bool is_endless(struct smtp_session *s)
{
    if (s->body.discarded <= SMTP_DISCARD_MAX)
        return false;
    refuse(s, 552, "5.3.4", "Message is larger than we take");
    smtp_session_close(s, NULL, NULL);
    return true;
}

bool smtp_body_take_data(struct smtp_session *s)
{
    struct slice input = stream_input(s->stream), text;
    size_t before = input.len;
    enum smtp_data_state state;
    if (ipc_congested(s->smtp->store)) {
        s->starved = true;
        return false;
    }
    while ((state = smtp_data_next(&s->body.data, &input, &text)) == SMTP_DATA_TEXT)
        keep(s, text);
    stream_consume(s->stream, before - input.len);
    if (state == SMTP_DATA_END) {
        body_end(s);
        return s->waits == SMTP_WAITS_NOT;
    }
    (void)is_endless(s);
    return false;
}

/* RFC 3030 section 2: the octets of a chunk must be taken even when it is refused. */
static void orphan_end(struct smtp_session *s)
{
    s->body.orphan = false;
    s->body.lost = false;
    s->body.discarded = 0;
    smtp_session_enter(s, s->txn.id ? SMTP_STATE_MAIL : s->helo.len ? SMTP_STATE_READY : SMTP_STATE_NEW);
    smtp_send_error(s, 503, "5.5.1", s->txn.id ? "Name a recipient with RCPT first" : "Begin with MAIL");
}

static void chunk_end(struct smtp_session *s)
{
    if (s->body.orphan) {
        orphan_end(s);
        return;
    }
    if (s->body.bdat_last) {
        smtp_data_finish(&s->body.data);
        body_end(s);
        return;
    }
    smtp_session_enter(s, SMTP_STATE_BDAT);
    const struct smtp_reply_text *wrong = judge(s);
    if (wrong) {
        refuse(s, wrong->code, wrong->status, wrong->text);
        smtp_session_enter(s, SMTP_STATE_READY);
    } else {
        smtp_send(s, 250, "2.0.0", "Ok: chunk received");
    }
}

bool smtp_body_take_chunk(struct smtp_session *s)
{
    struct smtp_body *body = &s->body;
    size_t len = stream_input(s->stream).len;
    if (ipc_congested(s->smtp->store)) {
        s->starved = true;
        return false;
    }
    if (len > body->bdat_left)
        len = (size_t)body->bdat_left;
    struct slice input = slice_sub(stream_input(s->stream), 0, len), text;
    while (!body->orphan && smtp_data_next(&body->data, &input, &text) == SMTP_DATA_TEXT)
        keep(s, text);
    stream_consume(s->stream, len);
    body->discarded += body->orphan ? len : 0;
    body->bdat_left -= len;
    if (body->bdat_left == 0) {
        chunk_end(s);
        return s->waits == SMTP_WAITS_NOT;
    }
    (void)is_endless(s);
    return false;
}
