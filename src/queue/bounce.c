/* bounce.c: notifications on their way: who is told, the original's header from the store, the text as a body
 * into the store, its rows and the end of the rows it is about in one transaction. What it reads of the
 * original it copies, and looks at nothing in it. Called by send.c, deliver.c and control_queue.c. */
#include "queue/bounce.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "grammar/address.h"
#include "grammar/date.h"
#include "queue/bounce_body.h"
#include "queue/keys.h"
#include "queue/queue_clock.h"
#include "queue/spool.h"
#include "queue/trace.h"
#include "settings/metrics.h"

#define NOTIFY_NEVER   1
#define TABLE_AGAIN_MS 500

struct bounces {
    struct queue *q;
    struct list waiting, running;
    size_t running_count;
    struct loop_timer *soon;
    uint64_t next_body;
};

/* The rows of one call. Its parts have their turn one after the other: what is settled is known by a number.
 */
struct batch {
    struct list parts; /* struct bounce: those whose turn has not come */
    size_t settled;
    bounce_done *done;
    void *ctx;
};

enum stage { STAGE_WAITING, STAGE_STORE, STAGE_SIGN, STAGE_SPOOL };

struct bounce {
    struct list node;
    struct bounces *bounces;
    struct batch *batch;
    struct arena *arena;
    enum stage stage;
    uint32_t call; /* of the store, or of keys */
    struct bounce_message message;
    struct bounce_row *rows;
    size_t count;
    struct dsn dsn;
    struct slice to;
    struct vec recipients, targets; /* of the notification */
    struct wire_queue_mail mail;
    char id[QUEUE_ID_LEN + 1];
    uint64_t body, size;
    bool eightbit, utf8_header, whole;
    struct slice signature, to_sign, hold, received;
};

/* ---- who is told ---- */

/* The directory leads postmaster of every domain of ours to somebody. */
struct slice bounce_postmaster_in(struct queue *q, struct arena *arena)
{
    struct slice accounts = slice_make(q->accounts, q->accounts_len), first, domain = q->settings->hostname;
    if (q->settings->postmaster.len)
        return q->settings->postmaster;
    if (q->settings->domains.count)
        domain = q->settings->domains.items[0].name;
    else if (wire_strings_take(&accounts, &first))
        domain = address_domain_of(first);
    return arena_printf(arena, "postmaster@%.*s", SLICE_ARG(domain));
}

/* Of mail with the null sender only a failure is told, and only to postmaster. */
bool bounce_wanted(const struct bounce_message *message, const struct bounce_row *row)
{
    return message->sender.len ? dsn_wanted(row->notify, row->action) : row->action == DSN_FAILED;
}

/* When time ran out, what was temporary is final. */
static struct slice status_in(struct arena *arena, const struct queued_row *row, enum dsn_action action)
{
    struct slice status = row->enhanced.len ? row->enhanced : SLICE("4.4.7");
    if (action != DSN_FAILED || status.ptr[0] != '4')
        return action == DSN_DELAYED && status.ptr[0] != '4' ? SLICE("4.4.7") : status;
    return arena_printf(arena, "5%.*s", SLICE_ARG(slice_from(status, 1)));
}

static struct slice diagnostic_in(struct arena *arena, const struct queued_row *row)
{
    if (!row->code)
        return row->text;
    return arena_printf(arena, "%u %.*s%s%.*s", row->code, SLICE_ARG(row->enhanced),
                        row->enhanced.len ? " " : "", SLICE_ARG(row->text));
}

void bounce_row_in(struct arena *arena, const struct queued_row *row, enum dsn_action action,
                   enum dsn_reason reason, struct bounce_row *to)
{
    *to = (struct bounce_row){.ordinal = row->ordinal,
                              .notify = row->notify,
                              .address = row->address,
                              .orcpt = row->orcpt,
                              .target = row->target,
                              .action = action,
                              .reason = reason,
                              .status = status_in(arena, row, action),
                              .remote = row->remote,
                              .diagnostic = diagnostic_in(arena, row),
                              .is_reply = row->code != 0 && row->remote.len != 0,
                              .last_attempt_ms = row->attempts || row->code ? row->attempt_ms : 0};
}

static struct slice id_of(const struct bounce *b)
{
    return slice_make(b->id, QUEUE_ID_LEN);
}

