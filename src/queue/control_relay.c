/* control_relay.c: what the relays may still take today, and mail that went past the queue. Called by
 * control.c with the administrator's words. */
#include "queue/control_relay.h"

#include "base/log.h"
#include "queue/print.h"
#include "queue/queue_clock.h"
#include "queue/relay_quota.h"
#include "queue/schedule.h"

#define COUNT_MAX 1000000

static const char *const tls_names[] = {"none", "opportunistic", "required", "verify"};

/* ---- list ---- */

struct relay_view {
    const struct settings_relay *relay;
    struct relay_quota_state quota;
    const char *state;
    uint64_t until_ms;
    uint32_t running, window;
};

static void look_at(struct queue *q, uint32_t index, struct relay_view *view)
{
    AUTO_BUF struct buf key = buf_new(WIRE_NAME_MAX);
    view->relay = settings_relay_at(q->settings, index);
    relay_quota_state(q, index, &view->quota);
    buf_addf(&key, "relay:%.*s", SLICE_ARG(view->relay->name));
    view->state = schedule_route_state(q, buf_slice(&key), &view->until_ms);
    schedule_route_load(q, buf_slice(&key), &view->running, &view->window);
    if (view->until_ms && q->clock)
        view->until_ms = queue_clock_wall(q->clock, view->until_ms);
}

static void add_text(const struct relay_view *v, struct buf *out)
{
    char until[CLOCK_TEXT_MAX], ends[CLOCK_TEXT_MAX];
    clock_rfc3339(v->until_ms, until);
    clock_rfc3339(v->quota.ends_ms, ends);
    print_add_plain(out, v->relay->name);
    buf_add_str(out, "  ");
    print_add_plain(out, v->relay->host);
    buf_addf(out, ":%llu  tls=%s  sending=%u of %u", (unsigned long long)v->relay->port,
             tls_names[v->relay->tls], v->running, v->window);
    if (v->quota.limit)
        buf_addf(out, "  used=%llu of %llu (%llu reserved) until %s", (unsigned long long)v->quota.used,
                 (unsigned long long)v->quota.limit, (unsigned long long)v->quota.reserve, ends);
    buf_addf(out, "  %s", *v->state ? v->state : "ok");
    if (v->until_ms)
        buf_addf(out, " until %s", until);
    buf_add_byte(out, '\n');
}

static void add_json(const struct relay_view *v, struct buf *out)
{
    buf_add_str(out, "{\"name\":");
    buf_add_json_string(out, v->relay->name);
    print_add_member(out, "host", v->relay->host);
    print_add_number(out, "port", v->relay->port);
    print_add_member(out, "tls", slice_of(tls_names[v->relay->tls]));
    print_add_number(out, "sending", v->running);
    print_add_number(out, "window", v->window);
    print_add_number(out, "daily", v->quota.limit);
    print_add_number(out, "reserve", v->quota.reserve);
    print_add_number(out, "used", v->quota.used);
    print_add_time(out, "ends", v->quota.ends_ms);
    print_add_member(out, "state", slice_of(*v->state ? v->state : "ok"));
    print_add_time(out, "until", v->until_ms);
    buf_add_byte(out, '}');
}

static uint32_t list(struct queue *q, bool json, struct buf *out)
{
    bool any = false;
    for (uint32_t i = 0; i <= q->settings->relays.count; i++) {
        struct relay_view view = {0};
        if (!settings_relay_at(q->settings, i))
            continue; /* no default relay */
        look_at(q, i, &view);
        if (json)
            buf_add_str(out, any ? "," : "[");
        if (json)
            add_json(&view, out);
        else
            add_text(&view, out);
        any = true;
    }
    if (json)
        buf_add_str(out, any ? "]\n" : "[]\n");
    else if (!any)
        buf_add_str(out, "no relay is configured: mail goes straight to the servers of its recipients\n");
    return 0;
}

/* ---- count ---- */

static uint32_t count_past(struct queue *q, struct slice name, struct slice number, bool json,
                           struct buf *out)
{
    uint64_t n;
    int index = settings_relay_by_name(q->settings, name);
    if (!slice_u64(number, COUNT_MAX, &n)) {
        buf_addf(out, "usage: relay count NAME N (N is at most %d)\n", COUNT_MAX);
        return 2;
    }
    if (index < 0 || !relay_quota_count(q, (uint32_t)index, n)) {
        buf_add_str(out,
                    index < 0 ? "there is no relay of this name\n" : "this relay has no limit (daily:)\n");
        return 1;
    }
    struct relay_quota_state state = {0};
    relay_quota_state(q, (uint32_t)index, &state);
    log_info("queue.relay-count", LOG_STR("relay", name), LOG_U64("count", n), LOG_U64("used", state.used));
    buf_addf(out, json ? "{\"used\":%llu,\"daily\":%llu}\n" : "used today: %llu of %llu\n",
             (unsigned long long)state.used, (unsigned long long)state.limit);
    return 0;
}

uint32_t control_relay(struct queue *q, const struct slice *arguments, size_t count, bool json,
                       struct buf *out)
{
    if (count == 1 && slice_eq(arguments[0], SLICE("list")))
        return list(q, json, out);
    if (count == 3 && slice_eq(arguments[0], SLICE("count")))
        return count_past(q, arguments[1], arguments[2], json, out);
    buf_add_str(out, "usage: relay list | test [NAME] [--to ADDRESS] | count NAME N\n");
    return 2;
}
