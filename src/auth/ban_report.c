/* ban_report.c: who is told of a ban: the log (security.ban and security.unban: docs/door.md) and, through
 * relay, CrowdSec. Called by ban_role.c and ban_control.c. */
#include <stdio.h>
#include <string.h>

#include "auth/ban_inside.h"
#include "base/log.h"

void auth_bans_tell(const struct ban *ban)
{
    const struct bans_text text = bans_network_text(&ban->network);
    if (ban->source == BAN_HAND)
        log_info("security.ban", LOG_CSTR("client", text.text), LOG_CSTR("source", "hand"),
                 LOG_BOOL("simulated", false), LOG_CSTR("reason", ban->reason),
                 LOG_U64("seconds", ban->until == BANS_FOR_EVER ? 0 : ban->until - ban->made));
    else
        log_info("security.ban", LOG_CSTR("client", text.text), LOG_CSTR("source", "ours"),
                 LOG_BOOL("simulated", ban->simulated), LOG_CSTR("rule", bans_kind_name(ban->rule)),
                 LOG_U64("seconds", ban->until - ban->made), LOG_U64("number", ban->number),
                 LOG_U64("events", ban->total));
}

void auth_bans_tell_end(const struct ban *ban, const char *why)
{
    const struct bans_text text = bans_network_text(&ban->network);
    log_info("security.unban", LOG_CSTR("client", text.text),
             LOG_CSTR("source", ban->source == BAN_HAND ? "hand" : "ours"), LOG_CSTR("reason", why));
}

void auth_bans_report(struct auth_bans *b, const struct ban *ban)
{
    struct ipc_link *relay = role_link(b->auth->run, ROLE_RELAY);
    const struct bans_text text = bans_network_text(&ban->network);
    char scenario[64], message[200];
    int len = snprintf(scenario, sizeof scenario, "rockdove/%s", bans_kind_name(ban->rule));
    for (char *p = scenario; *p; p++)
        *p = *p == '_' ? '-' : *p;
    const struct ban_event *last = &ban->events[(ban->event_count - 1) % BANS_EVENTS];
    int said = snprintf(message, sizeof message, "%llu events, the last: %s %s",
                        (unsigned long long)ban->total, bans_kind_name(last->kind), last->where);
    const struct wire_ban_report m = {.simulated = ban->simulated,
                                      .events = ban->total < UINT32_MAX ? (uint32_t)ban->total : UINT32_MAX,
                                      .begun = ban->begun,
                                      .ended = ban->made,
                                      .seconds = ban->until - ban->made,
                                      .address = slice_of(text.text),
                                      .scenario = slice_make(scenario, len > 0 ? (size_t)len : 0),
                                      .message = slice_make(message, said > 0 ? strlen(message) : 0)};
    enum err lost = relay && ipc_link_is_up(relay) ? wire_send(relay, WIRE_BAN_REPORT, &m) : ERR_OK;
    (void)lost; /* relay counts what it reports; the ban stands anyway */
}
