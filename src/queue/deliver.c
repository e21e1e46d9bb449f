/* deliver.c: queued messages in memory: born, their local rows delivered, gone. Each local row is one
 * question to the store, idempotent by (queue id, account), so asking again after a crash is harmless. What
 * cannot be delivered waits and is tried again; nothing is dropped before its sender was told. Rows for other
 * servers go to schedule.c. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "queue/destination.h"
#include "queue/header.h"
#include "queue/routes.h"
#include "queue/schedule.h"
#include "queue/send.h"
#include "queue/settle.h"
#include "queue/spool.h"
#include "queue/trace.h"
#include "settings/metrics.h"

#define MESSAGE_ARENA_MAX (64u << 20)
#define LOCAL_FIRST_MS    5000 /* the store is ours: the first attempts follow soon */
#define LOCAL_LONGEST_MS  3600000
#define DROP_AGAIN_MS     15000

struct row_call {
    struct queued *message;
    struct queued_row *row;
    uint64_t begun_ms;
};

struct queued *deliver_new(struct queue *q)
{
    struct queued *message = mem_zero(1, sizeof *message);
    message->q = q;
    message->arena = arena_new(MESSAGE_ARENA_MAX);
    list_init(&message->node);
    list_init(&message->local_node);
    message->forms[0].fd = message->forms[1].fd = -1;
    return message;
}

void deliver_free(struct queued *message)
{
    list_remove(&message->node);
    list_remove(&message->local_node);
    send_close(message);
    arena_free(&message->arena);
    free(message);
}

/* ---- the end of a message ---- */

static void leave(struct queued *message)
{
    struct queue *q = message->q;
    q->active_count--;
    list_remove(&message->node);
    schedule_leave(message);
    deliver_free(message);
    queue_check_drained(q);
}

void deliver_ended(struct queued *message, uint32_t rows)
{
    message->pending -= rows < message->pending ? rows : message->pending;
    if (!message->pending && !message->running && !message->sending)
        leave(message);
}

/* ---- files ---- */

struct drop {
    struct list node; /* in q->drops */
    struct queue *q;
    bool asked;
    char id[QUEUE_ID_LEN + 1];
};

static void on_dropped(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct drop *drop = ctx;
    struct wire_result result;
    err = wire_answer(err, packet, WIRE_RESULT, &result);
    drop->asked = false;
    if (err || (result.err != ERR_OK && result.err != ERR_ABSENT))
        return; /* asked again when the store is back, or with the next one */
    list_remove(&drop->node);
    drop->q->drop_count--;
    free(drop);
}

static void ask_drop(struct drop *drop)
{
    const struct wire_queue_file file = {.queue_id = slice_of(drop->id)};
    drop->asked = true;
    (void)wire_call(role_link(drop->q->run, ROLE_STORE), WIRE_QUEUE_FILE_DROP, &file, QUEUE_STORE_MS,
                    on_dropped, drop);
}

void deliver_drop_file(struct queue *q, struct slice id)
{
    struct drop *drop = mem_zero(1, sizeof *drop);
    drop->q = q;
    memcpy(drop->id, id.ptr, id.len < QUEUE_ID_LEN ? id.len : QUEUE_ID_LEN);
    list_push_back(&q->drops, &drop->node);
    q->drop_count++;
    metric_sub(METRIC_QUEUE_MESSAGES, 0, 1);
    if (!q->drained &&
        queue_has(q, ROLE_STORE)) /* at the very end nobody answers; the next start removes what is left */
        ask_drop(drop);
}

void deliver_retry_drops(struct queue *q)
{
    LIST_EACH(&q->drops, node)
    {
        struct drop *drop = CONTAINER_OF(node, struct drop, node);
        if (!drop->asked && queue_has(q, ROLE_STORE))
            ask_drop(drop);
    }
}

/* ---- one local row ---- */

static void note(const struct row_call *call, const struct wire_delivered *d, enum err err)
{
    struct queued *message = call->message;
    uint64_t took = loop_now_ms(message->q->loop) - call->begun_ms;
    AUTO_BUF struct buf text = buf_new(4 * TRACE_EVENT_MAX);
    if (err) {
        buf_addf(&text, "delivery to %.*s deferred: %s %.*s", SLICE_ARG(call->row->target), err_name(err),
                 SLICE_ARG(d->text));
        log_warn("queue.deferred", LOG_STR("id", message->id), LOG_STR("session", message->session),
                 LOG_STR("account", call->row->target), LOG_U64("attempts", call->row->attempts + 1),
                 LOG_CSTR("err", err_name(err)), LOG_STR("why", d->text));
    } else {
        buf_addf(&text, "delivered to %.*s uid=%u took=%ums", SLICE_ARG(call->row->target), d->uid,
                 (unsigned)took);
        log_debug("queue.delivered", LOG_STR("id", message->id), LOG_STR("session", message->session),
                  LOG_STR("account", call->row->target), LOG_U64("uid", d->uid), LOG_MS("took", took));
    }
    trace_add(message->q->trace, message->session, message->id,
              slice_sub(buf_slice(&text), 0, TRACE_EVENT_MAX));
    metric_add(METRIC_DELIVERIES, err ? METRIC_LATER : METRIC_OK, 1);
}

