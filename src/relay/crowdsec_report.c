/* crowdsec_report.c: our bans, told to CrowdSec's local API as alerts, under the login of a machine. Its
 * answers are a stranger's; all that is taken from them is a token. Called by crowdsec.c and role.c. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "relay/crowdsec_inside.h"
#include "settings/metrics.h"

#define GATHER_MS    200          /* reports of the same moment go together */
#define ANSWER_MAX   65536        /* bytes of an answer */
#define LOGIN_MAX    2048         /* bytes of what we send to log in */
#define BATCH_BYTES  (512u << 10) /* 50 alerts, each byte of them written as \u.... */
#define ATTEMPTS_MAX 3            /* with an alert the LAPI refuses */

struct report {
    struct list node;
    struct lapi_alert alert; /* its texts stand behind */
    unsigned attempts;
    char text[];
};

static void ask_next(struct crowdsec *c);

/* ---- what waits ---- */

static void drop_first(struct crowdsec *c, enum metric_login result)
{
    struct list *node = list_pop_front(&c->reports.waiting);
    if (!node)
        return;
    free(CONTAINER_OF(node, struct report, node));
    c->reports.count--;
    metric_add(METRIC_CROWDSEC_REPORTS, result, 1);
}

static struct report *report_new(const struct wire_ban_report *m, const struct netaddr_network *network)
{
    struct report *report = mem_zero(1, sizeof *report + m->scenario.len + m->message.len);
    memcpy(report->text, m->scenario.ptr, m->scenario.len);
    if (m->message.len)
        memcpy(report->text + m->scenario.len, m->message.ptr, m->message.len);
    report->alert = (struct lapi_alert){
        .scenario = slice_make(report->text, m->scenario.len),
        .message = slice_make(report->text + m->scenario.len, m->message.len),
        .network = *network,
        .events = m->events,
        .begun = m->begun,
        .ended = m->ended,
        .ban_seconds = m->simulated ? 0 : m->seconds, /* what we did not ban CrowdSec may decide about */
    };
    return report;
}

bool crowdsec_report(struct crowdsec *c, const struct wire_ban_report *m)
{
    struct crowdsec_reports *r = &c->reports;
    struct netaddr_network network;
    if (m->scenario.len == 0 || !netaddr_network_parse(m->address, &network))
        return false;
    if (!r->on)
        return true;
    if (r->count >= CROWDSEC_REPORTS_MAX && r->asked)
        return true; /* the oldest are just being told */
    if (r->count >= CROWDSEC_REPORTS_MAX)
        drop_first(c, METRIC_LOGIN_FAILED);
    list_push_back(&r->waiting, &report_new(m, &network)->node);
    r->count++;
    if (!r->call && r->count == 1)
        loop_timer_set(r->timer, GATHER_MS);
    return true;
}

/* ---- answers ---- */

static void note_failure(struct crowdsec *c, const char *why)
{
    struct crowdsec_reports *r = &c->reports;
    r->failures++;
    if (!r->told)
        log_warn("relay.crowdsec_report", LOG_STR("url", slice_of(c->url_text)), LOG_CSTR("why", why),
                 LOG_U64("waiting", r->count));
    r->told = true;
    loop_timer_set(r->timer, crowdsec_pause(c, r->failures));
}

static void on_login(void *ctx, const struct https_answer *answer)
{
    struct crowdsec *c = ctx;
    struct crowdsec_reports *r = &c->reports;
    r->call = NULL;
    r->renewed = answer->outcome == HTTPS_OK && lapi_token_read(answer->body, &r->token);
    if (r->renewed)
        ask_next(c);
    else if (answer->status == 401 || answer->status == 403)
        note_failure(c, "it refuses the machine's login");
    else
        note_failure(c, answer->outcome == HTTPS_OK ? "its answer to the login has no token" : answer->text);
}

/* An alert it will not have must not keep the others back. */
static void give_up(struct crowdsec *c)
{
    size_t count = c->reports.asked, at = 0;
    bool hopeless = false;
    LIST_EACH(&c->reports.waiting, node)
    {
        if (at++ < count)
            hopeless |= ++CONTAINER_OF(node, struct report, node)->attempts >= ATTEMPTS_MAX;
    }
    for (size_t i = 0; hopeless && i < count; i++)
        drop_first(c, METRIC_LOGIN_FAILED);
}

