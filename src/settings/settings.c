/* settings.c: the table of every key: where it goes, its default and bounds, and what the manual says. Reads
 * the operator's file; whoever adds a setting adds a row here and a member in settings.h. */
#include "settings/tables.h"

#include <stddef.h>
#include <string.h>

const char *const settings_service_names[] = {"mx", "submission", "imap", "metrics", "pop3", NULL};
static const char *const tls_names[] = {"none", "starttls", "implicit", NULL};
static const char *const proxy_names[] = {"off", "required", "optional", NULL};
static const char *const format_names[] = {"postfix", "json", NULL};
static const char *const bans_names[] = {"off", "observe", "local", NULL};
static const char *const identity_names[] = {"enforce", "log", NULL};
static const char *const dkim_missing_names[] = {"send", "hold", NULL};

static const struct conf_field tls_fields[] = {
    {.name = "cert",
     .kind = CONF_STRING,
     F(struct settings_tls, cert),
     .flags = CONF_REQUIRED,
     .help = "PEM file: the certificate and those between it and the root.",
     .example = "/etc/rockdove/tls/fullchain.pem"},
    {.name = "key",
     .kind = CONF_STRING,
     F(struct settings_tls, key),
     .flags = CONF_REQUIRED,
     .help = "PEM file: its private key.",
     .example = "/etc/rockdove/tls/privkey.pem"},
};
static const struct conf_table tls_table = CONF_TABLE(tls_fields, struct settings_tls, NULL);

static const struct conf_field listener_fields[] = {
    {.name = "name",
     .kind = CONF_STRING,
     F(struct settings_listener, name),
     .flags = CONF_REQUIRED,
     .help = "A name of yours for logs and metrics.",
     .example = "mx"},
    {.name = "service",
     .kind = CONF_ENUM,
     F(struct settings_listener, service),
     .names = settings_service_names,
     .flags = CONF_REQUIRED,
     .help = "What is spoken there.",
     .example = "mx"},
    {.name = "address",
     .kind = CONF_ADDRESS,
     F(struct settings_listener, address),
     .flags = CONF_REQUIRED,
     .help = "Where to listen. `[::]` also serves IPv4; without IPv6 in the kernel it falls back to 0.0.0.0.",
     .example = "\"[::]:25\""},
    {.name = "tls",
     .kind = CONF_ENUM,
     F(struct settings_listener, tls),
     .names = tls_names,
     .fallback = "starttls",
     .help = "`implicit`: TLS from the first byte. `none` only for metrics and tests.",
     .example = "starttls"},
    {.name = "proxy",
     .kind = CONF_ENUM,
     F(struct settings_listener, proxy),
     .names = proxy_names,
     .fallback = "off",
     .help = "PROXY protocol (1 and 2). `required`: every connection begins with a header, and comes from "
             "proxy_trusted_networks. `optional`: a header is looked for (200 ms) only on connections from "
             "these networks.",
     .example = "required"},
    {.name = "insecure_auth",
     .kind = CONF_BOOL,
     F(struct settings_listener, insecure_auth),
     .fallback = "false",
     .help = "Offer and accept passwords without TLS. For tests only."},
    {.name = "connections",
     .kind = CONF_U64,
     F(struct settings_listener, connections),
     .fallback = "0",
     .max = 100000,
     .help = "Connections of strangers open there at once, all together; 0: no limit."},
    {.name = "connections_per_minute",
     .kind = CONF_U64,
     F(struct settings_listener, connections_per_minute),
     .fallback = "0",
     .max = 1000000,
     .help = "New connections of strangers there in a minute, all together; 0: no limit."},
};
static const struct conf_table listener_table = CONF_TABLE(listener_fields, struct settings_listener, NULL);

