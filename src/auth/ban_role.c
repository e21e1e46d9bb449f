/* ban_role.c: the door's memory in the auth role. Offences come from roles which talk to strangers and may
 * have been taken over by one: the worst they can do is to have an address banned that is not one of the
 * owner's. Called by role.c's dispatch, exchange.c and control.c. */
#include "auth/ban_role.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/ban_command.h"
#include "auth/ban_image.h"
#include "auth/context.h"
#include "auth/decisions_file.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/security.h"

#define SWEEP_MS        5000
#define KEEP_SOON_MS    500   /* CrowdSec's decisions are written to disk so soon … */
#define KEEP_PAUSE_MS   20000 /* … but not more often than that */
#define SPARED_AGAIN_S  3600  /* that an address is spared is said once so long */
#define LIST_PAUSE_MS   20    /* while the control socket is congested */
#define OUTPUT_MAX      (4u << 20)
#define ARGUMENT_BYTES  8192u
#define NO_LISTENER     UINT32_MAX /* logins come by service */
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

struct auth_bans {
    struct auth *auth;
    struct bans *bans;
    struct ban_image *image;
    struct loop_timer *sweep, *keep;
    bool kept_soon; /* the timer `keep` runs */
    uint64_t kept_ms;
    struct security *security; /* lines and metric of failed logins, which auth finds itself */
    struct list calls;         /* commands under way */
    enum err write_err;
};

static struct bans_now now_of(const struct auth_bans *b)
{
    return (struct bans_now){(uint64_t)clock_unix_s(), loop_now_ms(b->auth->loop)};
}

/* ---- telling ---- */

static void count_bans(struct auth_bans *b)
{
    const struct bans_now now = now_of(b);
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

static void go_on(struct auth_bans *b);

static void on_made(void *ctx)
{
    struct auth_bans *b = ctx;
    for (int role = 0; role < ROLE_COUNT; role++)
        if (PEERS_WITH_LIST & 1u << role)
            send_list(b, (enum role)role);
    count_bans(b);
    go_on(b);
}

static void on_written(void *ctx, enum err err, const struct why *why)
{
    struct auth_bans *b = ctx;
    b->write_err = err;
    if (err)
        log_error("auth.bans", LOG_CSTR("err", err_name(err)), LOG_WHY(why));
    go_on(b);
}

static void save(struct auth_bans *b, enum ban_write_kind kind, const struct ban *ban)
{
    const struct ban_write write = {.kind = kind, .ban = *ban};
    ban_image_write(b->image, &write);
}

/* ---- events of the log: docs/door.md ---- */

static void tell_ban(const struct ban *ban)
{
    const struct bans_text text = bans_network_text(&ban->network);
    if (ban->source == BAN_HAND)
        log_info("security.ban", LOG_CSTR("client", text.text), LOG_CSTR("source", "hand"),
                 LOG_BOOL("simulated", false), LOG_CSTR("reason", ban->reason),
                 LOG_U64("seconds", ban->until == BANS_FOR_EVER ? 0 : ban->until - ban->made));
    else
        log_info("security.ban", LOG_CSTR("client", text.text), LOG_CSTR("source", "ours"),
                 LOG_BOOL("simulated", ban->simulated), LOG_CSTR("rule", bans_kind_name(ban->rule)),
                 LOG_U64("seconds", ban->until - ban->made), LOG_U64("number", ban->number),
                 LOG_U64("events", ban->total));
}

static void tell_unban(const struct ban *ban, const char *why)
{
    const struct bans_text text = bans_network_text(&ban->network);
    log_info("security.unban", LOG_CSTR("client", text.text),
             LOG_CSTR("source", ban->source == BAN_HAND ? "hand" : "ours"), LOG_CSTR("reason", why));
}

static void report(struct auth_bans *b, const struct ban *ban)
{
    struct ipc_link *relay = role_link(b->auth->run, ROLE_RELAY);
    const struct bans_text text = bans_network_text(&ban->network);
    char scenario[64], message[200];
    int len = snprintf(scenario, sizeof scenario, "rockdove/%s", bans_kind_name(ban->rule));
    for (char *p = scenario; *p; p++)
        *p = *p == '_' ? '-' : *p;
    const struct ban_event *last = &ban->events[(ban->event_count - 1) % BANS_EVENTS];
    int said = snprintf(message, sizeof message, "%llu events, the last: %s %s",
                        (unsigned long long)ban->total, bans_kind_name(last->kind), last->where);
    const struct wire_ban_report m = {.simulated = ban->simulated,
                                      .events = ban->total < UINT32_MAX ? (uint32_t)ban->total : UINT32_MAX,
                                      .begun = ban->begun,
                                      .ended = ban->made,
                                      .seconds = ban->until - ban->made,
                                      .address = slice_of(text.text),
                                      .scenario = slice_make(scenario, len > 0 ? (size_t)len : 0),
                                      .message = slice_make(message, said > 0 ? strlen(message) : 0)};
    enum err lost = relay && ipc_link_is_up(relay) ? wire_send(relay, WIRE_BAN_REPORT, &m) : ERR_OK;
    (void)lost; /* relay counts what it reports; the ban stands anyway */
}

/* ---- offences ---- */

static void banned(struct auth_bans *b, const struct ban *ban)
{
    metric_add(METRIC_BANS_MADE, ban->simulated ? METRIC_BAN_WOULD : METRIC_BAN_SET, 1);
    tell_ban(ban);
    report(b, ban);
    save(b, BAN_WRITE_PUT, ban);
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
    const struct bans_now now = now_of(b);
    struct bans_verdict v = bans_offend(b->bans, offence, &now);
    if (v.outcome == BANS_MADE)
        banned(b, v.ban);
    if (v.outcome == BANS_LET_GO)
        let_go(&v, offence->kind, now.unix_s);
    return v;
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
                                         .where = m->listener < settings->listeners.count
                                                      ? settings->listeners.items[m->listener].name
                                                      : SLICE_EMPTY,
                                         .detail = m->detail};
    (void)offend(auth->bans, &offence);
    return true;
}

