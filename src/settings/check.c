/* check.c: what no single value shows: keys that do not fit each other or the world. Called by the
 * configuration child and by `rockdove check`. */
#include <string.h>

#include "grammar/domain.h"
#include "settings/check_inside.h"

/* A network with fewer fixed bits than these is so wide that strangers behind address translation may be in
 * it. */
#define WIDE_V4_BITS (96 + 16)
#define WIDE_V6_BITS 32

/* Problems of a listener stand at its key, or at the listener where the key is left to its default. */
static const void *place(const struct check *c, const void *key, const struct settings_listener *l)
{
    return conf_line(c->origin, key) ? key : l;
}

static bool needs_cert(const struct settings_listener *l)
{
    return l->tls != SETTINGS_TLS_NONE;
}

static void check_one_listener(struct check *c, const struct settings_listener *l)
{
    if (needs_cert(l) && c->settings->tls.count == 0)
        PROBLEM(c, PROBLEM_ERROR, l, "add tls: [ { cert: …, key: … } ], or write tls: none here",
                "listener %.*s: TLS needs a certificate", SLICE_ARG(l->name));
    if (l->service == SETTINGS_METRICS && l->tls == SETTINGS_TLS_STARTTLS)
        PROBLEM(c, PROBLEM_ERROR, place(c, &l->tls, l), "write tls: none or tls: implicit",
                "listener %.*s: HTTP has no STARTTLS", SLICE_ARG(l->name));
    if (l->proxy == SETTINGS_PROXY_REQUIRED && c->settings->proxy_trusted_networks.count == 0)
        PROBLEM(c, PROBLEM_ERROR, &l->proxy, "add proxy_trusted_networks: [ the proxy's network ]",
                "listener %.*s: proxy: required, but nobody may send a PROXY header", SLICE_ARG(l->name));
    if (l->proxy == SETTINGS_PROXY_OPTIONAL && c->settings->proxy_trusted_networks.count == 0)
        PROBLEM(c, PROBLEM_WARNING, &l->proxy, "add proxy_trusted_networks: [ the proxy's network ]",
                "listener %.*s: proxy: optional has no effect without proxy_trusted_networks",
                SLICE_ARG(l->name));
    if (l->insecure_auth)
        PROBLEM(c, PROBLEM_WARNING, &l->insecure_auth, "remove insecure_auth but for tests",
                "listener %.*s: passwords may travel without TLS", SLICE_ARG(l->name));
    bool has_logins =
        l->service == SETTINGS_SUBMISSION || l->service == SETTINGS_IMAP || l->service == SETTINGS_POP3;
    if (has_logins && l->tls == SETTINGS_TLS_NONE && !l->insecure_auth)
        PROBLEM(c, PROBLEM_ERROR, l, "write tls: implicit or tls: starttls",
                "listener %.*s: without TLS nobody can log in there", SLICE_ARG(l->name));
    if (c->probe && c->probe->has_ipv6 && l->address.is_ip && !l->address.is_v4 &&
        !c->probe->has_ipv6(c->probe->arg))
        PROBLEM(c, PROBLEM_WARNING, &l->address, "nothing to do where only IPv4 is wanted",
                "listener %.*s: the kernel has no IPv6; [::] becomes 0.0.0.0", SLICE_ARG(l->name));
}

static bool is_any(const struct conf_address *a)
{
    static const uint8_t zero[16];
    return a->is_v4 ? memcmp(a->ip + 12, zero, 4) == 0 : memcmp(a->ip, zero, 16) == 0;
}

/* "[::]" takes the port of every address, "0.0.0.0" that of every IPv4 address. */
static bool collide(const struct conf_address *a, const struct conf_address *b)
{
    if (a->port != b->port)
        return false;
    if (memcmp(a->ip, b->ip, sizeof a->ip) == 0)
        return true;
    return (is_any(a) && (!a->is_v4 || b->is_v4)) || (is_any(b) && (!b->is_v4 || a->is_v4));
}

