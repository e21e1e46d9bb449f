/* client_txn.c: the transactions of one job: MAIL, RCPT, DATA or BDAT, with as many commands ahead of their
 * replies as the server allows, and what each reply means for each recipient. Replies are a stranger's.
 * Called by client.c. */
#include "grammar/xtext.h"
#include "relay/client_int.h"

/* RFC 5321 section 4.5.3.1.10: 452, or 552 of old, for more recipients than the server takes at once. */
static bool is_too_many(const struct smtp_reply *reply)
{
    bool status = reply->subject == 5 && reply->detail == 3;
    return (reply->code == 452 && (status || reply->class == 0)) || (reply->code == 552 && status);
}

static bool offers(const struct client *c, unsigned extension)
{
    return c->remote.ehlo.extensions & extension;
}

static bool pipelines(const struct client *c)
{
    return offers(c, SMTP_EHLO_PIPELINING);
}

static uint64_t size_of(const struct client_job *job)
{
    return job->prefix.len + job->size;
}

/* ---- recipients ---- */

static bool is_waiting(const struct client *c, const struct client_rcpt *rcpt)
{
    return rcpt->outcome == CLIENT_PENDING && rcpt->round < c->txn.round;
}

/* Sent in this round, not refused. */
static bool is_accepted(const struct client *c, const struct client_rcpt *rcpt)
{
    return rcpt->outcome == CLIENT_PENDING && rcpt->round == c->txn.round && rcpt->reply.code / 100 == 2;
}

static void settle_one(struct client *c, struct client_rcpt *rcpt, enum client_outcome outcome,
                       const struct client_reply *reply)
{
    rcpt->outcome = outcome;
    rcpt->reply = *reply;
    rcpt->stage = client_stage(c);
}

void client_txn_settle(struct client *c, enum client_outcome outcome, const struct client_reply *reply)
{
    for (size_t i = 0; i < c->job->rcpt_count; i++)
        if (c->job->rcpts[i].outcome == CLIENT_PENDING)
            settle_one(c, &c->job->rcpts[i], outcome, reply);
}

/* Those the server has taken in this round. */
static void settle_accepted(struct client *c, enum client_outcome outcome, const struct client_reply *reply)
{
    for (size_t i = 0; i < c->job->rcpt_count; i++)
        if (is_accepted(c, &c->job->rcpts[i]))
            settle_one(c, &c->job->rcpts[i], outcome, reply);
}

static enum client_outcome outcome_of(unsigned code)
{
    switch (code / 100) {
    case 2:
        return CLIENT_ACCEPTED;
    case 5:
        return CLIENT_PERMANENT;
    default:
        return CLIENT_TEMPORARY; /* also a 3yz where none belongs */
    }
}

void client_txn_done(struct client *c)
{
    struct client_job *job = c->job;
    c->job = NULL;
    c->jobs++;
    if (!c->dead)
        c->ops->done(c->ctx, c, job);
}

/* ---- what cannot be sent to this server ---- */

static bool is_clean(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < ' ' || text.ptr[i] == 0x7f)
            return false;
    return true;
}

static bool is_envelope_clean(const struct client_job *job)
{
    bool clean = is_clean(job->sender);
    for (size_t i = 0; clean && i < job->rcpt_count; i++)
        clean = is_clean(job->rcpts[i].address);
    return clean;
}