static const struct conf_field domain_fields[] = {
    {.name = "name",
     .kind = CONF_STRING,
     F(struct settings_domain, name),
     .flags = CONF_REQUIRED,
     .help = "A domain we receive mail for. Domains of accounts and aliases need no entry.",
     .example = "example.org"},
    {.name = "catch_all",
     .kind = CONF_STRING,
     F(struct settings_domain, catch_all),
     .help = "Who gets mail for addresses of the domain that nobody has. Never takes an account's mail.",
     .example = "spam@example.org"},
};
static const struct conf_table domain_table = CONF_TABLE(domain_fields, struct settings_domain, NULL);

static const struct conf_field accounts_fields[] = {
    {.name = "file",
     .kind = CONF_STRING,
     F(struct settings_accounts, file),
     .flags = CONF_REQUIRED,
     .help = "Read again on reload.",
     .example = "/etc/rockdove/postfix-accounts.cf"},
    {.name = "format",
     .kind = CONF_ENUM,
     F(struct settings_accounts, format),
     .names = format_names,
     .fallback = "postfix",
     .help =
         "`postfix`: lines `user@domain|{SCHEME}hash`. `json`: `{\"user@domain\": \"password or hash\"}`.",
     .example = "json"},
};
static const struct conf_table accounts_table = CONF_TABLE(accounts_fields, struct settings_accounts, NULL);

static const struct conf_field aliases_fields[] = {
    {.name = "file",
     .kind = CONF_STRING,
     F(struct settings_aliases, file),
     .flags = CONF_REQUIRED,
     .help = "Lines `alias@domain target,target`; `@domain target` is a catch-all.",
     .example = "/etc/rockdove/postfix-virtual.cf"},
};
static const struct conf_table aliases_table = CONF_TABLE(aliases_fields, struct settings_aliases, NULL);

static const struct conf_field regexp_aliases_fields[] = {
    {.name = "file",
     .kind = CONF_STRING,
     F(struct settings_aliases, file),
     .flags = CONF_REQUIRED,
     .help = "Lines `/pattern/flags target,target` as in Postfix's regexp tables.",
     .example = "/etc/rockdove/postfix-regexp.cf"},
};
static const struct conf_table regexp_aliases_table =
    CONF_TABLE(regexp_aliases_fields, struct settings_aliases, NULL);

static const struct conf_field quota_fields[] = {
    {.name = "account",
     .kind = CONF_SIZE,
     F(struct settings, quota.account) - offsetof(struct settings, quota),
     .fallback = "0",
     .help = "What one account may hold, when no quota file names it. 0: no limit.",
     .example = "10G"},
    {.name = "files",
     .kind = CONF_LIST,
     F(struct settings, quota.files) - offsetof(struct settings, quota),
     .item = CONF_STRING,
     .max = 20,
     .help = "Files with lines `user@domain:50M`.",
     .example = "[ /etc/rockdove/dovecot-quotas.cf ]"},
};
static const struct conf_table quota_table = {quota_fields, 2, 0, NULL};

static const struct conf_field dkim_fields[] = {
    {.name = "domain",
     .kind = CONF_STRING,
     F(struct settings_dkim, domain),
     .flags = CONF_REQUIRED,
     .example = "example.org"},
    {.name = "selector",
     .kind = CONF_STRING,
     F(struct settings_dkim, selector),
     .flags = CONF_REQUIRED,
     .example = "mail"},
    {.name = "key_file",
     .kind = CONF_STRING,
     F(struct settings_dkim, key_file),
     .flags = CONF_REQUIRED,
     .example = "/run/secrets/dkim_key"},
};
static const struct conf_table dkim_table = CONF_TABLE(dkim_fields, struct settings_dkim, NULL);

static const struct conf_field srs_fields[] = {
    {.name = "domain",
     .kind = CONF_STRING,
     F(struct settings, srs.domain) - offsetof(struct settings, srs),
     .help = "The domain of rewritten senders.",
     .example = "example.org"},
    {.name = "secret_file",
     .kind = CONF_STRING,
     F(struct settings, srs.secret_file) - offsetof(struct settings, srs),
     .help = "One secret per line: the first signs, all verify.",
     .example = "/run/secrets/srs"},
};
static const struct conf_table srs_table = {srs_fields, 2, 0, NULL};

