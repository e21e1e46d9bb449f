/* metrics.c: the table of Rockdove's metrics. Names and labels are part of the outside contract: they may
 * grow, they do not change. */
#include "settings/metrics.h"

static const char *const services[] = {"mx", "submission", "imap", "http", "pop3", NULL};
static const char *const refusals[] = {"full", "address", "draining", "banned",
                                       "rate", "network", "other",    NULL};
static const char *const proxies[] = {"v1", "v2", "local", "bad", "timeout", "untrusted", NULL};
static const char *const results[] = {"ok", "failed", "later", NULL};
static const char *const classes[] = {"2xx", "3xx", "4xx", "5xx", NULL};
static const char *const recipients[] = {"local", "remote", "unknown", "refused", "later", NULL};
static const char *const replies[] = {"ok", "no", "bad", "bye", NULL};
static const char *const answers[] = {"ok", "nodata", "nxdomain", "failed", "bogus", NULL};
static const char *const bounces[] = {"failed",   "delayed", "delivered", "relayed",
                                      "expanded", "double",  "dropped",   NULL};
static const char *const rows[] = {"active", "waiting", "held", NULL};
static const char *const stages[] = {"lookup", "connect", "session", "data", NULL};
static const char *const stops[] = {"not_reached", "quota", "login", NULL};
/* enum offence of wire.h, in its order. */
static const char *const offences[] = {"failed_login",
                                       "early_talker",
                                       "unknown_recipient",
                                       "relay_attempt",
                                       "spam_trap",
                                       "protocol_abuse",
                                       "limit",
                                       "listed",
                                       "banned",
                                       NULL};
static const char *const ban_sources[] = {"ours", "by_hand", "crowdsec", NULL};
static const char *const bans_made[] = {"set", "would", "spared", NULL};
static const char *const greetings[] = {"passed", "known", "early", "listed", "left", NULL};
static const char *const on_off[] = {"on", "off", NULL};
/* Where a relay stands: "0" is relay:, "1" the first of relays:; those further behind are not counted. */
static const char *const relays[] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                     "9", "10", "11", "12", "13", "14", "15", NULL};
static const char *const dkim_keys[] = {"signing", "unusable", NULL};
static const char *const dkim_messages[] = {"signed", "unsigned", "held", NULL};
static const char *const relay_connections[] = {"opened", "reused", "failed", NULL};
static const char *const relay_recipients[] = {"sent",  "later",   "refused", "seven_bit",
                                               "login", "unknown", NULL};
static const char *const relay_stages[] = {"lookup", "connect", "envelope", "text", "final", NULL};
/* enum identity_state of relay/identity.h, in its order. */
static const char *const identities[] = {"unknown",   "good",          "no_address", "no_ptr",
                                         "other_ptr", "other_address", NULL};
static const char *const smtp_commands[] = {"ehlo", "helo", "mail",     "rcpt",  "data",
                                            "bdat", "rset", "noop",     "vrfy",  "quit",
                                            "help", "auth", "starttls", "other", NULL};
/* The verbs of IMAP, in no order that matters. */
static const char *const imap_commands[] = {
    "capability",     "noop",        "logout",      "id",        "starttls",     "authenticate", "login",
    "enable",         "select",      "examine",     "create",    "delete",       "rename",       "subscribe",
    "unsubscribe",    "list",        "lsub",        "namespace", "status",       "append",       "replace",
    "idle",           "genurlauth",  "resetkey",    "urlfetch",  "getquota",     "getquotaroot", "setquota",
    "check",          "close",       "unselect",    "expunge",   "search",       "fetch",        "store",
    "copy",           "move",        "sort",        "thread",    "cancelupdate", "esearch",      "compress",
    "unauthenticate", "getmetadata", "setmetadata", "setacl",    "deleteacl",    "getacl",       "listrights",
    "myrights",       "notify",      "other",       NULL};
