/* event_row.h: what happened to one mailbox of an account, or to one another account shares with it, for
 * those who listen to all of them: store -> imap (WIRE_MBOX_EVENTS). */
#ifndef WIRE_EVENT_ROW_H
#define WIRE_EVENT_ROW_H

#include "wire/mailbox.h"

enum mailbox_event {
    MAILBOX_EVENT_NEW = 1, /* messages came */
    MAILBOX_EVENT_EXPUNGE = 2,
    MAILBOX_EVENT_FLAGS = 4,
    MAILBOX_EVENT_NAME = 8,          /* made, deleted (its row says nonexistent), renamed */
    MAILBOX_EVENT_SUBSCRIPTION = 16, /* its row tells what it is now */
    MAILBOX_EVENT_METADATA = 32,     /* an empty name: of the server */
    MAILBOX_EVENT_LOST = 128 /* another's mailbox (id and tag) of which no more may be told than `rights` let:
                                what was not told yet is to be forgotten */
};

struct event_row {
    uint32_t what;          /* bits of enum mailbox_event */
    uint32_t children;      /* nothing, of another's mailbox */
    struct mailbox_row row; /* as it is after the event */
    struct slice old;       /* NAME: what it was called before; empty: it was made or deleted */
    struct slice entries;   /* METADATA: names of annotations, wire_strings */
};

void event_row_add(struct buf *rows, const struct event_row *row);
/* Takes a row off the front; false at the end or when ill-formed. Slices point into `rows`. */
bool event_row_take(struct slice *rows, struct event_row *row) MUST_CHECK;

#endif
