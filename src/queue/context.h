/* context.h: the one context of the queue role, and what its files ask of each other. Private to queue/. */
#ifndef QUEUE_CONTEXT_H
#define QUEUE_CONTEXT_H

#include "base/arena.h"
#include "base/coll.h"
#include "directory/table.h"
#include "queue/id.h"
#include "role/role.h"

#define QUEUE_TXN_MAX       20000      /* open transactions */
#define QUEUE_TXN_ARENA_MAX (4u << 20) /* memory of one transaction */
#define QUEUE_TXN_TARGETS   5000       /* accounts one message goes to */
#define QUEUE_TXN_SPARE     64         /* closed transactions kept for the next ones */
#define QUEUE_GRANTS_MAX    100000
#define QUEUE_EXPIRED_MAX   4096  /* names of dropped grants remembered */
#define QUEUE_DELIVER_MS    60000 /* deadline of one delivery: fsync of a large message on a slow disk */
#define QUEUE_STORE_MS      30000 /* of the shorter questions */
#define QUEUE_ACTIVE_MAX    4000  /* queued messages in memory; what comes beyond waits in the database */
#define QUEUE_PARALLEL_MAX  32    /* local deliveries of one message at once */
#define QUEUE_LOCAL_MAX     512   /* local deliveries of all messages at once */

struct queue;
struct spool;
struct trace;
struct control;
struct schedule;
struct routes;
struct relay_quotas;
struct queue_clock;
struct keys;
struct bounces;

/* ---- table.c: where addresses go ---- */

/* The address table of one generation of settings, alias files and accounts. */
struct queue_table {
    struct arena *arena;
    struct directory_table *table;
};

/* Builds from the settings and files in use (`next` false) or handed in for a reload, and the accounts auth
 * told of. */
struct queue_table *table_build(struct queue *q, bool next, struct slice accounts);
/* A start or a reload (`next`) whose files of aliases cannot be read is none: mail for those aliases would be
 * refused for good. */
