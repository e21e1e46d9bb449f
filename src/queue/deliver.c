/* deliver.c: the deliveries of queued messages: those with more than one recipient, and those that failed
 * before. Each row is one question to the store, idempotent by (queue id, account), so asking again after a
 * crash is harmless. What cannot be delivered waits and is tried again; nothing is ever dropped. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "queue/header.h"
#include "queue/spool.h"
#include "queue/trace.h"
#include "settings/metrics.h"

#define MESSAGE_ARENA_MAX (16u << 20)
#define ERROR_MAX         200
#define IDLE_WAKE_MS      60000 /* looked at least this often, whatever the clock does */

/* Seconds until the next attempt, by the number of attempts made; the last one for ever. */
static const unsigned backoff_s[] = {5, 15, 60, 300, 900, 1800, 3600};

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
    return message;
}

void deliver_free(struct queued *message)
{
    list_remove(&message->node);
    arena_free(&message->arena);
    free(message);
}

bool deliver_is_active(const struct queue *q, struct slice id)
{
    return map_get(q->active_ids, id) != NULL;
}

/* ---- the end of a message ---- */

static void leave(struct queued *message)
{
    struct queue *q = message->q;
    (void)map_remove(q->active_ids, message->id);
    deliver_free(message);
    queue_check_drained(q);
}

static void on_dropped(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct queued *message = ctx;
    struct wire_result result;
    err = wire_answer(err, packet, WIRE_RESULT, &result);
    if (err || (result.err != ERR_OK && result.err != ERR_ABSENT)) {
        message->undropped = true;
        deliver_wake(message->q, 1000 * backoff_s[1]);
        return;
    }
    spool_forget(message->q->spool, message->id);
    metric_sub(METRIC_QUEUE_MESSAGES, 0, 1);
    leave(message);
}

static void drop_file(struct queued *message)
{
    const struct wire_queue_file file = {.queue_id = message->id};
    message->undropped = false;
    (void)wire_call(role_link(message->q->run, ROLE_STORE), WIRE_QUEUE_FILE_DROP, &file, QUEUE_STORE_MS,
                    on_dropped, message);
}

static uint64_t next_attempt_ms(uint32_t attempts)
{
    size_t at = attempts < ARRAY_LEN(backoff_s) ? attempts : ARRAY_LEN(backoff_s) - 1;
    uint64_t ms = (uint64_t)backoff_s[at] * 1000;
    return ms * 9 / 10 + random_below(ms / 5 + 1);
}

/* Every row in memory has an answer: the deferred ones go back to the database. */
static void finish(struct queued *message)
{
    struct queue *q = message->q;
    uint64_t soonest = UINT64_MAX, now = clock_unix_ms();
    for (uint32_t i = 0; i < message->count; i++) {
        struct queued_row *row = &message->rows[i];
        if (row->state != ROW_DEFERRED)
            continue;
        uint64_t wait = next_attempt_ms(row->attempts);
        soonest = wait < soonest ? wait : soonest;
        spool_defer(q->spool, message->id, row->ordinal, row->attempts + 1, now + wait, row->error);
    }
    if (soonest != UINT64_MAX) {
        deliver_wake(q, soonest);
        leave(message);
    } else if (message->last_batch) {
        drop_file(message);
    } else {
        leave(message);
    }
}

/* ---- one row ---- */

static void pump(struct queued *message);

static void row_ended(struct queued *message)
{
    message->settled++;
    message->running--;
    if (message->settled == message->count)
        finish(message);
    else
        pump(message);
}

static void on_settled(void *ctx, enum err err, const struct why *why)
{
    (void)err;
    (void)why;
    row_ended(ctx);
}

static void note(const struct row_call *call, const struct wire_delivered *d, enum err err)
{
    struct queued *message = call->message;
    uint64_t took = loop_now_ms(message->q->loop) - call->begun_ms;
    AUTO_BUF struct buf text = buf_new(TRACE_EVENT_MAX);
    if (err) {
        buf_addf(&text, "delivery to %.*s deferred: %s %.*s", SLICE_ARG(call->row->account), err_name(err),
                 SLICE_ARG(d->text));
        log_warn("queue.deferred", LOG_STR("id", message->id), LOG_STR("session", message->session),
                 LOG_STR("account", call->row->account), LOG_U64("attempts", call->row->attempts + 1),
                 LOG_CSTR("err", err_name(err)), LOG_STR("why", d->text));
    } else {
        buf_addf(&text, "delivered to %.*s uid=%u took=%ums", SLICE_ARG(call->row->account), d->uid,
                 (unsigned)took);
        log_debug("queue.delivered", LOG_STR("id", message->id), LOG_STR("session", message->session),
                  LOG_STR("account", call->row->account), LOG_U64("uid", d->uid), LOG_MS("took", took));
    }
    trace_add(message->q->trace, message->session, message->id, buf_slice(&text));
    metric_add(METRIC_DELIVERIES, err ? METRIC_LATER : METRIC_OK, 1);
}

