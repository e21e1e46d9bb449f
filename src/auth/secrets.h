/* secrets.h: accounts kept by command, in secrets.db: an argon2id hash and a SCRAM verifier each, never the
 * password. Used by the auth role (on one strand) and by `rockdove account` while no server runs. Calls
 * block. */
#ifndef AUTH_SECRETS_H
#define AUTH_SECRETS_H

#include "base/buf.h"
#include "base/err.h"

/* In the role's folder (its working folder when confined). */
#define SECRETS_PATH "secrets.db"

struct secrets;

struct secrets_row {
    struct slice address, hash, scram; /* folded; "{ARGON2ID}…"; "4096,salt,stored,server" */
    uint64_t created_unix_s, changed_unix_s;
};

enum err secrets_open(const char *path, struct secrets **secrets, struct why *why) MUST_CHECK;
/* Takes NULL. */
void secrets_close(struct secrets **secrets);
/* Every account, in order of address; slices live during the call. */
enum err secrets_walk(struct secrets *secrets, void (*each)(void *arg, const struct secrets_row *row),
                      void *arg, struct why *why) MUST_CHECK;

/* `account add ADDRESS PASSWORD`, `passwd ADDRESS PASSWORD`, `remove ADDRESS`, `list`: without the word
 * "account". Adds the answer; returns the exit code (0, 1 it did not work, 2 wrong usage). Adding and passwd
 * take a fifth of a second. */
uint32_t account_command(struct secrets *secrets, const struct slice *arguments, size_t count, bool json,
                         struct buf *out);

/* For account_command.c. ERR_REFUSED: there is one already; ERR_ABSENT: there is none. */
enum err secrets_add(struct secrets *secrets, const struct secrets_row *row, struct why *why) MUST_CHECK;
enum err secrets_change(struct secrets *secrets, const struct secrets_row *row, struct why *why) MUST_CHECK;
enum err secrets_remove(struct secrets *secrets, struct slice address, struct why *why) MUST_CHECK;

#endif
