/* sort.h: ordering many things by 64-bit keys, stable: what SORT and THREAD are made of. Pure. */
#ifndef STORE_SORT_H
#define STORE_SORT_H

#include <stddef.h>
#include <stdint.h>

struct sort_item {
    uint64_t key;
    uint32_t index;
};

/* Sorts by key; equal keys keep their order. `spare` has room for as many items. */
void sort_items(struct sort_item *items, struct sort_item *spare, size_t count);
/* The key of a signed number. */
uint64_t sort_signed(int64_t number);

#endif