static void check_listeners(struct check *c)
{
    const struct settings *s = c->settings;
    bool takes_mail = false;
    for (size_t i = 0; i < s->listeners.count; i++) {
        const struct settings_listener *l = &s->listeners.items[i];
        check_one_listener(c, l);
        takes_mail |= l->service == SETTINGS_MX;
        for (size_t j = 0; j < i; j++) {
            const struct settings_listener *other = &s->listeners.items[j];
            if (slice_eq(l->name, other->name))
                PROBLEM(c, PROBLEM_ERROR, &l->name, "give each listener its own name",
                        "two listeners are called %.*s", SLICE_ARG(l->name));
            if (collide(&l->address, &other->address))
                PROBLEM(c, PROBLEM_ERROR, &l->address, "use another port",
                        "listeners %.*s and %.*s both want %.*s", SLICE_ARG(other->name), SLICE_ARG(l->name),
                        SLICE_ARG(l->address.text));
        }
    }
    if (!takes_mail && s->listeners.count)
        PROBLEM(c, PROBLEM_WARNING, &s->listeners, "add a listener with service: mx",
                "no listener takes mail from outside");
}

static void check_networks(struct check *c)
{
    const struct settings *s = c->settings;
    for (size_t i = 0; i < s->proxy_trusted_networks.count; i++) {
        const struct conf_network *n = &s->proxy_trusted_networks.items[i];
        static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
        bool v4 = memcmp(n->ip, mapped, sizeof mapped) == 0;
        if (n->bits < (v4 ? WIDE_V4_BITS : WIDE_V6_BITS))
            PROBLEM(c, PROBLEM_WARNING, n, "name only the proxies themselves",
                    "proxy_trusted_networks[%zu] is wide: where strangers reach us through an address of it "
                    "(address "
                    "translation, a shared network), they can claim any address as theirs",
                    i + 1);
    }
}

void settings_check_file(struct check *c, const void *field, struct slice path, const char *what)
{
    if (path.len == 0 || !c->probe || !c->probe->unreadable)
        return;
    const char *reason = c->probe->unreadable(c->probe->arg, path);
    if (reason)
        PROBLEM(c, PROBLEM_ERROR, field,
                "make it, correct the path, or give whoever starts rockdove the right to read it",
                "%s %.*s: %s", what, SLICE_ARG(path), reason);
}

static void check_files(struct check *c)
{
    const struct settings *s = c->settings;
    for (size_t i = 0; i < s->tls.count; i++) {
        settings_check_file(c, &s->tls.items[i].cert, s->tls.items[i].cert, "certificate");
        settings_check_file(c, &s->tls.items[i].key, s->tls.items[i].key, "key");
    }
    for (size_t i = 0; i < s->accounts.count; i++)
        settings_check_file(c, &s->accounts.items[i].file, s->accounts.items[i].file, "accounts");
    for (size_t i = 0; i < s->aliases.count; i++)
        settings_check_file(c, &s->aliases.items[i].file, s->aliases.items[i].file, "aliases");
    for (size_t i = 0; i < s->quota.files.count; i++)
        settings_check_file(c, &s->quota.files.items[i], s->quota.files.items[i], "quotas");
    for (size_t i = 0; i < s->regexp_aliases.count; i++)
        settings_check_file(c, &s->regexp_aliases.items[i].file, s->regexp_aliases.items[i].file, "aliases");
    for (size_t i = 0; i < s->dkim.count; i++)
        settings_check_file(c, &s->dkim.items[i].key_file, s->dkim.items[i].key_file, "DKIM key");
    settings_check_file(c, &s->srs.secret_file, s->srs.secret_file, "SRS secret");
    for (size_t i = 0; i <= s->relays.count; i++) {
        const struct settings_relay *relay = settings_relay_at(s, i);
        if (relay)
            settings_check_file(c, &relay->sasl_file, relay->sasl_file, "relay's password");
    }
    for (size_t i = 0; i < s->relay_maps.count; i++) {
        settings_check_file(c, &s->relay_maps.items[i].file, s->relay_maps.items[i].file, "relay map");
        settings_check_file(c, &s->relay_maps.items[i].sasl_file, s->relay_maps.items[i].sasl_file,
                            "relay map's passwords");
    }
    settings_check_file(c, &s->resolver.trust_anchor, s->resolver.trust_anchor, "trust anchor");
}

