/* thread.h: threading of messages (RFC 5256 section 3; REFS: draft-ietf-morg-inthread-01 section 5).
 *
 * Pure: the messages as ids and dates in, a forest as tokens out. Message ids are 64-bit hashes; the same one
 * for the same id. Time and memory are bounded whatever the ids say: cycles, a million references, chains as
 * long as the mailbox. */
#ifndef STORE_THREAD_H
#define STORE_THREAD_H

#include "base/buf.h"
#include "base/err.h"
#include "grammar/imap_search.h"
#include "wire/wire.h"

#define THREAD_MESSAGES_MAX 4000000u /* messages threaded (or sorted) at once; more is refused */
#define THREAD_REFS_MAX                                                                                      \
    4000000u /* references looked at in all; with more, each message has its last ones only */
#define THREAD_STEPS_MAX                                                                                     \
    20000000u /* steps of looking for loops; beyond, a link that needs more is not made */
#define THREAD_TOKENS_MAX (64u << 20) /* bytes of the encoded forest */

struct thread_message {
    uint32_t uid;
    uint32_t subject;     /* equal for messages with the same base subject; 0: an empty one */
    bool reply;           /* the subject says so */
    int64_t sent;         /* seconds since 1970 */
    uint64_t id;          /* 0: none */
    const uint64_t *refs; /* oldest first; the parent last */
    uint32_t ref_count;
};

/* `messages` in the order of their UIDs. Appends tokens of wire_arranged. ERR_REFUSED: too many. */
enum err thread_build(enum imap_thread_algorithm algorithm, const struct thread_message *messages,
                      size_t count, struct buf *tokens, struct why *why) MUST_CHECK;

#endif
