/* routes.c: which way mail takes. Trusts the settings; addresses are made by the parser. Called by deliver.c
 * and schedule.c. */
#include "queue/routes.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "directory/relay_map.h"
#include "grammar/address.h"
#include "grammar/domain.h"

#define ROUTES_ARENA_MAX  (64u << 20)
#define ROUTES_RULES_MAX  100000
#define ROUTES_PROBLEMS   20 /* logged */
#define ROUTES_LOOKUP_MAX 8192

struct routes {
    struct arena *arena;
    const struct settings *settings;
    struct map *senders, *recipients; /* address or domain to a struct rule */
    struct relay_map *map;            /* of all files */
    struct map *levels;               /* "[host]:587" to a struct level */
};

/* What TLS must be to a host of the relay maps. */
struct level {
    enum settings_map_tls tls;
};

struct rule {
    const struct settings_relay *relay;
};

static const struct settings_relay *find(const struct map *map, struct slice key)
{
    const struct rule *rule = key.len ? map_get(map, key) : NULL;
    return rule ? rule->relay : NULL;
}

/* As keys are compared: lower case, domains in A-labels. */
static struct slice fold_in(struct arena *arena, struct slice text)
{
    ptrdiff_t at = slice_rfind(text, '@');
    struct slice domain = slice_from(text, (size_t)(at + 1)), alabel;
    struct why why;
    if (domain_to_alabel_in(arena, domain, &alabel, &why))
        alabel = domain;
    struct slice local = slice_sub(text, 0, (size_t)(at + 1));
    uint8_t *folded = arena_must(arena, local.len + alabel.len + 1);
    for (size_t i = 0; i < local.len; i++)
        folded[i] = ascii_lower(local.ptr[i]);
    for (size_t i = 0; i < alabel.len; i++)
        folded[local.len + i] = ascii_lower(alabel.ptr[i]);
    return slice_make(folded, local.len + alabel.len);
}

static void add_rule(struct routes *routes, struct map *map, struct slice text,
                     const struct settings_relay *relay)
{
    struct slice key = fold_in(routes->arena, slice_starts(text, SLICE("@")) ? slice_from(text, 1) : text);
    struct rule *rule = ARENA_NEW(routes->arena, struct rule);
    rule->relay = relay;
    if (key.len && !map_get(map, key) && !map_put(map, key, rule))
        log_warn("queue.routes", LOG_CSTR("why", "too many rules"));
}

static struct slice place_in(struct arena *arena, const struct relay_map_entry *line)
{
    return arena_printf(arena, line->bracketed ? "[%.*s]:%u" : "%.*s:%u", SLICE_ARG(line->host), line->port);
}

/* The lines from `first` on are of a file with this level; where files differ the strictest counts. */
static void add_levels(struct routes *routes, size_t first, enum settings_map_tls tls)
{
    for (size_t i = first; i < relay_map_count(routes->map); i++) {
        struct slice place = place_in(routes->arena, relay_map_at(routes->map, i));
        struct level *level = map_get(routes->levels, place);
        if (!level) {
            level = ARENA_NEW(routes->arena, struct level);
            if (!map_put(routes->levels, place, level))
                return; /* there are as many as lines */
        }
        if (tls > level->tls)
            level->tls = tls;
    }
}

static void read_maps(struct routes *routes, struct queue *q, bool next)
{
    struct problems *problems = problems_new_in(routes->arena);
    routes->map = relay_map_new_in(routes->arena);
    for (uint32_t i = 0; i < routes->settings->relay_maps.count; i++) {
        const struct role_file *file =
            next ? role_next_file(q->run, SUP_FILE_RELAY_MAP, i) : role_file(q->run, SUP_FILE_RELAY_MAP, i);
        size_t first = relay_map_count(routes->map);
        if (file && !file->missing.len)
            relay_map_read(routes->map, file->content, file->path, problems);
        else
            log_error("queue.routes", LOG_STR("file", file ? file->path : SLICE("?")),
                      LOG_STR("why", file ? file->missing : SLICE("not handed in")));
        add_levels(routes, first, routes->settings->relay_maps.items[i].tls);
    }
    for (size_t i = 0; i < problems->count && i < ROUTES_PROBLEMS; i++)
        log_warn("queue.routes", LOG_STR("file", problems->items[i].file),
                 LOG_U64("line", problems->items[i].line), LOG_STR("what", problems->items[i].text));
}

struct routes *routes_build(struct queue *q, bool next)
{
    struct routes *routes = mem_zero(1, sizeof *routes);
    routes->arena = arena_new(ROUTES_ARENA_MAX);
    routes->settings = next ? role_next_settings(q->run) : role_settings(q->run);
    routes->senders = map_new(ROUTES_RULES_MAX);
    routes->recipients = map_new(ROUTES_RULES_MAX);
    routes->levels = map_new(RELAY_MAP_ENTRIES_MAX);
    for (size_t i = 0; i <= routes->settings->relays.count; i++) {
        const struct settings_relay *relay = settings_relay_at(routes->settings, i);
        for (size_t j = 0; relay && j < relay->senders.count; j++)
            add_rule(routes, routes->senders, relay->senders.items[j], relay);
        for (size_t j = 0; relay && j < relay->recipients.count; j++)
            add_rule(routes, routes->recipients, relay->recipients.items[j], relay);
    }
    read_maps(routes, q, next);
    return routes;
}

