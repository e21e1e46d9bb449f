/* keys.c: the DKIM keys auth holds, what DNS says of each, and signatures asked of auth. What it hears comes
 * from auth and, of records strangers may have written, from relay. Called by role.c and commit.c. */
#include "queue/keys.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "grammar/address.h"
#include "grammar/domain.h"
#include "settings/metrics.h"

#define CHECK_MS       60000 /* deadline of one look at a record */
#define CHECKS_AT_ONCE 8
#define LIST_MAX       (4u << 20) /* bytes of all keys */
#define ALARM_MS       3600000    /* an alarm of one domain is repeated after this */
#define DOMAIN_LEVELS  10
#define NAME_ARENA_MAX (64u << 10) /* domains of one message in A-labels */

enum key_state {
    KEY_NEW,     /* not looked up yet: signs */
    KEY_SIGNS,   /* its record is there */
    KEY_UNKNOWN, /* DNS has failed so far: signs */
    KEY_ABSENT,  /* DNS answers that there is no such record, or it is revoked */
    KEY_DIFFERS, /* the record is another key's */
    KEY_FORBIDS  /* the record is not for mail, or not for SHA-256 (RFC 6376 section 3.6.1) */
};

static const char *const state_names[] = {"not looked up yet",        "signing",
                                          "unknown, signing",         "not published",
                                          "another key is published", "its record forbids it (h= or s=)"};

/* Why a message of a domain of ours is not signed. */
enum lack {
    LACK_USABLE, /* none of its keys works, or their records say so */
    LACK_ROW,    /* `dkim:` has no key of it, nor of a domain above it */
    LACK_TEXT,   /* the message cannot be signed with any key */
    LACK_COUNT
};

static const struct {
    enum log_level level;
    const char *state, *why; /* in front of why: the domain */
} lacks[LACK_COUNT] = {
    [LACK_USABLE] = {LOG_LEVEL_ERROR, "no key of this domain can sign", "no DKIM key of it can sign"},
    [LACK_ROW] = {LOG_LEVEL_WARN,
                  "this domain of ours has no key: there is none in dkim:", "there is no DKIM key of it"},
    [LACK_TEXT] = {LOG_LEVEL_WARN, "a message cannot be signed: it has no From, or its header is too long",
                   "a message without From, or with a header of this length, cannot be signed"},
};

struct key {
    struct keys *keys;
    struct slice domain, selector, algorithm, public; /* into `list` of the generation */
    enum key_state state;
    enum dns_status answer;       /* the last one */
    uint64_t since_ms, looked_ms; /* unix */
    uint64_t next_ms;             /* of the loop's clock */
    bool failing;                 /* the last look got no answer; `state` is from before */
    uint32_t call;
};

struct signing {
    struct list node;
    struct keys *keys;
    uint32_t number, call;
    bool cancelled;
    bool released;
    bool decided; /* without auth: `err` is told in the next turn of the loop */
    enum err err;
    enum lack lack;
    struct slice domain;
    keys_done *done;
    void *ctx;
    uint8_t text[]; /* the domain */
};

struct keys {
    struct queue *q;
    struct buf gathered; /* what came of a list that is not complete */
    uint8_t *list;
    struct vec all; /* struct key */
    bool known;     /* a complete list has come */
    size_t checking;
    struct loop_timer *timer, *soon;
    struct list signings;
    uint32_t next_signing;
    struct map *alarmed; /* from domain to struct alarm */
};

struct alarm {
    uint64_t again_ms[LACK_COUNT]; /* until then it is not repeated; of the loop's clock */
    size_t len;
    uint8_t domain[];
};

static bool may_sign(const struct key *key)
{
    return key->state == KEY_NEW || key->state == KEY_SIGNS || key->state == KEY_UNKNOWN;
}

static struct key *key_at(const struct keys *keys, size_t i)
{
    return VEC_AT(&keys->all, struct key, i);
}

/* ---- what DNS says ---- */

static void turn(void *arg);

static void count_states(const struct keys *keys)
{
    uint64_t bad = 0;
    for (size_t i = 0; i < keys->all.len; i++)
        bad += !may_sign(key_at(keys, i));
    metric_set(METRIC_DKIM_KEYS, METRIC_DKIM_SIGNING, keys->all.len - bad);
    metric_set(METRIC_DKIM_KEYS, METRIC_DKIM_UNUSABLE, bad);
}

