/* wire.h: every message between two roles, in one table: the server's table of contents.
 *
 * A message is a plain struct here and length-prefixed fields on the link (wire.c, from the table of fields:
 * whole numbers as LEB128, byte strings with their length in front, names of grants as 16 bytes). Decoding is
 * pure and strict: an unknown type, a field over its maximum, a byte too few or too many, a type this peer
 * may not send — each is an ill-formed message. Slices of a decoded message point into the packet.
 *
 * Whoever adds a message adds: the type, the struct, its row in wire.c (who sends it to whom, its fields), a
 * handler.
 */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/ipc.h"
#include "wire/grant.h"

/* The rooms. The order is the order in which they are started. */
enum role {
    ROLE_SUPERVISOR,
    ROLE_DNS,
    ROLE_SCAN,
    ROLE_STORE,
    ROLE_AUTH,
    ROLE_QUEUE,
    ROLE_RELAY,
    ROLE_SMTP,
    ROLE_IMAP,
    ROLE_HTTP,
    ROLE_CONTROL, /* a command of the administrator on the control socket */
    ROLE_COUNT
};

const char *role_name(enum role role);

/* Bounds of fields. */
#define WIRE_NAME_MAX    1024u  /* addresses, accounts, paths in UTF-8 */
#define WIRE_MAILBOX_MAX 1024u  /* a mailbox name in UTF-8 */
#define WIRE_TEXT_MAX    1024u  /* a reply text, a reason */
#define WIRE_BLOB_MAX    60000u /* lists, facts, chunks of a body */
#define WIRE_HEADER_MAX  16384u /* the header block the store puts in front */
#define WIRE_FIELDS_MAX  24576u /* canonical header fields a signature covers */

enum wire_type {
    WIRE_NONE,
    WIRE_RESULT, /* the answer to a request that needs no more than that */

    /* supervisor -> every role, and back */
    WIRE_SUP_SETTINGS,
    WIRE_SUP_FILE,
    WIRE_SUP_LISTENER,
    WIRE_SUP_LOG,
    WIRE_SUP_METRICS,
    WIRE_SUP_PEER,
    WIRE_SUP_START,
    WIRE_SUP_PREPARE,
    WIRE_SUP_COMMIT,
    WIRE_SUP_ABORT,
    WIRE_SUP_DRAIN,
    WIRE_ROLE_READY,
    WIRE_ROLE_PREPARED,
    WIRE_ROLE_DRAINED,
    WIRE_ROLE_CONDEMN,

    /* logins: smtp, imap, http -> auth */
    WIRE_AUTH_BEGIN,
    WIRE_AUTH_STEP,
    WIRE_AUTH_CANCEL,
    WIRE_AUTH_RESULT,
    WIRE_AUTH_LOGOUT,
    WIRE_AUTH_MECHANISMS,

    /* who is who: auth -> store, queue */
    WIRE_GRANT_ADD,
    WIRE_GRANT_DROP,
    WIRE_GRANT_REPLAYED,
    WIRE_ACCOUNTS,

    /* a transaction: smtp -> queue */
    WIRE_QUEUE_MAIL,
    WIRE_QUEUE_RCPT,
    WIRE_QUEUE_COMMIT,
    WIRE_QUEUE_RESET,
    WIRE_SMTP_REPLY,

    /* bodies: smtp, imap -> store; store -> scan */
    WIRE_BODY_CHUNK,
    WIRE_BODY_DONE,
    WIRE_BODY_DROP,
    WIRE_SCAN_TASK,
    WIRE_SCAN_FACTS,

    /* delivery: queue -> store */
    WIRE_BODY_INFO,
    WIRE_BODY_FACTS,
    WIRE_DELIVER,
    WIRE_DELIVERED,
    WIRE_QUEUE_FILE_PUT,
    WIRE_QUEUE_FILE_DROP,
    WIRE_QUEUE_FILES,
    WIRE_QUEUE_FILE_OPEN,
    WIRE_QUEUE_FILE_FD,
    WIRE_QUOTA_CHECK,
    WIRE_STORE_STATE,

