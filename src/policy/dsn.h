/* dsn.h: delivery status notifications: RFC 3461 (who wants one), 3464 (the fields), 6522 (the container),
 * 6533 (UTF-8 addresses). Pure: what happened goes in as facts, the message comes out as bytes. Called by
 * queue/.
 *
 * Everything a stranger chose (addresses, reply texts, names of hosts, subjects) is made harmless here: no
 * control bytes, no line of its own, bounded.
 */
#ifndef POLICY_DSN_H
#define POLICY_DSN_H

#include "base/buf.h"

#define DSN_RECIPIENTS_MAX 500            /* in one notification; the caller sends several for more */
#define DSN_DIAGNOSTIC_MAX 1000           /* bytes of a reply text that are told */
#define DSN_TEXT_MAX       320            /* of an address, a host name, an envelope id, a subject */
#define DSN_HEADER_MAX     (128u * 1024u) /* of the original header that is returned; cut at a line */
/* What dsn_write() adds at most, the original header included. */
#define DSN_MAX ((size_t)DSN_RECIPIENTS_MAX * 12288 + 2 * DSN_HEADER_MAX)

enum dsn_action {
    DSN_FAILED,
    DSN_DELAYED,
    DSN_DELIVERED,
    DSN_RELAYED,  /* accepted by a server that sends no notifications of its own */
    DSN_EXPANDED, /* given to the members of an alias or a list */
    DSN_ACTION_COUNT
};

/* Why, as far as it decides what the reader is told to do. */
enum dsn_reason {
    DSN_REASON_NONE, /* made out from the status */
    DSN_REASON_ADDRESS,
    DSN_REASON_DOMAIN,
    DSN_REASON_CLOSED, /* the mailbox is there, but takes nothing */
    DSN_REASON_FULL,
    DSN_REASON_SIZE,
    DSN_REASON_SPAM,
    DSN_REASON_SENDER,
    DSN_REASON_UNREACHABLE,
    DSN_REASON_TLS,
    DSN_REASON_CONVERSION, /* 8-bit text a 7-bit server cannot take */
    DSN_REASON_UTF8,       /* UTF-8 addresses or header, and a server without SMTPUTF8 */
    DSN_REASON_QUOTA,      /* our relay's limit of the day */
    DSN_REASON_RELAY,      /* our relay does not let us in: the operator's to mend */
    DSN_REASON_HELD,       /* stopped by the operator, or by a rule of his */
    DSN_REASON_LOOP,
    DSN_REASON_OPERATOR, /* given up by the operator */
    DSN_REASON_OTHER,
    DSN_REASON_COUNT
};

struct dsn_recipient {
    struct slice address; /* as the sender wrote it in RCPT; never the target of a forward */
    /* Where it went, when that is another address: taken out of the diagnostic, so that a notification does
     * not betray where somebody has his mail forwarded to (RFC 3464 section 4.1). Empty: nowhere else. */
    struct slice hidden;
    struct slice orcpt; /* decoded ORCPT with its type (grammar/xtext.h: xtext_orcpt_split()); empty: none */
    enum dsn_action action;
    enum dsn_reason reason;
    struct slice status; /* "5.1.1"; anything that is no status of this action becomes "5.0.0" and the like */
    struct slice remote; /* the host that answered or was tried; empty: it was ours to decide */
    struct slice diagnostic; /* its reply, whole ("550 5.1.1 no such user"), or our own words; empty: none */
    bool is_reply;           /* the diagnostic is a reply of `remote` in SMTP */
    int64_t last_attempt;    /* unix seconds; 0: not told */
    int64_t retry_until;     /* of a delay: when we give up; 0: not told */
};

struct dsn {
    struct slice hostname;   /* ours */
    struct slice postmaster; /* whom the reader may ask; empty: nobody is named */
    struct slice to;         /* the original sender, or postmaster */
    struct slice id;         /* queue id of this notification: makes its Message-ID */
    struct slice token;      /* letters and digits nobody can guess, for the boundary */
    int64_t now;             /* unix seconds */

    struct slice original_id; /* queue id of the message it is about */
    struct slice envid;       /* decoded; empty: none */
    int64_t arrival;          /* when it came; 0: not told */
    struct slice message_id;  /* of the original, with or without angle brackets; empty: unknown */
    struct slice references;  /* value of the original's field; empty: none or unknown */
    struct slice subject;     /* value of the original's field, told when it is plain text; empty: unknown */

    bool full;           /* the whole message is returned: the caller puts it between head and tail */
    bool eightbit;       /* it, or the header below, may hold bytes above 0x7f */
    bool smtputf8;       /* it came with SMTPUTF8: the sender can read UTF-8 header fields */
    struct slice header; /* its header block, returned when not `full`; whole lines; empty: not at hand */
    bool double_bounce;  /* for the postmaster: a notification that could not be delivered */

    const struct dsn_recipient *recipients;
    size_t count; /* 1 to DSN_RECIPIENTS_MAX */
};

/* What the notification needs to be sent. */
struct dsn_needs {
    bool eightbit, smtputf8;
};

/* Writes the notification up to where the original message begins (`full`), or all of it but the end into
 * `head`, and the end into `tail`. Lines end in CRLF; those of ours are at most 78 characters where their
 * words allow it. */
struct dsn_needs dsn_write(const struct dsn *dsn, struct buf *head, struct buf *tail);

/* Does the sender want to hear of it (RFC 3461 section 4.1)? `notify`: bits 1 NEVER, 2 SUCCESS, 4 FAILURE, 8
 * DELAY; 0: not given, which means failures and delays. */
bool dsn_wanted(uint32_t notify, enum dsn_action action);
/* "failed" */
const char *dsn_action_name(enum dsn_action action);
/* The reason an enhanced status code (RFC 3463) tells of; DSN_REASON_OTHER when it tells none. */
enum dsn_reason dsn_reason_of(struct slice status);
/* "address", for logs and `queue list --reason`. */
const char *dsn_reason_name(enum dsn_reason reason);

#endif
