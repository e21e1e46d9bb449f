/* dkim.h: the private keys that sign mail, in the one role that holds them, and what it does for queue.
 * Private to auth/. */
#ifndef AUTH_DKIM_H
#define AUTH_DKIM_H

#include "policy/dkim.h"
#include "role/role.h"

#define DKIM_THREADS     2 /* that sign: apart from those for passwords, so that neither starves the other */
#define DKIM_WAITING_MAX 2000 /* signatures under way; more: "try later" */
#define DKIM_SIGNERS_MAX 8    /* keys that sign one message */

/* One generation of keys; jobs that use one keep it. */
struct dkim_ring {
    unsigned refs;
    size_t count;
    struct dkim_ring_key {
        struct slice domain, selector; /* heap; lower case, A-labels */
        struct dkim_key *key;
    } * at;
};

/* Makes OpenSSL load what it needs to read keys; before confinement. */
void dkim_warm(void);
/* Reads and proves all keys of the settings in use, or of the next ones. What cannot be used is logged and
 * left out: mail of its domain is told apart by queue. */
struct dkim_ring *dkim_ring_new(struct role_run *run, bool next) __attribute__((returns_nonnull));
/* Whether a reload may use `next`, made from the next settings. Not when a key cannot be used that signs now
 * or was not there before: its file is being written, or was damaged, and mail would go unsigned. One that
 * did not work before either is no reason. */
enum err dkim_ring_check(struct role_run *run, const struct dkim_ring *now, const struct dkim_ring *next,
                         struct why *why) MUST_CHECK;
/* Clears the caller's pointer; takes NULL. */
void dkim_ring_release(struct dkim_ring **ring);

struct auth;
/* WIRE_DKIM_KEYS to queue, if it is there. */
void dkim_tell(struct auth *auth);
/* WIRE_DKIM_SIGN. */
bool dkim_on_sign(void *ctx, struct ipc_link *link, struct ipc_packet *packet, const void *message);

#endif
