/* control_queue.c: list, show, retry, hold, release, bounce, delete, flush: goes through the rows page by
 * page, so that a queue of any length neither fills the memory nor keeps mail waiting. Called by control.c.
 */
#include "queue/control_queue.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "grammar/address.h"
#include "queue/bounce.h"
#include "queue/control_destinations.h"
#include "queue/print.h"
#include "queue/queue_clock.h"
#include "queue/relay_quota.h"
#include "queue/routes.h"
#include "queue/rows.h"
#include "queue/schedule.h"
#include "queue/trace.h"

#define RUN_ARENA_MAX (1u << 20)
#define PAGE_TEXT_MAX (4u << 20)
#define BUSY_MS       20  /* until the reader, or the store, has room again */
#define DROPS_MAX     500 /* files the store is still to remove: mail being accepted waits behind them */
#define PASSES_MAX    3   /* of hold, bounce, delete: rows that came into memory meanwhile */
#define ROUTES_MAX    1000
#define OPERATOR      "stopped by the operator"

/* One command under way. */
struct run {
    struct queue *q;
    struct control_sink sink;
    bool json;
    struct queue_command command; /* texts in the arena */
    struct arena *arena;
    struct loop_timer *timer;
    struct rows_cursor cursor;
    struct buf out;
    uint64_t listed, messages, changed, busy, failed; /* recipients, but for messages */
    uint32_t passes;
    uint64_t changed_before; /* this pass */
    char last_id[QUEUE_ID_LEN + 1];
    struct map *routes; /* that forgot their failures already */
    /* the page being changed */
    struct arena *page;
    struct rows_row *rows;
    struct rows_key *keys;
    size_t key_count, open; /* open: notifications under way */
    bool last;
    struct rows_cursor next;
};

static void read_page(void *arg);

static uint64_t wall(const struct queue *q, uint64_t queue_ms)
{
    return q->clock && queue_ms ? queue_clock_wall(q->clock, queue_ms) : queue_ms;
}

/* ---- which rows ---- */

/* The relay has taken all it may today: also before anything was tried, as after a start. */
static bool is_used_up(struct queue *q, struct slice key)
{
    struct route route;
    struct relay_quota_state quota = {0};
    if (!q->routes || !routes_read(q->routes, key, &route) || route.kind != RELAY_ROUTE_RELAY)
        return false;
    relay_quota_state(q, route.relay, &quota);
    return quota.limit && quota.used + (route.reserved ? 0 : quota.reserve) >= quota.limit;
}

/* Delivered or relayed, and only the notification is owed. */
static bool is_told(const struct rows_row *row)
{
    return slice_eq(row->route, SLICE(ROUTES_TOLD));
}

static enum queue_state state_of(struct queue *q, const struct rows_row *row, const char **why)
{
    uint64_t until;
    *why = "";
    if (row->claimed == SPOOL_HELD)
        return QUEUE_HELD;
    if (row->claimed == SPOOL_CLAIMED)
        return QUEUE_SENDING;
    if (is_told(row)) {
        *why = "done, its sender is to be told";
    } else if (!row->local) {
        *why = schedule_route_state(q, row->route, &until);
        if (slice_eq(slice_of(*why), SLICE("waiting for quota")))
            return QUEUE_QUOTA;
        if (slice_eq(slice_of(*why), SLICE("login refused")))
            return QUEUE_STOPPED;
        if (!**why && is_used_up(q, row->route)) {
            *why = "waiting for quota";
            return QUEUE_QUOTA;
        }
    }
    return row->attempts ? QUEUE_DEFERRED : QUEUE_WAITING;
}

/* `pattern`: an address, or "@domain". */
static bool address_fits(struct slice address, struct slice pattern)
{
    return slice_starts(pattern, SLICE("@")) ? slice_iends(address, pattern) : slice_ieq(address, pattern);
}

static bool domain_fits(struct slice address, struct slice domain)
{
    return slice_ieq(address_domain_of(address), domain);
}

