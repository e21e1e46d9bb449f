/* failure.c: what the log and the counters are told of a login. The name is what a client typed: log.h makes
 * it harmless. Called by exchange.c. */
#include "auth/context.h"
#include "base/clock.h"
#include "settings/compat.h"
#include "settings/metrics.h"

static const enum metric_service services[] = {
    [AUTH_SERVICE_SUBMISSION] = METRIC_SUBMISSION,
    [AUTH_SERVICE_IMAP] = METRIC_IMAP,
    [AUTH_SERVICE_HTTP] = METRIC_HTTP,
};

static const char *service_name(const struct exchange *x)
{
    static const char *const names[] = {"submission", "imap", "http"};
    return names[x->service];
}

static uint64_t took_ms(const struct exchange *x)
{
    return (clock_mono_ns() - x->begun_ns) / 1000000;
}

void login_count(const struct exchange *x, int result)
{
    metric_add(METRIC_LOGINS, METRIC_LOGIN_AT(services[x->service], (enum metric_login)result), 1);
    if (result == METRIC_LOGIN_OK)
        metric_observe(METRIC_LOGIN_SECONDS, 0, clock_mono_ns() - x->begun_ns);
}

static const struct settings_listener *first_listener(const struct settings *settings,
                                                      enum settings_service service)
{
    for (size_t i = 0; i < settings->listeners.count; i++)
        if (settings->listeners.items[i].service == service)
            return &settings->listeners.items[i];
    return NULL;
}

/* The line fail2ban and CrowdSec look for; false when there is none for this client. A trusted network's
 * clients are never reported. */
static bool compat_line(const struct exchange *x, struct compat_line *line)
{
    if (x->trusted || x->service == AUTH_SERVICE_HTTP)
        return false;
    if (x->service == AUTH_SERVICE_IMAP) {
        compat_imap_failed(line, x->client, SLICE("0.0.0.0"), x->user, slice_of(x->mechanism->name), 1,
                           (unsigned)(took_ms(x) / 1000), x->tls);
        return true;
    }
    const struct settings_listener *listener = first_listener(x->auth->settings, SETTINGS_SUBMISSION);
    if (listener)
        compat_sasl_failed(line, listener, x->client, SLICE_EMPTY, slice_of(x->mechanism->name),
                           "authentication failure");
    return listener != NULL;
}

void failure_log(const struct exchange *x)
{
    struct compat_line line;
    const struct log_field compat =
        compat_line(x, &line) ? LOG_COMPAT_LINE(&line) : (struct log_field){.kind = LOG_KIND_END};
    log_info("auth.failed", LOG_CSTR("service", service_name(x)), LOG_STR("session", x->session),
             LOG_STR("client", x->client), LOG_STR("user", x->user),
             LOG_CSTR("mechanism", x->mechanism->name), LOG_BOOL("tls", x->tls), LOG_CSTR("why", x->why),
             LOG_MS("took", took_ms(x)), compat);
}

void success_log(const struct exchange *x, struct slice account, bool remembered)
{
    log_info("auth.login", LOG_CSTR("service", service_name(x)), LOG_STR("session", x->session),
             LOG_STR("client", x->client), LOG_STR("user", account),
             LOG_CSTR("mechanism", x->mechanism->name), LOG_BOOL("tls", x->tls),
             LOG_BOOL("remembered", remembered), LOG_MS("took", took_ms(x)));
}
