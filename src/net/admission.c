/* admission.c: who may come in, by address alone. Trusts the address (accept(), or a trusted proxy's header)
 * and what auth sends. Called by service.c. */
#include "net/admission.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/ban_list.h"
#include "settings/metrics.h"

#define NETWORKS_MAX  1000000u /* with a connection each; what is more is not counted */
#define NETWORK_V4    24u
#define NETWORK_V6    48u
#define FIRST_LIMITS  256u /* keys before the settings are known */
#define CROWDED(all)  ((all) / 4 * 3)
#define WAITING(most) ((most)*2) /* connections in all: those in handshakes have been counted nowhere yet */

/* ---- networks ---- */

/* Lives as long as one of its connections. */
struct network {
    struct service *service; /* NULL: it is gone */
    struct netaddr addr;
    uint64_t count;
};

static struct slice key_of(const struct network *network)
{
    return slice_make(&network->addr, sizeof network->addr);
}

/* Every byte of it is set, padding too: it is a key. */
static void set_network(struct netaddr *to, const struct netaddr *client)
{
    const struct netaddr prefix =
        netaddr_prefix(client, client->family == NETADDR_V4 ? NETWORK_V4 : NETWORK_V6);
    memset(to, 0, sizeof *to);
    to->family = prefix.family;
    memcpy(to->bytes, prefix.bytes, sizeof to->bytes);
}

static void leave_network(struct network *network)
{
    if (--network->count > 0)
        return;
    if (network->service)
        (void)map_remove(network->service->networks, key_of(network));
    free(network);
}

static struct network *network_of(const struct service *s, const struct netaddr *client)
{
    struct netaddr addr;
    set_network(&addr, client);
    return map_get(s->networks, slice_make(&addr, sizeof addr));
}

static struct network *enter_network(struct service *s, const struct netaddr *client)
{
    struct network *network = network_of(s, client);
    if (!network) {
        network = mem_zero(1, sizeof *network);
        network->service = s;
        set_network(&network->addr, client);
        if (!map_put(s->networks, key_of(network), network)) {
            free(network);
            return NULL;
        }
    }
    network->count++;
    return network;
}

/* ---- visits ---- */

/* Where a connection is counted, as long as it is open. */
struct visit {
    struct network *network;   /* may be NULL */
    struct service_port *port; /* of a stranger; else NULL */
};

static void on_closed(void *arg)
{
    struct visit *visit = arg;
    if (visit->network)
        leave_network(visit->network);
    for (struct service_port *port = visit->port; port; port = port->next)
        port->strangers--; /* a reload took it over into the next one */
    service_port_free(&visit->port);
    free(visit);
}

static void count_in(struct service *s, struct stream *stream, const struct listener_arrival *arrival,
                     bool stranger)
{
    struct visit *visit = mem_zero(1, sizeof *visit);
    visit->network = enter_network(s, stream_client(stream));
    visit->port = stranger ? service_port_at(s, arrival->index) : NULL;
    if (visit->port) {
        visit->port->refs++;
        visit->port->strangers++;
    }
    stream_on_close(stream, on_closed, visit);
}

/* ---- the questions ---- */

/* Per service: what it may have of a minute and at once, and how it says no. */
struct manners {
    uint64_t per_minute, most;
    const char *limit, *banned, *rate, *crowd, *full;
};

#define SMTP_BANNED "521 5.7.1 Mail from your address is not taken\r\n"
#define SMTP_RATE(limit)                                                                                     \
    "421 4.7.0 Too many connections in a minute from your address (" limit "), try again later\r\n"
#define SMTP_CROWD  "421 4.7.0 Too many connections from your network (network_share), try again later\r\n"
#define SMTP_FULL   "421 4.7.0 Too many connections to this port (listener connections), try again later\r\n"
#define IMAP_BANNED "* BYE Connections from your address are not taken\r\n"
#define IMAP_RATE                                                                                            \
    "* BYE [UNAVAILABLE] Too many connections in a minute from your address "                                \
    "(imap.connections_per_minute)\r\n"
