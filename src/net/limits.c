/* limits.c: token buckets in a table of fixed size. The keys are addresses and names strangers choose. Called
 * by admission.c, smtp/limit.c.
 *
 * GCRA: of a bucket only the moment is kept at which it will be full again; taking n of r a minute moves it
 * n/r minutes into the future, and it may not be further away than a minute. */
#include "net/limits.h"

#include <stdlib.h>
#include <string.h>

#include "base/coll.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/random.h"

#define NS_PER_MS UINT64_C(1000000)
#define MINUTE_NS (60000 * NS_PER_MS)
#define NONE      UINT32_MAX

struct entry {
    struct limit_key key;
    uint32_t chain;        /* the next of its hash */
    uint32_t newer, older; /* by last use */
    uint64_t full_at[LIMIT_KIND_COUNT];
};

struct limits {
    struct hash_key secret;
    size_t max, count;
    uint32_t *heads; /* of chains; a power of two of them */
    size_t mask;
    struct entry *entries;
    uint32_t newest, oldest;
};

struct limits *limits_new(size_t keys)
{
    struct limits *l = mem_zero(1, sizeof *l);
    size_t heads = 16;
    l->max = keys < 1 ? 1 : keys > LIMITS_MAX ? LIMITS_MAX : keys;
    while (heads < l->max)
        heads *= 2;
    l->mask = heads - 1;
    l->heads = mem_alloc(heads * sizeof *l->heads);
    memset(l->heads, 0xff, heads * sizeof *l->heads); /* NONE */
    l->entries = mem_zero(l->max, sizeof *l->entries);
    l->newest = l->oldest = NONE;
    random_fill(&l->secret, sizeof l->secret);
    return l;
}

void limits_free(struct limits **ref)
{
    struct limits *l = ref ? *ref : NULL;
    if (!l)
        return;
    *ref = NULL;
    free(l->heads);
    free(l->entries);
    free(l);
}

size_t limits_count(const struct limits *l)
{
    return l->count;
}

/* ---- keys ---- */

struct limit_key limit_key_address(const struct settings *settings, enum settings_service service,
                                   const struct netaddr *addr)
{
    struct limit_key key = {{(uint8_t)service}};
    bool v4 = addr->family == NETADDR_V4;
    uint64_t bits = v4 ? settings->limits.ipv4_prefix : settings->limits.ipv6_prefix;
    if (!v4 && addr->family != NETADDR_V6)
        return key;
    const struct netaddr network = netaddr_prefix(addr, (unsigned)bits);
    if (!v4) {
        memcpy(key.bytes + 1, network.bytes, 16);
        return key;
    }
    key.bytes[11] = key.bytes[12] = 0xff; /* ::ffff:a.b.c.d */
    memcpy(key.bytes + 13, network.bytes, 4);
    return key;
}

struct limit_key limit_key_name(const struct limits *l, enum settings_service service, struct slice name)
{
    struct limit_key key = {{(uint8_t)(0x80u | service)}};
    struct hash_sum sum;
    hash_sum_begin(&sum, &l->secret);
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = ascii_lower(name.ptr[i]);
        hash_sum_add(&sum, slice_make(&c, 1));
    }
    hash_sum_end(&sum, key.bytes + 1);
    return key;
}

/* ---- the table ---- */

static uint32_t *head_of(const struct limits *l, const struct limit_key *key)
{
    return &l->heads[hash_sip(&l->secret, slice_make(key->bytes, sizeof key->bytes)) & l->mask];
}

static void unlink_use(struct limits *l, uint32_t at)
{
    const struct entry *e = &l->entries[at];
    *(e->newer == NONE ? &l->newest : &l->entries[e->newer].older) = e->older;
    *(e->older == NONE ? &l->oldest : &l->entries[e->older].newer) = e->newer;
}

static void link_newest(struct limits *l, uint32_t at)
{
    struct entry *e = &l->entries[at];
    e->newer = NONE;
    e->older = l->newest;
    *(l->newest == NONE ? &l->oldest : &l->entries[l->newest].newer) = at;
    l->newest = at;
}

/* The slot of the key that was not used for the longest time, taken out of its chain. */
static uint32_t evict(struct limits *l)
{
    uint32_t at = l->oldest;
    uint32_t *link = head_of(l, &l->entries[at].key);
    while (*link != at)
        link = &l->entries[*link].chain;
    *link = l->entries[at].chain;
    unlink_use(l, at);
    return at;
}