static void defer(struct settling *s, struct queued_row *row, const struct wire_delivered *d, enum err err)
{
    bool full = d->code == STORE_CODE_OVERQUOTA;
    struct slice text = full ? SLICE("the mailbox is full") : d->text.len ? d->text : slice_of(err_name(err));
    settle_answer(s->message, row, 0, full ? SLICE("4.2.2") : SLICE("4.3.0"), text, SLICE_EMPTY);
    (void)settle_later(s, row,
                       destination_backoff(LOCAL_FIRST_MS, LOCAL_LONGEST_MS, row->attempts, random_u64()));
}

static void on_row(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct row_call *call = ctx;
    struct queued *message = call->message;
    struct queue *q = message->q;
    struct wire_delivered d;
    struct settling s;
    err = wire_answer(err, packet, WIRE_DELIVERED, &d);
    if (!err)
        err = (enum err)d.err;
    note(call, &d, err);
    settle_begin(&s, message);
    message->running--;
    q->local_running--;
    if (err)
        defer(&s, call->row, &d, err);
    else
        settle_done(&s, call->row, true, DSN_DELIVERED);
    settle_finish(&s);
    deliver_pump(q);
}

static void start_row(struct queued *message, struct queued_row *row)
{
    struct queue *q = message->q;
    struct row_call *call = ARENA_NEW(message->arena, struct row_call);
    *call = (struct row_call){.message = message, .row = row, .begun_ms = loop_now_ms(q->loop)};
    AUTO_BUF struct buf header = buf_new(WIRE_HEADER_MAX);
    header_add_delivery(&header, message->sender, row->target);
    buf_add(&header, message->received);
    const struct wire_deliver deliver = {.queue_id = message->id,
                                         .keep = 1,
                                         .account = row->target,
                                         .header = buf_slice(&header),
                                         .session = message->session};
    row->state = ROW_RUNNING;
    message->running++;
    q->local_running++;
    (void)wire_call(role_link(q->run, ROLE_STORE), WIRE_DELIVER, &deliver, QUEUE_DELIVER_MS, on_row, call);
}

/* False: it has no local row left that was not begun. */
static bool start_rows(struct queued *message)
{
    for (; message->next < message->count; message->next++) {
        const struct queued_row *row = &message->rows[message->next];
        if (!row->local || row->state != ROW_WAITING)
            continue;
        if (message->running >= QUEUE_PARALLEL_MAX || message->q->local_running >= QUEUE_LOCAL_MAX)
            return true;
        start_row(message, &message->rows[message->next]);
    }
    return false;
}

void deliver_pump(struct queue *q)
{
    if (q->draining || !queue_has(q, ROLE_STORE))
        return;
    LIST_EACH(&q->local, node)
    {
        if (q->local_running >= QUEUE_LOCAL_MAX)
            return;
        struct queued *message = CONTAINER_OF(node, struct queued, local_node);
        if (!start_rows(message))
            list_remove(&message->local_node);
    }
}

/* ---- the beginning ---- */

void deliver_enter(struct queue *q, struct queued *message)
{
    list_remove(&message->node);
    list_push_back(&q->active, &message->node);
    q->active_count++;
    schedule_enter(message);
    message->pending = message->count;
    if (!message->count)
        leave(message);
}

/* Rows an earlier process has finished but for the notification. */
static void tell_news(struct queued *message)
{
    struct settling s;
    settle_begin(&s, message);
    for (uint32_t i = 0; i < message->count; i++)
        if (settle_is_told(&message->rows[i]))
            settle_told(&s, &message->rows[i]);
    settle_finish(&s);
}

void deliver_begin(struct queue *q, struct queued *message)
{
    bool none = !message->count;
    deliver_enter(q, message);
    if (none)
        return;
    tell_news(message);
    list_push_back(&q->local, &message->local_node);
    schedule_add(q, message);
    deliver_pump(q);
}

struct putting {
    struct queue *q;
    struct queued *message;
    struct spool_put put;
    deliver_done *done;
    void *ctx;
};

static void on_put(void *ctx, enum err err, const struct why *why)
{
    struct putting *p = ctx;
    struct queue *q = p->q;
    if (!err)
        metric_add(METRIC_QUEUE_MESSAGES, 0, 1);
    p->done(p->ctx, err, why);
    if (!err && p->put.state == SPOOL_CLAIMED) {
        deliver_begin(q, p->message);
    } else {
        if (!err && p->put.state == SPOOL_WAITING)
            schedule_look(q);
        deliver_free(p->message);
    }
    free(p);
}

