/* context.h: the store role's one context, and what its files ask of each other. Private to store/.
 *
 * The loop's thread owns everything here but what a job touches while it runs: the account of its slot.
 */
#ifndef STORE_CONTEXT_H
#define STORE_CONTEXT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/coll.h"
#include "role/role.h"
#include "store/account.h"
#include "store/add.h"
#include "store/hearsay.h"
#include "store/shares.h"

#define STORE_THREADS       24
#define STORE_SLOTS_MAX     100000 /* accounts in memory: those with sessions, and those used lately */
#define STORE_AWAKE_MAX     104    /* index handles open at once */
#define STORE_IDLE_MS       60000  /* after that an account's handle is closed */
#define STORE_SHRINK_MS     500    /* after that its memory is given back */
#define STORE_QUIET_MS      5000   /* after that upkeep is done that could wait */
#define STORE_TICK_MS       1000
#define STORE_JOBS_MAX      100000     /* requests under way; more are put off */
#define STORE_REQUEST_ARENA (4u << 20) /* memory of one request */
#define STORE_GRANTS_MAX    100000
#define STORE_EXPIRED_MAX   65536        /* dropped grants whose names are remembered */
#define STORE_BODIES_MAX    10000        /* bodies in flight, per link */
#define STORE_QUEUED_MAX    (32u << 20)  /* bytes of the list of all queued messages */
#define STORE_QUEUED_IDS    1000000      /* messages in it; with more, no file is removed as left over */
#define STORE_MEMFD_MAX     (1u << 20)   /* a larger body goes to the spool */
#define STORE_MEMORY_MAX    (256u << 20) /* all bodies in memory; more go to the spool whatever their size */
#define STORE_BODY_IDLE_MS  900000       /* a body nobody asks for any more */
#define STORE_ORPHAN_MS     120000    /* a body whose link went down: queue may have been given it before */
#define STORE_SCAN_MS       120000    /* deadline of scan */
#define STORE_NOTICE_MS     2         /* changes of a mailbox are told at most this often */
#define STORE_SPACE_MS      5000      /* how often free space is looked at */
#define STORE_SEARCH_NS     10000000u /* a search lets others at the account after this */

struct store;

/* ---- slots.c: accounts and their strands ---- */

struct slot {
    struct store *store;
    struct slice address; /* owned */
    struct list lru;      /* in store->lru, last used at the end */
    struct loop_strand *strand;
    struct account *account; /* touched only by jobs, and by the loop while there are none */
    size_t jobs;             /* that wait or run for this account */
    struct list watching;    /* struct watch */
    size_t watches;          /* struct watch that name it, and `hearsay` */
    struct hearsay *hearsay; /* it was told of to others a moment ago; NULL: it was not */
    bool awake;              /* its handle is (going to be) open */
    bool opened;             /* the account is in memory */
    bool small;              /* its handle has given back what memory it can */
    uint64_t used_ms, upkeep_ms;
    pthread_mutex_t lock; /* of the next two */
    struct list ready;    /* struct delivery: to be committed */
    size_t ready_count;
    bool committing; /* a job that takes them is on its way */
    size_t beside;   /* files being written outside the strand */
};

struct slot *slot_get(struct store *store, struct slice address); /* NULL: too many accounts */
void slot_touch(struct slot *slot);
/* One more, one less that needs it. */
void slot_hold(struct slot *slot);
void slot_release(struct slot *slot);
/* On the strand: the account, opened where it is not. */
#define SLOT_MAKE   1u /* also where there is none yet */
#define SLOT_ASLEEP 2u /* its index may stay closed */
enum err slot_account(struct slot *slot, unsigned how, struct account **account, struct why *why) MUST_CHECK;
void slots_start(struct store *store);
/* Folds and closes whatever is idle, all at once; true when nothing is left to wait for. */
bool slots_sleep_all(struct store *store);
/* Puts all to sleep and frees them; called when no job is left to come. */
void slots_stop(struct store *store);

/* ---- jobs.c: one request, from packet to answer ---- */

