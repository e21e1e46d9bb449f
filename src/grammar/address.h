/* address.h: mail addresses: the one address of an envelope (strict) and the lists of header fields
 * (tolerant). Pure.
 *
 * A struct address is only ever made by the parser, so whoever holds one need not check it again.
 */
#ifndef GRAMMAR_ADDRESS_H
#define GRAMMAR_ADDRESS_H

#include "base/arena.h"
#include "base/err.h"

/* RFC 5321 section 4.5.3.1: domain; RFC 3696 erratum 1690: the whole mailbox. Local parts must be taken up to
 * 64 octets, and should be beyond: SRS, VERP and mailing services write longer ones. */
#define ADDRESS_LOCAL_MAX  (ADDRESS_MAX - 2)
#define ADDRESS_DOMAIN_MAX 255
#define ADDRESS_MAX        254
/* A path with its source route (RFC 5321 section 4.5.3.1.3 says 256; old routes were longer). */
#define ADDRESS_PATH_MAX 1024

/* All slices live in the arena given to the parser. */
struct address {
    struct slice local; /* without quotes and backslashes, case kept; may hold any printable byte or UTF-8 */
    struct slice
        domain; /* lower-cased A-labels, or "[192.0.2.1]", "[IPv6:2001:db8::1]"; empty for <postmaster> */
    struct slice text; /* local@domain, quoted again where needed; empty for <> */
};

/* What the parser lets pass beside plain ASCII mailboxes. */
enum {
    ADDRESS_ALLOW_UTF8 = 1,       /* UTF-8 local parts and U-label domains (RFC 6531) */
    ADDRESS_ALLOW_NULL = 2,       /* <>, the null reverse-path */
    ADDRESS_ALLOW_POSTMASTER = 4, /* "postmaster" without a domain (RFC 5321 section 4.1.1.3) */
};

/* The whole text as one Mailbox (RFC 5321 section 4.1.2), without angle brackets. ERR_BAD with a text fit for
 * a reply. */
enum err address_parse_in(struct arena *arena, struct slice text, unsigned flags, struct address *addr,
                          struct why *why) MUST_CHECK;
/* Takes a Path "<…>" off the front of `*rest`; a source route is checked and dropped (RFC 5321 section 3.3,
 * appendix C).
 * `*rest` is untouched on error. */
enum err address_path_take_in(struct arena *arena, struct slice *rest, unsigned flags, struct address *addr,
                              struct why *why) MUST_CHECK;
/* The part of a mailbox behind its last '@'; empty where there is none. */
struct slice address_domain_of(struct slice mailbox);
/* The null reverse-path. */
bool address_is_null(const struct address *addr);
/* Needs SMTPUTF8 to be sent (the local part is not ASCII). */
bool address_needs_utf8(const struct address *addr);
/* The key for look-ups: local part case-folded (NFC for UTF-8), domain in A-labels. Equal for every spelling
 * of one address. */
struct slice address_key_in(struct arena *arena, const struct address *addr);
/* The same folding for a local part alone (for tables keyed by local part or tag). */
struct slice address_fold_local_in(struct arena *arena, struct slice local);
/* "user+tag" -> "user", "tag": splits at the first `delimiter` that has text before it. Without one: false,
 * user = local, tag empty. */
bool address_split_tag(struct slice local, uint8_t delimiter, struct slice *user, struct slice *tag);
/* The same address with another local part ("user" of "user+tag"). */
struct address address_with_local_in(struct arena *arena, const struct address *addr, struct slice local);

/* local@domain with the local part in quotes where RFC 5321 wants them; without domain just the local part.
 */
struct slice address_join_in(struct arena *arena, struct slice local, struct slice domain);

/* Address lists of header fields (RFC 5322 section 3.4 and 4.4), for ENVELOPE and for finding header From. */
enum address_kind { ADDRESS_MAILBOX, ADDRESS_GROUP_START, ADDRESS_GROUP_END };
struct address_item {
    enum address_kind kind;
    struct slice display; /* unquoted, unfolded, encoded words as they are; a group's start: empty */
    struct slice local;   /* unquoted; of a group's start: its name */
    struct slice domain;  /* as written without comments and blanks, not validated; empty when missing */
    struct slice route;   /* obsolete source route "@a,@b", else empty */
};
struct address_list {
    struct address_item *items;
    size_t count;
    bool truncated; /* there were more than `max` */
};

/* Items a caller may ask for at most; the recipients of a mailing seldom exceed a few hundred. */
#define ADDRESS_LIST_MAX 4096

/* The best reading of any bytes at all: never fails; junk that gives neither local part nor display is
 * dropped. Group ends are balanced with starts even when the list is cut at `max` items (at most
 * ADDRESS_LIST_MAX). Slices live in the arena. */
void address_list_parse_in(struct arena *arena, struct slice value, size_t max, struct address_list *list);
/* Adds local@domain, quoting the local part where RFC 5322 wants it; for keys, replies and comparison of
 * header From. */
struct slice address_item_text_in(struct arena *arena, const struct address_item *item);

#endif