/* NULL: nothing speaks against it. */
static const char *flaw(const struct client *c, enum client_outcome *outcome, struct client_reply *word)
{
    const struct client_job *job = c->job;
    uint64_t limit = c->remote.ehlo.size;
    *outcome = CLIENT_PERMANENT;
    if (!is_envelope_clean(job)) {
        *word = client_word(5, 1, 3, "");
        return "an address holds control characters";
    }
    if (limit && size_of(job) > limit) { /* RFC 1870 section 6.1 */
        *word = client_word(5, 3, 4, "");
        return "the message is larger than the server takes";
    }
    if (job->smtputf8 && !offers(c, SMTP_EHLO_SMTPUTF8)) { /* RFC 6531 section 3.5 */
        *word = client_word(5, 6, 7, "");
        return "the server takes no addresses and headers in UTF-8 (SMTPUTF8)";
    }
    if (job->requiretls &&
        (!offers(c, SMTP_EHLO_REQUIRETLS) || !stream_is_tls(c->stream))) { /* RFC 8689 section 5 */
        *word = client_word(5, 7, 30, "");
        return "the server does not support REQUIRETLS";
    }
    *outcome = CLIENT_NEEDS_SEVEN_BIT;
    if (job->eightbit && !offers(c, SMTP_EHLO_8BITMIME)) {
        *word = client_word(5, 6, 3, "");
        return "the server takes no 8-bit messages (8BITMIME)";
    }
    return NULL;
}

/* ---- commands ---- */

static void send_rset(struct client *c)
{
    stream_write(c->stream, SLICE("RSET\r\n"));
    client_commanded(c);
}

/* "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF */
static void send_mail(struct client *c)
{
    static const char *const rets[] = {
        [SMTP_RET_NONE] = "", [SMTP_RET_FULL] = " RET=FULL", [SMTP_RET_HDRS] = " RET=HDRS"};
    const struct client_job *job = c->job;
    struct buf *out = stream_output(c->stream);
    buf_add(out, SLICE("MAIL FROM:<"));
    buf_add(out, job->sender);
    buf_add_byte(out, '>');
    if (offers(c, SMTP_EHLO_SIZE)) {
        buf_add(out, SLICE(" SIZE="));
        buf_add_u64(out, size_of(job));
    }
    if (job->eightbit)
        buf_add(out, SLICE(" BODY=8BITMIME"));
    if (job->smtputf8)
        buf_add(out, SLICE(" SMTPUTF8"));
    if (job->requiretls)
        buf_add(out, SLICE(" REQUIRETLS"));
    if (offers(c, SMTP_EHLO_DSN)) {
        buf_add_str(out, job->ret <= SMTP_RET_HDRS ? rets[job->ret] : "");
        if (job->envid.len) {
            buf_add(out, SLICE(" ENVID="));
            xtext_encode(out, job->envid);
        }
    }
    buf_add(out, SLICE("\r\n"));
    client_commanded(c);
}

/* NOTIFY= and ORCPT= (RFC 3461 section 4). */
static void add_dsn(struct buf *out, const struct client_rcpt *rcpt, bool in_utf8)
{
    static const struct {
        unsigned bit;
        const char *name;
    } notify[] = {{SMTP_NOTIFY_NEVER, "NEVER"},
                  {SMTP_NOTIFY_SUCCESS, "SUCCESS"},
                  {SMTP_NOTIFY_FAILURE, "FAILURE"},
                  {SMTP_NOTIFY_DELAY, "DELAY"}};
    const char *before = " NOTIFY=";
    for (size_t i = 0; i < 4; i++) {
        if (!(rcpt->notify & notify[i].bit))
            continue;
        buf_add_str(out, before);
        buf_add_str(out, notify[i].name);
        before = ",";
    }
    if (rcpt->orcpt.len == 0)
        return;
    bool utf8 = slice_ieq(rcpt->orcpt_type, SLICE("utf-8")) || !slice_is_ascii(rcpt->orcpt);
    buf_add(out, SLICE(" ORCPT="));
    buf_add(out, utf8 ? SLICE("utf-8") : rcpt->orcpt_type.len ? rcpt->orcpt_type : SLICE("rfc822"));
    buf_add_byte(out, ';');
    if (!utf8)
        xtext_encode(out, rcpt->orcpt);
    else if (in_utf8 && slice_is_utf8(rcpt->orcpt))
        xtext_encode_utf8(out, rcpt->orcpt);
    else
        xtext_encode_ascii(out, rcpt->orcpt);
}

