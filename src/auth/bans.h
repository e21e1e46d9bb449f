/* bans.h: everything known of strangers: what each did lately and its points, the bans they led to, bans made
 * by hand, addresses somebody logged in from, CrowdSec's decisions. In memory, without I/O, clock or log: the
 * caller (ban_role.c, or `rockdove ban` while no server runs) brings the time and carries out what is
 * answered.
 *
 * A client is the network limits.ipv4_prefix and ipv6_prefix make of its address: one ban covers all of it.
 */
#ifndef AUTH_BANS_H
#define AUTH_BANS_H

#include "auth/decisions.h"
#include "base/coll.h"
#include "net/ban_list.h"
#include "policy/score.h"
#include "settings/settings.h"

#define BANS_TRACKS_MAX                                                                                      \
    20000u /* strangers remembered; then the one that did nothing for the longest time goes */
#define BANS_OURS_MAX    50000u /* bans by score, former ones with them; then the oldest goes */
#define BANS_BY_HAND_MAX 10000u
#define BANS_OWNERS_MAX  20000u /* addresses somebody logged in from; then the one not seen longest goes */
#define BANS_EVENTS      6      /* last events kept of each address */
#define BANS_DETAIL_MAX  56
#define BANS_WHERE_MAX   20
#define BANS_REASON_MAX  160
#define BANS_FOR_EVER    UINT64_MAX
/* Wider networks are banned by nobody: more likely a slip or a broken list than meant. */
#define BANS_WIDEST_V4 8
#define BANS_WIDEST_V6 16
/* A login that succeeded from an address known already is written down again after this. */
#define BANS_OWNER_AGAIN_S 3600u
/* The same wrong password so often is told; then at every doubling. */
#define BANS_OLD_PASSWORD 5u

/* Both clocks: Unix seconds for what people read and what is kept, monotonic ms for points. */
struct bans_now {
    uint64_t unix_s, mono_ms;
};

/* One piece of evidence. Texts are printable UTF-8, cut. */
struct ban_event {
    uint64_t at;     /* Unix seconds */
    uint32_t count;  /* the same again and again: so often */
    uint16_t points; /* each was worth */
    uint8_t kind;    /* enum score_kind */
    char where[BANS_WHERE_MAX], detail[BANS_DETAIL_MAX];
};

enum ban_source { BAN_OURS, BAN_HAND };

struct ban {
    struct list node; /* oldest first */
    struct conf_network network;
    enum ban_source source;
    bool simulated;               /* bans: observe; nobody is refused for it */
    bool over;                    /* ended, and told so; counts as a former one */
    uint8_t rule;                 /* enum score_kind that crossed the threshold */
    uint32_t number;              /* how often this client was banned, this one counted */
    uint64_t made, until, begun;  /* Unix seconds; `begun`: of the evidence */
    uint64_t total;               /* offences it was made of */
    char reason[BANS_REASON_MAX]; /* by hand */
    struct ban_event events[BANS_EVENTS];
    uint32_t event_count;
};

/* What one stranger did. */
struct ban_track {
    struct list node; /* used longest ago first */
    struct conf_network network;
    struct score score;
    struct score_logins logins;
    uint64_t first, last; /* Unix seconds */
    uint64_t total;
    uint32_t old_password; /* the same wrong password: so often */
    uint64_t spared_told;  /* Unix seconds: when it was said last that it is not banned (the caller's) */
    struct ban_event events[BANS_EVENTS];
    uint32_t event_count;
};

struct ban_owner {
    struct list node; /* seen longest ago first */
    struct conf_network network;
    uint64_t seen, written; /* Unix seconds */
};

struct bans {
    const struct settings *settings;
    struct score_rules rules;
    struct map *tracks, *ours, *by_hand, *owners; /* by network */
    struct list track_order, our_order, hand_order, owner_order;
    struct decisions *decisions, *next_decisions; /* the second: a full answer that is still coming */
};

struct bans *bans_new(const struct settings *settings) __attribute__((returns_nonnull));
/* Takes NULL. */
void bans_free(struct bans **bans);
/* A reload. */
void bans_use(struct bans *bans, const struct settings *settings);

/* ---- networks ---- */