enum err table_check_files(struct queue *q, bool next, struct why *why) MUST_CHECK;
void table_free(struct queue_table **table);
/* Makes the table anew from what is known; until the accounts have come there is none. */
void table_refresh(struct queue *q);
/* WIRE_ACCOUNTS. */
bool table_on_accounts(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
/* `route ADDRESS`, `route --compare-postfix`: adds the text; returns the exit code. */
uint32_t table_explain(struct queue *q, struct slice address, bool json, struct buf *out);
uint32_t table_compare(struct queue *q, bool json, struct buf *out);

/* ---- grants.c: who submits ---- */

struct queue_grants {
    struct map *alive;
    struct grant expired[QUEUE_EXPIRED_MAX];
    size_t expired_count;
    bool replayed; /* auth told us all: an unknown name was never issued */
};

void queue_grants_init(struct queue_grants *grants);
void queue_grants_free(struct queue_grants *grants);
bool queue_grants_on_add(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
bool queue_grants_on_drop(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
bool queue_grants_on_replayed(void *ctx, struct ipc_link *link, struct ipc_packet *packet,
                              const void *message);
void queue_grants_forget_holder(struct queue_grants *grants, enum role holder);
/* ERR_OK: the account; ERR_LATER: auth has not told us everything; ERR_REFUSED: it is over; ERR_BAD: never
 * issued. */
enum err queue_grants_find(const struct queue_grants *grants, const struct grant *grant,
                           struct slice *account) MUST_CHECK;

/* ---- transaction.c, recipient.c, commit.c: one message from MAIL to its 250 ---- */

struct txn_recipient {
    struct slice address, orcpt;
    uint32_t notify;
};
/* One place the message goes to. */
struct txn_target {
    struct slice address; /* local: the account; remote: where to send */
    bool local;
    bool forwarded;      /* an alias led out of our domains */
    struct slice sender; /* remote: the envelope sender it leaves with (SRS is applied already); else empty */
    uint32_t recipient;  /* index of the recipient that led here first */
};

struct txn {
    struct list node; /* in q->open or q->spare */
    struct queue *q;
    struct arena *arena;
    uint64_t id;
    uint32_t epoch; /* of the smtp link: answers to an older one are dropped */
    struct wire_queue_mail mail;
    struct slice account; /* who submits; empty on the MX */
    bool submission;
    struct vec recipients, targets;
    struct map *target_set; /* from account to target, once there are many */
    struct list checks;     /* questions to the store that wait */
    uint32_t call;          /* the question of the commit that waits, for cancelling */
    bool committing;
    uint32_t commit_request;
    uint64_t body, size;
    uint64_t begun_ms;
    char queue_id[QUEUE_ID_LEN + 1];
};

bool txn_on_mail(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
bool txn_on_recipient(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
bool txn_on_commit(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
bool txn_on_reset(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
struct txn *txn_find(struct queue *q, uint64_t id);
/* Answers a request of this transaction's session, unless smtp was restarted since. */
void txn_reply(struct txn *txn, uint32_t request, uint32_t code, const char *enhanced, struct slice text);
void txn_close(struct txn *txn);
/* smtp is gone: open transactions end, those being committed finish without an answer. */
void txn_drop_all(struct queue *q);
void txn_free_spares(struct queue *q);
/* A reply without a transaction. */
void queue_reply(struct queue *q, uint32_t request, uint32_t code, const char *enhanced, const char *text);
void recipient_cancel_checks(struct txn *txn);
/* Ends the commit with this reply: traced, logged, counted, closed. */
void commit_finish(struct txn *txn, uint32_t code, const char *enhanced, const char *text);

/* ---- deliver.c: queued messages ---- */

struct spool_message;
struct group; /* schedule.h: rows of one message that leave together */

/* What became of a row, as far as this process knows. */
enum row_state {
    ROW_WAITING, /* claimed, its turn has not come */
    ROW_RUNNING, /* store or relay works on it */
    ROW_ENDING   /* it has an answer, which is on its way to the database */
};

/* One recipient of a queued message. */
struct queued_row {
    uint32_t ordinal;
    uint32_t state; /* enum row_state */
    uint32_t attempts;
    uint32_t notify;      /* RFC 3461 section 4.1, bits as in wire_queue_rcpt */
    bool local;           /* an account of ours; else another server's */
    struct slice target;  /* local: the account; remote: where to send */
    struct slice sender;  /* remote: the envelope sender it leaves with */
    struct slice route;   /* routes.h: the key of the route the rules give it; "local" */
    struct slice address; /* of RCPT */
    struct slice orcpt;
    /* the last answer */
    uint32_t code;         /* SMTP; 0: none */
    struct slice enhanced; /* "4.2.1" */
    struct slice text;     /* the reply, or our own words */
    struct slice remote;   /* host that answered or was tried; empty: our own decision */
    uint64_t attempt_ms;   /* when that was; 0: before it came into memory, or never */
};

/* The file of a message, in one of its forms, as long as jobs send it. */
struct queued_form {
    uint32_t state; /* send.c */
    int fd;
    uint64_t size;
    struct slice signature; /* DKIM-Signature fields that belong in front of this form */
    struct list waiters;
};

/* A message in memory with those of its rows that this process has claimed. The same message may be there
 * twice, with different rows. Times are those of queue_now_ms(). */
struct queued {
    struct list node;       /* in q->active */
    struct list local_node; /* in q->local */
    struct queue *q;
    struct arena *arena;
    struct slice id, sender, session, account, envid, message_id, subject;
    struct slice received,
        signature;        /* what stands in front: for local rows received; for remote ones both */
    struct slice to_sign; /* it was held for want of a key: what a signature covers (keys.h) */
    uint32_t ret;
    bool smtputf8, eightbit, utf8_header, requiretls, warned;
    uint64_t size, created_ms;
    struct queued_row *rows;
    uint32_t count;              /* rows in memory */
    uint32_t all;                /* rows it had when it came into memory, wherever they were */
    uint32_t pending;            /* rows in memory whose end is not on disk yet */
    uint32_t next;               /* deliver.c: first row not looked at for a local delivery */
    uint32_t running;            /* local deliveries under way */
    uint32_t sending;            /* send.c: jobs under way */
    void *from;                  /* schedule.c: whose message it is */
    struct queued_form forms[2]; /* as it came; for servers without 8BITMIME */
};

/* `err` is ERR_OK when the message and its rows are on disk: called before any delivery begins. */
typedef void deliver_done(void *ctx, enum err err, const struct why *why);
/* Queues a message whose file the store has already: writes its rows, then delivers them. Copies all it is
 * given; `done` comes later, never from inside the call. */
void deliver_put(struct queue *q, const struct spool_message *message, deliver_done *done, void *ctx);
struct queued *deliver_new(struct queue *q);
void deliver_free(struct queued *message);
/* Begins with the rows of a message that is on disk and claimed; takes it. */
void deliver_begin(struct queue *q, struct queued *message);
/* The same, but nothing begins: someone else ends its rows. */
void deliver_enter(struct queue *q, struct queued *message);
/* Begins local deliveries that wait. */
void deliver_pump(struct queue *q);
/* So many of its rows have their end on disk: frees the message when that was the last of them. */
void deliver_ended(struct queued *message, uint32_t rows);
/* A message has no rows any more: its file goes. */
void deliver_drop_file(struct queue *q, struct slice id);
/* Files the store could not be told of. */
void deliver_retry_drops(struct queue *q);
/* Looks for what is due in the database, at the latest after this. */
void deliver_wake(struct queue *q, uint64_t in_ms);
void deliver_stop(struct queue *q);
/* The store is there again: tells it what waited. */
void deliver_store_up(struct queue *q);

/* ---- the role ---- */

struct queue {
    struct role_run *run;
    struct loop *loop;
    const struct settings *settings;
    struct queue_table *table, *next_table;
    uint8_t *accounts; /* as auth sent them */
    size_t accounts_len;
    bool accounts_known;
    struct queue_grants grants;
    struct idmap *txns;
    struct list open, spare;
    size_t spare_count;
    uint32_t smtp_epoch;
    struct queue_id_state ids;
    struct spool *spool;
    struct list active; /* struct queued */
    size_t active_count;
    struct list local;    /* deliver.c: messages with local rows not begun */
    struct list tellings; /* settle.c: rows whose senders are being told */
    struct list drops;    /* deliver.c: files the store is to remove */
    size_t drop_count;
    uint32_t local_running;
    struct schedule *schedule;
    struct routes *routes, *next_routes;
    struct relay_quotas *quotas;
    struct queue_clock *clock;
    struct upkeep *upkeep;
    char boot[64];                       /* the kernel's name for this boot */
    bool files_asked;                    /* the ids of all messages are being read for the store */
    char files_before[QUEUE_ID_LEN + 1]; /* older than every id this process gives */
    struct trace *trace;
    struct control *control;
    struct list trials;      /* relay_trial.c: those that wait for a reload */
    struct keys *keys;       /* keys.h */
    struct bounces *bounces; /* bounce.h */
    bool space_low, draining, drained;
    uint64_t drain_until_ms;
    struct loop_timer *drain_timer;
    uint32_t operator_uid; /* who may use the control socket beside root */
};

void queue_check_drained(struct queue *q);
/* The link to this role is up. */
bool queue_has(const struct queue *q, enum role peer);
/* Milliseconds since 1970 by the queue's own clock (queue_clock.h): what rows are created, due, expired and
 * warned by. The wall clock of this machine, minus the steps it has made. */
uint64_t queue_now_ms(const struct queue *q);

#endif
