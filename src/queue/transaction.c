/* transaction.c: MAIL, RSET and the life of a transaction of an SMTP session. Messages come from smtp, which
 * parses strangers: a transaction it does not know (we were restarted) is "try later", a grant that was never
 * issued condemns it. RCPT is in recipient.c, the end of DATA in commit.c. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "queue/context.h"
#include "settings/metrics.h"

static struct ipc_link *smtp_link(struct queue *q)
{
    return role_link(q->run, ROLE_SMTP);
}

void queue_reply(struct queue *q, uint32_t request, uint32_t code, const char *enhanced, const char *text)
{
    const struct wire_smtp_reply reply = {
        .code = code, .enhanced = slice_of(enhanced), .text = slice_of(text)};
    if (request)
        wire_reply(smtp_link(q), request, WIRE_SMTP_REPLY, false, &reply);
}

void txn_reply(struct txn *txn, uint32_t request, uint32_t code, const char *enhanced, struct slice text)
{
    const struct wire_smtp_reply reply = {.code = code,
                                          .enhanced = slice_of(enhanced),
                                          .text = slice_sub(text, 0, WIRE_TEXT_MAX),
                                          .id = txn->committing && code < 300 ? slice_of(txn->queue_id)
                                                                              : SLICE_EMPTY};
    if (request && txn->epoch == txn->q->smtp_epoch)
        wire_reply(smtp_link(txn->q), request, WIRE_SMTP_REPLY, false, &reply);
}

struct txn *txn_find(struct queue *q, uint64_t id)
{
    return id == UINT64_MAX ? NULL : idmap_get(q->txns, id);
}

static struct txn *open_txn(struct queue *q, uint64_t id)
{
    struct list *node = list_pop_front(&q->spare);
    struct txn *txn = node ? CONTAINER_OF(node, struct txn, node) : mem_zero(1, sizeof *txn);
    if (node)
        q->spare_count--;
    struct arena *arena = txn->arena ? txn->arena : arena_new(QUEUE_TXN_ARENA_MAX);
    struct vec recipients = txn->recipients, targets = txn->targets;
    recipients.len = targets.len = 0;
    if (!recipients.item_size) {
        recipients = VEC_NEW(struct txn_recipient, QUEUE_TXN_TARGETS);
        targets = VEC_NEW(struct txn_target, QUEUE_TXN_TARGETS);
    }
    *txn = (struct txn){.q = q,
                        .arena = arena,
                        .id = id,
                        .epoch = q->smtp_epoch,
                        .recipients = recipients,
                        .targets = targets,
                        .begun_ms = loop_now_ms(q->loop)};
    list_init(&txn->checks);
    if (!idmap_put(q->txns, id, txn)) {
        list_push_back(&q->spare, &txn->node);
        q->spare_count++;
        return NULL;
    }
    list_push_back(&q->open, &txn->node);
    metric_add(METRIC_TRANSACTIONS_OPEN, 0, 1);
    return txn;
}

static void free_txn(struct txn *txn)
{
    vec_free(&txn->recipients);
    vec_free(&txn->targets);
    arena_free(&txn->arena);
    free(txn);
}

void txn_close(struct txn *txn)
{
    struct queue *q = txn->q;
    struct ipc_link *store = role_link(q->run, ROLE_STORE);
    recipient_cancel_checks(txn);
    ipc_cancel(store, txn->call);
    map_free(&txn->target_set);
    if (idmap_get(q->txns, txn->id) == txn)
        (void)idmap_remove(q->txns, txn->id);
    list_remove(&txn->node);
    metric_sub(METRIC_TRANSACTIONS_OPEN, 0, 1);
    if (q->spare_count >= QUEUE_TXN_SPARE || txn->recipients.cap > 16 || txn->targets.cap > 64) {
        free_txn(txn);
    } else {
        arena_reset(txn->arena);
        list_push_back(&q->spare, &txn->node);
        q->spare_count++;
    }
    queue_check_drained(q);
}

void txn_drop_all(struct queue *q)
{
    q->smtp_epoch++;
    LIST_EACH(&q->open, node)
    {
        struct txn *txn = CONTAINER_OF(node, struct txn, node);
        /* numbers begin anew in the next smtp; what is being written finishes by itself */
        (void)idmap_remove(q->txns, txn->id);
        if (!txn->committing)
            txn_close(txn);
    }
}

void txn_free_spares(struct queue *q)
{
    for (struct list *node; (node = list_pop_front(&q->spare)) != NULL;)
        free_txn(CONTAINER_OF(node, struct txn, node));
    q->spare_count = 0;
}

/* Whether the submitter may use the envelope sender; the null path is always fine. */
static bool sender_allowed(struct txn *txn)
{
    struct queue *q = txn->q;
    if (directory_owns(q->table->table, txn->account, txn->mail.sender))
        return true;
    bool enforce = q->settings->sender_identity == SETTINGS_IDENTITY_ENFORCE;
    log_info("queue.sender", LOG_STR("session", txn->mail.session), LOG_STR("client", txn->mail.client),
             LOG_STR("user", txn->account), LOG_STR("from", txn->mail.sender), LOG_BOOL("refused", enforce));
    return !enforce;
}

static bool begin_submission(struct txn *txn, uint32_t request)
{
    struct queue *q = txn->q;
    struct slice account;
    enum err err = queue_grants_find(&q->grants, &txn->mail.grant, &account);
    if (err == ERR_BAD)
        return false;
    if (err == ERR_REFUSED) {
        txn_reply(txn, request, 421, "4.7.0", SLICE("the login is over, please log in again"));
        txn_close(txn);
        return true;
    }
    if (err || !q->table) {
        txn_reply(txn, request, 451, "4.3.0", SLICE("temporary failure, try again later"));
        txn_close(txn);
        return true;
    }
    txn->submission = true;
    txn->account = arena_dup(txn->arena, account);
    if (!sender_allowed(txn)) {
        AUTO_BUF struct buf text = buf_new(WIRE_TEXT_MAX);
        buf_addf(&text, "<%.*s>: not an address of %.*s", SLICE_ARG(txn->mail.sender), SLICE_ARG(account));
        txn_reply(txn, request, 553, "5.7.1", buf_slice(&text));
        metric_add(METRIC_MESSAGES_REFUSED, METRIC_SUBMISSION, 1);
        txn_close(txn);
        return true;
    }
    txn_reply(txn, request, 250, "2.1.0", SLICE("ok"));
    return true;
}

bool txn_on_mail(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct queue *q = ctx;
    const struct wire_queue_mail *m = message;
    (void)link;
    if (m->txn == UINT64_MAX || txn_find(q, m->txn))
        return false; /* numbers are never reused */
    struct txn *txn = q->draining ? NULL : open_txn(q, m->txn);
    if (!txn) {
        queue_reply(q, packet->request, 451, "4.3.2", "too busy, try again later");
        return true;
    }
    /* one copy of the packet holds every text of it */
    struct slice copy = arena_dup(txn->arena, packet->body);
    if (wire_decode(WIRE_QUEUE_MAIL, copy, &txn->mail))
        return false;
    if (!grant_is_none(&m->grant))
        return begin_submission(txn, packet->request);
    if (packet->request)
        txn_reply(txn, packet->request, 250, "2.1.0", SLICE("ok"));
    return true;
}

bool txn_on_reset(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct queue *q = ctx;
    const struct wire_queue_reset *m = message;
    struct txn *txn = txn_find(q, m->txn);
    (void)link;
    (void)packet;
    if (txn && !txn->committing)
        txn_close(txn);
    return true;
}
