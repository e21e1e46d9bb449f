/* send.c: one transaction: the file from the store, WIRE_RELAY_SEND, and what comes of each recipient.
 * Results come from relay, which talks to strangers: rows they do not name are tried again, names they invent
 * are ignored. Called by schedule.c. */
#include "queue/send.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "queue/keys.h"
#include "queue/settle.h"
#include "queue/spool.h"
#include "queue/trace.h"
#include "settings/metrics.h"
#include "wire/relay.h"

enum { FORM_NONE, FORM_OPENING, FORM_OPEN };

/* One that failed before relay was asked, or all at once. */
struct verdict {
    enum relay_outcome outcome;
    uint32_t code;
    const char *enhanced;
    struct slice text;
    enum dsn_reason reason;
};

static struct queued_form *form_of(const struct job *job)
{
    return &job->message->forms[job->seven_bit ? 1 : 0];
}

static void end_job(struct job *job, enum destination_end end, bool login)
{
    struct queued *message = job->message;
    message->sending--;
    if (!message->sending)
        send_close(message);
    schedule_ended(job, end, login);
}

void send_close(struct queued *message)
{
    for (size_t i = 0; i < ARRAY_LEN(message->forms); i++) {
        struct queued_form *form = &message->forms[i];
        io_close(&form->fd);
        form->state = FORM_NONE;
    }
}

/* ---- telling ---- */

static const char *const outcome_names[] = {
    [RELAY_OUTCOME_SENT] = "sent",       [RELAY_OUTCOME_LATER] = "deferred",
    [RELAY_OUTCOME_REFUSED] = "bounced", [RELAY_OUTCOME_SEVEN_BIT] = "7bit",
    [RELAY_OUTCOME_LOGIN] = "held back", [RELAY_OUTCOME_UNKNOWN] = "deferred"};

static void tell(const struct job *job, const struct queued_row *row, enum relay_outcome outcome)
{
    const struct queued *m = job->message;
    struct queue *q = job->q;
    uint64_t now = queue_now_ms(q), delay = now > m->created_ms ? now - m->created_ms : 0;
    uint64_t took = loop_now_ms(q->loop) - job->begun_ms;
    static const char *const events[] = {
        [RELAY_OUTCOME_SENT] = "queue.sent",       [RELAY_OUTCOME_LATER] = "queue.deferred",
        [RELAY_OUTCOME_REFUSED] = "queue.bounced", [RELAY_OUTCOME_SEVEN_BIT] = "queue.seven-bit",
        [RELAY_OUTCOME_LOGIN] = "queue.deferred",  [RELAY_OUTCOME_UNKNOWN] = "queue.deferred"};
    log_info(events[outcome], LOG_STR("id", m->id), LOG_STR("session", m->session),
             LOG_STR("to", row->target), LOG_STR("from", row->sender), LOG_STR("route", job->key),
             LOG_STR("remote", row->remote), LOG_U64("code", row->code), LOG_STR("status", row->enhanced),
             LOG_STR("reply", row->text), LOG_U64("attempts", row->attempts + 1), LOG_MS("delay", delay),
             LOG_MS("took", took));
    AUTO_BUF struct buf text = buf_new(4 * TRACE_EVENT_MAX);
    buf_addf(&text, "%s to %.*s by %.*s", outcome_names[outcome], SLICE_ARG(row->target),
             SLICE_ARG(job->key));
    if (row->remote.len)
        buf_addf(&text, " at %.*s", SLICE_ARG(row->remote));
    if (row->code)
        buf_addf(&text, ": %u", row->code);
    buf_addf(&text, " %.*s %.*s delay=%ums took=%ums", SLICE_ARG(row->enhanced), SLICE_ARG(row->text),
             (unsigned)delay, (unsigned)took);
    trace_add(q->trace, m->session, m->id, slice_sub(buf_slice(&text), 0, TRACE_EVENT_MAX));
    metric_add(METRIC_QUEUE_OUTCOMES, outcome, 1);
}