static int64_t wall_s(const struct bounce *b, uint64_t queue_ms)
{
    const struct queue *q = b->bounces->q;
    if (!queue_ms)
        return 0;
    return (int64_t)((q->clock ? queue_clock_wall(q->clock, queue_ms) : queue_ms) / 1000);
}

static void describe(struct bounce *b, const struct bounce_row *row, struct dsn_recipient *r)
{
    *r = (struct dsn_recipient){.address = row->address,
                                .hidden = row->target,
                                .orcpt = row->orcpt,
                                .action = row->action,
                                .reason = row->reason,
                                .status = row->status,
                                .remote = row->remote,
                                .diagnostic = row->diagnostic,
                                .is_reply = row->is_reply,
                                .last_attempt = wall_s(b, row->last_attempt_ms),
                                .retry_until = wall_s(b, row->retry_until_ms)};
}

/* A notification to postmaster that failed is where it ends. */
static bool is_last(const struct bounce *b, const struct bounce_row *row, struct slice postmaster)
{
    if (b->message.sender.len || !slice_ieq(row->address, postmaster))
        return false;
    metric_add(METRIC_BOUNCES, METRIC_BOUNCE_DROPPED, 1);
    log_error("queue.bounce", LOG_STR("id", b->message.id), LOG_STR("to", row->address),
              LOG_CSTR("why", "a notification to postmaster could not be delivered; it is dropped"),
              LOG_STR("reply", row->diagnostic));
    return true;
}

/* An alias with several targets that fared alike: its sender knows of one address, and hears of it once. */
static bool is_told(const struct dsn_recipient *chosen, size_t count, const struct bounce_row *row)
{
    for (size_t i = 0; i < count; i++)
        if (chosen[i].action == row->action && slice_ieq(chosen[i].address, row->address) &&
            slice_eq(chosen[i].status, row->status) && slice_eq(chosen[i].diagnostic, row->diagnostic))
            return true;
    return false;
}

static size_t choose(struct bounce *b, struct slice postmaster)
{
    struct dsn_recipient *chosen = ARENA_ARRAY(b->arena, struct dsn_recipient, b->count);
    size_t count = 0;
    for (size_t i = 0; i < b->count; i++)
        if (bounce_wanted(&b->message, &b->rows[i]) && !is_last(b, &b->rows[i], postmaster) &&
            !is_told(chosen, count, &b->rows[i]))
            describe(b, &b->rows[i], &chosen[count++]);
    b->dsn.recipients = chosen;
    b->dsn.count = count;
    return count;
}

/* ---- the end of one ---- */

static void free_bounce(struct bounce *b)
{
    struct queue *q = b->bounces->q;
    if (b->stage == STAGE_STORE && b->call)
        ipc_cancel(role_link(q->run, ROLE_STORE), b->call);
    if (b->stage == STAGE_SIGN && b->call)
        keys_cancel(q, b->call);
    list_remove(&b->node);
    vec_free(&b->recipients);
    vec_free(&b->targets);
    arena_free(&b->arena);
    free(b);
}

static void free_parts(struct batch *batch)
{
    for (struct list *node; (node = list_pop_front(&batch->parts)) != NULL;)
        free_bounce(CONTAINER_OF(node, struct bounce, node));
}

static void end_batch(struct batch *batch, enum err err)
{
    bounce_done *done = batch->done;
    void *ctx = batch->ctx;
    size_t settled = batch->settled;
    free_parts(batch);
    free(batch);
    done(ctx, err, settled);
}

static void finish(struct bounce *b, enum err err)
{
    struct bounces *bounces = b->bounces;
    struct batch *batch = b->batch;
    if (err && b->body && b->stage != STAGE_SPOOL)
        (void)!wire_send(role_link(bounces->q->run, ROLE_STORE), WIRE_BODY_DROP,
                         &(struct wire_body_drop){b->body});
    if (err)
        log_warn("queue.bounce", LOG_STR("id", b->message.id), LOG_CSTR("err", err_name(err)),
                 LOG_CSTR("why", "the notification could not be written; tried again later"));
    else
        batch->settled += b->count;
    b->call = 0;
    free_bounce(b);
    bounces->running_count--;
    loop_timer_set(bounces->soon, 0);
    struct list *next = err ? NULL : list_pop_front(&batch->parts);
    if (next)
        list_push_back(&bounces->waiting, next);
    else
        end_batch(batch, err);
}