    /* mailboxes: imap (http) -> store */
    WIRE_MBOX_LIST,
    WIRE_MBOX_ROWS,
    WIRE_MBOX_STATUS,
    WIRE_MBOX_CREATE,
    WIRE_MBOX_DELETE,
    WIRE_MBOX_RENAME,
    WIRE_MBOX_SUBSCRIBE,
    WIRE_MBOX_SELECT,
    WIRE_MBOX_SELECTED,
    WIRE_MBOX_UNSELECT,
    WIRE_MBOX_CHANGED,
    WIRE_FACTS_GET,
    WIRE_FACTS_ROWS,
    WIRE_BODY_OPEN,
    WIRE_BODY_FILE,
    WIRE_FLAGS_STORE,
    WIRE_FLAGS_STORED,
    WIRE_EXPUNGE,
    WIRE_EXPUNGED,
    WIRE_REMOVE,
    WIRE_COPY,
    WIRE_COPIED,
    WIRE_APPEND,
    WIRE_APPENDED,
    WIRE_CANCEL,
    WIRE_SEARCH,
    WIRE_SEARCHED,
    WIRE_SORT,
    WIRE_THREAD,
    WIRE_ARRANGED,
    WIRE_VANISHED_GET,
    WIRE_VANISHED,
    WIRE_SAVED_GET,
    WIRE_SAVED,
    WIRE_QUOTA_GET,
    WIRE_QUOTA,
    WIRE_QUOTA_SET,
    WIRE_URL_OPEN,
    WIRE_URL_FETCH,
    WIRE_URL_SIGN,
    WIRE_URL_SIGNED,
    WIRE_URL_RESET,
    WIRE_METADATA_GET,
    WIRE_METADATA_ROWS,
    WIRE_METADATA_SET,
    WIRE_ACL_GET,
    WIRE_ACL,
    WIRE_ACL_SET,
    WIRE_MBOX_LISTEN,
    WIRE_MBOX_LISTENING,
    WIRE_MBOX_EVENTS,

    /* keys and rewritten addresses: queue -> auth, and back */
    WIRE_DKIM_KEYS,
    WIRE_DKIM_SIGN,
    WIRE_DKIM_SIGNED,
    WIRE_SRS,
    WIRE_SRS_ADDRESS,

    /* mail leaves: queue -> relay, and back */
    WIRE_RELAY_SEND,
    WIRE_RELAY_SENT,
    WIRE_RELAY_FORGET,
    WIRE_RELAY_SECRET_CHANGED,
    WIRE_RELAY_TEST,
    WIRE_DKIM_CHECK,
    WIRE_DKIM_PUBLISHED,

    /* names: smtp, scan, relay -> dns */
    WIRE_DNS_QUERY,
    WIRE_DNS_ANSWER,

    /* the door: smtp, imap, http -> auth, and back; auth <-> relay, which speaks to CrowdSec */
    WIRE_OFFENCE,
    WIRE_BAN_LIST,
    WIRE_DOOR_SAVE,
    WIRE_DOOR_SAVED,
    WIRE_GATEWAY_SEEN,
    WIRE_DECISIONS,
    WIRE_BAN_REPORT,

    /* access tokens: auth -> relay, which asks their issuer */
    WIRE_TOKEN_CHECK,
    WIRE_TOKEN_CHECKED,

    /* the administrator -> queue, which asks the others */
    WIRE_CONTROL,
    WIRE_CONTROL_OUTPUT,

    WIRE_COUNT
};

/* What exactly went wrong in the store, for IMAP's response codes (RFC 5530). */
enum store_code {
    STORE_CODE_NONE,
    STORE_CODE_NONEXISTENT,
    STORE_CODE_ALREADYEXISTS,
    STORE_CODE_TRYCREATE,
    STORE_CODE_OVERQUOTA,
    STORE_CODE_CANNOT,
    STORE_CODE_LIMIT,
    STORE_CODE_INUSE,
    STORE_CODE_NOPERM,
    STORE_CODE_UNAVAILABLE,
    STORE_CODE_EXPIRED, /* the grant is over: the session must end */
    STORE_CODE_EXPUNGEISSUED,
    STORE_CODE_HASCHILDREN,
    STORE_CODE_METADATA_TOOMANY, /* RFC 5464 */
    STORE_CODE_METADATA_MAXSIZE,
    STORE_CODE_COUNT
};

struct wire_result {
    uint32_t err;  /* enum err */
    uint32_t code; /* enum store_code */
    struct slice text;
};

