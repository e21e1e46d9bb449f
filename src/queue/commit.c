/* commit.c: the end of DATA. One account: straight to the store, and 250 when the mail is in its mailbox.
 * More: the file and one row each on disk, 250, then the deliveries. Nothing else ever answers 250 to a
 * message. */
#include "base/clock.h"
#include "base/log.h"
#include "queue/header.h"
#include "queue/spool.h"
#include "queue/trace.h"
#include "settings/metrics.h"

struct pending_put {
    struct txn *txn;
    struct queued *queued;
};

static struct ipc_link *store_link(struct txn *txn)
{
    return role_link(txn->q->run, ROLE_STORE);
}

static struct slice id_of(const struct txn *txn)
{
    return slice_make(txn->queue_id, QUEUE_ID_LEN);
}

static struct slice first_recipient(const struct txn *txn)
{
    return txn->recipients.len ? VEC_AT(&txn->recipients, struct txn_recipient, 0)->address : SLICE_EMPTY;
}

/* ---- the answer ---- */

static void record(const struct txn *txn, uint32_t code, const char *enhanced, const char *text)
{
    const struct wire_queue_mail *mail = &txn->mail;
    uint64_t took = loop_now_ms(txn->q->loop) - txn->begun_ms;
    AUTO_BUF struct buf event = buf_new(TRACE_EVENT_MAX + 4 * WIRE_NAME_MAX);
    buf_addf(&event, "%u %s %s from=<%.*s> to=<%.*s>", code, enhanced, text, SLICE_ARG(mail->sender),
             SLICE_ARG(first_recipient(txn)));
    if (txn->recipients.len > 1)
        buf_addf(&event, " and %zu more", txn->recipients.len - 1);
    buf_addf(&event, " client=%.*s helo=%.*s proto=%.*s", SLICE_ARG(mail->client), SLICE_ARG(mail->helo),
             SLICE_ARG(mail->protocol));
    if (txn->account.len)
        buf_addf(&event, " user=%.*s", SLICE_ARG(txn->account));
    buf_addf(&event, " took=%ums", (unsigned)took);
    trace_add(txn->q->trace, mail->session, id_of(txn), buf_slice(&event));
    log_debug(code < 300 ? "queue.accepted" : "queue.refused", LOG_STR("id", id_of(txn)),
              LOG_STR("session", mail->session), LOG_STR("client", mail->client),
              LOG_STR("user", txn->account), LOG_STR("from", mail->sender),
              LOG_STR("to", first_recipient(txn)), LOG_U64("recipients", txn->recipients.len),
              LOG_U64("size", txn->size), LOG_U64("code", code), LOG_CSTR("reply", text),
              LOG_MS("took", took));
}

void commit_finish(struct txn *txn, uint32_t code, const char *enhanced, const char *text)
{
    record(txn, code, enhanced, text);
    metric_add(code < 300 ? METRIC_MESSAGES_ACCEPTED : METRIC_MESSAGES_REFUSED,
               txn->submission ? METRIC_SUBMISSION : METRIC_MX, 1);
    if (code < 300)
        metric_observe(METRIC_DELIVERY_SECONDS, 0, (loop_now_ms(txn->q->loop) - txn->begun_ms) * 1000000);
    txn_reply(txn, txn->commit_request, code, enhanced, slice_of(text));
    txn_close(txn);
}

static void finish_error(struct txn *txn, enum err err, uint32_t code)
{
    if (code == STORE_CODE_OVERQUOTA)
        commit_finish(txn, 452, "4.2.2", "the mailbox is full");
    else if (err == ERR_BAD)
        commit_finish(txn, 554, "5.6.0", "the message cannot be stored");
    else if (txn->q->space_low)
        commit_finish(txn, 452, "4.3.1", "out of disk space, try again later");
    else
        commit_finish(txn, 451, "4.3.0", "temporary failure, try again later");
}

/* ---- our header block ---- */

static void add_received(struct txn *txn, struct buf *out)
{
    const struct header_facts facts = {.mail = &txn->mail,
                                       .submission = txn->submission,
                                       .hostname = txn->q->settings->hostname,
                                       .id = id_of(txn),
                                       .only_to =
                                           txn->recipients.len == 1 ? first_recipient(txn) : SLICE_EMPTY,
                                       .now = clock_unix_s()};
    header_add_received(out, &facts);
}

/* ---- one account ---- */

static void on_delivered(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct txn *txn = ctx;
    struct wire_delivered d;
    txn->call = 0;
    err = wire_answer(err, packet, WIRE_DELIVERED, &d);
    if (!err)
        err = (enum err)d.err;
    metric_add(METRIC_DELIVERIES, err ? METRIC_LATER : METRIC_OK, 1);
    if (!err) {
        commit_finish(txn, 250, "2.0.0", "message delivered");
        return;
    }
    log_warn("queue.delivery", LOG_STR("id", id_of(txn)), LOG_STR("session", txn->mail.session),
             LOG_CSTR("err", err_name(err)), LOG_STR("why", d.text));
    finish_error(txn, err, d.code);
}

static void deliver_one(struct txn *txn)
{
    const struct txn_target *target = VEC_AT(&txn->targets, struct txn_target, 0);
    AUTO_BUF struct buf header = buf_new(WIRE_HEADER_MAX);
    header_add_delivery(&header, txn->mail.sender, target->address);
    add_received(txn, &header);
    const struct wire_deliver deliver = {.queue_id = id_of(txn),
                                         .body = txn->body,
                                         .account = target->address,
                                         .header = buf_slice(&header),
                                         .session = txn->mail.session};
    txn->call = wire_call(store_link(txn), WIRE_DELIVER, &deliver, QUEUE_DELIVER_MS, on_delivered, txn);
}