static bool fits(const struct run *run, const struct rows_row *row)
{
    const struct queue_command *c = &run->command;
    const char *why;
    uint64_t now = queue_now_ms(run->q), age = now > row->created_ms ? now - row->created_ms : 0;
    if (c->has_sender && (c->sender.len ? !address_fits(row->sender, c->sender) : row->sender.len > 0))
        return false;
    if (c->recipient.len && !address_fits(row->address, c->recipient) &&
        !address_fits(row->target, c->recipient))
        return false;
    if (c->domain.len && !domain_fits(row->target, c->domain) && !domain_fits(row->address, c->domain))
        return false;
    if ((c->older_ms && age < c->older_ms) || (c->newer_ms && age > c->newer_ms))
        return false;
    int state = (int)state_of(run->q, row, &why);
    if (c->state >= 0 && c->state != state)
        return false;
    return !c->reason.len || slice_isearch(row->error, c->reason) >= 0 ||
           slice_isearch(row->hold, c->reason) >= 0 || slice_isearch(slice_of(why), c->reason) >= 0;
}

/* ---- the end ---- */

static void end(struct run *run, struct slice text, uint32_t code)
{
    struct control_sink sink = run->sink;
    sink.output(sink.ctx, text, code, false);
    loop_timer_free(&run->timer);
    map_free(&run->routes);
    buf_free(&run->out);
    arena_free(&run->page);
    arena_free(&run->arena);
    free(run);
}

/* What is to be read by a program goes to its standard output, whatever the exit code. */
static void end_with(struct run *run, uint32_t code)
{
    if (run->json && run->out.len) {
        run->sink.output(run->sink.ctx, buf_slice(&run->out), 0, true);
        end(run, SLICE_EMPTY, code);
    } else {
        AUTO_BUF struct buf text = run->out;
        run->out = buf_new(1);
        end(run, buf_slice(&text), code);
    }
}

static void end_failed(struct run *run, const struct why *why)
{
    AUTO_BUF struct buf text = buf_new(1000);
    buf_addf(&text, "the queue cannot be read or changed now: %s\n", why && why->text[0] ? why->text : "?");
    end(run, buf_slice(&text), 1);
}

static void go_on(struct run *run)
{
    if (run->sink.gone(run->sink.ctx) || run->q->drained)
        end(run, SLICE_EMPTY, 1);
    else if (!run->sink.ready(run->sink.ctx) || run->q->drop_count > DROPS_MAX)
        loop_timer_set(run->timer, BUSY_MS);
    else
        read_page(run);
}

static void on_timer(void *arg)
{
    go_on(arg);
}

/* ---- list and show ---- */

/* "mx.example.net: 451 4.3.0 try again later" */
static void add_answer(const struct rows_row *row, struct buf *out)
{
    if (row->remote.len) {
        print_add_plain(out, row->remote);
        buf_add_str(out, ": ");
    }
    if (row->code)
        buf_addf(out, "%u ", row->code);
    if (row->enhanced.len && !slice_starts(row->error, row->enhanced)) {
        print_add_plain(out, row->enhanced);
        buf_add_byte(out, ' ');
    }
    print_add_plain(out, row->error);
}

static void add_reason(const struct rows_row *row, const char *why, struct buf *out)
{
    if (row->hold.len)
        print_add_plain(out, row->hold);
    if (*why)
        buf_addf(out, "%s%s", row->hold.len ? "; " : "", why);
    if (row->error.len) {
        buf_add_str(out, row->hold.len || *why ? "; " : "");
        add_answer(row, out);
    }
}

static void add_row_text(struct run *run, const struct rows_row *row, struct buf *out)
{
    char created[CLOCK_TEXT_MAX], due[CLOCK_TEXT_MAX];
    const char *why;
    enum queue_state state = state_of(run->q, row, &why);
    clock_rfc3339(wall(run->q, row->created_ms), created);
    clock_rfc3339(wall(run->q, row->due_ms), due);
    buf_addf(out, "%.*s  %s  %s  ", SLICE_ARG(row->id), queue_state_name(state), created);
    buf_add_byte(out, '<');
    print_add_plain(out, row->sender);
    buf_add_str(out, "> -> ");
    print_add_plain(out, row->target);
    buf_addf(out, "  attempts=%u", row->attempts);
    if (state != QUEUE_HELD && state != QUEUE_SENDING)
        buf_addf(out, "  next=%s", due);
    buf_addf(out, "  size=%llu", (unsigned long long)row->size);
    if (!slice_ieq(row->address, row->target)) {
        buf_add_str(out, "  for=");
        print_add_plain(out, row->address);
    }
    buf_add_str(out, "  route=");
    print_add_plain(out, row->route);
    buf_add_str(out, "  ");
    add_reason(row, why, out);
    buf_add_byte(out, '\n');
}

