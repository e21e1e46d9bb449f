/* ban_explain.c: `rockdove ban explain`: everything known of an address: who bans it, on what evidence, until
 * when, and what speaks against a ban. Called by ban_command.c. */
#include <inttypes.h>

#include "auth/ban_print.h"

static void json_events(struct buf *out, const struct ban_event *events, uint32_t count)
{
    uint32_t kept = count < BANS_EVENTS ? count : BANS_EVENTS;
    buf_add_str(out, ",\"evidence\":[");
    for (uint32_t i = 0; i < kept; i++) {
        const struct ban_event *e = &events[(count - kept + i) % BANS_EVENTS];
        buf_addf(out, "%s{\"kind\":\"%s\"", i ? "," : "", bans_kind_name(e->kind));
        ban_json_time(out, "at", e->at);
        ban_json_number(out, "count", e->count);
        ban_json_number(out, "points", e->points);
        ban_json_text(out, "where", e->where);
        ban_json_text(out, "detail", e->detail);
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
        ban_print_time(out, e->at);
        buf_addf(out, "  %ux %s%s%s%s%s, %u points each\n", e->count, bans_kind_name(e->kind),
                 *e->where ? " on " : "", e->where, *e->detail ? ": " : "", e->detail, e->points);
    }
}

static void explain_json(struct ban_command *c, const struct conf_network *network, const struct ban_state *v,
                         const struct ban_track *track)
{
    struct buf *out = c->out;
    buf_addf(out, "{\"address\":\"%s\"", bans_network_text(network).text);
    ban_json_bool(out, "banned", v->refused);
    ban_json_bool(out, "would_be_banned", v->would);
    ban_json_time(out, "until", v->until);
    if (v->never)
        ban_json_text(out, "never_banned_by", v->never);
    ban_json_bool(out, "private", v->is_private);
    ban_json_time(out, "logged_in", v->owner);
    if (v->hand) {
        buf_addf(out, ",\"hand\":{\"network\":\"%s\"", bans_network_text(&v->hand->network).text);
        ban_json_time(out, "until", v->hand->until);
        ban_json_members(out, v->hand);
        buf_add_byte(out, '}');
    }
    if (v->ours) {
        buf_addf(out, ",\"ours\":{\"network\":\"%s\"", bans_network_text(&v->ours->network).text);
        ban_json_time(out, "until", v->ours->until);
        ban_json_bool(out, "over", !bans_is_alive(v->ours, &c->now));
        ban_json_members(out, v->ours);
        json_events(out, v->ours->events, v->ours->event_count);
        buf_add_byte(out, '}');
    }
    if (v->decision) {
        buf_addf(out, ",\"crowdsec\":{\"network\":\"%s\"", bans_network_text(&v->decision->network).text);
        ban_json_time(out, "until", v->decision->until);
        ban_json_number(out, "id", v->decision->id);
        ban_json_text(out, "origin", decisions_word(c->bans->decisions, v->decision->origin));
        ban_json_text(out, "scenario", decisions_word(c->bans->decisions, v->decision->scenario));
        buf_add_byte(out, '}');
    }
    ban_json_number(out, "points", track ? score_now(&track->score, &c->bans->rules, c->now.mono_ms) : 0);
    ban_json_number(out, "threshold", c->bans->rules.threshold);
    ban_json_number(out, "old_password", track ? track->old_password : 0);
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
    ban_print_time(out, ban->made);
    buf_add_byte(out, ' ');
    ban_print_until(out, ban->until);
    buf_addf(out, "; %" PRIu64 " events in %" PRIu64 " s, the last of them:\n", ban->total,
             ban->made > ban->begun ? ban->made - ban->begun : 0);
    text_events(out, ban->events, ban->event_count);
}

static void explain_others(struct ban_command *c, const struct ban_state *v)
{
    struct buf *out = c->out;
    if (v->hand) {
        buf_addf(out, "  banned by hand: %s, since ", bans_network_text(&v->hand->network).text);
        ban_print_time(out, v->hand->made);
        buf_add_byte(out, ' ');
        ban_print_until(out, v->hand->until);
        buf_addf(out, "%s%s\n", *v->hand->reason ? ": " : "", v->hand->reason);
    }
    if (v->decision) {
        buf_addf(out, "  CrowdSec's decision %" PRIu64 " on %s: %s, from %s, ", v->decision->id,
                 bans_network_text(&v->decision->network).text,
                 decisions_word(c->bans->decisions, v->decision->scenario),
                 decisions_word(c->bans->decisions, v->decision->origin));
        ban_print_until(out, v->decision->until);
        buf_add_byte(out, '\n');
    }
    if (v->never)
        buf_addf(out, "  never banned: %s covers it\n", v->never);
    if (v->is_private)
        buf_add_str(out, "  a private address, behind which many may stand: banned by hand only\n");
    if (v->owner) {
        buf_add_str(out, "  somebody logged in from there ");
        ban_print_time(out, v->owner);
        buf_add_str(out, ": banned by hand only\n");
    }
}

static void explain_text(struct ban_command *c, const struct conf_network *network, const struct ban_state *v,
                         const struct ban_track *track)
{
    struct buf *out = c->out;
    buf_addf(out, "%s is %s", bans_network_text(network).text,
             v->refused ? "refused "
             : v->would ? "not refused, but would be with bans: local"
                        : "not banned");
    if (v->refused)
        ban_print_until(out, v->until);
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

void ban_explain(struct ban_command *c)
{
    struct conf_network network;
    if (!ban_read_argument(c, &network))
        return;
    const struct netaddr addr = netaddr_v6(network.ip, 0);
    struct conf_network client = network.bits == 128 ? bans_client(c->bans, &addr) : network;
    struct ban_state v = ban_judge(c, &network);
    if (c->json)
        explain_json(c, &network, &v, bans_track(c->bans, &client));
    else
        explain_text(c, &network, &v, bans_track(c->bans, &client));
}
