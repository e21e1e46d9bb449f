/* ban_role.c: the door's memory in the auth role. Offences come from roles which talk to strangers and may
 * have been taken over by one: the worst they can do is to have an address banned that is not one of the
 * owner's. Called by role.c's dispatch, exchange.c and control.c. */
#include <stdlib.h>
#include <string.h>

#include "auth/ban_inside.h"
#include "base/log.h"
#include "base/mem.h"

#define SWEEP_MS        5000
#define SPARED_AGAIN_S  3600 /* that an address is spared is said once so long */
#define PEERS_WITH_LIST (1u << ROLE_SMTP | 1u << ROLE_IMAP | 1u << ROLE_HTTP)

_Static_assert((int)SCORE_FAILED_LOGIN == (int)OFFENCE_FAILED_LOGIN &&
                   (int)SCORE_EARLY_TALKER == (int)OFFENCE_EARLY_TALKER &&
                   (int)SCORE_UNKNOWN_RECIPIENT == (int)OFFENCE_UNKNOWN_RECIPIENT &&
                   (int)SCORE_RELAY_ATTEMPT == (int)OFFENCE_RELAY_ATTEMPT &&
                   (int)SCORE_SPAM_TRAP == (int)OFFENCE_SPAM_TRAP &&
                   (int)SCORE_PROTOCOL_ABUSE == (int)OFFENCE_PROTOCOL_ABUSE &&
                   (int)SCORE_LIMIT == (int)OFFENCE_LIMIT && (int)SCORE_LISTED == (int)OFFENCE_LISTED &&
                   (int)SCORE_KIND_COUNT == (int)OFFENCE_BANNED,
               "one order of offences");

struct bans_now auth_bans_now(const struct auth_bans *b)
{
    return (struct bans_now){(uint64_t)clock_unix_s(), loop_now_ms(b->auth->loop)};
}

/* ---- telling ---- */

static void count_bans(struct auth_bans *b)
{
    const struct bans_now now = auth_bans_now(b);
    bool off = b->bans->settings->bans == SETTINGS_BANS_OFF;
    metric_set(METRIC_BANS, METRIC_BAN_OURS, bans_count(b->bans, BAN_OURS, &now));
    metric_set(METRIC_BANS, METRIC_BAN_BY_HAND, bans_count(b->bans, BAN_HAND, &now));
    metric_set(METRIC_BANS, METRIC_BAN_CROWDSEC, off ? 0 : decisions_count(b->bans->decisions));
}

static void send_list(struct auth_bans *b, enum role peer)
{
    struct ipc_link *link = role_link(b->auth->run, peer);
    const struct wire_ban_list message = {.count = ban_image_count(b->image)};
    int fd = ban_image_fd(b->image);
    if (!link || !ipc_link_is_up(link))
        return;
    enum err err = wire_send_fds(link, WIRE_BAN_LIST, &message, &fd, 1);
    if (err)
        log_warn("auth.bans", LOG_CSTR("role", role_name(peer)), LOG_CSTR("err", err_name(err)));
}

static void on_made(void *ctx)
{
    struct auth_bans *b = ctx;
    for (int role = 0; role < ROLE_COUNT; role++)
        if (PEERS_WITH_LIST & 1u << role)
            send_list(b, (enum role)role);
    count_bans(b);
    auth_bans_go_on(b);
}

static void on_written(void *ctx, enum err err, const struct why *why)
{
    struct auth_bans *b = ctx;
    b->write_err = err;
    if (err)
        log_error("auth.bans", LOG_CSTR("err", err_name(err)), LOG_WHY(why));
    auth_bans_go_on(b);
}

void auth_bans_save(struct auth_bans *b, enum ban_write_kind kind, const struct ban *ban)
{
    const struct ban_write write = {.kind = kind, .ban = *ban};
    ban_image_write(b->image, &write);
}

/* ---- offences ---- */

static void banned(struct auth_bans *b, const struct ban *ban)
{
    metric_add(METRIC_BANS_MADE, ban->simulated ? METRIC_BAN_WOULD : METRIC_BAN_SET, 1);
    auth_bans_tell(ban);
    auth_bans_report(b, ban);
    auth_bans_save(b, BAN_WRITE_PUT, ban);
    if (!ban->simulated)
        ban_image_changed(b->image, false);
}