struct job;
struct job_op {
    void (*before)(struct job *job);  /* on the account's strand, before it is opened; may be NULL */
    void (*work)(struct job *job);    /* on the account's strand; the account is open */
    void (*answer)(struct job *job);  /* on the loop; also when the account could not be opened */
    void (*discard)(struct job *job); /* instead of answer() when who asked is gone; may be NULL */
    bool asleep;                      /* work() may find the index closed (account->db is NULL) */
    bool may_stop;                    /* long: WIRE_CANCEL ends it between two steps */
    uint32_t rights;                  /* of requests on a watch: needed beside RIGHT_READ */
    enum store_code absent;           /* where there is no such mailbox; STORE_CODE_NONE: NONEXISTENT */
    /* For job_run_here(): whether work() would read memory alone as things are; NULL: always. */
    bool (*in_memory)(struct job *job);
};
struct job {
    struct list node;
    struct store *store;
    struct slot *slot;
    const struct job_op *op;
    struct ipc_link *link;
    enum role role;
    uint64_t epoch;
    uint32_t request;
    enum wire_type type;
    struct arena *arena;
    void *message;       /* the decoded struct; its slices live in the arena */
    void *state;         /* the op's own */
    struct slice reader; /* who asks when the slot is another's; empty: its owner */
    uint64_t mailbox;    /* of the watch */
    uint64_t watch;
    struct account *account;
    struct account_limits limits;
    enum err err;
    struct refusal refusal;
    struct list asked; /* in store->stoppable, when the op may stop */
    bool gone;         /* WIRE_CANCEL: nobody waits for the answer */
    bool again;        /* work() has a piece for answer() and wants to go on */
    bool slept;        /* and the index is still closed after it */
    struct account_news news;
};

/* Copies the message and queues the job on the account's strand. `packet` NULL: nobody asks. When the slot is
 * not that of the account whose grant was checked last (store_check_grant), the job runs as its reader: on a
 * watch only with the rights it needs; by name only ops that look at job->reader are started so. */
void job_start(struct store *store, struct slot *slot, const struct job_op *op, struct ipc_link *link,
               struct ipc_packet *packet, uint64_t watch, uint64_t mailbox);
/* The same in two steps, to put something into job->state before it runs. */
struct job *job_new(struct store *store, struct slot *slot, const struct job_op *op, struct ipc_link *link,
                    struct ipc_packet *packet, uint64_t watch, uint64_t mailbox)
    __attribute__((returns_nonnull));
void job_run(struct job *job);
/* On the loop where nobody else is at the account, otherwise as ever: for work that reads memory alone and
 * has its answer at once. */