static void make_row(struct queue *q, struct queued *m, const struct spool_message *from, uint32_t ordinal)
{
    const struct txn_target *target = VEC_AT(from->targets, struct txn_target, ordinal);
    const struct txn_recipient *to = VEC_AT(from->recipients, struct txn_recipient, target->recipient);
    struct queued_row *row = &m->rows[ordinal];
    *row = (struct queued_row){.ordinal = ordinal,
                               .notify = to->notify,
                               .local = target->local,
                               .target = arena_dup(m->arena, target->address),
                               .sender = arena_dup(m->arena, target->sender),
                               .route = SLICE(ROUTES_LOCAL),
                               .address = arena_dup(m->arena, to->address),
                               .orcpt = arena_dup(m->arena, to->orcpt)};
    if (target->local)
        return;
    AUTO_BUF struct buf key = buf_new(ROUTES_KEY_MAX + WIRE_NAME_MAX);
    routes_find(q->routes, row->sender, row->target, &key);
    row->route = arena_dup(m->arena, buf_slice(&key));
}

static struct queued *make_queued(struct queue *q, const struct spool_message *from)
{
    struct queued *m = deliver_new(q);
    struct arena *arena = m->arena;
    m->id = arena_dup(arena, from->id);
    m->sender = arena_dup(arena, from->mail->sender);
    m->session = arena_dup(arena, from->mail->session);
    m->account = arena_dup(arena, from->account);
    m->envid = arena_dup(arena, from->mail->envid);
    m->message_id = arena_dup(arena, from->message_id);
    m->subject = arena_dup(arena, from->subject);
    m->received = arena_dup(arena, from->received);
    m->signature = arena_dup(arena, from->signature);
    m->to_sign = arena_dup(arena, from->to_sign);
    m->ret = from->mail->ret;
    m->smtputf8 = from->mail->smtputf8 != 0;
    m->requiretls = from->mail->requiretls != 0;
    m->eightbit = from->eightbit;
    m->utf8_header = from->utf8_header;
    m->size = from->size;
    m->created_ms = queue_now_ms(q);
    m->count = m->all = (uint32_t)from->targets->len;
    m->rows = ARENA_ARRAY(arena, struct queued_row, m->count ? m->count : 1);
    for (uint32_t i = 0; i < m->count; i++)
        make_row(q, m, from, i);
    return m;
}

void deliver_put(struct queue *q, const struct spool_message *from, deliver_done *done, void *ctx)
{
    struct putting *p = mem_zero(1, sizeof *p);
    struct queued *m = make_queued(q, from);
    bool room = schedule_has_room(q, m->account, m->sender);
    *p = (struct putting){.q = q, .message = m, .done = done, .ctx = ctx};
    p->put = (struct spool_put){.message = m,
                                .client = arena_dup(m->arena, from->mail->client),
                                .hold = arena_dup(m->arena, from->hold),
                                .state = from->hold.len         ? SPOOL_HELD
                                         : room && !q->draining ? SPOOL_CLAIMED
                                                                : SPOOL_WAITING,
                                .priority = schedule_class(m->count, m->size),
                                .due_ms = m->created_ms,
                                .changes = from->changes,
                                .change_count = from->change_count};
    spool_put(q->spool, &p->put, on_put, p);
}

/* ---- files a crash has left ---- */

/* One message takes so many ids; each has its length in front. */
#define IDS_PER_MESSAGE (WIRE_BLOB_MAX / (QUEUE_ID_LEN + 1))

/* A file older than `files_before`, the first id of this process, has its rows by now or never will: those
 * being committed are newer. A notice that is lost means that nothing is removed until the next time. */
static void on_ids(void *ctx, enum err err, struct slice ids)
{
    struct queue *q = ctx;
    struct ipc_link *store = role_link(q->run, ROLE_STORE);
    q->files_asked = false;
    do {
        AUTO_BUF struct buf list = buf_new(WIRE_BLOB_MAX);
        for (size_t i = 0; i < IDS_PER_MESSAGE && ids.len; i++) {
            wire_strings_add(&list, slice_sub(ids, 0, QUEUE_ID_LEN));
            ids = slice_from(ids, QUEUE_ID_LEN);
        }
        const struct wire_queue_files files = {
            .more = ids.len > 0, .before = slice_of(q->files_before), .ids = buf_slice(&list)};
        if (!err)
            err = queue_has(q, ROLE_STORE) ? wire_send(store, WIRE_QUEUE_FILES, &files) : ERR_LATER;
    } while (!err && ids.len);
}

static void tell_files(struct queue *q)
{
    if (q->files_asked || q->draining)
        return;
    q->files_asked = true;
    spool_ids(q->spool, on_ids, q);
}

void deliver_wake(struct queue *q, uint64_t in_ms)
{
    schedule_look_in(q, in_ms);
}

void deliver_store_up(struct queue *q)
{
    deliver_retry_drops(q);
    schedule_look(q);
    schedule_pump(q);
    deliver_pump(q);
    tell_files(q);
}

void deliver_stop(struct queue *q)
{
    settle_stop(q);
    for (struct list *node; (node = list_pop_front(&q->active)) != NULL;) {
        struct queued *message = CONTAINER_OF(node, struct queued, node);
        schedule_leave(message);
        deliver_free(message);
    }
    for (struct list *node; (node = list_pop_front(&q->drops)) != NULL;)
        free(CONTAINER_OF(node, struct drop, node));
}
