/* role.c: the http role: listeners of service metrics. Parses HTTP from whoever reaches them (session.c);
 * holds the other roles' counters read-only and nothing else; started by proc/. */
#include "http/http.h"

#include <stdlib.h>

#include "base/mem.h"
#include "http/session.h"

static const struct metric_block *metrics_of_role(struct http *http, enum role role)
{
    return role_metrics(http->run, role);
}

static void on_arrived(void *ctx, struct stream *stream, const struct listener_arrival *arrival,
                       struct service_port *port)
{
    (void)port;
    http_session_begin(ctx, stream, arrival);
}

/* A drain waits for nobody: who asks for a page has it at once. */
static const struct service_ops service_ops = {
    .services = SERVICE_SET(SETTINGS_METRICS),
    .arrived = on_arrived,
};

struct http *http_new(struct loop *loop, const struct settings *settings)
{
    struct http *http = mem_zero(1, sizeof *http);
    http->loop = loop;
    http->settings = settings;
    http->metrics = metrics_of_role;
    service_init(&http->service, loop, &service_ops, http);
    return http;
}

void http_free(struct http *http)
{
    if (!http)
        return;
    service_free(&http->service);
    http_sessions_end(http);
    free(http);
}

/* ---- the role's life ---- */

static void *load(struct role_run *run, struct why *why)
{
    struct http *http = http_new(role_loop(run), role_settings(run));
    http->run = run;
    if (service_load(&http->service, run, why) == ERR_OK)
        return http;
    http_free(http);
    return NULL;
}

static enum err start(void *ctx, struct why *why)
{
    struct http *http = ctx;
    (void)why;
    service_open(&http->service);
    return ERR_OK;
}

static enum err prepare(void *ctx, struct why *why)
{
    struct http *http = ctx;
    return service_prepare(&http->service, why);
}

static void commit(void *ctx)
{
    struct http *http = ctx;
    http->settings = role_settings(http->run);
    service_commit(&http->service);
}

static void abandon(void *ctx)
{
    struct http *http = ctx;
    service_abort(&http->service);
}

/* This role is told last: until here monitors could see the others go (/readyz). */
static void drain(void *ctx, uint64_t ms)
{
    struct http *http = ctx;
    service_drain(&http->service, ms);
}

static void free_role(void *ctx)
{
    http_free(ctx);
}

/* No page asks for a login so far. */
static bool on_mechanisms(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    (void)ctx;
    (void)link;
    (void)packet;
    (void)message;
    return true;
}

static bool on_bans(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message)
{
    struct http *http = ctx;
    (void)link;
    (void)message;
    return service_take_bans(&http->service, packet);
}

static const struct role_dispatch dispatch[] = {
    {WIRE_AUTH_MECHANISMS, on_mechanisms},
    {WIRE_BAN_LIST, on_bans},
    {WIRE_NONE, NULL},
};

const struct role_ops http_role = {
    .role = ROLE_HTTP,
    .dispatch = dispatch,
    .load = load,
    .start = start,
    .prepare = prepare,
    .commit = commit,
    .abort = abandon,
    .drain = drain,
    .free = free_role,
};