static void on_row(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct row_call *call = ctx;
    struct queued *message = call->message;
    struct queued_row *row = call->row;
    struct wire_delivered d;
    err = wire_answer(err, packet, WIRE_DELIVERED, &d);
    if (!err)
        err = (enum err)d.err;
    note(call, &d, err);
    if (err) {
        row->state = ROW_DEFERRED;
        row->error =
            arena_dup(message->arena, slice_sub(d.text.len ? d.text : slice_of(err_name(err)), 0, ERROR_MAX));
        row_ended(message);
    } else {
        row->state = ROW_DONE;
        spool_settle(message->q->spool, message->id, row->ordinal, on_settled, message);
    }
}

static void start_row(struct queued *message, struct queued_row *row)
{
    struct queue *q = message->q;
    struct row_call *call = ARENA_NEW(message->arena, struct row_call);
    *call = (struct row_call){.message = message, .row = row, .begun_ms = loop_now_ms(q->loop)};
    AUTO_BUF struct buf header = buf_new(WIRE_HEADER_MAX);
    header_add_delivery(&header, message->sender, row->account);
    buf_add(&header, message->received);
    const struct wire_deliver deliver = {.queue_id = message->id,
                                         .keep = 1,
                                         .account = row->account,
                                         .header = buf_slice(&header),
                                         .session = message->session};
    row->state = ROW_RUNNING;
    message->running++;
    (void)wire_call(role_link(q->run, ROLE_STORE), WIRE_DELIVER, &deliver, QUEUE_DELIVER_MS, on_row, call);
}

static void pump(struct queued *message)
{
    while (message->running < QUEUE_PARALLEL_MAX && message->next < message->count)
        start_row(message, &message->rows[message->next++]);
}

void deliver_begin(struct queue *q, struct queued *message)
{
    list_remove(&message->node);
    list_push_back(&q->active, &message->node);
    if (!map_put(q->active_ids, message->id, message)) {
        deliver_free(message); /* its rows are on disk; the next start finds them */
        return;
    }
    if (message->count)
        pump(message);
    else
        drop_file(message);
}

/* ---- what is due ---- */

static void on_found(void *ctx, struct queued *message)
{
    deliver_begin(ctx, message);
}

static void on_due(void *ctx, enum err err, uint64_t next_unix_ms, uint64_t messages)
{
    struct queue *q = ctx;
    uint64_t now = clock_unix_ms(), wait = IDLE_WAKE_MS;
    q->due_running = false;
    if (!err) {
        q->swept = true;
        metric_set(METRIC_QUEUE_MESSAGES, 0, messages);
        if (next_unix_ms <= now)
            wait = 10;
        else if (next_unix_ms - now < wait)
            wait = next_unix_ms - now;
    }
    deliver_wake(q, q->due_again ? 0 : wait);
    q->due_again = false;
}

static void retry_drops(struct queue *q)
{
    LIST_EACH(&q->active, node)
    {
        struct queued *message = CONTAINER_OF(node, struct queued, node);
        if (message->undropped)
            drop_file(message);
    }
}

static void on_timer(void *arg)
{
    struct queue *q = arg;
    q->due_at_ms = 0;
    if (q->draining)
        return;
    if (!ipc_link_is_up(role_link(q->run, ROLE_STORE)) || map_count(q->active_ids) > QUEUE_ACTIVE_MAX / 2) {
        deliver_wake(q, 1000);
        return;
    }
    retry_drops(q);
    if (q->due_running) {
        q->due_again = true;
        return;
    }
    q->due_running = true;
    spool_due(q->spool, q, clock_unix_ms(), !q->swept, on_found, on_due, q);
}

void deliver_wake(struct queue *q, uint64_t in_ms)
{
    uint64_t at = loop_now_ms(q->loop) + in_ms;
    if (!q->due_timer)
        q->due_timer = loop_timer_new(q->loop, on_timer, q);
    if (q->due_at_ms && q->due_at_ms <= at)
        return;
    q->due_at_ms = at;
    loop_timer_set(q->due_timer, in_ms);
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
            err = ipc_link_is_up(store) ? wire_send(store, WIRE_QUEUE_FILES, &files) : ERR_LATER;
    } while (!err && ids.len);
}

static void tell_files(struct queue *q)
{
    if (q->files_asked || q->draining)
        return;
    q->files_asked = true;
    spool_ids(q->spool, on_ids, q);
}

void deliver_store_up(struct queue *q)
{
    deliver_wake(q, 0);
    tell_files(q);
}

void deliver_stop(struct queue *q)
{
    loop_timer_free(&q->due_timer);
    for (struct list *node; (node = list_pop_front(&q->active)) != NULL;)
        deliver_free(CONTAINER_OF(node, struct queued, node));
}
