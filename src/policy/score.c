/* score.c: points of strangers. Numbers come from auth/bans.c. */
#include "policy/score.h"

#define COUNT_MAX 1000u /* offences in one report */

/* What a honest client does now and then is worth little: a list server that writes to forty accounts which
 * are gone is no attacker. What no honest client does is worth much. */
static const struct {
    unsigned points;
    bool gentle;
} worth[SCORE_KIND_COUNT] = {
    [SCORE_FAILED_LOGIN] = {10, false},
    [SCORE_EARLY_TALKER] = {20, false},
    [SCORE_UNKNOWN_RECIPIENT] = {2, false},
    [SCORE_RELAY_ATTEMPT] = {10, false},
    [SCORE_SPAM_TRAP] = {50, false},
    [SCORE_PROTOCOL_ABUSE] = {25, false},
    [SCORE_LIMIT] = {1, true},
    [SCORE_LISTED] = {10, true},
};

unsigned score_points(enum score_kind kind)
{
    return kind < SCORE_KIND_COUNT ? worth[kind].points : 0;
}

bool score_is_gentle(enum score_kind kind)
{
    return kind < SCORE_KIND_COUNT && worth[kind].gentle;
}

/* Halved for each half life, and between two of them in a straight line. */
static uint64_t milli_now(const struct score *score, const struct score_rules *rules, uint64_t now_ms)
{
    uint64_t passed = now_ms > score->at_ms ? now_ms - score->at_ms : 0;
    uint64_t halves = passed / rules->half_life_ms, rest = passed % rules->half_life_ms;
    if (halves >= 64)
        return 0;
    uint64_t milli = score->milli >> halves;
    return milli - (uint64_t)((unsigned __int128)(milli / 2) * rest / rules->half_life_ms);
}

bool score_add(struct score *score, const struct score_rules *rules, uint64_t points, uint64_t count,
               bool gently, uint64_t now_ms)
{
    uint64_t milli = milli_now(score, rules, now_ms), limit = rules->threshold * 1000;
    uint64_t more = points * (count < COUNT_MAX ? count : COUNT_MAX) * 1000;
    if (gently) {
        uint64_t room = milli < limit / 2 ? limit / 2 - milli : 0;
        more = more < room ? more : room;
    }
    score->at_ms = now_ms;
    score->milli = milli + more;
    if (!more || score->milli < limit)
        return false;
    score->milli = 0;
    return true;
}

uint64_t score_now(const struct score *score, const struct score_rules *rules, uint64_t now_ms)
{
    return milli_now(score, rules, now_ms) / 1000;
}

uint64_t score_ban_length(const struct score_rules *rules, uint64_t earlier)
{
    uint64_t length = rules->first_s;
    for (; earlier && length < rules->max_s; earlier--)
        length *= 2;
    return length < rules->max_s ? length : rules->max_s;
}

/* ---- logins ---- */

static bool remembered(const uint64_t *list, size_t count, uint64_t hash)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == hash)
            return true;
    return false;
}

/* 0 means: free. */
static uint64_t never_zero(uint64_t hash)
{
    return hash ? hash : 1;
}

enum score_login score_login(struct score_logins *logins, uint64_t name, uint64_t guess)
{
    name = never_zero(name);
    if (guess && remembered(logins->guesses, SCORE_GUESSES, guess))
        return SCORE_LOGIN_REPEATED;
    if (guess) {
        logins->guesses[logins->next_guess] = guess;
        logins->next_guess = (uint8_t)((logins->next_guess + 1) % SCORE_GUESSES);
    }
    bool first = logins->names[0] == 0;
    if (!remembered(logins->names, SCORE_NAMES, name)) {
        logins->names[logins->next_name] = name;
        logins->next_name = (uint8_t)((logins->next_name + 1) % SCORE_NAMES);
        if (!first)
            return SCORE_LOGIN_NAME;
    }
    return guess ? SCORE_LOGIN_GUESSED : SCORE_LOGIN_BLIND;
}

unsigned score_login_points(enum score_login login)
{
    static const unsigned points[] = {[SCORE_LOGIN_REPEATED] = 0,
                                      [SCORE_LOGIN_GUESSED] = 10,
                                      [SCORE_LOGIN_NAME] = 20,
                                      [SCORE_LOGIN_BLIND] = 3};
    return points[login];
}
