/* bans.c: the register of bans: networks, bans by hand and by score, owners, what makes the image. Addresses
 * come from the network roles and relay, which talk to strangers. Called by ban_role.c and ban_command.c. */
#include "auth/bans.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MAPPED_BITS 96

/* ---- networks ---- */

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_v4(const struct conf_network *network)
{
    return network->bits >= MAPPED_BITS && memcmp(network->ip, mapped, sizeof mapped) == 0;
}

bool bans_network_of(const struct netaddr *addr, struct conf_network *network)
{
    *network = (struct conf_network){.bits = 128};
    if (addr->family == NETADDR_V4) {
        memcpy(network->ip, mapped, sizeof mapped);
        memcpy(network->ip + sizeof mapped, addr->bytes, 4);
    } else if (addr->family == NETADDR_V6) {
        memcpy(network->ip, addr->bytes, sizeof network->ip);
    }
    return addr->family == NETADDR_V4 || addr->family == NETADDR_V6;
}

static void cut(struct conf_network *network, unsigned bits)
{
    network->bits = (uint8_t)bits;
    for (unsigned i = 0; i < sizeof network->ip; i++) {
        unsigned kept = bits > 8 * i ? bits - 8 * i : 0;
        if (kept < 8)
            network->ip[i] &= (uint8_t)(0xff00u >> kept);
    }
}

bool bans_read_network(struct slice text, struct conf_network *network)
{
    ptrdiff_t slash = slice_find(text, '/');
    struct slice host = slash < 0 ? text : slice_sub(text, 0, (size_t)slash);
    struct netaddr addr;
    if (!netaddr_parse(host, &addr) || !bans_network_of(&addr, network))
        return false;
    uint64_t width = addr.family == NETADDR_V4 ? 32 : 128, bits = width;
    if (slash >= 0 && !slice_u64(slice_from(text, (size_t)slash + 1), width, &bits))
        return false;
    cut(network, (unsigned)(bits + 128 - width));
    return true;
}

struct conf_network bans_client(const struct bans *bans, const struct netaddr *addr)
{
    struct conf_network network;
    bool v4 = addr->family == NETADDR_V4;
    if (bans_network_of(addr, &network))
        cut(&network, (unsigned)(v4 ? MAPPED_BITS + bans->settings->limits.ipv4_prefix
                                    : bans->settings->limits.ipv6_prefix));
    if (bans_has_all_of_ipv4(&network)) /* "::5" is no real client: nobody else pays for it */
        (void)!bans_network_of(addr, &network);
    return network;
}

struct bans_text bans_network_text(const struct conf_network *network)
{
    struct bans_text text;
    const struct netaddr addr = netaddr_v6(network->ip, 0); /* IPv4 again where it is mapped */
    unsigned bits = is_v4(network) ? network->bits - MAPPED_BITS : network->bits;
    if (network->bits == 128)
        (void)snprintf(text.text, sizeof text.text, "%s", netaddr_text(&addr).text);
    else
        (void)snprintf(text.text, sizeof text.text, "%s/%u", netaddr_text(&addr).text, bits);
    return text;
}

bool bans_covers(const struct conf_network *outer, const struct conf_network *inner)
{
    return outer->bits <= inner->bits && conf_network_has(outer, inner->ip);
}

bool bans_has_all_of_ipv4(const struct conf_network *network)
{
    struct conf_network all = {.bits = MAPPED_BITS};
    memcpy(all.ip, mapped, sizeof mapped);
    return bans_covers(network, &all);
}

bool bans_too_wide(const struct conf_network *network)
{
    if (is_v4(network))
        return network->bits < MAPPED_BITS + BANS_WIDEST_V4;
    return network->bits < BANS_WIDEST_V6 || bans_has_all_of_ipv4(network);
}

/* This machine; and addresses that are somebody's inside: nobody knows who is behind them. */
static const char loopbacks[][12] = {"127.0.0.0/8", "::1"};
static const char privates[][16] = {"10.0.0.0/8",    "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16",
                                    "100.64.0.0/10", "fc00::/7",      "fe80::/10"};

static bool any_covers(const struct conf_network *list, size_t count, const struct conf_network *network)
{
    for (size_t i = 0; i < count; i++)
        if (bans_covers(&list[i], network))
            return true;
    return false;
}

const char *bans_never(const struct bans *bans, const struct conf_network *network)
{
    const struct settings *s = bans->settings;
    if (any_covers(s->trusted_networks.items, s->trusted_networks.count, network))
        return "trusted_networks";
    if (any_covers(s->proxy_trusted_networks.items, s->proxy_trusted_networks.count, network))
        return "proxy_trusted_networks";
    if (any_covers(s->ban_policy.except.items, s->ban_policy.except.count, network))
        return "ban_policy.except";
    for (size_t i = 0; i < ARRAY_LEN(loopbacks); i++) {
        struct conf_network own;
        if (bans_read_network(slice_of(loopbacks[i]), &own) && bans_covers(&own, network))
            return "this machine";
    }
    return NULL;
}

