/* search.h: a search program over one mailbox: flags and dates from the image, headers and text from the
 * index, and the file where the index has not kept all. In steps, so that a long search lets others at the
 * account. On the account's strand. */
#ifndef STORE_SEARCH_H
#define STORE_SEARCH_H

#include "grammar/imap_search.h"
#include "store/account.h"

struct search;

/* `program`: imap_search_encode(); ERR_BAD when it is not. Only UIDs up to `max_uid` are looked at. */
enum err search_new(struct slice program, uint64_t mailbox, uint32_t max_uid, int64_t now,
                    struct search **search, struct why *why) MUST_CHECK;
void search_free(struct search **search);
/* Goes on for about `budget_ns`; `*done` at the end. */
enum err search_step(struct search *search, struct account *account, uint64_t budget_ns, bool *done,
                     struct why *why) MUST_CHECK;
/* What was found so far and not taken: pairs, and the highest change number of all found. */
struct buf *search_found(struct search *search);
uint64_t search_modseq(const struct search *search);

#endif
