/* crowdsec.c: decisions of CrowdSec, from its local API to auth. What comes over the network is read by
 * policy/lapi.c, bounded, and passed on only when the answer was whole. Called by role.c. */
#include "relay/crowdsec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "relay/crowdsec_inside.h"
#include "settings/metrics.h"

#define PACKET_MAX    58000u /* bytes of entries in one message to auth (WIRE_BLOB_MAX) */
#define PASS_MS       30000  /* auth's time for one of them */
#define ENTRY_MAX     400    /* bytes of one: an id, a network, a time, three words */
#define AWAY_FAILURES 2      /* in a row are worth a line: its database is locked for a moment now and then */
#define GAP_EXTRA_MS  60000  /* without an answer for ten intervals and this: everything is asked for again */

static uint64_t now_ms(const struct crowdsec *c)
{
    return loop_now_ms(c->peer.loop);
}

uint64_t crowdsec_pause(const struct crowdsec *c, unsigned failures)
{
    uint64_t interval = c->settings->crowdsec.interval;
    uint64_t most = interval > CROWDSEC_RETRY_MS ? interval : CROWDSEC_RETRY_MS;
    uint64_t pause = interval << (failures > 1 ? (failures < 12 ? failures - 1 : 11) : 0);
    return pause < most ? pause : most;
}

static void plan(struct crowdsec *c)
{
    loop_timer_set(c->timer, crowdsec_pause(c, c->failures));
}

/* ---- one line when it goes, one when it comes back ---- */

static void note_away(struct crowdsec *c, const char *why)
{
    c->failures++;
    c->full_needed = true; /* what changed since the last answer may be lost */
    metric_set(METRIC_CROWDSEC_UP, 0, 0);
    if (c->failures == 1)
        c->away_ms = now_ms(c);
    if (c->away || (c->connected && c->failures < AWAY_FAILURES))
        return;
    log_warn("relay.crowdsec_away", LOG_STR("url", slice_of(c->url_text)), LOG_CSTR("why", why));
    c->away = true;
}

static void note_good(struct crowdsec *c)
{
    metric_set(METRIC_CROWDSEC_UP, 0, 1);
    if (c->away)
        log_info("relay.crowdsec_back", LOG_STR("url", slice_of(c->url_text)),
                 LOG_U64("decisions", c->reader.decisions), LOG_MS("away", now_ms(c) - c->away_ms));
    else if (!c->connected)
        log_info("relay.crowdsec", LOG_STR("url", slice_of(c->url_text)),
                 LOG_U64("decisions", c->reader.decisions));
    if (c->reader.wide)
        log_warn("relay.crowdsec_too_wide", LOG_STR("url", slice_of(c->url_text)),
                 LOG_U64("networks", c->reader.wide));
    c->away = false;
    c->connected = true;
    c->failures = 0;
    c->good_ms = now_ms(c);
    if (c->full)
        c->full_ms = c->good_ms;
}

/* ---- to auth ---- */

static void finish(struct crowdsec *c)
{
    buf_free(&c->entries);
    plan(c);
}

/* As many whole entries as one message takes. */
static struct slice next_packet(const struct crowdsec *c)
{
    struct slice left = slice_from(buf_slice(&c->entries), c->passed), rest = left, entry;
    size_t len = 0;
    while (wire_strings_take(&rest, &entry)) {
        size_t so_far = left.len - rest.len;
        if (so_far > PACKET_MAX && len)
            break;
        len = so_far;
    }
    return slice_sub(left, 0, len);
}

static void on_passed(void *ctx, enum err err, struct ipc_packet *packet);

static void pass_next(struct crowdsec *c)
{
    struct slice packet = next_packet(c);
    bool last = c->passed + packet.len == c->entries.len;
    const struct wire_decisions m = {.flags = (c->full && c->passed == 0 ? DECISIONS_FIRST : 0u) |
                                              (c->full && last ? DECISIONS_LAST : 0u),
                                     .entries = packet};
    c->passed += packet.len;
    c->used = true;
    c->request = wire_call(c->auth, WIRE_DECISIONS, &m, PASS_MS, on_passed, c);
}

static void on_passed(void *ctx, enum err err, struct ipc_packet *packet)
{
    struct crowdsec *c = ctx;
    struct wire_result result;
    c->request = 0;
    if (wire_answer(err, packet, WIRE_RESULT, &result) || result.err != ERR_OK) {
        c->full_needed = true;
        finish(c);
    } else if (c->passed < c->entries.len) {
        pass_next(c);
    } else {
        finish(c);
    }
}

/* ---- from the LAPI ---- */

static bool is_in(struct slice word, const struct slice *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_ieq(word, list[i]))
            return true;
    return false;
}

static bool is_about(struct slice scenario, const struct slice *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_isearch(scenario, words[i]) >= 0)
            return true;
    return count == 0;
}

