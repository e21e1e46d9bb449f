/* imap_flags.h: message flags and keywords (RFC 9051 section 2.3.2). */
#ifndef GRAMMAR_IMAP_FLAGS_H
#define GRAMMAR_IMAP_FLAGS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define IMAP_KEYWORD_MAX   64 /* octets of one keyword */
#define IMAP_FLAG_LIST_MAX 64 /* flags in one list a client sends */

enum imap_flag {
    IMAP_FLAG_SEEN = 1,
    IMAP_FLAG_ANSWERED = 2,
    IMAP_FLAG_FLAGGED = 4,
    IMAP_FLAG_DELETED = 8,
    IMAP_FLAG_DRAFT = 16,
    IMAP_FLAG_RECENT = 32 /* of a session, never stored */
};
#define IMAP_FLAGS_STORED 31u /* the five a client may set */

struct imap_flags {
    uint32_t system;        /* bits of enum imap_flag */
    struct slice *keywords; /* as the client wrote them, no duplicates (compared without case) */
    size_t keyword_count;
};

/* Parses "(\Seen Junk)" or, as STORE allows, the flags without parentheses. \Recent is ignored, an unknown
 * \Flag is ERR_BAD. Results in the arena. */
enum err imap_flags_parse_in(struct arena *arena, struct slice text, struct imap_flags *flags,
                             struct why *why) MUST_CHECK;
/* One flag: the bit of a system flag, 0 for a valid keyword, -1 for anything else. */
int imap_flag_of(struct slice name);
/* A keyword: an atom of at most IMAP_KEYWORD_MAX octets without a backslash. */
bool imap_keyword_valid(struct slice name);
/* "\Seen \Flagged" in a fixed order, no parentheses, nothing when no bit is set. */
void imap_flags_write_system(struct buf *out, uint32_t system);
/* "\Seen Junk" with the keywords behind, no parentheses. */
void imap_flags_write(struct buf *out, const struct imap_flags *flags);

#endif
