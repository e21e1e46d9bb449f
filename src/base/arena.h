/* arena.h: memory that dies together: one arena per connection, transaction or command.
 *
 * Functions named `…_in(arena)` allocate their result there. An error path frees nothing by hand; what is not
 * memory (descriptors, foreign handles) is registered with arena_defer().
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/slice.h"

struct arena;

/* An empty arena that never holds more than `max` bytes of blocks. Ends the process when memory runs out. */
struct arena *arena_new(size_t max);
/* Runs the deferred calls, last first, and frees everything. Clears the caller's pointer; takes NULL. */
void arena_free(struct arena **arena);
#define AUTO_ARENA __attribute__((cleanup(arena_free)))
/* The same, but the arena stays usable and keeps its first block. */
void arena_reset(struct arena *arena);
/* Bytes handed out since creation or reset. */
size_t arena_used(const struct arena *arena);

/* Zeroed memory, aligned for any type. NULL past the maximum: bounds on what a peer can make us build are
 * checked by callers; arena_must() is for amounts that are bounded already and ends the process instead. */
void *arena_try(struct arena *arena, size_t size) MUST_CHECK;
void *arena_must(struct arena *arena, size_t size) __attribute__((returns_nonnull));
#define ARENA_NEW(arena, type)          ((type *)arena_must(arena, sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_must(arena, sizeof(type) * (count)))

/* Copies; the second adds a NUL (for foreign libraries, when the text holds none itself). */
struct slice arena_dup(struct arena *arena, struct slice s);
char *arena_cstr(struct arena *arena, struct slice s) __attribute__((returns_nonnull));
struct slice arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3), nonnull(2)));

/* Calls fn(arg) when the arena is reset or freed. */
void arena_defer(struct arena *arena, void (*fn)(void *arg), void *arg);

#endif
