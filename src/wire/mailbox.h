/* mailbox.h: a mailbox as a row of LIST and STATUS, store -> imap, http. */
#ifndef WIRE_MAILBOX_H
#define WIRE_MAILBOX_H

#include "base/buf.h"

/* RFC 6154; at most one each. */
enum special_use {
    SPECIAL_NONE,
    SPECIAL_ALL,
    SPECIAL_ARCHIVE,
    SPECIAL_DRAFTS,
    SPECIAL_FLAGGED,
    SPECIAL_JUNK,
    SPECIAL_SENT,
    SPECIAL_TRASH,
    SPECIAL_COUNT
};

enum {
    MAILBOX_SUBSCRIBED = 1,
    MAILBOX_NOSELECT = 2,   /* only its children exist (RFC 3501 section 6.3.4) */
    MAILBOX_NONEXISTENT = 4 /* subscribed, but there is none (RFC 5258) */
};

/* Mailboxes of other accounts that share them with this one: below OWNER with its address as one level. */
#define MAILBOX_OTHERS "Other Users"

/* Names are UTF-8 with '/' between the levels; "INBOX" in this spelling. */
struct mailbox_row {
    uint64_t id; /* 0 when nonexistent */
    uint32_t flags;
    uint32_t special_use;
    uint32_t uidvalidity, uidnext;
    uint64_t modseq; /* HIGHESTMODSEQ */
    uint64_t messages, unseen, recent, deleted, bytes;
    uint32_t rights;        /* of who asks: bits of grammar/imap_acl.h */
    uint32_t tag;           /* of its account (objectid.h) */
    uint64_t deleted_bytes; /* of those `deleted`; not sent: who wants it counts (imap/deleted_storage.c) */
    struct slice name;
};

void mailbox_row_add(struct buf *rows, const struct mailbox_row *row);
/* Takes a row off the front; false at the end or when ill-formed. The name points into `rows`. */
bool mailbox_row_take(struct slice *rows, struct mailbox_row *row) MUST_CHECK;

#endif