static const char *service_of(const struct exchange *x)
{
    static const char *const names[] = {"submission", "imap", "http"};
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
                                         .listener = NO_LISTENER,
                                         .client = &client,
                                         .session = x->session,
                                         .detail = x->user};
    security_report(b->security, &event);
    bool known = x->verified_address.len > 0;
    const struct bans_offence offence = {.kind = SCORE_FAILED_LOGIN,
                                         .count = 1,
                                         .client = &client,
                                         .where = slice_of(service_of(x)),
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
    const struct bans_now now = now_of(b);
    struct netaddr client;
    const struct ban *lifted;
    if (!netaddr_parse(x->client, &client))
        return;
    const struct ban_owner *owner = bans_login(b->bans, &client, &now, &lifted);
    if (lifted) {
        tell_unban(lifted, "somebody logged in from there");
        save(b, BAN_WRITE_PUT, lifted);
    }
    if (!owner)
        return;
    const struct ban_write write = {
        .kind = BAN_WRITE_OWNER, .ban = {.network = owner->network}, .seen = owner->seen};
    ban_image_write(b->image, &write);
    ban_image_changed(b->image, false);
}

/* ---- CrowdSec ---- */

struct keeping {
    struct decisions *decisions;
    enum err err;
    struct why why;
};

static void keep_work(void *arg)
{
    struct keeping *k = arg;
    k->err = decisions_file_save(k->decisions, (uint64_t)clock_unix_s(), &k->why);
    decisions_free(&k->decisions);
}

static void keep_done(void *arg)
{
    struct keeping *k = arg;
    if (k->err)
        log_warn("auth.decisions", LOG_CSTR("err", err_name(k->err)), LOG_WHY(&k->why));
    free(k);
}

static void on_keep(void *arg)
{
    struct auth_bans *b = arg;
    struct keeping *k = mem_zero(1, sizeof *k);
    b->kept_soon = false;
    b->kept_ms = loop_now_ms(b->auth->loop);
    k->decisions = decisions_copy(b->bans->decisions);
    loop_strand_run(b->auth->strand, keep_work, keep_done, k);
}