/* ---- several ---- */

static void ignore(void *ctx, enum err err, struct ipc_packet *packet)
{
    (void)ctx;
    (void)err;
    (void)packet;
}

static void on_put(void *ctx, enum err err, const struct why *why)
{
    struct pending_put *put = ctx;
    struct txn *txn = put->txn;
    struct queued *queued = put->queued;
    (void)why;
    if (err) {
        const struct wire_queue_file file = {.queue_id = queued->id};
        (void)wire_call(store_link(txn), WIRE_QUEUE_FILE_DROP, &file, QUEUE_STORE_MS, ignore, NULL);
        deliver_free(queued);
        finish_error(txn, err, STORE_CODE_NONE);
        return;
    }
    metric_add(METRIC_QUEUE_MESSAGES, 0, 1);
    struct queue *q = txn->q;
    commit_finish(txn, 250, "2.0.0", "message queued");
    deliver_begin(q, queued);
}

static struct queued *make_queued(struct txn *txn)
{
    struct queued *queued = deliver_new(txn->q);
    struct arena *arena = queued->arena;
    AUTO_BUF struct buf received = buf_new(WIRE_HEADER_MAX);
    add_received(txn, &received);
    queued->id = arena_dup(arena, id_of(txn));
    queued->sender = arena_dup(arena, txn->mail.sender);
    queued->session = arena_dup(arena, txn->mail.session);
    queued->received = arena_dup(arena, buf_slice(&received));
    queued->count = (uint32_t)txn->targets.len;
    queued->last_batch = true;
    queued->rows = ARENA_ARRAY(arena, struct queued_row, queued->count);
    for (uint32_t i = 0; i < queued->count; i++)
        queued->rows[i] = (struct queued_row){
            .ordinal = i, .account = arena_dup(arena, VEC_AT(&txn->targets, struct txn_target, i)->address)};
    return queued;
}

static void on_file(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct txn *txn = ctx;
    struct wire_result result;
    txn->call = 0;
    err = wire_answer(err, packet, WIRE_RESULT, &result);
    if (!err)
        err = (enum err)result.err;
    if (err) {
        finish_error(txn, err, result.code);
        return;
    }
    struct pending_put *put = ARENA_NEW(txn->arena, struct pending_put);
    *put = (struct pending_put){.txn = txn, .queued = make_queued(txn)};
    const struct spool_message message = {.queued = put->queued,
                                          .mail = &txn->mail,
                                          .account = txn->account,
                                          .size = txn->size,
                                          .created_unix_ms = clock_unix_ms(),
                                          .recipients = &txn->recipients,
                                          .targets = &txn->targets};
    spool_put(txn->q->spool, &message, on_put, put);
}

static void queue_all(struct txn *txn)
{
    const struct wire_queue_file file = {.queue_id = id_of(txn), .body = txn->body};
    txn->call = wire_call(store_link(txn), WIRE_QUEUE_FILE_PUT, &file, QUEUE_DELIVER_MS, on_file, txn);
}

static void route(struct txn *txn)
{
    if (txn->targets.len == 1)
        deliver_one(txn);
    else
        queue_all(txn);
}

/* ---- submission: who it says it is from ---- */

/* Every address of the header From must be the submitter's. A message without one claims nothing. */
static bool from_allowed(struct txn *txn, struct slice list)
{
    struct queue *q = txn->q;
    bool enforce = q->settings->sender_identity == SETTINGS_IDENTITY_ENFORCE, fine = true;
    struct slice from;
    while (wire_strings_take(&list, &from)) {
        if (q->table && directory_owns(q->table->table, txn->account, from))
            continue;
        log_info("queue.header-from", LOG_STR("id", id_of(txn)), LOG_STR("session", txn->mail.session),
                 LOG_STR("user", txn->account), LOG_STR("from", from), LOG_BOOL("refused", enforce));
        fine = false;
    }
    return fine || !enforce;
}

static void on_facts(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct txn *txn = ctx;
    struct wire_body_facts facts;
    txn->call = 0;
    err = wire_answer(err, packet, WIRE_BODY_FACTS, &facts);
    if (!err)
        err = (enum err)facts.err;
    if (err) {
        finish_error(txn, err, STORE_CODE_NONE);
        return;
    }
    txn->size = facts.size;
    if (from_allowed(txn, facts.from))
        route(txn);
    else
        commit_finish(txn, 550, "5.7.1", "the From address is not one of yours");
}

bool txn_on_commit(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct queue *q = ctx;
    const struct wire_queue_commit *m = message;
    struct txn *txn = txn_find(q, m->txn);
    (void)link;
    if (!packet->request || (txn && txn->committing))
        return false;
    if (!txn || !q->table || !list_empty(&txn->checks)) {
        queue_reply(q, packet->request, 451, "4.3.0", "temporary failure, try again later");
        if (txn)
            txn_close(txn);
        return true;
    }
    txn->committing = true;
    txn->commit_request = packet->request;
    txn->body = m->body;
    txn->size = txn->mail.size;
    txn->begun_ms = loop_now_ms(q->loop);
    queue_id_next(&q->ids, clock_unix_ms(), txn->queue_id);
    if (txn->targets.len == 0) {
        commit_finish(txn, 554, "5.5.1", "no valid recipients");
    } else if (txn->submission) {
        const struct wire_body_info info = {.body = m->body};
        txn->call = wire_call(store_link(txn), WIRE_BODY_INFO, &info, QUEUE_STORE_MS, on_facts, txn);
    } else {
        route(txn);
    }
    return true;
}
