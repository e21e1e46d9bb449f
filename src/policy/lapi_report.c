/* lapi_report.c: what CrowdSec's local API is told: a login, and alerts about addresses. The token it gives
 * is a stranger's text and goes into a header: only visible ASCII passes. Called by relay. */
#include <string.h>
#include <time.h>

#include "policy/lapi.h"

/* ---- the token ---- */

struct token_reading {
    struct lapi_token *token;
    bool wanted;
};

static bool is_plain(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_print(text.ptr[i]) || text.ptr[i] == ' ')
            return false;
    return text.len > 0;
}

static bool on_token_event(void *ctx, const struct json_event *event)
{
    struct token_reading *reading = ctx;
    if (event->depth != 1)
        return true;
    if (event->kind == JSON_KEY) {
        reading->wanted = slice_eq(event->text, SLICE("token"));
    } else if (event->kind == JSON_STRING && reading->wanted) {
        if (event->cut || event->text.len > sizeof reading->token->text || !is_plain(event->text))
            return false;
        memcpy(reading->token->text, event->text.ptr, event->text.len);
        reading->token->len = event->text.len;
    }
    return true;
}

bool lapi_token_read(struct slice answer, struct lapi_token *token)
{
    struct json_reader json;
    struct lapi_token found = {0};
    struct token_reading reading = {.token = &found};
    json_reader_begin(&json, on_token_event, &reading);
    if (json_reader_feed(&json, answer) || json_reader_end(&json) || found.len == 0)
        return false;
    *token = found;
    return true;
}

/* ---- what is sent ---- */

static void add_text(struct buf *json, const char *key, struct slice value)
{
    buf_addf(json, "\"%s\":", key);
    buf_add_json_string(json, value);
}

void lapi_login_write(struct buf *json, struct slice machine, struct slice password)
{
    buf_add_str(json, "{");
    add_text(json, "machine_id", machine);
    buf_add_str(json, ",");
    add_text(json, "password", password);
    buf_add_str(json, ",\"scenarios\":[]}");
}

/* RFC 3339, UTC. */
static void add_time(struct buf *json, const char *key, uint64_t unix_s)
{
    char text[40] = "";
    struct tm tm;
    time_t seconds = (time_t)unix_s;
    if (unix_s < UINT32_MAX && gmtime_r(&seconds, &tm))
        (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    add_text(json, key, slice_of(text));
    buf_add_str(json, ",");
}

static void add_source(struct buf *json, const struct netaddr_network *network, bool range)
{
    const struct netaddr_text address = netaddr_text(&network->base);
    char value[NETADDR_TEXT_MAX + 8];
    AUTO_BUF struct buf text = buf_new(sizeof value);
    buf_add_str(&text, address.text);
    if (range)
        buf_addf(&text, "/%u", network->bits);
    buf_addf(json, "\"scope\":\"%s\",", range ? "Range" : "Ip");
    add_text(json, "value", buf_slice(&text));
}

static void add_alert(struct buf *json, const struct lapi_alert *a)
{
    bool range = a->network.bits != (a->network.base.family == NETADDR_V4 ? 32 : 128);
    buf_addf(json, "{\"capacity\":0,\"leakspeed\":\"0s\",\"events\":[],\"events_count\":%u,", a->events);
    add_text(json, "scenario", a->scenario);
    buf_add_str(json, ",\"scenario_hash\":\"\",\"scenario_version\":\"\",\"simulated\":false,"
                      "\"remediation\":true,");
    add_text(json, "message", a->message);
    buf_add_str(json, ",");
    add_time(json, "start_at", a->begun);
    add_time(json, "stop_at", a->ended);
    buf_add_str(json, "\"source\":{");
    add_source(json, &a->network, range);
    if (!range)
        buf_addf(json, ",\"ip\":\"%s\"", netaddr_text(&a->network.base).text);
    else
        buf_addf(json, ",\"range\":\"%s/%u\"", netaddr_text(&a->network.base).text, a->network.bits);
    buf_add_str(json, "}");
    if (a->ban_seconds) {
        buf_addf(json, ",\"decisions\":[{\"duration\":\"%llus\",\"origin\":\"rockdove\",\"type\":\"ban\",",
                 (unsigned long long)a->ban_seconds);
        add_text(json, "scenario", a->scenario);
        buf_add_str(json, ",");
        add_source(json, &a->network, range);
        buf_add_str(json, "}]");
    }
    buf_add_str(json, "}");
}

void lapi_alerts_write(struct buf *json, const struct lapi_alert *alerts, size_t count)
{
    buf_add_str(json, "[");
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_add_str(json, ",");
        add_alert(json, &alerts[i]);
    }
    buf_add_str(json, "]");
}