/* "RCPT TO:" Forward-path [SP Rcpt-parameters] CRLF */
static void send_rcpt(struct client *c, struct client_rcpt *rcpt)
{
    struct buf *out = stream_output(c->stream);
    rcpt->round = c->txn.round;
    rcpt->reply.code = 0;
    buf_add(out, SLICE("RCPT TO:<"));
    buf_add(out, rcpt->address);
    buf_add_byte(out, '>');
    if (offers(c, SMTP_EHLO_DSN))
        add_dsn(out, rcpt, c->job->smtputf8);
    buf_add(out, SLICE("\r\n"));
    client_commanded(c);
    c->txn.sent++;
}

static struct client_rcpt *next_to_send(struct client *c)
{
    struct client_txn *txn = &c->txn;
    for (; txn->sent < txn->limit && txn->send_at < c->job->rcpt_count; txn->send_at++)
        if (is_waiting(c, &c->job->rcpts[txn->send_at]))
            return &c->job->rcpts[txn->send_at++];
    return NULL;
}

/* The message behind the envelope or behind 354. */
static void send_text(struct client *c)
{
    c->txn.at_line_start = true;
    client_text_go_on(c);
}

/* BDAT sends its size, so it is one command for the whole message (RFC 3030). */
static void send_bdat(struct client *c)
{
    buf_addf(stream_output(c->stream), "BDAT %llu LAST\r\n", (unsigned long long)size_of(c->job));
    client_commanded(c);
    c->txn.chunked = c->txn.envelope = true;
}

static void begin_data(struct client *c)
{
    stream_write(c->stream, SLICE("DATA\r\n"));
    client_commanded(c);
    c->txn.envelope = true;
}

/* The next command of the envelope goes out; false when there is none (or it has to wait for a verdict on the
 * recipients). */
static bool send_next(struct client *c)
{
    struct client_txn *txn = &c->txn;
    struct client_rcpt *rcpt;
    if (!txn->reset) {
        send_rset(c);
        txn->reset = true;
    } else if (!txn->mail) {
        send_mail(c);
        txn->mail = true;
    } else if ((rcpt = next_to_send(c)) != NULL) {
        send_rcpt(c, rcpt);
    } else if (txn->together && !txn->envelope) {
        send_bdat(c);
        send_text(c);
        return false;
    } else if (!txn->envelope && pipelines(c) && !offers(c, SMTP_EHLO_CHUNKING)) {
        begin_data(c);
    } else {
        return false;
    }
    return true;
}

static void send_envelope(struct client *c)
{
    do
        if (!send_next(c))
            return;
    while (pipelines(c) && !c->dead);
}

/* ---- a transaction begins ---- */

static bool has_waiting(const struct client *c)
{
    for (size_t i = 0; i < c->job->rcpt_count; i++)
        if (c->job->rcpts[i].outcome == CLIENT_PENDING)
            return true;
    return false;
}

static void begin_round(struct client *c, size_t limit)
{
    const struct client_job *job = c->job;
    unsigned round = c->txn.round + 1;
    c->txn = (struct client_txn){.round = round, .limit = limit, .reset = !c->needs_reset};
    c->txn.deadline_ms = loop_now_ms(c->loop) + c->target.timeouts.envelope;
    if (c->txn.deadline_ms > c->job_due_ms)
        c->txn.deadline_ms = c->job_due_ms;
    c->txn.together = pipelines(c) && offers(c, SMTP_EHLO_CHUNKING) && size_of(job) <= CLIENT_TOGETHER_MAX;
    c->job->transactions++;
    c->begun_ms = loop_now_ms(c->loop);
    client_enter(c, c->needs_reset ? CLIENT_RSET : CLIENT_MAIL);
    c->needs_reset = false;
    send_envelope(c);
}

