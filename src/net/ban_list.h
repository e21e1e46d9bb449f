/* ban_list.h: the addresses nobody speaks to: an image of all bans as auth makes it, and the question a
 * network role asks of it at each connection. The image is one sealed memfd shared by all roles: disjoint
 * intervals of addresses in order, so that a look-up is one binary search whatever the number of networks
 * (100,000: well under a microsecond). It is replaced as a whole.
 */
#ifndef NET_BAN_LIST_H
#define NET_BAN_LIST_H

#include "base/buf.h"
#include "base/conf.h"
#include "base/err.h"
#include "grammar/netaddr.h"

#define BAN_LIST_MAX 1000000u /* bans in one image */

/* Whose word an entry is. */
enum ban_rank {
    BAN_USUAL,   /* made by the score, or CrowdSec's */
    BAN_SPARED,  /* no ban: no usual one counts here (somebody logged in from there) */
    BAN_BY_HAND, /* counts where others are spared */
    BAN_NEVER    /* no ban: none counts here */
};

/* One ban, or an exception from others. Networks may overlap: the strongest word counts, and among bans that
 * count the longest lasting. */
struct ban_entry {
    struct conf_network network; /* IPv4 as ::ffff:a.b.c.d */
    enum ban_rank rank;
    uint64_t until; /* seconds of Unix time; UINT64_MAX: until it is removed */
};

/* auth, on any thread: makes the sealed memfd of these, which it sorts. ERR_LATER without descriptors,
 * ERR_BAD above BAN_LIST_MAX. */
enum err ban_list_make(struct ban_entry *entries, size_t count, int *fd, struct why *why) MUST_CHECK;

struct ban_list;
/* A role: maps it (the descriptor stays the caller's) after checking what auth wrote: size, order. ERR_BAD
 * otherwise. */
enum err ban_list_map(int fd, struct ban_list **list, struct why *why) MUST_CHECK;
/* Takes NULL. */
void ban_list_free(struct ban_list **list);
/* Is the address banned at this moment? `list` may be NULL: nobody is. Unix sockets and unknown families
 * never are. `until` (may be NULL) is the end of the ban. */
bool ban_list_has(const struct ban_list *list, const struct netaddr *addr, uint64_t now_s, uint64_t *until);
size_t ban_list_count(const struct ban_list *list);

#endif
