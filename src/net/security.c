/* security.c: what strangers did that they should not: log, metric, notice for auth. Details are the
 * strangers' own bytes (the log escapes them). Called by the network roles and by admission.c. */
#include "net/security.h"

#include <stdlib.h>
#include <string.h>

#include "base/coll.h"
#include "base/log.h"
#include "base/mem.h"
#include "settings/metrics.h"

#define KEY_LEN     18 /* kind, family, address */
#define SESSION_MAX 32
#define MOMENT_MS   10 /* so late auth hears of what is new */

/* One kind and address, told a moment ago. */
struct pending {
    struct list node;
    uint8_t key[KEY_LEN];
    enum offence kind;
    struct netaddr client;
    uint32_t listener, count; /* not told yet */
    bool due;                 /* its line is written, auth hears of it in a moment */
    size_t session_len, detail_len;
    uint8_t session[SESSION_MAX], detail[SECURITY_DETAIL_MAX];
};

struct security {
    struct ipc_link *auth;
    const struct settings *settings;
    struct loop_timer *timer, *moment;
    bool armed, moment_armed;
    struct list pendings;
    struct map *by_key;
    unsigned lines;    /* since the timer fired */
    uint64_t left_out; /* lines */
};

static const struct {
    const char *name, *event;
} names[OFFENCE_COUNT] = {
    [OFFENCE_FAILED_LOGIN] = {"failed_login", "security.failed_login"},
    [OFFENCE_EARLY_TALKER] = {"early_talker", "security.early_talker"},
    [OFFENCE_UNKNOWN_RECIPIENT] = {"unknown_recipient", "security.unknown_recipient"},
    [OFFENCE_RELAY_ATTEMPT] = {"relay_attempt", "security.relay_attempt"},
    [OFFENCE_SPAM_TRAP] = {"spam_trap", "security.spam_trap"},
    [OFFENCE_PROTOCOL_ABUSE] = {"protocol_abuse", "security.protocol_abuse"},
    [OFFENCE_LIMIT] = {"limit", "security.limit"},
    [OFFENCE_LISTED] = {"listed", "security.listed"},
    [OFFENCE_BANNED] = {"banned", "security.banned"},
};

const char *security_name(enum offence kind)
{
    return (unsigned)kind < OFFENCE_COUNT ? names[kind].name : "?";
}

bool security_is_exempt(const struct settings *settings, const struct netaddr *client)
{
    if (client->family != NETADDR_V4 && client->family != NETADDR_V6)
        return true;
    return netaddr_is_loopback(client) || settings_is_trusted(settings, client) ||
           settings_is_proxy(settings, client);
}

/* ---- telling ---- */

static void write_line(struct security *sec, const struct security_event *e, uint32_t count)
{
    const struct netaddr_text address = netaddr_text(e->client);
    const struct settings *settings = sec->settings;
    struct slice listener =
        e->listener < settings->listeners.count ? settings->listeners.items[e->listener].name : SLICE_EMPTY;
    if (sec->lines >= SECURITY_LINES) {
        sec->left_out++;
        return;
    }
    sec->lines++;
    if (e->compat) {
        log_info(names[e->kind].event, LOG_CSTR("client", address.text), LOG_STR("listener", listener),
                 LOG_STR("session", e->session), LOG_STR("detail", e->detail), LOG_U64("count", count),
                 LOG_COMPAT_LINE(e->compat));
        return;
    }
    log_info(names[e->kind].event, LOG_CSTR("client", address.text), LOG_STR("listener", listener),
             LOG_STR("session", e->session), LOG_STR("detail", e->detail), LOG_U64("count", count));
}

static void notify(struct security *sec, const struct security_event *e, uint32_t count)
{
    const struct wire_offence notice = {
        .kind = e->kind,
        .count = count,
        .listener = e->listener,
        .client = slice_make(e->client->bytes, e->client->family == NETADDR_V4 ? 4 : 16),
        .detail = e->detail,
        .session = e->session};
    if (e->kind == OFFENCE_BANNED || !sec->auth || !ipc_link_is_up(sec->auth))
        return;
    enum err err = wire_send(sec->auth, WIRE_OFFENCE, &notice);
    (void)err; /* the points of this moment are lost */
}

static struct security_event event_of(const struct pending *p)
{
    return (struct security_event){.kind = p->kind,
                                   .listener = p->listener,
                                   .client = &p->client,
                                   .session = slice_make(p->session, p->session_len),
                                   .detail = slice_make(p->detail, p->detail_len)};
}

/* ---- gathering ---- */

static void forget(struct security *sec, struct pending *p)
{
    (void)map_remove(sec->by_key, slice_make(p->key, sizeof p->key));
    list_remove(&p->node);
    free(p);
}

/* Those of the last moment, which stand at the end, in one go: a flood of addresses wakes auth a hundred
 * times a second, not for each. */