/* Without a list only "ban" is obeyed. */
static bool is_obeyed(const struct settings *s, struct slice type)
{
    return s->crowdsec.types.count ? is_in(type, s->crowdsec.types.items, s->crowdsec.types.count)
                                   : slice_ieq(type, SLICE("ban"));
}

/* What is gone is always told: auth knows whether it had it. */
static bool is_wanted(const struct crowdsec *c, const struct lapi_decision *d)
{
    const struct settings *s = c->settings;
    if (d->gone)
        return !c->full;
    return d->seconds && is_obeyed(s, d->type) &&
           (s->crowdsec.origins.count == 0 ||
            is_in(d->origin, s->crowdsec.origins.items, s->crowdsec.origins.count)) &&
           is_about(d->scenario, s->crowdsec.scenarios.items, s->crowdsec.scenarios.count);
}

/* "+" or "-", id, address or network, seconds, type, origin, scenario: see struct wire_decisions. */
static void on_decision(void *ctx, const struct lapi_decision *d)
{
    struct crowdsec *c = ctx;
    AUTO_BUF struct buf entry = buf_new(ENTRY_MAX);
    if (!is_wanted(c, d))
        return;
    buf_addf(&entry, "%s %llu %s", d->gone ? "-" : "+", (unsigned long long)d->id,
             netaddr_text(&d->network.base).text);
    if (d->network.bits != (d->network.base.family == NETADDR_V4 ? 32 : 128))
        buf_addf(&entry, "/%u", d->network.bits);
    buf_addf(&entry, " %llu %.*s %.*s %.*s", (unsigned long long)d->seconds, SLICE_ARG(d->type),
             SLICE_ARG(d->origin), SLICE_ARG(d->scenario));
    wire_strings_add(&c->entries, buf_slice(&entry));
}

static bool on_piece(void *ctx, struct slice bytes)
{
    struct crowdsec *c = ctx;
    return lapi_reader_feed(&c->reader, bytes) == ERR_OK && buf_ok(&c->entries);
}

static const char *flaw_of(struct crowdsec *c, const struct https_answer *answer)
{
    if (answer->status == 401 || answer->status == 403)
        return "it refuses the key";
    if (answer->outcome != HTTPS_OK)
        return answer->text;
    return lapi_reader_end(&c->reader) ? "the answer cannot be read" : NULL;
}

static void on_answer(void *ctx, const struct https_answer *answer)
{
    struct crowdsec *c = ctx;
    const char *flaw = flaw_of(c, answer);
    char status[40];
    c->call = NULL;
    if (flaw && answer->outcome == HTTPS_STATUS && flaw == answer->text) {
        (void)snprintf(status, sizeof status, "it answers with status %u", answer->status);
        flaw = status;
    }
    if (flaw) {
        note_away(c, flaw);
        finish(c);
        return;
    }
    note_good(c);
    c->passed = 0;
    if (c->full || c->entries.len)
        pass_next(c);
    else
        finish(c);
}

static bool is_full_due(const struct crowdsec *c)
{
    uint64_t gap = 10 * c->settings->crowdsec.interval + GAP_EXTRA_MS;
    return c->full_needed || now_ms(c) - c->full_ms > CROWDSEC_FULL_MS || now_ms(c) - c->good_ms > gap;
}

/* dedup=false: of several decisions about one address each is told, so that one that ends leaves the others.
 */
static void pull(void *arg)
{
    struct crowdsec *c = arg;
    if (!c->on || !c->begun || c->call || c->request || !ipc_link_is_up(c->auth))
        return;
    c->full = is_full_due(c);
    c->full_needed = false;
    c->entries = buf_new(CROWDSEC_ANSWER_MAX);
    lapi_reader_begin(&c->reader, on_decision, c);
    const struct http_question question = {
        .path = c->full ? "/v1/decisions/stream?startup=true&dedup=false&scopes=ip,range"
                        : "/v1/decisions/stream?dedup=false&scopes=ip,range",
        .header = "X-Api-Key: ",
        .secret = slice_make(c->key.text, c->key.len),
        .max = CROWDSEC_ANSWER_MAX,
        .piece = on_piece,
        .ms = CROWDSEC_ASK_MS,
        .done = on_answer,
        .ctx = c};
    c->call = http_ask(&c->peer, &question);
}

/* ---- settings ---- */

bool crowdsec_secret_read(struct crowdsec_secret *secret, struct slice content)
{
    struct slice text = slice_trim(content);
    secret->len = 0;
    if (text.len == 0 || text.len > sizeof secret->text)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_print(text.ptr[i]) || text.ptr[i] == ' ')
            return false;
    memcpy(secret->text, text.ptr, text.len);
    secret->len = text.len;
    return true;
}

