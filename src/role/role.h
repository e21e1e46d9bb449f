/* role.h: what every role has in common: its loop, its links to the peers it may talk to, settings and files
 * handed in by the supervisor, two-phase reload, heartbeat, drain.
 *
 * A role is a constant table of functions (struct role_ops) and one context of its own. proc/ starts it:
 *
 *   1. load():    settings, files, peers, listeners of the first generation have come; not confined yet. Make
 * the context and load what will be needed later (CA bundle, keys, ICU data).
 *   2. confinement (proc/confine.c): from here no file, socket or program but what the role's profile allows.
 *   3. start():   confined; open databases, start threads, accept.
 *   4. run until drained.
 *
 * All functions are called on the loop's thread.
 */
#ifndef ROLE_ROLE_H
#define ROLE_ROLE_H

#include "base/ipc.h"
#include "base/loop.h"
#include "settings/settings.h"
#include "wire/wire.h"

struct role_run; /* one running role */

/* Handles one message type; false: ill-formed or not this peer's to send (the link is closed, the peer is
 * condemned where it is the less trusted side). `message` is the decoded struct; it and the packet live until
 * the function returns. */
typedef bool role_handler(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);

struct role_dispatch {
    enum wire_type type;
    role_handler *handle;
};

struct role_ops {
    enum role role;
    /* What this role answers or is told; ends with a row of type WIRE_NONE. */
    const struct role_dispatch *dispatch;
    /* Returns the context; NULL with `why` filled when the role cannot work like this (the server does not
     * start). */
    void *(*load)(struct role_run *run, struct why *why);
    enum err (*start)(void *ctx, struct why *why);
    /* Reload, first phase: the new settings and files are there (role_next_settings(), role_next_file());
     * build what they ask for beside what is in use; an error keeps the old in all roles. May be NULL. */
    enum err (*prepare)(void *ctx, struct why *why);
    /* Second phase: switch. role_settings() is the new one when this is called, listeners were updated. */
    void (*commit)(void *ctx);
    void (*abort)(void *ctx);
    /* A peer's link came up or went down. Pending calls were failed before. May be NULL. */
    void (*peer)(void *ctx, enum role peer, bool up);
    /* Output towards a peer was congested and is not any more. May be NULL. */
    void (*drained)(void *ctx, enum role peer);
    /* Finish within `ms`, then call role_drained(). May be NULL: drained at once. */
    void (*drain)(void *ctx, uint64_t ms);
    /* Frees the context. */
    void (*free)(void *ctx);
};

struct loop *role_loop(struct role_run *run);
/* The link to `peer`; always there, maybe down. NULL where the peer matrix has none. The supervisor's
 * link too, for what a role asks of it (WIRE_CONTROL). */
struct ipc_link *role_link(struct role_run *run, enum role peer);
/* Settings in use. Valid until commit() of the next generation has returned. */
const struct settings *role_settings(struct role_run *run);
const struct settings *role_next_settings(struct role_run *run);

/* A file that was handed in, with its content (read and bounded to ROLE_FILE_MAX by the runtime, so no role
 * seeks in another's descriptor). `missing` says why it could not be opened, empty otherwise. */
#define ROLE_FILE_MAX (64u << 20)
struct role_file {
    enum sup_file kind;
    uint32_t index;
    struct slice path;
    struct slice content;
    struct slice missing;
};

/* NULL when nothing of this kind and index was handed in. In load(): the first generation; role_next_file():
 * in prepare(). */
const struct role_file *role_file(struct role_run *run, enum sup_file kind, uint32_t index);
const struct role_file *role_next_file(struct role_run *run, enum sup_file kind, uint32_t index);
/* The listening socket of settings->listeners[index], or -1 when it is not this role's. Stays the runtime's.
 */
int role_listener(struct role_run *run, uint32_t index);
/* The listening control socket (queue only), or -1. */
int role_control_socket(struct role_run *run);
/* The counter blocks of all roles, mapped read-only (http only); NULL where there is none. */
const struct metric_block *role_metrics(struct role_run *run, enum role role);

/* A role is ready when its start() returns, unless it said role_ready_later() in there: then when it calls
 * role_ready(), for instance once a peer told what it cannot work without. Calling again changes nothing. In
 * both cases not before the links to its peers are up and peer() was called for each, as long as that takes
 * at most ROLE_LINKS_MS: a peer that is gone keeps nobody from working. */
#define ROLE_LINKS_MS 5000
void role_ready_later(struct role_run *run);
void role_ready(struct role_run *run);
/* drain() is done. */
void role_drained(struct role_run *run);
/* The peer sent what only a role that was taken over would send: logged, the supervisor restarts it. */
void role_condemn(struct role_run *run, enum role peer, const char *reason);
/* The peer's role of a link given to a handler. */
enum role role_of_link(const struct ipc_link *link);

/* Random ids. Names in the log: 12 characters of [a-z0-9]. */
void role_random(void *bytes, size_t len);

#endif
