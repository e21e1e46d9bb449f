/* coll.h: the collections: intrusive list, growing array, and two hash maps. Each has a hard maximum where a
 * peer can make it grow. */
#ifndef BASE_COLL_H
#define BASE_COLL_H

#include "base/hash.h"

/* The struct of `type` whose member `member` is at `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_LEN(array)                (sizeof(array) / sizeof *(array))

/* A doubly linked ring. The head is a node too; a node of no list points to itself (list_init) or is zeroed.
 */
struct list {
    struct list *prev, *next;
};
void list_init(struct list *node);
bool list_empty(const struct list *head);
void list_push_back(struct list *head, struct list *node);
void list_push_front(struct list *head, struct list *node);
/* Takes the node out of whatever list holds it; harmless when it is in none. */
void list_remove(struct list *node);
/* Takes the first node out; NULL when empty. */
struct list *list_pop_front(struct list *head);
/* The node may be removed inside the loop. */
#define LIST_EACH(head, node)                                                                                \
    for (struct list *node = (head)->next, *node##_next = node->next; node != (head);                        \
         node = node##_next, node##_next = node->next)

/* A growing array of items of one size: struct vec v = VEC_NEW(struct thing, 1000); */
struct vec {
    void *items;
    size_t len, cap, max, item_size;
};
#define VEC_NEW(type, maximum)   ((struct vec){.max = (maximum), .item_size = sizeof(type)})
#define VEC_AT(vec, type, index) (&((type *)(vec)->items)[index])
/* A zeroed new item at the end, valid until the next push; NULL at the maximum. */
void *vec_push(struct vec *vec) MUST_CHECK;
/* Takes item `index` out; the last one moves into its place. */
void vec_remove_swap(struct vec *vec, size_t index);
void vec_free(struct vec *vec);

/* From bytes to a pointer. Keys are not copied: they must live (best inside the value) as long as the entry.
 * SipHash with a key of its own, so strangers may choose the keys. */
struct map;
struct map *map_new(size_t max);
void map_free(struct map **map);
size_t map_count(const struct map *map);
/* NULL when absent. */
void *map_get(const struct map *map, struct slice key);
/* Adds or replaces (key and value; `value` is not NULL); false at the maximum. */
bool map_put(struct map *map, struct slice key, void *value) MUST_CHECK;
/* The value taken out, or NULL. */
void *map_remove(struct map *map, struct slice key);
/* Walks in no order: start with *at = 0; NULL at the end. Nothing may be added or removed meanwhile. */
void *map_next(const struct map *map, size_t *at, struct slice *key);

/* The same with a number as key. */
struct idmap;
struct idmap *idmap_new(size_t max);
void idmap_free(struct idmap **map);
size_t idmap_count(const struct idmap *map);
void *idmap_get(const struct idmap *map, uint64_t id);
bool idmap_put(struct idmap *map, uint64_t id, void *value) MUST_CHECK;
void *idmap_remove(struct idmap *map, uint64_t id);
void *idmap_next(const struct idmap *map, size_t *at, uint64_t *id);

#endif
