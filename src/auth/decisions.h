/* decisions.h: CrowdSec's decisions as relay tells them (WIRE_DECISIONS): a hundred thousand of them in flat
 * memory, found by their id. What relay sends was made of an answer of the LAPI: bounded and checked here
 * again. Used by bans.c.
 */
#ifndef AUTH_DECISIONS_H
#define AUTH_DECISIONS_H

#include "base/buf.h"
#include "base/conf.h"

#define DECISIONS_MAX     500000u
#define DECISION_WORDS    255 /* different types, origins and scenarios; others are all called "other" */
#define DECISION_WORD_MAX 80

struct decision {
    struct conf_network network;
    uint8_t type, origin, scenario; /* decisions_word() */
    uint64_t id, until;             /* Unix seconds */
};

struct decisions;

struct decisions *decisions_new(void) __attribute__((returns_nonnull));
/* Takes NULL. */
void decisions_free(struct decisions **decisions);

/* "+" or "-", id, address or network, seconds, type, origin, scenario with blanks between. False when it is
 * no such line. What is no address, too wide a network to be meant, or too much is counted and left out. */
bool decisions_take(struct decisions *decisions, struct slice line, uint64_t now_s) MUST_CHECK;

size_t decisions_count(const struct decisions *decisions);
/* Left out since it was made. */
uint64_t decisions_refused(const struct decisions *decisions);
const struct decision *decisions_at(const struct decisions *decisions, size_t index);
const char *decisions_word(const struct decisions *decisions, uint8_t word);
/* The longest one that covers all of this network, or NULL. Looks at each. */
const struct decision *decisions_find(const struct decisions *decisions, const struct conf_network *network,
                                      uint64_t now_s);
/* Forgets those that are over. */
void decisions_expire(struct decisions *decisions, uint64_t now_s);

/* ---- kept over a restart, for when the LAPI is away then ---- */

#define DECISIONS_BYTES_MAX (128u << 20)

/* For another thread, which may write and free it and nothing else. */
struct decisions *decisions_copy(const struct decisions *decisions) __attribute__((returns_nonnull));
/* All of them; marks `out` as overflowed past its maximum. */
void decisions_write(const struct decisions *decisions, uint64_t now_s, struct buf *out);
/* What was written, as far as it can be read and is not over. */
void decisions_read(struct decisions *decisions, struct slice bytes, uint64_t now_s);

#endif
