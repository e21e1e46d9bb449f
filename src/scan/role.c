/* role.c: the scan process: takes tasks from store, answers facts. The only input of strangers is the message
 * behind the descriptor; it is read by job.c, small ones at once, larger ones on a pool thread. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "scan/job.h"
#include "scan/scan.h"
#include "settings/metrics.h"

/* Messages up to so many bytes are scanned on the loop's thread: well below a millisecond. */
#define INLINE_MAX  (64 * 1024)
#define THREADS_MAX 4

struct scan {
    struct role_run *run;
    struct loop_pool *pool;
    struct job_tools inline_tools;
    pthread_mutex_t lock; /* of the next two: pool threads take tools and give them back */
    struct job_tools tools[THREADS_MAX];
    unsigned free_tools;
    unsigned threads;
    uint64_t store_lives; /* how often store went away: answers for an earlier one are dropped */
    size_t running;
    bool draining;
};

struct job {
    struct scan *scan;
    struct arena *arena; /* holds the task's strings and the job */
    struct wire_scan_task task;
    int fd;
    uint32_t request;
    uint64_t store_lives, started;
    struct buf facts;
    struct sending sending;
    int converted; /* BODY_SEVEN_BIT */
    enum err err;
    struct why why;
};

static struct job *job_new(struct scan *scan, struct ipc_packet *packet, const struct wire_scan_task *task)
{
    struct arena *arena = arena_new(16 * WIRE_TEXT_MAX);
    struct job *job = ARENA_NEW(arena, struct job);
    *job = (struct job){.scan = scan,
                        .arena = arena,
                        .task = *task,
                        .fd = ipc_take_fd(packet, 0),
                        .request = packet->request,
                        .store_lives = scan->store_lives,
                        .started = clock_mono_ns(),
                        .facts = buf_new(FACTS_MAX_ENCODED),
                        .sending = sending_new(),
                        .converted = -1};
    job->task.hostname = arena_dup(arena, task->hostname);
    job->task.date = arena_dup(arena, task->date);
    job->task.message_id = arena_dup(arena, task->message_id);
    return job;
}

static void job_free(struct job *job)
{
    io_close(&job->fd);
    io_close(&job->converted);
    buf_free(&job->facts);
    sending_free(&job->sending);
    struct arena *arena = job->arena;
    arena_free(&arena);
}

static struct job_tools take_tools(struct scan *scan)
{
    pthread_mutex_lock(&scan->lock);
    struct job_tools tools = scan->tools[--scan->free_tools]; /* as many as there are threads */
    pthread_mutex_unlock(&scan->lock);
    return tools;
}

static void give_tools(struct scan *scan, struct job_tools tools)
{
    pthread_mutex_lock(&scan->lock);
    scan->tools[scan->free_tools++] = tools;
    pthread_mutex_unlock(&scan->lock);
}

static void run(struct job *job, struct job_tools *tools)
{
    job->err = job->task.kind == BODY_SEVEN_BIT
                   ? job_seven_bit(tools, &job->task, job->fd, &job->converted, &job->sending, &job->why)
                   : job_scan_sending(tools, &job->task, job->fd, &job->facts, &job->sending, &job->why);
}

static void work(void *arg)
{
    struct job *job = arg;
    struct job_tools tools = take_tools(job->scan);
    run(job, &tools);
    give_tools(job->scan, tools);
}

/* Facts too long for a packet travel in a sealed memfd. */
static enum err put_aside(struct slice facts, int *fd, struct why *why)
{
    enum err err = io_memfd("rockdove-facts", fd, why);
    if (err == ERR_OK)
        err = io_write_all(*fd, facts, why);
    return err == ERR_OK ? io_seal(*fd, why) : err;
}

static void fill_reply(const struct job *job, struct wire_scan_facts *reply)
{
    const struct sending *sending = &job->sending;
    *reply =
        (struct wire_scan_facts){.eightbit = sending->eightbit,
                                 .utf8_header = sending->utf8_header,
                                 .header_len = job->task.kind == BODY_SEVEN_BIT ? sending->header_len : 0,
                                 .facts = buf_slice(&job->facts)};
    if (!sending->can_sign)
        return;
    reply->dkim_hash = slice_make(sending->hash, sizeof sending->hash);
    reply->dkim_names = buf_slice(&sending->names);
    reply->dkim_fields = buf_slice(&sending->fields);
}

