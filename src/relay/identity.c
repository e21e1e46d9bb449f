/* identity.c: whether DNS agrees with the name we give in EHLO. Zone data are a stranger's; what is shown of
 * them was checked to be names. Called by role.c, resolve_answer.c and test_login.c. */
#include "relay/identity.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/coll.h"
#include "base/log.h"
#include "base/mem.h"
#include "relay/resolve_dns.h"
#include "settings/metrics.h"

#define FIRST_MS    3000  /* other roles come up first */
#define RETRY_MS    60000 /* after DNS gave no answer */
#define PTRS_MAX    8
#define TEXT_MAX    2048
#define REPLY_ARENA (256u << 10)

/* The PTR records of one address. */
struct reverse {
    struct identity *identity;
    struct netaddr address;
    uint32_t request;
    enum identity_state state;
    struct rdata_name other; /* a name found that is not ours */
};

struct identity {
    struct loop *loop;
    struct ipc_link *dns;
    const struct settings *settings;
    struct loop_timer *timer;
    struct netaddr interfaces[IDENTITY_ADDRESSES_MAX], own[2 * IDENTITY_ADDRESSES_MAX];
    size_t interface_count, own_count;

    enum identity_state state;
    struct buf text;

    /* the look that goes on */
    uint32_t requests[2];
    bool failed; /* DNS did not answer something */
    struct netaddr addresses[2 * MX_ADDRESSES_MAX];
    size_t address_count, left;
    struct reverse reverses[PTRS_MAX];
    size_t reverse_count;
};

const char *identity_state_name(enum identity_state state)
{
    static const char *const names[IDENTITY_STATE_COUNT] = {"unknown", "good",      "no-address",
                                                            "no-ptr",  "other-ptr", "other-address"};
    return names[state];
}

enum identity_state identity_state(const struct identity *identity)
{
    return identity->state;
}

struct slice identity_text(const struct identity *identity)
{
    return buf_slice(&identity->text);
}

struct slice identity_name(const struct identity *identity)
{
    const struct settings *s = identity->settings;
    return s->direct.ehlo.len ? s->direct.ehlo : s->hostname;
}

/* ---- our addresses ---- */

static bool has_address(const struct netaddr *list, size_t count, const struct netaddr *addr)
{
    for (size_t i = 0; i < count; i++)
        if (netaddr_same_host(&list[i], addr))
            return true;
    return false;
}

static void add_own(struct identity *id, const struct netaddr *addr)
{
    if (id->own_count < ARRAY_LEN(id->own) && !netaddr_is_loopback(addr) &&
        !has_address(id->own, id->own_count, addr))
        id->own[id->own_count++] = *addr;
}

/* The source addresses of the settings, as far as they are given. */
static size_t read_sources(const struct settings *settings, struct netaddr sources[2])
{
    size_t count = 0;
    if (settings->direct.source_ipv4.len && netaddr_parse(settings->direct.source_ipv4, &sources[count]))
        count++;
    if (settings->direct.source_ipv6.len && netaddr_parse(settings->direct.source_ipv6, &sources[count]))
        count++;
    return count;
}

static void collect_own(struct identity *id)
{
    struct netaddr sources[2];
    size_t count = read_sources(id->settings, sources);
    id->own_count = 0;
    for (size_t i = 0; i < id->interface_count; i++)
        add_own(id, &id->interfaces[i]);
    for (size_t i = 0; i < count; i++)
        add_own(id, &sources[i]);
    for (size_t i = 0; i < id->address_count; i++)
        add_own(id, &id->addresses[i]);
}

static void read_interfaces(struct identity *id)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all))
        return; /* then only DNS and the settings tell */
    for (struct ifaddrs *i = all; i && id->interface_count < IDENTITY_ADDRESSES_MAX; i = i->ifa_next) {
        struct netaddr *at = &id->interfaces[id->interface_count];
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET) {
            struct sockaddr_in in;
            memcpy(&in, i->ifa_addr, sizeof in);
            *at = netaddr_v4((const uint8_t *)&in.sin_addr, 0);
            id->interface_count++;
        } else if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET6) {
            struct sockaddr_in6 in;
            memcpy(&in, i->ifa_addr, sizeof in);
            *at = netaddr_v6(in.sin6_addr.s6_addr, 0);
            id->interface_count++;
        }
    }
    freeifaddrs(all);
}