static void ignore(void *ctx, enum err err, struct ipc_packet *packet)
{
    (void)ctx;
    (void)err;
    (void)packet;
}

static void drop_file(struct bounce *b)
{
    const struct wire_queue_file file = {.queue_id = id_of(b)};
    (void)wire_call(role_link(b->bounces->q->run, ROLE_STORE), WIRE_QUEUE_FILE_DROP, &file, QUEUE_STORE_MS,
                    ignore, NULL);
}

static void record(const struct bounce *b)
{
    struct queue *q = b->bounces->q;
    const struct dsn_recipient *first = &b->dsn.recipients[0];
    enum metric_bounce kind = b->dsn.double_bounce ? METRIC_BOUNCE_DOUBLE : (enum metric_bounce)first->action;
    AUTO_BUF struct buf text = buf_new(TRACE_EVENT_MAX + 4 * WIRE_NAME_MAX);
    metric_add(METRIC_BOUNCES, kind, 1);
    buf_addf(&text, "notification %s to <%.*s>: %s <%.*s>", b->id, SLICE_ARG(b->to),
             dsn_action_name(first->action), SLICE_ARG(first->address));
    if (b->dsn.count > 1)
        buf_addf(&text, " and %zu more", b->dsn.count - 1);
    buf_addf(&text, " status=%.*s", SLICE_ARG(first->status));
    trace_add(q->trace, b->message.session, b->message.id, buf_slice(&text));
    buf_clear(&text);
    buf_addf(&text, "notification about %.*s to <%.*s>", SLICE_ARG(b->message.id), SLICE_ARG(b->to));
    trace_add(q->trace, b->message.session, id_of(b), buf_slice(&text));
    log_info("queue.bounce", LOG_STR("id", b->message.id), LOG_STR("session", b->message.session),
             LOG_STR("notification", id_of(b)), LOG_STR("to", b->to),
             LOG_CSTR("action", dsn_action_name(first->action)), LOG_STR("recipient", first->address),
             LOG_U64("recipients", b->dsn.count), LOG_STR("status", first->status),
             LOG_STR("reply", first->diagnostic));
}

/* ---- its rows ---- */

static const struct spool_change *changes_of(struct bounce *b)
{
    struct spool_change *changes = ARENA_ARRAY(b->arena, struct spool_change, b->count);
    for (size_t i = 0; i < b->count; i++)
        changes[i] = (struct spool_change){
            .id = b->message.id, .ordinal = b->rows[i].ordinal, .warned = b->rows[i].action == DSN_DELAYED};
    return changes;
}

static void on_settled(void *ctx, enum err err, const struct why *why)
{
    (void)why;
    finish(ctx, err);
}

static void settle_only(struct bounce *b)
{
    b->stage = STAGE_SPOOL;
    spool_change(b->bounces->q->spool, changes_of(b), b->count, on_settled, b);
}

static void on_put(void *ctx, enum err err, const struct why *why)
{
    struct bounce *b = ctx;
    (void)why;
    if (err)
        drop_file(b);
    else
        record(b);
    finish(b, err);
}

static void put_rows(struct bounce *b)
{
    const struct spool_message message = {
        .id = id_of(b),
        .mail = &b->mail,
        .received = b->received,
        .signature = b->signature,
        .hold = b->hold,
        .to_sign = b->hold.len ? b->to_sign : SLICE_EMPTY,
        .message_id = arena_printf(b->arena, "<%s.report@%.*s>", b->id, SLICE_ARG(b->dsn.hostname)),
        .size = b->size,
        .eightbit = b->eightbit,
        .utf8_header = b->utf8_header,
        .recipients = &b->recipients,
        .targets = &b->targets,
        .changes = changes_of(b),
        .change_count = b->count};
    b->stage = STAGE_SPOOL;
    deliver_put(b->bounces->q, &message, on_put, b);
}

static void on_file(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct bounce *b = ctx;
    struct wire_result result;
    b->call = 0;
    err = wire_answer(err, packet, WIRE_RESULT, &result);
    if (!err)
        err = (enum err)result.err;
    if (err)
        finish(b, err);
    else
        put_rows(b);
}