static const char *const pop3_commands[] = {"apop", "auth", "capa", "dele",  "lang", "list", "noop",
                                            "pass", "quit", "retr", "rset",  "stat", "stls", "top",
                                            "uidl", "user", "utf8", "other", NULL};
static const char *const pop3_replies[] = {"ok", "err", NULL};
/* enum role of wire.h, in its order; "control" last. */
static const char *const roles[] = {"supervisor", "dns",  "scan", "store", "auth",    "queue",
                                    "relay",      "smtp", "imap", "http",  "control", NULL};

/* Seconds: of what answers at once, and of what touches a disk or computes. */
static const double quick[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                               0.05,   0.1,     0.25,   0.5,   1,      2.5,   10};
static const double sessions[] = {0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300};

static const double relay_times[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                     0.25,   0.5,   1,      2.5,   10,   30,    60,   300};

#define LABEL(label, list) .labels = {{(label), (list)}}
#define BUCKETS(list)                                                                                        \
    .kind = METRIC_HISTOGRAM, .buckets = (list), .bucket_count = sizeof(list) / sizeof *(list)
#define GAUGE                    .kind = METRIC_GAUGE
#define M(id, metric, text, ...) [id] = {.name = "rockdove_" metric, .help = (text), __VA_ARGS__}

const struct metric_label metrics_smtp_commands = {"command", smtp_commands};
const struct metric_label metrics_imap_commands = {"command", imap_commands};
const struct metric_label metrics_pop3_commands = {"command", pop3_commands};

