/* alter.h: what changes messages that are there: flags, expunge, copy and move. On the account's strand; each
 * is one commit: all of it or nothing. */
#ifndef STORE_ALTER_H
#define STORE_ALTER_H

#include "store/account.h"

#define ALTER_RANGES_MAX (64u << 20) /* bytes of UID ranges in one change */

struct alter_flags {
    enum flags_mode mode;
    uint64_t flags;        /* system flags */
    struct slice keywords; /* wire_strings */
    struct slice uids;     /* pairs */
    bool conditional;
    uint64_t unchanged_since;
    uint64_t told;   /* the client knows the flags up to this change */
    bool *overtaken; /* set when it does not know what some of the messages had before; may be NULL */
    uint64_t kept;   /* bits that stay as they are: there is no right to change them */
};
/* `modified` gets the pairs left alone by the condition; `modseq` that of the change (the mailbox's when
 * nothing changed). */
enum err alter_flags(struct account *account, struct mailbox *mailbox, const struct alter_flags *how,
                     uint64_t *modseq, struct buf *modified, struct refusal *refusal) MUST_CHECK;

/* Messages with \Deleted, of `uids` or of all when empty. */
enum err alter_expunge(struct account *account, struct mailbox *mailbox, struct slice uids, uint32_t *count,
                       struct refusal *refusal) MUST_CHECK;

/* The same for all of `uids`, with or without \Deleted. */
enum err alter_remove(struct account *account, struct mailbox *mailbox, struct slice uids, uint32_t *count,
                      struct refusal *refusal) MUST_CHECK;

/* `source` and `target` get the UIDs, pairwise. `expect` messages, or nothing is done; 0: those that are
 * there. The first: of the flags only `flags` (bits as in the target) go with it. */
enum err alter_copy_flags(struct account *account, struct mailbox *from, struct mailbox *to,
                          struct slice uids, uint32_t expect, bool move, uint64_t flags, struct buf *source,
                          struct buf *target, struct refusal *refusal) MUST_CHECK;
enum err alter_copy(struct account *account, struct mailbox *from, struct mailbox *to, struct slice uids,
                    uint32_t expect, bool move, struct buf *source, struct buf *target,
                    struct refusal *refusal) MUST_CHECK;

/* Inside a commit: the message has left one mailbox. */
enum err alter_doom(struct account *account, uint64_t message, int64_t now, struct why *why) MUST_CHECK;

#endif
