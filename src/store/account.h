/* account.h: one account: its index database, mailboxes in memory, and how changes are committed.
 *
 * Everything here belongs to the account's strand: one thread at a time, blocking calls allowed. No IPC: the
 * role (role_store.c) wraps it in jobs, verify and rebuild use it as it is. The kinds of change stand in
 * change_*.h.
 */
#ifndef STORE_ACCOUNT_H
#define STORE_ACCOUNT_H

#include <stdatomic.h>

#include "base/coll.h"
#include "db/db.h"
#include "store/blank.h"
#include "store/mailbox.h"
#include "store/paths.h"
#include "wire/event_row.h"
#include "wire/wire.h"

#define ACCOUNT_MAILBOXES_MAX 20000 /* mailboxes of one account */
#define ACCOUNT_LOG_ROWS      500   /* changes in the log that make a fold due */
#define ACCOUNT_LOG_BYTES     (512u << 10)
#define ACCOUNT_WAL_BYTES     (4u << 20) /* write-ahead log that makes a checkpoint due */
#define ACCOUNT_VANISHED_MAX  10000      /* expunges remembered per account for QRESYNC */
#define ACCOUNT_DELIVERED_S                                                                                  \
    (10 * 86400) /* how long a queue id is remembered: longer than anything waits in the queue */
#define ACCOUNT_DOOMED_S     60  /* how long the file of an expunged message stays for sessions that lag */
#define ACCOUNT_SUSPECTS_MAX 64  /* files of commits that failed and were not cleared up yet */
#define ACCOUNT_WINDOW       256 /* ids around the next one whose files a crash may have left without a row */
#define ACCOUNT_EVENTS_MAX   100000
#define ACCOUNT_ORPHANS_MAX                                                                                  \
    160                      /* files without a row a crash can leave; more have another reason and stay     \
                              */
#define ACCOUNT_ORPHAN_S 600 /* and their age differs from the index's by no more than this */

/* Why a request is not done, beside its enum err: for the peer's response code. */
struct refusal {
    enum store_code code;
    struct why why;
};

/* What other sessions must be told. */
struct account_event {
    uint64_t mailbox;
    uint64_t modseq;
    int image; /* a new image to map, to be closed by whoever takes the event; -1: the old one still holds */
    bool gone; /* the mailbox was deleted */
    uint32_t what; /* bits of enum mailbox_event: what happened to its messages */
};

/* All that happened since it was taken last. */
struct account_news {
    struct account_event *events; /* to be freed, as is `heard` */
    size_t count;
    uint8_t *heard; /* event rows, when somebody listens to the whole account */
    size_t heard_len;
    bool lost; /* more than fitted */

    struct overheard_news *overheard; /* for other accounts (overhear.h); NULL: nothing */
};
#define ACCOUNT_HEARD_MAX (WIRE_BLOB_MAX - 64) /* bytes of event rows of one job */

/* 0: no limit. */
struct account_limits {
    uint64_t bytes, messages;
};

#define ACCOUNT_STALE_WHOLE 1u
#define ACCOUNT_STALE_YOUNG 2u
#define ACCOUNT_STALE       (ACCOUNT_STALE_WHOLE | ACCOUNT_STALE_YOUNG)

struct account {
    struct store_root root;
    char folder[PATHS_FOLDER_MAX];
    struct slice address; /* owned */
    struct db *db;        /* NULL while the handle is closed */
    struct map *by_name;  /* struct mailbox */
    struct idmap *by_id;
    struct map *subscriptions; /* struct subscription */
    struct map *delivered;     /* struct delivered: queue ids in the log, not folded yet */
    uint64_t modseq;           /* of the last change */
    uint64_t next_mailbox;
    uint32_t uidvalidity;          /* highest given out */
    _Atomic uint64_t next_message; /* files are also made outside the strand */
    struct blanks blanks;
    uint64_t placed;    /* of the files made since the account was loaded: those with a row */
    uint64_t closed;    /* stamp of the last clean end, see closed.h; 0: none yet */
    uint64_t marked_at; /* in whose folder the mark stands */
    bool as_is;         /* opened by rebuild: nothing is kept that speaks of its files */
    bool viewed;        /* a mailbox was opened: an opening after its sleep is one somebody waits for */
    bool marked;        /* it may stand there; under the lock of the blanks while files are made */
    uint64_t log_rows, log_bytes;
    uint64_t doomed;      /* messages without a mailbox whose files still lie there */
    uint64_t doomed_next; /* unix seconds when the next of them is due; 0: unknown */
    bool shared;          /* some message stands in several mailboxes */
    uint64_t strays;      /* files without a row that no crash explains: an older index was put back? */
    struct vec suspects;  /* uint64_t: see account_settle() */
    struct vec events;    /* struct account_event */
    unsigned listeners;   /* sessions that want to hear of every mailbox */
    struct buf heard;     /* event rows for them */
    struct account_limits limits; /* the administrator's */
    size_t acl_entries;           /* identifiers in the lists of all mailboxes */
    struct account_limits own;    /* the account's own (SETQUOTA) */
    uint32_t tag;                 /* wire/objectid.h */
    struct fulltext *fulltext;    /* see fulltext.h; NULL while its file is closed */
    uint64_t fulltext_blocks;     /* so many were looked after */
    uint64_t fulltext_young;      /* the same of young ones */
    unsigned fulltext_stale;      /* bits: some may have to be made anew; after loading too */
    bool fulltext_damaged;        /* it must be thrown away */
    bool fulltext_off;            /* there is to be none */
    uint64_t purges;              /* messages removed since the account was loaded */
    struct sortkeys *sortkeys;    /* see sortkeys.h; NULL until somebody sorts or searches */
    bool sortkeys_off;            /* searches are to do without: for tests and benches */
    uint64_t sortkeys_made;       /* how often they were begun anew */