#define IMAP_FULL   "* BYE [UNAVAILABLE] Too many connections to this port (listener connections)\r\n"
#define POP3_BANNED "-ERR [SYS/PERM] Connections from your address are not taken\r\n"
#define POP3_RATE                                                                                            \
    "-ERR [SYS/TEMP] Too many connections in a minute from your address "                                    \
    "(imap.connections_per_minute)\r\n"
#define POP3_FULL  "-ERR [SYS/TEMP] Too many connections to this port (listener connections)\r\n"
#define POP3_CROWD "-ERR [SYS/TEMP] Too many connections from your network (network_share)\r\n"
#define IMAP_CROWD "* BYE [UNAVAILABLE] Too many connections from your network (network_share)\r\n"

static struct manners manners_of(const struct settings *settings, enum settings_service service)
{
    switch (service) {
    case SETTINGS_MX:
        return (struct manners){.per_minute = settings->limits.mx.connections_per_minute,
                                .most = settings->limits.smtp_sessions,
                                .limit = "mx.connections_per_minute",
                                .banned = SMTP_BANNED,
                                .rate = SMTP_RATE("mx.connections_per_minute"),
                                .crowd = SMTP_CROWD,
                                .full = SMTP_FULL};
    case SETTINGS_SUBMISSION:
        return (struct manners){.per_minute = settings->limits.submission.connections_per_minute,
                                .most = settings->limits.smtp_sessions,
                                .limit = "submission.connections_per_minute",
                                .banned = SMTP_BANNED,
                                .rate = SMTP_RATE("submission.connections_per_minute"),
                                .crowd = SMTP_CROWD,
                                .full = SMTP_FULL};
    case SETTINGS_IMAP:
        return (struct manners){.per_minute = settings->limits.imap.connections_per_minute,
                                .most = settings->limits.imap_sessions,
                                .limit = "imap.connections_per_minute",
                                .banned = IMAP_BANNED,
                                .rate = IMAP_RATE,
                                .crowd = IMAP_CROWD,
                                .full = IMAP_FULL};
    case SETTINGS_POP3:
        return (struct manners){.per_minute = settings->limits.imap.connections_per_minute,
                                .most = settings->limits.imap_sessions,
                                .limit = "imap.connections_per_minute",
                                .banned = POP3_BANNED,
                                .rate = POP3_RATE,
                                .crowd = POP3_CROWD,
                                .full = POP3_FULL};
    case SETTINGS_METRICS:
        break;
    }
    return (struct manners){.most = settings->limits.http_sessions,
                            .limit = "",
                            .banned = "",
                            .rate = "",
                            .crowd = "",
                            .full = ""};
}

static void report(struct service *s, const struct listener_arrival *arrival, const struct netaddr *client,
                   enum offence kind, const char *detail)
{
    const struct security_event event = {
        .kind = kind, .listener = arrival->index, .client = client, .detail = slice_of(detail)};
    security_report(s->security, &event);
}

/* A place is left for this one, also in the share of its network. It is among those that wait already. */
static bool has_room(const struct service *s, const struct netaddr *client, uint64_t most)
{
    uint64_t all = s->session_count + service_waiting(s);
    if (most == 0 || all <= CROWDED(most))
        return true;
    const struct network *network = network_of(s, client);
    uint64_t count = network ? network->count : 0;
    return all <= WAITING(most) && count * 100 < most * s->settings->limits.network_share;
}

/* IMAP and POP3 share a limit, but not what is used of it. */
static bool take_turn(struct service *s, const struct manners *manners, enum settings_service service,
                      const struct netaddr *client)
{
    if (manners->per_minute == 0)
        return true;
    const struct limit_key key = limit_key_address(s->settings, service, client);
    return limits_take(s->limits, &key, LIMIT_CONNECTIONS, manners->per_minute, 1, loop_now_ms(s->loop),
                       NULL);
}