static void decisions_changed(struct auth_bans *b)
{
    uint64_t next = b->kept_ms + KEEP_PAUSE_MS, now = loop_now_ms(b->auth->loop);
    ban_image_changed(b->image, false);
    if (!b->kept_soon)
        loop_timer_set(b->keep, b->kept_ms && next > now ? next - now : KEEP_SOON_MS);
    b->kept_soon = true;
}

/* They count until relay has heard from the LAPI. */
static void load_decisions(struct auth_bans *b)
{
    struct why why;
    if (b->auth->settings->crowdsec.url.len == 0)
        return;
    enum err err = decisions_file_load(b->bans->decisions, (uint64_t)clock_unix_s(), &why);
    if (err && err != ERR_ABSENT)
        log_warn("auth.decisions", LOG_CSTR("err", err_name(err)), LOG_WHY(&why));
}

bool auth_bans_on_decisions(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct auth *auth = ctx;
    struct bans *bans = auth->bans->bans;
    const struct wire_decisions *m = message;
    struct slice rest = m->entries, line;
    uint64_t now_s = (uint64_t)clock_unix_s();
    if (!packet->request)
        return false;
    if (!auth->bans->image) {
        wire_reply_result(link, packet->request, ERR_LATER, STORE_CODE_NONE, SLICE_EMPTY);
        return true;
    }
    if (m->flags & DECISIONS_FIRST) {
        decisions_free(&bans->next_decisions);
        bans->next_decisions = decisions_new();
    }
    struct decisions *into = bans->next_decisions ? bans->next_decisions : bans->decisions;
    while (rest.len)
        if (!wire_strings_take(&rest, &line) || !decisions_take(into, line, now_s))
            return false;
    bool whole = bans->next_decisions && m->flags & DECISIONS_LAST;
    if (whole) {
        decisions_free(&bans->decisions);
        bans->decisions = bans->next_decisions;
        bans->next_decisions = NULL;
        log_info("auth.decisions", LOG_U64("count", decisions_count(bans->decisions)),
                 LOG_U64("refused", decisions_refused(bans->decisions)));
    }
    if (whole || (!bans->next_decisions && m->entries.len))
        decisions_changed(auth->bans);
    wire_reply_result(link, packet->request, ERR_OK, STORE_CODE_NONE, SLICE_EMPTY);
    return true;
}

/* ---- time ---- */

static void on_ended(void *arg, const struct ban *ban)
{
    struct auth_bans *b = arg;
    tell_unban(ban, "its time is over");
    save(b, BAN_WRITE_PUT, ban);
}

static void on_dropped(void *arg, const struct ban *ban)
{
    save(arg, BAN_WRITE_DROP, ban);
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
    const struct bans_now now = now_of(b);
    const struct bans_sweep sweep = {on_ended, on_dropped, on_forgotten, b};
    bans_expire(b->bans, &now, &sweep);
    count_bans(b);
    loop_timer_set(b->sweep, SWEEP_MS);
}

/* ---- the administrator ---- */

struct call {
    struct list node;
    struct auth_bans *bans;
    struct loop_timer *timer; /* a long list goes out piece by piece, with others in between */
    uint32_t request, epoch;
    struct ban_command command;
    struct slice arguments[BAN_ARGUMENTS_MAX];
    struct buf out;
    struct ban_image_mark mark;
    bool waits;
    size_t text_len;
    uint8_t text[];
};

static void call_free(struct call *call)
{
    list_remove(&call->node);
    loop_timer_free(&call->timer);
    buf_free(&call->out);
    free(call);
}

static void call_output(struct call *call, bool more)
{
    struct auth *auth = call->bans->auth;
    struct slice text = buf_slice(&call->out);
    do {
        const struct wire_control_output out = {
            .exit_code = more || text.len > WIRE_BLOB_MAX ? 0 : call->command.exit_code,
            .text = slice_sub(text, 0, WIRE_BLOB_MAX)};
        text = slice_from(text, out.text.len);
        if (call->epoch == auth->epochs[ROLE_QUEUE])
            wire_reply(role_link(auth->run, ROLE_QUEUE), call->request, WIRE_CONTROL_OUTPUT,
                       more || text.len > 0, &out);
    } while (text.len);
    buf_clear(&call->out);
}

static void call_end(struct call *call)
{
    call_output(call, false);
    call_free(call);
}

