/* ban_command.h: `rockdove ban list | add | remove | explain` on the register, for the running server
 * (ban_control.c) and for the command while none runs. */
#ifndef AUTH_BAN_COMMAND_H
#define AUTH_BAN_COMMAND_H

#include "auth/ban_store.h"
#include "base/buf.h"

#define BAN_ARGUMENTS_MAX 8
#define BAN_WRITES_MAX    2   /* changes one command makes */
#define BAN_PAGE          200 /* rows of a list in one piece */

/* One command; zeroed but for what the caller knows. */
struct ban_command {
    struct bans *bans;
    struct bans_now now;
    bool json;
    const struct slice *arguments; /* without "ban" */
    size_t count;
    struct buf *out;
    uint32_t exit_code;
    struct ban_write writes[BAN_WRITES_MAX]; /* to be carried out before the answer is given */
    size_t write_count;
    unsigned removed; /* `remove`: a set of 1 << enum ban_source */
    /* `list`: goes on where it was while `more` */
    bool more;
    unsigned stage;
    size_t at;
    bool any;
};

/* Adds to `out` and sets exit_code; while it sets `more`, it is called again for the next piece (`out`
 * emptied in between). The register may change between two pieces: an entry may then be missing or stand
 * twice. */
void ban_command(struct ban_command *command);

#endif