/* The listener itself takes no more strangers, from wherever: open at once, or of this minute. */
static bool is_full(struct service *s, const struct listener_arrival *arrival)
{
    const struct settings_listener *listener = arrival->settings;
    const struct service_port *port = service_port_at(s, arrival->index);
    if (listener->connections && port && port->strangers >= listener->connections)
        return true;
    const struct limit_key key = limit_key_name(s->limits, SETTINGS_METRICS, listener->name);
    return listener->connections_per_minute &&
           !limits_take(s->limits, &key, LIMIT_CONNECTIONS, listener->connections_per_minute, 1,
                        loop_now_ms(s->loop), NULL);
}

bool service_is_exempt(const struct service *s, const struct netaddr *client)
{
    return !s->settings || security_is_exempt(s->settings, client) ||
           (s->ops->is_gateway && s->ops->is_gateway(s->ctx, client));
}

/* Why a stranger is sent away; NULL: it is not. */
static const char *ask(struct service *s, const struct listener_arrival *arrival,
                       const struct netaddr *client)
{
    enum settings_service service = arrival->settings->service;
    const struct manners manners = manners_of(s->settings, service);
    if (ban_list_has(s->bans, client, (uint64_t)clock_unix_s(), NULL)) {
        metric_add(METRIC_CONNECTIONS_REFUSED, METRIC_REFUSED_BANNED, 1);
        report(s, arrival, client, OFFENCE_BANNED, "");
        return manners.banned;
    }
    if (!has_room(s, client, manners.most)) {
        metric_add(METRIC_CONNECTIONS_REFUSED, METRIC_REFUSED_NETWORK, 1);
        report(s, arrival, client, OFFENCE_LIMIT, "network_share");
        return manners.crowd;
    }
    if (!take_turn(s, &manners, service, client)) {
        metric_add(METRIC_CONNECTIONS_REFUSED, METRIC_REFUSED_RATE, 1);
        report(s, arrival, client, OFFENCE_LIMIT, manners.limit);
        return manners.rate;
    }
    if (is_full(s, arrival)) { /* no offence: others filled it */
        metric_add(METRIC_CONNECTIONS_REFUSED, METRIC_REFUSED_FULL, 1);
        return manners.full;
    }
    return NULL;
}

const char *admission_refusal(struct service *s, struct stream *stream,
                              const struct listener_arrival *arrival)
{
    const struct netaddr *client = stream_client(stream);
    bool stranger = !service_is_exempt(s, client);
    const char *refusal = stranger ? ask(s, arrival, client) : NULL;
    if (!refusal)
        count_in(s, stream, arrival, stranger);
    return refusal;
}

/* ---- life ---- */

bool service_take_bans(struct service *s, struct ipc_packet *packet)
{
    struct ban_list *list = NULL;
    struct why why = {""};
    if (packet->fd_count != 1 || ban_list_map(packet->fds[0], &list, &why) != ERR_OK)
        return false;
    ban_list_free(&s->bans);
    s->bans = list;
    return true;
}

void admission_init(struct service *s)
{
    s->limits = limits_new(FIRST_LIMITS);
    s->security = security_new(s->loop);
    s->networks = map_new(NETWORKS_MAX);
}

void admission_use(struct service *s, const struct settings *settings)
{
    if (!s->settings || s->settings->limits.addresses != settings->limits.addresses)
        limits_resize(&s->limits, settings->limits.addresses);
    s->settings = settings;
    security_use(s->security, s->run ? role_link(s->run, ROLE_AUTH) : NULL, settings);
}

void admission_free(struct service *s)
{
    size_t at = 0;
    for (struct network *network; (network = map_next(s->networks, &at, NULL));)
        network->service = NULL;
    map_free(&s->networks);
    limits_free(&s->limits);
    security_free(&s->security);
    ban_list_free(&s->bans);
}
