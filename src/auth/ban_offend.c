/* ban_offend.c: what strangers do, from the offence to the ban: evidence, points, verdict. Offences come from
 * the network roles, which a stranger may have taken over: every text is cut and made printable. Called by
 * ban_role.c. */
#include <stdlib.h>
#include <string.h>

#include "auth/bans.h"
#include "base/mem.h"

struct worth {
    unsigned points;
    bool gentle;
};

/* C1 controls, U+0080 to U+009F: the second byte counts as well. Terminals obey them. */
static bool is_control(struct slice s, size_t at)
{
    uint8_t c = s.ptr[at], before = at ? s.ptr[at - 1] : 0, next = at + 1 < s.len ? s.ptr[at + 1] : 0;
    return c < 0x20 || c == 0x7f || (c == 0xc2 && next >= 0x80 && next < 0xa0) ||
           (before == 0xc2 && c >= 0x80 && c < 0xa0);
}

void bans_copy_text(char *to, size_t size, struct slice text)
{
    bool utf8 = slice_is_utf8(text);
    struct slice s = slice_sub(text, 0, size - 1);
    while (utf8 && s.len && s.len < text.len && (text.ptr[s.len] & 0xc0) == 0x80)
        s.len--;
    for (size_t i = 0; i < s.len; i++)
        to[i] = (char)(is_control(s, i) || (s.ptr[i] > 0x7f && !utf8) ? '?' : s.ptr[i]);
    memset(to + s.len, 0, size - s.len);
}

/* The same as the last one, again and again, is one. */
static void remember(struct ban_event events[BANS_EVENTS], uint32_t *count, const struct ban_event *event)
{
    struct ban_event *last = *count ? &events[(*count - 1) % BANS_EVENTS] : NULL;
    if (last && last->kind == event->kind && last->points == event->points &&
        strcmp(last->where, event->where) == 0 && strcmp(last->detail, event->detail) == 0) {
        last->at = event->at;
        last->count += event->count < UINT32_MAX - last->count ? event->count : 0;
        return;
    }
    events[*count % BANS_EVENTS] = *event;
    *count += 1; /* would need a hundred years at one a second to wrap, and then shows fewer */
}

static struct ban_track *place_track(struct bans *bans, const struct conf_network *client, uint64_t now_s)
{
    struct slice key = slice_make(client, sizeof *client);
    struct ban_track *track = map_get(bans->tracks, key);
    if (!track) {
        if (map_count(bans->tracks) >= BANS_TRACKS_MAX) {
            struct ban_track *oldest = CONTAINER_OF(bans->track_order.next, struct ban_track, node);
            (void)map_remove(bans->tracks, slice_make(&oldest->network, sizeof oldest->network));
            list_remove(&oldest->node);
            free(oldest);
        }
        track = mem_zero(1, sizeof *track);
        track->network = *client;
        track->first = now_s;
        if (!map_put(bans->tracks, slice_make(&track->network, sizeof track->network), track))
            abort(); /* room was made */
    } else {
        list_remove(&track->node);
    }
    list_push_back(&bans->track_order, &track->node);
    return track;
}

/* `*repeated`: the same wrong password once more; `*tell`: often enough to be said. */
static struct worth worth_of(struct ban_track *track, const struct bans_offence *o, bool *repeated,
                             bool *tell)
{
    if (o->kind != SCORE_FAILED_LOGIN)
        return (struct worth){score_points(o->kind), score_is_gentle(o->kind)};
    enum score_login login = score_login(&track->logins, o->name, o->guess);
    *repeated = login == SCORE_LOGIN_REPEATED && o->known;
    if (*repeated) {
        uint32_t n = ++track->old_password;
        *tell = n >= BANS_OLD_PASSWORD && n % BANS_OLD_PASSWORD == 0 &&
                ((n / BANS_OLD_PASSWORD) & (n / BANS_OLD_PASSWORD - 1)) == 0;
    }
    return (struct worth){score_login_points(login), false};
}

