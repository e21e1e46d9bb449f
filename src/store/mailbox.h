/* mailbox.h: a mailbox of an account in memory: its name, counters and keywords, and its image while it is
 * open.
 *
 * Belongs to its account's strand. What stands here is what was committed, never more.
 */
#ifndef STORE_MAILBOX_H
#define STORE_MAILBOX_H

#include "store/change.h"
#include "store/view.h"
#include "wire/mailbox.h"

struct mailbox {
    uint64_t id;
    struct slice name;    /* owned */
    uint32_t flags;       /* MAILBOX_NOSELECT */
    uint32_t special_use; /* enum special_use */
    uint32_t uidvalidity, uidnext;
    uint64_t modseq;         /* of its last change */
    uint64_t folded;         /* the packed state holds the changes up to here */
    uint64_t vanished_floor; /* expunges are remembered from here on */
    uint64_t messages, unseen, deleted, bytes;
    uint32_t recent_from;   /* UIDs from here on are \Recent to who selects next */
    struct slice *keywords; /* owned, room for IMAGE_KEYWORDS; NULL: none, as in most mailboxes */
    unsigned keyword_count;
    unsigned keywords_saved;       /* how many of them stand in the database */
    struct acl *acl;               /* who else may do what (acl.h); NULL: nobody, as in most mailboxes */
    struct view *view;             /* NULL while nobody has it open */
    uint64_t state_len, state_sum; /* of the file with its packed state, see state.h; 0: none is believed */
    uint64_t state_dead;           /* bytes of it that hold no longer, about */
    bool state_wanted;             /* it was opened without one and would have gained from it */
    unsigned watches;              /* links that have it open */
    unsigned takers;               /* sessions that take \Recent as messages come */
    uint32_t tag;                  /* of the account, for names that never change (wire/objectid.h) */
    bool touched;                  /* its row differs from the database without a change in the log */
    bool moved;                    /* readers must be given the image anew */
    bool changed;                  /* stands in the account's list of events */
};

struct mailbox *mailbox_new(uint64_t id, struct slice name) __attribute__((returns_nonnull));
void mailbox_free(struct mailbox **mailbox);
void mailbox_set_name(struct mailbox *mailbox, struct slice name);

/* Index of a keyword (compared without case), or -1. */
int mailbox_keyword(const struct mailbox *mailbox, struct slice name);
/* The same, adding it where it is missing; -1 when there are IMAGE_KEYWORDS already or the name is too long.
 */
int mailbox_keyword_add(struct mailbox *mailbox, struct slice name);
/* Adds what is missing of `names` (as wire_strings_add() writes them), the bits of all into `*bits`. False:
 * there is no room for all of them, and none was added. */
bool mailbox_keywords_add(struct mailbox *mailbox, struct slice names, uint64_t *bits) MUST_CHECK;
/* Flags of one mailbox as the flags of another: bits of keywords are not the same. False: no room for a
 * keyword. */
bool mailbox_translate_flags(const struct mailbox *from, struct mailbox *to, uint64_t flags,
                             uint64_t *result) MUST_CHECK;

/* Applies a committed change: counters, and the image where there is one. Entries of ADD are decoded by the
 * caller. */
enum err mailbox_apply(struct mailbox *mailbox, uint64_t modseq, const struct change *change,
                       const struct entry *entries, size_t count, struct why *why) MUST_CHECK;
/* Only the image: for loading what the log holds. */
enum err mailbox_apply_view(struct mailbox *mailbox, uint64_t modseq, const struct change *change,
                            const struct entry *entries, size_t count, struct why *why) MUST_CHECK;
/* How the counters change when one message with these flags comes (by = 1) or goes (by = -1). */
void mailbox_count(struct change_counts *counts, uint64_t flags, uint32_t size, int by);
struct mailbox_row mailbox_row_of(const struct mailbox *mailbox);

#endif
