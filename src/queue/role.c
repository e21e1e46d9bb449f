/* role.c: the queue role: transactions from smtp, deliveries to the store, what waits, the control socket.
 * Nothing raw reaches it; smtp's messages are checked against what smtp may know. Started by proc/. */
#include "queue/queue.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "queue/bounce.h"
#include "queue/control.h"
#include "queue/relay_trial.h"
#include "queue/keys.h"
#include "queue/routes.h"
#include "queue/schedule.h"
#include "queue/spool.h"
#include "queue/trace.h"
#include "queue/upkeep.h"

/* The kernel's name for this boot; empty where it tells none. */
static void read_boot(char boot[QUEUE_CLOCK_BOOT_ID + 1])
{
    struct why why;
    size_t got = 0;
    AUTO_FD int fd = -1;
    if (io_open_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC, 0, &fd, &why) ||
        io_pread(fd, boot, 36, 0, &got, &why))
        got = 0;
    boot[got] = 0;
}

static void *load(struct role_run *run, struct why *why)
{
    struct queue *q = mem_zero(1, sizeof *q);
    q->run = run;
    q->loop = role_loop(run);
    q->settings = role_settings(run);
    if (table_check_files(q, false, why)) {
        free(q);
        return NULL;
    }
    q->txns = idmap_new(QUEUE_TXN_MAX);
    list_init(&q->open);
    list_init(&q->spare);
    list_init(&q->active);
    list_init(&q->local);
    list_init(&q->tellings);
    list_init(&q->drops);
    list_init(&q->trials);
    read_boot(q->boot);
    q->clock = mem_zero(1, sizeof *q->clock);
    q->routes = routes_build(q, false);
    q->quotas = relay_quotas_new(q);
    q->schedule = schedule_new(q);
    queue_grants_init(&q->grants);
    q->keys = keys_new(q);
    q->bounces = bounces_new(q);
    /* The server's own user: root talks anyway, and where roles have uids of their own nobody else is the
     * operator. */
    q->operator_uid = (uint32_t)getuid();
    return q;
}

/* Counts on while the machine sleeps, and nobody sets it. */
static uint64_t steady_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static enum err start_clock(struct queue *q, struct why *why)
{
    struct queue_clock_kept kept = {0};
    bool known = false;
    enum err err = spool_load(q->spool, q, &kept, &known, why);
    if (err)
        return err;
    queue_clock_begin(q->clock, known ? &kept : NULL, q->boot, clock_unix_ms(), steady_ms());
    if (q->clock->kept.correction_ms)
        log_warn("queue.clock", LOG_I64("correction_ms", q->clock->kept.correction_ms));
    relay_quotas_reload(q);
    return ERR_OK;
}

static enum err start(void *ctx, struct why *why)
{
    struct queue *q = ctx;
    enum err err = spool_open(q->loop, SPOOL_PATH, &q->spool, why);
    if (err)
        return err;
    err = start_clock(q, why);
    if (err)
        return err;
    queue_id_next(&q->ids, clock_unix_ms(), q->files_before);
    q->trace = trace_new(q->loop, q->spool);
    q->control = control_new(q, role_control_socket(q->run), q->operator_uid);
    q->upkeep = upkeep_new(q);
    schedule_look(q);
    role_ready_later(q->run); /* no recipient is known before auth told the accounts */
    return ERR_OK;
}

/* ---- reload ---- */

static enum err prepare(void *ctx, struct why *why)
{
    struct queue *q = ctx;
    table_free(&q->next_table);
    enum err err = table_check_files(q, true, why);
    if (err)
        return err;
    routes_free(&q->next_routes);
    q->next_routes = routes_build(q, true);
    if (q->accounts_known)
        q->next_table = table_build(q, true, slice_make(q->accounts, q->accounts_len));
    return ERR_OK;
}

static void commit(void *ctx)
{
    struct queue *q = ctx;
    q->settings = role_settings(q->run);
    if (q->next_table) {
        table_free(&q->table);
        q->table = q->next_table;
        q->next_table = NULL;
    } else {
        table_refresh(q);
    }
    if (q->next_routes) {
        routes_free(&q->routes);
        q->routes = q->next_routes;
        q->next_routes = NULL;
    }
    schedule_reload(q);
    relay_quotas_reload(q);
    relay_trials_go_on(q, true);
}

static void forget_next(void *ctx)
{
    struct queue *q = ctx;
    table_free(&q->next_table);
    routes_free(&q->next_routes);
    relay_trials_go_on(q, false);
}

/* ---- peers ---- */