/* ---- life ---- */

static struct slice key_of(const struct conf_network *network)
{
    return slice_make(network, sizeof *network);
}

void bans_use(struct bans *bans, const struct settings *settings)
{
    bans->settings = settings;
    bans->rules = (struct score_rules){.threshold = settings->ban_policy.threshold,
                                       .half_life_ms = settings->ban_policy.half_life,
                                       .first_s = settings->ban_policy.first / 1000,
                                       .max_s = settings->ban_policy.max / 1000};
}

struct bans *bans_new(const struct settings *settings)
{
    struct bans *bans = mem_zero(1, sizeof *bans);
    bans_use(bans, settings);
    bans->tracks = map_new(BANS_TRACKS_MAX + 1);
    bans->ours = map_new(BANS_OURS_MAX + 1);
    bans->by_hand = map_new(BANS_BY_HAND_MAX);
    bans->owners = map_new(BANS_OWNERS_MAX + 1);
    list_init(&bans->track_order);
    list_init(&bans->our_order);
    list_init(&bans->hand_order);
    list_init(&bans->owner_order);
    bans->decisions = decisions_new();
    return bans;
}

void bans_free(struct bans **ref)
{
    struct bans *bans = *ref;
    if (!bans)
        return;
    for (struct list *node; (node = list_pop_front(&bans->track_order)) != NULL;)
        free(CONTAINER_OF(node, struct ban_track, node));
    for (struct list *node; (node = list_pop_front(&bans->our_order)) != NULL;)
        free(CONTAINER_OF(node, struct ban, node));
    for (struct list *node; (node = list_pop_front(&bans->hand_order)) != NULL;)
        free(CONTAINER_OF(node, struct ban, node));
    for (struct list *node; (node = list_pop_front(&bans->owner_order)) != NULL;)
        free(CONTAINER_OF(node, struct ban_owner, node));
    map_free(&bans->tracks);
    map_free(&bans->ours);
    map_free(&bans->by_hand);
    map_free(&bans->owners);
    decisions_free(&bans->decisions);
    decisions_free(&bans->next_decisions);
    free(bans);
    *ref = NULL;
}

/* ---- bans ---- */

static struct map *map_of(struct bans *bans, enum ban_source source)
{
    return source == BAN_OURS ? bans->ours : bans->by_hand;
}

static void drop_ban(struct bans *bans, struct ban *ban)
{
    (void)map_remove(map_of(bans, ban->source), key_of(&ban->network));
    list_remove(&ban->node);
    free(ban);
}

struct ban *bans_place(struct bans *bans, enum ban_source source, const struct conf_network *network)
{
    struct map *map = map_of(bans, source);
    struct ban *ban = map_get(map, key_of(network));
    if (ban)
        list_remove(&ban->node);
    else if (source == BAN_OURS && map_count(map) >= BANS_OURS_MAX)
        drop_ban(bans, CONTAINER_OF(bans->our_order.next, struct ban, node));
    if (!ban) {
        ban = mem_zero(1, sizeof *ban);
        ban->network = *network;
        ban->source = source;
        if (!map_put(map, key_of(&ban->network), ban)) {
            free(ban);
            return NULL;
        }
    }
    list_push_back(source == BAN_OURS ? &bans->our_order : &bans->hand_order, &ban->node);
    return ban;
}

bool bans_restore(struct bans *bans, const struct ban *saved)
{
    struct ban *ban =
        bans_too_wide(&saved->network) ? NULL : bans_place(bans, saved->source, &saved->network);
    if (!ban)
        return false;
    const struct list node = ban->node;
    *ban = *saved;
    ban->node = node;
    return true;
}

enum err bans_add(struct bans *bans, const struct conf_network *network, uint64_t until, struct slice reason,
                  const struct bans_now *now, const struct ban **result, struct why *why)
{
    const char *never = bans_never(bans, network);
    if (bans->settings->bans == SETTINGS_BANS_OFF)
        return err_set(why, ERR_REFUSED, "bans: off stands in the configuration: nobody would be refused");
    if (never)
        return err_set(why, ERR_REFUSED, "%s is never banned: %s covers it", bans_network_text(network).text,
                       never);
    if (!is_v4(network) && bans_has_all_of_ipv4(network))
        return err_set(why, ERR_REFUSED, "%s contains all IPv4 addresses: they stand below ::ffff:0:0/96",
                       bans_network_text(network).text);
    if (bans_too_wide(network))
        return err_set(why, ERR_REFUSED, "%s is wider than /%u: that would be a part of the world",
                       bans_network_text(network).text, is_v4(network) ? BANS_WIDEST_V4 : BANS_WIDEST_V6);
    struct ban *ban = bans_place(bans, BAN_HAND, network);
    if (!ban)
        return err_set(why, ERR_REFUSED, "there are %u bans by hand already", BANS_BY_HAND_MAX);
    ban->over = false;
    ban->made = ban->begun = now->unix_s;
    ban->until = until;
    bans_copy_text(ban->reason, sizeof ban->reason, reason);
    *result = ban;
    return ERR_OK;
}

