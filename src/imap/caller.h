/* caller.h: who is at the other end of a connection of this role, the same for IMAP and POP3: where it came
 * from, what it may do, how it is counted. The first member of each protocol's session; role.c holds callers
 * and knows no protocol. */
#ifndef IMAP_CALLER_H
#define IMAP_CALLER_H

#include "grammar/netaddr.h"
#include "imap/role.h"
#include "net/listener.h"
#include "settings/metrics.h"
#include "wire/wire.h"

#define CALLER_ID        12    /* characters of a session's name in the log */
#define CALLER_FAILURES  5     /* logins that failed on one connection, then it is closed */
#define CALLER_ANSWER_MS 60000 /* until a role that does not answer counts as away */

struct caller;

/* What a protocol does when the role has news. Each may end the session. */
struct caller_ops {
    enum settings_service service;
    enum metric_service metric;
    enum auth_service auth;
    const char *name; /* "imap": in the names of events */
    bool binds;       /* logins may be bound to their TLS channel */
    /* Store is gone: what it shared is the dead one's. */
    void (*store_gone)(struct caller *caller);
    /* Store takes more, or is gone: whoever waited goes on. May be NULL. */
    void (*store_ready)(struct caller *caller);
    /* Store may be back: true while the session still waits for its mailbox. May be NULL. */
    bool (*resync)(struct caller *caller);
    /* The role drains: end when nothing is under way, or (`over`) at once. */
    void (*send_away)(struct caller *caller, bool over);
    /* Tells a client who has waited long that its command goes on; true while a command runs. May be NULL. */
    bool (*still_busy)(struct caller *caller);
    /* End without a word. */
    void (*drop)(struct caller *caller, const char *why);
};

struct caller {
    struct list node; /* in imap->service.sessions */
    const struct caller_ops *ops;
    struct imap *imap;
    char id[CALLER_ID + 1];
    struct netaddr client;
    struct netaddr_text client_text;
    uint32_t listener; /* index in the settings */
    bool insecure_auth, starttls, probe, trusted;
    unsigned failures;
    uint64_t started_ms;
    struct user *user, *address;      /* connections of this account and address; of this address */
    char server_ip[NETADDR_TEXT_MAX]; /* of the listener */
};

/* Takes down who it is and counts it. NULL, or why it is one too many, in words a client may be told. In any
 * case caller_leave() ends it. */
const char *caller_enter(struct caller *caller, const struct caller_ops *ops, struct imap *imap,
                         struct stream *stream, const struct listener_arrival *arrival) MUST_CHECK;
/* Gives its grant back and takes it out of its account's count; both are none afterwards. */
void caller_logout(struct caller *caller, struct grant *grant);
/* It is gone. */
void caller_leave(struct caller *caller);
/* The connections of one account from one address are counted (settings: limits.imap). False: too many. */
bool caller_count_account(struct caller *caller, struct slice account) MUST_CHECK;
/* A load balancer's own connection, as long as nobody has logged in. */
bool caller_is_check(const struct caller *caller, const struct grant *grant);
/* A tool that bans may see it: nobody of ours, no load balancer. */
bool caller_is_stranger(const struct caller *caller);
/* It does not speak the protocol: tells auth. */
void caller_report_abuse(const struct caller *caller, const char *detail);

#endif
