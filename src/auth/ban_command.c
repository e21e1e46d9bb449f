/* ban_command.c: `rockdove ban …`: list, add, remove. Arguments are the administrator's. Called by
 * ban_control.c and cli/cmd_ban.c. */
#include "auth/ban_command.h"

#include <inttypes.h>

#include "auth/ban_print.h"

#define FOR_MAX_MS (UINT64_C(36500) * 86400000) /* a hundred years; longer is until it is removed */

static uint32_t usage(struct ban_command *c)
{
    buf_add_str(c->out, "usage: ban list [--source ours|hand|crowdsec] | add NETWORK [--for TIME] [--reason "
                        "TEXT] | remove NETWORK | explain ADDRESS\n");
    return 2;
}

/* ---- list ---- */

enum { STAGE_HAND, STAGE_OURS, STAGE_CROWDSEC, STAGE_END };

static void row_begin(struct ban_command *c, const struct conf_network *network, const char *source,
                      bool enforced, uint64_t until)
{
    const struct bans_text text = bans_network_text(network);
    if (c->json) {
        buf_addf(c->out, "%s{\"network\":\"%s\",\"source\":\"%s\"", c->any ? ",\n " : "", text.text, source);
        ban_json_bool(c->out, "enforced", enforced);
        ban_json_time(c->out, "until", until);
    } else {
        buf_addf(c->out, "%-20s %-9s %s", text.text, source, enforced ? "" : "not refused; ");
        ban_print_until(c->out, until);
    }
    c->any = true;
}

static bool counts(const struct ban_command *c, const struct conf_network *network)
{
    return !bans_never(c->bans, network) && !ban_is_private(network) &&
           !bans_owner_seen(c->bans, network, &c->now) && c->bans->settings->bans != SETTINGS_BANS_OFF;
}

static void row_of_ban(struct ban_command *c, const struct ban *ban)
{
    bool hand = ban->source == BAN_HAND;
    bool enforced = bans_is_enforced(c->bans, ban, &c->now) && (hand || counts(c, &ban->network));
    row_begin(c, &ban->network, hand ? "hand" : "ours", enforced, ban->until);
    if (c->json) {
        ban_json_members(c->out, ban);
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
        ban_json_number(c->out, "id", d->id);
        ban_json_text(c->out, "type", decisions_word(all, d->type));
        ban_json_text(c->out, "origin", decisions_word(all, d->origin));
        ban_json_text(c->out, "scenario", decisions_word(all, d->scenario));
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
        if (slice_eq(c->arguments[i], SLICE("--for")) && conf_read_duration(c->arguments[i + 1], &ms) && ms &&
            ms <= FOR_MAX_MS)
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
    if (!ban_read_argument(c, &network))
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
        ban_json_members(c->out, ban);
        ban_json_number(c->out, "logged_in_from", owners);
        buf_add_str(c->out, "}\n");
        return;
    }
    buf_addf(c->out, "%s is banned ", bans_network_text(&network).text);
    ban_print_until(c->out, until);
    buf_add_byte(c->out, '\n');
    if (owners)
        buf_addf(c->out, "note: somebody logged in lately from %zu of its addresses\n", owners);
}

/* What still refuses it. */
static void tell_what_is_left(struct ban_command *c, const struct ban_state *v)
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
    if (!ban_read_argument(c, &network))
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
    struct ban_state v = ban_judge(c, &network);
    c->exit_code = found && !v.refused ? 0 : 1;
    if (c->json) {
        buf_addf(c->out, "{\"network\":\"%s\"", bans_network_text(&network).text);
        ban_json_bool(c->out, "removed", found);
        ban_json_bool(c->out, "banned", v.refused);
        buf_add_str(c->out, "}\n");
        return;
    }
    buf_addf(c->out, found ? "%s: the ban is removed\n" : "there is no ban of %s to remove\n",
             bans_network_text(&network).text);
    if (v.refused)
        tell_what_is_left(c, &v);
}

static void run_explain(struct ban_command *c)
{
    if (c->count == 2)
        ban_explain(c);
    else
        c->exit_code = usage(c);
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