static void add_file(struct hash_sum *sum, const struct role_file *file)
{
    hash_sum_add(sum, file ? file->content : SLICE_EMPTY);
    hash_sum_add(sum, file ? file->missing : SLICE_EMPTY);
}

static void add_list(struct hash_sum *sum, const struct slice *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        hash_sum_add(sum, items[i]);
        hash_sum_add(sum, SLICE("\0"));
    }
    hash_sum_add(sum, SLICE("\n"));
}

/* Is anything of ours another than before? A reload for other reasons disturbs nothing. */
static bool is_new(struct crowdsec *c, const struct settings *s, const struct role_file *key_file,
                   const struct role_file *machine_file)
{
    static const struct hash_key fixed = {3, 4}; /* finds changes; keeps no secret */
    uint8_t result[HASH_SUM_LEN];
    struct hash_sum sum;
    hash_sum_begin(&sum, &fixed);
    add_list(&sum, &s->crowdsec.url, 1);
    add_list(&sum, &s->crowdsec.machine, 1);
    add_list(&sum, s->crowdsec.types.items, s->crowdsec.types.count);
    add_list(&sum, s->crowdsec.origins.items, s->crowdsec.origins.count);
    add_list(&sum, s->crowdsec.scenarios.items, s->crowdsec.scenarios.count);
    add_file(&sum, key_file);
    add_file(&sum, machine_file);
    hash_sum_end(&sum, result);
    bool changed = memcmp(result, c->sum, sizeof result) != 0;
    memcpy(c->sum, result, sizeof result);
    return changed;
}

static void stop(struct crowdsec *c)
{
    http_call_cancel(&c->call);
    if (c->request)
        ipc_cancel(c->auth, c->request);
    c->request = 0;
    loop_timer_stop(c->timer);
    buf_free(&c->entries);
}

static bool read_url(struct crowdsec *c, struct slice url)
{
    struct why why;
    size_t len = url.len < sizeof c->url_text ? url.len : sizeof c->url_text - 1;
    if (url.len == 0)
        return false;
    memcpy(c->url_text, url.ptr, len);
    c->url_text[len] = '\0';
    if (http_url_parse(slice_make(c->url_text, len), &c->peer.url, &why)) {
        log_error("relay.crowdsec_off", LOG_STR("url", url), LOG_WHY(&why));
        return false;
    }
    return true;
}

static bool read_key(struct crowdsec *c, const struct role_file *file)
{
    if (file && !file->missing.len && crowdsec_secret_read(&c->key, file->content))
        return true;
    log_error(
        "relay.crowdsec_off", LOG_STR("file", file ? file->path : SLICE_EMPTY),
        LOG_STR("why", file && file->missing.len ? file->missing : SLICE("it holds no key of a bouncer")));
    return false;
}

/* Without a LAPI nothing is decided there any more. */
static void forget_decisions(struct crowdsec *c)
{
    c->full = true;
    c->passed = 0;
    if (c->used && ipc_link_is_up(c->auth))
        pass_next(c);
    c->used = false;
}

void crowdsec_update(struct crowdsec *c, const struct settings *settings, const struct role_file *key_file,
                     const struct role_file *machine_file)
{
    c->settings = settings;
    if (!is_new(c, settings, key_file, machine_file))
        return;
    stop(c);
    metric_set(METRIC_CROWDSEC_UP, 0, 0);
    c->away = c->connected = false;
    c->failures = 0;
    c->full_needed = true;
    c->on = read_url(c, settings->crowdsec.url) && read_key(c, key_file);
    crowdsec_reports_update(c, machine_file);
    if (c->on)
        loop_timer_set(c->timer, 0);
    else
        forget_decisions(c);
}

void crowdsec_begin(struct crowdsec *c)
{
    c->begun = true;
    loop_timer_set(c->timer, 0);
}

void crowdsec_auth_up(struct crowdsec *c)
{
    c->full_needed = true;
    if (c->on && !c->call && !c->request)
        loop_timer_set(c->timer, 0);
}

/* ---- life ---- */

struct crowdsec *crowdsec_new(struct loop *loop, struct https *https, struct ipc_link *dns,
                              struct ipc_link *auth)
{
    struct crowdsec *c = mem_zero(1, sizeof *c);
    *c = (struct crowdsec){
        .peer = {.loop = loop, .https = https, .dns = dns}, .auth = auth, .full_needed = true};
    c->timer = loop_timer_new(loop, pull, c);
    crowdsec_reports_new(c);
    return c;
}

void crowdsec_free(struct crowdsec **crowdsec)
{
    struct crowdsec *c = *crowdsec;
    if (!c)
        return;
    stop(c);
    crowdsec_reports_free(c);
    loop_timer_free(&c->timer);
    mem_wipe(c, sizeof *c);
    free(c);
    *crowdsec = NULL;
}