static const struct metric_def defs[METRIC_ID_COUNT] = {
    M(METRIC_CONNECTIONS, "connections_total", "Connections accepted.", LABEL("service", services)),
    M(METRIC_SESSIONS, "sessions", "Connections open now.", GAUGE, LABEL("service", services)),
    M(METRIC_CONNECTIONS_REFUSED, "connections_refused_total", "Connections turned away at once.",
      LABEL("reason", refusals)),
    M(METRIC_HEALTH_CHECKS, "health_checks_total", "Connections of a load balancer's health check.",
      .kind = METRIC_COUNTER),
    M(METRIC_PROXY_HEADERS, "proxy_headers_total", "PROXY headers, by what came of them.",
      LABEL("kind", proxies)),
    M(METRIC_TLS_HANDSHAKES, "tls_handshakes_total", "TLS handshakes.", LABEL("result", results)),
    M(METRIC_SMTP_REPLIES, "smtp_replies_total", "SMTP replies by class.", LABEL("class", classes)),
    M(METRIC_SMTP_COMMANDS, "smtp_commands_total", "SMTP commands.", LABEL("command", smtp_commands)),
    M(METRIC_SMTP_SESSION_SECONDS, "smtp_session_seconds", "How long SMTP connections last.",
      BUCKETS(sessions)),
    M(METRIC_MESSAGES_ACCEPTED, "messages_accepted_total", "Messages answered with 250.",
      LABEL("service", services)),
    M(METRIC_MESSAGES_REFUSED, "messages_refused_total", "Messages refused after DATA.",
      LABEL("service", services)),
    M(METRIC_BYTES_ACCEPTED, "bytes_accepted_total", "Bytes of accepted messages.", .kind = METRIC_COUNTER),
    M(METRIC_RECIPIENTS, "recipients_total", "Recipients asked for, by outcome.",
      LABEL("outcome", recipients)),
    M(METRIC_SECURITY_EVENTS, "security_events_total", "What strangers did that they should not.",
      LABEL("kind", offences)),
    M(METRIC_BANS, "bans", "Addresses and networks banned now.", GAUGE, LABEL("source", ban_sources)),
    M(METRIC_BANS_MADE, "bans_made_total",
      "Bans of our own: set, only told of, or spared because the address is one of the owner's.",
      LABEL("result", bans_made)),
    M(METRIC_EARLY_GREETINGS, "before_greeting_total", "Strangers on the MX before the greeting.",
      LABEL("result", greetings)),
    M(METRIC_DNS_LISTS, "dns_lists", "DNS lists in use, and those switched off because they answer wrongly.",
      GAUGE, LABEL("state", on_off)),
    M(METRIC_CLIENTS_KNOWN, "clients_known",
      "Strangers that passed before the greeting and are not delayed again.", GAUGE),
    M(METRIC_CROWDSEC_UP, "crowdsec_up", "1: the last look at CrowdSec's local API went well.", GAUGE),
    M(METRIC_CROWDSEC_REPORTS, "crowdsec_reports_total", "Bans reported to CrowdSec.",
      LABEL("result", results)),
    M(METRIC_LOGINS, "logins_total", "Logins.", .labels = {{"service", services}, {"result", results}}),
    M(METRIC_LOGIN_SECONDS, "login_seconds", "Time to verify a login, without the delay of failures.",
      BUCKETS(quick)),
    M(METRIC_AUTH_MEMORY_HITS, "auth_memory_hits_total", "Logins verified from memory.",
      .kind = METRIC_COUNTER),
    M(METRIC_AUTH_GRANTS, "auth_grants", "Grants alive.", GAUGE),
    M(METRIC_SCANS, "scans_total", "Messages scanned.", LABEL("result", results)),
    M(METRIC_SCAN_SECONDS, "scan_seconds", "Time to scan a message.", BUCKETS(quick)),
    M(METRIC_DELIVERIES, "deliveries_total", "Deliveries into mailboxes.", LABEL("result", results)),
    M(METRIC_DELIVERY_SECONDS, "delivery_seconds", "From the end of the message to its commit.",
      BUCKETS(quick)),
    M(METRIC_QUEUE_MESSAGES, "queue_messages", "Messages in the queue.", GAUGE),
    M(METRIC_TRANSACTIONS_OPEN, "transactions_open", "SMTP transactions open in the queue.", GAUGE),
    M(METRIC_QUEUE_ROWS, "queue_recipients", "Recipients in the queue, by state.", GAUGE,
      LABEL("state", rows)),
    M(METRIC_QUEUE_OLDEST_SECONDS, "queue_oldest_seconds", "Age of the oldest message in the queue.", GAUGE),
    M(METRIC_QUEUE_SENDING, "queue_sending", "Transactions with other servers under way.", GAUGE),
    M(METRIC_QUEUE_OUTCOMES, "queue_outcomes_total",
      "Attempts at other servers' recipients, by what came of them.", LABEL("outcome", relay_recipients)),
    M(METRIC_QUEUE_STAGE_SECONDS, "queue_stage_seconds",
      "Time of a transaction with another server, by stage.", BUCKETS(relay_times), LABEL("stage", stages)),
    M(METRIC_QUEUE_EXPIRED, "queue_expired_total", "Recipients given up because they were too old.",
      .kind = METRIC_COUNTER),
    M(METRIC_QUEUE_ROUTES_STOPPED, "queue_routes_stopped_total",
      "How often nothing more was sent to a destination for a while.", LABEL("why", stops)),
    M(METRIC_RELAY_QUOTA_USED, "relay_quota_used", "Of the relay's daily quota, what is used.", GAUGE,
      LABEL("relay", relays)),
    M(METRIC_RELAY_QUOTA_LIMIT, "relay_quota_limit", "The relay's daily quota.", GAUGE,
      LABEL("relay", relays)),
    M(METRIC_RELAY_STATE, "relay_state",
      "0: open, 1: not reached, 2: its quota is used up, 3: it refuses our login.", GAUGE,
      LABEL("relay", relays)),
    M(METRIC_BOUNCES, "notifications_total", "Delivery status notifications written.",
      LABEL("kind", bounces)),
    M(METRIC_DKIM_KEYS, "dkim_keys", "DKIM keys by whether their published record lets them sign.", GAUGE,
      LABEL("state", dkim_keys)),
    M(METRIC_DKIM_MESSAGES, "dkim_messages_total",
      "Messages of own domains that left, by what came of signing.", LABEL("result", dkim_messages)),
    M(METRIC_STORE_COMMITS, "store_commits_total", "Commits of the store.", .kind = METRIC_COUNTER),
    M(METRIC_STORE_COMMIT_SECONDS, "store_commit_seconds", "Time of a commit.", BUCKETS(quick)),
    M(METRIC_STORE_FSYNC_SECONDS, "store_fsync_seconds", "Time of an fsync of a message file.",
      BUCKETS(quick)),
    M(METRIC_STORE_MESSAGES_WRITTEN, "store_messages_written_total", "Message files written.",
      .kind = METRIC_COUNTER),
    M(METRIC_STORE_BYTES_WRITTEN, "store_bytes_written_total", "Bytes of message files written.",
      .kind = METRIC_COUNTER),
    M(METRIC_STORE_ACCOUNTS_OPEN, "store_accounts_open", "Account databases open.", GAUGE),
    M(METRIC_STORE_SPOOL_BYTES, "store_spool_bytes", "Bytes of message bodies on their way.", GAUGE),
    M(METRIC_STORE_FREE_BYTES, "store_free_bytes", "Free space of the data folder's file system.", GAUGE),
    M(METRIC_STORE_ERRORS, "store_errors_total", "Failed reads, writes and commits.", .kind = METRIC_COUNTER),
    M(METRIC_IMAP_COMMANDS, "imap_commands_total", "IMAP commands.", LABEL("command", imap_commands)),
    M(METRIC_IMAP_COMMAND_SECONDS, "imap_command_seconds", "Time to answer an IMAP command, IDLE left out.",
      BUCKETS(quick)),
    M(METRIC_IMAP_REPLIES, "imap_replies_total", "Tagged answers, and BYE.", LABEL("reply", replies)),
    M(METRIC_POP3_COMMANDS, "pop3_commands_total", "POP3 commands.", LABEL("command", pop3_commands)),
    M(METRIC_POP3_REPLIES, "pop3_replies_total", "POP3 replies.", LABEL("reply", pop3_replies)),
    M(METRIC_IMAP_IDLE, "imap_idle", "Sessions in IDLE.", GAUGE),
    M(METRIC_DNS_QUERIES, "dns_queries_total", "DNS questions, by answer.", LABEL("answer", answers)),
    M(METRIC_DNS_SECONDS, "dns_seconds", "Time to answer a DNS question.", BUCKETS(quick)),
    M(METRIC_RELAY_CONNECTIONS, "relay_connections_total",
      "Messages that got a new or a kept connection to another server, and connections that failed.",
      LABEL("how", relay_connections)),
    M(METRIC_RELAY_CONNECTIONS_OPEN, "relay_connections", "Connections to other servers.", GAUGE),
    M(METRIC_RELAY_RECIPIENTS, "relay_recipients_total", "Recipients tried at other servers, by outcome.",
      LABEL("outcome", relay_recipients)),
    M(METRIC_RELAY_SECONDS, "relay_seconds", "Time of sending a message, by stage.", BUCKETS(relay_times),
      LABEL("stage", relay_stages)),
    M(METRIC_RELAY_IDENTITY, "relay_identity",
      "1 for how DNS agrees with the name we say in EHLO and the addresses we call from, 0 for the others.",
      GAUGE, LABEL("state", identities)),
    M(METRIC_HTTP_REQUESTS, "http_requests_total", "HTTP requests by class of the answer.",
      LABEL("class", classes)),
    M(METRIC_ROLE_RESTARTS, "role_restarts_total", "Roles started again after they died or hung.",
      LABEL("role", roles)),
    M(METRIC_RELOADS, "reloads_total", "Configuration reloads.", LABEL("result", results)),
};

const struct metric_table metrics_table = {.defs = defs, .count = METRIC_ID_COUNT};

size_t metrics_command(const struct metric_label *commands, struct slice name)
{
    size_t at = metric_label_index(commands, name);
    if (at != SIZE_MAX)
        return at;
    return metric_label_index(commands, SLICE("other"));
}
