/* known.c: the table of strangers that passed before the greeting: an array of entries, chains by a keyed
 * hash of the address, a ring in the order of use. Keys are strangers' addresses; saved pieces come back from
 * auth, and are checked all the same. Called by greet.c and save.c. */
#include "smtp/known.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/random.h"

#define FIRST_ENTRIES 64u
#define NONE          UINT32_MAX
#define KEY_LEN       8
#define MAGIC         SLICE("known1\n")
#define ENTRY_MAX     (1 + KEY_LEN + 4 + 4) /* in a saved piece */

/* An IPv4 address in the first four bytes, or the front half of an IPv6 address. */
struct key {
    uint8_t family, bytes[KEY_LEN];
};

struct entry {
    struct key key;
    uint32_t passed_min, listed_min;
    uint32_t chain;      /* the next one with the same hash */
    uint32_t prev, next; /* in the ring: of earlier use, of later use */
};

struct smtp_known {
    struct hash_key hash;
    size_t max, count, cap;
    struct entry *entries; /* the first `count` are in use */
    uint32_t *buckets;     /* as many as `cap`, a power of two */
    uint32_t oldest, newest;
    bool changed;
};

/* ---- keys ---- */

static bool key_of(const struct netaddr *client, struct key *key)
{
    *key = (struct key){.family = client->family == NETADDR_V4 ? 4 : 6};
    memcpy(key->bytes, client->bytes, key->family == 4 ? 4 : KEY_LEN);
    return client->family == NETADDR_V4 || client->family == NETADDR_V6;
}

static size_t key_len(const struct key *key)
{
    return key->family == 4 ? 4 : KEY_LEN;
}

static bool key_eq(const struct key *a, const struct key *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, KEY_LEN) == 0;
}

static uint32_t *bucket_of(struct smtp_known *k, const struct key *key)
{
    uint64_t hash = hash_sip(&k->hash, slice_make(key, sizeof *key));
    return &k->buckets[hash & (k->cap - 1)];
}

static uint32_t find(struct smtp_known *k, const struct key *key)
{
    uint32_t at = k->count ? *bucket_of(k, key) : NONE;
    while (at != NONE && !key_eq(&k->entries[at].key, key))
        at = k->entries[at].chain;
    return at;
}

/* ---- chains and ring ---- */

static void chain_in(struct smtp_known *k, uint32_t at)
{
    uint32_t *bucket = bucket_of(k, &k->entries[at].key);
    k->entries[at].chain = *bucket;
    *bucket = at;
}

static void chain_out(struct smtp_known *k, uint32_t at)
{
    uint32_t *link = bucket_of(k, &k->entries[at].key);
    while (*link != at)
        link = &k->entries[*link].chain;
    *link = k->entries[at].chain;
}

static void ring_in(struct smtp_known *k, uint32_t at)
{
    struct entry *e = &k->entries[at];
    e->prev = k->newest;
    e->next = NONE;
    if (k->newest == NONE)
        k->oldest = at;
    else
        k->entries[k->newest].next = at;
    k->newest = at;
}

static void ring_out(struct smtp_known *k, uint32_t at)
{
    const struct entry *e = &k->entries[at];
    if (e->prev == NONE)
        k->oldest = e->next;
    else
        k->entries[e->prev].next = e->next;
    if (e->next == NONE)
        k->newest = e->prev;
    else
        k->entries[e->next].prev = e->prev;
}

/* The last entry moves to `at`, which is free. */
static void move_last(struct smtp_known *k, uint32_t at)
{
    uint32_t last = (uint32_t)k->count;
    if (at == last)
        return;
    chain_out(k, last);
    k->entries[at] = k->entries[last];
    const struct entry *e = &k->entries[at];
    *(e->prev == NONE ? &k->oldest : &k->entries[e->prev].next) = at;
    *(e->next == NONE ? &k->newest : &k->entries[e->next].prev) = at;
    chain_in(k, at);
}

static void drop(struct smtp_known *k, uint32_t at)
{
    chain_out(k, at);
    ring_out(k, at);
    k->count--;
    move_last(k, at);
    k->changed = true;
}

static void grow(struct smtp_known *k)
{
    k->cap = k->cap ? k->cap * 2 : FIRST_ENTRIES;
    k->entries = mem_realloc(k->entries, k->cap * sizeof *k->entries);
    free(k->buckets);
    k->buckets = mem_alloc(k->cap * sizeof *k->buckets);
    memset(k->buckets, 0xff, k->cap * sizeof *k->buckets);
    for (uint32_t i = 0; i < k->count; i++)
        chain_in(k, i);
}