static bool is_time_of_day(struct slice s)
{
    uint64_t hour, minute;
    return s.len == 5 && s.ptr[2] == ':' && slice_u64(slice_sub(s, 0, 2), 23, &hour) &&
           slice_u64(slice_from(s, 3), 59, &minute);
}

static bool is_ip(struct slice text, enum netaddr_family family)
{
    struct netaddr addr;
    return netaddr_parse(text, &addr) && addr.family == family;
}

/* `next` of `from` leads back to it. */
static bool goes_in_circles(const struct settings *s, const struct settings_relay *from)
{
    const struct settings_relay *relay = from;
    for (size_t steps = 0; relay && steps <= s->relays.count + 1; steps++) {
        int next = settings_relay_by_name(s, relay->next);
        relay = next < 0 ? NULL : settings_relay_at(s, (size_t)next);
        if (relay == from)
            return true;
    }
    return false;
}

static void check_relay(struct check *c, size_t index, const struct settings_relay *relay)
{
    const struct settings *s = c->settings;
    if (!relay->name.len)
        PROBLEM(c, PROBLEM_ERROR, relay, "add name: …", "a relay in relays has no name");
    else if (settings_relay_by_name(s, relay->name) != (int)index)
        PROBLEM(c, PROBLEM_ERROR, relay, "give each relay its own name", "two relays are called %.*s",
                SLICE_ARG(relay->name));
    if (!relay->host.len)
        PROBLEM(c, PROBLEM_ERROR, relay, "add host: …", "relay %.*s has no host", SLICE_ARG(relay->name));
    if (!is_time_of_day(relay->day_begins))
        PROBLEM(c, PROBLEM_ERROR, &relay->day_begins, "write a time in UTC such as \"22:00\", in quotes",
                "relay %.*s: day_begins is no time of day", SLICE_ARG(relay->name));
    if (relay->reserve && (!relay->daily || relay->reserve >= relay->daily || !relay->reserve_senders.count))
        PROBLEM(c, PROBLEM_ERROR, &relay->reserve, "write daily larger than reserve, and reserve_senders",
                "relay %.*s: a reserve is a part of daily, for reserve_senders", SLICE_ARG(relay->name));
    if (relay->next.len && !slice_eq(relay->next, SLICE("direct")) &&
        settings_relay_by_name(s, relay->next) < 0)
        PROBLEM(c, PROBLEM_ERROR, &relay->next, "name a relay of relays, or write direct",
                "relay %.*s: no relay is called %.*s", SLICE_ARG(relay->name), SLICE_ARG(relay->next));
    if (goes_in_circles(s, relay))
        PROBLEM(c, PROBLEM_ERROR, &relay->next, "let the last one have no next",
                "relay %.*s: the chain of next leads back to it", SLICE_ARG(relay->name));
    if (relay->sasl_file.len && relay->tls <= SETTINGS_RELAY_OPPORTUNISTIC && !relay->insecure_auth)
        PROBLEM(c, PROBLEM_WARNING, &relay->tls, "write tls: required or tls: verify",
                "relay %.*s: without TLS we do not log in there", SLICE_ARG(relay->name));
    if (relay->insecure_auth)
        PROBLEM(c, PROBLEM_WARNING, &relay->insecure_auth, "remove insecure_auth but for tests",
                "relay %.*s: the password may travel without TLS", SLICE_ARG(relay->name));
}

