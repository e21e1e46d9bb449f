/* settle.c: what becomes of rows that have their answer. Answers come from other servers by way of relay:
 * their texts are bounded and made printable here. Called by send.c, deliver.c, schedule.c and overdue.c. */
#include "queue/settle.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "queue/bounce.h"
#include "queue/routes.h"
#include "queue/schedule.h"
#include "settings/metrics.h"

struct settle_bounce {
    struct queued_row *row;
    enum dsn_action action;
    enum dsn_reason reason;
};

void settle_begin(struct settling *s, struct queued *message)
{
    *s = (struct settling){.message = message,
                           .results = VEC_NEW(struct spool_result, QUEUE_TXN_TARGETS),
                           .bounces = VEC_NEW(struct settle_bounce, QUEUE_TXN_TARGETS),
                           .news = VEC_NEW(struct settle_bounce, QUEUE_TXN_TARGETS)};
}

/* ---- answers ---- */

static struct slice printable_in(struct arena *arena, struct slice text)
{
    text = slice_sub(text, 0, SETTLE_TEXT_MAX);
    uint8_t *copy = arena_must(arena, text.len + 1);
    for (size_t i = 0; i < text.len; i++)
        copy[i] = text.ptr[i] < 0x20 || text.ptr[i] == 0x7f ? ' ' : text.ptr[i];
    return slice_make(copy, text.len);
}

void settle_answer(struct queued *message, struct queued_row *row, uint32_t code, struct slice enhanced,
                   struct slice text, struct slice remote)
{
    row->code = code;
    row->enhanced = printable_in(message->arena, slice_sub(enhanced, 0, 16));
    row->text = printable_in(message->arena, text);
    row->remote = printable_in(message->arena, slice_sub(remote, 0, DSN_TEXT_MAX));
    row->attempt_ms = queue_now_ms(message->q);
}

/* ---- one row ---- */

static struct spool_result *add_result(struct settling *s, struct queued_row *row, enum spool_what what)
{
    struct spool_result *result = vec_push(&s->results);
    if (!result)
        abort(); /* a message has no more rows than this */
    *result = (struct spool_result){.what = what, .row = row};
    row->state = ROW_ENDING;
    return result;
}

static void add_bounce(struct vec *list, struct queued_row *row, enum dsn_action action,
                       enum dsn_reason reason)
{
    struct settle_bounce *bounce = vec_push(list);
    if (!bounce)
        abort();
    *bounce = (struct settle_bounce){.row = row, .action = action, .reason = reason};
    row->state = ROW_ENDING;
}

/* That it is done is on disk before the notification is begun: however often that fails, and whenever the
 * process dies, the message is not sent again for its sake. */
void settle_done(struct settling *s, struct queued_row *row, bool tell, enum dsn_action action)
{
    if (!tell || !dsn_wanted(row->notify, action)) {
        (void)add_result(s, row, SPOOL_ROW_END);
        return;
    }
    (void)add_result(s, row, SPOOL_ROW_TOLD);
    add_bounce(&s->news, row, action, DSN_REASON_NONE);
}

bool settle_is_told(const struct queued_row *row)
{
    return slice_eq(row->route, SLICE(ROUTES_TOLD));
}

void settle_told(struct settling *s, struct queued_row *row)
{
    add_bounce(&s->news, row, row->local ? DSN_DELIVERED : DSN_RELAYED, DSN_REASON_NONE);
}

bool settle_later(struct settling *s, struct queued_row *row, uint64_t wait_ms)
{
    struct queue *q = s->message->q;
    uint64_t now = queue_now_ms(q);
    if (now >= s->message->created_ms + q->settings->queue.expire) {
        metric_add(METRIC_QUEUE_EXPIRED, 0, 1);
        settle_failed(s, row, DSN_REASON_NONE);
        return false;
    }
    row->attempts++;
    struct spool_result *result = add_result(s, row, SPOOL_ROW_LATER);
    result->due_ms = result->route_due_ms = now + wait_ms;
    schedule_look_in(q, wait_ms);
    return true;
}

void settle_stay(struct settling *s, struct queued_row *row, uint64_t route_due_ms)
{
    struct spool_result *result = add_result(s, row, SPOOL_ROW_LATER);
    result->due_ms = queue_now_ms(s->message->q);
    result->route_due_ms = route_due_ms;
}

void settle_back(struct settling *s, struct queued_row *row, uint64_t route_due_ms)
{
    add_result(s, row, SPOOL_ROW_BACK)->route_due_ms = route_due_ms;
}

void settle_failed(struct settling *s, struct queued_row *row, enum dsn_reason reason)
{
    add_bounce(&s->bounces, row, DSN_FAILED, reason);
}

/* ---- rows that are told of ---- */

struct telling {
    struct list node; /* in q->tellings */
    struct queue *q;
    struct queued *message;
    struct loop_timer *timer;
    size_t count, at; /* at: the first not told of */
    struct settle_bounce rows[];
};

