/* job.c: a message's way through this role. The request is queue's; what comes back from servers was judged
 * by client.c, and is bounded and cleaned there. Called by role.c. */
#include "relay/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "grammar/xtext.h"
#include "settings/metrics.h"
#include "wire/relay.h"

#define JOB_ARENA_MAX   (8u << 20)             /* also of what resolve found (RESOLVE_ARENA) */
#define RESULT_ROOM     (WIRE_BLOB_MAX - 2000) /* for the texts of all results together */
#define RESULT_OVERHEAD 40                     /* of one result beside its text */
#define RESULT_TEXT_MAX 900                    /* of one result */
#define KEY_HOST_MAX    255
#define KEY_HASH_SEED   UINT64_C(0x5eed)

struct job {
    struct list node; /* in relay.jobs */
    struct pool_job p;
    struct relay *relay;
    struct secrets *secrets; /* of the login */
    struct ipc_link *link;
    uint32_t request;
    uint32_t *ordinals;
    struct slice queue_id, session, host; /* host: where the message goes, as queue has it */
};

/* ---- the end ---- */

static void job_free(struct job *job)
{
    struct relay *relay = job->relay;
    list_remove(&job->node);
    relay->job_count--;
    if (job->p.mail.fd >= 0)
        (void)close(job->p.mail.fd);
    secrets_free(&job->secrets);
    struct arena *arena = job->p.mail.arena;
    arena_free(&arena); /* the job itself is in it */
    if (relay->draining && relay->job_count == 0)
        loop_timer_set(relay->drain, 0);
}

static enum relay_outcome outcome_of(enum client_outcome outcome)
{
    switch (outcome) {
    case CLIENT_ACCEPTED:
        return RELAY_OUTCOME_SENT;
    case CLIENT_PERMANENT:
        return RELAY_OUTCOME_REFUSED;
    case CLIENT_NEEDS_SEVEN_BIT:
        return RELAY_OUTCOME_SEVEN_BIT;
    case CLIENT_AUTH_REFUSED:
        return RELAY_OUTCOME_LOGIN;
    case CLIENT_UNKNOWN:
        return RELAY_OUTCOME_UNKNOWN;
    case CLIENT_PENDING:
    case CLIENT_TEMPORARY:
    case CLIENT_STALE:
    case CLIENT_UNREACHABLE:
    case CLIENT_TLS_FAILED:
    case CLIENT_OUTCOME_COUNT:
        break;
    }
    return RELAY_OUTCOME_LATER;
}

/* Whole characters of UTF-8. */
static struct slice cut(struct slice text, size_t max)
{
    if (text.len <= max)
        return text;
    while (max > 0 && (text.ptr[max] & 0xc0) == 0x80)
        max--;
    return slice_sub(text, 0, max);
}

struct sums {
    size_t count[RELAY_OUTCOME_COUNT];
    bool slow_down;
    const struct client_rcpt *worst; /* whose reply the log shows */
};

static void add_results(const struct job *job, struct buf *results, struct sums *sums)
{
    size_t count = job->p.mail.rcpt_count, room = RESULT_ROOM / count;
    room = room > RESULT_OVERHEAD ? room - RESULT_OVERHEAD : 0;
    room = room < RESULT_TEXT_MAX ? room : RESULT_TEXT_MAX;
    for (size_t i = 0; i < count; i++) {
        const struct client_rcpt *rcpt = &job->p.mail.rcpts[i];
        const struct client_reply *reply = &rcpt->reply;
        char enhanced[20];
        int len =
            snprintf(enhanced, sizeof enhanced, "%u.%u.%u", reply->class, reply->subject, reply->detail);
        const struct relay_result result = {.ordinal = job->ordinals[i],
                                            .outcome = outcome_of(rcpt->outcome),
                                            .code = reply->code,
                                            .enhanced = slice_make(enhanced, len > 0 ? (size_t)len : 0),
                                            .text = cut(reply->text, room)};
        relay_result_add(results, &result);
        sums->count[result.outcome]++;
        sums->slow_down |= reply->code == 421 || reply->code == 450 || reply->code == 451;
        if (!sums->worst || (sums->worst->outcome == CLIENT_ACCEPTED && rcpt->outcome != CLIENT_ACCEPTED))
            sums->worst = rcpt;
    }
}

