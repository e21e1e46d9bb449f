/* session.h: the inside of the smtp role: its context, one client's session, its transaction.
 *
 * What happens to a line: session.c cuts it off the stream, command.c parses it, looks its row up in the
 * command table and calls the command's function (cmd_*.c). A command that needs another role makes a call
 * and returns with session->waits set; the answer's callback sends the reply and smtp_session_continue() goes
 * on with the next line.
 */
#ifndef SMTP_SESSION_H
#define SMTP_SESSION_H

#include "base/arena.h"
#include "base/coll.h"
#include "grammar/smtp_command.h"
#include "grammar/smtp_data.h"
#include "grammar/smtp_reply.h"
#include "net/service.h"
#include "settings/compat.h"
#include "settings/metrics.h"
#include "wire/wire.h"

/* Bounds on what one client can make us do. */
#define SMTP_ERRORS_MAX        20u   /* wrong commands of one session; then 421 */
#define SMTP_REFUSED_MAX       200u  /* recipients refused in one session; then 421 */
#define SMTP_EXCESS_MAX        1000u /* recipients past limits.recipients in one session; then 421 */
#define SMTP_AUTH_FAILURES_MAX 3u
#define SMTP_MAILS_MAX         100000u      /* MAILMAX of RFC 9422 */
#define SMTP_RCPT_AHEAD        16u          /* pipelined RCPTs asked for at once */
#define SMTP_CHUNK             60000u       /* of a body; WIRE_BLOB_MAX */
#define SMTP_HEADER_MAX        (1u << 20)   /* bytes of a message's header */
#define SMTP_SKIP_MAX          (1u << 20)   /* thrown away of one line, waiting for its end */
#define SMTP_DISCARD_MAX       (256u << 20) /* thrown away of a message already refused, waiting for its end */
#define SMTP_SESSION_ARENA_MAX (64u << 10)
#define SMTP_TXN_ARENA_MAX     (64u << 10)
#define SMTP_SCRATCH_MAX       (256u << 10)
#define SMTP_MECHANISMS_MAX    256u
#define SMTP_TEXT_MS           (4u * 3600 * 1000) /* for the text of one message, on the slowest of lines */
#define SMTP_ID_LEN            12

/* How long another role may take. */
#define SMTP_QUEUE_MS  30000u
#define SMTP_AUTH_MS   60000u
#define SMTP_BODY_MS   180000u /* the sandbox reads it */
#define SMTP_COMMIT_MS 180000u /* on disk in every mailbox */
#define SMTP_DNS_MS    10000u

/* The role's one context. */
struct smtp {
    struct loop *loop;
    struct role_run *run; /* NULL in unit tests */
    const struct settings *settings;
    struct ipc_link *queue, *store, *auth, *dns;
    uint64_t queue_epoch,
        store_epoch; /* counted up when the link goes down: transactions begun before are lost */
    struct service service;
    char mechanisms[SMTP_MECHANISMS_MAX + 1]; /* " PLAIN LOGIN": what auth can do now; empty: auth is away */
    struct smtp_gateways *gateways;           /* private addresses that hide many clients */
    struct smtp_greeter *greeter; /* strangers before the greeting, and those who passed (greet.h) */
    struct map *addresses;        /* sessions per client (struct smtp_address) */
    uint64_t next_txn, next_body;
    struct arena *scratch; /* of one command, reset behind it */
};

enum smtp_state {
    SMTP_STATE_GREET, /* a stranger that waits for our greeting */
    SMTP_STATE_NEW,   /* the client has not said EHLO */
    SMTP_STATE_READY, /* greeted, no transaction */
    SMTP_STATE_MAIL,  /* a transaction, no recipient yet */
    SMTP_STATE_RCPT,  /* at least one recipient */
    SMTP_STATE_DATA,  /* the text behind DATA arrives */
    SMTP_STATE_BDAT,  /* between two chunks of BDAT */
    SMTP_STATE_CHUNK, /* inside a chunk of BDAT */
    SMTP_STATE_AUTH,  /* the next line is a SASL response */
    SMTP_STATE_TLS,   /* handshake */
    SMTP_STATE_CLOSED,
    SMTP_STATE_COUNT
};
#define SMTP_IN(state) (1u << (state))

/* Which answer the session waits for; it processes nothing else meanwhile, but RCPT while it waits for RCPT.
 */
enum smtp_wait {
    SMTP_WAITS_NOT,
    SMTP_WAITS_MAIL,
    SMTP_WAITS_RCPT,
    SMTP_WAITS_BODY,
    SMTP_WAITS_COMMIT,
    SMTP_WAITS_AUTH
};

/* What the client has to do in time. */
enum smtp_clock { SMTP_CLOCK_STOPPED, SMTP_CLOCK_COMMAND, SMTP_CLOCK_TEXT };

struct smtp_rcpt_call {
    struct smtp_session *session;
    uint32_t request; /* 0: answered */
    struct wire_smtp_reply reply;
    char *late; /* holds the texts of an answer that came before its turn */
    size_t address_len;
    char address[ADDRESS_MAX + 1];
};