static void check_outbound(struct check *c)
{
    const struct settings *s = c->settings;
    for (size_t i = 0; i < s->relay_maps.count; i++) {
        const struct settings_relay_map *map = &s->relay_maps.items[i];
        if (map->sasl_file.len && (map->tls == SETTINGS_MAP_NONE || map->tls == SETTINGS_MAP_OPPORTUNISTIC))
            PROBLEM(c, PROBLEM_WARNING, &map->tls, "write tls: required, tls: verify, or nothing",
                    "relay map %.*s: without TLS we do not log in there", SLICE_ARG(map->file));
    }
    for (size_t i = 0; i <= s->relays.count; i++) {
        const struct settings_relay *relay = settings_relay_at(s, i);
        if (relay)
            check_relay(c, i, relay);
    }
    if (s->direct.source_ipv4.len && !is_ip(s->direct.source_ipv4, NETADDR_V4))
        PROBLEM(c, PROBLEM_ERROR, &s->direct.source_ipv4, "write an address such as 192.0.2.1",
                "direct.source_ipv4 is no IPv4 address");
    if (s->direct.source_ipv6.len && !is_ip(s->direct.source_ipv6, NETADDR_V6))
        PROBLEM(c, PROBLEM_ERROR, &s->direct.source_ipv6, "write an address such as 2001:db8::1",
                "direct.source_ipv6 is no IPv6 address");
    if (s->direct.ehlo.len && !domain_is_ldh(s->direct.ehlo))
        PROBLEM(c, PROBLEM_ERROR, &s->direct.ehlo, "write a name such as mail.example.org",
                "direct.ehlo is no host name");
    if (!s->srs.domain.len != !s->srs.secret_file.len)
        PROBLEM(c, PROBLEM_ERROR, &s->srs.domain, "write srs: { domain: …, secret_file: … }",
                "srs needs both its domain and its secret_file");
    if (s->queue.retry_first > s->queue.retry_max)
        PROBLEM(c, PROBLEM_ERROR, &s->queue.retry_first, "make retry_max the longer one",
                "queue.retry_first is longer than queue.retry_max");
}

static void check_names(struct check *c)
{
    const struct settings *s = c->settings;
    if (s->hostname.len && !domain_is_ldh(s->hostname))
        PROBLEM(c, PROBLEM_ERROR, &s->hostname, "write a name such as mail.example.org",
                "hostname is no host name");
    else if (s->hostname.len && slice_find(s->hostname, '.') < 0)
        PROBLEM(c, PROBLEM_WARNING, &s->hostname, "write the full name, such as mail.example.org",
                "hostname has no domain: other servers may refuse it");
    if (s->data.len && s->data.ptr[0] != '/')
        PROBLEM(c, PROBLEM_WARNING, &s->data, "write the whole path from /",
                "data is a relative path: it depends on where rockdove is started");
    for (size_t i = 0; i < s->log.count; i++)
        for (size_t j = 0; j < i; j++)
            if (slice_eq(s->log.items[i].to, s->log.items[j].to) &&
                s->log.items[i].format == s->log.items[j].format)
                PROBLEM(c, PROBLEM_WARNING, &s->log.items[i], "remove one",
                        "two log outputs write the same to %.*s", SLICE_ARG(s->log.items[i].to));
    if (s->accounts.count == 0)
        PROBLEM(c, PROBLEM_WARNING, NULL, "add accounts: [ { file: … } ], or use rockdove account add",
                "no accounts file: only accounts made by command exist");
}

void settings_check(const struct settings *settings, const struct conf_origin *origin, struct slice file,
                    const struct settings_probe *probe, struct problems *problems)
{
    struct check c = {
        .settings = settings, .origin = origin, .file = file, .probe = probe, .problems = problems};
    check_names(&c);
    check_listeners(&c);
    check_networks(&c);
    check_outbound(&c);
    check_files(&c);
    settings_check_door(&c);
    settings_check_auth(&c);
}