static void notify_due(struct security *sec)
{
    struct list *node = &sec->pendings;
    while (node->prev != &sec->pendings && CONTAINER_OF(node->prev, struct pending, node)->due)
        node = node->prev;
    for (; node != &sec->pendings; node = node->next) {
        struct pending *p = CONTAINER_OF(node, struct pending, node);
        const struct security_event e = event_of(p);
        notify(sec, &e, 1);
        p->due = false;
    }
}

static void on_moment(void *arg)
{
    struct security *sec = arg;
    sec->moment_armed = false;
    notify_due(sec);
}

/* What came more than once since it was told is told again; what did not is over. */
static void flush(struct security *sec)
{
    notify_due(sec);
    LIST_EACH(&sec->pendings, node)
    {
        struct pending *p = CONTAINER_OF(node, struct pending, node);
        const struct security_event e = event_of(p);
        if (p->count == 0) {
            forget(sec, p);
            continue;
        }
        write_line(sec, &e, p->count);
        notify(sec, &e, p->count);
        p->count = 0;
    }
    if (sec->left_out > 0)
        log_info("security.left_out", LOG_U64("lines", sec->left_out));
    sec->left_out = 0;
}

static void arm(struct security *sec)
{
    if (sec->armed)
        return;
    sec->armed = true;
    loop_timer_set(sec->timer, SECURITY_GATHER_MS);
}

static void on_timer(void *arg)
{
    struct security *sec = arg;
    sec->armed = false;
    sec->lines = 0;
    flush(sec);
    if (!list_empty(&sec->pendings))
        arm(sec);
}

static void make_key(const struct security_event *e, uint8_t key[KEY_LEN])
{
    key[0] = (uint8_t)e->kind;
    key[1] = (uint8_t)e->client->family;
    memcpy(key + 2, e->client->bytes, sizeof e->client->bytes);
}

static size_t copy(uint8_t *to, size_t max, struct slice from)
{
    size_t len = from.len < max ? from.len : max;
    if (len)
        memcpy(to, from.ptr, len);
    return len;
}

/* The last one's words stand for all of them. */
static void remember(struct pending *p, const struct security_event *e)
{
    p->listener = e->listener;
    p->session_len = copy(p->session, sizeof p->session, e->session);
    p->detail_len = copy(p->detail, sizeof p->detail, e->detail);
}

/* False when too many are gathered already. */
static bool add(struct security *sec, const struct security_event *e, const uint8_t key[KEY_LEN])
{
    struct pending *p = mem_zero(1, sizeof *p);
    memcpy(p->key, key, sizeof p->key);
    if (!map_put(sec->by_key, slice_make(p->key, sizeof p->key), p)) {
        free(p);
        return false;
    }
    p->kind = e->kind;
    p->client = *e->client;
    p->due = true;
    remember(p, e);
    list_push_back(&sec->pendings, &p->node);
    if (!sec->moment_armed)
        loop_timer_set(sec->moment, MOMENT_MS);
    sec->moment_armed = true;
    return true;
}

void security_report(struct security *sec, const struct security_event *event)
{
    uint8_t key[KEY_LEN];
    struct security_event e = *event;
    if (!sec || !sec->settings || (unsigned)e.kind >= OFFENCE_COUNT ||
        security_is_exempt(sec->settings, e.client))
        return;
    e.session = slice_sub(e.session, 0, SESSION_MAX);
    e.detail = slice_sub(e.detail, 0, SECURITY_DETAIL_MAX);
    metric_add(METRIC_SECURITY_EVENTS, e.kind, 1);
    arm(sec);
    make_key(&e, key);
    struct pending *p = map_get(sec->by_key, slice_make(key, sizeof key));
    if (p) {
        p->count++;
        remember(p, &e);
        return;
    }
    write_line(sec, &e, 1);
    if (!add(sec, &e, key))
        notify(sec, &e, 1);
}

/* ---- life ---- */

struct security *security_new(struct loop *loop)
{
    struct security *sec = mem_zero(1, sizeof *sec);
    list_init(&sec->pendings);
    sec->by_key = map_new(SECURITY_PENDING);
    sec->timer = loop_timer_new(loop, on_timer, sec);
    sec->moment = loop_timer_new(loop, on_moment, sec);
    return sec;
}

void security_free(struct security **ref)
{
    struct security *sec = ref ? *ref : NULL;
    if (!sec)
        return;
    *ref = NULL;
    flush(sec);
    LIST_EACH(&sec->pendings, node)
    {
        forget(sec, CONTAINER_OF(node, struct pending, node));
    }
    map_free(&sec->by_key);
    loop_timer_free(&sec->timer);
    loop_timer_free(&sec->moment);
    free(sec);
}

void security_use(struct security *sec, struct ipc_link *auth, const struct settings *settings)
{
    sec->auth = auth;
    sec->settings = settings;
}
