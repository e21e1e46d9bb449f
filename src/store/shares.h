/* shares.h: which accounts share mailboxes with whom, so that nobody's index has to be opened to know.
 *
 * A hint that is never too small: who gives a right is written down here, durably, before the right counts,
 * and taken out after the last one has gone. What counts is the list of each mailbox (acl.h). It is one small
 * file, data/store/shares; when it is missing or damaged it is made anew from the accounts' indexes.
 * Used by the loop and by strands: it has its own locks. */
#ifndef STORE_SHARES_H
#define STORE_SHARES_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "store/paths.h"

#define SHARES_MAX       1000000      /* pairs of owner and identifier */
#define SHARES_BYTES_MAX (256u << 20) /* of the file */

struct shares;

/* Reads the file, or the accounts where there is none; may block. */
enum err shares_new(const struct store_root *root, struct shares **shares, struct why *why) MUST_CHECK;
/* Takes NULL. */
void shares_free(struct shares **shares);
/* `owner` shares with exactly these (wire_strings, in order): durable when answered. Blocks, on a strand. */
enum err shares_set(struct shares *shares, struct slice owner, struct slice identifiers,
                    struct why *why) MUST_CHECK;
/* The same and those that are there already: before rights are given. */
enum err shares_add(struct shares *shares, struct slice owner, struct slice identifier,
                    struct why *why) MUST_CHECK;
/* May `owner` share something with `who`, by name or with anyone? */
bool shares_has(struct shares *shares, struct slice owner, struct slice who);
/* Everybody who may: each once, `who` itself not. wire_strings. */
void shares_owners(struct shares *shares, struct slice who, struct buf *owners);

#endif