static void on_alerts(void *ctx, const struct https_answer *answer)
{
    struct crowdsec *c = ctx;
    struct crowdsec_reports *r = &c->reports;
    r->call = NULL;
    if (answer->outcome == HTTPS_OK) {
        for (; r->asked; r->asked--)
            drop_first(c, METRIC_LOGIN_OK);
        if (r->told)
            log_info("relay.crowdsec_report_again", LOG_STR("url", slice_of(c->url_text)));
        r->told = false;
        r->failures = 0;
        r->renewed = false;
        ask_next(c);
        return;
    }
    bool old = !r->renewed && (answer->status == 401 || answer->status == 403);
    if (answer->outcome == HTTPS_STATUS && !old)
        give_up(c);
    r->asked = 0;
    r->token.len = 0;
    if (old)
        ask_next(c);
    else
        note_failure(c, answer->text);
}

/* ---- requests ---- */

static void ask_login(struct crowdsec *c)
{
    struct crowdsec_reports *r = &c->reports;
    AUTO_BUF struct buf json = buf_new(LOGIN_MAX);
    lapi_login_write(&json, slice_make(r->machine.text, r->machine.len),
                     slice_make(r->password.text, r->password.len));
    const struct http_question question = {.path = "/v1/watchers/login",
                                           .post = buf_slice(&json),
                                           .max = ANSWER_MAX,
                                           .ms = CROWDSEC_ASK_MS,
                                           .done = on_login,
                                           .ctx = c};
    r->call = http_ask(&c->peer, &question);
    mem_wipe(json.data, json.len);
}

static void ask_alerts(struct crowdsec *c)
{
    struct crowdsec_reports *r = &c->reports;
    AUTO_BUF struct buf json = buf_new(BATCH_BYTES);
    struct lapi_alert alerts[CROWDSEC_BATCH_MAX];
    r->asked = 0;
    LIST_EACH(&r->waiting, node)
    {
        if (r->asked < CROWDSEC_BATCH_MAX)
            alerts[r->asked++] = CONTAINER_OF(node, struct report, node)->alert;
    }
    lapi_alerts_write(&json, alerts, r->asked);
    const struct http_question question = {.path = "/v1/alerts",
                                           .header = "Authorization: Bearer ",
                                           .secret = slice_make(r->token.text, r->token.len),
                                           .post = buf_slice(&json),
                                           .max = ANSWER_MAX,
                                           .ms = CROWDSEC_ASK_MS,
                                           .done = on_alerts,
                                           .ctx = c};
    r->call = http_ask(&c->peer, &question);
}

static void ask_next(struct crowdsec *c)
{
    if (!c->reports.on || !c->begun || c->reports.call || list_empty(&c->reports.waiting))
        return;
    if (c->reports.token.len)
        ask_alerts(c);
    else
        ask_login(c);
}

/* ---- life ---- */

static void on_timer(void *arg)
{
    ask_next(arg);
}

void crowdsec_reports_new(struct crowdsec *c)
{
    list_init(&c->reports.waiting);
    c->reports.timer = loop_timer_new(c->peer.loop, on_timer, c);
}

void crowdsec_reports_update(struct crowdsec *c, const struct role_file *machine_file)
{
    struct crowdsec_reports *r = &c->reports;
    bool named = c->on && c->settings->crowdsec.machine.len;
    http_call_cancel(&r->call);
    r->asked = 0;
    r->token.len = 0;
    r->failures = 0;
    r->told = r->renewed = false;
    r->on = named && machine_file && !machine_file->missing.len &&
            crowdsec_secret_read(&r->machine, c->settings->crowdsec.machine) &&
            crowdsec_secret_read(&r->password, machine_file->content);
    if (named && !r->on)
        log_error("relay.crowdsec_report", LOG_STR("file", machine_file ? machine_file->path : SLICE_EMPTY),
                  LOG_STR("why", machine_file && machine_file->missing.len
                                     ? machine_file->missing
                                     : SLICE("machine or its password is not to be read")));
    while (!r->on && r->count)
        drop_first(c, METRIC_LOGIN_FAILED);
    if (r->count)
        loop_timer_set(r->timer, GATHER_MS);
}

void crowdsec_reports_free(struct crowdsec *c)
{
    struct crowdsec_reports *r = &c->reports;
    http_call_cancel(&r->call);
    for (struct list *node; (node = list_pop_front(&r->waiting)) != NULL;)
        free(CONTAINER_OF(node, struct report, node));
    loop_timer_free(&r->timer);
}
