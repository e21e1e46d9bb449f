/* coll.c: list, array, hash maps. Keys of maps may be a stranger's: every map has a secret SipHash key. */
#include "base/coll.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"

void list_init(struct list *node)
{
    node->prev = node->next = node;
}

bool list_empty(const struct list *head)
{
    return head->next == head || head->next == NULL;
}

static void insert_between(struct list *node, struct list *prev, struct list *next)
{
    node->prev = prev;
    node->next = next;
    prev->next = next->prev = node;
}

void list_push_back(struct list *head, struct list *node)
{
    insert_between(node, head->prev, head);
}

void list_push_front(struct list *head, struct list *node)
{
    insert_between(node, head, head->next);
}

void list_remove(struct list *node)
{
    if (node->next) {
        node->prev->next = node->next;
        node->next->prev = node->prev;
    }
    list_init(node);
}

struct list *list_pop_front(struct list *head)
{
    if (list_empty(head))
        return NULL;
    struct list *node = head->next;
    list_remove(node);
    return node;
}

/* ---- array ---- */

#define VEC_FIRST 8

void *vec_push(struct vec *vec)
{
    if (vec->len >= vec->max)
        return NULL;
    if (vec->len == vec->cap) {
        size_t cap = vec->cap ? vec->cap * 2 : VEC_FIRST;
        if (cap > vec->max)
            cap = vec->max;
        if (cap > SIZE_MAX / vec->item_size)
            return NULL;
        vec->items = mem_realloc(vec->items, cap * vec->item_size);
        vec->cap = cap;
    }
    void *item = (char *)vec->items + vec->len++ * vec->item_size;
    memset(item, 0, vec->item_size);
    return item;
}

void vec_remove_swap(struct vec *vec, size_t index)
{
    if (index >= vec->len)
        return;
    vec->len--;
    if (index != vec->len)
        memcpy((char *)vec->items + index * vec->item_size, (char *)vec->items + vec->len * vec->item_size,
               vec->item_size);
}

void vec_free(struct vec *vec)
{
    if (!vec)
        return;
    free(vec->items);
    vec->items = NULL;
    vec->len = vec->cap = 0;
}

/* ---- map: open addressing, linear probing, removal by shifting back ---- */

#define MAP_FIRST 16 /* slots; always a power of two, at most three quarters full */

struct map_slot {
    uint64_t hash;
    struct slice key;
    void *value; /* NULL: free */
};

struct map {
    struct hash_key key;
    struct map_slot *slots;
    size_t mask, count, max;
};

struct map *map_new(size_t max)
{
    struct map *map = mem_zero(1, sizeof *map);
    random_fill(&map->key, sizeof map->key);
    map->max = max;
    return map;
}

void map_free(struct map **map)
{
    if (!map || !*map)
        return;
    free((*map)->slots);
    free(*map);
    *map = NULL;
}

size_t map_count(const struct map *map)
{
    return map->count;
}

/* The slot of the key, or the free one where it belongs. The table is never full. */
static size_t map_slot_of(const struct map *map, uint64_t hash, struct slice key)
{
    size_t at = (size_t)hash & map->mask;
    while (map->slots[at].value && (map->slots[at].hash != hash || !slice_eq(map->slots[at].key, key)))
        at = (at + 1) & map->mask;
    return at;
}

static void map_grow(struct map *map)
{
    struct map_slot *old = map->slots;
    size_t size = old ? map->mask + 1 : 0, wanted = size ? size * 2 : MAP_FIRST;
    map->slots = mem_zero(wanted, sizeof *map->slots);
    map->mask = wanted - 1;
    for (size_t i = 0; i < size; i++)
        if (old[i].value)
            map->slots[map_slot_of(map, old[i].hash, old[i].key)] = old[i];
    free(old);
}

void *map_get(const struct map *map, struct slice key)
{
    if (map->count == 0)
        return NULL;
    return map->slots[map_slot_of(map, hash_sip(&map->key, key), key)].value;
}

bool map_put(struct map *map, struct slice key, void *value)
{
    if (!value)
        return false;
    if (!map->slots || (map->count + 1) * 4 > (map->mask + 1) * 3)
        map_grow(map);
    uint64_t hash = hash_sip(&map->key, key);
    struct map_slot *slot = &map->slots[map_slot_of(map, hash, key)];
    if (!slot->value && map->count >= map->max)
        return false;
    if (!slot->value)
        map->count++;
    *slot = (struct map_slot){.hash = hash, .key = key, .value = value};
    return true;
}

