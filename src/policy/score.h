/* score.h: what a stranger does, in points: what each offence is worth, how points fade, and how long the ban
 * is that they lead to. Pure: the caller keeps the numbers and knows the time. Our own rules; docs/door.md
 * says them to people.
 */
#ifndef POLICY_SCORE_H
#define POLICY_SCORE_H

#include "base/slice.h"

/* In the order of enum offence (wire/wire.h). */
enum score_kind {
    SCORE_FAILED_LOGIN,
    SCORE_EARLY_TALKER,
    SCORE_UNKNOWN_RECIPIENT,
    SCORE_RELAY_ATTEMPT,
    SCORE_SPAM_TRAP,
    SCORE_PROTOCOL_ABUSE,
    SCORE_LIMIT,
    SCORE_LISTED,
    SCORE_KIND_COUNT
};

struct score_rules {
    uint64_t threshold;    /* points that make a ban; 1 to SCORE_THRESHOLD_MAX */
    uint64_t half_life_ms; /* after this half of the points are forgotten; not 0 */
    uint64_t first_s, max_s;
};
#define SCORE_THRESHOLD_MAX 1000000u

/* Zeroed: nothing was done yet. */
struct score {
    uint64_t milli; /* thousandths of points at `at_ms` */
    uint64_t at_ms; /* any clock that does not go back */
};

/* Points of one offence of a kind; a failed login: see score_login_points(). */
unsigned score_points(enum score_kind kind);
/* A busy but honest client does these too: alone they never make a ban. */
bool score_is_gentle(enum score_kind kind);

/* Adds `count` times `points`. True when the threshold is reached: then the score is back at zero and the
 * caller bans. With `gently` no more is added than leads to half the threshold. */
bool score_add(struct score *score, const struct score_rules *rules, uint64_t points, uint64_t count,
               bool gently, uint64_t now_ms) MUST_CHECK;
/* Points left at this moment. */
uint64_t score_now(const struct score *score, const struct score_rules *rules, uint64_t now_ms);
/* Seconds of the next ban after so many earlier ones: doubled each time, up to the longest. */
uint64_t score_ban_length(const struct score_rules *rules, uint64_t earlier);

/* ---- logins ---- */

#define SCORE_GUESSES 16 /* passwords remembered of one address, and … */
#define SCORE_NAMES   8  /* … accounts */

/* Which accounts and passwords (as keyed hashes of both) an address has tried last. Zeroed: none. */
struct score_logins {
    uint64_t guesses[SCORE_GUESSES], names[SCORE_NAMES];
    uint8_t next_guess, next_name;
};

enum score_login {
    SCORE_LOGIN_REPEATED, /* the same wrong password for the same account: some device has an old one */
    SCORE_LOGIN_GUESSED,  /* another password */
    SCORE_LOGIN_NAME,     /* another account than before */
    SCORE_LOGIN_BLIND     /* SCRAM does not show the password: maybe a guess, maybe a device */
};
/* What this failure is, and remembers it. `guess` 0: the password is not known. */
enum score_login score_login(struct score_logins *logins, uint64_t name, uint64_t guess);
unsigned score_login_points(enum score_login login);

#endif
