/* session.h: one IMAP connection: its state, the command it runs, the mailbox it has selected.
 *
 * One command of a session runs at a time. Its continuation stands in struct run: a command that waits for a
 * role, for the client or for room in the output returns to the loop and goes on in a callback.
 * imap_session_done() ends it: pending news of the mailbox first, then the tagged answer, then the next
 * command.
 */
#ifndef IMAP_SESSION_H
#define IMAP_SESSION_H

#include "grammar/imap_command.h"
#include "imap/caller.h"
#include "imap/mailbox_open.h"
#include "imap/view.h"
#include "settings/metrics.h"
#include "wire/wire.h"

#define IMAP_CALLS   24    /* requests of one command under way at once */
#define IMAP_CALL_MS 60000 /* until a role that does not answer counts as away */
#define IMAP_RUN_ARENA                                                                                       \
    (64u << 20)         /* bytes one command may hold: its text, its parsed form, lists of results */
#define IMAP_BAD_MAX 20 /* ill-formed commands in a row, then the connection is closed */

struct session;

/* A request under way. `done` gets the session while it lives; `arg` is the command's. */
typedef void call_done(struct session *s, void *arg, enum err err, struct ipc_packet *packet);
struct call {
    struct session *session;
    struct ipc_link *link;
    call_done *done;
    void *arg;
    uint32_t request; /* 0: free */
};

enum command_sync {
    SYNC_NONE,       /* the answer stands alone */
    SYNC_NO_EXPUNGE, /* RFC 9051 section 7.5.1: FETCH, STORE, SEARCH by sequence number */
    SYNC_ALL
};

/* News of the selected mailbox on their way to the client; see sync.c. */
struct sync {
    enum sync_phase { SYNC_IDLE, SYNC_EXPUNGES, SYNC_FLAGS } phase;
    bool expunge, with_uid;
    struct imap_map *target; /* the image to be in step with */
    uint32_t *fresh;         /* indexes to be expunged, ascending; told from the end */
    uint32_t fresh_count, fresh_cap, fresh_at;
    uint32_t cursor, end; /* of the search for changed flags */
    uint64_t modseq;
};

struct selected {
    struct list node; /* in mailbox->sessions */
    struct session *session;
    struct imap_mailbox *mailbox;
    struct imap_view view;
    struct sync sync;
    char *name;
    size_t name_len;
    uint64_t mailbox_id;
    uint32_t tag;                   /* of its account (wire/objectid.h) */
    struct contexts *contexts;      /* results kept up to date (search_context.c); NULL: none */
    struct imap_set_builder *saved; /* "$": UIDs (saved.c); NULL: nothing */
    uint32_t rights; /* when it was selected: for what is told; store looks at each request anew */
    bool read_only, gone;
    bool stale;                     /* its mailbox was opened by a store that is no more (resync.c) */
    uint8_t tries;                  /* to open it anew */
    struct mailbox_open *reopening; /* NULL: not asked */
};

/* The command that runs. */
struct run {
    struct arena *arena; /* dies with the command */
    struct imap_command command;
    enum command_sync sync;
    uint64_t started_ns;
    void *state;                       /* the command's own */
    void *more;                        /* the same, for a command that uses another's */
    void (*resume)(struct session *s); /* there is room in the output again; set while a line is unfinished */
    void (*input)(struct session *s);  /* the command reads what comes (APPEND, AUTHENTICATE, IDLE) */
    void (*stop)(struct session *s);   /* the session ends before the command: tell the roles. May be NULL. */
    void (*changed)(struct session *s); /* the selected mailbox changed. May be NULL. */
    struct run *outer;                  /* IDLE, interrupted by a FETCH of our own (internal) */
    struct call *calls;      /* IMAP_CALLS of them; NULL before the first: most sessions are in IDLE */
    bool internal;           /* no client's command: it gets no answer (notify_selected.c) */
    bool ending;             /* imap_session_done() was called */
    uint32_t progress, goal; /* of a long command; 0: not known */
    uint32_t limit_uid;      /* MESSAGELIMIT left out the messages of the set below this UID; 0: none */
    enum metric_imap_reply outcome;
    struct slice answer;
};

