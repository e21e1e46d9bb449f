/* txn.c: the transaction of a session, and what must be told when it ends early. Called by session.c and
 * commands. */
#include <stdlib.h>

#include "smtp/session.h"

static void cancel_calls(struct smtp_session *s)
{
    struct smtp_txn *txn = &s->txn;
    for (unsigned i = 0; i < txn->call_count; i++) {
        struct smtp_rcpt_call *call = &txn->calls[(txn->call_at + i) % SMTP_RCPT_AHEAD];
        ipc_cancel(s->smtp->queue, call->request);
        free(call->late);
    }
    switch (s->waits) {
    case SMTP_WAITS_MAIL:
    case SMTP_WAITS_COMMIT:
        ipc_cancel(s->smtp->queue, s->request);
        break;
    case SMTP_WAITS_BODY:
        ipc_cancel(s->smtp->store, s->request);
        break;
    case SMTP_WAITS_NOT:
    case SMTP_WAITS_RCPT:
    case SMTP_WAITS_AUTH:
        break;
    }
    if (s->waits != SMTP_WAITS_AUTH)
        s->waits = SMTP_WAITS_NOT;
    s->request = 0;
}

bool smtp_txn_is_alive(const struct smtp_session *s)
{
    return s->txn.epoch == s->smtp->queue_epoch;
}

void smtp_txn_done(struct smtp_session *s)
{
    cancel_calls(s);
    smtp_limit_text(s, s->body.data.size); /* also of a message that was given up */
    buf_free(&s->body.chunk);
    s->body = (struct smtp_body){.chunk = buf_new(SMTP_CHUNK)};
    s->txn = (struct smtp_txn){0};
    arena_reset(s->txn_arena);
}

void smtp_txn_reset(struct smtp_session *s)
{
    /* Behind QUEUE_COMMIT message and body are the queue's: it finishes them whether we listen or not. */
    bool handed_over = s->waits == SMTP_WAITS_COMMIT;
    if (!handed_over) {
        smtp_body_drop(s);
        if (s->txn.id && smtp_txn_is_alive(s)) {
            const struct wire_queue_reset reset = {.txn = s->txn.id};
            enum err ignored = wire_send(s->smtp->queue, WIRE_QUEUE_RESET, &reset);
            (void)ignored; /* a queue that is away has forgotten it already */
        }
    }
    smtp_txn_done(s);
}
