/* acl.h: who may do what with a mailbox (RFC 4314), on the strand of the account that owns it.
 *
 * A mailbox without a list is its owner's alone. Rights of an account: those of its address and of "anyone",
 * without those of "-address" and "-anyone". The owner has all where the list does not name it, and always
 * RIGHT_OWNER. */
#ifndef STORE_ACL_H
#define STORE_ACL_H

#include "base/arena.h"
#include "grammar/imap_acl.h"
#include "store/account.h"

#define ACL_ENTRIES_MAX 128    /* identifiers of one mailbox: their list fits one packet */
#define ACL_TOTAL_MAX   200000 /* identifiers of all mailboxes of an account */

struct acl_entry {
    struct slice identifier; /* owned; "ann@example.org", "anyone", either with "-" in front */
    uint32_t rights;
};
struct acl {
    size_t count;
    struct acl_entry entries[];
};

/* Takes NULL. */
void acl_free(struct acl **acl);
/* `acl` may be NULL: no list. `who` empty: the owner. Pure. */
uint32_t acl_rights(const struct acl *acl, struct slice owner, struct slice who);
/* Bits of flags (wire/image.h) these rights let one change. */
uint64_t acl_flags(uint32_t rights);
/* The list as it is, in the arena; for the loop. */
const struct acl *acl_dup_in(struct arena *arena, const struct acl *acl);
/* The same on the heap, for acl_free(). */
struct acl *acl_dup(const struct acl *acl) __attribute__((returns_nonnull));
/* Changes one identifier's rights, durably. No rights left: the identifier goes. */
enum err acl_set(struct account *account, struct mailbox *mailbox, struct slice identifier,
                 enum acl_mode mode, uint32_t rights, struct refusal *refusal) MUST_CHECK;
/* Inside a commit: a new mailbox gets the list of the one above it (section 4, CREATE). */
enum err acl_inherit(struct account *account, const struct mailbox *from, struct mailbox *mailbox,
                     struct why *why) MUST_CHECK;
/* Inside a commit: the rows go; acl_drop() follows when it has ended well. */
enum err acl_forget(struct account *account, uint64_t mailbox, struct why *why) MUST_CHECK;
/* Only in memory: after the rows went. */
void acl_drop(struct account *account, struct mailbox *mailbox);
/* Only in memory: what stands in the index. */
void acl_adopt(struct account *account, struct mailbox *mailbox, struct slice identifier, uint32_t rights);
/* Reads all lists of the account. */
enum err acl_load(struct account *account, struct why *why) MUST_CHECK;
/* Rows of WIRE_ACL: each identifier and its rights; what the owner has is always among them. */
void acl_list(const struct acl *acl, struct slice owner, struct buf *entries);
/* Everybody some mailbox gives a right to, once each, in order: wire_strings. */
void acl_sharers(const struct account *account, struct buf *identifiers);

#endif
