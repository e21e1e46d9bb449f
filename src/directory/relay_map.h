/* relay_map.h: docker-mailserver's postfix-relaymap.cf (Postfix's sender_dependent_relayhost_maps): which
 * relay takes the mail of which sender. The reader is pure and tolerant as its siblings in input.h. Used by
 * queue and the commands.
 *
 *   line = key [WSP (host / "[" host "]") [":" port]]      nothing behind the key: no relay
 *   key  = "@domain" / "user@domain"
 */
#ifndef DIRECTORY_RELAY_MAP_H
#define DIRECTORY_RELAY_MAP_H

#include "directory/input.h"

#define RELAY_MAP_ENTRIES_MAX 10000 /* of all files together */
#define RELAY_MAP_PORT        25    /* where none is said */

struct relay_map_entry {
    struct slice key; /* folded: "user@domain", or "@domain" */
    struct slice
        host; /* A-labels, or an address as text; empty: no relay, not the default one either (direct) */
    uint16_t port;
    bool bracketed; /* that host itself, no MX look-up; also for addresses */
    struct directory_place place;
};

struct relay_map; /* lives in its arena */

struct relay_map *relay_map_new_in(struct arena *arena);
/* Adds a file. What cannot be read is a problem with its line; of two lines for one sender the first counts.
 * Texts are copied into the map's arena. */
void relay_map_read(struct relay_map *map, struct slice text, struct slice file, struct problems *problems);
/* The line for a sender: its address (also without plus-tag), then its domain. NULL: none, the default relay
 * counts; the null sender has none. */
const struct relay_map_entry *relay_map_find(const struct relay_map *map, struct slice sender);
/* All of them, in the order of the files. */
size_t relay_map_count(const struct relay_map *map);
const struct relay_map_entry *relay_map_at(const struct relay_map *map, size_t index);

#endif
