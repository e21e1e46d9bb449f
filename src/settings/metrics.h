/* metrics.h: Rockdove's metrics: ids, and the table base/metric.c counts in. Names are part of the outside
 * contract. */
#ifndef SETTINGS_METRICS_H
#define SETTINGS_METRICS_H

#include "base/metric.h"

enum metric_id {
    /* connections; label: service (enum metric_service) */
    METRIC_CONNECTIONS,
    METRIC_SESSIONS,            /* gauge; open now */
    METRIC_CONNECTIONS_REFUSED, /* label: reason (enum metric_refusal) */
    METRIC_HEALTH_CHECKS,
    METRIC_PROXY_HEADERS,  /* label: kind (enum metric_proxy) */
    METRIC_TLS_HANDSHAKES, /* label: result (enum metric_result) */

    /* smtp */
    METRIC_SMTP_REPLIES,  /* label: class 2 3 4 5 -> index class - 2 */
    METRIC_SMTP_COMMANDS, /* label: command; metric_label_index() */
    METRIC_SMTP_SESSION_SECONDS,
    METRIC_MESSAGES_ACCEPTED, /* label: service; counted by queue at commit */
    METRIC_MESSAGES_REFUSED,  /* label: service */
    METRIC_BYTES_ACCEPTED,    /* by smtp, which has counted them */
    METRIC_RECIPIENTS,        /* label: outcome (enum metric_recipient) */

    /* the door */
    METRIC_SECURITY_EVENTS,  /* label: kind (enum offence of wire.h) */
    METRIC_BANS,             /* gauge; label: source (enum metric_ban) */
    METRIC_BANS_MADE,        /* label: result (enum metric_ban_made) */
    METRIC_EARLY_GREETINGS,  /* strangers before the greeting; label: result (enum metric_greeting) */
    METRIC_DNS_LISTS,        /* gauge; label: state: on, off */
    METRIC_CLIENTS_KNOWN,    /* gauge: strangers that passed */
    METRIC_CROWDSEC_UP,      /* gauge: the last look at the LAPI went well */
    METRIC_CROWDSEC_REPORTS, /* label: result */

    /* logins, all counted by auth; labels: service, result (enum metric_login) */
    METRIC_LOGINS,
    METRIC_LOGIN_SECONDS,
    METRIC_AUTH_MEMORY_HITS,
    METRIC_AUTH_GRANTS, /* gauge */

    /* scan */
    METRIC_SCANS, /* label: result */
    METRIC_SCAN_SECONDS,

    /* queue */
    METRIC_DELIVERIES,           /* label: result */
    METRIC_DELIVERY_SECONDS,     /* from end of DATA to the commit */
    METRIC_QUEUE_MESSAGES,       /* gauge */
    METRIC_TRANSACTIONS_OPEN,    /* gauge */
    METRIC_QUEUE_ROWS,           /* gauge; label: state (enum metric_row) */
    METRIC_QUEUE_OLDEST_SECONDS, /* gauge */
    METRIC_QUEUE_SENDING,        /* gauge */
    METRIC_QUEUE_OUTCOMES,       /* label: outcome (enum relay_outcome of wire/relay.h) */
    METRIC_QUEUE_STAGE_SECONDS,  /* label: stage */
    METRIC_QUEUE_EXPIRED,
    METRIC_QUEUE_ROUTES_STOPPED, /* label: why */
    METRIC_RELAY_QUOTA_USED,     /* gauge; label: relay, by its place in the settings */
    METRIC_RELAY_QUOTA_LIMIT,    /* gauge; the same */
    METRIC_RELAY_STATE,          /* gauge; the same; 0 open, 1 not reached, 2 out of quota, 3 login refused */
    METRIC_BOUNCES,              /* label: kind (enum metric_bounce) */
    METRIC_DKIM_KEYS,            /* gauge; label: state (enum metric_dkim_key) */
    METRIC_DKIM_MESSAGES,        /* label: result (enum metric_dkim_message) */

    /* store */
    METRIC_STORE_COMMITS,
    METRIC_STORE_COMMIT_SECONDS,
    METRIC_STORE_FSYNC_SECONDS,
    METRIC_STORE_MESSAGES_WRITTEN,
    METRIC_STORE_BYTES_WRITTEN,
    METRIC_STORE_ACCOUNTS_OPEN, /* gauge */
    METRIC_STORE_SPOOL_BYTES,   /* gauge */
    METRIC_STORE_FREE_BYTES,    /* gauge */
    METRIC_STORE_ERRORS,

    /* imap */
    METRIC_IMAP_COMMANDS, /* label: command; metric_label_index() */
    METRIC_IMAP_COMMAND_SECONDS,
    METRIC_IMAP_REPLIES,  /* label: ok no bad bye (enum metric_imap_reply) */
    METRIC_POP3_COMMANDS, /* label: command; metric_label_index() */
    METRIC_POP3_REPLIES,  /* label: ok err (enum metric_pop3_reply) */
    METRIC_IMAP_IDLE,     /* gauge */

    /* names */
    METRIC_DNS_QUERIES, /* label: outcome (enum metric_dns) */
    METRIC_DNS_SECONDS,