/* ---- supervisor ---- */

/* Descriptor 0: a sealed memfd with the encoded settings (settings_decode_in). */
struct wire_sup_settings {
    uint64_t generation;
};

/* What an opened file is. `index` is the position in the settings' list it stands in. */
enum sup_file {
    SUP_FILE_TLS_CERT,
    SUP_FILE_TLS_KEY,
    SUP_FILE_ACCOUNTS,
    SUP_FILE_ALIASES,
    SUP_FILE_QUOTAS,
    SUP_FILE_CA_BUNDLE,
    SUP_FILE_TRUST_ANCHOR,
    SUP_FILE_RESOLV_CONF,
    SUP_FILE_CONTROL_SOCKET, /* listening; for queue */
    SUP_FILE_REGEXP,         /* settings->regexp_aliases */
    SUP_FILE_DKIM_KEY,       /* settings->dkim */
    SUP_FILE_SRS_SECRET,
    SUP_FILE_RELAY_SECRET,     /* 0: settings->relay; i: settings->relays[i - 1] (settings_relay_at) */
    SUP_FILE_RELAY_MAP,        /* settings->relay_maps[i].file */
    SUP_FILE_RELAY_MAP_SECRET, /* settings->relay_maps[i].sasl_file */
    SUP_FILE_CROWDSEC_KEY,
    SUP_FILE_CROWDSEC_MACHINE, /* the password */
    SUP_FILE_OAUTH_KEYS,
    SUP_FILE_OAUTH_SECRET,
    SUP_FILE_COUNT
};

/* Descriptor 0: the file, read-only; without one `text` says why it could not be opened. */
struct wire_sup_file {
    uint64_t generation;
    uint32_t kind; /* enum sup_file */
    uint32_t index;
    struct slice path;
    struct slice text;
};

/* Descriptor 0: the listening socket of settings->listeners[index]. */
struct wire_sup_listener {
    uint64_t generation;
    uint32_t index;
};

/* Descriptor 0: the output of settings->log[index], opened for appending. */
struct wire_sup_log {
    uint64_t generation;
    uint32_t index;
};

/* Descriptor 0: the block of counters of `role`; read-write for the role itself, for http read-only ones of
 * all. */
struct wire_sup_metrics {
    uint32_t role;
};

/* Descriptor 0: our end of a new link to `role`. */
struct wire_sup_peer {
    uint32_t role;
};

/* START: everything for the first generation was sent. PREPARE: everything of `generation` was sent; answer
 * with WIRE_ROLE_PREPARED. COMMIT, ABORT: use it, or forget it. */
struct wire_sup_phase {
    uint64_t generation;
};

/* Stop accepting, finish what is begun within `ms`, answer with WIRE_ROLE_DRAINED. */
struct wire_sup_drain {
    uint64_t ms;
};

struct wire_role_prepared {
    uint64_t generation;
    uint32_t err;
    struct slice text;
};

/* `role` sent what only a role that was taken over would send: restart it. */
struct wire_role_condemn {
    uint32_t role;
    struct slice text;
};

/* ---- logins ---- */

enum auth_service { AUTH_SERVICE_SUBMISSION, AUTH_SERVICE_IMAP, AUTH_SERVICE_HTTP, AUTH_SERVICE_POP3 };

/* A SASL exchange begins (RFC 4422). `initial` counts when has_initial is set (it may be empty). */
struct wire_auth_begin {
    uint32_t service;
    uint32_t listener; /* index in settings */
    uint32_t tls;      /* 1: the connection is encrypted */
    uint32_t has_initial;
    struct slice mechanism; /* upper case */
    struct slice initial;   /* decoded from base64 */
    struct slice client;    /* address as text */
    struct slice session;   /* the session's id in the log */
    struct slice bindings;  /* what a login can be bound to: sasl_offer_bindings() */
};

struct wire_auth_step {
    uint64_t exchange;
    struct slice data; /* decoded from base64 */
};

struct wire_auth_cancel {
    uint64_t exchange;
};

enum auth_status {
    AUTH_OK,
    AUTH_CONTINUE,  /* send `challenge`, answer with WIRE_AUTH_STEP */
    AUTH_FAILED,    /* wrong name or password; comes after the delay */
    AUTH_LATER,     /* auth cannot tell now */
    AUTH_MALFORMED, /* the blob is no SASL message of this mechanism */
    AUTH_NO_MECHANISM
};