unsigned bans_remove(struct bans *bans, const struct conf_network *network, const struct bans_now *now)
{
    unsigned found = 0;
    struct ban *hand = map_get(bans->by_hand, key_of(network));
    struct ban *ours = map_get(bans->ours, key_of(network));
    struct ban_track *track = map_get(bans->tracks, key_of(network));
    if (hand) {
        found |= bans_is_alive(hand, now) ? 1u << BAN_HAND : 0;
        drop_ban(bans, hand);
    }
    if (ours) { /* a mistake: it does not make the next one longer either */
        found |= bans_is_alive(ours, now) ? 1u << BAN_OURS : 0;
        drop_ban(bans, ours);
    }
    if (track)
        track->score = (struct score){0};
    return found;
}

/* ---- owners ---- */

static void drop_owner(struct bans *bans, struct ban_owner *owner)
{
    (void)map_remove(bans->owners, key_of(&owner->network));
    list_remove(&owner->node);
    free(owner);
}

static struct ban_owner *place_owner(struct bans *bans, const struct conf_network *network)
{
    struct ban_owner *owner = map_get(bans->owners, key_of(network));
    if (owner) {
        list_remove(&owner->node);
    } else {
        if (map_count(bans->owners) >= BANS_OWNERS_MAX)
            drop_owner(bans, CONTAINER_OF(bans->owner_order.next, struct ban_owner, node));
        owner = mem_zero(1, sizeof *owner);
        owner->network = *network;
        if (!map_put(bans->owners, key_of(&owner->network), owner))
            abort(); /* room was made */
    }
    list_push_back(&bans->owner_order, &owner->node);
    return owner;
}

bool bans_restore_owner(struct bans *bans, const struct conf_network *network, uint64_t seen)
{
    if (map_count(bans->owners) >= BANS_OWNERS_MAX || bans_too_wide(network))
        return false;
    struct ban_owner *owner = place_owner(bans, network);
    owner->seen = owner->written = seen;
    return true;
}

const struct ban_owner *bans_login(struct bans *bans, const struct netaddr *client,
                                   const struct bans_now *now, const struct ban **lifted)
{
    struct conf_network network = bans_client(bans, client), address;
    *lifted = NULL;
    if (!bans_network_of(client, &address) || bans_never(bans, &address) ||
        bans->settings->ban_policy.owner_memory == 0)
        return NULL;
    struct ban *ban = map_get(bans->ours, key_of(&network));
    if (ban && bans_is_alive(ban, now)) {
        ban->until = now->unix_s;
        ban->over = true;
        *lifted = ban;
    }
    struct ban_owner *owner = place_owner(bans, &network);
    owner->seen = now->unix_s;
    if (owner->written && owner->written + BANS_OWNER_AGAIN_S > now->unix_s)
        return NULL;
    owner->written = now->unix_s;
    return owner;
}

uint64_t bans_owner_seen(const struct bans *bans, const struct conf_network *client,
                         const struct bans_now *now)
{
    const struct ban_owner *owner = map_get(bans->owners, key_of(client));
    uint64_t memory_s = bans->settings->ban_policy.owner_memory / 1000;
    return owner && owner->seen + memory_s > now->unix_s ? owner->seen : 0;
}

/* ---- time ---- */

static void expire_list(struct bans *bans, struct list *order, const struct bans_now *now,
                        const struct bans_sweep *sweep)
{
    LIST_EACH(order, node)
    {
        struct ban *ban = CONTAINER_OF(node, struct ban, node);
        if (bans_is_alive(ban, now))
            continue;
        bool told = ban->over;
        ban->over = true;
        if (!told)
            sweep->ended(sweep->arg, ban);
        if (ban->source == BAN_HAND || ban->until + bans->rules.max_s <= now->unix_s) {
            sweep->dropped(sweep->arg, ban);
            drop_ban(bans, ban);
        }
    }
}

void bans_expire(struct bans *bans, const struct bans_now *now, const struct bans_sweep *sweep)
{
    expire_list(bans, &bans->our_order, now, sweep);
    expire_list(bans, &bans->hand_order, now, sweep);
    LIST_EACH(&bans->owner_order, node)
    {
        struct ban_owner *owner = CONTAINER_OF(node, struct ban_owner, node);
        if (owner->seen + bans->settings->ban_policy.owner_memory / 1000 > now->unix_s)
            break; /* the others were seen later */
        sweep->forgotten(sweep->arg, owner);
        drop_owner(bans, owner);
    }
    decisions_expire(bans->decisions, now->unix_s);
}