#define T(member) F(struct settings, timeouts.member) - offsetof(struct settings, timeouts)
static const struct conf_field timeouts_fields[] = {
    {.name = "handshake",
     .kind = CONF_DURATION,
     T(handshake),
     .fallback = "30s",
     .min = 1000,
     .max = HOUR,
     .help = "For the TLS handshake."},
    {.name = "proxy_header",
     .kind = CONF_DURATION,
     T(proxy_header),
     .fallback = "5s",
     .min = 100,
     .max = MINUTE,
     .help = "For the PROXY header, where it is required."},
    {.name = "smtp_command",
     .kind = CONF_DURATION,
     T(smtp_command),
     .fallback = "5m",
     .min = 1000,
     .max = HOUR,
     .help = "For the next command (RFC 5321 section 4.5.3.2.7)."},
    {.name = "smtp_data",
     .kind = CONF_DURATION,
     T(smtp_data),
     .fallback = "3m",
     .min = 1000,
     .max = HOUR,
     .help = "For the next block of a message (RFC 5321 section 4.5.3.2.5)."},
    {.name = "imap_login",
     .kind = CONF_DURATION,
     T(imap_login),
     .fallback = "1m",
     .min = 1000,
     .max = HOUR,
     .help = "From connection to login, for IMAP and POP3."},
    {.name = "imap_idle",
     .kind = CONF_DURATION,
     T(imap_idle),
     .fallback = "31m",
     .min = 1000,
     .max = DAY,
     .help = "Without a command (RFC 3501 section 5.4: at least 30 minutes)."},
    {.name = "pop3_idle",
     .kind = CONF_DURATION,
     T(pop3_idle),
     .fallback = "10m",
     .min = 1000,
     .max = DAY,
     .help = "Without a command of POP3 (RFC 1939 section 3: at least 10 minutes)."},
    {.name = "drain",
     .kind = CONF_DURATION,
     T(drain),
     .fallback = "25s",
     .max = HOUR,
     .help = "After SIGTERM open sessions may finish what they began for so long."},
    {.name = "drain_notice",
     .kind = CONF_DURATION,
     T(drain_notice),
     .fallback = "5s",
     .max = HOUR,
     .help = "After SIGTERM a load balancer's checks fail for so long before clients are sent away; only "
             "where one "
             "has looked within the last minute. Part of `drain`, at most half of it."},
    {.name = "mx_session",
     .kind = CONF_DURATION,
     T(mx_session),
     .fallback = "1h",
     .min = 1000,
     .max = 7 * DAY,
     .help = "The whole session of a stranger on the MX, and on submission before login, but for a message "
             "that is arriving."},
};
static const struct conf_table timeouts_table = {timeouts_fields,
                                                 sizeof timeouts_fields / sizeof *timeouts_fields, 0, NULL};

static const struct conf_field hidden_fields[] = {
    {.name = "account",
     .kind = CONF_STRING,
     F(struct settings_hidden, account),
     .flags = CONF_REQUIRED,
     .help = "An account, or `*` for all.",
     .example = "bob@example.org"},
    {.name = "names",
     .kind = CONF_LIST,
     F(struct settings_hidden, names),
     .item = CONF_STRING,
     .flags = CONF_REQUIRED,
     .min = 1,
     .max = 100,
     .help = "Capability names.",
     .example = "[ CONDSTORE, MOVE ]"},
};
static const struct conf_table hidden_table = CONF_TABLE(hidden_fields, struct settings_hidden, NULL);
#define I(member) F(struct settings, imap.member) - offsetof(struct settings, imap)
static const struct conf_field imap_fields[] = {
    {.name = "hide_capabilities",
     .kind = CONF_LIST,
     I(hide_capabilities),
     .item = CONF_STRUCT,
     .table = &hidden_table,
     .max = 1000,
     .help = "For clients that mishandle an extension."},
    {.name = "message_limit",
     .kind = CONF_U64,
     I(message_limit),
     .max = 1000000000,
     .help = "Messages one command may name (RFC 9738); the newest count. 0: any number. Clients that do not "
             "know "
             "MESSAGELIMIT see only a part of larger mailboxes."},
    {.name = "compress",
     .kind = CONF_BOOL,
     I(compress),
     .help =
         "Offers COMPRESS=DEFLATE (RFC 4978). It costs about 70 KB of memory for each session that uses it."},
};
static const struct conf_table imap_table = {imap_fields, sizeof imap_fields / sizeof *imap_fields, 0, NULL};

