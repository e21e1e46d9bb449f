/* settings.h: the configuration as plain structs: the outside contract. The table in settings.c says for each
 * key what it means, its default and bounds (printed by `rockdove config manual`).
 *
 * Parsed from YAML only by the unprivileged configuration child and the commands; roles get the encoded form.
 * Times are in milliseconds, sizes in bytes. Slices live in the arena of whoever parsed or decoded.
 */
#ifndef SETTINGS_SETTINGS_H
#define SETTINGS_SETTINGS_H

#include "base/conf.h"
#include "base/log.h"
#include "grammar/netaddr.h"

enum settings_service { SETTINGS_MX, SETTINGS_SUBMISSION, SETTINGS_IMAP, SETTINGS_METRICS, SETTINGS_POP3 };
enum settings_tls_mode { SETTINGS_TLS_NONE, SETTINGS_TLS_STARTTLS, SETTINGS_TLS_IMPLICIT };
enum settings_proxy { SETTINGS_PROXY_OFF, SETTINGS_PROXY_REQUIRED, SETTINGS_PROXY_OPTIONAL };
enum settings_account_format { SETTINGS_ACCOUNTS_POSTFIX, SETTINGS_ACCOUNTS_JSON };
enum settings_bans { SETTINGS_BANS_OFF, SETTINGS_BANS_OBSERVE, SETTINGS_BANS_LOCAL };
enum settings_identity { SETTINGS_IDENTITY_ENFORCE, SETTINGS_IDENTITY_LOG };
enum settings_relay_tls {
    SETTINGS_RELAY_NONE,
    SETTINGS_RELAY_OPPORTUNISTIC,
    SETTINGS_RELAY_REQUIRED,
    SETTINGS_RELAY_VERIFY
};
/* `auto`: required with a password, else opportunistic; the others are settings_relay_tls + 1. */
enum settings_map_tls {
    SETTINGS_MAP_AUTO,
    SETTINGS_MAP_NONE,
    SETTINGS_MAP_OPPORTUNISTIC,
    SETTINGS_MAP_REQUIRED,
    SETTINGS_MAP_VERIFY
};

extern const char *const settings_service_names[]; /* "mx", "submission", "imap", "metrics", "pop3", NULL */

struct settings_tls {
    struct slice cert, key; /* PEM files */
};

struct settings_listener {
    struct slice name;
    enum settings_service service;
    struct conf_address address;
    enum settings_tls_mode tls;
    enum settings_proxy proxy;
    bool insecure_auth;                           /* AUTH without TLS: tests only */
    uint64_t connections, connections_per_minute; /* of all strangers together there; 0: no limit */
};

struct settings_domain {
    struct slice name;
    struct slice catch_all; /* an address; empty: none */
};

struct settings_accounts {
    struct slice file;
    enum settings_account_format format;
};

struct settings_aliases {
    struct slice file;
};

struct settings_dkim {
    struct slice domain, selector, key_file;
};

enum settings_relay_auth {
    SETTINGS_RELAY_AUTH_AUTO, /* the strongest the relay offers */
    SETTINGS_RELAY_AUTH_PLAIN,
    SETTINGS_RELAY_AUTH_LOGIN,
    SETTINGS_RELAY_AUTH_SCRAM_SHA_256,
    SETTINGS_RELAY_AUTH_XOAUTH2
};
enum settings_dkim_missing { SETTINGS_DKIM_SEND, SETTINGS_DKIM_HOLD };

/* Another server that takes our mail for the rest of the world. */
struct settings_relay {
    struct slice name; /* in commands, logs and metrics; of `relay:` "default" when not given */
    struct slice
        host;      /* "[host]": that host itself; without brackets its MXs are asked first where port is 25 */
    uint64_t port; /* 465: TLS from the first byte */
    enum settings_relay_tls tls;
    struct slice sasl_file;
    enum settings_relay_auth auth;
    uint64_t daily;   /* messages (recipients of one transaction count once each); 0: no limit */
    uint64_t reserve; /* of `daily`, kept for reserve_senders */
    CONF_LIST_OF(struct slice) reserve_senders; /* addresses */
    struct slice day_begins;                    /* "HH:MM" in UTC */
    CONF_LIST_OF(struct slice) senders;         /* domains or addresses of senders whose mail goes there */
    CONF_LIST_OF(struct slice) recipients;      /* domains whose mail goes there */
    struct slice next;                          /* the relay that takes over, or "direct"; empty: none */
    bool insecure_auth;                         /* AUTH without TLS: tests only */
};

/* docker-mailserver's postfix-relaymap.cf and postfix-sasl-password.cf. */
struct settings_relay_map {
    struct slice file, sasl_file;
    enum settings_map_tls tls; /* to the hosts of this file */
};

/* An account may send as these too: whole addresses, or "@domain". */
struct settings_sender_grant {
    struct slice account;
    CONF_LIST_OF(struct slice) addresses;
};