static void fill_row(struct telling *t, const struct settle_bounce *b, struct bounce_row *to)
{
    struct queued *m = t->message;
    bounce_row_in(m->arena, b->row, b->action, b->reason, to);
    if (b->action == DSN_DELAYED)
        to->retry_until_ms = m->created_ms + t->q->settings->queue.expire;
}

static void on_told(void *ctx, enum err err, size_t settled);

static void tell(void *arg)
{
    struct telling *t = arg;
    struct queued *m = t->message;
    const struct bounce_message message = {.id = m->id,
                                           .sender = m->sender,
                                           .session = m->session,
                                           .account = m->account,
                                           .envid = m->envid,
                                           .ret = m->ret,
                                           .smtputf8 = m->smtputf8,
                                           .eightbit = m->eightbit,
                                           .requiretls = m->requiretls,
                                           .message_id = m->message_id,
                                           .subject = m->subject,
                                           .created_ms = m->created_ms,
                                           .size = m->size};
    size_t count = t->count - t->at;
    struct bounce_row *rows = mem_zero(count, sizeof *rows);
    for (size_t i = 0; i < count; i++)
        fill_row(t, &t->rows[t->at + i], &rows[i]);
    bounce_send(t->q, &message, rows, count, on_told, t);
    free(rows);
}

/* Until it is told the rows stay claimed: after a crash they are tried again, and told of then. */
static void on_told(void *ctx, enum err err, size_t settled)
{
    struct telling *t = ctx;
    struct queued *message = t->message;
    t->at += settled;
    if (err) {
        if (!t->timer)
            t->timer = loop_timer_new(t->q->loop, tell, t);
        loop_timer_set(t->timer, SETTLE_BOUNCE_AGAIN_MS);
    } else {
        loop_timer_free(&t->timer);
        list_remove(&t->node);
        free(t);
    }
    deliver_ended(message, (uint32_t)settled); /* the last row takes the message along */
}

static struct telling *telling_new(struct queued *message, size_t count)
{
    struct telling *t = mem_zero(1, sizeof *t + count * sizeof t->rows[0]);
    t->q = message->q;
    t->message = message;
    t->count = count;
    list_push_back(&t->q->tellings, &t->node);
    return t;
}

void settle_stop(struct queue *q)
{
    for (struct list *node; (node = list_pop_front(&q->tellings)) != NULL;) {
        struct telling *t = CONTAINER_OF(node, struct telling, node);
        loop_timer_free(&t->timer);
        free(t);
    }
}

/* NULL: there is nobody to tell. */
static struct telling *telling_of(struct queued *message, const struct vec *bounces)
{
    if (!bounces->len)
        return NULL;
    struct telling *t = telling_new(message, bounces->len);
    memcpy(t->rows, bounces->items, bounces->len * sizeof t->rows[0]);
    return t;
}

void settle_warn(struct queued *message)
{
    struct telling *t = telling_new(message, message->count);
    for (uint32_t i = 0; i < message->count; i++)
        t->rows[i] = (struct settle_bounce){.row = &message->rows[i], .action = DSN_DELAYED};
    tell(t);
}

/* ---- the end ---- */

struct ended {
    struct queued *message;
    uint32_t rows;
    struct telling *news;
};

static void on_results(void *ctx, enum err err, bool gone)
{
    struct ended *ended = ctx;
    struct queued *message = ended->message;
    uint32_t rows = ended->rows;
    (void)err;
    if (gone)
        deliver_drop_file(message->q, message->id);
    if (ended->news && !message->q->drained)
        tell(ended->news);
    free(ended);
    deliver_ended(message, rows);
}

/* Rows that leave the message when the results are on disk. */
static uint32_t count_ended(const struct vec *results)
{
    uint32_t count = 0;
    for (size_t i = 0; i < results->len; i++)
        count += VEC_AT(results, struct spool_result, i)->what != SPOOL_ROW_TOLD;
    return count;
}

void settle_finish(struct settling *s)
{
    struct queued *m = s->message;
    struct telling *news = telling_of(m, &s->news), *failed = telling_of(m, &s->bounces);
    if (s->results.len || s->usage.used || s->attempted) {
        struct ended *ended = s->results.len ? mem_alloc(sizeof *ended) : NULL;
        if (ended) {
            *ended = (struct ended){.message = m, .rows = count_ended(&s->results), .news = news};
            news = NULL;
        }
        spool_results(m->q->spool, m->id, s->results.items, s->results.len, &s->usage,
                      s->attempted ? &s->attempt : NULL, ended ? on_results : NULL, ended);
    }
    if (news)
        tell(news);
    if (failed)
        tell(failed);
    vec_free(&s->results);
    vec_free(&s->bounces);
    vec_free(&s->news);
}