static void add_row_json(struct run *run, const struct rows_row *row, struct buf *out)
{
    const char *why;
    enum queue_state state = state_of(run->q, row, &why);
    buf_add_str(out, "{\"id\":");
    buf_add_json_string(out, row->id);
    print_add_number(out, "ordinal", row->ordinal);
    print_add_member(out, "state", slice_of(queue_state_name(state)));
    print_add_time(out, "created", wall(run->q, row->created_ms));
    print_add_time(out, "next",
                   state == QUEUE_HELD || state == QUEUE_SENDING ? 0 : wall(run->q, row->due_ms));
    print_add_number(out, "attempts", row->attempts);
    print_add_number(out, "size", row->size);
    print_add_member(out, "sender", row->sender);
    print_add_member(out, "account", row->account);
    print_add_member(out, "recipient", row->address);
    print_add_member(out, "target", row->target);
    buf_addf(out, ",\"local\":%s", row->local ? "true" : "false");
    print_add_member(out, "route", row->route);
    print_add_member(out, "waits", slice_of(why));
    print_add_member(out, "hold", row->hold);
    print_add_number(out, "code", row->code);
    print_add_member(out, "status", row->enhanced);
    print_add_member(out, "remote", row->remote);
    print_add_member(out, "error", row->error);
    print_add_member(out, "session", row->session);
    print_add_member(out, "message_id", row->message_id);
    buf_add_byte(out, '}');
}

static void add_row(struct run *run, const struct rows_row *row)
{
    if (run->json) {
        buf_add_str(&run->out, run->listed ? ",\n" : "[");
        add_row_json(run, row, &run->out);
    } else {
        add_row_text(run, row, &run->out);
    }
    run->listed++;
}

static void on_trace(void *ctx, enum err err, struct slice text)
{
    struct run *run = ctx;
    if (!err && !run->json) {
        buf_add_byte(&run->out, '\n');
        buf_add(&run->out, text);
    }
    end_with(run, 0);
}

static void end_list(struct run *run)
{
    bool one = run->command.verb == QUEUE_SHOW && run->command.id_count == 1;
    bool selects = queue_command_selects(&run->command);
    if (run->json)
        buf_add_str(&run->out, run->listed ? "]\n" : "[]\n");
    else if (!run->listed && run->command.verb == QUEUE_SHOW)
        buf_add_str(&run->out, "no such message in the queue; `rockdove trace ID` tells what became of it\n");
    else if (!run->listed)
        buf_add_str(&run->out, selects ? "nothing matched\n" : "the queue is empty\n");
    if (one && run->listed && !run->json) {
        trace_flush(run->q->trace);
        spool_trace_find(run->q->spool, run->command.ids[0], false, on_trace, run);
        return;
    }
    end_with(run, run->listed || !selects ? 0 : 1);
}

static void list_page(struct run *run, const struct rows_page *page)
{
    uint64_t limit = run->command.limit ? run->command.limit : UINT64_MAX;
    for (size_t i = 0; i < page->count && run->listed < limit; i++)
        if (fits(run, &page->rows[i]))
            add_row(run, &page->rows[i]);
    run->cursor = page->next;
    if (page->last || run->listed >= limit) {
        end_list(run);
        return;
    }
    if (run->out.len)
        run->sink.output(run->sink.ctx, buf_slice(&run->out), 0, true);
    buf_clear(&run->out);
    go_on(run);
}

/* ---- what changes rows ---- */

