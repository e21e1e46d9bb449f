/* change.h: one change of one mailbox, as it stands in the account's log beside its change number: messages
 * added, flags changed, messages expunged. The log is what a commit appends to; the packed state is folded
 * from it.
 *
 * Pure; input: our own database, which may be damaged.
 */
#ifndef STORE_CHANGE_H
#define STORE_CHANGE_H

#include "base/buf.h"
#include "base/err.h"

enum change_kind { CHANGE_ADD = 1, CHANGE_FLAGS, CHANGE_EXPUNGE };

/* What a change does to the counters of its mailbox. */
struct change_counts {
    int64_t messages, unseen, deleted, bytes;
};

struct change {
    enum change_kind kind;
    struct change_counts counts;
    struct slice entries;   /* ADD: packed_decode() */
    struct slice queue_ids; /* ADD by delivery: wire_strings, one per entry; otherwise empty */
    uint32_t saved; /* ADD, not encoded: unix seconds when INTERNALDATE may be another time; 0: it is not */
    uint64_t clear, set; /* FLAGS: new = (old & ~clear) | set */
    struct slice uids;   /* FLAGS, EXPUNGE: pairs of le32, ascending */
};

void change_encode(const struct change *change, struct buf *out);
/* Slices point into `bytes`. */
enum err change_decode(struct slice bytes, struct change *change, struct why *why) MUST_CHECK;

#endif