    /* relay */
    METRIC_RELAY_CONNECTIONS,      /* label: how (enum metric_relay_connection) */
    METRIC_RELAY_CONNECTIONS_OPEN, /* gauge */
    METRIC_RELAY_RECIPIENTS,       /* label: outcome (enum metric_relay_recipient) */
    METRIC_RELAY_SECONDS,          /* label: stage (enum metric_relay_stage) */
    METRIC_RELAY_IDENTITY, /* gauge, 1 for what holds; label: enum identity_state of relay/identity.h */

    /* http */
    METRIC_HTTP_REQUESTS, /* label: class 2 3 4 5 -> index class - 2 */

    /* processes */
    METRIC_ROLE_RESTARTS, /* label: role (enum role of wire.h) */
    METRIC_RELOADS,       /* label: result */
    METRIC_ID_COUNT
};

enum metric_service {
    METRIC_MX,
    METRIC_SUBMISSION,
    METRIC_IMAP,
    METRIC_HTTP,
    METRIC_POP3,
    METRIC_SERVICE_COUNT
}; /* as enum settings_service */
enum metric_refusal {
    METRIC_REFUSED_FULL,
    METRIC_REFUSED_ADDRESS,
    METRIC_REFUSED_DRAINING,
    METRIC_REFUSED_BANNED,
    METRIC_REFUSED_RATE,    /* connections per minute */
    METRIC_REFUSED_NETWORK, /* its network's share of a nearly full service */
    METRIC_REFUSED_OTHER
};
enum metric_ban { METRIC_BAN_OURS, METRIC_BAN_BY_HAND, METRIC_BAN_CROWDSEC };
enum metric_ban_made { METRIC_BAN_SET, METRIC_BAN_WOULD, METRIC_BAN_SPARED };
enum metric_greeting {
    METRIC_GREETING_PASSED,
    METRIC_GREETING_KNOWN, /* passed before: not delayed */
    METRIC_GREETING_EARLY,
    METRIC_GREETING_LISTED,
    METRIC_GREETING_LEFT
};
enum metric_proxy {
    METRIC_PROXY_V1,
    METRIC_PROXY_V2,
    METRIC_PROXY_LOCAL,
    METRIC_PROXY_BAD,
    METRIC_PROXY_TIMEOUT,
    METRIC_PROXY_UNTRUSTED
};
enum metric_result { METRIC_OK, METRIC_FAILED, METRIC_LATER };
enum metric_recipient {
    METRIC_RCPT_LOCAL,
    METRIC_RCPT_REMOTE,
    METRIC_RCPT_UNKNOWN,
    METRIC_RCPT_REFUSED,
    METRIC_RCPT_LATER
};
/* The first ones as enum dsn_action. */
enum metric_row { METRIC_ROWS_ACTIVE, METRIC_ROWS_WAITING, METRIC_ROWS_HELD };
enum metric_bounce {
    METRIC_BOUNCE_FAILED,
    METRIC_BOUNCE_DELAYED,
    METRIC_BOUNCE_DELIVERED,
    METRIC_BOUNCE_RELAYED,
    METRIC_BOUNCE_EXPANDED,
    METRIC_BOUNCE_DOUBLE, /* to postmaster */
    METRIC_BOUNCE_DROPPED /* a notification to postmaster that failed */
};
enum metric_relay_connection { METRIC_RELAY_OPENED, METRIC_RELAY_REUSED, METRIC_RELAY_FAILED };
enum metric_relay_recipient {
    METRIC_RELAY_SENT,
    METRIC_RELAY_LATER,
    METRIC_RELAY_REFUSED,
    METRIC_RELAY_SEVEN_BIT,
    METRIC_RELAY_LOGIN,
    METRIC_RELAY_UNKNOWN
}; /* as enum relay_outcome */
enum metric_relay_stage {
    METRIC_RELAY_LOOKUP,
    METRIC_RELAY_CONNECT,
    METRIC_RELAY_ENVELOPE,
    METRIC_RELAY_TEXT,
    METRIC_RELAY_FINAL
};
enum metric_dkim_key { METRIC_DKIM_SIGNING, METRIC_DKIM_UNUSABLE };
enum metric_dkim_message { METRIC_DKIM_SIGNED, METRIC_DKIM_UNSIGNED, METRIC_DKIM_HELD };
enum metric_login { METRIC_LOGIN_OK, METRIC_LOGIN_FAILED, METRIC_LOGIN_LATER };
#define METRIC_LOGIN_AT(service, login) ((size_t)(service)*3 + (size_t)(login))
enum metric_imap_reply { METRIC_IMAP_OK, METRIC_IMAP_NO, METRIC_IMAP_BAD, METRIC_IMAP_BYE };
enum metric_pop3_reply { METRIC_POP3_OK, METRIC_POP3_ERR };
enum metric_dns {
    METRIC_DNS_OK,
    METRIC_DNS_NODATA,
    METRIC_DNS_NXDOMAIN,
    METRIC_DNS_FAILED,
    METRIC_DNS_BOGUS
};

extern const struct metric_table metrics_table;
/* Label values of METRIC_SMTP_COMMANDS, METRIC_IMAP_COMMANDS and METRIC_POP3_COMMANDS, "other" last. */
extern const struct metric_label metrics_smtp_commands, metrics_imap_commands, metrics_pop3_commands;
/* Index of the command, or of "other". Compares without case. */
size_t metrics_command(const struct metric_label *commands, struct slice name);

#endif