/* ---- one row ---- */

static uint64_t wait_of(const struct queue *q, const struct queued_row *row)
{
    return destination_backoff(q->settings->queue.retry_first, q->settings->queue.retry_max, row->attempts,
                               random_u64());
}

static void settle_row(struct settling *s, const struct job *job, struct queued_row *row,
                       enum relay_outcome outcome, bool dsn, enum dsn_reason reason)
{
    tell(job, row, outcome);
    switch (outcome) {
    case RELAY_OUTCOME_SENT:
        settle_done(s, row, !dsn, DSN_RELAYED);
        return;
    case RELAY_OUTCOME_REFUSED:
        row->attempts++;
        settle_failed(s, row, reason);
        return;
    case RELAY_OUTCOME_LOGIN:
        settle_stay(s, row, queue_now_ms(job->q)); /* another relay may take over */
        return;
    case RELAY_OUTCOME_LATER:
    case RELAY_OUTCOME_UNKNOWN:
    case RELAY_OUTCOME_SEVEN_BIT:
    case RELAY_OUTCOME_COUNT:
        break;
    }
    (void)settle_later(s, row, wait_of(job->q, row));
}

/* What the relay took of its quota; lost answers count: it may have taken them. */
static void settle_quota(struct settling *s, const struct job *job, uint32_t used)
{
    if (job->route.kind != RELAY_ROUTE_RELAY)
        return;
    int index = settings_relay_by_name(job->q->settings, job->route.name);
    if (index >= 0)
        relay_quota_settle(job->q, (uint32_t)index, job->taken, used, &s->usage);
}

/* All rows alike; relay was not asked, or did not answer. */
static void fail_all(struct job *job, const struct verdict *verdict, enum destination_end end)
{
    struct settling s;
    settle_begin(&s, job->message);
    for (uint32_t i = 0; i < job->count; i++) {
        settle_answer(job->message, job->rows[i], verdict->code, slice_of(verdict->enhanced), verdict->text,
                      SLICE_EMPTY);
        settle_row(&s, job, job->rows[i], verdict->outcome, false, verdict->reason);
    }
    settle_quota(&s, job, verdict->outcome == RELAY_OUTCOME_UNKNOWN ? job->count : 0);
    settle_finish(&s);
    end_job(job, end, false);
}

/* ---- results ---- */

/* Results usually come in the order of the rows. */
static struct queued_row *row_of(const struct job *job, uint32_t ordinal, uint32_t *at)
{
    for (uint32_t i = 0; i < job->count; i++) {
        struct queued_row *row = job->rows[(*at + i) % job->count];
        if (row->ordinal != ordinal)
            continue;
        *at = (*at + i + 1) % job->count;
        return row->state == ROW_RUNNING ? row : NULL;
    }
    return NULL;
}

static void note_attempt(struct settling *s, const struct job *job, const struct wire_relay_sent *sent,
                         enum relay_outcome outcome)
{
    if (!sent->policy.len)
        return;
    s->attempted = true;
    s->attempt = (struct spool_attempt){.domain = job->route.kind == RELAY_ROUTE_RELAY ? job->route.name
                                                                                       : job->route.host,
                                        .mx = sent->remote,
                                        .policy = sent->policy,
                                        .tls_result = sent->tls_result,
                                        .outcome = outcome,
                                        .hour = queue_now_ms(job->q) / 3600000};
}

static void note_stages(const struct wire_relay_sent *sent)
{
    const uint32_t ms[] = {sent->lookup_ms, sent->connect_ms, sent->session_ms, sent->data_ms};
    for (size_t i = sent->reused ? 2 : 0; i < ARRAY_LEN(ms); i++)
        metric_observe(METRIC_QUEUE_STAGE_SECONDS, i, (uint64_t)ms[i] * 1000000);
}

struct tally {
    uint32_t used, seven_bit, at;
    bool login;
    enum relay_outcome worst;
    struct queued_row **again; /* rows for the 7-bit form */
};

