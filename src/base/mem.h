/* mem.h: allocation that cannot fail. A small allocation that fails ends the role; the supervisor starts it
 * again. Sizes a peer controls are bounded before they get here. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

/* As malloc, calloc (zeroed) and realloc, but never NULL. A `size` of 0 gives a unique pointer. */
void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull, alloc_size(1)));
void *mem_zero(size_t count, size_t size) __attribute__((malloc, returns_nonnull, alloc_size(1, 2)));
void *mem_realloc(void *old, size_t size) __attribute__((returns_nonnull, alloc_size(2)));
/* A copy of `len` bytes with a NUL behind it. */
char *mem_dup(const void *bytes, size_t len) __attribute__((malloc, returns_nonnull));
/* Overwrites secrets; not optimised away. */
void mem_wipe(void *secret, size_t len);

#endif