static void answer(const struct job *job, struct slice results, const struct sums *sums)
{
    const struct pool_job *p = &job->p;
    struct netaddr_text address = netaddr_text(&p->address);
    const struct wire_relay_sent sent = {
        .scope = p->reached ? RELAY_SCOPE_MESSAGE : RELAY_SCOPE_DESTINATION,
        .slow_down = sums->slow_down,
        .dsn = p->reached && p->mail.dsn,
        .reused = p->reused,
        .lookup_ms = p->lookup_ms,
        .connect_ms = p->connect_ms,
        .session_ms = p->mail.times.envelope,
        .data_ms = p->mail.times.text + p->mail.times.final,
        .results = results,
        .remote = p->remote,
        .address = p->address.family == NETADDR_NONE ? SLICE_EMPTY : slice_of(address.text),
        .tls = p->tls,
        .policy = slice_of(p->policy),
        .tls_result = slice_of(p->tls_result),
    };
    wire_reply(job->link, job->request, WIRE_RELAY_SENT, false, &sent);
}

/* One line an attempt. */
static void write_log(const struct job *job, const struct sums *sums)
{
    const struct pool_job *p = &job->p;
    const struct client_reply *reply = &sums->worst->reply;
    size_t sent = sums->count[RELAY_OUTCOME_SENT];
    size_t refused = sums->count[RELAY_OUTCOME_REFUSED], all = p->mail.rcpt_count;
    const char *event = sent == all             ? "relay.sent"
                        : sent + refused == all ? "relay.bounced"
                                                : "relay.deferred";
    struct netaddr_text address = netaddr_text(&p->address);
    log_info(event, LOG_STR("id", job->queue_id), LOG_STR("session", job->session),
             LOG_STR("connection", p->session), LOG_STR("destination", job->host), LOG_STR("mx", p->remote),
             LOG_CSTR("address", address.text), LOG_U64("recipients", all), LOG_U64("sent", sent),
             LOG_U64("refused", refused), LOG_STR("to", sums->worst->address),
             LOG_CSTR("stage", sums->worst->stage), LOG_U64("code", reply->code),
             LOG_STR("reply", reply->text), LOG_STR("tls", p->tls), LOG_CSTR("policy", p->policy),
             LOG_CSTR("tls_result", p->tls_result), LOG_BOOL("reused", p->reused),
             LOG_MS("lookup", p->lookup_ms), LOG_MS("connect", p->connect_ms),
             LOG_MS("envelope", p->mail.times.envelope), LOG_MS("text", p->mail.times.text),
             LOG_MS("final", p->mail.times.final));
}

static void observe(enum metric_relay_stage stage, uint32_t ms)
{
    metric_observe(METRIC_RELAY_SECONDS, stage, (uint64_t)ms * 1000000u);
}

static void count(const struct job *job, const struct sums *sums)
{
    const struct pool_job *p = &job->p;
    for (size_t i = 0; i < RELAY_OUTCOME_COUNT; i++)
        if (sums->count[i])
            metric_add(METRIC_RELAY_RECIPIENTS, i, sums->count[i]);
    if (!p->reused)
        observe(METRIC_RELAY_LOOKUP, p->lookup_ms);
    if (!p->reached)
        return;
    if (!p->reused)
        observe(METRIC_RELAY_CONNECT, p->connect_ms);
    observe(METRIC_RELAY_ENVELOPE, p->mail.times.envelope);
    observe(METRIC_RELAY_TEXT, p->mail.times.text);
    observe(METRIC_RELAY_FINAL, p->mail.times.final);
}