static void let_go(struct bans_verdict *v, enum score_kind kind, uint64_t now_s)
{
    const struct bans_text text = bans_network_text(&v->track->network);
    metric_add(METRIC_BANS_MADE, METRIC_BAN_SPARED, 1);
    if (v->track->spared_told && v->track->spared_told + SPARED_AGAIN_S > now_s)
        return;
    v->track->spared_told = now_s;
    log_info("security.spared", LOG_CSTR("client", text.text), LOG_CSTR("rule", bans_kind_name(kind)),
             LOG_CSTR("reason", v->spared));
}

static struct bans_verdict offend(struct auth_bans *b, const struct bans_offence *offence)
{
    const struct bans_now now = auth_bans_now(b);
    struct bans_verdict v = bans_offend(b->bans, offence, &now);
    if (v.outcome == BANS_MADE)
        banned(b, v.ban);
    if (v.outcome == BANS_LET_GO)
        let_go(&v, offence->kind, now.unix_s);
    return v;
}

static struct slice listener_name(const struct settings *settings, uint32_t listener)
{
    return listener < settings->listeners.count ? settings->listeners.items[listener].name : SLICE_EMPTY;
}

bool auth_bans_on_offence(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct auth *auth = ctx;
    const struct wire_offence *m = message;
    const struct settings *settings = auth->settings;
    struct netaddr client;
    (void)link;
    (void)packet;
    if (m->kind >= OFFENCE_COUNT || (m->client.len != 4 && m->client.len != 16))
        return false;
    if (m->kind == OFFENCE_FAILED_LOGIN || m->kind == OFFENCE_BANNED || !auth->bans->image)
        return true; /* the one is counted where it was found, the other never */
    client = m->client.len == 4 ? netaddr_v4(m->client.ptr, 0) : netaddr_v6(m->client.ptr, 0);
    const struct bans_offence offence = {.kind = (enum score_kind)m->kind,
                                         .count = m->count,
                                         .client = &client,
                                         .where = listener_name(settings, m->listener),
                                         .detail = m->detail};
    (void)offend(auth->bans, &offence);
    return true;
}

static const char *service_of(const struct exchange *x)
{
    static const char *const names[] = {"submission", "imap", "http", "pop3"};
    return names[x->service];
}

static uint64_t number_of(struct auth *auth, struct slice text)
{
    uint8_t bytes[MEMORY_TAG_LEN];
    uint64_t number;
    memory_derive(auth->memory, text, bytes);
    memcpy(&number, bytes, sizeof number);
    return number;
}

bool auth_bans_login_failed(struct exchange *x)
{
    struct auth_bans *b = x->auth->bans;
    struct netaddr client;
    if (!netaddr_parse(x->client, &client))
        return false;
    const struct security_event event = {.kind = OFFENCE_FAILED_LOGIN,
                                         .listener = x->listener,
                                         .client = &client,
                                         .session = x->session,
                                         .detail = x->user};
    security_report(b->security, &event);
    bool known = x->verified_address.len > 0;
    const struct bans_offence offence = {.kind = SCORE_FAILED_LOGIN,
                                         .count = 1,
                                         .client = &client,
                                         .where = listener_name(x->auth->settings, x->listener),
                                         .detail = x->user,
                                         .name = number_of(x->auth, known ? x->verified_address : x->user),
                                         .guess = x->guess,
                                         .known = known};
    struct bans_verdict v = offend(b, &offence);
    if (v.outcome == BANS_OLD_PASSWORD_SEEN)
        log_warn("security.old_password", LOG_STR("client", x->client), LOG_STR("user", x->verified_address),
                 LOG_CSTR("service", service_of(x)), LOG_U64("count", v.track->old_password));
    return v.repeated;
}

