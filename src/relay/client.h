/* client.h: one SMTP client session: a connection to one server, and the messages sent over it one by one.
 *
 * connect -> greeting -> EHLO (HELO) -> STARTTLS -> EHLO -> AUTH -> idle; client_send() runs one job: as many
 * transactions as the server's limits ask for. Whatever the server does, every recipient of a job gets a
 * definite outcome and the owner is told exactly once. The server is a stranger: replies are parsed by
 * grammar/smtp_reply_parse.c, each stage has its own time limit, and nothing it sends is believed before we
 * asked for it.
 *
 * Owned by pool.c (and by the relay test). All calls on the loop's thread; callbacks come from the loop, and
 * from inside them every function here may be called.
 */
#ifndef RELAY_CLIENT_H
#define RELAY_CLIENT_H

#include "base/arena.h"
#include "base/loop.h"
#include "grammar/netaddr.h"
#include "grammar/smtp_command.h"
#include "grammar/smtp_ehlo.h"
#include "net/tls_client.h"
#include "relay/sasl.h"

#define CLIENT_RCPTS_MAX  2000 /* recipients of one job */
#define CLIENT_ROUNDS_MAX 20   /* transactions of one job (LIMITS RCPTMAX, 452 "too many recipients") */
#define CLIENT_TEXT_MAX   1000 /* bytes kept of a reply's text */
#define CLIENT_ID_LEN     12

enum client_tls {
    CLIENT_TLS_NONE,          /* in the clear, also when STARTTLS is offered */
    CLIENT_TLS_OPPORTUNISTIC, /* when offered; the certificate is not looked at */
    CLIENT_TLS_REQUIRED,      /* encrypted or not at all; the certificate is not looked at */
    CLIENT_TLS_VERIFY         /* and the certificate as `peer` demands (name or DANE) */
};

/* What became of a recipient, or of the connection. */
enum client_outcome {
    CLIENT_PENDING, /* not decided yet; never told to the owner */
    CLIENT_ACCEPTED,
    CLIENT_TEMPORARY,
    CLIENT_PERMANENT,
    CLIENT_UNKNOWN, /* the connection was lost behind the final dot: the server may have taken it. To be
                       treated as temporary; the next attempt may be a duplicate */
    CLIENT_NEEDS_SEVEN_BIT, /* nothing was sent: the server takes no 8-bit message */
    CLIENT_STALE,           /* a reused connection was gone before the message was sent: try on a new one */
    CLIENT_UNREACHABLE,     /* no connection, or none that speaks SMTP: the next address may do */
    CLIENT_TLS_FAILED,      /* TLS was demanded and could not be had, or failed: verdict says why */
    CLIENT_AUTH_REFUSED,    /* 535 and the like: the route must not be tried again with these credentials */
    CLIENT_OUTCOME_COUNT
};
const char *client_outcome_name(enum client_outcome outcome);

/* Milliseconds of each stage; RFC 5321 section 4.5.3.2 where it has one. */
struct client_timeouts {
    uint64_t connect, greeting, hello, starttls, auth, mail, rcpt, data, block, final, reset;
    uint64_t envelope; /* of one transaction up to its text: tarpits answer every command in time */
    uint64_t job;      /* of all transactions up to the last text; 0: no limit. Queue waits two hours, then
                          it takes the job for lost and sends again: what was accepted has to be told before */
};
extern const struct client_timeouts client_timeouts_standard;

/* Where and how. Everything is copied but `tls`, which is referenced. */
struct client_target {
    struct netaddr address, source; /* source: family NONE for any */
    struct slice host;              /* the MX or relay by name, for texts and logs */
    struct slice helo;              /* our name in EHLO */
    bool implicit_tls;              /* 465: TLS before the greeting */
    enum client_tls level;
    struct tls_client *tls; /* may be NULL with CLIENT_TLS_NONE */
    struct tls_peer peer;
    struct sasl_login login; /* user empty: no AUTH */
    bool auth_in_clear;      /* AUTH without TLS is allowed (loopback, or told so by the administrator) */
    struct client_timeouts timeouts; /* all zero: the standard ones */
};