const struct netaddr *identity_addresses(const struct identity *identity, size_t *count)
{
    *count = identity->own_count;
    return identity->own;
}

/* ---- the verdict ---- */

static void count_state(const struct identity *id)
{
    for (unsigned i = 0; i < IDENTITY_STATE_COUNT; i++)
        metric_set(METRIC_RELAY_IDENTITY, i, i == (unsigned)id->state);
}

static void say(struct identity *id, enum identity_state state, const char *what, const struct netaddr *addr,
                const struct rdata_name *other)
{
    if (id->state == IDENTITY_GOOD || id->state == IDENTITY_UNKNOWN)
        id->state = state;
    buf_addf(&id->text, "%s%s%s%s", id->text.len ? "; " : "", addr ? netaddr_text(addr).text : "",
             addr ? " " : "", what);
    if (other)
        buf_add(&id->text, slice_make(other->text, other->len));
}

static void judge_reverses(struct identity *id)
{
    for (size_t i = 0; i < id->reverse_count; i++) {
        const struct reverse *r = &id->reverses[i];
        if (r->state == IDENTITY_NO_PTR)
            say(id, r->state, "has no PTR record", &r->address, NULL);
        else if (r->state == IDENTITY_OTHER_PTR)
            say(id, r->state, "has another name by its PTR record: ", &r->address, &r->other);
    }
}

static void judge_sources(struct identity *id)
{
    struct netaddr sources[2];
    size_t count = read_sources(id->settings, sources);
    for (size_t i = 0; i < count; i++)
        if (!has_address(id->addresses, id->address_count, &sources[i]))
            say(id, IDENTITY_OTHER_ADDRESS, "is a source address, but the EHLO name does not lead to it",
                &sources[i], NULL);
}

static void look_done(struct identity *id)
{
    enum identity_state before = id->state;
    buf_clear(&id->text);
    id->state = id->failed ? IDENTITY_UNKNOWN : IDENTITY_GOOD;
    if (id->address_count == 0 && !id->failed)
        say(id, IDENTITY_NO_ADDRESS, "the EHLO name leads to no address", NULL, NULL);
    else if (id->address_count)
        judge_sources(id);
    judge_reverses(id);
    collect_own(id);
    count_state(id);
    loop_timer_set(id->timer, id->state == IDENTITY_UNKNOWN ? RETRY_MS : IDENTITY_PERIOD_MS);
    if (id->state == before)
        return;
    bool bad =
        id->state != IDENTITY_GOOD && id->state != IDENTITY_UNKNOWN && id->settings->relay.host.len == 0;
    log_event(bad ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "relay.identity", LOG_STR("ehlo", identity_name(id)),
              LOG_CSTR("state", identity_state_name(id->state)), LOG_STR("why", buf_slice(&id->text)));
}

/* ---- PTR ---- */

static void read_names(struct reverse *r, const struct dns_reply *reply)
{
    struct slice ours = identity_name(r->identity);
    r->state = IDENTITY_NO_PTR;
    for (size_t i = 0; i < reply->count; i++) {
        struct rdata_name name;
        if (!rdata_name_read(reply->records[i], &name) || name.len == 0)
            continue;
        if (slice_ieq(slice_make(name.text, name.len), ours)) {
            r->state = IDENTITY_GOOD;
            return;
        }
        r->state = IDENTITY_OTHER_PTR;
        r->other = name;
    }
}

static void on_ptr(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct reverse *r = ctx;
    struct identity *id = r->identity;
    AUTO_ARENA struct arena *arena = arena_new(REPLY_ARENA);
    struct dns_reply reply;
    resolve_dns_read_in(arena, err, packet, &reply);
    r->request = 0;
    if (reply.status == DNS_FAILED || reply.status == DNS_BOGUS)
        id->failed = true;
    else
        read_names(r, &reply);
    if (--id->left == 0)
        look_done(id);
}

