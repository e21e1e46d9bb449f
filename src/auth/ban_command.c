/* ban_command.c: `rockdove ban …`. Arguments are the administrator's; what is printed of strangers was made
 * printable when it was noted. Called by door.c and cli/cmd_ban.c. */
#include "auth/ban_command.h"

#include <inttypes.h>

#include "base/clock.h"

/* ---- texts ---- */

static void add_time(struct buf *out, uint64_t unix_s)
{
    char text[CLOCK_TEXT_MAX];
    size_t len = clock_rfc3339(unix_s * 1000, text);
    if (len > 5) /* without the milliseconds */
        buf_addf(out, "%.*sZ", (int)len - 5, text);
}

static void add_until(struct buf *out, uint64_t until)
{
    if (until == BANS_FOR_EVER) {
        buf_add_str(out, "until it is removed");
        return;
    }
    buf_add_str(out, "until ");
    add_time(out, until);
}

static void json_time(struct buf *out, const char *name, uint64_t unix_s)
{
    buf_addf(out, ",\"%s\":", name);
    if (unix_s == 0 || unix_s == BANS_FOR_EVER) {
        buf_add_str(out, "null");
        return;
    }
    buf_add_byte(out, '"');
    add_time(out, unix_s);
    buf_add_byte(out, '"');
}

static void json_text(struct buf *out, const char *name, const char *text)
{
    buf_addf(out, ",\"%s\":", name);
    buf_add_json_string(out, slice_of(text));
}

static void json_number(struct buf *out, const char *name, uint64_t number)
{
    buf_addf(out, ",\"%s\":", name);
    buf_add_u64(out, number);
}

static void json_bool(struct buf *out, const char *name, bool is)
{
    buf_addf(out, ",\"%s\":%s", name, is ? "true" : "false");
}

static uint32_t usage(struct ban_command *c)
{
    buf_add_str(c->out, "usage: ban list [--source ours|hand|crowdsec] | add NETWORK [--for TIME] [--reason "
                        "TEXT] | remove NETWORK | explain ADDRESS\n");
    return 2;
}

static bool read_argument(struct ban_command *c, struct conf_network *network)
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

struct verdict {
    const char *never;      /* no ban counts: why */
    bool is_private;        /* usual ones do not count */
    uint64_t owner;         /* the same: when somebody logged in from there */
    const struct ban *ours; /* alive or former; or NULL */
    const struct ban *hand; /* the one alive that lasts longest and covers it */
    const struct decision *decision;
    bool refused, would;
    uint64_t until;
};

static bool is_private(const struct conf_network *network)
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

