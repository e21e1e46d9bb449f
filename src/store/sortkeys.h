/* sortkeys.h: what SORT and THREAD compare, for the messages of one account.
 *
 * Facts say it, but reading a whole record for a date is dear. So keys are kept apart: in memory, by message
 * id, in columns of SORTKEY_CHUNK messages, as far as somebody asked; and packed in the table `sortkey` of
 * the index, a row for each column of a chunk that will get no more messages. Both are only copies: what is
 * missing is read from the facts. The memory is given back when the account's handle is closed. Belongs to
 * the account's strand. */
#ifndef STORE_SORTKEYS_H
#define STORE_SORTKEYS_H

#include "base/arena.h"
#include "grammar/imap_search.h"
#include "store/account.h"

#define SORTKEY_CHUNK    512u
#define SORTKEY_REFS_MAX 256u       /* of one message: as many as facts hold */
#define SORTKEY_TEXT_MAX 1024u      /* bytes of one collation key that count */
#define SORTKEY_ROW_MAX  (8u << 20) /* bytes of one row unpacked */
#define SORTKEY_MEMORY_MAX                                                                                   \
    (256u << 20) /* keys of one account in memory; more are dropped after the answer                         \
                  */

/* The columns. Their numbers stand on disk. */
enum sortkey {
    SORTKEY_SENT,
    SORTKEY_SUBJECT, /* base subject, and whether it is that of a reply or forward */
    SORTKEY_FROM,
    SORTKEY_TO,
    SORTKEY_CC,
    SORTKEY_DISPLAYFROM,
    SORTKEY_DISPLAYTO,
    SORTKEY_THREAD, /* message id and references */
    SORTKEY_COUNT
};
#define SORTKEY_NO_DATE                                                                                      \
    INT64_MIN /* the Date field is missing or broken: INTERNALDATE counts (RFC 5256 section 2.2) */

struct sortkey_ids {
    uint64_t id;
    const uint64_t *refs;
    uint32_t count;
};

struct sortkeys;

/* Makes the columns `wanted` (bits 1 << enum sortkey) ready for `ids`, ascending, from *at on, for about
 * `budget_ns`. `*at` is `count` when all is ready. A message that is gone has empty keys. */
enum err sortkeys_load(struct account *account, uint32_t wanted, const uint64_t *ids, size_t count,
                       uint64_t budget_ns, size_t *at, struct why *why) MUST_CHECK;
/* Of messages that are ready. */
int64_t sortkeys_sent(const struct sortkeys *keys, uint64_t message);
/* Texts as numbers: equal when the texts are, and as ranks in their order. */
uint32_t sortkeys_text(const struct sortkeys *keys, enum sortkey column, uint64_t message);
const uint32_t *sortkeys_ranks(struct sortkeys *keys, enum sortkey column);
bool sortkeys_reply(const struct sortkeys *keys, uint64_t message);
struct sortkey_ids sortkeys_ids(const struct sortkeys *keys, uint64_t message);

/* Drops what is in memory; clears the pointer, takes NULL. */
void sortkeys_free(struct sortkeys **keys);
size_t sortkeys_memory(const struct sortkeys *keys);
/* Rows of messages that leave the disk go with them. */
enum err sortkeys_purge(struct account *account, uint64_t message, struct why *why) MUST_CHECK;

/* ---- one row (sortkeys_row.c); pure ---- */

struct sortkey_values { /* of one message, in the order of the columns */
    bool present;
    bool reply;
    int64_t sent;
    struct slice text[SORTKEY_THREAD]; /* by column; collation keys */
    uint64_t id;
    uint64_t *refs;
    uint32_t ref_count;
};

/* `values`: SORTKEY_CHUNK of them. */
void sortkeys_row_encode(enum sortkey column, const struct sortkey_values *values, struct buf *row);
/* Fills the column's part of `values`; texts and references live in the arena. False: damaged, which counts
 * as missing. */
bool sortkeys_row_decode_in(struct arena *arena, enum sortkey column, struct slice row,
                            struct sortkey_values *values) MUST_CHECK;

#endif
