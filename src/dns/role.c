/* role.c: the dns role: questions of smtp and scan, answered by libunbound with DNSSEC. The only role that
 * hears resolvers; it holds nothing. Started by proc/. */
#include "dns/dns.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/coll.h"
#include "base/log.h"
#include "base/mem.h"
#include "dns/packet.h"
#include "dns/resolver.h"
#include "settings/metrics.h"

#define DEADLINE_MS     20000 /* of one question; who asks has his own */
#define SWEEP_MS        1000
#define ANSWER_ARENA    (1u << 20)
#define RECORD_HEAD_MAX 3 /* the length in front of a record */
#define REVERSE_MAX                                                                                          \
    500 /* questions for names of addresses at once: each costs 10 KB while it waits, and strangers cause    \
           them */
#define NEGATIVE_TTL 60 /* told with failures, so that nobody asks at once again */

struct dns {
    struct role_run *run;
    struct loop *loop;
    struct resolver *resolver, *next;
    struct loop_timer *sweep;
    struct list pending; /* oldest first */
    size_t reverse;      /* PTR among them */
    uint32_t epochs[ROLE_COUNT];
};

struct pending {
    struct list node;
    struct dns *dns;
    enum role peer;
    uint32_t epoch, request, type;
    uint64_t begun_ns;
    bool answered; /* the deadline was faster */
};

static void forget(struct pending *p)
{
    p->dns->reverse -= p->type == PACKET_TYPE_PTR;
    list_remove(&p->node);
    free(p);
}

/* ---- answers ---- */

static void reply(struct pending *p, const struct wire_dns_answer *answer)
{
    static const enum metric_dns outcomes[] = {
        [DNS_OK] = METRIC_DNS_OK,
        [DNS_NODATA] = METRIC_DNS_NODATA,
        [DNS_NXDOMAIN] = METRIC_DNS_NXDOMAIN,
        [DNS_FAILED] = METRIC_DNS_FAILED,
        [DNS_BOGUS] = METRIC_DNS_BOGUS,
    };
    metric_add(METRIC_DNS_QUERIES, outcomes[answer->status], 1);
    metric_observe(METRIC_DNS_SECONDS, 0, clock_mono_ns() - p->begun_ns);
    if (p->epoch == p->dns->epochs[p->peer])
        wire_reply(role_link(p->dns->run, p->peer), p->request, WIRE_DNS_ANSWER, false, answer);
    p->answered = true;
}

static void reply_status(struct pending *p, enum dns_status status)
{
    const struct wire_dns_answer answer = {.status = status, .ttl = NEGATIVE_TTL};
    reply(p, &answer);
}

static enum dns_status status_of(const struct packet_answer *a)
{
    if (a->rcode == 0)
        return a->count ? DNS_OK : DNS_NODATA;
    return a->rcode == 3 ? DNS_NXDOMAIN : DNS_FAILED;
}

static int by_preference(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;
    return slice_cmp(slice_sub(*x, 0, 2), slice_sub(*y, 0, 2)); /* big-endian: RFC 1035 section 3.3.9 */
}

/* A domain may name more mail hosts than a message holds: the best are enough. Of other types all count. */
static void add_records(struct packet_answer *a, uint32_t type, struct buf *records)
{
    if (type == PACKET_TYPE_MX && a->count > 1)
        qsort(a->records, a->count, sizeof *a->records, by_preference);
    for (size_t i = 0; i < a->count; i++) {
        if (type == PACKET_TYPE_MX && records->len + a->records[i].len + RECORD_HEAD_MAX > WIRE_BLOB_MAX)
            break;
        wire_strings_add(records, a->records[i]);
    }
}

static void reply_message(struct pending *p, struct slice message, bool secure)
{
    AUTO_ARENA struct arena *arena = arena_new(ANSWER_ARENA);
    AUTO_BUF struct buf records = buf_new(WIRE_BLOB_MAX);
    struct packet_answer a;
    if (packet_read_in(arena, message, p->type, &a)) {
        reply_status(p, DNS_FAILED);
        return;
    }
    add_records(&a, p->type, &records);
    if (!buf_ok(&records)) { /* more than any mail record set has any use for */
        reply_status(p, DNS_FAILED);
        return;
    }
    const struct wire_dns_answer answer = {.status = status_of(&a),
                                           .secure = secure,
                                           .ttl = a.ttl,
                                           .canonical = a.canonical,
                                           .records = buf_slice(&records)};
    reply(p, &answer);
}

static void on_answer(void *ctx, int rcode, struct slice message, int secure, const char *why_bogus)
{
    struct pending *p = ctx;
    if (secure == 1 && why_bogus)
        log_info("dns.bogus", LOG_CSTR("why", why_bogus));
    if (p->answered)
        ;
    else if (secure == 1)
        reply_status(p, DNS_BOGUS);
    else if (rcode != 0)
        reply_status(p, DNS_FAILED);
    else
        reply_message(p, message, secure == 2);
    forget(p);
}