bool client_txn_begin(struct client *c)
{
    enum client_outcome outcome;
    struct client_reply word;
    const char *text = flaw(c, &outcome, &word);
    uint64_t limit = c->target.timeouts.job;
    c->job_due_ms = limit ? loop_now_ms(c->loop) + limit : UINT64_MAX;
    c->job->dsn = offers(c, SMTP_EHLO_DSN);
    if (c->jobs == 0)
        c->job->times = c->times;
    if (text) {
        client_enter(c, CLIENT_REFUSING);
        word.text = slice_of(text);
        client_txn_settle(c, outcome, &word);
        return false;
    }
    uint64_t max = c->remote.ehlo.rcptmax;
    c->txn = (struct client_txn){0};
    begin_round(c, max && max < c->job->rcpt_count ? (size_t)max : c->job->rcpt_count);
    return true;
}

/* ---- the envelope's replies ---- */

static void finish(struct client *c);

void client_txn_rset(struct client *c, const struct smtp_reply *reply)
{
    if (reply->code / 100 != 2) {
        const struct client_reply word = client_reply_in(c->job->arena, reply);
        client_end(c, c->txn.round == 1 ? CLIENT_STALE : CLIENT_TEMPORARY, &word);
        return;
    }
    client_enter(c, CLIENT_MAIL);
    send_envelope(c);
}

static void mail_refused(struct client *c, const struct smtp_reply *reply)
{
    const struct client_reply word = client_reply_in(c->job->arena, reply);
    bool login = reply->code == 530 && c->target.login.user.len > 0;
    c->txn.mail_refused = true;
    c->needs_reset = true;
    client_txn_settle(c, login ? CLIENT_AUTH_REFUSED : outcome_of(reply->code), &word);
}

/* Which reply is next. */
static void await_next(struct client *c)
{
    struct client_txn *txn = &c->txn;
    if (txn->answered < txn->sent)
        client_enter(c, CLIENT_RCPT);
    else if (c->outstanding > 0)
        client_enter(c, txn->chunked ? CLIENT_FINAL : CLIENT_DATA);
    else
        finish(c);
}

void client_txn_mail(struct client *c, const struct smtp_reply *reply)
{
    if (reply->code / 100 != 2)
        mail_refused(c, reply);
    else
        send_envelope(c);
    if (!c->dead && c->state != CLIENT_CLOSED)
        await_next(c);
}

/* The recipient whose reply is next. */
static struct client_rcpt *next_to_answer(struct client *c)
{
    struct client_txn *txn = &c->txn;
    while (txn->reply_at < c->job->rcpt_count) {
        struct client_rcpt *rcpt = &c->job->rcpts[txn->reply_at++];
        if (rcpt->round == txn->round)
            return rcpt;
    }
    return NULL;
}

static void rcpt_answered(struct client *c, struct client_rcpt *rcpt, const struct smtp_reply *reply)
{
    if (rcpt->outcome != CLIENT_PENDING)
        return; /* MAIL was refused; this says nothing new */
    if (reply->code / 100 == 2) {
        rcpt->reply.code = reply->code;
        c->txn.accepted++;
    } else if (is_too_many(reply) && c->txn.accepted > 0 && c->txn.round < CLIENT_ROUNDS_MAX) {
        rcpt->reply.code = reply->code; /* the next round takes it */
        if (c->txn.limit > c->txn.accepted)
            c->txn.limit = c->txn.accepted;
    } else {
        const struct client_reply word = client_reply_in(c->job->arena, reply);
        settle_one(c, rcpt, outcome_of(reply->code), &word);
    }
}

/* All recipients have their replies; without pipelining DATA was not sent yet, with CHUNKING maybe the text.
 */
static void recipients_known(struct client *c)
{
    if (c->txn.envelope || c->txn.accepted == 0) {
        await_next(c);
    } else if (offers(c, SMTP_EHLO_CHUNKING)) {
        c->job->times.envelope += client_lap(c);
        client_enter(c, CLIENT_TEXT);
        send_bdat(c);
        send_text(c);
    } else {
        begin_data(c);
        client_enter(c, CLIENT_DATA);
    }
}

void client_txn_rcpt(struct client *c, const struct smtp_reply *reply)
{
    struct client_rcpt *rcpt = next_to_answer(c);
    c->txn.answered++;
    if (rcpt)
        rcpt_answered(c, rcpt, reply);
    send_envelope(c);
    if (c->dead || c->state == CLIENT_CLOSED)
        return;
    if (c->txn.answered < c->txn.sent)
        client_enter(c, CLIENT_RCPT);
    else
        recipients_known(c);
}

