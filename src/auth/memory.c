/* memory.c: the short memory of verified credentials. Called by exchange.c. */
#include "auth/memory.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#include "base/coll.h"
#include "base/mem.h"
#include "base/random.h"

struct remembered {
    struct list node; /* oldest first */
    uint64_t until_ms;
    uint8_t tag[MEMORY_TAG_LEN]; /* also the key */
};

struct memory {
    EVP_MAC *mac;
    EVP_MAC_CTX *keyed;
    struct map *tags;
    struct list order;
    uint64_t keep_ms;
};

static void must(bool fine)
{
    if (!fine)
        abort(); /* OpenSSL without HMAC or memory: nobody could be verified */
}

struct memory *memory_new(uint64_t keep_ms)
{
    struct memory *memory = mem_zero(1, sizeof *memory);
    uint8_t key[32];
    char digest[] = "SHA256";
    random_fill(key, sizeof key);
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                 OSSL_PARAM_construct_end()};
    memory->mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    memory->keyed = memory->mac ? EVP_MAC_CTX_new(memory->mac) : NULL;
    must(memory->keyed && EVP_MAC_init(memory->keyed, key, sizeof key, params));
    mem_wipe(key, sizeof key);
    memory->tags = map_new(MEMORY_MAX + 1);
    memory->keep_ms = keep_ms;
    list_init(&memory->order);
    return memory;
}

void memory_free(struct memory **memory)
{
    struct memory *m = *memory;
    if (!m)
        return;
    memory_clear(m);
    map_free(&m->tags);
    EVP_MAC_CTX_free(m->keyed);
    EVP_MAC_free(m->mac);
    free(m);
    *memory = NULL;
}

static void forget(struct memory *memory, struct remembered *r)
{
    (void)map_remove(memory->tags, slice_make(r->tag, sizeof r->tag));
    list_remove(&r->node);
    free(r);
}

void memory_set_time(struct memory *memory, uint64_t keep_ms)
{
    memory->keep_ms = keep_ms;
}

void memory_clear(struct memory *memory)
{
    LIST_EACH(&memory->order, node)
    forget(memory, CONTAINER_OF(node, struct remembered, node));
}

size_t memory_count(const struct memory *memory)
{
    return map_count(memory->tags);
}

static void add_part(EVP_MAC_CTX *ctx, struct slice part)
{
    uint64_t len = part.len;
    must(EVP_MAC_update(ctx, (const unsigned char *)&len, sizeof len) &&
         EVP_MAC_update(ctx, part.ptr, part.len));
}

static void end(EVP_MAC_CTX *ctx, uint8_t tag[MEMORY_TAG_LEN])
{
    size_t len = 0;
    must(EVP_MAC_final(ctx, tag, &len, MEMORY_TAG_LEN) && len == MEMORY_TAG_LEN);
    must(EVP_MAC_init(ctx, NULL, 0, NULL)); /* the same key again */
}

void memory_tag(struct memory *memory, struct slice account, struct slice password, struct slice secret,
                uint8_t tag[MEMORY_TAG_LEN])
{
    add_part(memory->keyed, account);
    add_part(memory->keyed, password);
    add_part(memory->keyed, secret);
    end(memory->keyed, tag);
}

void memory_derive(struct memory *memory, struct slice text, uint8_t bytes[MEMORY_TAG_LEN])
{
    add_part(memory->keyed, text);
    end(memory->keyed, bytes);
}

bool memory_has(struct memory *memory, const uint8_t tag[MEMORY_TAG_LEN], uint64_t now_ms)
{
    struct remembered *r = map_get(memory->tags, slice_make(tag, MEMORY_TAG_LEN));
    if (!r)
        return false;
    if (now_ms < r->until_ms && memory->keep_ms)
        return true;
    forget(memory, r);
    return false;
}

void memory_add(struct memory *memory, const uint8_t tag[MEMORY_TAG_LEN], uint64_t now_ms)
{
    struct remembered *r = map_get(memory->tags, slice_make(tag, MEMORY_TAG_LEN));
    if (r)
        forget(memory, r);
    if (!memory->keep_ms)
        return;
    if (map_count(memory->tags) >= MEMORY_MAX)
        forget(memory, CONTAINER_OF(memory->order.next, struct remembered, node));
    r = mem_zero(1, sizeof *r);
    memcpy(r->tag, tag, MEMORY_TAG_LEN);
    r->until_ms = now_ms + memory->keep_ms;
    list_push_back(&memory->order, &r->node);
    must(map_put(memory->tags, slice_make(r->tag, sizeof r->tag), r));
}
