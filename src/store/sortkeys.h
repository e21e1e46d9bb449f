/* sortkeys.h: what SORT and THREAD compare and SEARCH looks through, for the messages of one account.
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
#define SORTKEY_REFS_MAX 256u  /* of one message: as many as facts hold */
#define SORTKEY_TEXT_MAX 1024u /* bytes of one collation key that count */
#define SORTKEY_FIND_MAX 4096u /* bytes of a text for SEARCH; what is longer is looked for in the message */
#define SORTKEY_ROW_MAX  (8u << 20) /* bytes of one row unpacked */
#define SORTKEY_MEMORY_MAX                                                                                   \
    (256u << 20) /* keys of one account in memory; more are dropped after the answer                         \
                  */

/* The columns. Their numbers stand on disk. */
enum sortkey {
    SORTKEY_SENT,
    SORTKEY_DAY,     /* of the Date field in its own zone, days since 1970 */
    SORTKEY_SUBJECT, /* base subject, and whether it is that of a reply or forward */
    SORTKEY_FROM,
    SORTKEY_TO,
    SORTKEY_CC,
    SORTKEY_DISPLAYFROM,
    SORTKEY_DISPLAYTO,
    SORTKEY_FIND_FROM, /* all that a search of the field looks through, folded; each piece ends in NUL */
    SORTKEY_FIND_TO,
    SORTKEY_FIND_CC,
    SORTKEY_FIND_BCC,
    SORTKEY_FIND_SUBJECT,
    SORTKEY_THREAD, /* message id and references */
    SORTKEY_COUNT
};
/* Columns below are numbers, from here on texts, the last one ids. */
#define SORTKEY_NUMBERS SORTKEY_SUBJECT
/* Columns are made together when they are asked together. */
#define SORTKEY_FOR_SEARCH (1u << SORTKEY_DAY | 0x1fu << SORTKEY_FIND_FROM)
#define SORTKEY_FOR_SORT   (((1u << SORTKEY_COUNT) - 1) & ~SORTKEY_FOR_SEARCH)
#define SORTKEY_NO_DATE                                                                                      \
    INT64_MIN /* the Date field is missing or broken: INTERNALDATE counts (RFC 5256 section 2.2) */
#define SORTKEY_ASK_DAY INT64_MAX /* the day is not known here: the message must be asked */

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
/* After a step of a load or search: writes the rows that were made once they are many, all at the `end`, and
 * gives back memory that is only needed while keys are read. Not inside a transaction. */
void sortkeys_rest(struct account *account, bool end);
/* Of messages that are ready. */
int64_t sortkeys_sent(const struct sortkeys *keys, uint64_t message);
/* Texts as numbers: equal when the texts are, and as ranks in their order. */
uint32_t sortkeys_text(const struct sortkeys *keys, enum sortkey column, uint64_t message);
const uint32_t *sortkeys_ranks(struct sortkeys *keys, enum sortkey column);
bool sortkeys_reply(const struct sortkeys *keys, uint64_t message);
struct sortkey_ids sortkeys_ids(const struct sortkeys *keys, uint64_t message);

/* ---- for SEARCH (sortkeys_find.c) ---- */

/* One search's texts, with the answers for each different text of their columns. */
struct sortkeys_finder;
struct sortkeys_finder *sortkeys_finder_new(void) __attribute__((returns_nonnull));
void sortkeys_finder_free(struct sortkeys_finder **finder);
/* Is the needle in a field `name` of the message? IMAP_UNKNOWN: the message must be asked. With `make`
 * columns are read or made that are not in memory, where that is worth it. The needle lives as long as the
 * finder. */
enum err sortkeys_find(struct sortkeys_finder *finder, struct account *account, uint64_t message,
                       struct slice name, const struct imap_needle *needle, bool make, enum imap_truth *found,
                       struct why *why) MUST_CHECK;
/* The day of its Date field in its own zone; SORTKEY_NO_DATE, SORTKEY_ASK_DAY. */
enum err sortkeys_day(struct account *account, uint64_t message, int64_t *day, struct why *why) MUST_CHECK;

/* Makes one column ready for one message, as far as that is cheap now or likely to be worth it: `*ready`. */
enum err sortkeys_need(struct account *account, enum sortkey column, uint64_t message, bool *ready,
                       struct why *why) MUST_CHECK;
bool sortkeys_ready(const struct sortkeys *keys, enum sortkey column, uint64_t message);
int64_t sortkeys_number(const struct sortkeys *keys, enum sortkey column, uint64_t message);
bool sortkeys_flag(const struct sortkeys *keys, enum sortkey column, uint64_t message);
struct strings; /* strings.h: the texts of the column */
const struct strings *sortkeys_pool(const struct sortkeys *keys, enum sortkey column);
/* Chunks made so far, each of which takes milliseconds: time to look at the clock. */
uint64_t sortkeys_built(const struct account *account);
/* Drops what is in memory; clears the pointer, takes NULL. */
void sortkeys_free(struct sortkeys **keys);
size_t sortkeys_memory(const struct sortkeys *keys);
/* Rows of messages that leave the disk go with them. */
enum err sortkeys_purge(struct account *account, uint64_t message, struct why *why) MUST_CHECK;

/* ---- one message (sortkeys_facts.c); pure ---- */

struct sortkey_values { /* in the order of the columns */
    bool present;
    uint32_t flags; /* bits of columns; SUBJECT: a reply; FIND_…: not all, the message must be asked */
    int64_t number[SORTKEY_NUMBERS];
    struct slice text[SORTKEY_THREAD]; /* by column; collation keys, folded texts */
    uint64_t id;
    uint64_t *refs;
    uint32_t ref_count;
};

struct sortkeys_reader;
struct sortkeys_reader *sortkeys_reader_new(void) __attribute__((returns_nonnull));
void sortkeys_reader_free(struct sortkeys_reader **reader);
/* The keys `wanted` of a message with this header block in front and this record of facts; texts live in the
 * arena. A record that cannot be read gives empty keys, and to be asked: a damaged row must not hide all the
 * others. */
void sortkeys_read_in(struct arena *arena, struct sortkeys_reader *reader, uint32_t wanted,
                      struct slice header, struct slice record, struct sortkey_values *values);
/* A message that is gone. */
void sortkeys_read_none(struct sortkey_values *values);

/* ---- one row (sortkeys_row.c); pure ---- */

/* `values`: SORTKEY_CHUNK of them. */
void sortkeys_row_encode(enum sortkey column, const struct sortkey_values *values, struct buf *row);
/* Fills the column's part of `values`; texts and references live in the arena. False: damaged, which counts
 * as missing. */
bool sortkeys_row_decode_in(struct arena *arena, enum sortkey column, struct slice row,
                            struct sortkey_values *values) MUST_CHECK;

#endif
