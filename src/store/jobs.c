/* jobs.c: a request on its way: copied from the packet, worked on the account's strand, answered on the loop.
 * Answers go only to the life of the peer that asked. */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "settings/metrics.h"
#include "store/context.h"

void store_fail(enum err *err, struct refusal *refusal, enum err what, enum store_code code, const char *text)
{
    *err = err_set(&refusal->why, what, "%s", text);
    refusal->code = code;
}

bool job_asker_is_there(const struct job *job)
{
    return job->link && !job->gone && job->epoch == job->store->epochs[job->role] &&
           ipc_link_is_up(job->link);
}

uint32_t job_err(const struct job *job)
{
    return job->err == ERR_INTERNAL ? ERR_LATER : job->err;
}

uint32_t job_code(const struct job *job)
{
    if (!job->err || job->refusal.code)
        return job->err ? job->refusal.code : STORE_CODE_NONE;
    return job->err == ERR_ABSENT ? STORE_CODE_NONEXISTENT : STORE_CODE_UNAVAILABLE;
}

struct slice job_text(const struct job *job)
{
    if (job->err == ERR_INTERNAL) /* the log has it */
        return SLICE("internal error");
    return job->err ? slice_of(job->refusal.why.text) : SLICE_EMPTY;
}

void job_answer_result(struct job *job)
{
    wire_reply_result(job->link, job->request, (enum err)job_err(job), (enum store_code)job_code(job),
                      job_text(job));
}

static void work(void *arg)
{
    struct job *job = arg;
    job->again = false;
    bool own = !job->reader.len; /* nobody makes another's account */
    unsigned how = (own ? SLOT_MAKE : 0) | (job->op->asleep ? SLOT_ASLEEP : 0);
    if (job->op->before)
        job->op->before(job);
    job->err = slot_account(job->slot, how, &job->account, &job->refusal.why);
    if (job->err == ERR_ABSENT && !own)
        job_absent(job);
    if (job->err)
        return;
    job->account->limits = job->limits;
    if (!job->watch || access_watch(job))
        job->op->work(job);
    job->news = account_take_news(job->account);
    job->slept = !job->account->db;
}

static void done(void *arg);

static void run(struct job *job)
{
    loop_strand_run(job->slot->strand, work, done, job);
}

static void finish(struct job *job)
{
    if (job->err == ERR_INTERNAL) {
        metric_inc(METRIC_STORE_ERRORS);
        log_error("store.failed", LOG_STR("account", job->slot->address),
                  LOG_CSTR("request", wire_name(job->type)), LOG_WHY(&job->refusal.why));
    }
    list_remove(&job->asked);
    job->store->jobs--;
    slot_release(job->slot);
    struct arena *arena = job->arena; /* the job lives in it */
    arena_free(&arena);
}

static void done(void *arg)
{
    struct job *job = arg;
    job->slot->opened = job->slot->opened || job->account;
    struct account_news news = job->news;
    job->news = (struct account_news){0};
    const struct grant *by = job->message ? wire_grant(job->type, job->message) : NULL;
    watches_tell(job->store, job->slot, &news, by); /* a moved image before the answer that needs it */
    if (job_asker_is_there(job) || !job->request) {
        job->op->answer(job);
    } else {
        job->again = false;
        if (job->op->discard)
            job->op->discard(job);
    }
    if (!job->again)
        finish(job);
    else if (ipc_congested(job->link))
        list_push_back(&job->store->parked[job->role], &job->node);
    else
        run(job);
}

bool jobs_on_cancel(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    const struct wire_cancel *m = message;
    struct store *store = ctx;
    (void)packet;
    LIST_EACH(&store->stoppable, node)
    {
        struct job *job = CONTAINER_OF(node, struct job, asked);
        job->gone = job->gone || (job->link == link && job->request == m->request);
    }
    return true;
}

void jobs_resume(struct store *store, enum role role)
{
    struct list *node;
    while ((node = list_pop_front(&store->parked[role])))
        run(CONTAINER_OF(node, struct job, node));
}

void job_move(struct job *job, struct slot *slot, struct slice reader)
{
    slot_hold(slot);
    slot_release(job->slot);
    job->slot = slot;
    job->reader = reader;
    job->account = NULL;
    job->err = ERR_OK;
    job->refusal = (struct refusal){0};
    job->limits = quotas_of(job->store->quotas, slot->address);
    job->watch = 0; /* it is not of this account */
    job->again = true;
}

/* Grants are named by network roles alone; each of their messages has been checked for one. */
static struct slice reader_of(struct store *store, const struct slot *slot, const struct ipc_link *link,
                              struct arena *arena)
{
    bool network = link && (role_of_link(link) == ROLE_IMAP || role_of_link(link) == ROLE_HTTP);
    bool own = !network || slice_eq(store->asker, slot->address);
    return own ? SLICE_EMPTY : arena_dup(arena, store->asker);
}