/* One message on its way in. Zeroed between transactions; its memory is the session's `txn_arena`. */
struct smtp_txn {
    uint64_t id; /* 0: none is open with the queue */
    uint64_t epoch;
    uint64_t started_ms;
    struct slice sender, first_rcpt;
    bool smtputf8;
    unsigned accepted, refused;
    struct smtp_rcpt_call *calls; /* a ring of SMTP_RCPT_AHEAD */
    unsigned call_at, call_count;
};

/* What was given to the store of the message. */
struct smtp_body {
    uint64_t id; /* 0: none was begun */
    uint64_t epoch;
    struct smtp_data data;
    struct buf chunk;
    bool begun, lost; /* lost: refused already, the rest is thrown away */
    uint64_t discarded, started_ms;
    uint64_t header_size;
    uint32_t header_line; /* bytes of the current line of the header */
    bool header_done;
    uint64_t bdat_left;
    bool bdat_last;
    bool orphan; /* a chunk out of order: its bytes are thrown away, then it gets its 503 */
};

struct smtp_session {
    struct list node;
    struct smtp *smtp;
    struct stream *stream;
    struct service_port *port;
    enum smtp_state state;
    enum smtp_wait waits;
    enum smtp_clock clock;
    uint32_t request; /* of the pending call, where it is not RCPT's or AUTH's */
    char id[SMTP_ID_LEN];
    bool trusted, probe, esmtp, eof, starved, running, quit, skipping;
    bool from_proxy; /* the client is a load balancer, without a PROXY header */
    bool deferred;   /* it was told to come later, or that its password is old: no wonder that it leaves */
    bool told;       /* its line in the log was written: a security event */
    size_t skipped;  /* octets of a line too long */
    uint64_t started_ms;
    struct netaddr_text client;
    struct arena *arena, *txn_arena;
    struct slice helo, client_name, account;
    struct grant grant;
    uint64_t exchange;           /* of SASL */
    struct smtp_auth_call *auth; /* pending */
    char mechanism[21];
    struct smtp_ptr *ptr;         /* pending look-up of the client's name */
    struct smtp_waiting *waiting; /* in SMTP_STATE_GREET */
    unsigned errors, refused, excess, auth_failures;
    uint64_t mails, accepted, commands;
    struct smtp_address *address; /* counted there, or NULL */
    const char *stage;            /* the last command, for the log */
    struct smtp_txn txn;
    struct smtp_body body;
};

/* ---- role.c ---- */
/* Without run, links and listeners: for role.c, and for tests which put their own in. */
struct smtp *smtp_new(struct loop *loop, const struct settings *settings);
void smtp_free(struct smtp *smtp);
void smtp_peer(struct smtp *smtp, enum role peer, bool up);
void smtp_store_drained(struct smtp *smtp);
bool smtp_take_mechanisms(struct smtp *smtp, const struct wire_auth_mechanisms *m);

/* ---- session.c ---- */
void smtp_session_begin(struct smtp *smtp, struct stream *stream, const struct listener_arrival *arrival,
                        struct service_port *port);
/* Ends at once: calls are cancelled, the transaction is dropped. */
void smtp_session_free(struct smtp_session **session);
/* The one place where the state changes. */
void smtp_session_enter(struct smtp_session *s, enum smtp_state state);
/* Goes on with the input behind an answer, and sends what was replied. `s` may be gone afterwards. */
void smtp_session_continue(struct smtp_session *s);
/* Replies 421 where it does not disturb and closes. */
void smtp_session_close(struct smtp_session *s, const char *status, const char *text);
/* No transaction and no answer is pending. */
bool smtp_session_is_idle(const struct smtp_session *s);
/* Too much of what the client sent was wrong. */
bool smtp_session_is_hopeless(const struct smtp_session *s);
const char *smtp_session_state_name(enum smtp_state state);

/* ---- reply.c ---- */
void smtp_send(struct smtp_session *s, unsigned code, const char *status, const char *text);
void smtp_send_slices(struct smtp_session *s, unsigned code, struct slice status, struct slice text);
/* A reply which counts as an error of the client's. */
void smtp_send_error(struct smtp_session *s, unsigned code, const char *status, const char *text);
/* Another role did not answer, or said so: 451 4.3.0. */
void smtp_send_later(struct smtp_session *s);
/* Passes a reply of the queue on. */
void smtp_send_wire(struct smtp_session *s, const struct wire_smtp_reply *r);

/* ---- command.c ---- */
void smtp_command_run(struct smtp_session *s, struct slice line);
/* Is the next line of the input a whole RCPT, which may be run while others wait for their answer? */
bool smtp_command_is_rcpt(struct slice input);

