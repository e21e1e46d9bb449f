/* state.h: the packed state of a mailbox in one file, so that a cold SELECT is one read instead of three for
 * every thousand messages.
 *
 *   accounts/ADDRESS/state/ID: records, each a row of the table `packed` as it was written at that time:
 *   lowest UID the row may hold (le32), length (le32), its bytes. A later record of the same UID takes the
 *   place of an earlier one; length 0: there is no such row any more.
 *
 * A copy, never synced, thrown away whenever it suits. mailbox.state_len and state_sum in index.db say how
 * long the part of it is that counts and what it must hold: a sum that is carried from record to record. They
 * are committed with the rows, so a file is believed exactly when it holds what the rows of this index hold,
 * whatever was torn by a crash, copied or put back. What lies behind that length does not count.
 *
 * Pure; input: such a file, which may hold anything.
 */
#ifndef STORE_STATE_H
#define STORE_STATE_H

#include "base/coll.h"
#include "base/err.h"

#define STATE_HEAD 8           /* bytes in front of each record's row */
#define STATE_MAX  (64u << 20) /* a longer file is not kept: about five million messages */
#define STATE_ROWS (1u << 17)  /* records in a file that is believed */

/* One row that holds. */
struct state_row {
    uint32_t first;
    uint32_t at, len; /* of its bytes in the file */
};

/* The sum of an empty file of this mailbox. */
uint64_t state_begin(uint64_t mailbox);
/* The sum with one record more. */
uint64_t state_next(uint64_t sum, struct slice record);
void state_head(uint32_t first, uint32_t len, uint8_t head[STATE_HEAD]);
/* The rows that hold, in ascending order, appended to `rows` (struct state_row). ERR_BAD: these are not the
 * bytes with this sum. */
enum err state_read(struct slice bytes, uint64_t mailbox, uint64_t sum, struct vec *rows,
                    struct why *why) MUST_CHECK;

#endif