static void put_file(struct bounce *b)
{
    const struct wire_queue_file file = {.queue_id = id_of(b), .body = b->body};
    b->stage = STAGE_STORE;
    b->call = wire_call(role_link(b->bounces->q->run, ROLE_STORE), WIRE_QUEUE_FILE_PUT, &file,
                        QUEUE_DELIVER_MS, on_file, b);
}

/* ---- what scan found, and the signature ---- */

static bool goes_out(const struct bounce *b)
{
    for (size_t i = 0; i < b->targets.len; i++)
        if (!VEC_AT(&b->targets, struct txn_target, i)->local)
            return true;
    return false;
}

static void on_signed(void *ctx, enum err err, struct slice header, struct slice why)
{
    struct bounce *b = ctx;
    b->call = 0;
    if (err == ERR_LATER) {
        finish(b, err);
        return;
    }
    b->signature = arena_dup(b->arena, header);
    if (err == ERR_REFUSED)
        b->hold = arena_dup(b->arena, why);
    put_file(b);
}

static void on_facts(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct bounce *b = ctx;
    struct wire_body_facts facts;
    b->call = 0;
    err = wire_answer(err, packet, WIRE_BODY_FACTS, &facts);
    if (!err)
        err = (enum err)facts.err;
    if (err) {
        finish(b, err);
        return;
    }
    b->size = facts.size;
    b->eightbit = facts.eightbit;
    b->utf8_header = facts.utf8_header;
    if (!goes_out(b)) {
        put_file(b);
        return;
    }
    const struct keys_facts signed_facts = {
        .from = facts.from, .hash = facts.dkim_hash, .names = facts.dkim_names, .fields = facts.dkim_fields};
    AUTO_BUF struct buf kept = buf_new(WIRE_BLOB_MAX);
    keys_facts_add(&kept, &signed_facts);
    b->to_sign = arena_dup(b->arena, buf_slice(&kept));
    b->stage = STAGE_SIGN;
    b->call = keys_sign(b->bounces->q, &signed_facts, on_signed, b);
}

static void on_body(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct bounce *b = ctx;
    struct wire_body_done done;
    b->call = 0;
    err = wire_answer(err, packet, WIRE_BODY_DONE, &done);
    if (!err)
        err = (enum err)done.err;
    if (err) {
        finish(b, err);
        return;
    }
    const struct wire_body_info info = {.body = b->body};
    b->call = wire_call(role_link(b->bounces->q->run, ROLE_STORE), WIRE_BODY_INFO, &info, QUEUE_STORE_MS,
                        on_facts, b);
}

/* ---- the text ---- */

/* The original goes in whole where its sender wants that, or may want it: what comes from outside is returned
 * as its header unless asked, so that a made-up sender is not sent somebody's spam. */
static bool wants_whole(const struct bounce *b)
{
    const struct bounce_message *m = &b->message;
    bool failed = false;
    for (size_t i = 0; i < b->dsn.count; i++)
        failed |= b->dsn.recipients[i].action == DSN_FAILED;
    /* A message that must travel encrypted goes back as its header (RFC 8689 section 5). */
    if (!failed || b->dsn.double_bounce || m->requiretls || m->size > BOUNCE_FULL_MAX)
        return false;
    return m->ret ? m->ret == 1 : m->account.len > 0;
}

static void fill(struct bounce *b, struct slice postmaster)
{
    struct queue *q = b->bounces->q;
    uint64_t chance[2] = {random_u64(), random_u64()};
    b->dsn.hostname = arena_dup(b->arena, q->settings->hostname);
    b->dsn.postmaster = postmaster;
    b->dsn.to = b->to;
    b->dsn.id = id_of(b);
    b->dsn.token = arena_printf(b->arena, "%016llx%016llx", (unsigned long long)chance[0],
                                (unsigned long long)chance[1]);
    b->dsn.now = clock_unix_s();
    b->dsn.original_id = b->message.id;
    b->dsn.envid = b->message.envid;
    b->dsn.arrival = wall_s(b, b->message.created_ms);
    b->dsn.message_id = b->message.message_id;
    b->dsn.subject = b->message.subject;
    b->dsn.eightbit = b->message.eightbit;
    b->dsn.smtputf8 = b->message.smtputf8;
    b->received = arena_printf(b->arena, "Received: by %.*s (Rockdove) id %s;\r\n\t%s\r\n",
                               SLICE_ARG(b->dsn.hostname), b->id, date_format_rfc5322(b->dsn.now, 0).text);
    b->mail = (struct wire_queue_mail){.session = b->message.session};
}