struct wire_auth_result {
    uint32_t status;
    uint32_t repeated; /* of AUTH_FAILED: the wrong password this address sent for this account before, too */
    uint64_t exchange;
    struct slice challenge;
    struct slice account; /* canonical address */
    struct grant grant;
    struct slice text;
};

struct wire_auth_logout {
    struct grant grant;
};

/* Space separated names of the mechanisms every account can use now. */
struct wire_auth_mechanisms {
    struct slice names;
};

/* ---- who is who ---- */

/* `holder` (the role that asked for the login) may act for `account`. Answered with WIRE_RESULT before the
 * login is. */
struct wire_grant_add {
    struct grant grant;
    uint32_t holder;
    uint32_t replay; /* 1: sent again after a restart */
    struct slice account;
    struct slice session;
};

struct wire_grant_drop {
    struct grant grant;
};

/* All grants alive were sent again: names unknown from now on were never issued. */
struct wire_grant_replayed {
    uint32_t count;
};

/* Descriptor 0: sealed memfd, all account addresses: strings as wire_strings. Behind an address whose line in
 * the accounts file has a quota: a blank and its bytes in decimal. */
struct wire_accounts {
    uint64_t generation;
    uint32_t count;
};

/* ---- a transaction ---- */

/* Opens transaction `txn` of this link (numbers chosen by smtp, never reused). For submission (grant not
 * zero) it is a request answered with WIRE_SMTP_REPLY; for the MX a notice. */
struct wire_queue_mail {
    uint64_t txn;
    struct grant grant;
    uint32_t listener; /* index in settings */
    uint32_t smtputf8;
    uint32_t eightbit;
    uint32_t requiretls;
    uint32_t ret;        /* 0 none, 1 FULL, 2 HDRS (RFC 3461) */
    uint64_t size;       /* as announced, 0 unknown */
    struct slice sender; /* "local@domain" as address.h writes it; empty: the null reverse-path */
    struct slice envid;
    struct slice client;      /* address as text */
    struct slice client_name; /* verified PTR, or empty */
    struct slice helo;
    struct slice protocol; /* "ESMTPS", RFC 3848, RFC 6531 */
    struct slice tls;      /* "TLSv1.3 TLS_AES_256_GCM_SHA384", or empty */
    struct slice session;
};

struct wire_queue_rcpt {
    uint64_t txn;
    uint32_t notify; /* bits 1 NEVER 2 SUCCESS 4 FAILURE 8 DELAY; 0 not given */
    struct slice address;
    struct slice orcpt; /* decoded, "type;address" (grammar/xtext.h: xtext_orcpt_split()); empty: not given */
};

/* The body (whole, WIRE_BODY_DONE came with ERR_OK) belongs to the transaction now; answered with
 * WIRE_SMTP_REPLY after it is on disk. Both end with it. */
struct wire_queue_commit {
    uint64_t txn;
    uint64_t body;
};

struct wire_queue_reset {
    uint64_t txn;
};

struct wire_smtp_reply {
    uint32_t code;
    struct slice enhanced; /* "2.1.5" */
    struct slice text;
    struct slice id; /* queue id, when accepted */
};

/* ---- bodies ---- */

/* BODY_SUBMISSION: also what queue itself writes (delivery status notifications). BODY_SEVEN_BIT: a task of
 * scan only: the message is given back in a form without 8-bit bytes. */
enum body_kind { BODY_MX, BODY_SUBMISSION, BODY_APPEND, BODY_SEVEN_BIT };
enum { BODY_FIRST = 1, BODY_LAST = 2 };
/* In the number of every body queue writes itself, and of no other: queue names bodies of smtp's link to the
 * store as well as its own. */
#define WIRE_BODY_OF_QUEUE (UINT64_C(1) << 63)

/* A piece of body `body` of this link (numbers chosen by the sender, never reused), in order. BODY_LAST makes
 * it a request, answered with WIRE_BODY_DONE after `scan` read it; the others are notices. */
struct wire_body_chunk {
    uint64_t body;
    uint32_t flags;
    uint32_t kind; /* enum body_kind; counts with BODY_FIRST */
    struct slice data;
};

