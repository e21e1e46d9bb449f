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

#define LIMITS_MAX     10000000u /* keys; settings->limits.addresses is below */
#define LIMITS_KEY_LEN 17        /* the service, and an address under its prefix or a hash of a name */

struct limit_key {
    uint8_t bytes[LIMITS_KEY_LEN];
};

struct limits;

/* At most `keys` keys (1 to LIMITS_MAX); 100,000 take 9 MB at most, of which those never used are only
 * promised. */
struct limits *limits_new(size_t keys) __attribute__((returns_nonnull));
/* Clears the pointer; takes NULL. */
void limits_free(struct limits **limits);
/* Keys there are now. */
size_t limits_count(const struct limits *limits);
/* For more keys or fewer; what was counted stays, the newest first. */
void limits_resize(struct limits **limits, size_t keys);

/* The client's network on a service: settings->limits.ipv4_prefix, ipv6_prefix. Families other than IP share
 * one key. */
struct limit_key limit_key_address(const struct settings *settings, enum settings_service service,
                                   const struct netaddr *addr);
/* Of an account or a domain (compared without case of ASCII letters). Others cannot choose names that fall
 * together: each table has its own secret. */
struct limit_key limit_key_name(const struct limits *limits, enum settings_service service,
                                struct slice name);

/* Takes `n` of `per_minute` (0: no limit, always true). A whole minute's worth may come at once, then as many
 * as flow back; whoever has a whole minute's worth may take more than that, and waits the longer for it.
 * False: too many; nothing is taken and `wait_ms` (may be NULL) says when `n` would be there. */
bool limits_take(struct limits *limits, const struct limit_key *key, enum limit_kind kind,
                 uint64_t per_minute, uint64_t n, uint64_t now_ms, uint64_t *wait_ms) MUST_CHECK;
/* The same question without taking. */
bool limits_would(struct limits *limits, const struct limit_key *key, enum limit_kind kind,
                  uint64_t per_minute, uint64_t n, uint64_t now_ms, uint64_t *wait_ms) MUST_CHECK;
/* Takes without a question what happened already; at most LIMITS_DEBT_MINUTES of it are kept in mind. */
#define LIMITS_DEBT_MINUTES 10u
void limits_charge(struct limits *limits, const struct limit_key *key, enum limit_kind kind,
                   uint64_t per_minute, uint64_t n, uint64_t now_ms);

#endif
