/* failure.c: what the log and the metrics are told of a login. The network roles write the lines for fail2ban
 * and CrowdSec: they know listener and both addresses; what only auth knows is the reason. Logins are counted
 * here and nowhere else. The name is what a client typed: log.h makes it harmless. Called by exchange.c. */
#include "auth/context.h"
#include "base/clock.h"
#include "base/log.h"
#include "settings/metrics.h"

static const char *service_name(const struct exchange *x)
{
    static const char *const names[] = {"submission", "imap", "http", "pop3"};
    return names[x->service];
}

static uint64_t took_ms(const struct exchange *x)
{
    return (clock_mono_ns() - x->begun_ns) / 1000000;
}

void login_count(enum auth_service service, enum metric_login result)
{
    static const enum metric_service services[] = {METRIC_SUBMISSION, METRIC_IMAP, METRIC_HTTP, METRIC_POP3};
    metric_add(METRIC_LOGINS, METRIC_LOGIN_AT(services[service], result), 1);
}

static void count(const struct exchange *x, enum metric_login result)
{
    login_count(x->service, result);
    metric_observe(METRIC_LOGIN_SECONDS, 0, clock_mono_ns() - x->begun_ns);
}

void failure_log(const struct exchange *x)
{
    count(x, METRIC_LOGIN_FAILED);
    log_info("auth.failed", LOG_CSTR("service", service_name(x)), LOG_STR("session", x->session),
             LOG_STR("client", x->client), LOG_STR("user", x->user),
             LOG_CSTR("mechanism", x->mechanism->name), LOG_CSTR("why", x->why), LOG_MS("took", took_ms(x)));
}

void success_log(const struct exchange *x, struct slice account, bool remembered)
{
    count(x, METRIC_LOGIN_OK);
    log_debug("auth.login", LOG_CSTR("service", service_name(x)), LOG_STR("session", x->session),
              LOG_STR("client", x->client), LOG_STR("user", account),
              LOG_CSTR("mechanism", x->mechanism->name), LOG_BOOL("remembered", remembered),
              LOG_MS("took", took_ms(x)));
}