static const struct conf_field grant_fields[] = {
    {.name = "account",
     .kind = CONF_STRING,
     F(struct settings_sender_grant, account),
     .flags = CONF_REQUIRED,
     .example = "alice@example.org"},
    {.name = "addresses",
     .kind = CONF_LIST,
     F(struct settings_sender_grant, addresses),
     .item = CONF_STRING,
     .flags = CONF_REQUIRED,
     .min = 1,
     .max = 1000,
     .help = "Addresses, or `@domain` for a whole domain.",
     .example = "[ office@example.org, \"@example.net\" ]"},
};
static const struct conf_table grant_table = CONF_TABLE(grant_fields, struct settings_sender_grant, NULL);

#define V(member) F(struct settings, resolver.member) - offsetof(struct settings, resolver)
static const struct conf_field resolver_fields[] = {
    {.name = "servers",
     .kind = CONF_LIST,
     V(servers),
     .item = CONF_ADDRESS,
     .max = 8,
     .help = "Resolvers to ask. Absent: the system's (/etc/resolv.conf).",
     .example = "[ \"127.0.0.1:53\" ]"},
    {.name = "trust_anchor",
     .kind = CONF_STRING,
     V(trust_anchor),
     .help = "File with the root's DNSSEC keys.",
     .example = "/usr/share/dns/root.key"},
    {.name = "unblock_zones",
     .kind = CONF_LIST,
     V(unblock_zones),
     .item = CONF_STRING,
     .max = 100,
     .help = "Zones that are answered by the resolvers although they are reserved, such as `test`.",
     .example = "[ test ]"},
};
static const struct conf_table resolver_table = {resolver_fields, 3, 0, NULL};

static const struct conf_field log_fields[] = {
    {.name = "to",
     .kind = CONF_STRING,
     F(struct settings_log, to),
     .flags = CONF_REQUIRED,
     .help = "`stderr`, `stdout` or a file, opened for appending and again on reload.",
     .example = "stderr"},
    {.name = "format",
     .kind = CONF_ENUM,
     F(struct settings_log, format),
     .names = log_format_names,
     .fallback = "text",
     .help = "`postfix`: the lines that CrowdSec and fail2ban parse.",
     .example = "json"},
    {.name = "level",
     .kind = CONF_ENUM,
     F(struct settings_log, level),
     .names = log_level_names,
     .fallback = "info",
     .help = "The least that is written."},
};
static const struct conf_table log_table = CONF_TABLE(log_fields, struct settings_log, NULL);

