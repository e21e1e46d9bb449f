/* arrange.h: the messages a search finds, sorted or in threads (RFC 5256). In steps, so that others get at
 * the account. On the account's strand. */
#ifndef STORE_ARRANGE_H
#define STORE_ARRANGE_H

#include "grammar/imap_search.h"
#include "store/account.h"

#define ARRANGE_MESSAGES_MAX 4000000u /* more are refused */

struct arrange;

/* By `sort`, or, where that is NULL, in threads of `algorithm`. The rest as search_new(). `strict` (may be
 * empty) makes scores: see score_of(). */
enum err arrange_new(const struct imap_sort *sort, enum imap_thread_algorithm algorithm, struct slice program,
                     struct slice strict, uint64_t mailbox, uint32_t max_uid, int64_t now,
                     struct arrange **arrange, struct why *why) MUST_CHECK;
/* Clears the pointer; takes NULL. */
void arrange_free(struct arrange **arrange);
/* Goes on for about `budget_ns` (the ordering itself is one piece); `*done` at the end. */
enum err arrange_step(struct arrange *arrange, struct account *account, uint64_t budget_ns, bool *done,
                      struct why *why) MUST_CHECK;
/* When done: le32 UIDs in order (with `strict`: and their scores), or tokens of wire_arranged; and the
 * highest change number of all found. */
struct slice arrange_result(const struct arrange *arrange);
uint64_t arrange_modseq(const struct arrange *arrange);

#endif
