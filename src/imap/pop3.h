/* pop3.h: one POP3 connection (RFC 1939) over the same logins, limits and store requests as IMAP.
 *
 * The maildrop is INBOX as it was when the session logged in: message numbers are those of a view of the
 * mailbox image that never moves on. One command runs at a time; pipelined ones wait in the input buffer. A
 * command that waits for auth, store or room in the output sets `waits`, returns to the loop and goes on in a
 * callback; pop3_done() ends it.
 */
#ifndef IMAP_POP3_H
#define IMAP_POP3_H

#include "base/arena.h"
#include "grammar/pop3_command.h"
#include "imap/caller.h"
#include "imap/login.h"
#include "imap/mailbox_open.h"
#include "imap/view.h"

#define POP3_BAD_MAX 20 /* refused commands in a row before login, then the connection is closed */

struct pop3;

enum pop3_state { POP3_AUTHORIZATION = 1, POP3_TRANSACTION = 2, POP3_UPDATE = 4 };

/* A body on its way to the client; see pop3_retr.c. */
struct pop3_body {
    int fd; /* -1: none */
    uint64_t at, end;
    bool top, in_header, line_begins, ended;
    uint32_t lines; /* of TOP, still to be sent */
};

/* INBOX as this session sees it. */
struct pop3_drop {
    struct imap_mailbox *mailbox;
    struct imap_view view;
    uint32_t uidvalidity, count;
    uint64_t octets;           /* of all messages */
    uint64_t gone_octets;      /* of those deleted here */
    uint32_t gone;             /* deleted here */
    uint32_t fetched, removed; /* for the log */
    uint8_t *deleted, *read;   /* bit n - 1: message n; NULL: none */
    uint32_t cursor;           /* of a long answer, or of the update */
    uint32_t asked;            /* the message whose file was asked for */
    struct pop3_body body;
};

/* A login under way, and the opening of the maildrop behind it. */
struct pop3_login {
    struct arena *arena;
    struct login *login;
    struct mailbox_open *open;
    bool reads; /* the client is to answer a challenge */
};

typedef void pop3_answered(struct pop3 *p, enum err err, struct ipc_packet *packet);

struct pop3 {
    struct caller caller;
    struct stream *stream;
    enum pop3_state state;
    struct grant grant;
    char *account;
    bool skipping, eof, closing, pumping;
    bool waits;    /* a command is under way */
    unsigned busy; /* our functions on the stack */
    unsigned bads;
    uint64_t commands;
    char *user; /* USER said so; PASS comes next */
    struct pop3_login *login;
    struct pop3_drop *drop;         /* from login on */
    void (*resume)(struct pop3 *p); /* goes on when there is room in the output */
    struct ipc_link *link;          /* of the request under way */
    uint32_t request;               /* 0: none */
    pop3_answered *answered;
};

/* ---- pop3_session.c ---- */

/* A connection arrived: greets and reads. */
void pop3_session_new(struct imap *imap, struct stream *stream, const struct listener_arrival *arrival);
struct buf *pop3_output(struct pop3 *p);
/* "+OK text" and "-ERR text", without what follows them. */
void pop3_ok(struct pop3 *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
void pop3_err(struct pop3 *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* -ERR for what store or a lost request said (RFC 2449 section 8, RFC 3206). */
void pop3_refused(struct pop3 *p, uint32_t err, uint32_t code);
/* Writes a line of the kind above and ends the session with what is written. */
void pop3_bye(struct pop3 *p, const char *text);
/* Ends the session: with what is written (`politely`), or at once. */
void pop3_close(struct pop3 *p, bool politely);
/* Takes what came meanwhile. */
void pop3_go_on(struct pop3 *p);
/* The command that waited is over: the next one. */
void pop3_done(struct pop3 *p);
/* Around everything that enters a session from outside: the session may be freed in leave. */
void pop3_enter(struct pop3 *p);
void pop3_leave(struct pop3 *p);
/* Sends a request to store, with a descriptor (-1: none; it stays the caller's), and waits for the answer. */
void pop3_call(struct pop3 *p, enum wire_type type, const void *message, int fd, pop3_answered *answered);
bool pop3_may_login(const struct pop3 *p);

/* ---- commands ---- */

typedef void pop3_handler(struct pop3 *p, const struct pop3_command *command);
/* pop3_login.c */
pop3_handler pop3_cmd_user, pop3_cmd_pass, pop3_cmd_auth;
/* The client's line is an answer to a challenge; false: it is a command. */
bool pop3_login_line(struct pop3 *p, struct slice line) MUST_CHECK;
void pop3_login_free(struct pop3 *p);
/* pop3_list.c */
pop3_handler pop3_cmd_stat, pop3_cmd_list, pop3_cmd_uidl, pop3_cmd_dele, pop3_cmd_rset, pop3_cmd_noop;
/* pop3_retr.c: RETR, TOP */
pop3_handler pop3_cmd_retr;
/* pop3_quit.c */
pop3_handler pop3_cmd_quit;
/* pop3_capa.c */
pop3_handler pop3_cmd_capa, pop3_cmd_stls, pop3_cmd_utf8;

/* ---- the maildrop (pop3_drop.c) ---- */

void pop3_drop_open(struct pop3 *p, struct imap_mailbox *mailbox, uint32_t uidvalidity);
/* Gives the mailbox back. */
void pop3_drop_free(struct pop3 *p);
bool pop3_bit(const uint8_t *bits, uint32_t number);
/* Allocates the bits when they are NULL. */
void pop3_bit_set(const struct pop3_drop *drop, uint8_t **bits, uint32_t number);
/* The entry of message `number` (1 to count). */
const struct image_entry *pop3_drop_entry(const struct pop3_drop *drop, uint32_t number);
/* Is there such a message, not deleted? Otherwise it was answered. */
bool pop3_has_message(struct pop3 *p, uint32_t number) MUST_CHECK;

#endif