static const struct conf_field fields[] = {
    {.name = "hostname",
     .kind = CONF_STRING,
     F(struct settings, hostname),
     .flags = CONF_REQUIRED,
     .help = "Our name: in the greeting, in Received, in ids. It should resolve to us.",
     .example = "mail.example.org"},
    {.name = "data",
     .kind = CONF_STRING,
     F(struct settings, data),
     .flags = CONF_REQUIRED,
     .help = "The folder with all mail, the queue and the control socket. A change needs a restart.",
     .example = "/var/lib/rockdove"},
    {.name = "tls",
     .kind = CONF_LIST,
     F(struct settings, tls),
     .item = CONF_STRUCT,
     .table = &tls_table,
     .max = 1000,
     .help =
         "Certificates, chosen by the server name the client asks for. The first is the default, also for an "
         "unknown name."},
    {.name = "listeners",
     .kind = CONF_LIST,
     F(struct settings, listeners),
     .item = CONF_STRUCT,
     .table = &listener_table,
     .max = 64,
     .flags = CONF_REQUIRED,
     .help = "Any number of each service.",
     .example = "[ { name: mx, service: mx, address: \"[::]:25\", tls: starttls } ]"},
    {.name = "proxy_trusted_networks",
     .kind = CONF_LIST,
     F(struct settings, proxy_trusted_networks),
     .item = CONF_NETWORK,
     .max = 1000,
     .help = "Who may send a PROXY header.",
     .example = "[ 10.0.20.0/24 ]"},
    {.name = "trusted_networks",
     .kind = CONF_LIST,
     F(struct settings, trusted_networks),
     .item = CONF_NETWORK,
     .max = 1000,
     .help = "Own clients and monitors: no limits, tests or bans before login.",
     .example = "[ 10.10.0.0/16 ]"},
    {.name = "domains",
     .kind = CONF_LIST,
     F(struct settings, domains),
     .item = CONF_STRUCT,
     .table = &domain_table,
     .help = "Domains without an account, and catch-alls."},
    {.name = "accounts",
     .kind = CONF_LIST,
     F(struct settings, accounts),
     .item = CONF_STRUCT,
     .table = &accounts_table,
     .max = 50,
     .help = "Files with accounts, beside those made by `rockdove account add`. One owner per address."},
    {.name = "aliases",
     .kind = CONF_LIST,
     F(struct settings, aliases),
     .item = CONF_STRUCT,
     .table = &aliases_table,
     .max = 50,
     .help = "Files with aliases."},
    {.name = "postmaster",
     .kind = CONF_STRING,
     F(struct settings, postmaster),
     .help = "Who gets mail to postmaster where no account or alias has that address. Default: the first "
             "account.",
     .example = "alice@example.org"},
    {.name = "quota", .kind = CONF_STRUCT, F(struct settings, quota), .table = &quota_table},
    {.name = "regexp_aliases",
     .kind = CONF_LIST,
     F(struct settings, regexp_aliases),
     .item = CONF_STRUCT,
     .table = &regexp_aliases_table,
     .max = 20,
     .help = "Files with aliases by regular expression, asked after `aliases`."},
    {.name = "dkim",
     .kind = CONF_LIST,
     F(struct settings, dkim),
     .item = CONF_STRUCT,
     .table = &dkim_table,
     .max = 1000,
     .help = "Keys that sign submitted mail, by the domain of its From. Several for one domain: each signs."},
    {.name = "dkim_missing",
     .kind = CONF_ENUM,
     F(struct settings, dkim_missing),
     .names = dkim_missing_names,
     .fallback = "send",
     .help = "Mail of a domain in `dkim` none of whose keys can sign: sent, with an alarm, or held in the "
             "queue."},
    {.name = "srs",
     .kind = CONF_STRUCT,
     F(struct settings, srs),
     .table = &srs_table,
     .help = "Sender rewriting for forwarded mail. Without it forwarded mail keeps its sender."},
    {.name = "relay",
     .kind = CONF_STRUCT,
     F(struct settings, relay),
     .table = &settings_relay_table,
     .help = "The next server for mail that is not ours. Without it: straight to the MXs."},
    {.name = "relays",
     .kind = CONF_LIST,
     F(struct settings, relays),
     .item = CONF_STRUCT,
     .table = &settings_relay_table,
     .max = 100,
     .help = "Further relays: for some senders or recipients, or to take over."},
    {.name = "relay_maps",
     .kind = CONF_LIST,
     F(struct settings, relay_maps),
     .item = CONF_STRUCT,
     .table = &settings_relay_map_table,
     .max = 20,
     .help = "docker-mailserver's files of relays by sender domain, read as they are."},
    {.name = "ca_file",
     .kind = CONF_STRING,
     F(struct settings, ca_file),
     .fallback = "/etc/ssl/certs/ca-certificates.crt",
     .help = "Certificates we believe when we connect to others, for `verify` and MTA-STS."},
    {.name = "direct",
     .kind = CONF_STRUCT,
     F(struct settings, direct),
     .table = &settings_direct_table,
     .help = "Mail that goes straight to the MXs of its recipients."},
    {.name = "queue", .kind = CONF_STRUCT, F(struct settings, queue), .table = &settings_queue_table},
    {.name = "relay_timeouts",
     .kind = CONF_STRUCT,
     F(struct settings, relay_timeouts),
     .table = &settings_relay_timeouts_table,
     .help = "How long we wait for other servers."},
    {.name = "watch_files",
     .kind = CONF_DURATION,
     F(struct settings, watch_files),
     .fallback = "10s",
     .max = DAY,
     .help =
         "Certificates, accounts, aliases, secrets: a file that was changed (or its symlink moved) is read "
         "again after this. 0: only on SIGHUP."},
    {.name = "limits", .kind = CONF_STRUCT, F(struct settings, limits), .table = &settings_limits_table},
    {.name = "timeouts", .kind = CONF_STRUCT, F(struct settings, timeouts), .table = &timeouts_table},
    {.name = "auth", .kind = CONF_STRUCT, F(struct settings, auth), .table = &settings_auth_table},
    {.name = "imap", .kind = CONF_STRUCT, F(struct settings, imap), .table = &imap_table},
    {.name = "bans",
     .kind = CONF_ENUM,
     F(struct settings, bans),
     .names = bans_names,
     .fallback = "observe",
     .help = "Who bans addresses. `off`: nobody. `observe`: what we would ban is said in the log and to "
             "CrowdSec, "
             "whose decisions are obeyed. `local`: we ban ourselves, for hosts without CrowdSec."},
    {.name = "ban_policy",
     .kind = CONF_STRUCT,
     F(struct settings, ban_policy),
     .table = &settings_ban_policy_table,
     .help = "When an address is banned, and for how long."},
    {.name = "crowdsec",
     .kind = CONF_STRUCT,
     F(struct settings, crowdsec),
     .table = &settings_crowdsec_table,
     .help = "The local API of a CrowdSec: its decisions are obeyed on every listener."},
    {.name = "before_greeting",
     .kind = CONF_STRUCT,
     F(struct settings, before_greeting),
     .table = &settings_before_greeting_table,
     .help = "What a stranger on the MX meets before it may speak."},
    {.name = "sender_identity",
     .kind = CONF_ENUM,
     F(struct settings, sender_identity),
     .names = identity_names,
     .fallback = "enforce",
     .help = "Submitted mail must come from addresses of the account; `log` only tells."},
    {.name = "sender_grants",
     .kind = CONF_LIST,
     F(struct settings, sender_grants),
     .item = CONF_STRUCT,
     .table = &grant_table,
     .help = "Further addresses an account may send as."},
    {.name = "resolver", .kind = CONF_STRUCT, F(struct settings, resolver), .table = &resolver_table},
    {.name = "log",
     .kind = CONF_LIST,
     F(struct settings, log),
     .item = CONF_STRUCT,
     .table = &log_table,
     .max = LOG_OUTPUTS_MAX,
     .help = "Outputs, each with its format. Default: stderr, text."},
    {.name = "free_space_reserve",
     .kind = CONF_SIZE,
     F(struct settings, free_space_reserve),
     .fallback = "500M",
     .max = 1ull << 50,
     .help = "Below it mail is refused for now (452); reading, deleting and sending still work."},
    {.name = "search_index",
     .kind = CONF_BOOL,
     F(struct settings, search_index),
     .fallback = "true",
     .help = "Keeps a full-text index beside each mailbox index, so that SEARCH TEXT and the like need not "
             "look at "
             "every message. It takes about 1.7 KB of disk a message."},
    {.name = "role_uid_base",
     .kind = CONF_U64,
     F(struct settings, role_uid_base),
     .fallback = "52000",
     .max = 4000000000u,
     .help =
         "Started as root, each role gets a uid and gid of its own from here on (0: all keep the caller's)."},
};
const struct conf_table settings_table =
    CONF_TABLE(fields, struct settings,
               "# Settings\n\nOne YAML file. `rockdove -c FILE check` tells what is wrong with it.");