enum session_state { SESSION_GREETED, SESSION_LOGGED_IN, SESSION_SELECTED, SESSION_LOGGED_OUT };

struct session {
    struct caller caller;
    struct imap *imap;
    struct stream *stream;
    struct imap_framer framer;
    enum session_state state;
    bool condstore : 1, qresync : 1, rev2 : 1, utf8_accept : 1,
        uidonly : 1; /* enabled by the client (cmd_enable.c) */
    bool utf8 : 1;   /* mailbox names and quoted strings are UTF-8: UTF8=ACCEPT or IMAP4rev2 */
    bool eof, closing,
        pumping;   /* the client ended its half; we end; commands are being taken off the input */
    unsigned busy; /* our functions on the stack */
    unsigned bads;
    uint64_t commands, bytes_in;
    uint64_t hidden; /* capabilities this account is not told of: CAP_ bits of capability.h */
    struct grant grant;
    char *account;
    struct selected *selected;
    struct notify *notify;      /* NULL before the first NOTIFY */
    struct status_ahead *ahead; /* see status_ahead.h; NULL: nothing was asked */
    struct run *run;
};

/* A connection arrived: greets and reads. */
void imap_session_new(struct imap *imap, struct stream *stream, const struct listener_arrival *arrival);
/* Says BYE with `text` ("[UNAVAILABLE] …") and ends. */
void imap_session_bye(struct session *s, const char *text);
/* Ends when what is written has been sent. */
void imap_session_finish(struct session *s);
/* Ends at once, without a word. */
void imap_session_drop(struct session *s, const char *why);
/* Around everything that enters a session from outside: the session may be freed in leave. */
void imap_session_enter(struct session *s);
void imap_session_leave(struct session *s);
/* Takes commands off the input while none runs. */
void imap_session_pump(struct session *s);

/* Back to before the login, on the same connection: nothing of the user is left (RFC 8437 section 3). */
void imap_session_forget_user(struct session *s);
/* Changes the state and writes it down. */
void imap_session_set_state(struct session *s, enum session_state state);
struct buf *imap_session_output(struct session *s);
struct slice imap_session_account(const struct session *s);
bool imap_session_is_full(const struct session *s);
/* The session may use passwords: encrypted, or the listener says insecure_auth. */
bool imap_session_may_login(const struct session *s);

/* ---- commands ---- */