static void write_text(struct bounce *b, struct slice original)
{
    struct bounces *bounces = b->bounces;
    AUTO_BUF struct buf text = buf_new(DSN_MAX + BOUNCE_FULL_MAX), tail = buf_new(1000);
    struct dsn_needs needs = dsn_write(&b->dsn, &text, &tail);
    buf_add(&text, original);
    buf_add(&text, buf_slice(&tail));
    if (!buf_ok(&text) || !buf_ok(&tail)) { /* never half a notification */
        log_error("queue.bounce", LOG_STR("id", b->message.id),
                  LOG_CSTR("why", "the notification is longer than any may be"));
        finish(b, ERR_INTERNAL);
        return;
    }
    b->mail.smtputf8 = needs.smtputf8;
    b->mail.eightbit = needs.eightbit;
    b->body = WIRE_BODY_OF_QUEUE | ++bounces->next_body;
    b->call = bounce_body_send(role_link(bounces->q->run, ROLE_STORE), b->body, buf_slice(&text), on_body, b);
}

/* Without the file of the original (a disk that fails) the sender still learns what happened. */
static void on_original(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct bounce *b = ctx;
    struct wire_queue_file_fd m;
    struct slice whole = SLICE_EMPTY;
    AUTO_FD int fd = packet ? ipc_take_fd(packet, 0) : -1;
    b->call = 0;
    err = wire_answer(err, packet, WIRE_QUEUE_FILE_FD, &m);
    if (err == ERR_LATER || (!err && m.err == ERR_LATER)) {
        finish(b, ERR_LATER);
        return;
    }
    if (!err && m.err == ERR_OK && fd >= 0) {
        b->dsn.full = wants_whole(b) && m.size <= BOUNCE_FULL_MAX;
        if (b->dsn.full)
            b->dsn.full = bounce_body_read_in(b->arena, fd, m.size, &whole);
        if (!b->dsn.full)
            bounce_body_read_header_in(b->arena, fd, m.header_len, &b->dsn.header);
    }
    write_text(b, whole);
}

/* ---- where it goes ---- */

static bool route(struct bounce *b, struct slice to)
{
    struct queue *q = b->bounces->q;
    struct directory_route route = {0};
    directory_route_in(b->arena, q->table->table, to, false, &route);
    bool fine = route.outcome == DIRECTORY_DELIVER || route.outcome == DIRECTORY_REMOTE;
    for (size_t i = 0; fine && i < route.count; i++) {
        struct txn_target *target = vec_push(&b->targets);
        if (!target)
            break;
        *target =
            (struct txn_target){.address = arena_dup(b->arena, route.targets[i].address),
                                .local = route.targets[i].local,
                                .forwarded = !route.targets[i].local && route.outcome == DIRECTORY_DELIVER};
    }
    b->to = arena_dup(b->arena, to);
    return b->targets.len > 0;
}

/* To the sender; to postmaster when there is none, or none that can be reached from here. */
static bool find_way(struct bounce *b, struct slice postmaster)
{
    if (b->message.sender.len && route(b, b->message.sender))
        return true;
    b->dsn.double_bounce = true;
    return route(b, postmaster);
}

static void start(struct bounce *b)
{
    struct queue *q = b->bounces->q;
    struct slice postmaster = bounce_postmaster_in(q, b->arena);
    if (choose(b, postmaster) == 0) {
        settle_only(b);
        return;
    }
    if (!find_way(b, postmaster)) {
        metric_add(METRIC_BOUNCES, METRIC_BOUNCE_DROPPED, 1);
        log_error("queue.bounce", LOG_STR("id", b->message.id), LOG_STR("sender", b->message.sender),
                  LOG_CSTR("why", "neither the sender nor postmaster can be told; set postmaster:"));
        settle_only(b);
        return;
    }
    struct txn_recipient *to = vec_push(&b->recipients);
    if (!to)
        abort(); /* there is room for one */
    *to = (struct txn_recipient){.address = b->to, .notify = NOTIFY_NEVER};
    queue_id_next(&q->ids, clock_unix_ms(), b->id);
    fill(b, postmaster);
    const struct wire_queue_file_open open = {.queue_id = b->message.id};
    b->stage = STAGE_STORE;
    b->call =
        wire_call(role_link(q->run, ROLE_STORE), WIRE_QUEUE_FILE_OPEN, &open, QUEUE_STORE_MS, on_original, b);
}

