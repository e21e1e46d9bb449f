/* metadata.h: annotations of mailboxes and of the server (RFC 5464), on the account's strand.
 *
 * A value belongs to a mailbox (0: the server), to whoever it is for, and to a name in lower case. `who` is
 * empty for the owner; names below /shared are the same for everybody. */
#ifndef STORE_METADATA_H
#define STORE_METADATA_H

#include "store/account.h"

#define METADATA_ENTRIES_MAX 100         /* annotations of one mailbox, and of one reader of it */
#define METADATA_ENTRY_MAX   255         /* octets of a name */
#define METADATA_BYTES_MAX   (16u << 20) /* octets of all annotations of an account; of all its readers too */
#define METADATA_READER_MAX  (256u << 10) /* octets one reader may leave in another's account */

struct metadata_query {
    uint64_t mailbox;
    struct slice who;
    uint32_t depth;       /* 0 the entry, 1 and its children, 2 and all below */
    uint64_t max_size;    /* longer values are left out */
    struct slice entries; /* wire_strings */
};
/* Appends three strings to `rows` for each value: `name`, entry, value. `longest`: the size of the longest
 * one left out, unchanged when there is none. */
enum err metadata_get(struct account *account, const struct metadata_query *query, struct slice name,
                      struct buf *rows, uint64_t *longest, struct why *why) MUST_CHECK;
/* The same of all mailboxes, exactly these entries. */
enum err metadata_get_every(struct account *account, const struct metadata_query *query, struct buf *rows,
                            struct why *why) MUST_CHECK;
/* `changes` as in struct wire_metadata_set: all of it or nothing. */
enum err metadata_set(struct account *account, uint64_t mailbox, struct slice who, struct slice changes,
                      struct refusal *refusal) MUST_CHECK;
/* Inside a commit: the mailbox goes. */
enum err metadata_forget(struct account *account, uint64_t mailbox, struct why *why) MUST_CHECK;

#endif