static void enter(struct key *key, enum key_state state)
{
    enum log_level level = state == KEY_SIGNS     ? LOG_LEVEL_INFO
                           : state == KEY_UNKNOWN ? LOG_LEVEL_WARN
                                                  : LOG_LEVEL_ERROR;
    if (state == key->state)
        return;
    key->state = state;
    key->since_ms = clock_unix_ms();
    log_event(level, "queue.dkim", LOG_STR("domain", key->domain), LOG_STR("selector", key->selector),
              LOG_STR("algorithm", key->algorithm), LOG_CSTR("state", state_names[state]));
    count_states(key->keys);
}

static void judge(struct key *key, const struct wire_dkim_published *m)
{
    key->answer = m->status < DNS_FAILED ? (enum dns_status)m->status : DNS_FAILED;
    key->failing = key->answer == DNS_FAILED;
    if (m->status == DNS_OK)
        enter(key, m->key.len == 0                                                              ? KEY_ABSENT
                   : !slice_ieq(m->algorithm, key->algorithm) || !slice_eq(m->key, key->public) ? KEY_DIFFERS
                   : m->forbids                                                                 ? KEY_FORBIDS
                                                                                                : KEY_SIGNS);
    else if (m->status == DNS_NODATA || m->status == DNS_NXDOMAIN)
        enter(key, KEY_ABSENT);
    else if (key->state == KEY_NEW)
        enter(key, KEY_UNKNOWN);
}

static void on_published(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct key *key = ctx;
    struct wire_dkim_published m;
    key->call = 0;
    key->keys->checking--;
    err = wire_answer(err, packet, WIRE_DKIM_PUBLISHED, &m);
    if (err)
        m = (struct wire_dkim_published){.status = DNS_FAILED};
    key->looked_ms = clock_unix_ms();
    judge(key, &m);
    uint64_t wait = key->state == KEY_SIGNS && !key->failing ? KEYS_CHECK_MS : KEYS_RECHECK_MS;
    key->next_ms = loop_now_ms(key->keys->q->loop) + wait + random_below(wait / 10);
    turn(key->keys);
}

static void check(struct key *key, struct ipc_link *relay)
{
    const struct wire_dkim_check m = {.domain = key->domain, .selector = key->selector};
    key->keys->checking++;
    key->call = wire_call(relay, WIRE_DKIM_CHECK, &m, CHECK_MS, on_published, key);
}

/* Looks up what is due, and comes back for what is due next. Without relay nothing is looked up: its link
 * coming up starts this again. */
static void turn(void *arg)
{
    struct keys *keys = arg;
    struct ipc_link *relay = role_link(keys->q->run, ROLE_RELAY);
    uint64_t now = loop_now_ms(keys->q->loop), soonest = UINT64_MAX;
    if (!relay || !ipc_link_is_up(relay))
        return;
    for (size_t i = 0; i < keys->all.len && keys->checking < CHECKS_AT_ONCE; i++) {
        struct key *key = key_at(keys, i);
        if (key->call)
            continue;
        if (key->next_ms <= now)
            check(key, relay);
        else if (key->next_ms < soonest)
            soonest = key->next_ms;
    }
    if (soonest != UINT64_MAX && keys->checking < CHECKS_AT_ONCE)
        loop_timer_set(keys->timer, soonest - now);
}

void keys_relay_up(struct queue *q)
{
    if (!q->keys)
        return;
    for (size_t i = 0; i < q->keys->all.len; i++)
        if (key_at(q->keys, i)->state != KEY_SIGNS)
            key_at(q->keys, i)->next_ms = 0;
    turn(q->keys);
}

/* ---- the keys of auth ---- */

static void drop_list(struct keys *keys, struct vec *all)
{
    struct ipc_link *relay = role_link(keys->q->run, ROLE_RELAY);
    for (size_t i = 0; i < all->len; i++) {
        struct key *key = VEC_AT(all, struct key, i);
        if (key->call)
            ipc_cancel(relay, key->call);
    }
    keys->checking = 0;
    vec_free(all);
}

/* A key that was there before keeps what is known of it. */
static void inherit(struct key *key, const struct vec *before)
{
    for (size_t i = 0; i < before->len; i++) {
        const struct key *old = VEC_AT(before, struct key, i);
        if (!slice_eq(old->domain, key->domain) || !slice_eq(old->selector, key->selector) ||
            !slice_eq(old->public, key->public))
            continue;
        key->state = old->state;
        key->answer = old->answer;
        key->since_ms = old->since_ms;
        key->looked_ms = old->looked_ms;
        key->failing = old->failing;
    }
}

