/* imap_list.h: mailbox names and LIST patterns (RFC 9051 sections 5.1 and 6.3.9). Names are UTF-8 here. */
#ifndef GRAMMAR_IMAP_LIST_H
#define GRAMMAR_IMAP_LIST_H

#include "base/arena.h"
#include "base/err.h"

#define IMAP_MAILBOX_NAME_MAX  1000 /* octets of a mailbox name */
#define IMAP_MAILBOX_DEPTH_MAX 64   /* levels of a mailbox name */
#define IMAP_PATTERN_MAX       1000 /* octets of a pattern with its reference */
#define IMAP_PATTERNS_MAX      32   /* patterns of one LIST */

/* Reference and pattern as one pattern: a pattern that begins with the delimiter replaces the reference. */
struct slice imap_pattern_join_in(struct arena *arena, struct slice reference, struct slice pattern,
                                  char delimiter);
/* "*" matches anything, "%" anything but the delimiter; a first level "inbox" is compared without case.
 * Linear in name times pattern whatever the pattern holds. */
bool imap_pattern_match(struct slice pattern, struct slice name, char delimiter);
/* Whether some child of `name`, however deep, could match: for "%"'s and RECURSIVEMATCH. */
bool imap_pattern_matches_below(struct slice pattern, struct slice name, char delimiter);

/* INBOX in any case becomes "INBOX", also as first level; everything else stays. May point into `name`. */
struct slice imap_mailbox_canonical_in(struct arena *arena, struct slice name, char delimiter);
bool imap_mailbox_is_inbox(struct slice name);
/* A name that may be created: UTF-8 in NFC, no control characters, no empty level, no "*" or "%", levels "."
 * and ".." refused, at most IMAP_MAILBOX_NAME_MAX octets. ERR_REFUSED with a text for NO [CANNOT]. */
enum err imap_mailbox_check_new(struct slice name, char delimiter, struct why *why) MUST_CHECK;

/* Special uses (RFC 6154) and list attributes as bits. */
enum imap_special_use {
    IMAP_USE_ALL = 1,
    IMAP_USE_ARCHIVE = 2,
    IMAP_USE_DRAFTS = 4,
    IMAP_USE_FLAGGED = 8,
    IMAP_USE_JUNK = 16,
    IMAP_USE_SENT = 32,
    IMAP_USE_TRASH = 64,
    IMAP_USE_IMPORTANT = 128
};
/* "\Sent" → IMAP_USE_SENT; 0 when it is none. And back, for one bit. */
uint32_t imap_special_use_of(struct slice name);
const char *imap_special_use_name(uint32_t bit);

#endif