/* What was changed by hand is told when it is on disk and the network roles have it. */
static void call_settle(struct call *call)
{
    struct auth_bans *b = call->bans;
    for (size_t i = 0; i < call->command.write_count; i++) {
        const struct ban_write *w = &call->command.writes[i];
        ban_image_write(b->image, w);
        if (w->kind == BAN_WRITE_PUT)
            tell_ban(&w->ban);
        else if (call->command.removed & 1u << w->ban.source)
            tell_unban(&w->ban, "removed by hand");
    }
    ban_image_changed(b->image, true);
    call->mark = ban_image_mark(b->image);
    call->waits = true;
}

static void call_step(void *arg)
{
    struct call *call = arg;
    struct auth *auth = call->bans->auth;
    if (call->command.more && call->epoch != auth->epochs[ROLE_QUEUE]) {
        call_free(call);
        return;
    }
    if (call->command.more && ipc_congested(role_link(auth->run, ROLE_QUEUE))) {
        loop_timer_set(call->timer, LIST_PAUSE_MS);
        return;
    }
    ban_command(&call->command);
    if (call->command.more) {
        call_output(call, true);
        loop_timer_set(call->timer, 0);
    } else if (call->command.write_count) {
        call_settle(call);
    } else {
        call_end(call);
    }
}

/* An image was made, or something written: who waited for it is answered. */
static void go_on(struct auth_bans *b)
{
    LIST_EACH(&b->calls, node)
    {
        struct call *call = CONTAINER_OF(node, struct call, node);
        if (!call->waits || !ban_image_reached(b->image, &call->mark))
            continue;
        if (b->write_err) {
            buf_add_str(&call->out, "it could not be written to disk: it holds until the next restart\n");
            call->command.exit_code = 1;
        }
        call_end(call);
    }
}

static bool take_arguments(struct call *call)
{
    struct slice rest = slice_make(call->text, call->text_len), argument;
    bool first = true;
    while (rest.len) {
        if (call->command.count == BAN_ARGUMENTS_MAX || !wire_strings_take(&rest, &argument))
            return false;
        if (!first)
            call->arguments[call->command.count++] = argument;
        first = false;
    }
    return true;
}

void auth_bans_control(struct auth_bans *b, uint32_t request, const struct wire_control *message)
{
    size_t len = message->arguments.len;
    struct call *call = mem_zero(1, sizeof *call + len);
    call->bans = b;
    call->request = request;
    call->epoch = b->auth->epochs[ROLE_QUEUE];
    call->out = buf_new(OUTPUT_MAX);
    call->timer = loop_timer_new(b->auth->loop, call_step, call);
    list_push_back(&b->calls, &call->node);
    call->text_len = len;
    if (len)
        memcpy(call->text, message->arguments.ptr, len);
    call->command = (struct ban_command){.bans = b->bans,
                                         .now = now_of(b),
                                         .json = message->json,
                                         .arguments = call->arguments,
                                         .out = &call->out};
    if (len > ARGUMENT_BYTES || !take_arguments(call))
        call->command.count = 0; /* shows the usage */
    call_step(call);
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
    enum err err = ban_store_open(BAN_STORE_PATH, false, &store, why);
    if (!err)
        err = ban_store_load(store, b->bans, (uint64_t)clock_unix_s(), why);
    load_decisions(b);
    if (!err)
        err = ban_image_new(b->auth->loop, b->bans, &store, &ops, &b->image, why);
    ban_store_close(&store);
    if (err)
        return err;
    b->keep = loop_timer_new(b->auth->loop, on_keep, b);
    b->sweep = loop_timer_new(b->auth->loop, on_sweep, b);
    on_sweep(b);
    return ERR_OK;
}

void auth_bans_use(struct auth_bans *b)
{
    bans_use(b->bans, b->auth->settings);
    security_use(b->security, NULL, b->auth->settings);
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
    while (!list_empty(&b->calls))
        call_free(CONTAINER_OF(b->calls.next, struct call, node));
    ban_image_free(&b->image);
    security_free(&b->security);
    loop_timer_free(&b->sweep);
    loop_timer_free(&b->keep);
    bans_free(&b->bans);
    free(b);
    *ref = NULL;
}