static bool read_list(struct keys *keys, struct slice list, const struct vec *before)
{
    struct slice field[4];
    while (list.len) {
        for (int i = 0; i < 4; i++)
            if (!wire_strings_take(&list, &field[i]))
                return false;
        struct key *key = vec_push(&keys->all);
        if (!key)
            return false;
        *key = (struct key){.keys = keys,
                            .domain = field[0],
                            .selector = field[1],
                            .algorithm = field[2],
                            .public = field[3],
                            .since_ms = clock_unix_ms()};
        inherit(key, before);
    }
    return true;
}

bool keys_on_list(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct keys *keys = ((struct queue *)ctx)->keys;
    const struct wire_dkim_keys *m = message;
    (void)link;
    (void)packet;
    buf_add(&keys->gathered, m->keys);
    if (m->more)
        return buf_ok(&keys->gathered);
    struct vec before = keys->all;
    uint8_t *old = keys->list;
    size_t len;
    bool fine = buf_ok(&keys->gathered);
    keys->list = buf_take(&keys->gathered, &len);
    keys->all = VEC_NEW(struct key, KEYS_MAX);
    fine = fine && read_list(keys, slice_make(keys->list, len), &before);
    keys->known = true;
    drop_list(keys, &before);
    free(old);
    count_states(keys);
    log_info("queue.dkim", LOG_U64("keys", keys->all.len));
    turn(keys);
    return fine;
}

/* ---- signing ---- */

/* In A-labels, as auth tells its keys' domains; what is no domain stays as it is. */
static struct slice alabel_in(struct arena *arena, struct slice name)
{
    struct slice found;
    return domain_to_alabel_in(arena, name, &found, NULL) ? name : found;
}

static bool is_row_of(struct arena *arena, const struct settings_dkim *row, struct slice domain)
{
    return slice_ieq(slice_is_ascii(row->domain) ? row->domain : alabel_in(arena, row->domain), domain);
}

static bool is_configured(struct arena *arena, const struct keys *keys, struct slice domain)
{
    const struct settings *settings = keys->q->settings;
    for (size_t i = 0; i < settings->dkim.count; i++)
        if (is_row_of(arena, &settings->dkim.items[i], domain))
            return true;
    for (size_t i = 0; i < keys->all.len; i++)
        if (slice_ieq(key_at(keys, i)->domain, domain))
            return true;
    return false;
}

/* The domain itself, or the nearest one above it with a key: its signature is aligned with the author's
 * domain in DMARC's relaxed mode (RFC 7489 section 3.1.1). */
static struct slice signing_domain(const struct keys *keys, struct slice domain)
{
    for (int level = 0; level < DOMAIN_LEVELS && domain.len; level++) {
        AUTO_ARENA struct arena *arena = arena_new(NAME_ARENA_MAX);
        if (is_configured(arena, keys, domain))
            return domain;
        ptrdiff_t dot = slice_find(domain, '.');
        domain = dot < 0 ? SLICE_EMPTY : slice_from(domain, (size_t)dot + 1);
    }
    return SLICE_EMPTY;
}

static size_t usable(const struct keys *keys, struct slice domain, struct buf *selectors)
{
    size_t count = 0;
    for (size_t i = 0; i < keys->all.len && count < KEYS_PER_DOMAIN; i++) {
        const struct key *key = key_at(keys, i);
        if (!slice_ieq(key->domain, domain) || !may_sign(key))
            continue;
        wire_strings_add(selectors, key->selector);
        count++;
    }
    return count;
}

/* At most one line an hour for each domain and reason; the metric counts every message. */
static void alarm_domain(struct keys *keys, struct slice domain, enum lack lack, bool held)
{
    uint64_t now = loop_now_ms(keys->q->loop);
    struct alarm *alarm = map_get(keys->alarmed, domain);
    metric_add(METRIC_DKIM_MESSAGES, held ? METRIC_DKIM_HELD : METRIC_DKIM_UNSIGNED, 1);
    if (alarm && now < alarm->again_ms[lack])
        return;
    if (!alarm) {
        alarm = mem_zero(1, sizeof *alarm + domain.len);
        alarm->len = domain.len;
        memcpy(alarm->domain, domain.ptr, domain.len);
        if (!map_put(keys->alarmed, slice_make(alarm->domain, alarm->len), alarm)) {
            free(alarm);
            return;
        }
    }
    alarm->again_ms[lack] = now + ALARM_MS;
    log_event(lacks[lack].level, "queue.dkim", LOG_STR("domain", domain),
              LOG_CSTR("state", lacks[lack].state), LOG_CSTR("mail", held ? "held" : "sent unsigned"));
}