static struct entry *find(struct limits *l, const struct limit_key *key)
{
    for (uint32_t at = *head_of(l, key); at != NONE; at = l->entries[at].chain)
        if (memcmp(&l->entries[at].key, key, sizeof *key) == 0)
            return &l->entries[at];
    return NULL;
}

static struct entry *find_or_add(struct limits *l, const struct limit_key *key)
{
    struct entry *e = find(l, key);
    uint32_t at;
    if (e) {
        at = (uint32_t)(e - l->entries);
        unlink_use(l, at);
        link_newest(l, at);
        return e;
    }
    at = l->count < l->max ? (uint32_t)l->count++ : evict(l);
    e = &l->entries[at];
    uint32_t *head = head_of(l, key);
    *e = (struct entry){.key = *key, .chain = *head};
    *head = at;
    link_newest(l, at);
    return e;
}

void limits_resize(struct limits **ref, size_t keys)
{
    struct limits *old = *ref, *new = limits_new(keys);
    new->secret = old->secret; /* of the names */
    for (uint32_t at = old->oldest; at != NONE; at = old->entries[at].newer) {
        struct entry *e = find_or_add(new, &old->entries[at].key);
        memcpy(e->full_at, old->entries[at].full_at, sizeof e->full_at);
    }
    limits_free(ref);
    *ref = new;
}

/* ---- buckets ---- */

/* What `n` of `per_minute` take, in nanoseconds; no more than the debt that is kept in mind. */
static uint64_t cost(uint64_t per_minute, uint64_t n)
{
    uint64_t minutes = n / per_minute;
    if (minutes >= LIMITS_DEBT_MINUTES)
        return LIMITS_DEBT_MINUTES * MINUTE_NS;
    double rest = (double)(n % per_minute) / (double)per_minute;
    return minutes * MINUTE_NS + (uint64_t)(rest * (double)MINUTE_NS);
}

/* When `n` are there, from `now`; 0: now. */
static uint64_t wait_for(uint64_t full_at, uint64_t per_minute, uint64_t n, uint64_t now)
{
    uint64_t filled = full_at > now ? full_at - now : 0; /* what is missing until the bucket is full */
    uint64_t wanted = n < per_minute ? cost(per_minute, n) : MINUTE_NS;
    return filled + wanted > MINUTE_NS ? filled + wanted - MINUTE_NS : 0;
}

static void charge(uint64_t *full_at, uint64_t per_minute, uint64_t n, uint64_t now)
{
    uint64_t most = now + LIMITS_DEBT_MINUTES * MINUTE_NS;
    uint64_t then = (*full_at > now ? *full_at : now) + cost(per_minute, n);
    *full_at = then < most ? then : most;
}

static void tell(uint64_t *wait_ms, uint64_t wait)
{
    if (wait_ms)
        *wait_ms = (wait + NS_PER_MS - 1) / NS_PER_MS;
}

bool limits_take(struct limits *l, const struct limit_key *key, enum limit_kind kind, uint64_t per_minute,
                 uint64_t n, uint64_t now_ms, uint64_t *wait_ms)
{
    if (per_minute == 0) {
        tell(wait_ms, 0);
        return true;
    }
    uint64_t now = now_ms * NS_PER_MS, *full_at = &find_or_add(l, key)->full_at[kind];
    uint64_t wait = wait_for(*full_at, per_minute, n, now);
    tell(wait_ms, wait);
    if (wait > 0)
        return false;
    charge(full_at, per_minute, n, now);
    return true;
}

bool limits_would(struct limits *l, const struct limit_key *key, enum limit_kind kind, uint64_t per_minute,
                  uint64_t n, uint64_t now_ms, uint64_t *wait_ms)
{
    const struct entry *e = per_minute ? find(l, key) : NULL;
    uint64_t wait = e ? wait_for(e->full_at[kind], per_minute, n, now_ms * NS_PER_MS) : 0;
    tell(wait_ms, wait);
    return wait == 0;
}

void limits_charge(struct limits *l, const struct limit_key *key, enum limit_kind kind, uint64_t per_minute,
                   uint64_t n, uint64_t now_ms)
{
    if (per_minute)
        charge(&find_or_add(l, key)->full_at[kind], per_minute, n, now_ms * NS_PER_MS);
}