static uint32_t add(struct smtp_known *k, const struct key *key)
{
    if (k->count >= k->max)
        drop(k, k->oldest);
    if (k->count == k->cap)
        grow(k);
    uint32_t at = (uint32_t)k->count++;
    k->entries[at] = (struct entry){.key = *key};
    chain_in(k, at);
    ring_in(k, at);
    return at;
}

static void use(struct smtp_known *k, uint32_t at)
{
    ring_out(k, at);
    ring_in(k, at);
}

/* ---- the table ---- */

struct smtp_known *smtp_known_new(size_t max)
{
    struct smtp_known *k = mem_zero(1, sizeof *k);
    random_fill(&k->hash, sizeof k->hash);
    k->max = max;
    k->oldest = k->newest = NONE;
    return k;
}

void smtp_known_free(struct smtp_known **ref)
{
    struct smtp_known *k = *ref;
    *ref = NULL;
    if (!k)
        return;
    free(k->entries);
    free(k->buckets);
    free(k);
}

size_t smtp_known_count(const struct smtp_known *k)
{
    return k->count;
}

void smtp_known_add(struct smtp_known *k, const struct netaddr *client, uint64_t now_min)
{
    struct key key;
    if (!key_of(client, &key))
        return;
    uint32_t at = find(k, &key);
    if (at == NONE)
        at = add(k, &key);
    else
        use(k, at);
    k->entries[at].passed_min = (uint32_t)now_min;
    k->changed = true;
}

bool smtp_known_has(struct smtp_known *k, const struct netaddr *client, uint64_t now_min,
                    uint64_t remember_min, uint64_t *listed_min)
{
    struct key key;
    uint32_t at = key_of(client, &key) ? find(k, &key) : NONE;
    if (at == NONE)
        return false;
    if (k->entries[at].passed_min + remember_min < now_min) {
        drop(k, at);
        return false;
    }
    use(k, at);
    if (listed_min)
        *listed_min = k->entries[at].listed_min;
    return true;
}

void smtp_known_asked(struct smtp_known *k, const struct netaddr *client, uint64_t now_min)
{
    struct key key;
    uint32_t at = key_of(client, &key) ? find(k, &key) : NONE;
    if (at != NONE)
        k->entries[at].listed_min = (uint32_t)now_min;
}

void smtp_known_forget(struct smtp_known *k, const struct netaddr *client)
{
    struct key key;
    uint32_t at = key_of(client, &key) ? find(k, &key) : NONE;
    if (at != NONE)
        drop(k, at);
}

bool smtp_known_changed(struct smtp_known *k)
{
    bool changed = k->changed;
    k->changed = false;
    return changed;
}

/* ---- saving ----
 * piece = "known1" LF *( family address passed listed ); family is 4 or 6, with 4 or 8 bytes of address;
 * times are le32. */

void smtp_known_write(const struct smtp_known *k, uint32_t *at, struct buf *piece)
{
    buf_add(piece, MAGIC);
    uint32_t next = *at ? *at - 1 : k->oldest;
    while (next != NONE && piece->len + ENTRY_MAX <= SMTP_KNOWN_PIECE) {
        const struct entry *e = &k->entries[next];
        buf_add_byte(piece, e->key.family);
        buf_add(piece, slice_make(e->key.bytes, key_len(&e->key)));
        buf_add_le32(piece, e->passed_min);
        buf_add_le32(piece, e->listed_min);
        next = e->next;
    }
    *at = next == NONE ? 0 : next + 1;
}

static bool take_entry(struct slice *piece, struct key *key, uint32_t *passed, uint32_t *listed)
{
    struct slice bytes;
    *key = (struct key){0};
    if (!slice_take_u8(piece, &key->family) || (key->family != 4 && key->family != 6) ||
        !slice_take_bytes(piece, key_len(key), &bytes))
        return false;
    memcpy(key->bytes, bytes.ptr, bytes.len);
    return slice_take_le32(piece, passed) && slice_take_le32(piece, listed);
}

static uint32_t at_most(uint32_t time_min, uint64_t now_min)
{
    return time_min < now_min ? time_min : (uint32_t)now_min;
}

enum err smtp_known_read(struct smtp_known *k, struct slice piece, uint64_t now_min)
{
    if (!slice_starts(piece, MAGIC))
        return ERR_BAD;
    piece = slice_from(piece, MAGIC.len);
    while (piece.len) {
        struct key key;
        uint32_t passed, listed;
        if (!take_entry(&piece, &key, &passed, &listed))
            return ERR_BAD;
        uint32_t at = find(k, &key);
        if (at == NONE)
            at = add(k, &key);
        struct entry *e = &k->entries[at];
        passed = at_most(passed, now_min);
        listed = at_most(listed, now_min);
        e->passed_min = e->passed_min > passed ? e->passed_min : passed;
        e->listed_min = e->listed_min > listed ? e->listed_min : listed;
    }
    return ERR_OK;
}