static void finish(struct signing *s, enum err err, struct slice header, struct slice why)
{
    list_remove(&s->node);
    if (!s->cancelled)
        s->done(s->ctx, err, header, why);
    free(s);
}

/* Without a usable key: unsigned with an alarm, or held. */
static void finish_missing(struct signing *s)
{
    struct keys *keys = s->keys;
    bool held = keys->q->settings->dkim_missing == SETTINGS_DKIM_HOLD && !s->released;
    AUTO_BUF struct buf why = buf_new(400);
    alarm_domain(keys, s->domain, s->lack, held);
    buf_addf(&why, "%.*s: %s", SLICE_ARG(s->domain), lacks[s->lack].why);
    finish(s, held ? ERR_REFUSED : ERR_OK, SLICE_EMPTY, buf_slice(&why));
}

static void tell_decided(struct signing *s)
{
    if (s->domain.len && s->err == ERR_OK && !s->cancelled)
        finish_missing(s);
    else
        finish(s, s->err, SLICE_EMPTY, SLICE_EMPTY);
}

static void on_soon(void *arg)
{
    struct keys *keys = arg;
    struct list now;
    list_init(&now);
    LIST_EACH(&keys->signings, node)
    {
        if (!CONTAINER_OF(node, struct signing, node)->decided)
            continue;
        list_remove(node);
        list_push_back(&now, node);
    }
    while (!list_empty(&now))
        tell_decided(CONTAINER_OF(now.next, struct signing, node));
}

static void on_signed(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct signing *s = ctx;
    struct wire_dkim_signed m;
    s->call = 0;
    err = wire_answer(err, packet, WIRE_DKIM_SIGNED, &m);
    if (!err)
        err = (enum err)m.err;
    if (err == ERR_OK && m.header.len) {
        metric_add(METRIC_DKIM_MESSAGES, METRIC_DKIM_SIGNED, 1);
        finish(s, ERR_OK, m.header, SLICE_EMPTY);
    } else if (err == ERR_LATER) {
        finish(s, ERR_LATER, SLICE_EMPTY, SLICE("signatures cannot be made now"));
    } else {
        finish_missing(s); /* auth has the key, and it does not work */
    }
}

static struct signing *signing_new(struct keys *keys, struct slice domain, keys_done *done, void *ctx)
{
    struct signing *s = mem_zero(1, sizeof *s + domain.len);
    s->keys = keys;
    s->done = done;
    s->ctx = ctx;
    s->number = ++keys->next_signing ? keys->next_signing : ++keys->next_signing;
    if (domain.len)
        memcpy(s->text, domain.ptr, domain.len);
    for (size_t i = 0; i < domain.len; i++)
        s->text[i] = ascii_lower(s->text[i]);
    s->domain = slice_make(s->text, domain.len);
    list_push_back(&keys->signings, &s->node);
    return s;
}

static uint32_t answer_later(struct signing *s, enum err err)
{
    s->err = err;
    s->decided = true;
    loop_timer_set(s->keys->soon, 0);
    return s->number;
}

void keys_facts_add(struct buf *out, const struct keys_facts *facts)
{
    wire_strings_add(out, facts->from);
    wire_strings_add(out, facts->hash);
    wire_strings_add(out, facts->names);
    wire_strings_add(out, facts->fields);
}

bool keys_facts_read(struct slice bytes, struct keys_facts *facts)
{
    *facts = (struct keys_facts){0};
    return wire_strings_take(&bytes, &facts->from) && wire_strings_take(&bytes, &facts->hash) &&
           wire_strings_take(&bytes, &facts->names) && wire_strings_take(&bytes, &facts->fields);
}