static const struct {
    enum rows_change change;
    bool recalls; /* rows that wait in memory are wanted too */
    bool wakes;
    const char *done;
} verbs[QUEUE_VERB_COUNT] = {
    [QUEUE_RETRY] = {ROWS_RETRY, false, true, "tried again"},
    [QUEUE_FLUSH] = {ROWS_RETRY, false, true, "tried again"},
    [QUEUE_HOLD] = {ROWS_HOLD, true, false, "held"},
    [QUEUE_RELEASE] = {ROWS_RELEASE, false, true, "released"},
    [QUEUE_BOUNCE] = {ROWS_CLAIM, true, false, "bounced"},
    [QUEUE_DELETE] = {ROWS_CLAIM, true, false, "deleted"},
};

static void end_change(struct run *run)
{
    const char *done = verbs[run->command.verb].done;
    if (verbs[run->command.verb].wakes) {
        if (run->command.verb == QUEUE_FLUSH || run->command.all)
            schedule_unblock(run->q, SLICE_EMPTY);
        schedule_look(run->q);
        deliver_wake(run->q, 0);
    }
    log_info("queue.command", LOG_CSTR("verb", queue_verb_name(run->command.verb)),
             LOG_U64("recipients", run->changed), LOG_U64("messages", run->messages),
             LOG_U64("busy", run->busy));
    if (run->json) {
        buf_addf(&run->out,
                 "{\"verb\":\"%s\",\"recipients\":%llu,\"messages\":%llu,\"busy\":%llu,\"failed\":%llu}\n",
                 queue_verb_name(run->command.verb), (unsigned long long)run->changed,
                 (unsigned long long)run->messages, (unsigned long long)run->busy,
                 (unsigned long long)run->failed);
    } else if (run->changed + run->busy + run->failed == 0) {
        buf_add_str(&run->out, "nothing matched\n");
    } else {
        buf_addf(&run->out, "%llu recipients of %llu messages %s\n", (unsigned long long)run->changed,
                 (unsigned long long)run->messages, done);
        if (run->busy)
            buf_addf(&run->out, "%llu are being sent right now and were left alone\n",
                     (unsigned long long)run->busy);
        if (run->failed)
            buf_addf(&run->out, "%llu could not be: they wait as before\n", (unsigned long long)run->failed);
    }
    end_with(run, run->changed ? 0 : 1);
}

static void on_recalled(void *ctx)
{
    go_on(ctx);
}

/* What was under way, or taken up while this went through, may be free by now. */
static void end_pass(struct run *run)
{
    bool again = verbs[run->command.verb].recalls && run->busy && run->changed > run->changed_before &&
                 ++run->passes < PASSES_MAX;
    if (!again) {
        end_change(run);
        return;
    }
    run->changed_before = run->changed;
    run->busy = 0;
    run->cursor = (struct rows_cursor){0};
    schedule_recall(run->q, on_recalled, run);
}

static void page_done(struct run *run)
{
    arena_free(&run->page);
    run->cursor = run->next;
    if (run->last)
        end_pass(run);
    else
        go_on(run);
}

static void count_changed(struct run *run, const struct rows_key *key)
{
    run->changed++;
    if (!slice_eq(key->id, slice_of(run->last_id))) {
        run->messages++;
        for (size_t i = 0; i < QUEUE_ID_LEN && i < key->id.len; i++)
            run->last_id[i] = (char)key->id.ptr[i];
    }
}

static void on_deleted(void *ctx, enum err err, const struct why *why)
{
    struct run *run = ctx;
    for (size_t i = 0; !err && i < run->key_count; i++)
        if (run->keys[i].changed)
            count_changed(run, &run->keys[i]);
    if (err)
        end_failed(run, why);
    else
        page_done(run);
}

static void delete_claimed(struct run *run)
{
    struct spool_change *changes = ARENA_ARRAY(run->page, struct spool_change, run->key_count);
    size_t count = 0;
    for (size_t i = 0; i < run->key_count; i++) {
        const struct rows_key *key = &run->keys[i];
        if (!key->changed)
            continue;
        changes[count++] = (struct spool_change){.id = key->id, .ordinal = key->ordinal};
        trace_add(run->q->trace, run->rows[i].session, key->id, SLICE("deleted by the operator"));
    }
    spool_change(run->q->spool, changes, count, on_deleted, run);
}

/* ---- bounce ---- */

struct group {
    struct run *run;
    size_t first, count;
};

static void group_done(struct run *run)
{
    if (--run->open == 0)
        page_done(run);
}

