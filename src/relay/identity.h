/* identity.h: is the name we say in EHLO ours? It should lead to the addresses we connect from, and they back
 * to it (forward-confirmed reverse DNS); many servers refuse mail otherwise. Looked at in the background, at
 * the start and every hour; what is wrong is logged when it changes, and stands in a metric. Nothing waits
 * for it.
 */
#ifndef RELAY_IDENTITY_H
#define RELAY_IDENTITY_H

#include "base/buf.h"
#include "base/ipc.h"
#include "grammar/netaddr.h"
#include "settings/settings.h"

#define IDENTITY_PERIOD_MS     3600000
#define IDENTITY_ADDRESSES_MAX 32

struct identity;

/* In load(), before confinement: the addresses of this host's interfaces are read here, once. */
struct identity *identity_new(struct loop *loop, struct ipc_link *dns, const struct settings *settings)
    __attribute__((returns_nonnull));
/* In start(), and when the dns role came back: looks soon. */
void identity_begin(struct identity *identity);
/* Reload. */
void identity_update(struct identity *identity, const struct settings *settings);
/* Clears the pointer; takes NULL. */
void identity_free(struct identity **identity);

enum identity_state {
    IDENTITY_UNKNOWN, /* not looked yet, or DNS gave no answer */
    IDENTITY_GOOD,
    IDENTITY_NO_ADDRESS,    /* the name leads nowhere */
    IDENTITY_NO_PTR,        /* an address has no name */
    IDENTITY_OTHER_PTR,     /* an address has other names only */
    IDENTITY_OTHER_ADDRESS, /* the name leads elsewhere than to the configured source address */
    IDENTITY_STATE_COUNT
};
enum identity_state identity_state(const struct identity *identity);
const char *identity_state_name(enum identity_state state);
/* One line a finding, for people ("203.0.113.5 has no PTR record; …"); empty when all is well or unknown. */
struct slice identity_text(const struct identity *identity);
/* The name said in EHLO. */
struct slice identity_name(const struct identity *identity);
/* Addresses that are ours: of the interfaces (no loopback), configured sources, and what our name leads to.
 * Valid until the loop turns. */
const struct netaddr *identity_addresses(const struct identity *identity, size_t *count);

#endif