/* A DNS list of addresses (RFC 5782). */
struct settings_dns_list {
    struct slice zone;
    struct slice name; /* what logs and replies call it; empty: the zone */
    CONF_LIST_OF(struct conf_network)
    answers; /* A records that count; none: all of 127.0.0.0/8 but 127.255.255.0/24 */
    uint64_t weight;
    bool allow; /* a list of the good (DNSWL): its weight is taken off */
};

/* Capabilities (IMAP names, upper case) this account's sessions are not told of and cannot use. */
struct settings_hidden {
    struct slice account; /* "*": everybody */
    CONF_LIST_OF(struct slice) names;
};

struct settings_log {
    struct slice to; /* "stderr", "stdout" or a file */
    enum log_format format;
    enum log_level level;
};

struct settings {
    struct slice hostname;
    struct slice data;
    CONF_LIST_OF(struct settings_tls) tls;
    CONF_LIST_OF(struct settings_listener) listeners;
    CONF_LIST_OF(struct conf_network) proxy_trusted_networks;
    CONF_LIST_OF(struct conf_network) trusted_networks;
    CONF_LIST_OF(struct settings_domain) domains;
    CONF_LIST_OF(struct settings_accounts) accounts;
    CONF_LIST_OF(struct settings_aliases) aliases;
    struct slice postmaster; /* an address; empty: the first account */
    struct {
        uint64_t account;                 /* bytes per account; 0: no limit */
        CONF_LIST_OF(struct slice) files; /* dovecot-quotas.cf */
    } quota;
    CONF_LIST_OF(struct settings_dkim) dkim;
    struct {
        struct slice domain, secret_file;
    } srs;
    enum settings_dkim_missing dkim_missing; /* mail of a hosted domain whose key cannot sign */
    CONF_LIST_OF(struct settings_aliases) regexp_aliases;
    struct settings_relay relay; /* for all mail that no other rule takes; without host: direct */
    CONF_LIST_OF(struct settings_relay) relays;
    CONF_LIST_OF(struct settings_relay_map) relay_maps;
    struct slice ca_file; /* PEM: whom we believe when we connect to others */
    struct {
        uint64_t port, sts_port; /* 25 and 443 but for tests */
        enum settings_relay_tls tls;
        struct slice ehlo; /* empty: hostname */
        struct slice source_ipv4, source_ipv6;
        bool dane, mta_sts;
        CONF_LIST_OF(struct conf_network) allow_networks; /* private addresses an MX may have */
    } direct;
    struct {
        uint64_t retry_first, retry_max; /* doubled from the first to the longest wait, with jitter */
        uint64_t expire, warn;           /* since the message came; warn 0: no warnings */
        uint64_t connections;            /* of all destinations */
        uint64_t per_destination;        /* at once; adapts below that */
        uint64_t recipients;             /* of one transaction */
        bool forward;                    /* false: aliases do not lead to other servers */
    } queue;
    struct {
        uint64_t connect, greeting, command, data, end_of_data, idle; /* RFC 5321 section 4.5.3.2 */
    } relay_timeouts;
    uint64_t watch_files; /* changed files are read again after this; 0: only on SIGHUP */
    struct {
        struct {                  /* of a stranger's address on the MX; 0: no limit */
            uint64_t connections; /* open at once */
            uint64_t connections_per_minute, messages_per_minute, recipients_per_minute;
            uint64_t failed_recipients_per_minute; /* 5xx at RCPT */
            uint64_t bytes_per_minute;
            uint64_t domain_messages_per_minute; /* of one sender domain, from wherever */
        } mx;
        struct {                             /* of an account; 0: no limit */
            uint64_t connections_per_minute; /* of an address, before login */
            uint64_t messages_per_minute, recipients_per_minute, bytes_per_minute;
        } submission;
        struct {
            uint64_t connections_per_user_and_address;
            uint64_t connections_per_minute; /* of an address, before login; 0: no limit */
        } imap;
        uint64_t ipv4_prefix, ipv6_prefix; /* what counts as one address: 32 and 64 */
        uint64_t addresses;                /* remembered at once; the oldest go first */
        uint64_t
            network_share; /* percent of a role's sessions one /24 or /48 may have when it is nearly full */
        uint64_t auth_failure_delay;
        uint64_t message_size;
        uint64_t recipients;                                  /* of one message */
        uint64_t received_headers;                            /* more of them: a loop */
        uint64_t smtp_sessions, imap_sessions, http_sessions; /* of the whole role */
        uint64_t sessions_per_address;
    } limits;
    struct {
        uint64_t handshake; /* TLS */
        uint64_t proxy_header;
        uint64_t smtp_command; /* RFC 5321 section 4.5.3.2 */
        uint64_t smtp_data;    /* between two blocks of DATA */
        uint64_t imap_login;   /* before login, also of POP3 */
        uint64_t imap_idle;    /* after login, RFC 3501 section 5.4: at least 30 minutes */
        uint64_t pop3_idle;    /* after login, RFC 1939 section 3: at least 10 minutes */
        uint64_t mx_session;   /* the whole session of a stranger, on submission before login */
        uint64_t drain;
        uint64_t drain_notice; /* of `drain`: load balancers see the end, clients do not yet */
    } timeouts;
    struct {
        uint64_t workers; /* password hashes computed at once */
        uint64_t memory;  /* how long verified credentials are remembered; 0: not at all */
        struct {
            struct slice issuer;                  /* "iss" of every token */
            CONF_LIST_OF(struct slice) audiences; /* one of them in "aud"; none: any */
            CONF_LIST_OF(struct slice) scopes;    /* all of them in "scope" */
            struct slice user_claim;              /* the claim that holds the account's address */
            uint64_t leeway;                      /* by which clocks may differ */
            struct slice keys_file;               /* the issuer's public keys; empty: none */
            struct {
                struct slice url;       /* empty: none */
                struct slice client_id; /* our own login there, and the file with its secret */
                struct slice secret_file;
            } introspection;
        } oauth; /* logins with access tokens */
    } auth;
    struct {
        CONF_LIST_OF(struct settings_hidden) hide_capabilities;
        uint64_t message_limit; /* messages one command may name (RFC 9738); 0: any number */
        bool compress;          /* COMPRESS=DEFLATE is offered */
    } imap;
    enum settings_bans bans;
    struct {
        uint64_t threshold;                       /* points */
        uint64_t half_life;                       /* of points */
        uint64_t first, max;                      /* length of the first ban; doubled up to the longest */
        uint64_t owner_memory;                    /* an address with a login so recent is not banned */
        CONF_LIST_OF(struct conf_network) except; /* never banned: monitors and friends */
        CONF_LIST_OF(struct slice) spam_traps;    /* addresses nobody writes to */
    } ban_policy;
    struct {
        struct slice url;                              /* "http://127.0.0.1:8080/"; empty: none */
        struct slice key_file;                         /* the bouncer's key */
        struct slice machine, machine_file;            /* to report our bans: login and its password */
        uint64_t interval;                             /* between two looks */
        CONF_LIST_OF(struct slice) types;              /* of decisions that are bans; none: "ban" */
        CONF_LIST_OF(struct slice) origins, scenarios; /* only these; none: all */
    } crowdsec;
    struct {
        uint64_t wait;     /* before the greeting; 0: none */
        struct slice text; /* of the first line of a greeting in two; empty: a greeting of one line */
        uint64_t remember; /* how long a client that passed is not delayed again */
        CONF_LIST_OF(struct settings_dns_list) lists;
        uint64_t reject_score; /* of the lists' weights; 0: they only score */
        bool reject_early;     /* an early talker is refused; false: it only scores */
    } before_greeting;
    enum settings_identity sender_identity;
    CONF_LIST_OF(struct settings_sender_grant) sender_grants;
    struct {
        CONF_LIST_OF(struct conf_address) servers; /* none: the system's */
        struct slice trust_anchor;
        CONF_LIST_OF(struct slice) unblock_zones;
    } resolver;
    CONF_LIST_OF(struct settings_log) log;
    uint64_t free_space_reserve; /* bytes */
    bool search_index;
    uint64_t
        role_uid_base; /* started as root: roles run as uid and gid base + enum role; 0: all as the caller */
};