static void take_result(struct settling *s, struct job *job, const struct wire_relay_sent *sent,
                        const struct relay_result *result, struct tally *tally)
{
    struct queued_row *row = row_of(job, result->ordinal, &tally->at);
    if (!row)
        return;
    enum relay_outcome outcome = (enum relay_outcome)result->outcome;
    if (outcome == RELAY_OUTCOME_SEVEN_BIT && job->seven_bit)
        outcome = RELAY_OUTCOME_LATER; /* it has that form already */
    tally->used += outcome == RELAY_OUTCOME_SENT || outcome == RELAY_OUTCOME_UNKNOWN;
    tally->login |= outcome == RELAY_OUTCOME_LOGIN;
    if (outcome != RELAY_OUTCOME_SENT)
        tally->worst = outcome;
    if (outcome == RELAY_OUTCOME_SEVEN_BIT) {
        tell(job, row, outcome);
        row->state = ROW_WAITING;
        tally->again[tally->seven_bit++] = row;
        return;
    }
    settle_answer(job->message, row, result->code, result->enhanced, result->text, sent->remote);
    settle_row(s, job, row, outcome, sent->dsn != 0, DSN_REASON_NONE);
}

static void take_results(struct job *job, const struct wire_relay_sent *sent)
{
    struct settling s;
    struct slice results = sent->results;
    struct relay_result result;
    struct tally tally = {.worst = RELAY_OUTCOME_SENT};
    tally.again = mem_zero(job->count, sizeof(struct queued_row *));
    settle_begin(&s, job->message);
    while (relay_result_take(&results, &result))
        take_result(&s, job, sent, &result, &tally);
    for (uint32_t i = 0; i < job->count; i++) {
        if (job->rows[i]->state != ROW_RUNNING)
            continue;
        result = (struct relay_result){.ordinal = job->rows[i]->ordinal,
                                       .outcome = RELAY_OUTCOME_UNKNOWN,
                                       .enhanced = SLICE("4.3.0"),
                                       .text = SLICE("no result for this recipient")};
        take_result(&s, job, sent, &result, &tally);
    }
    settle_quota(&s, job, tally.used);
    note_attempt(&s, job, sent, tally.worst);
    note_stages(sent);
    settle_finish(&s);
    if (tally.seven_bit)
        schedule_again(job, tally.again, tally.seven_bit);
    free(tally.again);
    enum destination_end end = sent->scope == RELAY_SCOPE_DESTINATION ? DESTINATION_FAILED
                               : sent->slow_down                      ? DESTINATION_SLOW
                                                                      : DESTINATION_WELL;
    end_job(job, end, tally.login);
}

static void on_sent(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct job *job = ctx;
    struct wire_relay_sent sent;
    err = wire_answer(err, packet, WIRE_RELAY_SENT, &sent);
    if (!err) {
        take_results(job, &sent);
        return;
    }
    const struct verdict lost = {.outcome = RELAY_OUTCOME_UNKNOWN,
                                 .enhanced = "4.3.0",
                                 .text = SLICE("the sending part of this server was interrupted")};
    fail_all(job, &lost, DESTINATION_UNTRIED);
}

/* ---- asking relay ---- */

/* A raw 8-bit header of mail that came without SMTPUTF8 may be of any charset; no server was asked for leave
 * to write it, and the next one is not either (so does Postfix). */
static bool needs_utf8(const struct job *job)
{
    const struct queued *m = job->message;
    bool needs = (m->smtputf8 && m->utf8_header) || !slice_is_ascii(job->sender);
    for (uint32_t i = 0; i < job->count && !needs; i++)
        needs = !slice_is_ascii(job->rows[i]->target);
    return needs;
}

