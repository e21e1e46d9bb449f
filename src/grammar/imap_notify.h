/* imap_notify.h: what NOTIFY asks for (RFC 5465). */
#ifndef GRAMMAR_IMAP_NOTIFY_H
#define GRAMMAR_IMAP_NOTIFY_H

#include "grammar/imap_fetch.h"

#define IMAP_NOTIFY_GROUPS_MAX 32   /* event groups of one NOTIFY */
#define IMAP_NOTIFY_NAMES_MAX  1000 /* mailboxes of one group */

enum imap_notify_event {
    IMAP_NOTIFY_MESSAGE_NEW = 1,
    IMAP_NOTIFY_MESSAGE_EXPUNGE = 2,
    IMAP_NOTIFY_FLAG_CHANGE = 4,
    IMAP_NOTIFY_MAILBOX_NAME = 8,
    IMAP_NOTIFY_SUBSCRIPTION = 16,
    IMAP_NOTIFY_MAILBOX_METADATA = 32,
    IMAP_NOTIFY_SERVER_METADATA = 64,
    IMAP_NOTIFY_MESSAGES = 7 /* the events of messages */
};

enum imap_notify_filter {
    IMAP_NOTIFY_SELECTED,
    IMAP_NOTIFY_SELECTED_DELAYED,
    IMAP_NOTIFY_INBOXES,
    IMAP_NOTIFY_PERSONAL,
    IMAP_NOTIFY_SUBSCRIBED,
    IMAP_NOTIFY_SUBTREE,
    IMAP_NOTIFY_MAILBOXES
};

struct imap_notify_group {
    enum imap_notify_filter filter;
    uint32_t events;
    struct slice *names; /* SUBTREE, MAILBOXES */
    size_t name_count;
    bool has_fetch; /* MessageNew (…): told of new messages of the selected mailbox */
    struct imap_fetch fetch;
};

struct imap_notify_args {
    bool none, status;
    bool unknown_event; /* among them AnnotationChange, which nobody has */
    struct imap_notify_group *groups;
    size_t group_count;
};

/* "MessageNew MessageExpunge …": all events there are, for BADEVENT. */
const char *imap_notify_events(void);

#endif
