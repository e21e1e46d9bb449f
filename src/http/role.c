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

struct http *http_new(struct loop *loop, const struct settings *settings)
{
    struct http *http = mem_zero(1, sizeof *http);
    http->loop = loop;
    http->settings = settings;
    http->metrics = metrics_of_role;
    list_init(&http->sessions);
    return http;
}

static void close_listeners(struct http *http)
{
    for (size_t i = 0; i < http->listener_count; i++)
        listener_free(&http->listeners[i]);
    free(http->listeners);
    http->listeners = NULL;
    http->listener_count = 0;
}

void http_free(struct http *http)
{
    if (!http)
        return;
    close_listeners(http);
    http_sessions_end(http);
    tls_context_free(&http->tls);
    tls_context_free(&http->next_tls);
    free(http);
}

/* ---- TLS ---- */

static bool needs_tls(const struct settings *settings)
{
    for (size_t i = 0; i < settings->listeners.count; i++)
        if (settings->listeners.items[i].service == SETTINGS_METRICS &&
            settings->listeners.items[i].tls != SETTINGS_TLS_NONE)
            return true;
    return false;
}

typedef const struct role_file *file_of(struct role_run *run, enum sup_file kind, uint32_t index);

static enum err add_pair(struct role_run *run, file_of *file, uint32_t index, struct tls_pair *pair,
                         struct why *why)
{
    const struct role_file *cert = file(run, SUP_FILE_TLS_CERT, index),
                           *key = file(run, SUP_FILE_TLS_KEY, index);
    if (!cert || !key || cert->missing.len || key->missing.len)
        return err_set(why, ERR_BAD, "tls: certificate %u cannot be read", index);
    *pair = (struct tls_pair){.cert_pem = cert->content, .key_pem = key->content, .name = cert->path};
    return ERR_OK;
}

static enum err load_tls(struct role_run *run, const struct settings *settings, file_of *file,
                         struct tls_context **tls, struct why *why)
{
    size_t count = settings->tls.count;
    *tls = NULL;
    if (!needs_tls(settings) || count == 0)
        return ERR_OK;
    struct tls_pair *pairs = mem_zero(count, sizeof *pairs);
    enum err err = ERR_OK;
    for (uint32_t i = 0; err == ERR_OK && i < count; i++)
        err = add_pair(run, file, i, &pairs[i], why);
    if (err == ERR_OK)
        err = tls_context_new(pairs, count, tls, why);
    free(pairs);
    return err;
}

/* ---- the role's life ---- */

static void on_arrived(void *ctx, struct stream *stream, const struct listener_arrival *arrival)
{
    http_session_begin(ctx, stream, arrival);
}

static const struct listener_ops listener_ops = {.arrived = on_arrived};

static void open_listeners(struct http *http)
{
    const struct settings *settings = http->settings;
    close_listeners(http);
    http->listener_count = settings->listeners.count;
    http->listeners = mem_zero(http->listener_count, sizeof(struct listener *));
    for (uint32_t i = 0; i < http->listener_count; i++) {
        bool ours = settings->listeners.items[i].service == SETTINGS_METRICS;
        int fd = ours ? role_listener(http->run, i) : -1;
        if (fd >= 0)
            http->listeners[i] = listener_new(http->loop, fd, i, settings, http->tls, &listener_ops, http);
    }
}

static void *load(struct role_run *run, struct why *why)
{
    struct http *http = http_new(role_loop(run), role_settings(run));
    http->run = run;
    if (load_tls(run, http->settings, role_file, &http->tls, why) == ERR_OK)
        return http;
    http_free(http);
    return NULL;
}

static enum err start(void *ctx, struct why *why)
{
    (void)why;
    open_listeners(ctx);
    return ERR_OK;
}

static enum err prepare(void *ctx, struct why *why)
{
    struct http *http = ctx;
    tls_context_free(&http->next_tls);
    return load_tls(http->run, role_next_settings(http->run), role_next_file, &http->next_tls, why);
}

static void commit(void *ctx)
{
    struct http *http = ctx;
    http->settings = role_settings(http->run);
    tls_context_free(&http->tls);
    http->tls = http->next_tls;
    http->next_tls = NULL;
    open_listeners(http);
}

static void abandon(void *ctx)
{
    struct http *http = ctx;
    tls_context_free(&http->next_tls);
}

/* This role is told last: until here monitors could see the others go (/readyz). */
static void drain(void *ctx, uint64_t ms)
{
    struct http *http = ctx;
    (void)ms;
    http->draining = true;
    close_listeners(http);
    role_drained(http->run);
}

static void free_role(void *ctx)
{
    http_free(ctx);
}

static const struct role_dispatch dispatch[] = {
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