    const atomic_uint *overhearers;   /* how many listen to what other accounts share; NULL: nobody */
    struct overheard_news *overheard; /* for them, see overhear.h; NULL: nothing yet */
};

struct subscription {
    struct slice name; /* owned, as is the struct */
};

struct delivered {
    struct slice queue_id; /* owned, as is the struct */
    uint64_t mailbox, message;
    uint32_t uid;
};

/* An account without an index and with nothing in it, to be filled or freed. */
struct account *account_new(const struct store_root *root, const char *folder, struct slice address)
    __attribute__((returns_nonnull));
/* Opens the account's index, making folder, database and the usual mailboxes where there is none (`make`;
 * otherwise ERR_ABSENT), reads mailboxes and log, and removes files a crash has left. */
enum err account_open(const struct store_root *root, struct slice address, bool make,
                      struct account **account, struct why *why) MUST_CHECK;
/* The same, but leaves the handle closed where the account fell asleep well: what does not need it waits for
 * no index.
 */
enum err account_open_asleep(const struct store_root *root, struct slice address, bool make,
                             struct account **account, struct why *why) MUST_CHECK;
/* Opens an account in memory that nobody has, once after the start: code and tables that an opening needs are
 * then where they must be, and the first user does not wait a millisecond for them. */
void account_rehearse(void);
/* The index in `folder` as it is, for rebuild: no folders are made, no files removed. */
enum err account_open_as_is(const struct store_root *root, const char *folder, struct slice address,
                            bool make, struct account **account, struct why *why) MUST_CHECK;
/* Only the handle: closed for an account that is not used, opened again when it is. What is in memory stays.
 */
enum err account_wake(struct account *account, struct why *why) MUST_CHECK;
/* The handle stays, with as little memory as it can do with. */
void account_shrink(struct account *account);
/* Folds, purges what is due, checkpoints, closes the handle. What fails is done at the next opening. */
void account_sleep(struct account *account);
/* Sleeps and frees. Clears the pointer; takes NULL. */
void account_free(struct account **account);

struct mailbox *account_mailbox(const struct account *account, struct slice name); /* NULL: none */
struct mailbox *account_mailbox_by_id(const struct account *account, uint64_t id);
/* The mailbox with its image. ERR_ABSENT: no such mailbox. */
enum err account_view(struct account *account, uint64_t id, struct mailbox **mailbox,
                      struct why *why) MUST_CHECK;
/* Gives the image up unless somebody watches. */
void account_release_view(struct mailbox *mailbox);
struct change_counts account_totals(const struct account *account); /* messages and bytes of all mailboxes */
/* The lower of the administrator's and the account's own. */
struct account_limits account_limits(const struct account *account);
/* Sets the own ones, durably. */
enum err account_set_own_limits(struct account *account, struct account_limits own,
                                struct why *why) MUST_CHECK;
/* Would this much more stay within the limits? */
bool account_fits(const struct account *account, uint64_t messages, uint64_t bytes);

struct account_news account_take_news(struct account *account);
void account_note_change(struct account *account, struct mailbox *mailbox, uint32_t what);
/* For those who listen to the whole account; nothing where there are none. */
void account_hear(struct account *account, const struct event_row *row);
void account_note_gone(struct account *account, uint64_t mailbox);

/* The upkeep: is something due at this time, and do a piece of it. */
bool account_upkeep_due(const struct account *account, int64_t now, bool idle);
enum err account_upkeep(struct account *account, int64_t now, bool idle, struct why *why) MUST_CHECK;
/* Log to packed state (fold.c). */
enum err account_fold(struct account *account, int64_t now, struct why *why) MUST_CHECK;
/* The same for an account that falls asleep, with the stamp of a clean end (closed.h; 0: none). */
enum err account_fold_last(struct account *account, int64_t now, uint64_t stamp, struct why *why) MUST_CHECK;
/* Files and rows of messages expunged before `until` (purge.c), at most `most` of them; all when UINT64_MAX.
 */
enum err account_purge(struct account *account, int64_t until, uint64_t most, struct why *why) MUST_CHECK;
/* After a failed commit its frames may still stand in the write-ahead log, to be found by a restart, so the
 * files they name stay; the next commit that works writes over them, then the files go. Tries such a commit
 * when files wait. */
enum err account_settle(struct account *account, struct why *why) MUST_CHECK;
void account_suspect(struct account *account, uint64_t message);

/* ---- a commit (commit.c): begin, any statements, changes for the log, end ---- */

struct commit_item {
    struct mailbox *mailbox;
    uint64_t modseq;
    uint8_t *bytes; /* the encoded change */
    size_t len;
};
struct commit {
    struct account *account;
    uint64_t modseq; /* last one given out */
    struct vec items;
};

enum err commit_begin(struct commit *commit, struct account *account, struct why *why) MUST_CHECK;
/* The change number the next commit_log() or commit_touch() will have. */
uint64_t commit_next(const struct commit *commit);
/* Puts the change in the log; saves keywords the mailbox has got. */
enum err commit_log(struct commit *commit, struct mailbox *mailbox, const struct change *change,
                    struct why *why) MUST_CHECK;
/* A change number for what is not in the log (a mailbox made, renamed). */
uint64_t commit_touch(struct commit *commit);
/* Commits and applies to what is in memory; on failure nothing is changed. */
enum err commit_end(struct commit *commit, struct why *why) MUST_CHECK;
void commit_abort(struct commit *commit);

#endif