static void ask_relay(struct job *job)
{
    const struct queued *m = job->message;
    const struct queued_form *form = form_of(job);
    AUTO_BUF struct buf prefix = buf_new(WIRE_HEADER_MAX);
    AUTO_BUF struct buf recipients = buf_new(SEND_RECIPIENTS_BYTES + 2 * WIRE_NAME_MAX);
    buf_add(&prefix, job->seven_bit ? form->signature : m->signature);
    buf_add(&prefix, m->received);
    for (uint32_t i = 0; i < job->count; i++) {
        const struct queued_row *row = job->rows[i];
        const struct relay_recipient recipient = {
            .ordinal = row->ordinal, .notify = row->notify, .address = row->target, .orcpt = row->orcpt};
        relay_recipient_add(&recipients, &recipient);
    }
    const struct wire_relay_send send = {.route = job->route.kind,
                                         .relay = job->route.kind == RELAY_ROUTE_MAP ? job->route.tls
                                                                                     : job->route.relay,
                                         .port = job->route.port,
                                         .no_mx = job->route.no_mx,
                                         .smtputf8 = needs_utf8(job),
                                         .eightbit = (m->eightbit || m->utf8_header) && !job->seven_bit,
                                         .requiretls = m->requiretls,
                                         .ret = m->ret,
                                         .size = form->size,
                                         .host = job->route.host,
                                         .sender = job->sender,
                                         .envid = slice_sub(m->envid, 0, 256),
                                         .prefix = buf_slice(&prefix),
                                         .recipients = buf_slice(&recipients),
                                         .queue_id = m->id,
                                         .session = slice_sub(m->session, 0, 64)};
    (void)wire_call_fds(role_link(job->q->run, ROLE_RELAY), WIRE_RELAY_SEND, &send, &form->fd, 1,
                        SEND_DEADLINE_MS, on_sent, job);
}

/* ---- the file ---- */

static void go_on(struct queued_form *form)
{
    for (struct list *node; (node = list_pop_front(&form->waiters)) != NULL;)
        ask_relay(CONTAINER_OF(node, struct job, node));
}

static void fail_waiters(struct queued_form *form, const struct verdict *verdict)
{
    struct list jobs; /* the message may go with its last row */
    list_init(&jobs);
    for (struct list *node; (node = list_pop_front(&form->waiters)) != NULL;)
        list_push_back(&jobs, node);
    form->state = FORM_NONE;
    for (struct list *node; (node = list_pop_front(&jobs)) != NULL;)
        fail_all(CONTAINER_OF(node, struct job, node), verdict, DESTINATION_UNTRIED);
}

static void fail_file(struct queued_form *form, enum err err)
{
    static const struct verdict none = {.outcome = RELAY_OUTCOME_REFUSED,
                                        .enhanced = "5.3.0",
                                        .text = {(const uint8_t *)"the message's file is gone", 26},
                                        .reason = DSN_REASON_OTHER};
    static const struct verdict no_form = {
        .outcome = RELAY_OUTCOME_REFUSED,
        .enhanced = "5.6.3",
        .text = {(const uint8_t *)"the next server takes no 8-bit messages, and this one cannot be converted",
                 73},
        .reason = DSN_REASON_CONVERSION};
    static const struct verdict later = {.outcome = RELAY_OUTCOME_LATER,
                                         .enhanced = "4.3.0",
                                         .text = {(const uint8_t *)"the message could not be read", 29}};
    fail_waiters(form, err == ERR_ABSENT ? &none : err == ERR_REFUSED ? &no_form : &later);
}

static void on_signed(void *ctx, enum err err, struct slice header, struct slice why)
{
    struct queued *message = ctx;
    struct queued_form *form = &message->forms[1];
    (void)why;
    if (err) { /* also where unsigned mail is to be held: it is tried again until the key is there */
        io_close(&form->fd);
        fail_file(form, ERR_LATER);
        return;
    }
    form->signature = arena_dup(message->arena, header);
    form->state = FORM_OPEN;
    go_on(form);
}