/* A server's word on something, or ours in its place (`code` 0 then, when no server spoke). */
struct client_reply {
    uint16_t code;
    uint8_t class; /* enhanced status code; ours where the server gave none */
    uint16_t subject, detail;
    struct slice text; /* printable, lines joined by blanks; in the job's arena or the client's */
};

struct client_rcpt {
    /* given */
    struct slice address;
    unsigned notify;                /* set of SMTP_NOTIFY_…; 0: not given */
    struct slice orcpt_type, orcpt; /* decoded; no type: rfc822 or utf-8; empty: not given */
    /* found */
    enum client_outcome outcome;
    struct client_reply reply;
    const char *stage; /* "connect", "MAIL", "RCPT", "DATA", "end of data", …: what the reply answers */
    unsigned round;    /* the client's own: the transaction it went with last; 0 at the beginning */
};

/* Milliseconds spent; of the connection's stages only in the first job of a connection. */
struct client_times {
    uint32_t connect, greeting, tls, auth, envelope, text, final;
};

/* One message for some recipients. Must live until `done`. */
struct client_job {
    struct arena *arena;   /* for texts of replies */
    struct slice sender;   /* empty: null reverse-path */
    struct slice prefix;   /* header lines sent first, each with CRLF (Received, DKIM-Signature) */
    int fd;                /* the message, read with pread; stays the owner's */
    uint64_t offset, size; /* what of it is sent */
    bool eightbit, smtputf8, requiretls;
    enum smtp_ret ret;
    struct slice envid; /* decoded */
    struct client_rcpt *rcpts;
    size_t rcpt_count; /* 1 to CLIENT_RCPTS_MAX */
    /* found */
    struct client_times times;
    unsigned transactions; /* begun on the wire */
    bool dsn;              /* the server took over the duty of notifications (RFC 3461) */
};

/* What is known of the server; for logs, DSN, `relay test`. Slices live as long as the client. */
struct client_remote {
    struct netaddr address;
    struct slice host;     /* as in the target */
    struct slice greeting; /* the name the server gave itself, or empty */
    struct smtp_ehlo ehlo; /* as last said */
    struct slice tls;      /* "TLSv1.3 TLS_AES_256_GCM_SHA384", or empty */
    struct tls_verdict verdict;
    const char
        *tls_result; /* RFC 8460 section 4.3: "success", "starttls-not-supported", …; empty: not tried */
    bool starttls_offered;
    const char *mechanism; /* of AUTH, NULL without */
};

/* Why a connection is no more. */
struct client_end {
    enum client_outcome outcome; /* ACCEPTED: an orderly end (idle limit, 421 while idle, QUIT) */
    const char *stage;
    struct client_reply reply;
};

struct client;

struct client_ops {
    /* The session is set up: client_send() may be called. */
    void (*ready)(void *ctx, struct client *client);
    /* The job is over, every recipient has an outcome. The client is idle again when client_is_idle(),
     * otherwise `ended` follows. */
    void (*done)(void *ctx, struct client *client, struct client_job *job);
    /* The connection is over; a job that ran was `done` before. The owner frees the client. */
    void (*ended)(void *ctx, struct client *client, const struct client_end *end);
};

struct client *client_new(struct loop *loop, const struct client_target *target, const struct client_ops *ops,
                          void *ctx) __attribute__((returns_nonnull));
/* Closes at once; a running job is not told. Clears the pointer; takes NULL. */
void client_free(struct client **client);
/* Says QUIT, closes without waiting for the answer, and frees; no callback comes any more. Where the client
 * is not idle: client_free(). */
void client_quit(struct client **client);

/* Begins a job; only when idle. `done` comes later, never from inside this call. */
void client_send(struct client *client, struct client_job *job);
bool client_is_idle(const struct client *client);
/* Jobs that were done over this connection, and how long it is idle now. */
unsigned client_job_count(const struct client *client);
uint64_t client_idle_ms(const struct client *client);
const struct client_remote *client_remote(const struct client *client);
/* 12 characters of [a-z0-9], for the log. */
struct slice client_id(const struct client *client);
/* The stage it is in, for the log and for tests. */
const char *client_stage(const struct client *client);

#endif