/* Ends the command with "tag ANSWER": "OK Done", "NO [CODE] text", "BAD text". */
void imap_session_done(struct session *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for an answer of any length. */
void imap_session_answer(struct session *s, struct slice answer);
/* Ends the command with what store or a lost call said. `text` may be empty. */
void imap_session_refused(struct session *s, uint32_t err, uint32_t code, struct slice text);
/* Goes on with the news and the answer when the output has room. Called by the session itself. */
void imap_session_ending(struct session *s);
/* Frees the command's memory, cancels its calls. */
void imap_run_free(struct session *s);

/* Sends a request to store (auth); `done` is called unless the session ends before. False when too many are
 * under way. */
bool imap_session_call(struct session *s, enum role role, enum wire_type type, const void *message,
                       call_done *done, void *arg) MUST_CHECK;
/* The same where one call at a time is all the command makes. */
void imap_session_ask(struct session *s, enum role role, enum wire_type type, const void *message,
                      call_done *done);
/* For `done` of requests answered with WIRE_RESULT: ends the command with an error, or answers true. */
bool imap_session_result(struct session *s, enum err err, struct ipc_packet *packet) MUST_CHECK;

/* UIDs for store: the next pairs of le32 of the set that fit one message. False at the end. */
#define IMAP_PAIRS_MAX 7000
bool imap_session_take_pairs(const struct imap_set *set, size_t *at, struct buf *pairs);
/* Pairs of store as a set in the arena; false when they are not in order. */
bool imap_session_pairs_in(struct arena *arena, struct slice pairs, struct imap_set *set) MUST_CHECK;
/* Keywords as wire_strings. */
void imap_session_keywords(struct buf *list, const struct imap_flags *flags);
/* Sets `condstore` when the client uses it for the first time, and tells where the selected mailbox stands
 * (RFC 7162 section 3.1). */
void imap_session_use_condstore(struct session *s);

/* What a command that takes long has done of what there is to do: told to the client now and then
 * (progress.c).
 */
void imap_session_progress(struct session *s, uint32_t done, uint32_t goal);
/* A command begins. */
void imap_progress_watch(struct imap *imap);
void imap_progress_init(struct imap *imap);
bool imap_progress_tell(struct caller *caller);

/* ---- how many messages one command looks at (message_limit.c) ---- */

/* Leaves of a resolved set what PARTIAL and the limit allow; false, and the command is over, when it is all
 * or nothing. */
bool imap_limit_set(struct session *s, struct imap_set *set) MUST_CHECK;
/* The same of a translated search program; NULL when the command is over. */
struct imap_search_node *imap_limit_search(struct session *s, struct imap_search_node *root) MUST_CHECK;
/* "[MESSAGELIMIT 1000 4711] " of the running command. */
void imap_limit_write_code(const struct session *s, struct buf *out);

/* An absolute URL names this server and the session's own account. */
struct imap_url;
bool imap_session_owns_url(const struct session *s, const struct imap_url *url);

/* ---- the selected mailbox ---- */

/* Begins to tell the news; imap_sync_step() goes on while the output has room; true when all is told. */
void imap_sync_begin(struct session *s, bool expunge);
bool imap_sync_step(struct session *s) MUST_CHECK;
bool imap_sync_is_pending(const struct session *s);
void imap_sync_free(struct sync *sync);
/* "* n FETCH (", or "* uid UIDFETCH (" (RFC 9586): every FETCH response begins here. */
void imap_write_fetch_head(struct session *s, const struct imap_message *m);
/* "* n FETCH (" and the flags part "FLAGS (…)" of one message, for sync.c, STORE and FETCH. */
void imap_write_fetch_flags(struct session *s, const struct imap_message *m, bool with_uid);
void imap_write_flags(struct buf *out, const struct imap_view *view, uint64_t flags, uint32_t uid);
/* "* FLAGS (…)" and PERMANENTFLAGS. */
void imap_write_known_flags(struct session *s);
/* The same when there are keywords the client was not told of: before flags that may have them. */
void imap_write_new_keywords(struct session *s);
/* Leaves the mailbox without expunging. */
void imap_session_unselect(struct session *s);
struct selected *imap_selected_new(struct session *s, struct imap_mailbox *mailbox, struct slice name,
                                   bool read_only, const struct wire_mbox_selected *reply);
/* Which of the sessions of a mailbox calls messages \Recent (recent.c): at the beginning; and when it ends or
 * wants no more of them. */
void imap_recent_enter(struct selected *sel, const struct wire_mbox_selected *reply);
void imap_recent_leave(struct selected *sel);
/* It goes over to the same mailbox as a new store has opened it. */
void imap_recent_move(struct selected *sel, struct imap_mailbox *to);

/* ---- store died (resync.c) ---- */

/* The selected mailbox, if any, is to be opened anew; until then no command begins. */
void imap_resync_lost(struct session *s);
void imap_resync_watch(struct imap *imap);
bool imap_resync_try(struct caller *caller);
/* Resolves the command's set against the view; false (and the command is over) when it is out of range. */
bool imap_session_resolve(struct session *s, struct imap_set *set) MUST_CHECK;

#endif
