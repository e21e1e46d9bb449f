/* role.c: the first file to read: every process of the server, what it is exposed to, what it may still do,
 * whom it may talk to, what it is handed. Everything else follows from this table. */
#include "proc/roles.h"

#include <string.h>

#include "auth/auth.h"
#include "dns/dns.h"
#include "http/http.h"
#include "imap/imap.h"
#include "queue/queue.h"
#include "relay/relay.h"
#include "scan/scan.h"
#include "smtp/smtp.h"
#include "store/store.h"

#define R(role)    (1u << ROLE_##role)
#define S(service) (1u << SETTINGS_##service)
#define F(file)    (1u << SUP_FILE_##file)

static const struct proc_role rows[ROLE_COUNT] = {
    [ROLE_DNS] = {.ops = &dns_role,
                  .profile = PROFILE_OUT,
                  .peers = R(SMTP) | R(SCAN) | R(RELAY),
                  .files = F(TRUST_ANCHOR) | F(RESOLV_CONF),
                  .drain_stage = 2,
                  .hostile = "DNS replies"},
    [ROLE_SCAN] = {.ops = &scan_role,
                   .profile = PROFILE_FILES,
                   .folder = "scan",
                   .peers = R(STORE) | R(DNS),
                   .drain_stage = 2,
                   .hostile = "whole messages"},
    [ROLE_STORE] = {.ops = &store_role,
                    .profile = PROFILE_FILES,
                    .folder = "store",
                    .peers = R(SCAN) | R(AUTH) | R(QUEUE) | R(SMTP) | R(IMAP),
                    .files = F(QUOTAS),
                    .drain_stage = 2,
                    .hostile = "nothing raw: typed messages, bodies as opaque bytes"},
    [ROLE_AUTH] = {.ops = &auth_role,
                   .profile = PROFILE_FILES,
                   .folder = "auth",
                   .peers = R(STORE) | R(QUEUE) | R(SMTP) | R(IMAP) | R(HTTP) | R(RELAY),
                   .files = F(ACCOUNTS) | F(DKIM_KEY) | F(SRS_SECRET) | F(OAUTH_KEYS),
                   .drain_stage = 2,
                   .hostile = "SASL messages"},
    [ROLE_QUEUE] = {.ops = &queue_role,
                    .profile = PROFILE_FILES,
                    .folder = "queue",
                    .peers = R(STORE) | R(AUTH) | R(SMTP) | R(RELAY),
                    .files = F(ALIASES) | F(REGEXP) | F(QUOTAS) | F(RELAY_MAP) | F(CONTROL_SOCKET),
                    .drain_stage = 1,
                    .hostile = "nothing raw: typed messages"},
    [ROLE_RELAY] = {.ops = &relay_role,
                    .profile = PROFILE_OUT,
                    .peers = R(QUEUE) | R(DNS) | R(AUTH),
                    .files = F(RELAY_SECRET) | F(RELAY_MAP_SECRET) | F(CROWDSEC_KEY) | F(CROWDSEC_MACHINE) |
                             F(OAUTH_SECRET) | F(CA_BUNDLE),
                    .drain_stage = 2,
                    .hostile = "SMTP and HTTPS replies of other servers"},
    [ROLE_SMTP] = {.ops = &smtp_role,
                   .profile = PROFILE_EDGE,
                   .peers = R(STORE) | R(AUTH) | R(QUEUE) | R(DNS),
                   .services = S(MX) | S(SUBMISSION),
                   .files = F(TLS_CERT) | F(TLS_KEY),
                   .drain_stage = 0,
                   .hostile = "SMTP, PROXY headers and TLS from anyone"},
    [ROLE_IMAP] = {.ops = &imap_role,
                   .profile = PROFILE_EDGE,
                   .peers = R(STORE) | R(AUTH),
                   .services = S(IMAP) | S(POP3),
                   .files = F(TLS_CERT) | F(TLS_KEY),
                   .drain_stage = 0,
                   .hostile = "IMAP, PROXY headers and TLS from anyone"},
    [ROLE_HTTP] = {.ops = &http_role,
                   .profile = PROFILE_EDGE,
                   .peers = R(AUTH),
                   .services = S(METRICS),
                   .files = F(TLS_CERT) | F(TLS_KEY),
                   .drain_stage = 2,
                   .hostile = "HTTP from anyone who reaches the metrics listener"},
};

static const char *const titles[ROLE_COUNT] = {
    [ROLE_DNS] = "rockdove: dns",   [ROLE_SCAN] = "rockdove: scan",   [ROLE_STORE] = "rockdove: store",
    [ROLE_AUTH] = "rockdove: auth", [ROLE_QUEUE] = "rockdove: queue", [ROLE_RELAY] = "rockdove: relay",
    [ROLE_SMTP] = "rockdove: smtp", [ROLE_IMAP] = "rockdove: imap",   [ROLE_HTTP] = "rockdove: http",
};

const struct proc_role *proc_role(enum role role)
{
    return role < ROLE_COUNT && rows[role].ops ? &rows[role] : NULL;
}

const char *proc_role_title(enum role role)
{
    return titles[role];
}

enum role proc_role_by_title(const char *title)
{
    for (int r = 0; r < ROLE_COUNT; r++)
        if (titles[r] && strcmp(titles[r], title) == 0)
            return (enum role)r;
    return ROLE_COUNT;
}

const char *profile_name(enum profile profile)
{
    static const char *const names[PROFILE_COUNT] = {"pure", "edge", "files", "out"};
    return profile < PROFILE_COUNT ? names[profile] : "unknown";
}

bool proc_role_serves(enum role role, const struct settings *settings, uint32_t listener)
{
    return listener < settings->listeners.count &&
           rows[role].services & 1u << settings->listeners.items[listener].service;
}