/* Where nothing says where to log, stderr it is. */
static void default_log_in(struct arena *arena, struct settings *settings)
{
    if (settings->log.count)
        return;
    settings->log.items = ARENA_NEW(arena, struct settings_log);
    settings->log.count = 1;
    settings->log.items[0] =
        (struct settings_log){.to = SLICE("stderr"), .format = LOG_FORMAT_TEXT, .level = LOG_LEVEL_INFO};
}

static void default_relay_name(struct settings *settings)
{
    if (settings->relay.host.len && !settings->relay.name.len)
        settings->relay.name = SLICE("default");
}

enum err settings_parse_in(struct arena *arena, struct slice yaml, struct slice file, conf_env *env,
                           void *env_arg, struct settings **settings, struct conf_origin **origin,
                           struct problems *problems)
{
    struct settings *fresh = ARENA_NEW(arena, struct settings);
    enum err err = conf_parse_in(arena, &settings_table, yaml, file, env, env_arg, fresh, origin, problems);
    default_log_in(arena, fresh);
    default_relay_name(fresh);
    *settings = fresh;
    return err;
}

void settings_encode(const struct settings *settings, struct buf *bytes)
{
    conf_encode(&settings_table, settings, bytes);
}

enum err settings_decode_in(struct arena *arena, struct slice bytes, struct settings **settings,
                            struct why *why)
{
    struct settings *fresh = ARENA_NEW(arena, struct settings);
    enum err err = conf_decode_in(arena, &settings_table, bytes, fresh, why);
    if (err == ERR_OK)
        *settings = fresh;
    return err;
}

