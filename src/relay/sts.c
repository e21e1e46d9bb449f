/* sts.c: MTA-STS policies: record, fetch, memory. Zone data and policies are a stranger's, parsed by
 * policy/mta_sts.c. Called by resolve.c. */
#include "relay/sts.h"

#include <stdlib.h>
#include <string.h>

#include "base/coll.h"
#include "base/log.h"
#include "base/mem.h"
#include "relay/resolve_dns.h"

#define SWEEP_MS      600000
#define SWEEP_MAX     50 /* fetches begun by one sweep */
#define EVICT_LOOK    64 /* of the least recently used, one without a policy goes first */
#define REPLY_ARENA   (256u << 10)
#define POLICY_ARENA  (256u << 10)
#define NAME_MAX_TEXT 253
#define PATH          "/.well-known/mta-sts.txt" /* RFC 8461 section 3.3 */

struct sts {
    struct loop *loop;
    struct ipc_link *dns;
    struct https *https;
    const struct settings *settings;
    struct map *domains;
    struct list used; /* least recently first */
    struct loop_timer *sweep;
};

enum stage { STAGE_IDLE, STAGE_RECORD, STAGE_ADDRESSES, STAGE_FETCH };

struct domain {
    struct list node;
    struct sts *sts;
    struct slice name; /* owned */
    struct list calls;
    uint64_t check_due_ms; /* the record must be asked again then; 0: at once */

    /* the policy in force; arena NULL: none */
    struct arena *arena;
    struct sts_policy policy;
    struct sts_id id;
    uint64_t fetched_ms, expires_ms;

    /* the last fetch that failed */
    struct sts_id failed_id;
    uint64_t retry_ms;
    const char *failure;
    uint64_t note_due_ms; /* a mismatch is logged again then */

    enum stage stage;
    struct sts_id wanted;
    uint32_t requests[2]; /* 0: answered */
    struct netaddr addresses[2 * MX_ADDRESSES_MAX];
    size_t address_count;
    struct https_fetch *fetch;
};

struct sts_call {
    struct list node;
    sts_done *done;
    void *ctx;
};

