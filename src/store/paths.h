/* paths.h: where everything lies below the store's folder. The only place that knows.
 *
 *   accounts/ADDRESS/index.db          what is not in the files: folders, flags, UIDs, facts
 *   accounts/ADDRESS/search.db         the full-text index: thrown away and made again whenever it suits
 *   accounts/ADDRESS/state/ID          a copy of a mailbox's packed state (state.h)
 *   accounts/ADDRESS/msg/XX/closed.STAMP  nothing without a row lies there (closed.h)
 *   accounts/ADDRESS/msg/XX/ID.eml     one message as it is served, or still empty; XX: bits 8 to 15 of the
 *                                      id, so that neighbours share a folder and one sync of it
 *   spool/N                            a large body in flight (unlinked as soon as it is open)
 *   queue/QUEUE-ID.eml                 a message that waits in the queue, and what scan found in it behind
 */
#ifndef STORE_PATHS_H
#define STORE_PATHS_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

#define PATHS_FOLDER_MAX 240 /* "accounts/" and the name made from an address, with NUL */
#define PATHS_FILE_MAX   320 /* anything below it */
#define PATHS_QUEUE_ID   64  /* longest queue id */

/* The store's own folder. In the role it is the working folder: "." */
struct store_root {
    int dir;          /* descriptor of it */
    const char *path; /* the same for SQLite, which wants names */
};

/* "accounts/NAME" for a canonical address: letters, digits and -_.@+ stand for themselves, other bytes as
 * %XX; a long one is cut and ends in a hash. Different addresses never get the same folder. */
void paths_account(struct slice address, char folder[PATHS_FOLDER_MAX]);
/* The address of a folder's name; false when the name was cut or was not made by paths_account(). `address`
 * has room for PATHS_FOLDER_MAX bytes. */
bool paths_address(struct slice name, uint8_t *address, size_t *len);

void paths_index(const char *folder, char path[PATHS_FILE_MAX]);
void paths_index_log(const char *folder, char path[PATHS_FILE_MAX]); /* its write-ahead log */
void paths_asleep(const char *folder, char path[PATHS_FILE_MAX]);
void paths_search(const char *folder, char path[PATHS_FILE_MAX]);
void paths_state_folder(const char *folder, char path[PATHS_FILE_MAX]);
void paths_state(const char *folder, uint64_t mailbox, char path[PATHS_FILE_MAX]);
void paths_state_new(const char *folder, uint64_t mailbox, char path[PATHS_FILE_MAX]); /* while it is made */
void paths_message_folder(const char *folder, uint64_t id, char path[PATHS_FILE_MAX]);
void paths_message(const char *folder, uint64_t id, char path[PATHS_FILE_MAX]);
/* The id in "ID.eml", at most IMAGE_MESSAGE_MAX; false for any other name. */
bool paths_message_id(const char *name, uint64_t *id);
/* The mark of a clean end in the folder of this id; is it a name of one? */
void paths_closed(const char *folder, uint64_t id, uint64_t stamp, char path[PATHS_FILE_MAX]);
bool paths_is_closed(const char *name);

/* ERR_BAD when the id is not 1 to PATHS_QUEUE_ID letters and digits. */
enum err paths_queue(struct slice queue_id, char path[PATHS_FILE_MAX]) MUST_CHECK;
/* The name of a file for SQLite: the root's path in front. ERR_INTERNAL when too long. */
enum err paths_full(const struct store_root *root, const char *path, char *full, size_t size) MUST_CHECK;

#endif
