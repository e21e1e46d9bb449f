/* connect.h: an outgoing TCP connection: non-blocking, with a time limit and a source address. For the one
 * role that calls out (relay). */
#ifndef NET_CONNECT_H
#define NET_CONNECT_H

#include "base/loop.h"
#include "grammar/netaddr.h"

struct connecting;

/* Called once, from the loop: `fd` is connected, non-blocking, without Nagle's delay, and the callee's; or it
 * is -1 and `error` an errno (ETIMEDOUT after `ms`). The attempt is over: connect_cancel() is not called any
 * more. */
typedef void connect_done(void *ctx, int fd, int error);

/* `source` gives the address to call from (its port is not used); NULL or another family than `to`: the
 * kernel's choice. Never fails at once: what fails at once is told by a later turn of the loop. */
struct connecting *connect_begin(struct loop *loop, const struct netaddr *to, const struct netaddr *source,
                                 uint64_t ms, connect_done *done, void *ctx) __attribute__((returns_nonnull));
/* Before `done` was called; it will not be. Clears the pointer; takes NULL. */
void connect_cancel(struct connecting **connecting);
/* "connection refused", "timed out", … constant. */
const char *connect_error_text(int error);

#endif