static void on_returned(void *ctx, enum err err, const struct why *why)
{
    struct group *group = ctx;
    (void)err;
    (void)why;
    group_done(group->run);
}

static void on_bounced(void *ctx, enum err err, size_t settled)
{
    struct group *group = ctx;
    struct run *run = group->run;
    size_t left = group->count - settled;
    for (size_t i = 0; i < settled; i++)
        count_changed(run, &run->keys[group->first + i]);
    if (!err) {
        group_done(run);
        return;
    }
    run->failed += left;
    rows_change(run->q->spool, ROWS_RETURN, run->keys + group->first + settled, left, queue_now_ms(run->q),
                NULL, on_returned, group);
}

static struct queued_row queued_row_of(const struct rows_row *row)
{
    return (struct queued_row){.ordinal = row->ordinal,
                               .notify = row->notify,
                               .attempts = row->attempts,
                               .address = row->address,
                               .orcpt = row->orcpt,
                               .target = row->target,
                               .code = row->code,
                               .enhanced = row->enhanced,
                               .text = row->error,
                               .remote = row->remote};
}

static void bounce_group(struct run *run, size_t first, size_t count)
{
    const struct rows_row *m = &run->rows[first];
    struct bounce_row *rows = ARENA_ARRAY(run->page, struct bounce_row, count);
    struct group *group = ARENA_NEW(run->page, struct group);
    *group = (struct group){.run = run, .first = first, .count = count};
    for (size_t i = 0; i < count; i++) {
        const struct queued_row row = queued_row_of(&run->rows[first + i]);
        bounce_row_in(run->page, &row, DSN_FAILED, DSN_REASON_OPERATOR, &rows[i]);
        rows[i].status = SLICE("5.3.0");
    }
    const struct bounce_message message = {.id = m->id,
                                           .sender = m->sender,
                                           .session = m->session,
                                           .message_id = m->message_id,
                                           .subject = m->subject,
                                           .account = m->account,
                                           .envid = m->envid,
                                           .ret = m->ret,
                                           .smtputf8 = m->smtputf8,
                                           .eightbit = m->eightbit,
                                           .requiretls = m->requiretls,
                                           .created_ms = m->created_ms,
                                           .size = m->size};
    run->open++;
    bounce_send(run->q, &message, rows, count, on_bounced, group);
}

/* The claimed rows move to the front; those of one message stand together. */
static void bounce_claimed(struct run *run)
{
    size_t count = 0;
    for (size_t i = 0; i < run->key_count; i++) {
        if (!run->keys[i].changed)
            continue;
        run->keys[count] = run->keys[i];
        run->rows[count++] = run->rows[i];
    }
    run->open = 1; /* this function's own */
    for (size_t first = 0, i = 1; i <= count; i++) {
        if (i < count && slice_eq(run->rows[i].id, run->rows[first].id))
            continue;
        bounce_group(run, first, i - first);
        first = i;
    }
    group_done(run);
}

/* ---- a page of rows to be changed ---- */

/* Each route once; with very many of them, all. */
static void unblock(struct run *run, struct slice route)
{
    if (!run->routes)
        run->routes = map_new(ROUTES_MAX);
    if (map_get(run->routes, route) || run->command.all)
        return; /* all of them at the end */
    if (!map_put(run->routes, arena_dup(run->arena, route), run))
        run->command.all = true;
    else
        schedule_unblock(run->q, route);
}

static void on_changed(void *ctx, enum err err, const struct why *why)
{
    struct run *run = ctx;
    if (err) {
        end_failed(run, why);
        return;
    }
    for (size_t i = 0; i < run->key_count; i++)
        run->busy += !run->keys[i].changed && run->rows[i].claimed != SPOOL_HELD;
    if (run->command.verb == QUEUE_DELETE) {
        delete_claimed(run);
        return;
    }
    if (run->command.verb == QUEUE_BOUNCE) {
        bounce_claimed(run);
        return;
    }
    for (size_t i = 0; i < run->key_count; i++) {
        if (!run->keys[i].changed)
            continue;
        count_changed(run, &run->keys[i]);
        if (run->command.verb == QUEUE_RETRY)
            unblock(run, run->keys[i].route);
    }
    page_done(run);
}

