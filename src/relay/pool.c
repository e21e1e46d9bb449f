/* pool.c: connections kept for the next message, and the search for one that works. Hosts and addresses come
 * from resolve.c, which has judged them; what servers do is client.c's. Called by job.c. */
#include "relay/pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "relay/identity.h"
#include "relay/sts.h"
#include "settings/metrics.h"

#define SWEEP_MS         1000
#define PORT_SUBMISSIONS 465 /* RFC 8314 section 3.3: TLS from the first byte */

/* What shares a key. */
struct way {
    struct list idle; /* most recently used first */
    unsigned conns;
    size_t hosts; /* as last looked up */
    size_t key_len;
    char key[];
};

struct pool_conn {
    struct list node;      /* in pool.conns */
    struct list idle_node; /* in way.idle */
    struct list lru_node;  /* in pool.lru */
    struct pool *pool;
    struct way *way;
    struct client *client;
    struct pool_job *job;
    const char *policy, *tls_result;
    uint64_t opened_ms;
    unsigned generation;
};

struct pool {
    struct loop *loop;
    struct pool_setup setup;
    struct netaddr source_v4, source_v6;
    struct client_timeouts timeouts;
    struct map *ways;
    struct list conns, lru, jobs; /* lru: idle, longest first */
    size_t conn_count, idle_count;
    unsigned generation;
    struct loop_timer *sweep;
};

static void begin(struct pool_job *job);
static void try_next(struct pool_job *job);

/* ---- ways ---- */

static struct way *way_get(struct pool *pool, struct slice key)
{
    struct way *way = map_get(pool->ways, key);
    if (way)
        return way;
    way = mem_alloc(sizeof *way + key.len);
    *way = (struct way){.key_len = key.len};
    memcpy(way->key, key.ptr, key.len);
    list_init(&way->idle);
    if (map_put(pool->ways, slice_make(way->key, way->key_len), way))
        return way;
    free(way);
    return NULL;
}

static void way_leave(struct pool *pool, struct way *way)
{
    if (--way->conns > 0)
        return;
    (void)map_remove(pool->ways, slice_make(way->key, way->key_len));
    free(way);
}

/* ---- connections ---- */

static void count_conns(const struct pool *pool)
{
    metric_set(METRIC_RELAY_CONNECTIONS_OPEN, 0, pool->conn_count);
}

static void unidle(struct pool_conn *conn)
{
    if (conn->lru_node.next == NULL || list_empty(&conn->lru_node))
        return;
    list_remove(&conn->lru_node);
    list_remove(&conn->idle_node);
    conn->pool->idle_count--;
}

/* The client is gone or on its own. */
static void conn_release(struct pool_conn *conn)
{
    struct pool *pool = conn->pool;
    unidle(conn);
    list_remove(&conn->node);
    way_leave(pool, conn->way);
    pool->conn_count--;
    count_conns(pool);
    free(conn);
}

static void conn_quit(struct pool_conn *conn)
{
    client_quit(&conn->client);
    conn_release(conn);
}

static void conn_close(struct pool_conn *conn)
{
    client_free(&conn->client);
    conn_release(conn);
}

static bool is_worn(const struct pool_conn *conn)
{
    const struct pool *pool = conn->pool;
    uint64_t max = client_remote(conn->client)->ehlo.mailmax;
    unsigned jobs = client_job_count(conn->client);
    return conn->generation != pool->generation || jobs >= POOL_JOBS_MAX || (max && jobs >= max) ||
           loop_now_ms(pool->loop) - conn->opened_ms > POOL_AGE_MAX_MS ||
           pool->setup.settings->relay_timeouts.idle == 0;
}

static void conn_rest(struct pool_conn *conn)
{
    struct pool *pool = conn->pool;
    if (is_worn(conn)) {
        conn_quit(conn);
        return;
    }
    list_push_front(&conn->way->idle, &conn->idle_node);
    list_push_back(&pool->lru, &conn->lru_node);
    pool->idle_count++;
    if (pool->idle_count > POOL_IDLE_MAX)
        conn_quit(CONTAINER_OF(pool->lru.next, struct pool_conn, lru_node));
}

