/* state_file.h: writing and reading the file that holds a copy of a mailbox's packed state (state.h).
 *
 * It is made for a mailbox with messages that was opened, when its account falls asleep. From then on each
 * fold appends the rows it writes, and it is made anew when much of it holds no longer, sooner while nobody
 * waits. Nothing is synced, and whatever fails only means that the next SELECT reads the index.
 */
#ifndef STORE_STATE_FILE_H
#define STORE_STATE_FILE_H

#include "store/account.h"

/* The file as it will be when the transaction is committed. */
struct state_file {
    int fd;
    bool made; /* anew, under another name until the commit */
    uint64_t len, sum, dead;
};

/* The kernel may begin to read it: somebody is about to open the mailbox. */
void state_file_ahead(const struct store_root *root, const char *folder, uint64_t mailbox);
/* The image without the log. On failure nothing is believed of the file any more. */
enum err state_file_load(struct account *account, struct mailbox *mailbox, struct view **view,
                         struct why *why) MUST_CHECK;
void state_file_remove(const struct account *account, uint64_t mailbox);

/* In the transaction of a fold: what stands in the mailbox's row now. */
struct state_file state_file_begin(const struct mailbox *mailbox);
/* A row was written, or removed where it is empty; `replaces`: there was one in its place. */
void state_file_add(struct state_file *file, const struct account *account, const struct mailbox *mailbox,
                    uint32_t first, struct slice row, bool replaces);
/* All rows are written anew: what stands in it does not count. */
void state_file_forget(struct state_file *file);
/* Is it time to make it anew, because rows were written again? Sooner for an account that falls asleep. */
bool state_file_is_old(const struct state_file *file, bool asleep);
/* All rows of the index into a new file, before the commit. */
void state_file_make(struct state_file *file, struct account *account, const struct mailbox *mailbox);
/* After the commit, and after one that failed. */
void state_file_keep(struct state_file *file, const struct account *account, struct mailbox *mailbox);
void state_file_drop(struct state_file *file, const struct account *account, const struct mailbox *mailbox);

#endif