static void add_reverse(struct identity *id, const struct netaddr *addr)
{
    for (size_t i = 0; i < id->reverse_count; i++)
        if (netaddr_same_host(&id->reverses[i].address, addr))
            return;
    if (id->reverse_count < PTRS_MAX && !mx_address_flaw(addr)) /* inner addresses have no PTR for others */
        id->reverses[id->reverse_count++] = (struct reverse){.identity = id, .address = *addr};
}

/* The addresses we call from: those of the settings, or, as far as we can know, those of our name. */
static void ask_ptr(struct identity *id)
{
    struct netaddr sources[2];
    size_t count = read_sources(id->settings, sources);
    for (size_t i = 0; i < count; i++)
        add_reverse(id, &sources[i]);
    for (size_t i = 0; count == 0 && i < id->address_count; i++)
        add_reverse(id, &id->addresses[i]);
    id->left = id->reverse_count;
    for (size_t i = 0; i < id->reverse_count; i++) {
        char name[RDATA_REVERSE_MAX];
        size_t len = rdata_reverse_name(&id->reverses[i].address, name);
        id->reverses[i].request =
            resolve_dns_ask(id->dns, RR_PTR, slice_make(name, len), on_ptr, &id->reverses[i]);
    }
    if (id->left == 0)
        look_done(id);
}

/* ---- addresses of the name ---- */

static void on_address(struct identity *id, unsigned family, enum err err, const struct ipc_packet *packet)
{
    AUTO_ARENA struct arena *arena = arena_new(REPLY_ARENA);
    struct dns_reply reply;
    resolve_dns_read_in(arena, err, packet, &reply);
    id->requests[family] = 0;
    id->failed |= reply.status == DNS_FAILED || reply.status == DNS_BOGUS;
    id->address_count +=
        resolve_dns_addresses(&reply, 0, id->addresses + id->address_count, MX_ADDRESSES_MAX);
    if (id->requests[0] == 0 && id->requests[1] == 0)
        ask_ptr(id);
}

static void on_ipv6(void *ctx, enum err err, struct ipc_packet *packet)
{
    on_address(ctx, 0, err, packet);
}

static void on_ipv4(void *ctx, enum err err, struct ipc_packet *packet)
{
    on_address(ctx, 1, err, packet);
}

static void cancel_look(struct identity *id)
{
    ipc_cancel(id->dns, id->requests[0]);
    ipc_cancel(id->dns, id->requests[1]);
    for (size_t i = 0; i < id->reverse_count; i++)
        ipc_cancel(id->dns, id->reverses[i].request);
    id->requests[0] = id->requests[1] = 0;
    id->reverse_count = 0;
}

static void on_timer(void *arg)
{
    struct identity *id = arg;
    cancel_look(id);
    id->failed = false;
    id->address_count = 0;
    id->requests[0] = resolve_dns_ask(id->dns, RR_AAAA, identity_name(id), on_ipv6, id);
    id->requests[1] = resolve_dns_ask(id->dns, RR_A, identity_name(id), on_ipv4, id);
}

/* ---- life ---- */

struct identity *identity_new(struct loop *loop, struct ipc_link *dns, const struct settings *settings)
{
    struct identity *id = mem_zero(1, sizeof *id);
    *id = (struct identity){.loop = loop, .dns = dns, .settings = settings, .text = buf_new(TEXT_MAX)};
    id->timer = loop_timer_new(loop, on_timer, id);
    read_interfaces(id);
    collect_own(id);
    count_state(id);
    return id;
}

void identity_begin(struct identity *identity)
{
    loop_timer_set(identity->timer, FIRST_MS);
}

void identity_update(struct identity *identity, const struct settings *settings)
{
    identity->settings = settings;
    collect_own(identity);
    loop_timer_set(identity->timer, 0);
}

void identity_free(struct identity **identity)
{
    struct identity *id = *identity;
    if (!id)
        return;
    cancel_look(id);
    loop_timer_free(&id->timer);
    buf_free(&id->text);
    free(id);
    *identity = NULL;
}
