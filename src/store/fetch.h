/* fetch.h: reading messages: stored facts in rows, the file of one message, what was expunged. On the
 * account's strand. */
#ifndef STORE_FETCH_H
#define STORE_FETCH_H

#include "base/arena.h"
#include "store/account.h"
#include "wire/facts_row.h"

/* Appends rows (wire/facts_row.h) with what `want` names for the message ids at the front of `*ids` (le64
 * each) and takes these off, until `rows` holds about WIRE_BLOB_MAX bytes. */
enum err fetch_rows(struct account *account, uint32_t want, struct slice *ids, struct buf *rows,
                    struct why *why) MUST_CHECK;

/* What is known of a message beside its facts. */
struct fetch_message {
    uint64_t size;
    struct slice header, facts; /* in the arena */
};
/* ERR_ABSENT: expunged and gone. */
enum err fetch_message_in(struct account *account, struct arena *arena, uint64_t id,
                          struct fetch_message *message, struct why *why) MUST_CHECK;

/* UIDs expunged from the mailbox since `modseq`, as pairs. When they are not remembered that far back: every
 * UID that is not there (RFC 7162 section 3.2.10.1 allows more than was asked for). */
enum err fetch_vanished(struct account *account, struct mailbox *mailbox, uint64_t modseq, struct buf *uids,
                        struct why *why) MUST_CHECK;

#endif