bool settings_networks_have(const struct conf_network *networks, size_t count, const struct netaddr *addr)
{
    uint8_t ip[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (addr->family == NETADDR_V4)
        memcpy(ip + 12, addr->bytes, 4);
    else if (addr->family == NETADDR_V6)
        memcpy(ip, addr->bytes, sizeof ip);
    else
        return false;
    for (size_t i = 0; i < count; i++)
        if (conf_network_has(&networks[i], ip))
            return true;
    return false;
}

bool settings_is_trusted(const struct settings *settings, const struct netaddr *addr)
{
    return settings_networks_have(settings->trusted_networks.items, settings->trusted_networks.count, addr);
}

bool settings_is_proxy(const struct settings *settings, const struct netaddr *addr)
{
    return settings_networks_have(settings->proxy_trusted_networks.items,
                                  settings->proxy_trusted_networks.count, addr);
}

const struct settings_relay *settings_relay_at(const struct settings *settings, size_t index)
{
    if (index == 0)
        return settings->relay.host.len ? &settings->relay : NULL;
    return index <= settings->relays.count ? &settings->relays.items[index - 1] : NULL;
}

int settings_relay_by_name(const struct settings *settings, struct slice name)
{
    for (size_t i = 0; i <= settings->relays.count; i++) {
        const struct settings_relay *relay = settings_relay_at(settings, i);
        if (relay && slice_eq(relay->name, name))
            return (int)i;
    }
    return -1;
}

bool settings_hides(const struct settings *settings, struct slice account, struct slice name)
{
    for (size_t i = 0; i < settings->imap.hide_capabilities.count; i++) {
        const struct settings_hidden *hidden = &settings->imap.hide_capabilities.items[i];
        if (!slice_eq(hidden->account, SLICE("*")) && !slice_ieq(hidden->account, account))
            continue;
        for (size_t n = 0; n < hidden->names.count; n++)
            if (slice_ieq(hidden->names.items[n], name))
                return true;
    }
    return false;
}