void auth_bans_login_ok(struct exchange *x)
{
    struct auth_bans *b = x->auth->bans;
    const struct bans_now now = auth_bans_now(b);
    struct netaddr client;
    const struct ban *lifted;
    if (!netaddr_parse(x->client, &client))
        return;
    const struct ban_owner *owner = bans_login(b->bans, &client, &now, &lifted);
    if (lifted) {
        auth_bans_tell_end(lifted, "somebody logged in from there");
        auth_bans_save(b, BAN_WRITE_PUT, lifted);
    }
    if (!owner)
        return;
    const struct ban_write write = {
        .kind = BAN_WRITE_OWNER, .ban = {.network = owner->network}, .seen = owner->seen};
    ban_image_write(b->image, &write);
    ban_image_changed(b->image, false);
}

/* ---- time ---- */

static void on_ended(void *arg, const struct ban *ban)
{
    struct auth_bans *b = arg;
    auth_bans_tell_end(ban, "its time is over");
    auth_bans_save(b, BAN_WRITE_PUT, ban);
}

static void on_dropped(void *arg, const struct ban *ban)
{
    auth_bans_save(arg, BAN_WRITE_DROP, ban);
}

static void on_forgotten(void *arg, const struct ban_owner *owner)
{
    struct auth_bans *b = arg;
    const struct ban_write write = {.kind = BAN_WRITE_FORGET, .ban = {.network = owner->network}};
    ban_image_write(b->image, &write);
    ban_image_changed(b->image, false); /* bans count there again */
}

/* A ban that is over needs no new image: its end stands in it. */
static void on_sweep(void *arg)
{
    struct auth_bans *b = arg;
    const struct bans_now now = auth_bans_now(b);
    const struct bans_sweep sweep = {on_ended, on_dropped, on_forgotten, b};
    bans_expire(b->bans, &now, &sweep);
    count_bans(b);
    loop_timer_set(b->sweep, SWEEP_MS);
}

/* ---- life ---- */

struct auth_bans *auth_bans_new(struct auth *auth)
{
    struct auth_bans *b = mem_zero(1, sizeof *b);
    b->auth = auth;
    b->bans = bans_new(auth->settings);
    b->security = security_new(auth->loop);
    security_use(b->security, NULL, auth->settings);
    list_init(&b->calls);
    return b;
}

enum err auth_bans_start(struct auth_bans *b, struct why *why)
{
    const struct ban_image_ops ops = {.made = on_made, .written = on_written, .ctx = b};
    struct ban_store *store = NULL;
    struct why damage = {0};
    enum err err = ban_store_begin(BAN_STORE_PATH, b->bans, (uint64_t)clock_unix_s(), &store, &damage, why);
    if (*damage.text)
        log_error("auth.bans_damaged", LOG_WHY(&damage), LOG_CSTR("kept", BAN_STORE_PATH BAN_STORE_ASIDE),
                  LOG_U64("bans", map_count(b->bans->ours) + map_count(b->bans->by_hand)),
                  LOG_U64("logged_in_from", map_count(b->bans->owners)));
    auth_bans_load_decisions(b);
    if (!err)
        err = ban_image_new(b->auth->loop, b->bans, &store, &ops, &b->image, why);
    ban_store_close(&store);
    if (err)
        return err;
    b->keep = loop_timer_new(b->auth->loop, auth_bans_keep, b);
    b->sweep = loop_timer_new(b->auth->loop, on_sweep, b);
    on_sweep(b);
    return ERR_OK;
}

void auth_bans_use(struct auth_bans *b)
{
    bans_use(b->bans, b->auth->settings);
    security_use(b->security, NULL, b->auth->settings);
    auth_bans_forget_decisions(b);
    ban_image_changed(b->image, true);
}

void auth_bans_peer(struct auth_bans *b, enum role peer, bool up)
{
    if (up && PEERS_WITH_LIST & 1u << peer && b->image)
        send_list(b, peer);
    if (!up && peer == ROLE_RELAY)
        decisions_free(&b->bans->next_decisions);
}

void auth_bans_free(struct auth_bans **ref)
{
    struct auth_bans *b = *ref;
    if (!b)
        return;
    auth_bans_drop_calls(b);
    ban_image_free(&b->image);
    security_free(&b->security);
    loop_timer_free(&b->sweep);
    loop_timer_free(&b->keep);
    bans_free(&b->bans);
    free(b);
    *ref = NULL;
}