struct wire_body_done {
    uint32_t err;
    uint64_t size;
    uint32_t hops; /* Received fields */
    struct slice text;
};

struct wire_body_drop {
    uint64_t body;
};

/* Descriptor 0: the message, sealed or read-only. Answered with WIRE_SCAN_FACTS. */
struct wire_scan_task {
    uint32_t kind; /* enum body_kind */
    uint64_t size;
    struct slice hostname;   /* authserv-id whose Authentication-Results are not a stranger's to write */
    struct slice date;       /* value of the Date field to add when there is none (submission) */
    struct slice message_id; /* value of the Message-ID field to add when there is none (submission) */
};

/* `facts` as wire/facts.h, or in descriptor 0 (sealed memfd) when too long for a packet. For BODY_SEVEN_BIT:
 * descriptor 0 is the converted message (sealed memfd), `header_len` its header with the empty line, and
 * there are no facts; ERR_REFUSED when it cannot be converted without breaking a signature. The dkim_ fields
 * as in wire_body_facts, for BODY_SUBMISSION and BODY_SEVEN_BIT; empty when the message cannot be signed. */
struct wire_scan_facts {
    uint32_t err;
    uint32_t eightbit, utf8_header; /* as in wire_body_facts */
    uint64_t header_len;
    struct slice facts;
    struct slice dkim_hash, dkim_names, dkim_fields;
    struct slice text;
};

/* ---- delivery ---- */

/* What scan found in a whole body named by smtp; queue -> store. */
struct wire_body_info {
    uint64_t body;
};

struct wire_body_facts {
    uint32_t err;
    uint64_t size;
    uint32_t hops;
    uint32_t eightbit;         /* bytes over 127 in the body: needs 8BITMIME */
    uint32_t utf8_header;      /* bytes over 127 in a header: needs 8BITMIME, or SMTPUTF8 */
    struct slice from;         /* wire_strings: addresses of the header From */
    struct slice delivered_to; /* wire_strings */
    struct slice message_id;
    struct slice subject;     /* decoded, UTF-8; cut at WIRE_TEXT_MAX bytes, maybe inside a character */
    struct slice dkim_hash;   /* of BODY_SUBMISSION: SHA-256 of the relaxed canonical body, 32 bytes */
    struct slice dkim_names;  /* h=: "from:from:to:…", oversigned */
    struct slice dkim_fields; /* the fields of h= in relaxed canonical form, in that order, CRLF after each */
};

/* The file of a queued message, to be sent. With `seven_bit`, in the form scan makes of it (nothing of it is
 * kept). */
struct wire_queue_file_open {
    struct slice queue_id;
    uint32_t seven_bit;
};

/* Descriptor 0: read-only. err ERR_REFUSED: there is no seven-bit form; ERR_ABSENT: no such file. The
 * dkim_ fields only with `seven_bit`. */
struct wire_queue_file_fd {
    uint32_t err;
    uint64_t size;
    uint64_t header_len; /* with the empty line behind it */
    struct slice dkim_hash, dkim_names, dkim_fields;
    struct slice text;
};

/* Write the message for one account: idempotent by (queue_id, account). body 0: from the queue file of
 * queue_id. */
struct wire_deliver {
    struct slice queue_id;
    uint64_t body;
    uint32_t keep; /* 1: more deliveries of this body follow */
    struct slice account;
    struct slice mailbox; /* empty: INBOX */
    struct slice header;  /* our header block, whole lines */
    struct slice session;
};

struct wire_delivered {
    uint32_t err;
    uint32_t code; /* enum store_code */
    uint32_t uid;
    uint64_t message;
    struct slice text;
};

/* Keep the body as the file of a queued message until WIRE_QUEUE_FILE_DROP; durable when answered
 * (WIRE_RESULT). */
struct wire_queue_file {
    struct slice queue_id;
    uint64_t body;
};

/* Which files of queued messages may stay: `ids` (wire_strings), in several messages while `more`. Then the
 * store removes those of all other ids below `before`: what a crash left between the file and the rows of a
 * message. Ids sort by time. */
struct wire_queue_files {
    uint32_t more;
    struct slice before;
    struct slice ids;
};

/* Would `size` bytes more fit? WIRE_RESULT, ERR_REFUSED when not. */
struct wire_quota_check {
    struct slice account;
    uint64_t size;
};