static void answer(struct job *job)
{
    struct ipc_link *store = role_link(job->scan->run, ROLE_STORE);
    struct wire_scan_facts reply = {0};
    AUTO_FD int fd = job->converted;
    job->converted = -1;
    if (job->err == ERR_OK)
        fill_reply(job, &reply);
    if (reply.facts.len + reply.dkim_names.len + reply.dkim_fields.len > WIRE_BLOB_MAX) {
        reply.facts = SLICE_EMPTY;
        job->err = put_aside(buf_slice(&job->facts), &fd, &job->why);
    }
    if (job->err != ERR_OK) {
        reply = (struct wire_scan_facts){.err = job->err, .text = slice_of(job->why.text)};
        if (job->err != ERR_REFUSED || job->task.kind != BODY_SEVEN_BIT)
            log_error("scan.failed", LOG_WHY(&job->why), LOG_U64("size", job->task.size));
    }
    wire_reply_fds(store, job->request, WIRE_SCAN_FACTS, false, &reply, &fd, job->err == ERR_OK && fd >= 0);
}

static void done(void *arg)
{
    struct job *job = arg;
    struct scan *scan = job->scan;
    if (job->store_lives == scan->store_lives)
        answer(job);
    metric_add(METRIC_SCANS, job->err == ERR_OK ? METRIC_OK : METRIC_FAILED, 1);
    metric_observe(METRIC_SCAN_SECONDS, 0, clock_mono_ns() - job->started);
    job_free(job);
    scan->running--;
    if (scan->draining && !scan->running)
        role_drained(scan->run);
}

static bool handle_task(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct scan *scan = ctx;
    const struct wire_scan_task *task = message;
    (void)link;
    if (task->kind > BODY_SEVEN_BIT || packet->fd_count != 1 || !packet->request)
        return false;
    struct job *job = job_new(scan, packet, task);
    scan->running++;
    if (task->size > INLINE_MAX) {
        loop_pool_run(scan->pool, work, done, job);
        return true;
    }
    run(job, &scan->inline_tools);
    done(job);
    return true;
}

static void *load(struct role_run *run, struct why *why)
{
    struct scan *scan = mem_zero(1, sizeof *scan);
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    (void)why;
    charset_load();
    scan->run = run;
    scan->threads = processors < 1 ? 1 : processors > THREADS_MAX ? THREADS_MAX : (unsigned)processors;
    scan->inline_tools = job_tools_new();
    pthread_mutex_init(&scan->lock, NULL);
    for (unsigned i = 0; i < scan->threads; i++)
        give_tools(scan, job_tools_new());
    return scan;
}

static enum err start(void *ctx, struct why *why)
{
    struct scan *scan = ctx;
    (void)why;
    scan->pool = loop_pool_new(role_loop(scan->run), "scan", scan->threads);
    return ERR_OK;
}

static void peer(void *ctx, enum role role, bool up)
{
    struct scan *scan = ctx;
    if (role == ROLE_STORE && !up)
        scan->store_lives++;
}

static void drain(void *ctx, uint64_t ms)
{
    struct scan *scan = ctx;
    (void)ms;
    scan->draining = true;
    if (!scan->running)
        role_drained(scan->run);
}

static void scan_free(void *ctx)
{
    struct scan *scan = ctx;
    loop_pool_free(&scan->pool);
    for (unsigned i = 0; i < scan->free_tools; i++)
        job_tools_free(&scan->tools[i]);
    job_tools_free(&scan->inline_tools);
    pthread_mutex_destroy(&scan->lock);
    free(scan);
}

static const struct role_dispatch dispatch[] = {
    {WIRE_SCAN_TASK, handle_task},
    {WIRE_NONE, NULL},
};

const struct role_ops scan_role = {
    .role = ROLE_SCAN,
    .dispatch = dispatch,
    .load = load,
    .start = start,
    .peer = peer,
    .drain = drain,
    .free = scan_free,
};