/* A client refused already, as far as we are concerned: sessions it still has count no more. */
static bool is_banned(const struct bans *bans, const struct conf_network *client, const struct bans_now *now)
{
    const struct ban *ban = bans_ours(bans, client);
    bool local = bans->settings->bans == SETTINGS_BANS_LOCAL;
    return ban && bans_is_alive(ban, now) && (!ban->simulated || !local);
}

static const struct ban *make(struct bans *bans, struct ban_track *track, enum score_kind rule,
                              const struct bans_now *now)
{
    struct ban *ban = bans_place(bans, BAN_OURS, &track->network);
    ban->simulated = bans->settings->bans != SETTINGS_BANS_LOCAL;
    ban->over = false;
    ban->rule = (uint8_t)rule;
    ban->begun = track->first;
    ban->made = now->unix_s;
    ban->until = now->unix_s + score_ban_length(&bans->rules, ban->number);
    ban->number++;
    ban->total = track->total;
    memcpy(ban->events, track->events, sizeof ban->events);
    ban->event_count = track->event_count;
    track->total = 0;
    return ban;
}

static const char *spared(const struct bans *bans, const struct bans_offence *o,
                          const struct conf_network *client, const struct bans_now *now)
{
    if (netaddr_is_private(o->client))
        return "a private address: many may stand behind it";
    if (bans_owner_seen(bans, client, now))
        return "somebody logged in from there";
    return NULL;
}

struct bans_verdict bans_offend(struct bans *bans, const struct bans_offence *o, const struct bans_now *now)
{
    struct bans_verdict verdict = {.outcome = BANS_IGNORED};
    struct conf_network client = bans_client(bans, o->client), address;
    bool off = bans->settings->bans == SETTINGS_BANS_OFF; /* old passwords are told all the same */
    if ((off && o->kind != SCORE_FAILED_LOGIN) || o->kind >= SCORE_KIND_COUNT || o->count == 0 ||
        !bans_network_of(o->client, &address) || bans_never(bans, &address))
        return verdict;
    struct ban_track *track = place_track(bans, &client, now->unix_s);
    bool tell = false;
    struct worth worth = worth_of(track, o, &verdict.repeated, &tell);
    if (!track->total || track->last + bans->rules.half_life_ms / 1000 * 8 < now->unix_s) {
        track->first = now->unix_s; /* what was before is forgotten */
        track->total = 0;
    }
    struct ban_event event = {
        .at = now->unix_s, .count = o->count, .points = (uint16_t)worth.points, .kind = (uint8_t)o->kind};
    bans_copy_text(event.where, sizeof event.where, o->where);
    bans_copy_text(event.detail, sizeof event.detail, o->detail);
    remember(track->events, &track->event_count, &event);
    track->last = now->unix_s;
    track->total += o->count;
    verdict.outcome = tell ? BANS_OLD_PASSWORD_SEEN : BANS_NOTED;
    verdict.track = track;
    if (off || is_banned(bans, &client, now) ||
        !score_add(&track->score, &bans->rules, worth.points, o->count, worth.gentle, now->mono_ms))
        return verdict;
    verdict.spared = spared(bans, o, &client, now);
    verdict.outcome = verdict.spared ? BANS_LET_GO : BANS_MADE;
    if (!verdict.spared)
        verdict.ban = make(bans, track, o->kind, now);
    return verdict;
}

const char *bans_kind_name(unsigned kind)
{
    static const char *const names[SCORE_KIND_COUNT] = {
        [SCORE_FAILED_LOGIN] = "failed_login",
        [SCORE_EARLY_TALKER] = "early_talker",
        [SCORE_UNKNOWN_RECIPIENT] = "unknown_recipient",
        [SCORE_RELAY_ATTEMPT] = "relay_attempt",
        [SCORE_SPAM_TRAP] = "spam_trap",
        [SCORE_PROTOCOL_ABUSE] = "protocol_abuse",
        [SCORE_LIMIT] = "limit",
        [SCORE_LISTED] = "listed",
    };
    return kind < SCORE_KIND_COUNT ? names[kind] : "unknown";
}