void job_run_here(struct job *job);
/* Opens the index of the job's account when it is closed: for what is asked next. From answer(). */
void job_wake(const struct job *job);
/* For an op that is only to open the account, or that nobody waits for. */
void job_nothing(struct job *job);
bool job_asker_is_there(const struct job *job);
/* From answer(): goes on in another account, as its reader (empty: its owner). */
void job_move(struct job *job, struct slot *slot, struct slice reader);
/* An answer without a job: the op's own form of it. */
void job_answer_now(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                    const struct job_op *op, enum err err, enum store_code code, const char *text);
/* Answers WIRE_RESULT from err and refusal. */
void job_answer_result(struct job *job);
/* err and code as the wire wants them: what is our own fault is "try later" to a peer. */
uint32_t job_err(const struct job *job);
uint32_t job_code(const struct job *job);
struct slice job_text(const struct job *job);
/* Handles WIRE_CANCEL. */
bool jobs_on_cancel(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
/* Jobs parked because `role` did not read. */
void jobs_resume(struct store *store, enum role role);
void store_fail(enum err *err, struct refusal *refusal, enum err what, enum store_code code,
                const char *text);

/* ---- access.c: mailboxes of other accounts ---- */

#define ACCESS_OWNERS_MAX (1u << 20) /* bytes of the addresses of all who share with one account */
#define ACCESS_WALK_MAX                                                                                      \
    1000 /* accounts one LIST looks into; who shares with the asker by name comes first                      \
          */
#define ACCESS_ABSENT "no such mailbox"

/* "Other Users/OWNER/REST"; false: a name of the asker's own. */
bool access_split(struct slice name, struct buf *owner, struct slice *rest);
/* "Other Users/OWNER/" */
void access_prefix(struct slice owner, struct buf *out);
/* The account a name leads to: `own`, or another that may share. NULL: there is none (`absent`), or too much
 * to do. */
struct slot *access_slot(struct store *store, struct slot *own, struct slice name, bool *absent);
/* Answers for it. */
void access_refuse(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                   const struct job_op *op, bool absent);
/* Checks the grant and starts a job where the name leads. */
bool store_start_named(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                       const struct grant *grant, struct slice name, const struct job_op *op);

/* The same with job_run_here in place of job_run. */
bool store_run_named(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                     const struct grant *grant, struct slice name, const struct job_op *op,
                     void (*start)(struct job *job));

/* On the strand, as things are now. The name in the account the job is in, canonical. */
struct slice job_name(struct job *job, struct slice name);
uint32_t job_rights(const struct job *job, const struct mailbox *mailbox);
/* False: the job has failed, for whoever may not look it up as if there were none. */
bool job_may(struct job *job, const struct mailbox *mailbox, uint32_t rights);
void job_absent(struct job *job);
/* The mailbox with these rights, or NULL and the job has failed. */
struct mailbox *job_mailbox(struct job *job, struct slice name, uint32_t rights);
/* Rights on the mailbox of a watch. */
bool access_watch(struct job *job);
/* Is the message one of the watched mailbox's? A reader of one mailbox has no right to the others of the
 * account. `at`: where the last one was found, 0 at first. */
bool access_holds(const struct job *job, uint64_t message, uint64_t *at);

/* All accounts that may share with the asker: from answer(), begun in the asker's own. */
struct access_walk {
    struct slice asker, owners;
    unsigned count;
};
void access_walk_start(struct access_walk *walk, struct job *job);
/* Moves the job on; false: there is no other. */
bool access_walk_next(struct access_walk *walk, struct job *job);

/* ---- grants.c ---- */

struct store_grant {
    struct grant name;
    enum role holder;
    struct slice account; /* owned */
};
enum grant_state { GRANT_ALIVE, GRANT_EXPIRED, GRANT_UNKNOWN_YET, GRANT_FORGED };
struct grants {
    struct map *alive;
    struct grant expired[STORE_EXPIRED_MAX]; /* a ring */
    size_t expired_next;
    bool replayed;
};
void grants_start(struct grants *grants);
void grants_stop(struct grants *grants);
/* Replaces one of the same name. False when there are too many. */
bool grants_add(struct grants *grants, const struct grant *name, enum role holder,
                struct slice account) MUST_CHECK;
void grants_drop(struct grants *grants, const struct grant *name);
void grants_all_told(struct grants *grants);
/* `account` lives as long as the grant. */
enum grant_state grants_find(const struct grants *grants, const struct grant *name, enum role asker,
                             struct slice *account);

/* ---- bodies.c, scan.c ---- */

struct body {
    uint64_t number;
    enum role role;
    uint32_t kind; /* enum body_kind */
    struct store *store;
    unsigned refs;
    int fd;           /* being written, then sealed or read-only */
    int spool_reader; /* opened before the spool file lost its name */
    bool spooled, whole, listed;
    uint64_t size;
    enum err err; /* why it will not be taken */
    char why[80];
    uint64_t used_ms;
    uint64_t epoch;   /* of its link */
    uint32_t request; /* BODY_LAST's */
    uint32_t scan_call;
    struct arena *arena; /* of the facts */
    struct buf encoded;  /* facts as scan sent them */
    struct facts facts;
    bool eightbit, utf8_header;
    struct slice dkim_hash, dkim_names, dkim_fields; /* as scan told them; in the arena */
    struct add_body add;
};
struct bodies {
    struct idmap *of[ROLE_COUNT]; /* by link */
    struct idmap *orphans;        /* of an smtp that died: queue may name them still */
    uint64_t memory;              /* bytes in memfds */
    uint64_t spooled;             /* bytes in the spool */
    uint64_t spool_next;
};
bool bodies_on_chunk(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
bool bodies_on_drop(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
bool bodies_on_info(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
void bodies_start(struct store *store);
void bodies_stop(struct store *store);
void bodies_link_down(struct store *store, enum role role);
void bodies_tick(struct store *store);
/* A whole body, with one reference more; NULL: there is none. Queue names those of smtp. */
struct body *body_take(struct store *store, enum role role, uint64_t number);
void body_release(struct body *body);
/* It will not be named again. */
void body_unlist(struct body *body);
/* Hands a whole body to scan; answers BODY_DONE. */
void body_scan(struct body *body);
void body_done(struct body *body, enum err err, const char *text);

/* ---- deliver.c ---- */

bool deliver_on_deliver(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
bool deliver_on_quota_check(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
bool deliver_on_append(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
bool queue_file_on_put(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
bool queue_file_on_drop(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
bool queue_file_on_list(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
/* queue_open.c */
bool queue_open_on_open(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
/* The file of a queued message, opened; its first `size` bytes are the message, the facts stand behind them.
 * ERR_ABSENT: there is none. On a pool thread. */
enum err queue_file_open(const struct store_root *root, struct slice queue_id, int *fd, uint64_t *size,
                         uint64_t *facts_len, struct why *why) MUST_CHECK;
/* Its body. */
enum err queue_file_load_in(struct arena *arena, const struct store_root *root, struct slice queue_id,
                            int *fd, struct add_body *body, struct why *why) MUST_CHECK;

/* Syncs of the queue's folder, which many share. */
struct queue_names {
    pthread_mutex_t lock;
    pthread_cond_t ended_one;
    uint64_t begun, ended; /* how many */
    uint64_t failed;       /* the last one that did */
};
void queue_names_start(struct queue_names *names);
void queue_names_stop(struct queue_names *names);

/* ---- watches.c ---- */

/* An account that has another's mailbox open. */
struct watch_reader {
    struct list node; /* in watch->readers */
    unsigned uses;
    size_t len;
    char account[];
};
struct watch {
    struct list node; /* in slot->watching */
    struct list readers;
    uint64_t id;
    enum role role;
    struct slot *slot;
    uint64_t mailbox; /* 0: all of the account, for who listens */
    unsigned uses, takers;
    bool gone, pending, lost;
    struct ear *ear; /* who listens hears of others' mailboxes too (ears.h); NULL: it does not */
    uint64_t modseq, told_ms;
};
struct watches {
    struct idmap *by_id;
    uint64_t next;
    struct loop_timer *timer;
    bool armed;
    unsigned broken; /* set of roles whose links end when all have been told */
};
void watches_start(struct store *store);
void watches_stop(struct store *store);
/* The watch on (role, mailbox), made where there is none; `*made` tells. NULL: too many. */
struct watch *watch_get(struct store *store, enum role role, struct slot *slot, uint64_t mailbox, bool *made);
struct watch *watch_find(struct store *store, uint64_t id);
/* Event rows for who listens; what cannot be sent is told as lost later (watch->lost). */
void watch_tell_rows(struct store *store, struct watch *watch, struct slice rows, const struct grant *by);
/* Who could not be told what it must know: its link ends when all have been told. */
void watch_break_link(struct store *store, const struct watch *watch);
/* One use less; the strand is told. */
void watch_drop_use(struct store *store, struct watch *watch, bool taker);
void watches_link_down(struct store *store, enum role role);
/* What a job has changed, and whose it was (NULL: nobody's alone). Takes what the news hold. */
void watches_tell(struct store *store, struct slot *slot, struct account_news *news, const struct grant *by);
/* Readers: accounts the mailbox is not their own. False: it has not selected it. */
void watch_add_reader(struct watch *watch, struct slice account);
bool watch_has_reader(const struct watch *watch, struct slice account);
bool watch_drop_reader(struct watch *watch, struct slice account);
/* The mailbox has a new list: whoever may not read it any more is told, before anything else is. */
struct acl;
void watches_tell_rights(struct store *store, struct slot *slot, uint64_t mailbox, const struct acl *acl);
/* On the strand, of a select that will not be used. */
void watch_release_view(struct account *account, uint64_t mailbox, unsigned uses, unsigned takers);

/* ---- handlers of mailbox messages: check grant and watch, start a job ---- */

typedef bool store_handler(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);
store_handler mailbox_on_list, mailbox_on_status, mailbox_on_create, mailbox_on_delete, mailbox_on_rename,
    mailbox_on_subscribe, mailbox_on_select, mailbox_on_unselect, mailbox_on_quota, mailbox_on_quota_set;
store_handler message_on_facts, message_on_open, message_on_flags, message_on_expunge, message_on_copy,
    message_on_search, message_on_sort, message_on_thread, message_on_vanished, message_on_saved;
/* Starts a job for a request under a grant and a watch. */
bool message_start(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                   const struct grant *grant, uint64_t id, const struct job_op *op);
/* Pairs, ascending, not overlapping: what the walks rely on. */
bool message_uids_are_sane(struct slice uids);
store_handler remove_on_remove;
store_handler metadata_on_get, metadata_on_set, listen_on_listen;
store_handler acl_on_get, acl_on_set;
store_handler url_on_open, url_on_fetch, url_on_sign, url_on_reset;
/* On the strand: files and facts of messages (le64 each) for the answers WIRE_BODY_FILE; and these. */
void message_open(struct job *job, struct slice ids);
void message_answer_open(struct job *job);
/* The account's slot of a grant, or an answer: true with NULL means answered; false: taken over. */
bool store_check_grant(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                       const struct grant *name, const struct job_op *op, struct slot **slot);
/* The same with a watch. */
bool store_check_watch(struct store *store, struct ipc_link *link, struct ipc_packet *packet,
                       const struct grant *name, uint64_t id, const struct job_op *op, struct watch **watch);

/* ---- indexer.c: full-text indexes, in the background ---- */

struct fulltext_build;
struct indexer {
    struct loop_timer *timer;
    struct slot *slot;            /* whose index is being made; NULL: nobody's */
    struct fulltext_build *build; /* between two steps */
    bool stepping;
    uint64_t not_before_ms, ended_ms;
    atomic_bool wanted; /* settings: search_index */
};
void indexer_start(struct store *store);
void indexer_stop(struct store *store);
/* After the settings have changed. */
void indexer_settings(struct store *store);
/* Of an account without jobs: true when its index is being made, so that it is left awake. */
bool indexer_look_at(struct slot *slot, uint64_t now);
void indexer_forget(struct slot *slot);

/* ---- control.c, space.c, quota.c, start.c ---- */

store_handler store_control_on_command;

void space_start(struct store *store);
void space_stop(struct store *store);
void space_tell(struct store *store, enum role role);

struct quotas;
/* From the settings and quota files of this or the next generation. */
struct quotas *quotas_new(struct role_run *run, bool next);
void quotas_free(struct quotas **quotas);
struct account_limits quotas_of(const struct quotas *quotas, struct slice account);

/* Spool and queue rests, owners and modes; in the background the accounts a crash has left open. */
enum err start_sweep(struct store *store, struct why *why) MUST_CHECK;

struct store {
    struct role_run *run;
    struct loop *loop;
    struct loop_pool *pool;
    struct store_root root;
    struct map *slots;
    struct list lru;
    size_t awake;
    size_t jobs;
    size_t shrinking; /* accounts that are giving memory back */
    struct list parked[ROLE_COUNT];
    struct list stoppable;       /* struct job */
    uint64_t epochs[ROLE_COUNT]; /* how often the link went down */
    struct grants grants;
    struct slice asker; /* the account of the grant checked last: lives as long as the handler runs */
    struct shares *shares;
    struct bodies bodies;
    struct watches watches;
    struct ears ears;
    struct hearsays hearsay;
    struct queue_names queue_names;
    struct indexer indexer;
    struct quotas *quotas, *next_quotas;
    struct loop_timer *tick, *space_timer, *drain_timer;
    bool space_low, draining;
    struct buf queued;  /* ids of messages in the queue, as it tells them (wire_strings) */
    struct vec unclean; /* char *: accounts to open once, one after the other */
};

#endif