void routes_free(struct routes **routes)
{
    if (!*routes)
        return;
    map_free(&(*routes)->senders);
    map_free(&(*routes)->recipients);
    map_free(&(*routes)->levels);
    arena_free(&(*routes)->arena);
    free(*routes);
    *routes = NULL;
}

/* ---- keys ---- */

static void add_relay(const struct settings_relay *relay, struct slice sender, struct buf *key)
{
    bool reserved = false;
    for (size_t i = 0; relay->daily && relay->reserve && i < relay->reserve_senders.count; i++)
        reserved |= slice_ieq(relay->reserve_senders.items[i], sender);
    buf_add_str(key, reserved ? "reserve:" : "relay:");
    buf_add(key, relay->name);
}

static void add_direct(struct arena *arena, struct slice recipient, struct buf *key)
{
    buf_add_str(key, "direct:");
    buf_add(key, fold_in(arena, address_domain_of(recipient)));
}

void routes_find(const struct routes *routes, struct slice sender, struct slice recipient, struct buf *key)
{
    AUTO_ARENA struct arena *arena = arena_new(ROUTES_LOOKUP_MAX);
    struct slice from = fold_in(arena, sender);
    const struct settings_relay *relay =
        find(routes->recipients, fold_in(arena, address_domain_of(recipient)));
    if (!relay)
        relay = find(routes->senders, from);
    if (!relay)
        relay = find(routes->senders, address_domain_of(from));
    const struct relay_map_entry *line = relay ? NULL : relay_map_find(routes->map, sender);
    if (!relay && !line)
        relay = settings_relay_at(routes->settings, 0);
    if (relay)
        add_relay(relay, sender, key);
    else if (line && line->host.len)
        buf_addf(key, "map:%.*s", SLICE_ARG(place_in(arena, line)));
    else
        add_direct(arena, recipient, key);
}

static bool read_relay(const struct routes *routes, struct slice name, bool reserved, struct route *route)
{
    int index = settings_relay_by_name(routes->settings, name);
    if (index < 0)
        return false;
    *route = (struct route){
        .kind = RELAY_ROUTE_RELAY, .relay = (uint32_t)index, .name = name, .reserved = reserved};
    return true;
}

/* "[host]:587", "host:25" */
static bool read_map(const struct routes *routes, struct slice text, struct route *route)
{
    const struct level *level = map_get(routes->levels, text);
    ptrdiff_t colon = slice_rfind(text, ':');
    uint64_t port;
    if (colon < 1 || !slice_u64(slice_from(text, (size_t)colon + 1), 65535, &port))
        return false;
    struct slice host = slice_sub(text, 0, (size_t)colon);
    bool no_mx = slice_starts(host, SLICE("[")) && slice_ends(host, SLICE("]"));
    if (no_mx)
        host = slice_sub(host, 1, host.len - 2);
    *route = (struct route){.kind = RELAY_ROUTE_MAP,
                            .relay = UINT32_MAX,
                            .host = host,
                            .port = (uint32_t)port,
                            .no_mx = no_mx,
                            .tls = level ? level->tls : SETTINGS_MAP_AUTO};
    return true;
}

bool routes_read(const struct routes *routes, struct slice key, struct route *route)
{
    ptrdiff_t colon = slice_find(key, ':');
    struct slice kind = slice_sub(key, 0, colon < 0 ? 0 : (size_t)colon),
                 rest = slice_from(key, kind.len + 1);
    if (slice_eq(kind, SLICE("relay")) || slice_eq(kind, SLICE("reserve")))
        return read_relay(routes, rest, kind.len > 5, route);
    if (slice_eq(kind, SLICE("map")))
        return read_map(routes, rest, route);
    *route = (struct route){.kind = RELAY_ROUTE_DIRECT, .host = rest};
    return slice_eq(kind, SLICE("direct")) && rest.len;
}

bool routes_next(const struct routes *routes, const struct route *route, struct slice sender,
                 struct slice recipient, struct buf *key)
{
    const struct settings_relay *relay =
        route->kind == RELAY_ROUTE_RELAY ? settings_relay_at(routes->settings, route->relay) : NULL;
    if (!relay || !relay->next.len)
        return false;
    int index = settings_relay_by_name(routes->settings, relay->next);
    if (index >= 0) {
        add_relay(settings_relay_at(routes->settings, (size_t)index), sender, key);
        return true;
    }
    AUTO_ARENA struct arena *arena = arena_new(ROUTES_LOOKUP_MAX);
    add_direct(arena, recipient, key);
    return slice_eq(relay->next, SLICE("direct"));
}