static void on_done(struct pool_job *p)
{
    struct job *job = CONTAINER_OF(p, struct job, p);
    AUTO_BUF struct buf results = buf_new(WIRE_BLOB_MAX);
    struct sums sums = {0};
    if (p->mail.rcpt_count == 0)
        abort(); /* take_recipients() refuses that */
    add_results(job, &results, &sums);
    answer(job, buf_slice(&results), &sums);
    write_log(job, &sums);
    count(job, &sums);
    job_free(job);
}

/* ---- the beginning ---- */

/* The list of queue into ours; false when it is ill-formed. */
static bool take_recipients(struct job *job, struct slice list)
{
    struct client_job *mail = &job->p.mail;
    struct relay_recipient to;
    size_t number = 0;
    struct slice rest = arena_dup(mail->arena, list);
    for (list = rest; relay_recipient_take(&rest, &to); number++)
        ;
    if (rest.len || number == 0 || number > WIRE_RELAY_RECIPIENTS_MAX)
        return false;
    mail->rcpts = ARENA_ARRAY(mail->arena, struct client_rcpt, number);
    job->ordinals = ARENA_ARRAY(mail->arena, uint32_t, number);
    for (; relay_recipient_take(&list, &to); mail->rcpt_count++) {
        job->ordinals[mail->rcpt_count] = to.ordinal;
        struct client_rcpt *rcpt = &mail->rcpts[mail->rcpt_count];
        *rcpt = (struct client_rcpt){.address = to.address, .notify = to.notify};
        rcpt->orcpt = xtext_orcpt_split(to.orcpt, &rcpt->orcpt_type);
    }
    return true;
}

struct slice relay_job_key_host(struct slice host)
{
    if (slice_starts(host, SLICE("[")) && slice_ends(host, SLICE("]")))
        host = slice_sub(host, 1, host.len - 2);
    return slice_sub(host, 0, KEY_HOST_MAX);
}

/* What makes two jobs' connections the same: where, by which route, as whom, and how strictly. */
static void make_key(struct job *job, const struct wire_relay_send *m)
{
    struct pool_way *way = &job->p.way;
    uint64_t who = slice_hash(way->login.secret, slice_hash(way->login.user, KEY_HASH_SEED));
    struct slice host = relay_job_key_host(way->question.name);
    way->key =
        arena_printf(job->p.mail.arena, "%.*s|%u|%u|%u|%u|%u|%llx", SLICE_ARG(host), way->question.port,
                     way->question.mx, m->route, m->route == RELAY_ROUTE_DIRECT ? 0 : m->relay,
                     way->question.requiretls, (unsigned long long)who);
}

/* Without a way the recipients get this word; the owner is told in a later turn. */
static void refuse(struct job *job, enum client_outcome outcome, const struct client_reply *reply)
{
    for (size_t i = 0; i < job->p.mail.rcpt_count; i++) {
        struct client_rcpt *rcpt = &job->p.mail.rcpts[i];
        rcpt->outcome = outcome;
        rcpt->reply = *reply;
        rcpt->stage = "login";
    }
    job->p.policy = "relay";
    job->p.tls_result = "";
    on_done(&job->p);
}

/* False: refused (and gone). */
static bool find_relay(struct job *job, const struct wire_relay_send *m)
{
    const struct relay *relay = job->relay;
    const struct settings_relay *to = settings_relay_at(relay->settings, m->relay);
    struct pool_way *way = &job->p.way;
    struct slice flaw = SLICE_EMPTY;
    if (!to) {
        const struct client_reply gone = {
            .class = 4, .subject = 3, .detail = 5, .text = SLICE("this relay is not configured any more")};
        refuse(job, CLIENT_TEMPORARY, &gone);
        return false;
    }
    job->host = arena_dup(job->p.mail.arena, to->name);
    if (!secrets_of_relay(relay->secrets, relay->settings, m->relay, &way->login, &flaw)) {
        const struct client_reply none = {.class = 4, .subject = 7, .detail = 0, .text = flaw};
        refuse(job, CLIENT_AUTH_REFUSED, &none);
        return false;
    }
    way->question = resolve_question_relay(to);
    way->auth_in_clear = to->insecure_auth;
    return true;
}

