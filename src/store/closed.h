/* closed.h: the mark of a clean end, so that an opening need not look for files a crash has left.
 *
 * When an account goes to sleep and every message file it has made has its row, it gets a random stamp that
 * is committed to index.db and then stands as the name of an empty file in msg/XX, in the folder the next
 * message will come to. An opening that finds both the same does not sweep. The mark goes before the first
 * file is made, in the same folder, so that the one sync which makes the new names durable makes its removal
 * durable too. An older index.db that is put back has another stamp, or none.
 */
#ifndef STORE_CLOSED_H
#define STORE_CLOSED_H

#include "store/account.h"

/* Whether the index just read and the folder of the next message have the same stamp. */
bool closed_is_clean(struct account *account);
/* A crash may have kept, beside the mark, the first file made after it: empty, and made under the sync that
 * would have taken the mark. It goes. Not at the opening, where it would cost a read of the disk before the
 * first answer, but before files are made and when the account falls asleep. */
void closed_look(struct account *account);
/* Before files are made for `id` on; the caller then syncs their folder, and tells so by closed_gone(). Under
 * the lock of the blanks. */
enum err closed_drop(struct account *account, uint64_t id, struct why *why) MUST_CHECK;
void closed_gone(struct account *account);
/* Falling asleep: a new stamp to commit when the account may be marked and is not; 0: none. What was made in
 * advance has been removed. */
uint64_t closed_stamp(struct account *account);
/* The stamp is in the index: the mark may stand. */
void closed_mark(struct account *account, uint64_t stamp);
/* A mark found by its name in a folder, of an index that is not this one: no index that is put back later
 * shall find it. */
void closed_remove(const struct store_root *root, const char *folder, const char *name);

#endif