/* Whose signature it was: d= of ours. The 7-bit form is another text; it is signed anew. */
static struct slice signing_domain(struct slice signature)
{
    ptrdiff_t at = slice_search(signature, SLICE("d="));
    while (at > 0 && !ascii_is_space(signature.ptr[at - 1]) && signature.ptr[at - 1] != ';') {
        ptrdiff_t more = slice_search(slice_from(signature, (size_t)at + 2), SLICE("d="));
        at = more < 0 ? -1 : at + 2 + more;
    }
    struct slice domain = at < 0 ? SLICE_EMPTY : slice_from(signature, (size_t)at + 2);
    ptrdiff_t end = slice_find(domain, ';');
    return end < 0 ? SLICE_EMPTY : slice_trim(slice_sub(domain, 0, (size_t)end));
}

static bool sign_again(struct queued *message, const struct wire_queue_file_fd *file)
{
    struct slice domain = signing_domain(message->signature);
    if (!domain.len)
        return false;
    AUTO_BUF struct buf address = buf_new(WIRE_NAME_MAX), from = buf_new(2 * WIRE_NAME_MAX);
    buf_addf(&address, "x@%.*s", SLICE_ARG(domain));
    wire_strings_add(&from, buf_slice(&address));
    const struct keys_facts facts = {.from = buf_slice(&from),
                                     .hash = file->dkim_hash,
                                     .names = file->dkim_names,
                                     .fields = file->dkim_fields};
    (void)keys_sign(message->q, &facts, on_signed, message);
    return true;
}

/* It was held for want of a key, and the operator has let it go: a key that signs by now signs it, and that
 * is kept; else it leaves unsigned, with the alarm. */
static void on_released(void *ctx, enum err err, struct slice header, struct slice why)
{
    struct queued *message = ctx;
    struct queued_form *form = &message->forms[0];
    (void)why;
    if (err) {
        io_close(&form->fd);
        fail_file(form, ERR_LATER);
        return;
    }
    if (header.len) {
        message->signature = arena_dup(message->arena, header);
        spool_signed(message->q->spool, message->id, header);
    }
    form->state = FORM_OPEN;
    go_on(form);
}

static bool sign_released(struct queued *message)
{
    struct keys_facts facts;
    if (message->signature.len || !keys_facts_read(message->to_sign, &facts))
        return false;
    facts.released = true;
    (void)keys_sign(message->q, &facts, on_released, message);
    return true;
}

static void take_file(struct queued *message, size_t index, enum err err, struct ipc_packet *packet)
{
    struct queued_form *form = &message->forms[index];
    struct wire_queue_file_fd file;
    err = wire_answer(err, packet, WIRE_QUEUE_FILE_FD, &file);
    if (!err)
        err = (enum err)file.err;
    int fd = err ? -1 : ipc_take_fd(packet, 0);
    if (!err && fd < 0)
        err = ERR_LATER;
    if (err) {
        log_error("queue.file", LOG_STR("id", message->id), LOG_CSTR("err", err_name(err)),
                  LOG_STR("why", file.text));
        fail_file(form, err);
        return;
    }
    form->fd = fd;
    form->size = file.size;
    if (index == 1 ? sign_again(message, &file) : sign_released(message))
        return;
    form->state = FORM_OPEN;
    go_on(form);
}

static void on_file(void *ctx, enum err err, struct ipc_packet *packet)
{
    take_file(ctx, 0, err, packet);
}

static void on_seven_bit(void *ctx, enum err err, struct ipc_packet *packet)
{
    take_file(ctx, 1, err, packet);
}

void send_begin(struct job *job)
{
    struct queued_form *form = form_of(job);
    if (form->state == FORM_OPEN) {
        ask_relay(job);
        return;
    }
    if (form->state == FORM_NONE)
        list_init(&form->waiters);
    list_push_back(&form->waiters, &job->node);
    if (form->state == FORM_OPENING)
        return;
    form->state = FORM_OPENING;
    const struct wire_queue_file_open open = {.queue_id = job->message->id, .seven_bit = job->seven_bit};
    (void)wire_call(role_link(job->q->run, ROLE_STORE), WIRE_QUEUE_FILE_OPEN, &open, QUEUE_DELIVER_MS,
                    job->seven_bit ? on_seven_bit : on_file, job->message);
}