uint32_t keys_sign(struct queue *q, const struct keys_facts *facts, keys_done *done, void *ctx)
{
    struct keys *keys = q->keys;
    AUTO_ARENA struct arena *arena = arena_new(NAME_ARENA_MAX);
    struct slice list = facts->from, from = SLICE_EMPTY;
    (void)!wire_strings_take(&list, &from);
    struct slice author = alabel_in(arena, address_domain_of(from)), domain = signing_domain(keys, author);
    bool forgotten = !domain.len && q->table && directory_is_domain(q->table->table, author);
    struct signing *s = signing_new(keys, forgotten ? author : domain, done, ctx);
    s->lack = forgotten ? LACK_ROW : LACK_USABLE;
    s->released = facts->released;
    AUTO_BUF struct buf selectors = buf_new(WIRE_TEXT_MAX);
    if (!domain.len)
        return answer_later(s, ERR_OK);
    if (!keys->known) /* auth is just starting: unsigned mail would be its fault, not the operator's wish */
        return answer_later(s, ERR_LATER);
    if (facts->hash.len == 0)
        s->lack = LACK_TEXT;
    if (facts->hash.len == 0 || usable(keys, domain, &selectors) == 0)
        return answer_later(s, ERR_OK);
    const struct wire_dkim_sign m = {.time = (uint64_t)clock_unix_s(),
                                     .domain = s->domain,
                                     .selectors = buf_slice(&selectors),
                                     .hash = facts->hash,
                                     .names = facts->names,
                                     .fields = facts->fields};
    s->call = wire_call(role_link(q->run, ROLE_AUTH), WIRE_DKIM_SIGN, &m, KEYS_SIGN_MS, on_signed, s);
    return s->number;
}

void keys_cancel(struct queue *q, uint32_t signing)
{
    LIST_EACH(&q->keys->signings, node)
    {
        struct signing *s = CONTAINER_OF(node, struct signing, node);
        if (s->number != signing)
            continue;
        s->cancelled = true; /* freed when it comes back */
        return;
    }
}

/* ---- for people ---- */

static void print_key(const struct key *key, bool json, bool first, struct buf *out)
{
    char since[CLOCK_TEXT_MAX], looked[CLOCK_TEXT_MAX] = "never";
    clock_rfc3339(key->since_ms, since);
    if (key->looked_ms)
        clock_rfc3339(key->looked_ms, looked);
    buf_addf(out,
             json ? "%s{\"domain\":\"%.*s\",\"selector\":\"%.*s\",\"algorithm\":\"%.*s\",\"signs\":%s,"
                    "\"state\":\"%s\",\"since\":\"%s\",\"looked\":\"%s\",\"dns_failing\":%s}"
                  : "%s%.*s %.*s %.*s  signs=%s  %s  since=%s  looked=%s  dns_failing=%s\n",
             json && !first ? "," : "", SLICE_ARG(key->domain), SLICE_ARG(key->selector),
             SLICE_ARG(key->algorithm), may_sign(key) ? "true" : "false", state_names[key->state], since,
             looked, key->failing ? "true" : "false");
}

void keys_print(struct queue *q, bool json, struct buf *out)
{
    if (json)
        buf_add_byte(out, '[');
    for (size_t i = 0; i < q->keys->all.len; i++)
        print_key(key_at(q->keys, i), json, i == 0, out);
    if (json)
        buf_add_str(out, "]\n");
    else if (q->keys->all.len == 0)
        buf_add_str(out, "no keys\n");
}

/* ---- */

struct keys *keys_new(struct queue *q)
{
    struct keys *keys = mem_zero(1, sizeof *keys);
    keys->q = q;
    keys->gathered = buf_new(LIST_MAX);
    keys->all = VEC_NEW(struct key, KEYS_MAX);
    keys->alarmed = map_new(KEYS_MAX);
    keys->timer = loop_timer_new(q->loop, turn, keys);
    keys->soon = loop_timer_new(q->loop, on_soon, keys);
    list_init(&keys->signings);
    return keys;
}

void keys_free(struct keys **keys)
{
    struct keys *k = *keys;
    struct slice domain;
    size_t at = 0;
    if (!k)
        return;
    drop_list(k, &k->all);
    LIST_EACH(&k->signings, node)
    {
        struct signing *s = CONTAINER_OF(node, struct signing, node);
        if (s->call)
            ipc_cancel(role_link(k->q->run, ROLE_AUTH), s->call);
        free(s);
    }
    for (void *alarm; (alarm = map_next(k->alarmed, &at, &domain)) != NULL;)
        free(alarm);
    map_free(&k->alarmed);
    loop_timer_free(&k->timer);
    loop_timer_free(&k->soon);
    buf_free(&k->gathered);
    free(k->list);
    free(k);
    *keys = NULL;
}
