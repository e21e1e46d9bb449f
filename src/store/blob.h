/* blob.h: message files: written once, never changed.
 *
 * The order of durability (docs/store.md): an empty file with its name (blob_make), then sync of its folder
 * (blob_sync_folder, once for several: blank.h), then its bytes and their sync (blob_write), then the row
 * that names it is committed, then the answer. A crash before the commit leaves a file without a row, which
 * account_open() removes.
 */
#ifndef STORE_BLOB_H
#define STORE_BLOB_H

#include "base/hash.h"
#include "store/paths.h"
#include "wire/facts.h"

#define BLOB_SUM_LEN HASH_SUM_LEN
#define BLOB_BEHIND  2

/* What a file is made of: `header`, `added`, then the bytes of `fd` without the cuts, then `behind`. */
struct blob_parts {
    struct slice header, added;
    int fd;
    uint64_t size; /* of the bytes behind fd */
    const struct facts_cut *cuts;
    size_t cut_count;
    struct slice behind[BLOB_BEHIND];
};

/* What came out. */
struct blob_made {
    uint64_t size;
    uint8_t sum[BLOB_SUM_LEN];
};

/* The file of message `id`, empty; makes its folder where there is none. ERR_REFUSED: it is there already.
 * The name is durable after blob_sync_folder(). */
enum err blob_make(const struct store_root *root, const char *folder, uint64_t id,
                   struct why *why) MUST_CHECK;
/* Fills what blob_make() has made, and syncs the bytes. On failure nothing is left. */
enum err blob_write(const struct store_root *root, const char *folder, uint64_t id,
                    const struct blob_parts *parts, struct blob_made *made, struct why *why) MUST_CHECK;
/* A new file of any name, which is not durable yet. One that is there is written over. */
enum err blob_write_at(const struct store_root *root, const char *path, const struct blob_parts *parts,
                       struct blob_made *made, struct why *why) MUST_CHECK;
/* Makes the name of message `id` (and of its neighbours in the same folder) durable. */
enum err blob_sync_folder(const struct store_root *root, const char *folder, uint64_t id,
                          struct why *why) MUST_CHECK;
/* Read-only. */
enum err blob_open(const struct store_root *root, const char *folder, uint64_t id, int *fd,
                   struct why *why) MUST_CHECK;
/* Absent is as good as removed. */
enum err blob_remove(const struct store_root *root, const char *folder, uint64_t id,
                     struct why *why) MUST_CHECK;
/* Size and checksum of an open file, from its start. */
enum err blob_sum(int fd, struct blob_made *made, struct why *why) MUST_CHECK;

/* accounts/NAME/msg for a new account, synced. */
enum err blob_make_folders(const struct store_root *root, const char *folder, struct why *why) MUST_CHECK;

#endif
