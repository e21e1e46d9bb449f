/* notify.h: what a session has asked for with NOTIFY (RFC 5465), and what it has not been told yet.
 *
 * Nothing of this exists before the first NOTIFY. What happens in other mailboxes comes from store by commits
 * (WIRE_MBOX_EVENTS) to an ear, which all sessions of one account share; a session keeps what it wants of it
 * until no command runs and the output has room. The selected mailbox is told by sync.c.
 */
#ifndef IMAP_NOTIFY_H
#define IMAP_NOTIFY_H

#include "imap/session.h"
#include "wire/event_row.h"

#define NOTIFY_PENDING_MAX 1000 /* events a client has not taken yet; then NOTIFICATIONOVERFLOW */

/* Events of one account, and of what others share with it, as store sends them to this role. */
struct ear {
    uint64_t watch;
    struct list sessions; /* struct notify */
};

struct notify {
    struct list node; /* in ear->sessions; linked while ear is not NULL */
    struct session *session;
    struct ear *ear;                          /* NULL: no other mailbox is of interest */
    struct arena *arena;                      /* of the command that asked; NULL after NOTIFY NONE */
    const struct imap_notify_args *args;      /* NULL: nothing is of interest */
    const struct imap_notify_group *selected; /* what is said of the selected mailbox; NULL: nothing */
    struct list pending;                      /* struct notify_event */
    size_t pending_count;
    bool overflow;
    uint32_t told_uid;           /* of the selected mailbox: messages above it are new */
    struct imap_set_builder own; /* UIDs this session has made itself */
};

/* Takes effect: `arena` (taken) holds `args`; both NULL for NONE. */
void imap_notify_install(struct session *s, struct arena *arena, const struct imap_notify_args *args);
/* Joins the ear of `watch`, of which store counts one use more. */
void imap_notify_join(struct session *s, uint64_t watch);
/* Takes NULL in s->notify. */
void imap_notify_free(struct session *s);
/* Which events `args` wants of a mailbox that is not selected: bits of enum mailbox_event. */
uint32_t imap_notify_wants(const struct imap_notify_args *args, const struct mailbox_row *row,
                           struct slice old);
/* Some of it may be a mailbox another account shares with this one. */
bool imap_notify_wants_others(const struct imap_notify_args *args);
/* The mailbox the session has selected: sync.c tells of its messages. */
bool imap_notify_is_selected(const struct session *s, const struct mailbox_row *row);
/* "* STATUS …" as RFC 5465 sections 3.1, 5.1 and 5.2 want it for these events. */
void imap_notify_write_status(struct session *s, const struct mailbox_row *row, uint32_t what);

/* ---- the selected mailbox ---- */

/* A mailbox was selected. */
void imap_notify_selected(struct session *s);
/* The client does not want to hear of it, unless the running command shifts numbers itself. */
bool imap_notify_mutes(const struct session *s);
bool imap_notify_mutes_flags(const struct session *s);
/* This session made these messages: nothing to fetch for it. */
void imap_notify_own(struct session *s, uint32_t uidvalidity, uint32_t first, uint32_t last);

/* ---- telling ---- */

/* Something happened while no command runs: tells it when the client wants that. */
void imap_notify_news(struct session *s);
/* Writes what waits, as long as there is room. */
void imap_notify_flush(struct session *s);
/* New messages of the selected mailbox that are to be fetched: a command of our own begins; true when it did.
 */
bool imap_notify_fetch(struct session *s) MUST_CHECK;
/* A packet of store for an ear. */
void imap_notify_hear(struct ear *ear, const struct wire_mbox_events *events);
/* Store is gone, and with it what it would have told. */
void imap_notify_lost(struct session *s);

#endif
