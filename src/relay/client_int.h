/* client_int.h: the inside of an SMTP client session, shared by client.c (life, replies, ends),
 * client_hello.c (up to the login), client_txn.c (envelopes) and client_text.c (the message). */
#ifndef RELAY_CLIENT_INT_H
#define RELAY_CLIENT_INT_H

#include "base/buf.h"
#include "net/connect.h"
#include "net/stream.h"
#include "relay/client.h"

#define CLIENT_ARENA_MAX     (1u << 20)   /* strings of the target and the server's name */
#define CLIENT_SASL_MAX      (256u << 10) /* of one login */
#define CLIENT_COMMAND_MAX   8192         /* a command with its CRLF; AUTH may be longer */
#define CLIENT_TOGETHER_MAX  (64u << 10)  /* messages up to this follow the envelope at once (CHUNKING) */
#define CLIENT_PIECE         (64u << 10)  /* of the message, read at once */
#define CLIENT_TEXT_RATE_MIN 2000u        /* bytes a second: slower is a tarpit */

/* What we wait for. With pipelining: the reply that is next. */
enum client_state {
    CLIENT_CONNECTING,
    CLIENT_HANDSHAKE, /* of TLS */
    CLIENT_GREETING,
    CLIENT_EHLO,
    CLIENT_HELO,
    CLIENT_STARTTLS,
    CLIENT_AUTH,
    CLIENT_IDLE,
    CLIENT_REFUSING, /* a job that cannot be sent to this server */
    CLIENT_RSET,
    CLIENT_MAIL,
    CLIENT_RCPT,
    CLIENT_DATA,
    CLIENT_TEXT,  /* sending; no reply is due */
    CLIENT_FINAL, /* behind the last byte */
    CLIENT_CLOSED,
    CLIENT_STATE_COUNT
};

/* One transaction of a job. */
struct client_txn {
    unsigned round;
    size_t limit;               /* recipients in this round */
    bool reset, mail, envelope; /* sent: RSET (or not needed), MAIL, everything before the text */
    size_t send_at, sent;       /* next recipient to look at for sending; how many were sent */
    size_t reply_at, answered;
    size_t accepted;
    bool mail_refused, together; /* together: text goes out with the envelope */
    bool chunked;
    uint64_t deadline_ms; /* of the envelope */
    uint64_t text_at;     /* bytes of the message handed to the stream */
    bool at_line_start, prefix_done, text_done;
};

struct client {
    struct loop *loop;
    const struct client_ops *ops;
    void *ctx;
    struct arena *arena;
    struct client_target target;
    struct slice tlsa_names[TLS_PEER_NAMES_MAX];
    struct tls_tlsa tlsa[TLS_PEER_TLSA_MAX];
    char *secret;
    struct client_remote remote;
    char id[CLIENT_ID_LEN];

    enum client_state state;
    struct connecting *connecting;
    struct stream *stream;
    struct loop_timer *timer; /* what may not be told from inside client_send() */
    unsigned busy;            /* handlers on the stack */
    bool dead;                /* freed as soon as they are not */
    bool unreadable;          /* the message: the connection ends at once */
    unsigned outstanding;     /* commands without a reply */
    bool spoiled;             /* the server said more than it was asked */
    bool refused_tls, needs_reset;

    struct sasl_client sasl;
    struct arena *sasl_arena;

    struct client_job *job;
    struct client_txn txn;
    unsigned jobs;
    uint64_t job_due_ms;        /* no transaction and no text goes on after it */
    uint64_t begun_ms, idle_ms; /* points in time: of the stage that is timed; since when it is idle */
    struct client_times times;  /* of the connection */
};

/* ---- client.c ---- */
/* The one place where the state changes. Arms the time limit of the new one. */
void client_enter(struct client *c, enum client_state state);
/* A command with its CRLF was added to the output. */
void client_commanded(struct client *c);
/* Milliseconds since the last call; the next stage is timed from now. */
uint32_t client_lap(struct client *c);
/* Ours, in place of a server's word. */
struct client_reply client_word(unsigned class, unsigned subject, unsigned detail, const char *text);
/* The server's, copied into `arena`; enhanced code made up from the reply code when there is none. */
struct client_reply client_reply_in(struct arena *arena, const struct smtp_reply *reply);
/* The connection is over: recipients without outcome get this one, the owner is told (who may free the
 * client: it goes when no handler is on the stack). */
void client_end(struct client *c, enum client_outcome outcome, const struct client_reply *reply);
/* The same, with a text of ours. */
void client_fail(struct client *c, enum client_outcome outcome, unsigned subject, unsigned detail,
                 const char *text);
/* Nothing is due any more. */
void client_rest(struct client *c);

/* ---- client_hello.c ---- */
void client_hello_connected(struct client *c);
void client_hello_secured(struct client *c);
void client_hello_greeting(struct client *c, const struct smtp_reply *reply);
void client_hello_ehlo(struct client *c, const struct smtp_reply *reply);
void client_hello_helo(struct client *c, const struct smtp_reply *reply);
void client_hello_starttls(struct client *c, const struct smtp_reply *reply);
void client_hello_auth(struct client *c, const struct smtp_reply *reply);

/* ---- client_txn.c ---- */
/* Begins the job; false when it cannot be sent to this server at all (every recipient has its outcome). */
bool client_txn_begin(struct client *c);
void client_txn_rset(struct client *c, const struct smtp_reply *reply);
void client_txn_mail(struct client *c, const struct smtp_reply *reply);
void client_txn_rcpt(struct client *c, const struct smtp_reply *reply);
void client_txn_data(struct client *c, const struct smtp_reply *reply);
void client_txn_final(struct client *c, const struct smtp_reply *reply);
/* An answer while the text is still on its way. */
void client_txn_early(struct client *c, const struct smtp_reply *reply);
/* All recipients that have no outcome yet get this one. */
void client_txn_settle(struct client *c, enum client_outcome outcome, const struct client_reply *reply);
/* The job is over; tells the owner. */
void client_txn_done(struct client *c);

/* ---- client_text.c ---- */
/* Puts the text as it goes over the wire into the output as far as there is room. A message that cannot be
 * read ends the connection in a later turn of the loop. */
void client_text_go_on(struct client *c);

#endif