/* ---- cmd_*.c ---- */
typedef void smtp_handler(struct smtp_session *s, const struct smtp_command *command);
smtp_handler smtp_cmd_ehlo, smtp_cmd_helo, smtp_cmd_mail, smtp_cmd_rcpt, smtp_cmd_data, smtp_cmd_bdat,
    smtp_cmd_rset, smtp_cmd_noop, smtp_cmd_vrfy, smtp_cmd_help, smtp_cmd_quit, smtp_cmd_starttls,
    smtp_cmd_auth, smtp_cmd_not_offered;
/* Refuses one recipient, behind the replies to those before it. */
void smtp_rcpt_refuse(struct smtp_session *s, struct slice address, unsigned code, const char *status,
                      const char *text);
/* A SASL response. */
void smtp_auth_line(struct smtp_session *s, struct slice line);
/* The session ends or is reset while an exchange is open. */
void smtp_auth_abandon(struct smtp_session *s);
/* Gives the grant back, if there is one: nobody is logged in any more. */
void smtp_auth_logout(struct smtp_session *s);
bool smtp_auth_is_offered(const struct smtp_session *s);

/* ---- txn.c ---- */
/* Forgets the transaction, here and with the queue and the store. */
void smtp_txn_reset(struct smtp_session *s);
/* The queue took it over or refused it: forgets it here only. */
void smtp_txn_done(struct smtp_session *s);
/* The queue that knew of it is still there. */
bool smtp_txn_is_alive(const struct smtp_session *s);

/* ---- body.c ---- */
void smtp_body_begin(struct smtp_session *s, bool plain);
/* Takes what belongs to the body off the input; false when it must wait or the body ended. */
bool smtp_body_take_data(struct smtp_session *s);
bool smtp_body_take_chunk(struct smtp_session *s);
void smtp_body_drop(struct smtp_session *s);

/* ---- greet.c ---- */
/* Greets, now or (a stranger) after a while. */
void smtp_greet_begin(struct smtp_session *s);
/* It behaved before the greeting some day and is remembered. */
bool smtp_greet_is_known(const struct smtp_session *s);
/* In SMTP_STATE_GREET: is there input already? True when that ended the session. */
bool smtp_greet_early(struct smtp_session *s);
/* The first thing a client says: is it TLS on a port without? True when that ended the session. */
bool smtp_greet_is_lost(struct smtp_session *s);
/* The session ends: it waits no more. */
void smtp_greet_abandon(struct smtp_session *s);
/* The client did what it should not: told to the log and to auth. `compat` (may be NULL): its form for tools
 * that read Postfix's log. False for those whom nothing is held against (own machines, load balancers, who
 * has logged in): then nothing is told. */
bool smtp_offence(struct smtp_session *s, enum offence kind, struct slice detail,
                  const struct compat_line *compat);

/* ---- ptr.c ---- */
void smtp_ptr_begin(struct smtp_session *s);
void smtp_ptr_abandon(struct smtp_session *s);

/* ---- report.c: the role's lines in the log ---- */
void smtp_report_session(const struct smtp_session *s, const char *end);
void smtp_report_rejected(const struct smtp_session *s, const char *stage, struct slice to, unsigned code,
                          struct slice status, struct slice text);
void smtp_report_accepted(const struct smtp_session *s, const struct wire_smtp_reply *r, uint64_t size);
/* The message as a whole. */
void smtp_report_refused(const struct smtp_session *s, unsigned code, struct slice status, struct slice text);
void smtp_report_login(const struct smtp_session *s, const char *mechanism);
/* `repeated`: with the same wrong password as before: tools that ban see nothing of it. */
void smtp_report_login_failed(const struct smtp_session *s, const char *mechanism, enum auth_status status,
                              bool repeated);
void smtp_report_lost(const struct listener_arrival *arrival, const struct netaddr *client,
                      enum listener_loss loss, const char *text);

/* ---- limit.c ---- */
/* NULL, or the 421 the connection gets. */
const struct smtp_reply_text *smtp_limit_arrival(struct smtp_session *s);
void smtp_limit_leave(struct smtp_session *s);
/* How long the session may take for its next command, which would have `ms` otherwise. */
uint64_t smtp_limit_time(const struct smtp_session *s, uint64_t ms);
/* May it send one more message, name one more recipient? Counts it; false: `reply` says which limit it hit.
 */
bool smtp_limit_mail(const struct smtp_session *s, const struct smtp_mail *mail,
                     struct smtp_reply_text *reply) MUST_CHECK;
bool smtp_limit_rcpt(const struct smtp_session *s, struct smtp_reply_text *reply) MUST_CHECK;
/* So much of a message's text came, whatever becomes of it; the message was accepted. */
void smtp_limit_text(const struct smtp_session *s, uint64_t bytes);
void smtp_limit_accepted(const struct smtp_session *s);
/* An address of ban_policy.spam_traps, named by a stranger. */
bool smtp_limit_is_trap(const struct smtp_session *s, struct slice address);
/* Too much of what it sent was wrong: an offence where that was the protocol. */
void smtp_limit_hopeless(const struct smtp_session *s);
/* A recipient got this reply: it may be an offence. */
void smtp_limit_refused(const struct smtp_session *s, struct slice address, const struct wire_smtp_reply *r);

#endif