static void on_soon(void *arg)
{
    struct bounces *bounces = arg;
    if (!bounces->q->table) { /* just started: who is who is not known yet */
        loop_timer_set(bounces->soon, TABLE_AGAIN_MS);
        return;
    }
    while (bounces->running_count < BOUNCE_OPEN_MAX && !list_empty(&bounces->waiting)) {
        struct bounce *b = CONTAINER_OF(list_pop_front(&bounces->waiting), struct bounce, node);
        list_push_back(&bounces->running, &b->node);
        bounces->running_count++;
        start(b);
    }
}

/* ---- from outside ---- */

static void copy_message(struct bounce *b, const struct bounce_message *m)
{
    struct slice *texts[] = {&b->message.id,         &b->message.sender,  &b->message.session,
                             &b->message.message_id, &b->message.account, &b->message.envid,
                             &b->message.subject};
    b->message = *m;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *texts[i] = arena_dup(b->arena, *texts[i]);
}

static void copy_row(struct bounce *b, struct bounce_row *row, const struct bounce_row *from)
{
    struct slice *texts[] = {&row->address, &row->orcpt,  &row->target,
                             &row->status,  &row->remote, &row->diagnostic};
    *row = *from;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *texts[i] = arena_dup(b->arena, slice_sub(*texts[i], 0, BOUNCE_TEXT_MAX));
}

static struct bounce *bounce_new(struct batch *batch, struct bounces *bounces,
                                 const struct bounce_message *message, const struct bounce_row *rows,
                                 size_t count)
{
    struct bounce *b = mem_zero(1, sizeof *b);
    b->bounces = bounces;
    b->batch = batch;
    b->arena = arena_new(BOUNCE_ARENA_MAX);
    b->recipients = VEC_NEW(struct txn_recipient, 1);
    b->targets = VEC_NEW(struct txn_target, QUEUE_TXN_TARGETS);
    b->count = count;
    b->rows = ARENA_ARRAY(b->arena, struct bounce_row, count);
    copy_message(b, message);
    for (size_t i = 0; i < count; i++)
        copy_row(b, &b->rows[i], &rows[i]);
    return b;
}

void bounce_send(struct queue *q, const struct bounce_message *message, const struct bounce_row *rows,
                 size_t count, bounce_done *done, void *ctx)
{
    struct bounces *bounces = q->bounces;
    struct batch *batch = mem_zero(1, sizeof *batch);
    *batch = (struct batch){.done = done, .ctx = ctx};
    list_init(&batch->parts);
    size_t at = 0;
    do {
        size_t part = count - at < BOUNCE_ROWS_MAX ? count - at : BOUNCE_ROWS_MAX;
        struct bounce *b = bounce_new(batch, bounces, message, rows + at, part);
        list_push_back(&batch->parts, &b->node);
        at += part;
    } while (at < count);
    list_push_back(&bounces->waiting, list_pop_front(&batch->parts));
    loop_timer_set(bounces->soon, 0);
}

struct bounces *bounces_new(struct queue *q)
{
    struct bounces *bounces = mem_zero(1, sizeof *bounces);
    bounces->q = q;
    list_init(&bounces->waiting);
    list_init(&bounces->running);
    bounces->soon = loop_timer_new(q->loop, on_soon, bounces);
    return bounces;
}

/* Each batch has one part there. */
static void drop_all(struct list *bounces)
{
    LIST_EACH(bounces, node)
    {
        struct bounce *b = CONTAINER_OF(node, struct bounce, node);
        free_parts(b->batch);
        free(b->batch);
        free_bounce(b);
    }
}

void bounces_free(struct bounces **bounces)
{
    struct bounces *b = *bounces;
    if (!b)
        return;
    drop_all(&b->waiting);
    drop_all(&b->running);
    loop_timer_free(&b->soon);
    free(b);
    *bounces = NULL;
}