/* ---- questions ---- */

bool bans_is_alive(const struct ban *ban, const struct bans_now *now)
{
    return !ban->over && ban->until > now->unix_s;
}

bool bans_is_enforced(const struct bans *bans, const struct ban *ban, const struct bans_now *now)
{
    enum settings_bans mode = bans->settings->bans;
    if (!bans_is_alive(ban, now) || mode == SETTINGS_BANS_OFF)
        return false;
    return ban->source == BAN_HAND || (mode == SETTINGS_BANS_LOCAL && !ban->simulated);
}

const struct ban *bans_ours(const struct bans *bans, const struct conf_network *network)
{
    return map_get(bans->ours, key_of(network));
}

const struct ban *bans_by_hand(const struct bans *bans, const struct conf_network *network)
{
    return map_get(bans->by_hand, key_of(network));
}

const struct ban_track *bans_track(const struct bans *bans, const struct conf_network *client)
{
    return map_get(bans->tracks, key_of(client));
}

size_t bans_count(const struct bans *bans, enum ban_source source, const struct bans_now *now)
{
    const struct list *order = source == BAN_OURS ? &bans->our_order : &bans->hand_order;
    size_t count = 0;
    for (const struct list *node = order->next; node != order; node = node->next)
        count += bans_is_enforced(bans, CONTAINER_OF(node, const struct ban, node), now);
    return count;
}

/* ---- the image ---- */

static size_t add_entries(struct ban_entry *entries, size_t n, enum ban_rank rank,
                          const struct conf_network *networks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        entries[n++] = (struct ban_entry){.network = networks[i], .rank = rank};
    return n;
}

static size_t add_bans(const struct bans *bans, const struct list *order, const struct bans_now *now,
                       struct ban_entry *entries, size_t n)
{
    for (const struct list *node = order->next; node != order; node = node->next) {
        const struct ban *ban = CONTAINER_OF(node, const struct ban, node);
        if (bans_is_enforced(bans, ban, now))
            entries[n++] = (struct ban_entry){.network = ban->network,
                                              .rank = ban->source == BAN_HAND ? BAN_BY_HAND : BAN_USUAL,
                                              .until = ban->until};
    }
    return n;
}

static size_t add_texts(struct ban_entry *entries, size_t n, enum ban_rank rank, const char *texts,
                        size_t size, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct ban_entry entry = {.rank = rank};
        if (bans_read_network(slice_of(texts + i * size), &entry.network))
            entries[n++] = entry;
    }
    return n;
}

struct ban_entry *bans_snapshot(const struct bans *bans, const struct bans_now *now, size_t *count)
{
    const struct settings *s = bans->settings;
    size_t room = s->trusted_networks.count + s->proxy_trusted_networks.count + s->ban_policy.except.count +
                  ARRAY_LEN(loopbacks) + ARRAY_LEN(privates) + map_count(bans->ours) +
                  map_count(bans->by_hand) + map_count(bans->owners) + decisions_count(bans->decisions);
    struct ban_entry *e = mem_alloc(room * sizeof *e);
    size_t n = 0;
    *count = 0;
    if (s->bans == SETTINGS_BANS_OFF)
        return e;
    n = add_entries(e, n, BAN_NEVER, s->trusted_networks.items, s->trusted_networks.count);
    n = add_entries(e, n, BAN_NEVER, s->proxy_trusted_networks.items, s->proxy_trusted_networks.count);
    n = add_entries(e, n, BAN_NEVER, s->ban_policy.except.items, s->ban_policy.except.count);
    n = add_texts(e, n, BAN_NEVER, loopbacks[0], sizeof *loopbacks, ARRAY_LEN(loopbacks));
    n = add_texts(e, n, BAN_SPARED, privates[0], sizeof *privates, ARRAY_LEN(privates));
    for (const struct list *node = bans->owner_order.next; node != &bans->owner_order; node = node->next)
        n = add_entries(e, n, BAN_SPARED, &CONTAINER_OF(node, const struct ban_owner, node)->network, 1);
    n = add_bans(bans, &bans->our_order, now, e, n);
    n = add_bans(bans, &bans->hand_order, now, e, n);
    for (size_t i = 0; i < decisions_count(bans->decisions); i++) {
        const struct decision *d = decisions_at(bans->decisions, i);
        if (d->until > now->unix_s)
            e[n++] = (struct ban_entry){.network = d->network, .rank = BAN_USUAL, .until = d->until};
    }
    *count = n;
    return e;
}