static struct verdict judge(const struct ban_command *c, const struct conf_network *network)
{
    const struct bans *bans = c->bans;
    const struct netaddr addr = netaddr_v6(network->ip, 0);
    struct conf_network client = network->bits == 128 ? bans_client(bans, &addr) : *network;
    struct verdict v = {.never = bans_never(bans, network),
                        .is_private = is_private(network),
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

/* ---- list ---- */

enum { STAGE_HAND, STAGE_OURS, STAGE_CROWDSEC, STAGE_END };

static void row_begin(struct ban_command *c, const struct conf_network *network, const char *source,
                      bool enforced, uint64_t until)
{
    const struct bans_text text = bans_network_text(network);
    if (c->json) {
        buf_addf(c->out, "%s{\"network\":\"%s\",\"source\":\"%s\"", c->any ? ",\n " : "", text.text, source);
        json_bool(c->out, "enforced", enforced);
        json_time(c->out, "until", until);
    } else {
        buf_addf(c->out, "%-20s %-9s %s", text.text, source, enforced ? "" : "not refused; ");
        add_until(c->out, until);
    }
    c->any = true;
}

static bool counts(const struct ban_command *c, const struct conf_network *network)
{
    return !bans_never(c->bans, network) && !is_private(network) &&
           !bans_owner_seen(c->bans, network, &c->now) && c->bans->settings->bans != SETTINGS_BANS_OFF;
}

static void ban_members(struct buf *out, const struct ban *ban)
{
    json_time(out, "made", ban->made);
    if (ban->source == BAN_HAND) {
        json_text(out, "reason", ban->reason);
        return;
    }
    json_text(out, "rule", bans_kind_name(ban->rule));
    json_number(out, "number", ban->number);
    json_number(out, "events", ban->total);
    json_bool(out, "simulated", ban->simulated);
}

static void row_of_ban(struct ban_command *c, const struct ban *ban)
{
    bool hand = ban->source == BAN_HAND;
    bool enforced = bans_is_enforced(c->bans, ban, &c->now) && (hand || counts(c, &ban->network));
    row_begin(c, &ban->network, hand ? "hand" : "ours", enforced, ban->until);
    if (c->json) {
        ban_members(c->out, ban);
        buf_add_byte(c->out, '}');
    } else if (hand) {
        buf_addf(c->out, "%s%s\n", *ban->reason ? "; " : "", ban->reason);
    } else {
        buf_addf(c->out, "; %s, %" PRIu64 " events, ban number %u%s\n", bans_kind_name(ban->rule), ban->total,
                 ban->number, ban->simulated ? ", only told (bans: observe)" : "");
    }
}

static void row_of_decision(struct ban_command *c, const struct decision *d)
{
    const struct decisions *all = c->bans->decisions;
    row_begin(c, &d->network, "crowdsec", counts(c, &d->network), d->until);
    if (c->json) {
        json_number(c->out, "id", d->id);
        json_text(c->out, "type", decisions_word(all, d->type));
        json_text(c->out, "origin", decisions_word(all, d->origin));
        json_text(c->out, "scenario", decisions_word(all, d->scenario));
        buf_add_byte(c->out, '}');
        return;
    }
    buf_addf(c->out, "; %s, from %s, decision %" PRIu64 "\n", decisions_word(all, d->scenario),
             decisions_word(all, d->origin), d->id);
}

/* The next rows of a chain; false when it is at its end. */
static bool list_chain(struct ban_command *c, const struct list *order)
{
    const struct list *node = order->next;
    size_t at = 0, rows = 0;
    for (; node != order && at < c->at; at++)
        node = node->next;
    for (; node != order && rows < BAN_PAGE; node = node->next, c->at++, rows++) {
        const struct ban *ban = CONTAINER_OF(node, const struct ban, node);
        if (bans_is_alive(ban, &c->now))
            row_of_ban(c, ban);
    }
    return node != order;
}

static bool list_decisions(struct ban_command *c)
{
    const struct decisions *all = c->bans->decisions;
    size_t end = c->at + BAN_PAGE, count = decisions_count(all);
    for (; c->at < end && c->at < count; c->at++)
        if (decisions_at(all, c->at)->until > c->now.unix_s)
            row_of_decision(c, decisions_at(all, c->at));
    return c->at < count;
}

static bool list_stage(struct ban_command *c)
{
    switch (c->stage) {
    case STAGE_HAND:
        return list_chain(c, &c->bans->hand_order);
    case STAGE_OURS:
        return list_chain(c, &c->bans->our_order);
    default:
        return list_decisions(c);
    }
}

static bool stage_of(struct slice name, unsigned *stage)
{
    static const char *const names[] = {
        [STAGE_HAND] = "hand", [STAGE_OURS] = "ours", [STAGE_CROWDSEC] = "crowdsec"};
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        if (slice_eq(name, slice_of(names[i]))) {
            *stage = i;
            return true;
        }
    }
    return false;
}

static void run_list(struct ban_command *c)
{
    unsigned only = STAGE_END;
    bool named = c->count == 3 && slice_eq(c->arguments[1], SLICE("--source"));
    if ((c->count != 1 && !named) || (named && !stage_of(c->arguments[2], &only))) {
        c->exit_code = usage(c);
        return;
    }
    if (!c->more && c->json)
        buf_add_byte(c->out, '[');
    if (!c->more && named)
        c->stage = only;
    while (c->stage < STAGE_END && !list_stage(c)) {
        c->stage = named ? STAGE_END : c->stage + 1;
        c->at = 0;
    }
    c->more = c->stage < STAGE_END;
    if (!c->more && c->json)
        buf_add_str(c->out, "]\n");
    else if (!c->more && !c->any)
        buf_add_str(c->out, "nobody is banned\n");
}

/* ---- add, remove ---- */

static bool take_options(struct ban_command *c, uint64_t *until, struct slice *reason)
{
    for (size_t i = 2; i < c->count; i += 2) {
        uint64_t ms;
        if (i + 1 == c->count)
            return false;
        if (slice_eq(c->arguments[i], SLICE("--for")) && conf_read_duration(c->arguments[i + 1], &ms) && ms)
            *until = c->now.unix_s + (ms + 999) / 1000;
        else if (slice_eq(c->arguments[i], SLICE("--reason")) && slice_is_utf8(c->arguments[i + 1]))
            *reason = c->arguments[i + 1];
        else
            return false;
    }
    return true;
}

/* A ban by hand counts where somebody logged in from too: that is said, not decided. */
static size_t owners_inside(const struct ban_command *c, const struct conf_network *network)
{
    size_t count = 0;
    const struct list *order = &c->bans->owner_order;
    for (const struct list *node = order->next; node != order; node = node->next) {
        const struct ban_owner *owner = CONTAINER_OF(node, const struct ban_owner, node);
        count +=
            bans_covers(network, &owner->network) && bans_owner_seen(c->bans, &owner->network, &c->now) != 0;
    }
    return count;
}

static void run_add(struct ban_command *c)
{
    struct conf_network network;
    uint64_t until = BANS_FOR_EVER;
    struct slice reason = SLICE_EMPTY;
    const struct ban *ban;
    struct why why;
    if (c->count < 2 || !take_options(c, &until, &reason)) {
        c->exit_code = usage(c);
        return;
    }
    if (!read_argument(c, &network))
        return;
    if (bans_add(c->bans, &network, until, reason, &c->now, &ban, &why)) {
        buf_addf(c->out, "%s\n", why.text);
        c->exit_code = 1;
        return;
    }
    c->writes[c->write_count++] = (struct ban_write){.kind = BAN_WRITE_PUT, .ban = *ban};
    size_t owners = owners_inside(c, &network);
    if (c->json) {
        row_begin(c, &network, "hand", true, until);
        ban_members(c->out, ban);
        json_number(c->out, "logged_in_from", owners);
        buf_add_str(c->out, "}\n");
        return;
    }
    buf_addf(c->out, "%s is banned ", bans_network_text(&network).text);
    add_until(c->out, until);
    buf_add_byte(c->out, '\n');
    if (owners)
        buf_addf(c->out, "note: somebody logged in lately from %zu of its addresses\n", owners);
}

/* What still refuses it. */
static void tell_what_is_left(struct ban_command *c, const struct verdict *v)
{
    if (v->hand)
        buf_addf(c->out, "it is still banned by hand, as part of %s\n",
                 bans_network_text(&v->hand->network).text);
    else if (v->decision)
        buf_addf(c->out, "it is still banned by CrowdSec: cscli decisions delete --id %" PRIu64 "\n",
                 v->decision->id);
}

static void run_remove(struct ban_command *c)
{
    struct conf_network network;
    if (c->count != 2) {
        c->exit_code = usage(c);
        return;
    }
    if (!read_argument(c, &network))
        return;
    unsigned found = bans_remove(c->bans, &network, &c->now);
    if (!found && network.bits == 128) { /* one address of a client that is a whole network */
        const struct netaddr addr = netaddr_v6(network.ip, 0);
        network = bans_client(c->bans, &addr);
        found = bans_remove(c->bans, &network, &c->now);
    }
    c->removed = found;
    for (unsigned source = BAN_OURS; source <= BAN_HAND; source++)
        c->writes[c->write_count++] = (struct ban_write){
            .kind = BAN_WRITE_DROP, .ban = {.network = network, .source = (enum ban_source)source}};
    struct verdict v = judge(c, &network);
    c->exit_code = found && !v.refused ? 0 : 1;
    if (c->json) {
        buf_addf(c->out, "{\"network\":\"%s\"", bans_network_text(&network).text);
        json_bool(c->out, "removed", found);
        json_bool(c->out, "banned", v.refused);
        buf_add_str(c->out, "}\n");
        return;
    }
    buf_addf(c->out, found ? "%s: the ban is removed\n" : "there is no ban of %s to remove\n",
             bans_network_text(&network).text);
    if (v.refused)
        tell_what_is_left(c, &v);
}

/* ---- explain ---- */

static void json_events(struct buf *out, const struct ban_event *events, uint32_t count)
{
    uint32_t kept = count < BANS_EVENTS ? count : BANS_EVENTS;
    buf_add_str(out, ",\"evidence\":[");
    for (uint32_t i = 0; i < kept; i++) {
        const struct ban_event *e = &events[(count - kept + i) % BANS_EVENTS];
        buf_addf(out, "%s{\"kind\":\"%s\"", i ? "," : "", bans_kind_name(e->kind));
        json_time(out, "at", e->at);
        json_number(out, "count", e->count);
        json_number(out, "points", e->points);
        json_text(out, "where", e->where);
        json_text(out, "detail", e->detail);
        buf_add_byte(out, '}');
    }
    buf_add_byte(out, ']');
}

static void text_events(struct buf *out, const struct ban_event *events, uint32_t count)
{
    uint32_t kept = count < BANS_EVENTS ? count : BANS_EVENTS;
    for (uint32_t i = 0; i < kept; i++) {
        const struct ban_event *e = &events[(count - kept + i) % BANS_EVENTS];
        buf_add_str(out, "    ");
        add_time(out, e->at);
        buf_addf(out, "  %ux %s%s%s%s%s, %u points each\n", e->count, bans_kind_name(e->kind),
                 *e->where ? " on " : "", e->where, *e->detail ? ": " : "", e->detail, e->points);
    }
}

static void explain_json(struct ban_command *c, const struct conf_network *network, const struct verdict *v,
                         const struct ban_track *track)
{
    struct buf *out = c->out;
    buf_addf(out, "{\"address\":\"%s\"", bans_network_text(network).text);
    json_bool(out, "banned", v->refused);
    json_bool(out, "would_be_banned", v->would);
    json_time(out, "until", v->until);
    if (v->never)
        json_text(out, "never_banned_by", v->never);
    json_bool(out, "private", v->is_private);
    json_time(out, "logged_in", v->owner);
    if (v->hand) {
        buf_addf(out, ",\"hand\":{\"network\":\"%s\"", bans_network_text(&v->hand->network).text);
        json_time(out, "until", v->hand->until);
        ban_members(out, v->hand);
        buf_add_byte(out, '}');
    }
    if (v->ours) {
        buf_addf(out, ",\"ours\":{\"network\":\"%s\"", bans_network_text(&v->ours->network).text);
        json_time(out, "until", v->ours->until);
        json_bool(out, "over", !bans_is_alive(v->ours, &c->now));
        ban_members(out, v->ours);
        json_events(out, v->ours->events, v->ours->event_count);
        buf_add_byte(out, '}');
    }
    if (v->decision) {
        buf_addf(out, ",\"crowdsec\":{\"network\":\"%s\"", bans_network_text(&v->decision->network).text);
        json_time(out, "until", v->decision->until);
        json_number(out, "id", v->decision->id);
        json_text(out, "origin", decisions_word(c->bans->decisions, v->decision->origin));
        json_text(out, "scenario", decisions_word(c->bans->decisions, v->decision->scenario));
        buf_add_byte(out, '}');
    }
    json_number(out, "points", track ? score_now(&track->score, &c->bans->rules, c->now.mono_ms) : 0);
    json_number(out, "threshold", c->bans->rules.threshold);
    json_number(out, "old_password", track ? track->old_password : 0);
    json_events(out, track ? track->events : NULL, track ? track->event_count : 0);
    buf_add_str(out, "}\n");
}

static void explain_ours(struct ban_command *c, const struct ban *ban)
{
    struct buf *out = c->out;
    bool alive = bans_is_alive(ban, &c->now);
    buf_addf(out, "  %s of ours, number %u: %s, made ",
             !alive                                    ? "former ban"
             : bans_is_enforced(c->bans, ban, &c->now) ? "ban"
                                                       : "ban only told, not kept,",
             ban->number, bans_kind_name(ban->rule));
    add_time(out, ban->made);
    buf_add_byte(out, ' ');
    add_until(out, ban->until);
    buf_addf(out, "; %" PRIu64 " events in %" PRIu64 " s, the last of them:\n", ban->total,
             ban->made > ban->begun ? ban->made - ban->begun : 0);
    text_events(out, ban->events, ban->event_count);
}

static void explain_others(struct ban_command *c, const struct verdict *v)
{
    struct buf *out = c->out;
    if (v->hand) {
        buf_addf(out, "  banned by hand: %s, since ", bans_network_text(&v->hand->network).text);
        add_time(out, v->hand->made);
        buf_add_byte(out, ' ');
        add_until(out, v->hand->until);
        buf_addf(out, "%s%s\n", *v->hand->reason ? ": " : "", v->hand->reason);
    }
    if (v->decision) {
        buf_addf(out, "  CrowdSec's decision %" PRIu64 " on %s: %s, from %s, ", v->decision->id,
                 bans_network_text(&v->decision->network).text,
                 decisions_word(c->bans->decisions, v->decision->scenario),
                 decisions_word(c->bans->decisions, v->decision->origin));
        add_until(out, v->decision->until);
        buf_add_byte(out, '\n');
    }
    if (v->never)
        buf_addf(out, "  never banned: %s covers it\n", v->never);
    if (v->is_private)
        buf_add_str(out, "  a private address, behind which many may stand: banned by hand only\n");
    if (v->owner) {
        buf_add_str(out, "  somebody logged in from there ");
        add_time(out, v->owner);
        buf_add_str(out, ": banned by hand only\n");
    }
}

static void explain_text(struct ban_command *c, const struct conf_network *network, const struct verdict *v,
                         const struct ban_track *track)
{
    struct buf *out = c->out;
    buf_addf(out, "%s is %s", bans_network_text(network).text,
             v->refused ? "refused "
             : v->would ? "not refused, but would be with bans: local"
                        : "not banned");
    if (v->refused)
        add_until(out, v->until);
    buf_add_byte(out, '\n');
    explain_others(c, v);
    if (v->ours)
        explain_ours(c, v->ours);
    if (!track)
        return;
    buf_addf(out, "  points now: %" PRIu64 " of %" PRIu64 "; what was seen last:\n",
             score_now(&track->score, &c->bans->rules, c->now.mono_ms), c->bans->rules.threshold);
    text_events(out, track->events, track->event_count);
    if (track->old_password)
        buf_addf(
            out,
            "  the same wrong password came %u times again: a device with an old password? Not counted.\n",
            track->old_password);
}

static void run_explain(struct ban_command *c)
{
    struct conf_network network;
    if (c->count != 2) {
        c->exit_code = usage(c);
        return;
    }
    if (!read_argument(c, &network))
        return;
    const struct netaddr addr = netaddr_v6(network.ip, 0);
    struct conf_network client = network.bits == 128 ? bans_client(c->bans, &addr) : network;
    struct verdict v = judge(c, &network);
    if (c->json)
        explain_json(c, &network, &v, bans_track(c->bans, &client));
    else
        explain_text(c, &network, &v, bans_track(c->bans, &client));
}

void ban_command(struct ban_command *c)
{
    static const struct {
        const char *name;
        void (*run)(struct ban_command *c);
    } verbs[] = {{"list", run_list}, {"add", run_add}, {"remove", run_remove}, {"explain", run_explain}};
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (c->count && slice_eq(c->arguments[0], slice_of(verbs[i].name))) {
            verbs[i].run(c);
            return;
        }
    }
    c->exit_code = usage(c);
}
