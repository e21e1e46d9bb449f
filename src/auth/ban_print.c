/* ban_print.c: pieces of the answers of `rockdove ban`, and the judgement behind them. What is printed of
 * strangers was made printable when it was noted. Called by ban_command.c and ban_explain.c. */
#include "auth/ban_print.h"

#include "base/clock.h"

/* ---- texts ---- */

void ban_print_time(struct buf *out, uint64_t unix_s)
{
    char text[CLOCK_TEXT_MAX];
    size_t len = clock_rfc3339(unix_s * 1000, text);
    if (len > 5) /* without the milliseconds */
        buf_addf(out, "%.*sZ", (int)len - 5, text);
}

void ban_print_until(struct buf *out, uint64_t until)
{
    if (until == BANS_FOR_EVER) {
        buf_add_str(out, "until it is removed");
        return;
    }
    buf_add_str(out, "until ");
    ban_print_time(out, until);
}

void ban_json_time(struct buf *out, const char *name, uint64_t unix_s)
{
    buf_addf(out, ",\"%s\":", name);
    if (unix_s == 0 || unix_s == BANS_FOR_EVER) {
        buf_add_str(out, "null");
        return;
    }
    buf_add_byte(out, '"');
    ban_print_time(out, unix_s);
    buf_add_byte(out, '"');
}

void ban_json_text(struct buf *out, const char *name, const char *text)
{
    buf_addf(out, ",\"%s\":", name);
    buf_add_json_string(out, slice_of(text));
}

void ban_json_number(struct buf *out, const char *name, uint64_t number)
{
    buf_addf(out, ",\"%s\":", name);
    buf_add_u64(out, number);
}

void ban_json_bool(struct buf *out, const char *name, bool is)
{
    buf_addf(out, ",\"%s\":%s", name, is ? "true" : "false");
}

void ban_json_members(struct buf *out, const struct ban *ban)
{
    ban_json_time(out, "made", ban->made);
    if (ban->source == BAN_HAND) {
        ban_json_text(out, "reason", ban->reason);
        return;
    }
    ban_json_text(out, "rule", bans_kind_name(ban->rule));
    ban_json_number(out, "number", ban->number);
    ban_json_number(out, "events", ban->total);
    ban_json_bool(out, "simulated", ban->simulated);
}

bool ban_read_argument(struct ban_command *c, struct conf_network *network)
{
    if (conf_read_network(c->arguments[1], network))
        return true;
    AUTO_ARENA struct arena *arena = arena_new(4096);
    struct slice shown = problem_quote(arena, c->arguments[1]);
    buf_addf(c->out, "%.*s is no address or network (such as 192.0.2.7, 192.0.2.0/24, 2001:db8::/64)\n",
             SLICE_ARG(shown));
    c->exit_code = 2;
    return false;
}

/* ---- what holds for a network ---- */

bool ban_is_private(const struct conf_network *network)
{
    const struct netaddr addr = netaddr_v6(network->ip, 0);
    return netaddr_is_private(&addr);
}

static const struct ban *hand_for(const struct ban_command *c, const struct conf_network *network)
{
    const struct ban *best = NULL;
    const struct list *order = &c->bans->hand_order;
    for (const struct list *node = order->next; node != order; node = node->next) {
        const struct ban *ban = CONTAINER_OF(node, const struct ban, node);
        if (bans_is_alive(ban, &c->now) && bans_covers(&ban->network, network) &&
            (!best || ban->until > best->until))
            best = ban;
    }
    return best;
}

struct ban_state ban_judge(const struct ban_command *c, const struct conf_network *network)
{
    const struct bans *bans = c->bans;
    const struct netaddr addr = netaddr_v6(network->ip, 0);
    struct conf_network client = network->bits == 128 ? bans_client(bans, &addr) : *network;
    struct ban_state v = {.never = bans_never(bans, network),
                          .is_private = ban_is_private(network),
                          .owner = bans_owner_seen(bans, &client, &c->now),
                          .ours = bans_ours(bans, &client),
                          .hand = hand_for(c, network),
                          .decision = decisions_find(bans->decisions, network, c->now.unix_s)};
    bool off = bans->settings->bans == SETTINGS_BANS_OFF, spared = v.owner || v.is_private;
    bool ours = v.ours && bans_is_enforced(bans, v.ours, &c->now);
    if (v.hand && !off)
        v.until = v.hand->until;
    if (ours && !spared && v.ours->until > v.until)
        v.until = v.ours->until;
    if (v.decision && !off && !spared && v.decision->until > v.until)
        v.until = v.decision->until;
    v.refused = v.until && !v.never;
    v.would = !v.refused && v.ours && !ours && !spared && !v.never && bans_is_alive(v.ours, &c->now);
    return v;
}
