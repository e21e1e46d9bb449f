/* metadata.h: annotations of many mailboxes for LIST (RFC 9590). */
#ifndef IMAP_METADATA_H
#define IMAP_METADATA_H

#include "imap/session.h"

struct imap_annotations {
    const struct slice *entries; /* the names asked for, lower case */
    size_t entry_count;
    struct buf bytes; /* rows as they came */
    struct imap_annotation {
        struct slice mailbox, entry, value;
    } * rows; /* by mailbox */
    size_t count;
    void (*done)(struct session *s);
};

struct imap_annotations imap_annotations_new(const struct slice *entries, size_t count);
void imap_annotations_free(struct imap_annotations *a);
/* Asks store for those of all mailboxes, then calls `done`; ends the command when store refuses. */
void imap_annotations_ask(struct session *s, struct imap_annotations *a, void (*done)(struct session *s));
/* "* METADATA mailbox (…)", NIL for what is not there. */
void imap_annotations_write(struct session *s, const struct imap_annotations *a, struct slice mailbox);

#endif