/* Moves later entries of the same run forward, so that no search stops at the hole. */
static void map_close_hole(struct map *map, size_t hole)
{
    for (size_t at = (hole + 1) & map->mask; map->slots[at].value; at = (at + 1) & map->mask) {
        size_t home = (size_t)map->slots[at].hash & map->mask;
        if (((at - home) & map->mask) < ((at - hole) & map->mask))
            continue; /* it stands between its home and here, behind the hole */
        map->slots[hole] = map->slots[at];
        hole = at;
    }
    map->slots[hole].value = NULL;
}

void *map_remove(struct map *map, struct slice key)
{
    if (map->count == 0)
        return NULL;
    size_t at = map_slot_of(map, hash_sip(&map->key, key), key);
    void *value = map->slots[at].value;
    if (value) {
        map_close_hole(map, at);
        map->count--;
    }
    return value;
}

void *map_next(const struct map *map, size_t *at, struct slice *key)
{
    size_t size = map->slots ? map->mask + 1 : 0;
    while (*at < size) {
        const struct map_slot *slot = &map->slots[(*at)++];
        if (slot->value) {
            if (key)
                *key = slot->key;
            return slot->value;
        }
    }
    return NULL;
}

/* ---- idmap: the same over numbers ---- */

struct idmap_slot {
    uint64_t id;
    void *value;
};

struct idmap {
    uint64_t seed;
    struct idmap_slot *slots;
    size_t mask, count, max;
};

struct idmap *idmap_new(size_t max)
{
    struct idmap *map = mem_zero(1, sizeof *map);
    map->seed = random_u64();
    map->max = max;
    return map;
}

void idmap_free(struct idmap **map)
{
    if (!map || !*map)
        return;
    free((*map)->slots);
    free(*map);
    *map = NULL;
}

size_t idmap_count(const struct idmap *map)
{
    return map->count;
}

/* splitmix64's finaliser over the seeded id: ids count up, and a peer may choose them. */
static size_t idmap_home(const struct idmap *map, uint64_t id)
{
    uint64_t h = id ^ map->seed;
    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 27) * 0x94d049bb133111ebu;
    return (size_t)(h ^ h >> 31) & map->mask;
}

static size_t idmap_slot_of(const struct idmap *map, uint64_t id)
{
    size_t at = idmap_home(map, id);
    while (map->slots[at].value && map->slots[at].id != id)
        at = (at + 1) & map->mask;
    return at;
}

static void idmap_grow(struct idmap *map)
{
    struct idmap_slot *old = map->slots;
    size_t size = old ? map->mask + 1 : 0, wanted = size ? size * 2 : MAP_FIRST;
    map->slots = mem_zero(wanted, sizeof *map->slots);
    map->mask = wanted - 1;
    for (size_t i = 0; i < size; i++)
        if (old[i].value)
            map->slots[idmap_slot_of(map, old[i].id)] = old[i];
    free(old);
}

void *idmap_get(const struct idmap *map, uint64_t id)
{
    return map->count ? map->slots[idmap_slot_of(map, id)].value : NULL;
}

bool idmap_put(struct idmap *map, uint64_t id, void *value)
{
    if (!value)
        return false;
    if (!map->slots || (map->count + 1) * 4 > (map->mask + 1) * 3)
        idmap_grow(map);
    struct idmap_slot *slot = &map->slots[idmap_slot_of(map, id)];
    if (!slot->value && map->count >= map->max)
        return false;
    if (!slot->value)
        map->count++;
    *slot = (struct idmap_slot){.id = id, .value = value};
    return true;
}

static void idmap_close_hole(struct idmap *map, size_t hole)
{
    for (size_t at = (hole + 1) & map->mask; map->slots[at].value; at = (at + 1) & map->mask) {
        size_t home = idmap_home(map, map->slots[at].id);
        if (((at - home) & map->mask) < ((at - hole) & map->mask))
            continue;
        map->slots[hole] = map->slots[at];
        hole = at;
    }
    map->slots[hole].value = NULL;
}

void *idmap_remove(struct idmap *map, uint64_t id)
{
    if (map->count == 0)
        return NULL;
    size_t at = idmap_slot_of(map, id);
    void *value = map->slots[at].value;
    if (value) {
        idmap_close_hole(map, at);
        map->count--;
    }
    return value;
}

void *idmap_next(const struct idmap *map, size_t *at, uint64_t *id)
{
    size_t size = map->slots ? map->mask + 1 : 0;
    while (*at < size) {
        const struct idmap_slot *slot = &map->slots[(*at)++];
        if (slot->value) {
            if (id)
                *id = slot->id;
            return slot->value;
        }
    }
    return NULL;
}
