/* ban_store.h: bans and owners on disk (bans.db): what must survive a restart. Used by ban_image.c on one
 * strand, and by `rockdove ban` while no server runs. Calls block. */
#ifndef AUTH_BAN_STORE_H
#define AUTH_BAN_STORE_H

#include "auth/bans.h"
#include "base/err.h"

/* In the role's folder (its working folder when confined). */
#define BAN_STORE_PATH "bans.db"
/* Behind the path: a damaged one, until the next is found. */
#define BAN_STORE_ASIDE ".damaged"

struct ban_store;

/* `existing`: ERR_ABSENT instead of making a new file. */
enum err ban_store_open(const char *path, bool existing, struct ban_store **store,
                        struct why *why) MUST_CHECK;
/* Takes NULL. */
void ban_store_close(struct ban_store **store);
/* Everything into the register; what is too old to count is deleted, what does not fit or cannot be read is
 * left out. When it fails as much as could be read is there. */
enum err ban_store_load(struct ban_store *store, struct bans *bans, uint64_t now_s,
                        struct why *why) MUST_CHECK;

/* Opens and loads. Bans are no reason not to start: a damaged database is moved aside, `damage` (empty
 * otherwise) says what was wrong, and a new one begins with what could be read. Anything else that is wrong
 * (a full disk, a newer release's file) is an error. */
enum err ban_store_begin(const char *path, struct bans *bans, uint64_t now_s, struct ban_store **store,
                         struct why *damage, struct why *why) MUST_CHECK;

/* One change. */
enum ban_write_kind { BAN_WRITE_PUT, BAN_WRITE_DROP, BAN_WRITE_OWNER, BAN_WRITE_FORGET };
struct ban_write {
    enum ban_write_kind kind;
    struct ban ban; /* DROP: network and source count; OWNER, FORGET: network */
    uint64_t seen;  /* OWNER */
};
/* All of them, or none: durable when answered ERR_OK. */
enum err ban_store_write(struct ban_store *store, const struct ban_write *writes, size_t count,
                         struct why *why) MUST_CHECK;

#endif