/* store -> queue, imap: free space below the reserve. */
struct wire_store_state {
    uint32_t space_low;
};

#include "wire/door_messages.h"
#include "wire/leaving_messages.h"
#include "wire/mailbox_messages.h"

/* ---- names ---- */

struct wire_dns_query {
    uint32_t rrtype;
    struct slice name; /* A-labels */
};

enum dns_status { DNS_OK, DNS_NODATA, DNS_NXDOMAIN, DNS_FAILED, DNS_BOGUS };

struct wire_dns_answer {
    uint32_t status;
    uint32_t secure; /* validated by DNSSEC */
    uint32_t ttl;
    struct slice canonical;
    struct slice records; /* wire_strings: rdata in wire form, names uncompressed */
};

/* ---- control ---- */

/* What does the issuer say about this access token (RFC 7662)? Answered with WIRE_TOKEN_CHECKED. */
struct wire_token_check {
    struct slice token;
};

/* claims: its answer, JSON. err: it did not answer; `text` says why. */
struct wire_token_checked {
    uint32_t err;
    struct slice claims;
    struct slice text;
};

/* One command line: arguments as wire_strings, the first its name. Answered by WIRE_CONTROL_OUTPUT packets.
 * The supervisor knows one more word, "look": look for changed files now. */
struct wire_control {
    uint32_t json;
    struct slice arguments;
};

struct wire_control_output {
    uint32_t exit_code; /* of the last packet */
    struct slice text;
};

/* ---- coding ---- */

/* Appends the encoded struct. A slice over its maximum is our own fault and marks `out` as overflowed. */
void wire_encode(enum wire_type type, const void *message, struct buf *out);
/* Decodes into the struct of `type` (wire_size() bytes); slices point into `body`. ERR_BAD when ill-formed.
 */
enum err wire_decode(enum wire_type type, struct slice body, void *message) MUST_CHECK;
/* The grant a message names; NULL where it names none. */
const struct grant *wire_grant(enum wire_type type, const void *message);
size_t wire_size(enum wire_type type);
const char *wire_name(enum wire_type type);
/* May `from` send this to `to`? The peer matrix. */
bool wire_allowed(enum wire_type type, enum role from, enum role to);

/* Encode and send on a link; see ipc.h. */
enum err wire_send(struct ipc_link *link, enum wire_type type, const void *message) MUST_CHECK;
enum err wire_send_fds(struct ipc_link *link, enum wire_type type, const void *message, const int *fds,
                       unsigned count) MUST_CHECK;
uint32_t wire_call(struct ipc_link *link, enum wire_type type, const void *message, unsigned deadline_ms,
                   ipc_done *done, void *ctx);
uint32_t wire_call_fds(struct ipc_link *link, enum wire_type type, const void *message, const int *fds,
                       unsigned count, unsigned deadline_ms, ipc_done *done, void *ctx);
void wire_reply(struct ipc_link *link, uint32_t request, enum wire_type type, bool more, const void *message);
void wire_reply_fds(struct ipc_link *link, uint32_t request, enum wire_type type, bool more,
                    const void *message, const int *fds, unsigned count);
/* Answers with WIRE_RESULT. */
void wire_reply_result(struct ipc_link *link, uint32_t request, enum err err, enum store_code code,
                       struct slice text);
/* For an ipc_done callback: decodes the reply if it came and has the expected type. Otherwise ERR_LATER (no
 * answer) or ERR_INTERNAL (a wrong one); `message` is zeroed then. */
enum err wire_answer(enum err err, const struct ipc_packet *packet, enum wire_type expected,
                     void *message) MUST_CHECK;

/* Lists of byte strings in one slice: varint length and bytes, each. */
void wire_strings_add(struct buf *list, struct slice s);
bool wire_strings_take(struct slice *list, struct slice *s) MUST_CHECK;

/* Pairs of le32 in one slice: ranges of UIDs, ascending and not overlapping. */
void wire_range_add(struct buf *list, uint32_t first, uint32_t last); /* extends the last pair where it can */
bool wire_range_take(struct slice *list, uint32_t *first, uint32_t *last) MUST_CHECK;

bool grant_is_none(const struct grant *grant);
bool grant_eq(const struct grant *a, const struct grant *b);

#endif