bool bans_network_of(const struct netaddr *addr, struct conf_network *network) MUST_CHECK;
/* Text; bits behind the prefix are cleared. */
bool bans_read_network(struct slice text, struct conf_network *network) MUST_CHECK;
struct conf_network bans_client(const struct bans *bans, const struct netaddr *addr);
/* "192.0.2.1", "192.0.2.0/24", "2001:db8::/64". */
struct bans_text {
    char text[NETADDR_TEXT_MAX + 4];
};
struct bans_text bans_network_text(const struct conf_network *network);
/* Into `size` bytes: printable UTF-8 stays, every other byte becomes '?'; cut between characters. */
void bans_copy_text(char *to, size_t size, struct slice text);
bool bans_covers(const struct conf_network *outer, const struct conf_network *inner);
/* Or an IPv6 network that has all of IPv4 inside, as ::ffff:0:0/96. */
bool bans_too_wide(const struct conf_network *network);
bool bans_has_all_of_ipv4(const struct conf_network *network);
/* Why nobody bans this network: the name of the setting that says so, or NULL. */
const char *bans_never(const struct bans *bans, const struct conf_network *network);

/* ---- what happens ---- */

enum bans_outcome {
    BANS_NOTED,            /* nothing but remembered */
    BANS_IGNORED,          /* bans: off, or one of our own */
    BANS_MADE,             /* `ban` is new: real or, with bans: observe, only told */
    BANS_LET_GO,           /* would be one, but `spared` says why not */
    BANS_OLD_PASSWORD_SEEN /* a device that uses an old password: say so now */
};

struct bans_verdict {
    enum bans_outcome outcome;
    const struct ban *ban;
    const char *spared;
    struct ban_track *track;
    bool repeated; /* a failed login with the same wrong password as before, of an account that exists */
};

struct bans_offence {
    enum score_kind kind;
    uint32_t count;
    const struct netaddr *client;
    struct slice where, detail; /* any bytes; a failed login: service and name */
    uint64_t name, guess;       /* a failed login: keyed hashes, see score_login() */
    bool known;                 /* … of an account that exists */
};

struct bans_verdict bans_offend(struct bans *bans, const struct bans_offence *offence,
                                const struct bans_now *now);

/* Somebody logged in from there. A ban of ours that stands against it is lifted (`*lifted`, NULL otherwise).
 * Answers the owner entry when it has to be written down. */
const struct ban_owner *bans_login(struct bans *bans, const struct netaddr *client,
                                   const struct bans_now *now, const struct ban **lifted);

/* By hand, in place of an earlier one by hand; `until` may be BANS_FOR_EVER. ERR_REFUSED with the reason. */
enum err bans_add(struct bans *bans, const struct conf_network *network, uint64_t until, struct slice reason,
                  const struct bans_now *now, const struct ban **ban, struct why *why) MUST_CHECK;
/* Ends the ban by hand and ours of exactly this network, and forgets its points. What was there: a set of
 * 1 << enum ban_source. */
unsigned bans_remove(struct bans *bans, const struct conf_network *network, const struct bans_now *now);

/* Looks at all: calls `ended` once for each ban whose time is over, `dropped` for each one that is too old to
 * count as a former one (it is gone after the call), `forgotten` for owners not seen for too long. */
struct bans_sweep {
    void (*ended)(void *arg, const struct ban *ban);
    void (*dropped)(void *arg, const struct ban *ban);
    void (*forgotten)(void *arg, const struct ban_owner *owner);
    void *arg;
};
void bans_expire(struct bans *bans, const struct bans_now *now, const struct bans_sweep *sweep);

/* From the database at start. False when there are too many, or it is too wide: a damaged row. */
bool bans_restore(struct bans *bans, const struct ban *ban) MUST_CHECK;
bool bans_restore_owner(struct bans *bans, const struct conf_network *network, uint64_t seen) MUST_CHECK;

/* For ban_offend.c: the entry of this network, newest of its kind, made when there is none; NULL: too many by
 * hand. */
struct ban *bans_place(struct bans *bans, enum ban_source source, const struct conf_network *network);

/* ---- questions ---- */

/* Not over at this moment; maybe simulated. */
bool bans_is_alive(const struct ban *ban, const struct bans_now *now);
/* Does it make somebody be refused, with these settings? */
bool bans_is_enforced(const struct bans *bans, const struct ban *ban, const struct bans_now *now);
const struct ban *bans_ours(const struct bans *bans, const struct conf_network *network);
const struct ban *bans_by_hand(const struct bans *bans, const struct conf_network *network);
const struct ban_track *bans_track(const struct bans *bans, const struct conf_network *client);
/* When somebody logged in from there last, as far as it is not too long ago; 0: never. */
uint64_t bans_owner_seen(const struct bans *bans, const struct conf_network *client,
                         const struct bans_now *now);
size_t bans_count(const struct bans *bans, enum ban_source source, const struct bans_now *now);
const char *bans_kind_name(unsigned kind);

/* All of it for ban_list_make(); malloc'ed. */
struct ban_entry *bans_snapshot(const struct bans *bans, const struct bans_now *now, size_t *count)
    __attribute__((returns_nonnull));

#endif
