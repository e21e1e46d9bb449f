/* resolver.h: one libunbound context on our loop: set up completely before confinement, asked afterwards. A
 * context cannot be changed after its first query, so a reload makes a new one; the old one ends when its
 * last answer has come. */
#ifndef DNS_RESOLVER_H
#define DNS_RESOLVER_H

#include "base/arena.h"
#include "base/err.h"
#include "base/loop.h"
#include "settings/settings.h"

#define RESOLVER_PENDING_MAX 10000

struct resolver;

struct resolver_files {
    struct slice resolv_conf, trust_anchor; /* contents; empty: none */
};

enum err resolver_new(struct loop *loop, const struct settings *settings, const struct resolver_files *files,
                      struct resolver **resolver, struct why *why) MUST_CHECK;
/* No new questions; freed when the pending ones have ended. Clears the pointer; takes NULL. */
void resolver_retire(struct resolver **resolver);
/* At once: pending questions get no answer any more. */
void resolver_free(struct resolver **resolver);
size_t resolver_pending(const struct resolver *resolver);

/* `message` is a whole DNS message when `rcode` is 0, only for the call. secure: 0 insecure, 1 bogus, 2
 * secure. */
typedef void resolver_done(void *ctx, int rcode, struct slice message, int secure, const char *why_bogus);
/* ERR_BAD: no name; ERR_LATER: too many pending. `done` may be called before this returns. */
enum err resolver_ask(struct resolver *resolver, struct slice name, unsigned type, resolver_done *done,
                      void *ctx) MUST_CHECK;

#endif