/* The level the relay map's settings ask for; where they ask for none a password makes the difference. */
static enum settings_relay_tls map_level(uint32_t said, bool login)
{
    if (said >= SETTINGS_MAP_NONE && said <= SETTINGS_MAP_VERIFY)
        return (enum settings_relay_tls)(said - SETTINGS_MAP_NONE);
    return login ? SETTINGS_RELAY_REQUIRED : SETTINGS_RELAY_OPPORTUNISTIC;
}

/* Without its password a relay would refuse the mail for good: it waits until the file is there. */
static bool find_map_login(struct job *job, const struct wire_relay_send *m)
{
    struct client_reply none = {.class = 4, .subject = 7};
    if (secrets_of_map(job->relay->secrets, m->sender, m->host, (uint16_t)m->port, &job->p.way.login,
                       &none.text))
        return true;
    refuse(job, CLIENT_TEMPORARY, &none);
    return false;
}

static bool find_way(struct job *job, const struct wire_relay_send *m)
{
    const struct relay *relay = job->relay;
    struct pool_way *way = &job->p.way;
    switch (m->route) {
    case RELAY_ROUTE_RELAY:
        if (!find_relay(job, m))
            return false;
        break;
    case RELAY_ROUTE_MAP:
        if (!find_map_login(job, m))
            return false;
        way->question = resolve_question_map(job->host, (uint16_t)m->port, m->no_mx,
                                             map_level(m->relay, way->login.user.len > 0));
        break;
    default:
        way->question = resolve_question_direct(relay->settings, job->host, m->requiretls);
        break;
    }
    way->question.requiretls = m->requiretls;
    way->question.name = arena_dup(job->p.mail.arena, way->question.name);
    make_key(job, m);
    return true;
}

static struct job *job_new(struct relay *relay, const struct wire_relay_send *m)
{
    struct arena *arena = arena_new(JOB_ARENA_MAX);
    struct job *job = ARENA_NEW(arena, struct job);
    job->relay = relay;
    job->secrets = secrets_ref(relay->secrets);
    job->host = arena_dup(arena, m->host);
    job->queue_id = arena_dup(arena, m->queue_id);
    job->session = arena_dup(arena, m->session);
    job->p.done = on_done;
    job->p.mail = (struct client_job){.arena = arena,
                                      .fd = -1,
                                      .sender = arena_dup(arena, m->sender),
                                      .prefix = arena_dup(arena, m->prefix),
                                      .size = m->size,
                                      .eightbit = m->eightbit,
                                      .smtputf8 = m->smtputf8,
                                      .requiretls = m->requiretls,
                                      .ret = m->ret <= SMTP_RET_HDRS ? (enum smtp_ret)m->ret : SMTP_RET_NONE,
                                      .envid = arena_dup(arena, m->envid)};
    list_push_back(&relay->jobs, &job->node);
    relay->job_count++;
    return job;
}

bool relay_job_begin(struct relay *relay, struct ipc_link *link, struct ipc_packet *packet,
                     const struct wire_relay_send *m)
{
    if (!packet->request || packet->fd_count != 1 || m->route > RELAY_ROUTE_MAP || m->port > UINT16_MAX ||
        relay->job_count >= RELAY_JOBS_MAX)
        return false;
    struct job *job = job_new(relay, m);
    job->link = link;
    job->request = packet->request;
    job->p.mail.fd = ipc_take_fd(packet, 0);
    if (!take_recipients(job, m->recipients)) {
        job_free(job);
        return false;
    }
    if (find_way(job, m))
        pool_send(relay->pool, &job->p);
    return true;
}

void relay_jobs_forget(struct relay *relay)
{
    while (!list_empty(&relay->jobs)) {
        struct job *job = CONTAINER_OF(relay->jobs.next, struct job, node);
        pool_cancel(&job->p);
        job_free(job);
    }
}