static void on_sweep(void *arg)
{
    struct pool *pool = arg;
    uint64_t limit = pool->setup.settings->relay_timeouts.idle;
    LIST_EACH(&pool->lru, node)
    {
        struct pool_conn *conn = CONTAINER_OF(node, struct pool_conn, lru_node);
        if (client_idle_ms(conn->client) < limit)
            break;
        conn_quit(conn);
    }
    loop_timer_set(pool->sweep, SWEEP_MS);
}

/* ---- a job and its connection ---- */

static void give(struct pool_conn *conn, struct pool_job *job, bool reused)
{
    const struct client_remote *remote = client_remote(conn->client);
    struct arena *arena = job->mail.arena;
    unidle(conn);
    conn->job = job;
    job->conn = conn;
    job->reached = true;
    job->reused = reused;
    job->remote = arena_dup(arena, remote->host);
    job->session = arena_dup(arena, client_id(conn->client));
    job->address = remote->address;
    job->tls = arena_dup(arena, remote->tls);
    job->tls_result = conn->tls_result;
    job->policy = conn->policy;
    metric_add(METRIC_RELAY_CONNECTIONS, reused ? METRIC_RELAY_REUSED : METRIC_RELAY_OPENED, 1);
    client_send(conn->client, &job->mail);
}

static void finish(struct pool_job *job)
{
    list_remove(&job->node);
    job->conn = NULL;
    job->done(job);
}

static void settle(struct pool_job *job, enum client_outcome outcome, const struct client_reply *reply,
                   const char *stage)
{
    for (size_t i = 0; i < job->mail.rcpt_count; i++) {
        struct client_rcpt *rcpt = &job->mail.rcpts[i];
        if (rcpt->outcome != CLIENT_PENDING)
            continue;
        rcpt->outcome = outcome;
        rcpt->reply = *reply;
        rcpt->stage = stage;
    }
}

static bool is_stale(const struct pool_job *job)
{
    return job->mail.rcpts[0].outcome == CLIENT_STALE;
}

/* Nothing was sent: once more, as if new. */
static void renew(struct pool_job *job)
{
    for (size_t i = 0; i < job->mail.rcpt_count; i++) {
        struct client_rcpt *rcpt = &job->mail.rcpts[i];
        rcpt->outcome = CLIENT_PENDING;
        rcpt->round = 0;
    }
    job->reached = false;
    job->stale = true;
    begin(job);
}

/* What TLS came to, for the reports: under an MTA-STS policy that is only tested, what would have failed were
 * it in force (RFC 8460 section 4.3); without TLS because it failed, what made us go without. */
static const char *tls_result_of(const struct pool_job *job, const struct client_remote *remote)
{
    const struct resolve_host *host = &job->answer->hosts[job->host];
    const char *fault = tls_fault_name(remote->verdict.fault);
    if (job->in_clear)
        return job->tls_result;
    if (host->sts_testing && host->sts_unnamed)
        return "validation-failure";
    return host->sts_testing && *fault ? fault : remote->tls_result;
}

static void note_testing(const struct pool_job *job, const char *result)
{
    const struct resolve_host *host = &job->answer->hosts[job->host];
    struct sts *sts = job->pool->setup.sts;
    if (sts && host->sts_testing && strcmp(result, "success") != 0)
        sts_note_mismatch(sts, job->way.question.name, host->name, result);
}

static void on_ready(void *ctx, struct client *client)
{
    struct pool_conn *conn = ctx;
    struct pool_job *job = conn->job;
    conn->tls_result = tls_result_of(job, client_remote(client));
    note_testing(job, conn->tls_result);
    job->connect_ms = (uint32_t)(loop_now_ms(conn->pool->loop) - conn->opened_ms);
    give(conn, job, false);
}

