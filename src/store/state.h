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

#define STATE_HEAD    8           /* bytes in front of each record's row */
#define STATE_ROW_MAX (64u << 10) /* bytes of a row */
#define STATE_MAX     (64u << 20) /* a longer file is not kept: about five million messages */
#define STATE_ROWS    (1u << 17)  /* records in a file that is believed */

/* One row: where its bytes stand in the file. */
struct state_row {
    uint32_t first;
    uint32_t at, len;
};

/* The sum of an empty file of this mailbox. */
uint64_t state_begin(uint64_t mailbox);
/* The sum with one record more. */
uint64_t state_next(uint64_t sum, struct slice record);
void state_head(uint32_t first, uint32_t len, uint8_t head[STATE_HEAD]);

/* A file as it is read, piece by piece. */
struct state_reader {
    uint64_t sum, at;
    struct vec
        rows; /* struct state_row: so far all; after state_reader_end() those that hold, in ascending order */
    bool in_order; /* all so far hold, and they came in ascending order */
};
struct state_reader state_reader_new(uint64_t mailbox);
void state_reader_free(struct state_reader *reader);
/* Takes a record off `bytes`; `state`: its row. ERR_LATER: there is no whole one. ERR_BAD: there cannot be
 * any. */
enum err state_reader_take(struct state_reader *reader, struct slice *bytes, struct slice *state,
                           struct why *why) MUST_CHECK;
/* Behind the last byte. ERR_BAD: this is not the file with that sum, so nothing of it counts. */
enum err state_reader_end(struct state_reader *reader, uint64_t sum, struct why *why) MUST_CHECK;

#endif