static bool id_eq(const struct sts_id *a, const struct sts_id *b)
{
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

static bool has_policy(const struct domain *d)
{
    return d->arena && loop_now_ms(d->sts->loop) < d->expires_ms;
}

/* ---- the end of a check ---- */

static void tell(struct domain *d, sts_done *done, void *ctx)
{
    bool valid = has_policy(d);
    done(ctx, valid ? &d->policy : NULL, valid ? NULL : d->failure);
}

/* Callers may ask again from inside `done`: the domain is idle by then. */
static void finish(struct domain *d, uint64_t ttl_s)
{
    uint64_t wait = ttl_s < STS_CHECK_MIN_S   ? STS_CHECK_MIN_S
                    : ttl_s > STS_CHECK_MAX_S ? STS_CHECK_MAX_S
                                              : ttl_s;
    d->stage = STAGE_IDLE;
    d->check_due_ms = loop_now_ms(d->sts->loop) + wait * 1000;
    for (struct list *node; (node = list_pop_front(&d->calls)) != NULL;) {
        struct sts_call *call = CONTAINER_OF(node, struct sts_call, node);
        tell(d, call->done, call->ctx);
        free(call);
    }
}

/* ---- the fetch ---- */

/* A policy in force stays (section 3.3). */
static void fetch_failed(struct domain *d, const char *failure, const char *text)
{
    log_info("relay.sts", LOG_STR("domain", d->name), LOG_CSTR("result", failure), LOG_CSTR("why", text),
             LOG_BOOL("kept", has_policy(d)));
    d->failure = failure;
    d->failed_id = d->wanted;
    d->retry_ms = loop_now_ms(d->sts->loop) + STS_RETRY_S * UINT64_C(1000);
    finish(d, STS_RETRY_S);
}

static void keep_policy(struct domain *d, struct arena *arena, const struct sts_policy *policy)
{
    arena_free(&d->arena);
    d->arena = arena;
    d->policy = *policy;
    d->id = d->wanted;
    d->failure = NULL;
    d->fetched_ms = loop_now_ms(d->sts->loop);
    d->expires_ms = d->fetched_ms + policy->max_age * UINT64_C(1000);
    log_info("relay.sts", LOG_STR("domain", d->name), LOG_CSTR("mode", sts_mode_names[policy->mode]),
             LOG_U64("max_age", policy->max_age));
}

static void on_fetched(void *ctx, const struct https_answer *answer)
{
    static const char *const failures[] = {
        [HTTPS_OK] = "",
        [HTTPS_FAILED] = "sts-policy-fetch-error",
        [HTTPS_TLS] = "sts-webpki-invalid",
        [HTTPS_STATUS] = "sts-policy-fetch-error",
        [HTTPS_LONG] = "sts-policy-invalid",
    };
    struct domain *d = ctx;
    struct sts_policy policy;
    struct why why = {0};
    d->fetch = NULL;
    if (answer->outcome != HTTPS_OK) {
        fetch_failed(d, failures[answer->outcome], answer->text);
        return;
    }
    if (!sts_type_is_plain(answer->type)) {
        fetch_failed(d, "sts-policy-invalid", "its type is not text/plain");
        return;
    }
    struct arena *arena = arena_new(POLICY_ARENA);
    if (sts_policy_parse_in(arena, answer->body, &policy, &why)) {
        arena_free(&arena);
        fetch_failed(d, "sts-policy-invalid", why.text);
        return;
    }
    keep_policy(d, arena, &policy);
    finish(d, STS_CHECK_MAX_S);
}

/* ---- the policy host's addresses ---- */

static struct slice policy_host(const struct domain *d, char text[NAME_MAX_TEXT + 1])
{
    static const char prefix[] = "mta-sts.";
    size_t skip = sizeof prefix - 1;
    memcpy(text, prefix, skip);
    memcpy(text + skip, d->name.ptr, d->name.len);
    return slice_make(text, skip + d->name.len);
}

/* No web server of another is at our own or an inner address. */
static void drop_flawed(struct domain *d)
{
    const struct settings *s = d->sts->settings;
    size_t kept = 0;
    for (size_t i = 0; i < d->address_count; i++)
        if (!mx_address_flaw(&d->addresses[i]) ||
            settings_networks_have(s->direct.allow_networks.items, s->direct.allow_networks.count,
                                   &d->addresses[i]))
            d->addresses[kept++] = d->addresses[i];
    d->address_count = mx_addresses_interleave(d->addresses, kept);
}

static void on_addresses(struct domain *d)
{
    char host[NAME_MAX_TEXT + 1];
    drop_flawed(d);
    if (d->address_count == 0) {
        fetch_failed(d, "sts-policy-fetch-error", "the policy host has no address");
        return;
    }
    d->stage = STAGE_FETCH;
    d->fetch = https_get(d->sts->https, policy_host(d, host), (uint16_t)d->sts->settings->direct.sts_port,
                         d->addresses, d->address_count, SLICE(PATH), STS_POLICY_MAX, on_fetched, d);
}

static void on_address(struct domain *d, unsigned which, enum err err, const struct ipc_packet *packet)
{
    AUTO_ARENA struct arena *arena = arena_new(REPLY_ARENA);
    struct dns_reply reply;
    d->requests[which] = 0;
    resolve_dns_read_in(arena, err, packet, &reply);
    d->address_count += resolve_dns_addresses(&reply, 0, d->addresses + d->address_count, MX_ADDRESSES_MAX);
    if (d->requests[0] == 0 && d->requests[1] == 0)
        on_addresses(d);
}

static void on_ipv6(void *ctx, enum err err, struct ipc_packet *packet)
{
    on_address(ctx, 0, err, packet);
}

static void on_ipv4(void *ctx, enum err err, struct ipc_packet *packet)
{
    on_address(ctx, 1, err, packet);
}

static void begin_fetch(struct domain *d, const struct sts_id *id)
{
    char host[NAME_MAX_TEXT + 1];
    struct slice name = policy_host(d, host);
    d->wanted = *id;
    d->stage = STAGE_ADDRESSES;
    d->address_count = 0;
    d->requests[0] = resolve_dns_ask(d->sts->dns, RR_AAAA, name, on_ipv6, d);
    d->requests[1] = resolve_dns_ask(d->sts->dns, RR_A, name, on_ipv4, d);
}

/* ---- the record ---- */

static bool find_id(struct arena *arena, const struct dns_reply *reply, struct sts_id *id)
{
    struct slice *texts = ARENA_ARRAY(arena, struct slice, reply->count + 1);
    size_t count = 0;
    for (size_t i = 0; i < reply->count; i++)
        count += rdata_txt_in(arena, reply->records[i], &texts[count]);
    return sts_record_read(texts, count, id);
}

/* The record only tells that there is something new: without it a policy in force stays. */
static void on_record(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct domain *d = ctx;
    AUTO_ARENA struct arena *arena = arena_new(REPLY_ARENA);
    struct dns_reply reply;
    struct sts_id id;
    d->requests[0] = 0;
    resolve_dns_read_in(arena, err, packet, &reply);
    if (!find_id(arena, &reply, &id)) {
        d->failure = NULL;
        finish(d, reply.status == DNS_FAILED || reply.status == DNS_BOGUS ? 0 : reply.ttl);
    } else if (has_policy(d) && id_eq(&id, &d->id)) {
        finish(d, reply.ttl);
    } else if (id_eq(&id, &d->failed_id) && loop_now_ms(d->sts->loop) < d->retry_ms) {
        finish(d, 0);
    } else {
        begin_fetch(d, &id);
    }
}

static void begin_check(struct domain *d)
{
    static const char prefix[] = "_mta-sts.";
    char text[NAME_MAX_TEXT + 1];
    size_t skip = sizeof prefix - 1;
    memcpy(text, prefix, skip);
    memcpy(text + skip, d->name.ptr, d->name.len);
    d->stage = STAGE_RECORD;
    d->requests[0] = resolve_dns_ask(d->sts->dns, RR_TXT, slice_make(text, skip + d->name.len), on_record, d);
}

/* ---- domains ---- */

static void domain_free(struct domain *d)
{
    struct sts *sts = d->sts;
    list_remove(&d->node);
    (void)map_remove(sts->domains, d->name);
    ipc_cancel(sts->dns, d->requests[0]);
    ipc_cancel(sts->dns, d->requests[1]);
    https_cancel(&d->fetch);
    for (struct list *node; (node = list_pop_front(&d->calls)) != NULL;)
        free(CONTAINER_OF(node, struct sts_call, node));
    arena_free(&d->arena);
    free((void *)(uintptr_t)d->name.ptr);
    free(d);
}

static bool make_room(struct sts *sts)
{
    struct domain *oldest = NULL;
    unsigned looked = 0;
    if (map_count(sts->domains) < STS_DOMAINS_MAX)
        return true;
    LIST_EACH(&sts->used, node)
    {
        struct domain *d = CONTAINER_OF(node, struct domain, node);
        if (d->stage == STAGE_IDLE && !has_policy(d)) {
            domain_free(d);
            return true;
        }
        if (d->stage == STAGE_IDLE && !oldest)
            oldest = d;
        if (++looked == EVICT_LOOK && oldest)
            break;
    }
    if (oldest)
        domain_free(oldest);
    return oldest != NULL;
}

static struct domain *domain_get(struct sts *sts, struct slice name)
{
    struct domain *d = map_get(sts->domains, name);
    if (!d && make_room(sts)) {
        d = mem_zero(1, sizeof *d);
        d->sts = sts;
        d->name = slice_make(mem_dup(name.ptr, name.len), name.len);
        list_init(&d->calls);
        if (!map_put(sts->domains, d->name, d))
            abort(); /* there is room */
    }
    if (d) {
        list_remove(&d->node);
        list_push_back(&sts->used, &d->node);
    }
    return d;
}

struct sts_call *sts_ask(struct sts *sts, struct slice name, sts_done *done, void *ctx)
{
    struct domain *d = name.len + 9 <= NAME_MAX_TEXT ? domain_get(sts, name) : NULL;
    if (!d) {
        done(ctx, NULL, NULL);
        return NULL;
    }
    if (loop_now_ms(sts->loop) < d->check_due_ms) {
        tell(d, done, ctx);
        return NULL;
    }
    struct sts_call *call = mem_zero(1, sizeof *call);
    *call = (struct sts_call){.done = done, .ctx = ctx};
    list_push_back(&d->calls, &call->node);
    if (d->stage == STAGE_IDLE)
        begin_check(d);
    return call;
}

void sts_cancel(struct sts_call **call)
{
    if (!*call)
        return;
    list_remove(&(*call)->node);
    free(*call);
    *call = NULL;
}

bool sts_note_mismatch(struct sts *sts, struct slice name, struct slice mx, const char *result)
{
    struct domain *d = map_get(sts->domains, name);
    uint64_t now = loop_now_ms(sts->loop);
    if (!d || now < d->note_due_ms)
        return false;
    d->note_due_ms = now + STS_NOTE_S * UINT64_C(1000);
    log_warn("relay.sts_testing", LOG_STR("domain", name), LOG_STR("mx", mx), LOG_CSTR("result", result));
    return true;
}

void sts_forget(struct sts *sts, struct slice name)
{
    LIST_EACH(&sts->used, node)
    {
        struct domain *d = CONTAINER_OF(node, struct domain, node);
        if (name.len == 0 || slice_eq(d->name, name)) {
            d->check_due_ms = 0;
            d->retry_ms = 0;
        }
    }
}

/* ---- refreshing ---- */

/* A policy in use is fetched again daily, and in good time before it ends, whatever the record says: who can
 * suppress the record for a while must not outlast the policy (RFC 8461 section 10.2). */
static bool is_to_refresh(const struct domain *d)
{
    uint64_t now = loop_now_ms(d->sts->loop);
    return d->stage == STAGE_IDLE && has_policy(d) && d->policy.mode != STS_MODE_NONE && now >= d->retry_ms &&
           (now - d->fetched_ms > STS_REFRESH_S * UINT64_C(1000) ||
            d->expires_ms - now < (d->expires_ms - d->fetched_ms) / 4);
}

static void on_sweep(void *arg)
{
    struct sts *sts = arg;
    unsigned begun = 0;
    LIST_EACH(&sts->used, node)
    {
        struct domain *d = CONTAINER_OF(node, struct domain, node);
        if (!is_to_refresh(d))
            continue;
        begin_fetch(d, &d->id);
        if (++begun == SWEEP_MAX)
            break;
    }
    loop_timer_set(sts->sweep, SWEEP_MS);
}

/* ---- life ---- */

struct sts *sts_new(struct loop *loop, struct ipc_link *dns, struct https *https,
                    const struct settings *settings)
{
    struct sts *sts = mem_zero(1, sizeof *sts);
    *sts = (struct sts){.loop = loop, .dns = dns, .https = https, .settings = settings};
    sts->domains = map_new(STS_DOMAINS_MAX);
    list_init(&sts->used);
    sts->sweep = loop_timer_new(loop, on_sweep, sts);
    loop_timer_set(sts->sweep, SWEEP_MS);
    return sts;
}

void sts_update(struct sts *sts, const struct settings *settings)
{
    sts->settings = settings;
}

size_t sts_count(const struct sts *sts)
{
    return map_count(sts->domains);
}

void sts_free(struct sts **sts)
{
    struct sts *s = *sts;
    if (!s)
        return;
    LIST_EACH(&s->used, node)
    domain_free(CONTAINER_OF(node, struct domain, node));
    map_free(&s->domains);
    loop_timer_free(&s->sweep);
    free(s);
    *sts = NULL;
}