static void on_done(void *ctx, struct client *client, struct client_job *mail)
{
    struct pool_conn *conn = ctx;
    struct pool_job *job = conn->job;
    (void)mail;
    conn->job = NULL;
    job->conn = NULL;
    if (client_is_idle(client))
        conn_rest(conn);
    if (is_stale(job))
        renew(job);
    else
        finish(job);
}

static void last_words(struct pool_job *job, const struct pool_conn *conn, const struct client_end *end)
{
    const struct client_remote *remote = client_remote(conn->client);
    struct arena *arena = job->mail.arena;
    const char *fault = tls_fault_name(remote->verdict.fault);
    bool tls = end->outcome == CLIENT_TLS_FAILED;
    job->remote = arena_dup(arena, remote->host);
    job->session = arena_dup(arena, client_id(conn->client));
    job->address = remote->address;
    job->tls = arena_dup(arena, remote->tls);
    job->policy = conn->policy;
    job->tls_result = tls && *fault ? fault : remote->tls_result;
    job->connect_ms += (uint32_t)(loop_now_ms(conn->pool->loop) - conn->opened_ms);
}

static bool is_implicit(const struct pool_job *job)
{
    return job->way.question.port == PORT_SUBMISSIONS;
}

/* A session could not be set up: the same address in the clear, the next one, or nothing more. */
static void failed(struct pool_job *job, const struct pool_conn *conn, const struct client_end *end)
{
    const struct resolve_host *host = &job->answer->hosts[job->host];
    struct client_reply reply = end->reply;
    bool opportunistic = host->level == CLIENT_TLS_OPPORTUNISTIC && !job->in_clear && !is_implicit(job);
    last_words(job, conn, end);
    metric_add(METRIC_RELAY_CONNECTIONS, METRIC_RELAY_FAILED, 1);
    if (end->outcome == CLIENT_TLS_FAILED && opportunistic && job->way.login.user.len == 0) {
        job->in_clear = true; /* RFC 7435: encrypt when possible */
        try_next(job);
        return;
    }
    job->in_clear = false;
    if (++job->at >= host->address_count) {
        job->at = 0;
        job->host++;
    }
    bool more = job->host < job->answer->host_count && job->tries < POOL_TRIES_MAX &&
                loop_now_ms(job->pool->loop) - job->begun_ms < POOL_SEARCH_MS;
    if (more && end->outcome != CLIENT_AUTH_REFUSED) {
        try_next(job);
        return;
    }
    reply.text = arena_dup(job->mail.arena, reply.text);
    settle(job, end->outcome, &reply, end->stage);
    finish(job);
}

static void on_ended(void *ctx, struct client *client, const struct client_end *end)
{
    struct pool_conn *conn = ctx;
    struct pool_job *job = conn->job;
    (void)client;
    conn->job = NULL;
    if (job) {
        job->conn = NULL;
        failed(job, conn, end);
    }
    conn_close(conn);
}

static const struct client_ops client_ops = {.ready = on_ready, .done = on_done, .ended = on_ended};

/* ---- a new connection ---- */

static void make_target(struct pool_job *job, const struct resolve_host *host, struct client_target *target)
{
    struct pool *pool = job->pool;
    const struct netaddr *address = &host->addresses[job->at];
    *target =
        (struct client_target){.address = *address,
                               .source = address->family == NETADDR_V6 ? pool->source_v6 : pool->source_v4,
                               .host = host->name,
                               .helo = pool->setup.settings->hostname,
                               .implicit_tls = is_implicit(job) && host->level != CLIENT_TLS_NONE,
                               .level = job->in_clear ? CLIENT_TLS_NONE : host->level,
                               .tls = pool->setup.tls,
                               .peer = host->peer,
                               .login = job->way.login,
                               .auth_in_clear = job->way.auth_in_clear,
                               .timeouts = pool->timeouts};
    if (pool->setup.identity)
        target->helo = identity_name(pool->setup.identity);
    struct netaddr_text text = netaddr_text_port(address);
    target->peer.session_key =
        arena_printf(job->mail.arena, "%.*s|%s", SLICE_ARG(slice_sub(host->name, 0, 255)), text.text);
}

