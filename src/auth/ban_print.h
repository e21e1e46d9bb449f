/* ban_print.h: what the answers of `rockdove ban` are made of: texts, JSON members, and what holds for an
 * address all in all. Private to ban_command.c and ban_explain.c. */
#ifndef AUTH_BAN_PRINT_H
#define AUTH_BAN_PRINT_H

#include "auth/ban_command.h"

/* "2026-11-21T16:20:11Z"; "until …", "until it is removed". */
void ban_print_time(struct buf *out, uint64_t unix_s);
void ban_print_until(struct buf *out, uint64_t until);
/* `,"name":value`; a time is null for 0 and BANS_FOR_EVER. */
void ban_json_time(struct buf *out, const char *name, uint64_t unix_s);
void ban_json_text(struct buf *out, const char *name, const char *text);
void ban_json_number(struct buf *out, const char *name, uint64_t number);
void ban_json_bool(struct buf *out, const char *name, bool is);
/* The members of a ban that are its own. */
void ban_json_members(struct buf *out, const struct ban *ban);

/* The second argument as a network; false: it is none, and that is said. */
bool ban_read_argument(struct ban_command *c, struct conf_network *network) MUST_CHECK;

/* What holds for a network. */
struct ban_state {
    const char *never;      /* no ban counts: why */
    bool is_private;        /* usual ones do not count */
    uint64_t owner;         /* the same: when somebody logged in from there */
    const struct ban *ours; /* alive or former; or NULL */
    const struct ban *hand; /* the one alive that lasts longest and covers it */
    const struct decision *decision;
    bool refused, would;
    uint64_t until;
};

struct ban_state ban_judge(const struct ban_command *c, const struct conf_network *network);
bool ban_is_private(const struct conf_network *network);

/* ban_explain.c: the command `explain`, with one argument. */
void ban_explain(struct ban_command *c);

#endif
