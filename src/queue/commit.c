/* commit.c: the end of DATA. One account: straight to the store, and 250 when the mail is in its mailbox.
 * More, or another server's: the file and one row each on disk, 250, then the deliveries. Nothing else ever
 * answers 250 to a message.
 *
 * What is submitted or leaves passes these steps, each of which may wait for another role: facts (what scan
 * found)
 * -> signature (DKIM, submissions that leave) -> sender (SRS, what is forwarded) -> file and rows. */
#include "base/clock.h"
#include "base/log.h"
#include "grammar/address.h"
#include "queue/header.h"
#include "queue/keys.h"
#include "queue/spool.h"
#include "queue/trace.h"
#include "settings/metrics.h"

/* What is found out on the way. In the transaction's arena. */
struct leaving {
    struct txn *txn;
    struct slice message_id, subject, signature, hold;
    struct slice to_sign; /* kept while the message is held for want of a key */
    bool eightbit, utf8_header;
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

/* ---- several, or another server's ---- */

static void ignore(void *ctx, enum err err, struct ipc_packet *packet)
{
    (void)ctx;
    (void)err;
    (void)packet;
}

static void on_put(void *ctx, enum err err, const struct why *why)
{
    struct txn *txn = ctx;
    (void)why;
    if (err) {
        const struct wire_queue_file file = {.queue_id = id_of(txn)};
        (void)wire_call(store_link(txn), WIRE_QUEUE_FILE_DROP, &file, QUEUE_STORE_MS, ignore, NULL);
        finish_error(txn, err, STORE_CODE_NONE);
        return;
    }
    commit_finish(txn, 250, "2.0.0", "message queued");
}

/* A forwarded message that comes back is known by the address it was forwarded for. With several recipients
 * nobody learns of the others; then only the number of Received fields ends the loop. */
static void add_forwarded_for(struct txn *txn, struct buf *out)
{
    for (size_t i = 0; txn->recipients.len == 1 && i < txn->targets.len; i++)
        if (VEC_AT(&txn->targets, struct txn_target, i)->forwarded) {
            header_add_delivered_to(out, first_recipient(txn));
            return;
        }
}

static void on_file(void *ctx, enum err err, struct ipc_packet *packet)
{
    const struct leaving *leaving = ctx;
    struct txn *txn = leaving->txn;
    struct wire_result result;
    txn->call = 0;
    err = wire_answer(err, packet, WIRE_RESULT, &result);
    if (!err)
        err = (enum err)result.err;
    if (err) {
        finish_error(txn, err, result.code);
        return;
    }
    AUTO_BUF struct buf received = buf_new(WIRE_HEADER_MAX);
    add_forwarded_for(txn, &received);
    add_received(txn, &received);
    const struct spool_message message = {.id = id_of(txn),
                                          .mail = &txn->mail,
                                          .received = buf_slice(&received),
                                          .signature = leaving->signature,
                                          .account = txn->account,
                                          .message_id = leaving->message_id,
                                          .subject = leaving->subject,
                                          .hold = leaving->hold,
                                          .to_sign = leaving->hold.len ? leaving->to_sign : SLICE_EMPTY,
                                          .size = txn->size,
                                          .eightbit = leaving->eightbit,
                                          .utf8_header = leaving->utf8_header,
                                          .recipients = &txn->recipients,
                                          .targets = &txn->targets};
    deliver_put(txn->q, &message, on_put, txn);
}

static void queue_all(struct leaving *leaving)
{
    struct txn *txn = leaving->txn;
    const struct wire_queue_file file = {.queue_id = id_of(txn), .body = txn->body};
    txn->call = wire_call(store_link(txn), WIRE_QUEUE_FILE_PUT, &file, QUEUE_DELIVER_MS, on_file, leaving);
}

/* ---- the sender it leaves with ---- */

/* Every remote target leaves with the envelope sender as it is, forwarded ones with `rewritten`. */
static void set_senders(struct txn *txn, struct slice rewritten)
{
    for (size_t i = 0; i < txn->targets.len; i++) {
        struct txn_target *target = VEC_AT(&txn->targets, struct txn_target, i);
        if (!target->local)
            target->sender = target->forwarded ? rewritten : txn->mail.sender;
    }
}

static void on_srs(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct leaving *leaving = ctx;
    struct txn *txn = leaving->txn;
    struct wire_srs_address made;
    err = wire_answer(err, packet, WIRE_SRS_ADDRESS, &made);
    if (!err)
        err = (enum err)made.err;
    if (err) {
        finish_error(txn, ERR_LATER, STORE_CODE_NONE);
        return;
    }
    set_senders(txn, arena_dup(txn->arena, made.address));
    queue_all(leaving);
}

/* Only a stranger's sender of a message that an alias sends on is rewritten: our own domains allow us. */
static bool needs_srs(const struct txn *txn)
{
    const struct queue *q = txn->q;
    if (!q->settings->srs.domain.len || !txn->mail.sender.len ||
        directory_is_domain(q->table->table, address_domain_of(txn->mail.sender)))
        return false;
    for (size_t i = 0; i < txn->targets.len; i++)
        if (VEC_AT(&txn->targets, struct txn_target, i)->forwarded)
            return true;
    return false;
}

static void choose_sender(struct leaving *leaving)
{
    struct txn *txn = leaving->txn;
    set_senders(txn, txn->mail.sender);
    if (!needs_srs(txn)) {
        queue_all(leaving);
        return;
    }
    const struct wire_srs message = {.address = txn->mail.sender};
    (void)wire_call(role_link(txn->q->run, ROLE_AUTH), WIRE_SRS, &message, QUEUE_STORE_MS, on_srs, leaving);
}

/* ---- the signature ---- */

static void on_signed(void *ctx, enum err err, struct slice header, struct slice why)
{
    struct leaving *leaving = ctx;
    struct txn *txn = leaving->txn;
    if (err && err != ERR_REFUSED) {
        finish_error(txn, ERR_LATER, STORE_CODE_NONE);
        return;
    }
    if (err)
        leaving->hold = arena_dup(txn->arena, why.len ? why : SLICE("no key may sign it"));
    leaving->signature = arena_dup(txn->arena, header);
    choose_sender(leaving);
}

static bool leaves(const struct txn *txn)
{
    for (size_t i = 0; i < txn->targets.len; i++)
        if (!VEC_AT(&txn->targets, struct txn_target, i)->local)
            return true;
    return false;
}

/* Who wants to hear that it was delivered is told by way of the queue. */
static bool one_account(const struct txn *txn)
{
    enum { NOTIFY_SUCCESS = 2 };
    if (txn->targets.len != 1)
        return false;
    const struct txn_target *target = VEC_AT(&txn->targets, struct txn_target, 0);
    const struct txn_recipient *to = VEC_AT(&txn->recipients, struct txn_recipient, target->recipient);
    return target->local && !(to->notify & NOTIFY_SUCCESS && txn->mail.sender.len);
}

/* It came back: we wrote this Delivered-To when we sent it on. */
static bool goes_in_circles(const struct txn *txn, struct slice delivered_to)
{
    struct slice before;
    while (wire_strings_take(&delivered_to, &before))
        for (size_t i = 0; i < txn->targets.len; i++) {
            const struct txn_target *target = VEC_AT(&txn->targets, struct txn_target, i);
            if (target->forwarded &&
                slice_ieq(VEC_AT(&txn->recipients, struct txn_recipient, target->recipient)->address, before))
                return true;
        }
    return false;
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

/* The message is known: what has to be decided before it is written is. */
static void with_facts(struct txn *txn, const struct wire_body_facts *facts)
{
    txn->size = facts->size;
    if (txn->submission && !from_allowed(txn, facts->from)) {
        commit_finish(txn, 550, "5.7.1", "the From address is not one of yours");
        return;
    }
    if (goes_in_circles(txn, facts->delivered_to)) {
        commit_finish(txn, 554, "5.4.6", "mail loop: this message was forwarded by us before");
        return;
    }
    if (one_account(txn)) {
        deliver_one(txn);
        return;
    }
    struct leaving *leaving = ARENA_NEW(txn->arena, struct leaving);
    *leaving = (struct leaving){.txn = txn,
                                .message_id = arena_dup(txn->arena, facts->message_id),
                                .subject = arena_dup(txn->arena, header_subject(facts->subject)),
                                .eightbit = facts->eightbit,
                                .utf8_header = facts->utf8_header};
    if (!txn->submission || !leaves(txn)) {
        choose_sender(leaving);
        return;
    }
    const struct keys_facts signing = {.from = facts->from,
                                       .hash = facts->dkim_hash,
                                       .names = facts->dkim_names,
                                       .fields = facts->dkim_fields};
    if (txn->q->settings->dkim_missing == SETTINGS_DKIM_HOLD) {
        AUTO_BUF struct buf kept = buf_new(WIRE_BLOB_MAX);
        keys_facts_add(&kept, &signing);
        leaving->to_sign = arena_dup(txn->arena, buf_slice(&kept));
    }
    (void)keys_sign(txn->q, &signing, on_signed, leaving);
}

static void on_facts(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct txn *txn = ctx;
    struct wire_body_facts facts;
    txn->call = 0;
    err = wire_answer(err, packet, WIRE_BODY_FACTS, &facts);
    if (!err)
        err = (enum err)facts.err;
    if (err)
        finish_error(txn, err, STORE_CODE_NONE);
    else
        with_facts(txn, &facts);
}

bool txn_on_commit(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct queue *q = ctx;
    const struct wire_queue_commit *m = message;
    struct txn *txn = txn_find(q, m->txn);
    (void)link;
    if (!packet->request || (txn && txn->committing) || m->body & WIRE_BODY_OF_QUEUE)
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
    } else if (one_account(txn) && !txn->submission) {
        deliver_one(txn);
    } else {
        const struct wire_body_info info = {.body = m->body};
        txn->call = wire_call(store_link(txn), WIRE_BODY_INFO, &info, QUEUE_STORE_MS, on_facts, txn);
    }
    return true;
}