static void too_much(struct pool_job *job)
{
    const struct client_reply reply = {
        .class = 4, .subject = 3, .detail = 2, .text = SLICE("too many destinations at once")};
    settle(job, CLIENT_TEMPORARY, &reply, "connect");
    finish(job);
}

static void try_next(struct pool_job *job)
{
    struct pool *pool = job->pool;
    const struct resolve_host *host = &job->answer->hosts[job->host];
    struct client_target target;
    struct way *way = way_get(pool, job->way.key);
    if (!way) {
        too_much(job);
        return;
    }
    struct pool_conn *conn = mem_zero(1, sizeof *conn);
    conn->pool = pool;
    conn->way = way;
    conn->job = job;
    conn->policy = host->policy;
    conn->tls_result = "";
    way->hosts = job->answer->host_count;
    conn->opened_ms = loop_now_ms(pool->loop);
    conn->generation = pool->generation;
    way->conns++;
    job->conn = conn;
    job->tries++;
    make_target(job, host, &target);
    conn->client = client_new(pool->loop, &target, &client_ops, conn);
    list_push_back(&pool->conns, &conn->node);
    pool->conn_count++;
    count_conns(pool);
}

/* "5.1.10" */
static struct client_reply word_of(const struct resolve_answer *answer)
{
    struct client_reply reply = {.text = answer->text};
    struct slice rest = slice_of(answer->enhanced), part;
    uint64_t number[3] = {4, 0, 0};
    for (size_t i = 0; i < 3 && slice_token(&rest, '.', &part); i++)
        if (!slice_u64(part, 999, &number[i]))
            number[i] = 0;
    reply.class = (uint8_t)number[0];
    reply.subject = (uint16_t)number[1];
    reply.detail = (uint16_t)number[2];
    return reply;
}

/* Several hosts share the mail of a domain (RFC 5321 section 5.1), so its connections must not all lead to
 * the one that was drawn first: until there are some, every other message draws anew. */
static bool wants_another(const struct pool_job *job, const struct way *way)
{
    return job->way.question.mx && way->hosts > 1 && way->conns < 2 * way->hosts && random_below(2) == 0;
}

/* Where one was found dead the others of its age are not much better: then only a new one will do. */
static struct pool_conn *find_idle(const struct pool_job *job)
{
    struct way *way = job->stale ? NULL : map_get(job->pool->ways, job->way.key);
    if (!way || list_empty(&way->idle) || wants_another(job, way))
        return NULL;
    /* The last one used is the surest to be there; among several hosts they take turns. */
    return CONTAINER_OF(way->hosts > 1 ? way->idle.prev : way->idle.next, struct pool_conn, idle_node);
}

static void on_resolved(void *ctx, const struct resolve_answer *answer)
{
    struct pool_job *job = ctx;
    job->resolving = NULL;
    job->answer = answer;
    job->host = job->at = 0;
    job->lookup_ms += (uint32_t)(loop_now_ms(job->pool->loop) - job->begun_ms);
    if (answer->outcome == RESOLVE_FOUND && answer->host_count > 0) {
        try_next(job);
    } else {
        const struct client_reply reply = word_of(answer);
        job->policy = answer->policy;
        job->tls_result = answer->tls_result;
        settle(job, answer->outcome == RESOLVE_PERMANENT ? CLIENT_PERMANENT : CLIENT_TEMPORARY, &reply,
               "DNS");
        finish(job);
    }
}

