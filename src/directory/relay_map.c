/* relay_map.c: reads and asks postfix-relaymap.cf. The file is the operator's, senders are what clients said.
 * Called by queue and by the commands. */
#include "directory/relay_map.h"

#include "base/coll.h"
#include "directory/input_list.h"
#include "directory/table_inside.h"
#include "grammar/domain.h"
#include "grammar/nexthop.h"

#define SCRATCH_MAX (1u << 18) /* for one line, or one sender */

struct relay_map {
    struct arena *arena;
    struct map *by_key;
    struct vec entries; /* of pointers */
};

static void free_map(void *arg)
{
    struct relay_map *map = arg;
    map_free(&map->by_key);
    vec_free(&map->entries);
}

struct relay_map *relay_map_new_in(struct arena *arena)
{
    struct relay_map *map = ARENA_NEW(arena, struct relay_map);
    map->arena = arena;
    map->by_key = map_new(RELAY_MAP_ENTRIES_MAX);
    map->entries = VEC_NEW(struct relay_map_entry *, RELAY_MAP_ENTRIES_MAX);
    arena_defer(arena, free_map, map);
    return map;
}

/* "@domain" or "user@domain", folded; empty when it is neither. */
static struct slice key_in(struct arena *arena, struct slice word)
{
    struct slice domain;
    if (!slice_starts(word, SLICE("@")))
        return slice_find(word, '@') < 0 ? SLICE_EMPTY : directory_fold_in(arena, word);
    if (domain_to_alabel_in(arena, slice_from(word, 1), &domain, NULL) != ERR_OK)
        return SLICE_EMPTY;
    return arena_printf(arena, "@%.*s", SLICE_ARG(domain));
}

static void add_entry(struct relay_map *map, const struct relay_map_entry *made, struct problems *problems)
{
    const struct relay_map_entry *known = map_get(map->by_key, made->key);
    const struct directory_place *place = &made->place;
    if (known) {
        if (!slice_eq(known->host, made->host) || known->port != made->port)
            problem_add(problems, PROBLEM_WARNING, place->file, place->line,
                        SLICE("remove one of the two lines"),
                        "a relay for %.*s is also in %.*s:%u; the first counts", SLICE_ARG(made->key),
                        SLICE_ARG(known->place.file), known->place.line);
        return;
    }
    struct relay_map_entry *kept = ARENA_NEW(map->arena, struct relay_map_entry);
    *kept = *made;
    struct relay_map_entry **at = vec_push(&map->entries);
    if (!at || !map_put(map->by_key, kept->key, kept)) {
        problem_add(problems, PROBLEM_ERROR, place->file, place->line, SLICE_EMPTY,
                    "more than %d lines in relay maps; the rest is not read", RELAY_MAP_ENTRIES_MAX);
        return;
    }
    *at = kept;
}

static void read_line(struct relay_map *map, struct slice line, const struct directory_place *place,
                      struct arena *scratch, struct problems *problems)
{
    struct relay_map_entry made = {.port = RELAY_MAP_PORT, .place = *place};
    struct nexthop nexthop = {0};
    struct why why;
    size_t end = 0;
    while (end < line.len && !ascii_is_space(line.ptr[end]))
        end++;
    struct slice value = slice_trim(slice_from(line, end));
    made.key = arena_dup(map->arena, key_in(scratch, slice_sub(line, 0, end)));
    if (made.key.len == 0) {
        problem_add(problems, PROBLEM_ERROR, place->file, place->line,
                    SLICE("write @example.org [relay.example.net]:587"),
                    "no sender's domain or address at the beginning of this line; ignored");
        return;
    }
    if (value.len && nexthop_parse_in(scratch, value, &nexthop, &why)) {
        problem_add(problems, PROBLEM_ERROR, place->file, place->line,
                    SLICE("write [relay.example.net]:587, or nothing for no relay"),
                    "the relay of %.*s: %s; ignored", SLICE_ARG(made.key), why.text);
        return;
    }
    made.host = arena_dup(map->arena, nexthop.host);
    made.bracketed = nexthop.bracketed;
    if (nexthop.port)
        made.port = nexthop.port;
    add_entry(map, &made, problems);
}

void relay_map_read(struct relay_map *map, struct slice text, struct slice file, struct problems *problems)
{
    struct directory_input input = {.arena = map->arena, .problems = problems};
    struct line_reader lines = line_reader_new(&input, text, file);
    struct arena *scratch = arena_new(SCRATCH_MAX);
    struct slice line;
    while (line_reader_next(&lines, &line)) {
        line = slice_trim(line);
        struct directory_place place = line_reader_place(&lines, line);
        read_line(map, line, &place, scratch, problems);
        arena_reset(scratch);
    }
    arena_free(&scratch);
}

const struct relay_map_entry *relay_map_find(const struct relay_map *map, struct slice sender)
{
    AUTO_ARENA struct arena *scratch = arena_new(SCRATCH_MAX);
    struct slice key = directory_fold_in(scratch, sender), base, tag;
    if (key.len == 0)
        return NULL;
    const struct relay_map_entry *entry = map_get(map->by_key, key);
    if (!entry && table_strip_tag_in(scratch, key, &base, &tag))
        entry = map_get(map->by_key, base);
    ptrdiff_t at = slice_rfind(key, '@');
    return entry || at < 0 ? entry : map_get(map->by_key, slice_from(key, (size_t)at));
}

size_t relay_map_count(const struct relay_map *map)
{
    return map->entries.len;
}

const struct relay_map_entry *relay_map_at(const struct relay_map *map, size_t index)
{
    return index < map->entries.len ? *VEC_AT(&map->entries, struct relay_map_entry *, index) : NULL;
}