extern const struct conf_table settings_table;

/* Reads the text of the file; checks keys and values, not yet their sense (settings_check). Problems are
 * added; ERR_BAD when there are errors; `*settings` is set in any case. */
enum err settings_parse_in(struct arena *arena, struct slice yaml, struct slice file, conf_env *env,
                           void *env_arg, struct settings **settings, struct conf_origin **origin,
                           struct problems *problems) MUST_CHECK;

void settings_encode(const struct settings *settings, struct buf *bytes);
enum err settings_decode_in(struct arena *arena, struct slice bytes, struct settings **settings,
                            struct why *why) MUST_CHECK;

/* Questions the semantic check asks the outside world; any may be NULL (not asked). */
struct settings_probe {
    void *arg;
    /* May whoever reads this file (as root where we are) open it? Text of the reason, or NULL. */
    const char *(*unreadable)(void *arg, struct slice path);
    /* Has the kernel IPv6? */
    bool (*has_ipv6)(void *arg);
    bool is_root;
};
/* What is wrong across keys: listeners that collide or need a certificate, PROXY without trusted networks,
 * networks so wide that strangers could hide in them, insecure_auth, missing files, keys without effect. */
void settings_check(const struct settings *settings, const struct conf_origin *origin, struct slice file,
                    const struct settings_probe *probe, struct problems *problems);

/* Is the client's address in this list of networks (settings->trusted_networks.items, .count)? Unix sockets
 * and unknown families never are. */
bool settings_networks_have(const struct conf_network *networks, size_t count, const struct netaddr *addr);
bool settings_is_trusted(const struct settings *settings, const struct netaddr *addr);
bool settings_is_proxy(const struct settings *settings, const struct netaddr *addr);
/* 0: settings->relay (NULL without host); i: settings->relays[i - 1]; NULL past the end. */
const struct settings_relay *settings_relay_at(const struct settings *settings, size_t index);
/* The index for settings_relay_at() of the relay with this name; -1: none. */
int settings_relay_by_name(const struct settings *settings, struct slice name);
/* The capability `name` is hidden from `account`. */
bool settings_hides(const struct settings *settings, struct slice account, struct slice name);

#endif
