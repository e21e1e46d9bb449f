/* asleep.h: what index.db said when the account fell asleep, in one file, so that a SELECT after it need not
 * wait for SQLite.
 *
 *   accounts/ADDRESS/asleep: version (1 byte); inode, size and ctime of index.db (le64 each, in nanoseconds);
 *   numbers of the account; mailboxes with their keywords and lists of rights; subscriptions (varints and
 *   wire_strings); a sum over all of it (le64).
 *
 * A copy, never synced. It is believed when it is whole, index.db is the same file with the same ctime, and
 * has no write-ahead log. It goes before index.db is opened, whoever opens it: its name stands in the folder
 * whose sync makes the name of the log durable, so that not even a power cut leaves it beside an index in
 * which something was committed since. An index that is put back from a copy has another inode or another
 * ctime.
 *
 * Only accounts of which a mailbox was opened have one: a delivery writes none.
 */
#ifndef STORE_ASLEEP_H
#define STORE_ASLEEP_H

#include <sys/stat.h>

#include "store/account.h"

#define ASLEEP_MAX                                                                                           \
    (8u << 20) /* bytes; a longer file is not written: more than 50,000 mailboxes and rights                 \
                */

#define ASLEEP_IDENTITY 24 /* bytes of inode, size and ctime */

/* The last bytes, of all before them. */
uint64_t asleep_sum(struct slice bytes);
/* Pure: the account's tables as bytes, for the index with this stat, and back into an account that has none
 * yet. ERR_BAD: not such a file, or of another index; the account may then hold a part of it. */
void asleep_encode(const struct account *account, const struct stat *index, struct buf *out);
enum err asleep_decode(struct account *account, struct slice bytes, const struct stat *index,
                       struct why *why) MUST_CHECK;

/* The kernel may begin to read it. */
void asleep_ahead(const struct store_root *root, const char *folder);
/* Fills an account just made. On failure it may hold a part of it: it is to be freed. */
enum err asleep_read(struct account *account, struct why *why) MUST_CHECK;
/* After the handle was closed, when nothing waits in memory. What fails only means that there is none. */
void asleep_write(const struct account *account);
/* Before index.db is opened. */
enum err asleep_drop(const struct store_root *root, const char *folder, struct why *why) MUST_CHECK;

#endif
