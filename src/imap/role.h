/* role.h: the imap role's one context: its listeners, sessions, and the mailboxes it holds open at store. */
#ifndef IMAP_ROLE_H
#define IMAP_ROLE_H

#include "base/coll.h"
#include "imap/mapping.h"
#include "net/service.h"
#include "role/role.h"
#include "settings/metrics.h"

#define IMAP_MAILBOXES_MAX 1000000 /* open at once */
#define IMAP_USERS_MAX     1000000 /* pairs of account and address logged in at once */

/* How many connections one account has from one address. */
struct user {
    size_t key_len;
    unsigned count;
    char key[];
};

struct imap {
    struct role_run *run;
    struct loop *loop;
    struct service service;
    struct idmap *mailboxes; /* watch → struct imap_mailbox */
    struct idmap *ears;      /* watch → struct ear (notify.h) */
    unsigned selects;        /* SELECTs without an answer: a mailbox may still be named by it */
    struct map *users;
    struct map *addresses; /* sessions per client address; struct user too */
    char mechanisms[256];  /* of SASL, as auth told, upper case */
    size_t mechanisms_len;
    uint64_t next_body;
    struct loop_timer *progress; /* see progress.c */
    uint64_t progress_ms;
    bool progress_armed;
    struct loop_timer *resync; /* see resync.c; NULL before store died for the first time */
    bool resync_armed;
    bool space_low;
};

/* The mailbox a SELECTED named: mapped now, or held already. ERR_INTERNAL when neither. */
enum err imap_mailbox_use(struct imap *imap, uint64_t watch, int fd, struct imap_mailbox **mailbox,
                          struct why *why) MUST_CHECK;
void imap_mailbox_release(struct imap *imap, struct imap_mailbox *mailbox, const struct grant *grant,
                          bool read_only);
/* Forgets mailboxes nobody uses, when no SELECT is under way. */
void imap_mailboxes_sweep(struct imap *imap);
/* Counts a connection under `key`; NULL when there are `limit` already (0: no limit). */
struct user *imap_user_add(struct map *users, struct slice key, uint64_t limit);
void imap_user_remove(struct map *users, struct user **user);

#endif
