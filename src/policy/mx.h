/* mx.h: which hosts take mail for a domain, in which order, and when the answer is a definite no. Pure: DNS
 * answers in, a list or a refusal out; nobody is asked here (relay/resolve.c asks). RFC 5321 section 5,
 * RFC 7505.
 */
#ifndef POLICY_MX_H
#define POLICY_MX_H

#include "base/arena.h"
#include "grammar/netaddr.h"

#define MX_ANSWERS_MAX   2000 /* records read of one answer */
#define MX_HOSTS_MAX     20   /* the best of them are kept */
#define MX_ADDRESSES_MAX 16   /* of one host and family */

/* Evenly spread over 0 … bound - 1. */
typedef uint64_t mx_random(void *ctx, uint64_t bound);

/* What DNS said, as wire.h's dns_status tells it. */
enum mx_dns { MX_DNS_OK, MX_DNS_NODATA, MX_DNS_NXDOMAIN, MX_DNS_FAILED };

struct mx_host {
    uint16_t preference;
    struct slice name; /* lower case, no last dot */
};

/* What follows from the MX question alone. */
enum mx_verdict {
    MX_HOSTS,     /* ask for the addresses of `hosts` */
    MX_IMPLICIT,  /* no MX: the domain itself is the one host (RFC 5321 section 5.1); it is in `hosts` */
    MX_NULL,      /* takes no mail, and says so (RFC 7505) */
    MX_NO_DOMAIN, /* NXDOMAIN */
    MX_MALFORMED, /* MX records, but none names a host */
    MX_LATER      /* SERVFAIL, time-out, bogus: nothing is known */
};

struct mx_list {
    enum mx_verdict verdict;
    struct mx_host *hosts; /* best first, equal preferences in random order, each name once */
    size_t count;          /* at most MX_HOSTS_MAX */
};

/* Reads the answer to the MX question for `domain` (A-labels). `records` are the rdata of MX records. The
 * hosts are in the arena. */
void mx_list_read_in(struct arena *arena, struct slice domain, enum mx_dns dns, const struct slice *records,
                     size_t count, mx_random *draw, void *ctx, struct mx_list *list);
/* Order again, for a list that was kept: each message draws anew among equals. */
void mx_list_shuffle(struct mx_host *hosts, size_t count, mx_random *draw, void *ctx);

/* ---- addresses ---- */

/* Who we are, and where test networks and inner mail hubs are. */
struct mx_self {
    const struct slice *names; /* lower case */
    size_t name_count;
    const struct netaddr *addresses;
    size_t address_count;
    /* Addresses that would be refused are taken when this says so; may be NULL. */
    bool (*is_allowed)(const void *ctx, const struct netaddr *addr);
    const void *ctx;
};

/* What was found out about one host. */
struct mx_found {
    struct mx_host host;
    /* The better of the two answers: OK when there is any address, FAILED when none is known and at least one
     * question failed. */
    enum mx_dns dns;
    struct netaddr *addresses; /* IPv6 and IPv4 as they came; changed by mx_choose() */
    size_t count;
};

enum mx_choice {
    MX_CHOSEN,
    MX_TEMPORARY, /* none usable now, but at least one may be later */
    MX_PERMANENT
};

/* `enhanced` and `text` explain what is not MX_CHOSEN: "5.4.6", "mail for example.org loops back …". */
struct mx_result {
    enum mx_choice choice;
    size_t count; /* hosts left at the front of the array */
    const char *enhanced;
    struct slice text; /* in the arena; printable ASCII */
};

/* Takes out what may not be tried: our own host and everything not better than it (RFC 5321 section 5.1),
 * addresses nobody outside has (loopback, private, link-local, unspecified, multicast, reserved), hosts
 * without address. What is left stays in order at the front of `hosts`, each with its addresses IPv6 first,
 * then taking turns. */
struct mx_result mx_choose(struct arena *arena, struct slice domain, struct mx_found *hosts, size_t count,
                           const struct mx_self *self);
/* The same for what the MX answer alone decided (any verdict but HOSTS and IMPLICIT). */
struct mx_result mx_refuse(struct arena *arena, struct slice domain, enum mx_verdict verdict);

/* Why no mail server of another can have this address: "loopback", "private", …; NULL when it can. */
const char *mx_address_flaw(const struct netaddr *addr);
/* IPv6, IPv4, IPv6, … each family in its own order; at most MX_ADDRESSES_MAX of each are kept. Returns how
 * many. */
size_t mx_addresses_interleave(struct netaddr *addresses, size_t count);

#endif