/* What the page holds dies with it: the chosen rows are copied. */
static void keep_row(struct run *run, const struct rows_row *row)
{
    struct rows_row *kept = &run->rows[run->key_count];
    *kept = *row;
    struct slice *texts[] = {&kept->subject, &kept->id,         &kept->sender, &kept->session, &kept->account,
                             &kept->envid,   &kept->message_id, &kept->target, &kept->address, &kept->orcpt,
                             &kept->error,   &kept->enhanced,   &kept->remote, &kept->route,   &kept->hold};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *texts[i] = arena_dup(run->page, *texts[i]);
    run->keys[run->key_count++] =
        (struct rows_key){.id = kept->id, .ordinal = kept->ordinal, .route = kept->route};
}

/* A held row is retried only by its release; one that is not held needs none. */
static bool concerned(const struct run *run, const struct rows_row *row)
{
    switch (run->command.verb) {
    case QUEUE_RETRY:
    case QUEUE_FLUSH:
    case QUEUE_HOLD:
        return row->claimed != SPOOL_HELD;
    case QUEUE_RELEASE:
        return row->claimed == SPOOL_HELD;
    case QUEUE_BOUNCE:
        return !is_told(row);
    default:
        return true;
    }
}

static void change_page(struct run *run, const struct rows_page *page)
{
    run->page = arena_new(ROWS_ARENA_MAX);
    run->rows = ARENA_ARRAY(run->page, struct rows_row, page->count);
    run->keys = ARENA_ARRAY(run->page, struct rows_key, page->count);
    run->key_count = 0;
    run->last = page->last;
    run->next = page->next;
    for (size_t i = 0; i < page->count; i++)
        if (fits(run, &page->rows[i]) && concerned(run, &page->rows[i]))
            keep_row(run, &page->rows[i]);
    if (run->key_count)
        rows_change(run->q->spool, verbs[run->command.verb].change, run->keys, run->key_count,
                    queue_now_ms(run->q), OPERATOR, on_changed, run);
    else
        page_done(run);
}

/* ---- */

static void on_page(void *ctx, enum err err, const struct rows_page *page)
{
    struct run *run = ctx;
    const struct why why = {.text = "the database does not answer"};
    if (err)
        end_failed(run, &why);
    else if (run->command.verb == QUEUE_LIST || run->command.verb == QUEUE_SHOW)
        list_page(run, page);
    else
        change_page(run, page);
}

static void read_page(void *arg)
{
    struct run *run = arg;
    rows_read(run->q->spool, &run->cursor, run->command.ids, run->command.id_count, on_page, run);
}

static void copy_command(struct run *run)
{
    struct queue_command *c = &run->command;
    struct slice *texts[] = {&c->sender, &c->recipient, &c->domain, &c->reason};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *texts[i] = arena_dup(run->arena, *texts[i]);
    for (size_t i = 0; i < c->id_count; i++)
        c->ids[i] = arena_dup(run->arena, c->ids[i]);
}

void control_queue(struct queue *q, const struct slice *arguments, size_t count, bool json,
                   const struct control_sink *sink)
{
    struct queue_command command;
    struct why why;
    if (queue_command_parse(arguments, count, &command, &why) != ERR_OK) {
        AUTO_BUF struct buf text = buf_new(1000);
        buf_addf(&text, "queue: %s\nusage: queue VERB [ID…] [FILTER…]\n", why.text);
        sink->output(sink->ctx, buf_slice(&text), 2, false);
        return;
    }
    if (command.verb == QUEUE_DESTINATIONS) {
        control_destinations(q, command.limit, json, sink);
        return;
    }
    struct run *run = mem_zero(1, sizeof *run);
    *run = (struct run){.q = q,
                        .sink = *sink,
                        .json = json,
                        .command = command,
                        .arena = arena_new(RUN_ARENA_MAX),
                        .timer = loop_timer_new(q->loop, on_timer, run),
                        .out = buf_new(PAGE_TEXT_MAX)};
    copy_command(run);
    if (verbs[command.verb].recalls)
        schedule_recall(q, on_recalled, run);
    else
        read_page(run);
}
