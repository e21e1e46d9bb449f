/* arena.c: block allocator with clean-up hooks. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#define ARENA_BLOCK 2048
#define ARENA_FIRST                                                                                          \
    448 /* of many arenas the first block is all, and some live as long as an idle session                   \
         */
#define ARENA_ALIGN alignof(max_align_t)

struct block {
    struct block *next;
    size_t cap, used;
    alignas(max_align_t) uint8_t data[];
};

struct defer {
    struct defer *next;
    void (*fn)(void *arg);
    void *arg;
};

struct arena {
    struct block *blocks; /* the newest first */
    struct defer *defers;
    size_t max, total, used;
};

struct arena *arena_new(size_t max)
{
    struct arena *arena = mem_zero(1, sizeof *arena);
    arena->max = max;
    return arena;
}

static void run_defers(struct arena *arena)
{
    while (arena->defers) {
        struct defer *d = arena->defers;
        arena->defers = d->next;
        d->fn(d->arg);
    }
}

static void free_blocks(struct block *block)
{
    while (block) {
        struct block *next = block->next;
        free(block);
        block = next;
    }
}

void arena_free(struct arena **arena)
{
    if (!arena || !*arena)
        return;
    run_defers(*arena);
    free_blocks((*arena)->blocks);
    free(*arena);
    *arena = NULL;
}

void arena_reset(struct arena *arena)
{
    run_defers(arena);
    struct block *first = arena->blocks;
    if (first) {
        free_blocks(first->next);
        first->next = NULL;
        if (first->cap > ARENA_BLOCK) {
            free(first);
            first = NULL;
        } else {
            first->used = 0;
        }
    }
    arena->blocks = first;
    arena->total = first ? first->cap : 0;
    arena->used = 0;
}

size_t arena_used(const struct arena *arena)
{
    return arena->used;
}

void *arena_try(struct arena *arena, size_t size)
{
    if (size > arena->max)
        return NULL;
    size_t need = (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    struct block *block = arena->blocks;
    if (!block || block->cap - block->used < need) {
        size_t usual = block ? ARENA_BLOCK : ARENA_FIRST, cap = need > usual ? need : usual;
        if (arena->total + cap > arena->max)
            cap = need;
        if (arena->total + cap > arena->max)
            return NULL;
        block = mem_alloc(sizeof *block + cap);
        *block = (struct block){.next = arena->blocks, .cap = cap};
        arena->blocks = block;
        arena->total += cap;
    }
    void *at = block->data + block->used;
    block->used += need;
    arena->used += need;
    memset(at, 0, size);
    return at;
}

void *arena_must(struct arena *arena, size_t size)
{
    void *at = arena_try(arena, size);
    if (!at) {
        static const char text[] = "arena limit reached where it must not be\n";
        ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
        (void)ignored;
        abort();
    }
    return at;
}

struct slice arena_dup(struct arena *arena, struct slice s)
{
    return slice_make(arena_cstr(arena, s), s.len);
}

char *arena_cstr(struct arena *arena, struct slice s)
{
    char *copy = arena_must(arena, s.len + 1);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

struct slice arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    size_t size = len > 0 ? (size_t)len : 0;
    char *text = arena_must(arena, size + 1);
    (void)vsnprintf(text, size + 1, format, again);
    va_end(again);
    return slice_make(text, size);
}

void arena_defer(struct arena *arena, void (*fn)(void *arg), void *arg)
{
    struct defer *d = ARENA_NEW(arena, struct defer);
    *d = (struct defer){arena->defers, fn, arg};
    arena->defers = d;
}