static void on_sweep(void *arg)
{
    struct dns *dns = arg;
    uint64_t now = clock_mono_ns();
    LIST_EACH(&dns->pending, node)
    {
        struct pending *p = CONTAINER_OF(node, struct pending, node);
        if (now - p->begun_ns < DEADLINE_MS * UINT64_C(1000000))
            break;
        if (!p->answered)
            reply_status(p, DNS_FAILED);
    }
    loop_timer_set(dns->sweep, SWEEP_MS);
}

/* ---- questions ---- */

static bool on_query(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct dns *dns = ctx;
    const struct wire_dns_query *m = message;
    if (!packet->request)
        return false;
    struct pending *p = mem_zero(1, sizeof *p);
    p->dns = dns;
    p->peer = role_of_link(link);
    p->epoch = dns->epochs[p->peer];
    p->request = packet->request;
    p->type = m->rrtype;
    p->begun_ns = clock_mono_ns();
    list_push_back(&dns->pending, &p->node);
    dns->reverse += p->type == PACKET_TYPE_PTR;
    if (dns->reverse > REVERSE_MAX || resolver_ask(dns->resolver, m->name, m->rrtype, on_answer, p)) {
        reply_status(p, DNS_FAILED);
        forget(p);
    }
    return true;
}

/* ---- the role ---- */

static enum err make_resolver(struct dns *dns, bool next, struct resolver **resolver, struct why *why)
{
    const struct settings *settings = next ? role_next_settings(dns->run) : role_settings(dns->run);
    const struct role_file *(*file_of)(struct role_run *, enum sup_file, uint32_t) =
        next ? role_next_file : role_file;
    const struct role_file *anchor = file_of(dns->run, SUP_FILE_TRUST_ANCHOR, 0);
    const struct role_file *conf = file_of(dns->run, SUP_FILE_RESOLV_CONF, 0);
    if (settings->resolver.trust_anchor.len && (!anchor || anchor->missing.len))
        return err_set(why, ERR_BAD, "the trust anchor cannot be read: %.*s",
                       SLICE_ARG(anchor ? slice_sub(anchor->missing, 0, 100) : SLICE("not handed in")));
    const struct resolver_files files = {.resolv_conf = conf ? conf->content : SLICE_EMPTY,
                                         .trust_anchor = anchor ? anchor->content : SLICE_EMPTY};
    return resolver_new(dns->loop, settings, &files, resolver, why);
}

static void free_dns(void *ctx)
{
    struct dns *dns = ctx;
    resolver_free(&dns->next);
    resolver_free(&dns->resolver);
    loop_timer_free(&dns->sweep);
    for (struct list *node; (node = list_pop_front(&dns->pending)) != NULL;)
        free(CONTAINER_OF(node, struct pending, node));
    free(dns);
}

static void *load(struct role_run *run, struct why *why)
{
    struct dns *dns = mem_zero(1, sizeof *dns);
    dns->run = run;
    dns->loop = role_loop(run);
    list_init(&dns->pending);
    if (make_resolver(dns, false, &dns->resolver, why)) {
        free_dns(dns);
        return NULL;
    }
    return dns;
}

static enum err start(void *ctx, struct why *why)
{
    struct dns *dns = ctx;
    (void)why;
    dns->sweep = loop_timer_new(dns->loop, on_sweep, dns);
    loop_timer_set(dns->sweep, SWEEP_MS);
    return ERR_OK;
}

static enum err prepare(void *ctx, struct why *why)
{
    struct dns *dns = ctx;
    resolver_free(&dns->next);
    return make_resolver(dns, true, &dns->next, why);
}

static void commit(void *ctx)
{
    struct dns *dns = ctx;
    if (!dns->next)
        return;
    resolver_retire(&dns->resolver);
    dns->resolver = dns->next;
    dns->next = NULL;
}

static void forget_next(void *ctx)
{
    struct dns *dns = ctx;
    resolver_free(&dns->next);
}

static void on_peer(void *ctx, enum role peer, bool up)
{
    struct dns *dns = ctx;
    if (!up)
        dns->epochs[peer]++;
}

static const struct role_dispatch dispatch[] = {
    {WIRE_DNS_QUERY, on_query},
    {WIRE_NONE, NULL},
};

const struct role_ops dns_role = {
    .role = ROLE_DNS,
    .dispatch = dispatch,
    .load = load,
    .start = start,
    .prepare = prepare,
    .commit = commit,
    .abort = forget_next,
    .peer = on_peer,
    .free = free_dns,
};
