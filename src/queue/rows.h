/* rows.h: the queue's rows for the commands: read in pages, changed by key, on the database's thread. However
 * many there are, one operation looks at ROWS_PAGE of them, so that mail being accepted does not wait behind
 * it. */
#ifndef QUEUE_ROWS_H
#define QUEUE_ROWS_H

#include "queue/spool.h"

#define ROWS_PAGE      500
#define ROWS_ARENA_MAX (16u << 20) /* of one page: rows with texts of any length */

/* One recipient with its message. Times are those of queue_now_ms(). */
struct rows_row {
    struct slice id, sender, session, account, envid, message_id, subject; /* of the message */
    uint64_t created_ms, size;
    uint32_t ret;
    bool smtputf8, eightbit, requiretls;
    uint32_t ordinal, notify, claimed, attempts, code;
    bool local;
    struct slice target, address, orcpt, error, enhanced, remote, route, hold;
    uint64_t due_ms;
};

/* Where the next page begins; zeroed at first. */
struct rows_cursor {
    char id[QUEUE_ID_LEN + 1];
    uint32_t ordinal;
    size_t id_index; /* of the ids asked for */
};

struct rows_page {
    struct rows_row *rows;
    size_t count;
    bool last;
    struct rows_cursor next;
};

/* `page` and all it points to live until the function returns. */
typedef void rows_done(void *ctx, enum err err, const struct rows_page *page);
/* From `cursor` on: all rows, or those of `ids` (which must live until `done`). */
void rows_read(struct spool *spool, const struct rows_cursor *cursor, const struct slice *ids,
               size_t id_count, rows_done *done, void *ctx);

enum rows_change {
    ROWS_RETRY,   /* waiting rows are due now */
    ROWS_HOLD,    /* waiting rows are held */
    ROWS_RELEASE, /* held rows wait again, due now */
    ROWS_CLAIM,   /* waiting and held rows become the caller's */
    ROWS_RETURN   /* claimed rows wait again, or are held again */
};

struct rows_key {
    struct slice id, route;
    uint32_t ordinal;
    bool changed; /* by this operation; false: the row is gone, or not in that state */
};

/* `keys` must live until `done`. `reason` (of ROWS_HOLD) is a constant. */
void rows_change(struct spool *spool, enum rows_change change, struct rows_key *keys, size_t count,
                 uint64_t now_ms, const char *reason, spool_done *done, void *ctx);

#endif