/* The packet's bytes are the link's: decoded once more, from a copy that lives as long as the job. */
static void copy_message(struct job *job, const struct ipc_packet *packet)
{
    job->type = (enum wire_type)packet->type;
    job->request = packet->request;
    job->message = arena_must(job->arena, wire_size(job->type));
    if (wire_decode(job->type, arena_dup(job->arena, packet->body), job->message) != ERR_OK)
        abort(); /* the same bytes were decoded before */
}

struct job *job_new(struct store *store, struct slot *slot, const struct job_op *op, struct ipc_link *link,
                    struct ipc_packet *packet, uint64_t watch, uint64_t mailbox)
{
    struct arena *arena = arena_new(STORE_REQUEST_ARENA);
    struct job *job = ARENA_NEW(arena, struct job);
    *job = (struct job){.store = store,
                        .slot = slot,
                        .op = op,
                        .link = link,
                        .role = link ? role_of_link(link) : ROLE_STORE,
                        .arena = arena,
                        .watch = watch,
                        .mailbox = mailbox,
                        .reader = reader_of(store, slot, link, arena)};
    job->epoch = store->epochs[job->role];
    job->limits = quotas_of(store->quotas, slot->address);
    if (packet)
        copy_message(job, packet);
    if (op->may_stop)
        list_push_back(&store->stoppable, &job->asked);
    store->jobs++;
    slot_hold(slot);
    return job;
}

void job_run(struct job *job)
{
    run(job);
}

/* Saves the way to a thread and back, which is most of what a STATUS or a SELECT costs. */
void job_run_here(struct job *job)
{
    struct slot *slot = job->slot;
    bool alone = slot->jobs == 1; /* this one: the strand is idle */
    if (!alone || !slot->account || job->watch) {
        run(job);
        return;
    }
    job->account = slot->account;
    if (job->op->in_memory && !job->op->in_memory(job)) {
        run(job);
        return;
    }
    job->op->work(job);
    job->slept = !job->account->db;
    job->op->answer(job);
    finish(job);
}

void job_nothing(struct job *job)
{
    (void)job;
}

void job_wake(const struct job *job)
{
    static const struct job_op wake_op = {.work = job_nothing, .answer = job_nothing};
    if (job->slept && !job->store->draining)
        job_start(job->store, job->slot, &wake_op, NULL, NULL, 0, 0);
}

void job_start(struct store *store, struct slot *slot, const struct job_op *op, struct ipc_link *link,
               struct ipc_packet *packet, uint64_t watch, uint64_t mailbox)
{
    run(job_new(store, slot, op, link, packet, watch, mailbox));
}

/* ---- what every mailbox message is checked for ---- */

void job_answer_now(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                    const struct job_op *op, enum err err, enum store_code code, const char *text)
{
    if (!packet->request)
        return;
    struct job job = {.store = store, .link = link, .request = packet->request, .op = op};
    store_fail(&job.err, &job.refusal, err, code, text);
    op->answer(&job);
}

bool store_check_grant(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                       const struct grant *name, const struct job_op *op, struct slot **slot)
{
    struct slice account;
    *slot = NULL;
    switch (grants_find(&store->grants, name, role_of_link(link), &account)) {
    case GRANT_ALIVE:
        store->asker = account;
        if (store->jobs < STORE_JOBS_MAX && !store->draining)
            *slot = slot_get(store, account);
        if (!*slot)
            job_answer_now(store, link, packet, op, ERR_LATER, STORE_CODE_UNAVAILABLE,
                           "too much to do, try later");
        return true;
    case GRANT_EXPIRED:
        job_answer_now(store, link, packet, op, ERR_REFUSED, STORE_CODE_EXPIRED, "the session is over");
        return true;
    case GRANT_UNKNOWN_YET:
        job_answer_now(store, link, packet, op, ERR_LATER, STORE_CODE_UNAVAILABLE,
                       "the server has just started");
        return true;
    default:
        return false;
    }
}

bool store_check_watch(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                       const struct grant *name, uint64_t id, const struct job_op *op, struct watch **watch)
{
    struct slot *slot;
    *watch = NULL;
    if (!store_check_grant(store, link, packet, name, op, &slot))
        return false;
    if (!slot)
        return true;
    struct watch *w = watch_find(store, id);
    if (w && (w->role != role_of_link(link) || (w->slot != slot && !watch_has_reader(w, slot->address))))
        return false; /* it was never given to this account */
    if (!w)           /* of an earlier life of ours */
        job_answer_now(store, link, packet, op, ERR_LATER, STORE_CODE_UNAVAILABLE,
                       "the mailbox must be selected again");
    else if (w->gone)
        job_answer_now(store, link, packet, op, ERR_ABSENT, STORE_CODE_NONEXISTENT,
                       "the mailbox was deleted");
    else
        *watch = w;
    return true;
}
