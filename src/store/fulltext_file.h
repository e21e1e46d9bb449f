/* fulltext_file.h: the file behind fulltext.h: which blocks hold, their rows. Private to fulltext*.c. */
#ifndef STORE_FULLTEXT_FILE_H
#define STORE_FULLTEXT_FILE_H

#include "store/fulltext.h"

#define FULLTEXT_BLOCK_SHIFT 10 /* TRIGRAM_MESSAGES */
#define FULLTEXT_BLOCKS_MAX  (1u << 22)
/* Until a block is whole its messages stand in young ones, whose numbers begin here; their rows hold more
 * buckets, because there is less in each. */
#define FULLTEXT_YOUNG       (1u << 21)
#define FULLTEXT_YOUNG_SHIFT 7
#define FULLTEXT_YOUNG_EACH  (1u << (FULLTEXT_BLOCK_SHIFT - FULLTEXT_YOUNG_SHIFT)) /* of a block */
#define FULLTEXT_YOUNG_ROWS  16u /* rows of trigram.h in one */
#define FULLTEXT_ROW_MAX     (FULLTEXT_YOUNG_ROWS * TRIGRAM_ROW_MAX)

/* A block as index.db lists it. */
struct fulltext_block {
    uint64_t number;
    uint64_t
        stamp;     /* its lowest bit says in which of two places the rows lie: a new making takes the other */
    uint64_t gone; /* messages removed since it was made */
    int64_t since; /* when the first of them was */
    bool loaded;
    struct trigram_set known; /* messages it knows about */
    struct trigram_set open;  /* of these: not all text of the body is in it */
};

struct fulltext {
    struct db *db;        /* NULL: no file */
    struct idmap *blocks; /* struct fulltext_block */
    bool damaged;         /* nothing of it is believed; thrown away by fulltext_next() */
};

/* The first message of a block, and rows of trigram.h in one of its rows. */
uint64_t fulltext_first(uint64_t number);
unsigned fulltext_rows_in_one(uint64_t number);

/* The account's, opened where it is not. With `make` there is a file afterwards, or an error. */
enum err fulltext_open(struct account *account, bool make, struct fulltext **fulltext,
                       struct why *why) MUST_CHECK;
/* A row that is whole; otherwise the file is damaged. `*bytes` lives until db_end(rows). False:
 * nothing to end. */
bool fulltext_row(struct fulltext *fulltext, const struct fulltext_block *block, unsigned row,
                  struct db_rows *rows, struct slice *bytes) MUST_CHECK;
/* Writes one; inside a transaction of fulltext->db. */
enum err fulltext_put(struct fulltext *fulltext, const struct fulltext_block *block, unsigned row,
                      struct slice bytes, struct why *why) MUST_CHECK;
enum err fulltext_put_head(struct fulltext *fulltext, const struct fulltext_block *block,
                           struct why *why) MUST_CHECK;
/* Removes all rows of the block's making with this stamp. */
enum err fulltext_clear(struct fulltext *fulltext, uint64_t block, uint64_t stamp,
                        struct why *why) MUST_CHECK;
/* Takes the young ones of a block that was made, and their rows, away. */
enum err fulltext_grow_up(struct account *account, uint64_t number, struct why *why) MUST_CHECK;
/* Lists it in index.db and here; takes it. */
enum err fulltext_list(struct account *account, struct fulltext_block *block, struct why *why) MUST_CHECK;
#endif
