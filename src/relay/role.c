/* role.c: the relay role. It parses what other servers say, holds no file, and keeps nothing that must last:
 * what becomes of a message is told to queue. */
#include <stdlib.h>

#include "base/mem.h"
#include "relay/relay.h"

struct relay {
    struct role_run *run;
    struct loop *loop;
};

static void *load(struct role_run *run, struct why *why)
{
    struct relay *relay = mem_zero(1, sizeof *relay);
    (void)why;
    relay->run = run;
    relay->loop = role_loop(run);
    return relay;
}

static enum err start(void *ctx, struct why *why)
{
    (void)ctx;
    (void)why;
    return ERR_OK;
}

static void free_relay(void *ctx)
{
    free(ctx);
}

static const struct role_dispatch dispatch[] = {
    {WIRE_NONE, NULL},
};

const struct role_ops relay_role = {
    .role = ROLE_RELAY,
    .dispatch = dispatch,
    .load = load,
    .start = start,
    .free = free_relay,
};