/* ---- the text ---- */

/* 354 though nobody is to get it: an empty text ends the matter (RFC 2920 section 3.1). */
static void send_nothing(struct client *c)
{
    stream_write(c->stream, SLICE(".\r\n"));
    client_commanded(c);
    client_enter(c, CLIENT_FINAL);
}

void client_txn_data(struct client *c, const struct smtp_reply *reply)
{
    if (reply->code == 354 && c->txn.accepted == 0) {
        send_nothing(c);
    } else if (reply->code == 354) {
        c->job->times.envelope += client_lap(c);
        client_enter(c, CLIENT_TEXT);
        send_text(c);
    } else {
        /* A 2yz here would be an answer to something else: nothing was sent yet. */
        const struct client_reply word = client_reply_in(c->job->arena, reply);
        settle_accepted(c, reply->code / 100 == 5 ? CLIENT_PERMANENT : CLIENT_TEMPORARY, &word);
        c->needs_reset = true;
        finish(c);
    }
}

void client_txn_early(struct client *c, const struct smtp_reply *reply)
{
    const struct client_reply word = client_reply_in(c->job->arena, reply);
    if (reply->code / 100 == 5) {
        settle_accepted(c, CLIENT_PERMANENT, &word);
        client_end(c, CLIENT_TEMPORARY, &word);
    } else if (reply->code / 100 == 4) {
        client_end(c, CLIENT_TEMPORARY, &word);
    } else {
        client_fail(c, CLIENT_TEMPORARY, 5, 0, "the server spoke before the message was sent");
    }
}

/* A server may close as soon as it has answered (RFC 5321 section 3.8); maybe only the beginning is there. */
static bool says_goodbye(struct slice input)
{
    struct slice code = slice_sub(input, 0, 3);
    return slice_starts(SLICE("421"), code) || slice_starts(SLICE("221"), code);
}

/* The text went out with the envelope, so its answer may stand behind the envelope's at once. But with more
 * answers than commands any of them may answer anything, and this one the message before a byte of it was
 * read: 250 is no promise then. Better twice than never. */
static bool is_anybodys_answer(const struct client *c)
{
    return c->txn.together && c->txn.accepted > 0 && c->spoiled && !says_goodbye(stream_input(c->stream));
}

void client_txn_final(struct client *c, const struct smtp_reply *reply)
{
    if (stream_pending(c->stream) > 0) {
        client_txn_early(c, reply);
        return;
    }
    if (is_anybodys_answer(c)) {
        client_fail(c, CLIENT_UNKNOWN, 5, 0, "the server gave more answers than it was asked for");
        return;
    }
    c->job->times.final += client_lap(c);
    if (c->txn.accepted > 0) {
        const struct client_reply word = client_reply_in(c->job->arena, reply);
        settle_accepted(c, outcome_of(reply->code), &word);
    }
    if (reply->code / 100 != 2)
        c->needs_reset = true;
    finish(c);
}

/* ---- the transaction is over ---- */

/* Each round settles one recipient at least, even where none was taken. */
static bool goes_on(struct client *c)
{
    return has_waiting(c) && c->txn.round < CLIENT_ROUNDS_MAX && loop_now_ms(c->loop) < c->job_due_ms;
}

static void finish(struct client *c)
{
    if (c->txn.accepted == 0 && c->txn.mail)
        c->needs_reset = true;
    if (goes_on(c)) {
        begin_round(c, c->txn.limit);
        return;
    }
    const struct client_reply word = client_word(4, 5, 3, "the server takes too few recipients at once");
    client_txn_settle(c, CLIENT_TEMPORARY, &word);
    if (c->spoiled) {
        client_fail(c, CLIENT_ACCEPTED, 5, 0, "the server said more than it was asked");
        return;
    }
    client_rest(c);
    client_txn_done(c);
}
