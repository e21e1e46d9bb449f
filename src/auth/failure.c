/* failure.c: what the log is told of a login. The network roles write the lines for fail2ban and CrowdSec and
 * count logins: they know listener and both addresses; what only auth knows is the reason. The name is what a
 * client typed: log.h makes it harmless. Called by exchange.c. */
#include "auth/context.h"
#include "base/clock.h"
#include "base/log.h"

static const char *service_name(const struct exchange *x)
{
    static const char *const names[] = {"submission", "imap", "http"};
    return names[x->service];
}

static uint64_t took_ms(const struct exchange *x)
{
    return (clock_mono_ns() - x->begun_ns) / 1000000;
}

void failure_log(const struct exchange *x)
{
    log_info("auth.failed", LOG_CSTR("service", service_name(x)), LOG_STR("session", x->session),
             LOG_STR("client", x->client), LOG_STR("user", x->user),
             LOG_CSTR("mechanism", x->mechanism->name), LOG_CSTR("why", x->why), LOG_MS("took", took_ms(x)));
}

void success_log(const struct exchange *x, struct slice account, bool remembered)
{
    log_debug("auth.login", LOG_CSTR("service", service_name(x)), LOG_STR("session", x->session),
              LOG_STR("client", x->client), LOG_STR("user", account),
              LOG_CSTR("mechanism", x->mechanism->name), LOG_BOOL("remembered", remembered),
              LOG_MS("took", took_ms(x)));
}
