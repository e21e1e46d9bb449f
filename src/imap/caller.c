/* caller.c: arrival and departure of a connection of any protocol of this role. Input: addresses of those who
 * connect. Called by the sessions. */
#include "imap/caller.h"

#include <string.h>

#include "base/clock.h"
#include "settings/compat.h"

static void make_id(char id[CALLER_ID + 1])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint8_t random[CALLER_ID];
    role_random(random, sizeof random);
    for (size_t i = 0; i < CALLER_ID; i++)
        id[i] = letters[random[i] % 32];
    id[CALLER_ID] = 0;
}

static const char *too_many(struct caller *c)
{
    struct imap *imap = c->imap;
    const struct settings *settings = role_settings(imap->run);
    if (imap->service.draining || (c->probe && imap->service.leaving))
        return "The server is going down";
    if (c->probe)
        return NULL;
    if (settings->limits.imap_sessions && imap->service.session_count > settings->limits.imap_sessions)
        return "Too many connections (imap_sessions)";
    const struct limit_key key = limit_key_address(settings, SETTINGS_IMAP, &c->client);
    uint64_t limit =
        service_is_exempt(&imap->service, &c->client) ? 0 : settings->limits.sessions_per_address;
    c->address = imap_user_add(imap->addresses, slice_make(key.bytes, sizeof key.bytes), limit);
    if (c->address)
        return NULL;
    const struct security_event event = {.kind = OFFENCE_LIMIT,
                                         .listener = c->listener,
                                         .client = &c->client,
                                         .session = slice_of(c->id),
                                         .detail = SLICE("sessions_per_address")};
    security_report(imap->service.security, &event);
    return "Too many connections from your address (sessions_per_address)";
}

const char *caller_enter(struct caller *c, const struct caller_ops *ops, struct imap *imap,
                         struct stream *stream, const struct listener_arrival *arrival)
{
    c->ops = ops;
    c->imap = imap;
    c->client = *stream_client(stream);
    c->client_text = netaddr_text(&c->client);
    c->listener = arrival->index;
    c->insecure_auth = arrival->settings->insecure_auth;
    c->starttls = arrival->settings->tls == SETTINGS_TLS_STARTTLS;
    struct slice host = arrival->settings->address.host;
    if (host.len > 0 && host.len < sizeof c->server_ip)
        memcpy(c->server_ip, host.ptr, host.len);
    c->probe = arrival->probe;
    c->trusted = arrival->trusted;
    c->started_ms = clock_mono_ms();
    make_id(c->id);
    service_enter(&imap->service, &c->node);
    metric_add(METRIC_CONNECTIONS, ops->metric, 1);
    metric_add(METRIC_SESSIONS, ops->metric, 1);
    const char *refusal = too_many(c);
    if (refusal)
        metric_add(METRIC_CONNECTIONS_REFUSED,
                   imap->service.leaving ? METRIC_REFUSED_DRAINING : METRIC_REFUSED_FULL, 1);
    return refusal;
}

void caller_logout(struct caller *c, struct grant *grant)
{
    struct imap *imap = c->imap;
    const struct wire_auth_logout logout = {.grant = *grant};
    enum err err =
        grant_is_none(grant) ? ERR_OK : wire_send(role_link(imap->run, ROLE_AUTH), WIRE_AUTH_LOGOUT, &logout);
    (void)err; /* auth away: it will not replay a grant nobody uses */
    *grant = (struct grant){0};
    imap_user_remove(imap->users, &c->user);
}

void caller_leave(struct caller *c)
{
    imap_user_remove(c->imap->addresses, &c->address);
    service_leave(&c->imap->service, &c->node);
    metric_sub(METRIC_SESSIONS, c->ops->metric, 1);
}

bool caller_count_account(struct caller *c, struct slice account)
{
    const struct settings *settings = role_settings(c->imap->run);
    uint64_t limit = c->trusted ? 0 : settings->limits.imap.connections_per_user_and_address;
    struct netaddr one = netaddr_client(&c->client);
    AUTO_BUF struct buf key = buf_new(WIRE_NAME_MAX + sizeof one.bytes);
    buf_add(&key, slice_make(one.bytes, sizeof one.bytes));
    buf_add(&key, account);
    c->user = imap_user_add(c->imap->users, buf_slice(&key), limit);
    return c->user != NULL;
}

bool caller_is_check(const struct caller *c, const struct grant *grant)
{
    return grant_is_none(grant) && (c->probe || settings_is_proxy(role_settings(c->imap->run), &c->client));
}

bool caller_is_stranger(const struct caller *c)
{
    return !c->probe && !c->trusted && compat_may_ban(role_settings(c->imap->run), &c->client);
}

void caller_report_abuse(const struct caller *c, const char *detail)
{
    const struct security_event event = {.kind = OFFENCE_PROTOCOL_ABUSE,
                                         .listener = c->listener,
                                         .client = &c->client,
                                         .session = slice_of(c->id),
                                         .detail = slice_of(detail)};
    if (!c->probe)
        security_report(c->imap->service.security, &event);
}