static void on_peer(void *ctx, enum role peer, bool up)
{
    struct queue *q = ctx;
    if (peer == ROLE_SMTP && !up) {
        txn_drop_all(q);
        queue_grants_forget_holder(&q->grants, ROLE_SMTP);
    }
    if (peer == ROLE_RELAY && up) {
        keys_relay_up(q);
        schedule_relay_up(q);
    }
    if (peer == ROLE_STORE && up)
        deliver_store_up(q);
}

static bool on_store_state(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct queue *q = ctx;
    const struct wire_store_state *m = message;
    (void)link;
    (void)packet;
    if (q->space_low != (m->space_low != 0))
        log_warn("queue.space", LOG_BOOL("low", m->space_low != 0));
    q->space_low = m->space_low != 0;
    return true;
}

static const struct role_dispatch dispatch[] = {
    {WIRE_QUEUE_MAIL, txn_on_mail},
    {WIRE_QUEUE_RCPT, txn_on_recipient},
    {WIRE_QUEUE_COMMIT, txn_on_commit},
    {WIRE_QUEUE_RESET, txn_on_reset},
    {WIRE_GRANT_ADD, queue_grants_on_add},
    {WIRE_GRANT_DROP, queue_grants_on_drop},
    {WIRE_GRANT_REPLAYED, queue_grants_on_replayed},
    {WIRE_ACCOUNTS, table_on_accounts},
    {WIRE_DKIM_KEYS, keys_on_list},
    {WIRE_RELAY_SECRET_CHANGED, schedule_on_secret_changed},
    {WIRE_STORE_STATE, on_store_state},
    {WIRE_NONE, NULL},
};

uint64_t queue_now_ms(const struct queue *q)
{
    int64_t before = q->clock->kept.correction_ms;
    uint64_t now = queue_clock_look(q->clock, clock_unix_ms(), steady_ms());
    if (q->clock->kept.correction_ms != before)
        log_warn("queue.clock", LOG_CSTR("what", "the clock was set: waiting mail keeps its times"),
                 LOG_I64("correction_ms", q->clock->kept.correction_ms));
    return now;
}

bool queue_has(const struct queue *q, enum role peer)
{
    const struct ipc_link *link = role_link(q->run, peer);
    return link && ipc_link_is_up(link);
}

/* ---- the end ---- */

static bool is_committing(const struct queue *q)
{
    LIST_EACH(&q->open, node)
    {
        if (CONTAINER_OF(node, struct txn, node)->committing)
            return true;
    }
    return false;
}

/* What is accepted and undelivered is on disk already; only answers that are due, deliveries and writes under
 * way are waited for. */
void queue_check_drained(struct queue *q)
{
    if (!q->draining || q->drained || is_committing(q) || schedule_running(q) || q->local_running ||
        spool_pending(q->spool))
        return;
    q->drained = true;
    role_drained(q->run);
}

static void on_drain_timer(void *arg)
{
    struct queue *q = arg;
    queue_check_drained(q);
    if (q->drained)
        return;
    if (loop_now_ms(q->loop) >= q->drain_until_ms) {
        q->drained = true;
        role_drained(q->run);
        return;
    }
    loop_timer_set(q->drain_timer, 20);
}

static void drain(void *ctx, uint64_t ms)
{
    struct queue *q = ctx;
    q->draining = true;
    q->drain_until_ms = loop_now_ms(q->loop) + ms;
    trace_flush(q->trace);
    q->drain_timer = loop_timer_new(q->loop, on_drain_timer, q);
    loop_timer_set(q->drain_timer, 1);
}

static void free_queue(void *ctx)
{
    struct queue *q = ctx;
    q->smtp_epoch++; /* nobody is there to answer any more */
    q->drained = true;
    spool_stop(q->spool);
    if (q->trace)
        trace_free(&q->trace);
    spool_close(&q->spool);
    bounces_free(&q->bounces);
    keys_free(&q->keys);
    relay_trials_free(q);
    control_free(&q->control);
    loop_timer_free(&q->drain_timer);
    LIST_EACH(&q->open, node)
    txn_close(CONTAINER_OF(node, struct txn, node));
    upkeep_free(&q->upkeep);
    deliver_stop(q);
    schedule_free(&q->schedule);
    relay_quotas_free(&q->quotas);
    routes_free(&q->routes);
    routes_free(&q->next_routes);
    free(q->clock);
    txn_free_spares(q);
    queue_grants_free(&q->grants);
    table_free(&q->table);
    table_free(&q->next_table);
    idmap_free(&q->txns);
    free(q->accounts);
    free(q);
}

const struct role_ops queue_role = {
    .role = ROLE_QUEUE,
    .dispatch = dispatch,
    .load = load,
    .start = start,
    .prepare = prepare,
    .commit = commit,
    .abort = forget_next,
    .peer = on_peer,
    .drain = drain,
    .free = free_queue,
};
