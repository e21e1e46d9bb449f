/* cmd_rcpt.c: RCPT (RFC 5321 section 4.1.1.3): the queue knows the addresses; its reply is passed on.
 * Pipelined RCPTs are asked for together, their replies go out in the order of the commands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "smtp/session.h"

static struct smtp_rcpt_call *call_at(struct smtp_txn *txn, unsigned nth)
{
    return &txn->calls[(txn->call_at + nth) % SMTP_RCPT_AHEAD];
}

static void count(struct smtp_session *s, unsigned code)
{
    if (code / 100 == 2) {
        s->txn.accepted++;
        return;
    }
    s->txn.refused++;
    if (s->txn.accepted < s->smtp->settings->limits.recipients)
        s->refused++;
    else
        s->excess++; /* a long list that the client will split (RFC 5321 section 4.5.3.1.10) */
}

static void send_reply(struct smtp_session *s, struct slice address, const struct wire_smtp_reply *r)
{
    count(s, r->code);
    smtp_send_wire(s, r);
    smtp_limit_refused(s, address, r);
    if (r->code / 100 != 2 && s->excess <= 1)
        smtp_report_rejected(s, "RCPT", address, r->code, r->enhanced, r->text);
    if (r->code / 100 == 2 && s->txn.first_rcpt.len == 0)
        s->txn.first_rcpt = arena_dup(s->txn_arena, address);
}

/* Replies of all calls at the front that are answered. */
static void send_answered(struct smtp_session *s)
{
    struct smtp_txn *txn = &s->txn;
    while (txn->call_count && call_at(txn, 0)->request == 0) {
        struct smtp_rcpt_call *call = call_at(txn, 0);
        txn->call_at = (txn->call_at + 1) % SMTP_RCPT_AHEAD;
        txn->call_count--;
        send_reply(s, slice_make(call->address, call->address_len), &call->reply);
        free(call->late);
        call->late = NULL;
    }
    if (txn->call_count)
        return;
    s->waits = SMTP_WAITS_NOT;
    if (txn->accepted && s->state == SMTP_STATE_MAIL)
        smtp_session_enter(s, SMTP_STATE_RCPT);
}

/* An answer that came before its turn outlives its packet. */
static void keep_late(struct smtp_rcpt_call *call)
{
    struct wire_smtp_reply *r = &call->reply;
    call->late = mem_alloc(r->enhanced.len + r->text.len + 1);
    if (r->enhanced.len)
        memcpy(call->late, r->enhanced.ptr, r->enhanced.len);
    if (r->text.len)
        memcpy(call->late + r->enhanced.len, r->text.ptr, r->text.len);
    r->text = slice_make(call->late + r->enhanced.len, r->text.len);
    r->enhanced = slice_make(call->late, r->enhanced.len);
}

static void on_rcpt(void *ctx, enum err err, struct ipc_packet *packet)
{
    static const struct wire_smtp_reply later = {.code = 451,
                                                 .enhanced = {(const uint8_t *)"4.3.0", 5},
                                                 .text = {(const uint8_t *)"Try again later", 15}};
    struct smtp_rcpt_call *call = ctx;
    struct smtp_session *s = call->session;
    if (wire_answer(err, packet, WIRE_SMTP_REPLY, &call->reply) != ERR_OK || call->reply.code < 200 ||
        call->reply.code > 599)
        call->reply = later;
    call->request = 0;
    if (call != call_at(&s->txn, 0)) {
        keep_late(call);
        return;
    }
    send_answered(s);
    if (smtp_session_is_hopeless(s))
        smtp_session_close(s, "4.7.0", "Too many errors");
    smtp_session_continue(s);
}

static struct smtp_rcpt_call *call_new(struct smtp_session *s, struct slice address)
{
    struct smtp_txn *txn = &s->txn;
    if (!txn->calls)
        txn->calls = ARENA_ARRAY(s->txn_arena, struct smtp_rcpt_call, SMTP_RCPT_AHEAD);
    struct smtp_rcpt_call *call = call_at(txn, txn->call_count++);
    call->session = s;
    call->request = 0;
    call->late = NULL;
    call->address_len = address.len < sizeof call->address ? address.len : sizeof call->address;
    if (address.len)
        memcpy(call->address, address.ptr, call->address_len);
    return call;
}

void smtp_rcpt_refuse(struct smtp_session *s, struct slice address, unsigned code, const char *status,
                      const char *text)
{
    const struct wire_smtp_reply r = {.code = code, .enhanced = slice_of(status), .text = slice_of(text)};
    if (s->txn.call_count == 0) {
        send_reply(s, address, &r);
        return;
    }
    struct smtp_rcpt_call *call = call_new(s, address);
    call->reply = r;
    keep_late(call);
}

static void ask(struct smtp_session *s, const struct smtp_rcpt *rcpt)
{
    AUTO_BUF struct buf orcpt = buf_new(WIRE_NAME_MAX);
    if (rcpt->orcpt.len)
        buf_addf(&orcpt, "%.*s;%.*s", SLICE_ARG(rcpt->orcpt_type), SLICE_ARG(rcpt->orcpt));
    const struct wire_queue_rcpt request = {
        .txn = s->txn.id, .notify = rcpt->notify, .address = rcpt->to.text, .orcpt = buf_slice(&orcpt)};
    struct smtp_rcpt_call *call = call_new(s, rcpt->to.text);
    s->waits = SMTP_WAITS_RCPT;
    call->request = wire_call(s->smtp->queue, WIRE_QUEUE_RCPT, &request, SMTP_QUEUE_MS, on_rcpt, call);
}

/* In the words in which the queue refuses whom it does not know. */
static void refuse_trap(struct smtp_session *s, struct slice to)
{
    char text[ADDRESS_MAX + 32];
    (void)snprintf(text, sizeof text, "<%.*s>: no such user here", SLICE_ARG(slice_sub(to, 0, ADDRESS_MAX)));
    smtp_rcpt_refuse(s, to, 550, "5.1.1", text);
}

void smtp_cmd_rcpt(struct smtp_session *s, const struct smtp_command *command)
{
    const struct smtp_txn *txn = &s->txn;
    struct slice to = command->rcpt.to.text;
    struct smtp_reply_text limit;
    if (txn->accepted + txn->call_count >= s->smtp->settings->limits.recipients)
        smtp_rcpt_refuse(s, to, 452, "4.5.3", "Too many recipients");
    else if (!smtp_txn_is_alive(s))
        smtp_rcpt_refuse(s, to, 451, "4.3.0", "Try again later");
    else if (!smtp_limit_rcpt(s, &limit))
        smtp_rcpt_refuse(s, to, limit.code, limit.status, limit.text);
    else if (smtp_limit_is_trap(s, to))
        refuse_trap(s, to);
    else
        ask(s, &command->rcpt);
}
