/* fulltext.h: the full-text index of an account: ADDRESS/search.db, beside index.db.
 *
 * It is only a filter in front of the exact answer (subject.c), and only a cache: made in the background from
 * index.db, written without a sync, thrown away whenever something about it is odd. Messages are taken in
 * blocks of 1,024 consecutive ids, and before in young ones of 128, which a block takes the place of; what
 * stands in no block is searched as if there were no index. index.db
 * lists the blocks that hold, each with a random stamp that is the key of the checksums of all its rows: a
 * row that is damaged, of an earlier making, or of another life of the account (a copy that was put back) is
 * never believed. On the account's strand.
 */
#ifndef STORE_FULLTEXT_H
#define STORE_FULLTEXT_H

#include "grammar/imap_search.h"
#include "store/account.h"
#include "store/trigram.h"

/* Closes the file; what is on disk stays. Clears the pointer; takes NULL. */
void fulltext_close(struct account *account);
/* Removes the file and what index.db says of it. */
enum err fulltext_drop(struct account *account, struct why *why) MUST_CHECK;

/* ---- searching ---- */

/* The plane of a field that has one of its own. */
bool fulltext_plane(struct slice field_name, enum trigram_plane *plane);

/* One search's questions, with the answers for blocks that were looked at. */
struct fulltext_filter;
struct fulltext_filter *fulltext_filter_new(void) __attribute__((returns_nonnull));
void fulltext_filter_free(struct fulltext_filter **filter);
/* Surely the needle is not found there in the message. False: maybe. The needle lives as long as the filter.
 */
bool fulltext_rules_out(struct fulltext_filter *filter, struct account *account, uint64_t message,
                        enum trigram_plane plane, const struct imap_needle *needle);

/* ---- making (fulltext_build.c) ---- */

/* Could there be something to do? Costs nothing; true once after an account was loaded. Without `young` only
 * for whole blocks. */
bool fulltext_due(const struct account *account, bool young);
/* The next block to make; `*found` false: there is none. What is no good any more is thrown away on the way.
 */
enum err fulltext_next(struct account *account, int64_t now, bool young, uint64_t *block, bool *found,
                       struct why *why) MUST_CHECK;
struct fulltext_build;
struct fulltext_build *fulltext_build_new(const struct account *account, uint64_t block)
    __attribute__((returns_nonnull));
void fulltext_build_free(struct fulltext_build **build);
/* Goes on for about `budget_ns`. */
enum err fulltext_build_step(struct fulltext_build *build, struct account *account, uint64_t budget_ns,
                             bool *done, struct why *why) MUST_CHECK;
/* Messages, ascending, leave the disk: what the index still knows of them goes when their blocks are made
 * anew. In the transaction that removes their rows. */
enum err fulltext_note_gone(struct account *account, const uint64_t *messages, size_t count,
                            struct why *why) MUST_CHECK;
/* All blocks at once, anew (the offline command); how many messages they are for. */
enum err fulltext_rebuild(struct account *account, uint64_t *messages, struct why *why) MUST_CHECK;

#endif