/* With an idle connection, or after asking for hosts. */
static void begin(struct pool_job *job)
{
    struct pool *pool = job->pool;
    struct pool_conn *idle = find_idle(job);
    job->begun_ms = loop_now_ms(pool->loop);
    if (idle)
        give(idle, job, true);
    else
        job->resolving =
            resolve_begin(pool->setup.resolve, &job->way.question, job->mail.arena, on_resolved, job);
}

void pool_send(struct pool *pool, struct pool_job *job)
{
    job->pool = pool;
    job->policy = "none";
    job->tls_result = "";
    list_push_back(&pool->jobs, &job->node);
    begin(job);
}

void pool_cancel(struct pool_job *job)
{
    struct pool_conn *conn = job->conn;
    list_remove(&job->node);
    resolve_cancel(&job->resolving);
    job->conn = NULL;
    if (!conn)
        return;
    conn->job = NULL;
    conn_close(conn);
}

void pool_forget(struct pool *pool, struct slice key)
{
    LIST_EACH(&pool->lru, node)
    {
        struct pool_conn *conn = CONTAINER_OF(node, struct pool_conn, lru_node);
        if (slice_starts(slice_make(conn->way->key, conn->way->key_len), key))
            conn_quit(conn);
    }
}

/* ---- life ---- */

static struct netaddr address_of(struct slice text)
{
    struct netaddr addr = {0};
    if (text.len && !netaddr_parse(text, &addr))
        addr = (struct netaddr){0};
    return addr;
}

static void take_settings(struct pool *pool, const struct pool_setup *setup)
{
    const struct settings *s = setup->settings;
    struct tls_client *old = pool->setup.tls;
    pool->setup = *setup;
    pool->setup.tls = tls_client_ref(setup->tls);
    tls_client_free(&old);
    pool->source_v4 = address_of(s->direct.source_ipv4);
    pool->source_v6 = address_of(s->direct.source_ipv6);
    uint64_t command = s->relay_timeouts.command;
    struct client_timeouts *t = &pool->timeouts;
    *t = client_timeouts_standard;
    t->connect = s->relay_timeouts.connect;
    t->greeting = s->relay_timeouts.greeting;
    t->hello = t->mail = t->rcpt = command;
    t->starttls = t->starttls < command ? t->starttls : command;
    t->auth = t->auth < command ? t->auth : command;
    t->data = t->data < command ? t->data : command;
    t->reset = t->reset < command ? t->reset : command;
    t->envelope = 3 * command;
    t->block = s->relay_timeouts.data;
    t->final = s->relay_timeouts.end_of_data;
}

struct pool *pool_new(struct loop *loop, const struct pool_setup *setup)
{
    struct pool *pool = mem_zero(1, sizeof *pool);
    pool->loop = loop;
    pool->ways = map_new(POOL_WAYS_MAX);
    list_init(&pool->conns);
    list_init(&pool->lru);
    list_init(&pool->jobs);
    take_settings(pool, setup);
    pool->sweep = loop_timer_new(loop, on_sweep, pool);
    loop_timer_set(pool->sweep, SWEEP_MS);
    return pool;
}

void pool_update(struct pool *pool, const struct pool_setup *setup)
{
    take_settings(pool, setup);
    pool->generation++;
    pool_forget(pool, SLICE_EMPTY);
}

void pool_free(struct pool **ref)
{
    struct pool *pool = ref ? *ref : NULL;
    if (!pool)
        return;
    *ref = NULL;
    while (!list_empty(&pool->jobs))
        pool_cancel(CONTAINER_OF(pool->jobs.next, struct pool_job, node));
    while (!list_empty(&pool->conns))
        conn_close(CONTAINER_OF(pool->conns.next, struct pool_conn, node));
    loop_timer_free(&pool->sweep);
    map_free(&pool->ways);
    tls_client_free(&pool->setup.tls);
    free(pool);
}

size_t pool_connection_count(const struct pool *pool)
{
    return pool->conn_count;
}

size_t pool_idle_count(const struct pool *pool)
{
    return pool->idle_count;
}
