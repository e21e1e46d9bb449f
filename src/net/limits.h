/* limits.h: how much one key (a client's network, an account, a sender domain) may do in a minute. Token
 * buckets (GCRA: one moment each) in a table whose size is fixed at creation: when it is full the key that
 * was used the longest time ago goes. No allocation after limits_new().
 */
#ifndef NET_LIMITS_H
#define NET_LIMITS_H

#include "base/slice.h"
#include "grammar/netaddr.h"
#include "settings/settings.h"

/* What is counted. A key has one bucket of each. */
enum limit_kind {
    LIMIT_CONNECTIONS,
    LIMIT_MESSAGES,
    LIMIT_RECIPIENTS,
    LIMIT_FAILED_RECIPIENTS,
    LIMIT_BYTES,
    LIMIT_KIND_COUNT
};

#define LIMITS_KEY_LEN 16 /* an address under its prefix, or a hash of a name */

struct limit_key {
    uint8_t bytes[LIMITS_KEY_LEN];
};

struct limits;

/* At most `keys` keys; 100,000 take less than 10 MB. `seed` keeps others from choosing colliding names. */
struct limits *limits_new(size_t keys, uint64_t seed) __attribute__((returns_nonnull));
/* Takes NULL. */
void limits_free(struct limits **limits);
size_t limits_count(const struct limits *limits);

/* The client's network: settings->limits.ipv4_prefix, ipv6_prefix. */
struct limit_key limit_key_address(const struct settings *settings, const struct netaddr *addr);
/* Of an account or a domain (compared without case of ASCII letters); `seed` as above. */
struct limit_key limit_key_name(uint64_t seed, struct slice name);

/* Takes `n` of `per_minute` (0: no limit, always true). A whole minute's worth may come at once, then as many
 * as flow back. False: too many; nothing is taken and `wait_ms` (may be NULL) says when `n` would be there.
 */
bool limits_take(struct limits *limits, const struct limit_key *key, enum limit_kind kind,
                 uint64_t per_minute, uint64_t n, uint64_t now_ms, uint64_t *wait_ms) MUST_CHECK;
/* The same question without taking. */
bool limits_would(struct limits *limits, const struct limit_key *key, enum limit_kind kind,
                  uint64_t per_minute, uint64_t n, uint64_t now_ms) MUST_CHECK;

#endif
