/* mailbox_messages.h: what imap (http) asks of store about mailboxes and messages, and the answers. Part of
 * wire.h, which includes it. Every message names the grant it acts under. */
#ifndef WIRE_MAILBOX_MESSAGES_H
#define WIRE_MAILBOX_MESSAGES_H

#include "wire/grant.h"

struct wire_mbox_list {
    struct grant grant;
};

/* Rows as wire/mailbox.h; more packets may follow. */
struct wire_mbox_rows {
    uint32_t err;
    uint32_t code;
    struct slice rows;
    struct slice text;
};

/* STATUS (one row in WIRE_MBOX_ROWS), DELETE (WIRE_RESULT). */
struct wire_mbox_name {
    struct grant grant;
    struct slice name;
};

struct wire_mbox_create {
    struct grant grant;
    uint32_t special_use; /* enum special_use of wire/mailbox.h */
    struct slice name;
};

struct wire_mbox_rename {
    struct grant grant;
    struct slice from, to;
};

struct wire_mbox_subscribe {
    struct grant grant;
    uint32_t on;
    struct slice name;
};

/* mailbox: of the account the name leads to, the one with this id, whatever it is called now; 0: that of the
 * name. */
struct wire_mbox_select {
    struct grant grant;
    uint32_t read_only; /* EXAMINE: \Recent is not taken */
    uint64_t mailbox;
    struct slice name;
};

/* Descriptor 0: the mailbox image (wire/image.h), read-only, unless this link holds `watch` already. `watch`
 * names the open mailbox on this link in all later messages; each SELECTED counts one use, ended by
 * WIRE_MBOX_UNSELECT. */
struct wire_mbox_selected {
    uint32_t err;
    uint32_t code;
    uint64_t watch;
    uint64_t mailbox; /* id, stable */
    uint64_t modseq;
    uint32_t uidvalidity;
    uint32_t uidnext;
    uint32_t recent_from; /* messages from this UID on are \Recent in this session; 0: none */
    uint32_t rights;      /* the session's, bits of grammar/imap_acl.h */
    uint32_t tag;         /* of the mailbox's account (objectid.h) */
    struct slice text;
};

struct wire_mbox_unselect {
    struct grant grant;
    uint64_t watch;
    uint32_t read_only; /* as it was selected */
};

/* store -> imap, coalesced. With descriptor 0: the image moved, map this one instead. gone: the mailbox was
 * deleted. lost: only for sessions of this account: it may not read the mailbox any more. */
struct wire_mbox_changed {
    uint64_t watch;
    uint64_t modseq;
    uint32_t gone;
    struct slice lost;
};

/* Message ids as le64 each. Rows come as wire/facts_row.h, in the order asked, in several packets. want: enum
 * facts_want. */
struct wire_facts_get {
    struct grant grant;
    uint64_t watch;
    uint32_t want;
    struct slice messages;
};

struct wire_facts_rows {
    uint32_t err;
    uint32_t code;
    struct slice rows;
    struct slice text;
};

#define WIRE_OPEN_MAX 16u /* messages whose files are asked for at once */

/* The files of messages: ids as le64 each, at most WIRE_OPEN_MAX. One answer for each, in this order; a
 * single one with `err` when nothing could be tried. Descriptor 0: the file, read-only. Descriptor 1: the
 * facts, when longer than WIRE_BLOB_MAX. */
struct wire_body_open {
    struct grant grant;
    uint64_t watch;
    struct slice messages;
};

struct wire_body_file {
    uint32_t err;
    uint32_t code;
    uint64_t size;
    uint32_t header_len; /* of our header block in front; facts count from behind it */
    struct slice facts;
    struct slice text;
};

enum flags_mode { FLAGS_SET, FLAGS_ADD, FLAGS_REMOVE };

/* uids: pairs of le32 (first, last), ascending. flags: system flags of wire/image.h; keywords: wire_strings.
 * With `conditional`, only messages whose modseq is at most unchanged_since (RFC 7162). told: the client
 * knows the flags up to this change. */
struct wire_flags_store {
    struct grant grant;
    uint64_t watch;
    uint64_t told;
    uint32_t mode;
    uint32_t conditional;
    uint64_t unchanged_since;
    uint64_t flags;
    struct slice keywords;
    struct slice uids;
};

/* The image holds the new state when this comes. modified: pairs of UIDs left alone by `conditional`.
 * overtaken: some of the messages had been changed after `told`, so a client that works out the flags itself
 * is wrong. */
struct wire_flags_stored {
    uint32_t err;
    uint32_t code;
    uint32_t overtaken;
    uint64_t modseq; /* of this change */
    struct slice modified;
    struct slice text;
};

/* Messages with \Deleted, of `uids` (pairs) or of all when empty. */
struct wire_expunge {
    struct grant grant;
    uint64_t watch;
    struct slice uids;
};

struct wire_expunged {
    uint32_t err;
    uint32_t code;
    uint64_t modseq;
    uint32_t count;
    struct slice text;
};

/* expect: so many messages; when some of them are gone nothing is done (EXPUNGEISSUED). 0: those that are
 * there. */
/* The messages of `uids` (pairs), with or without \Deleted, in one commit; answered with WIRE_EXPUNGED. More
 * pairs than a packet holds come as descriptor 0, in sealed memory of at most WIRE_REMOVE_MAX bytes; `uids`
 * is empty then. */
#define WIRE_REMOVE_MAX (8u << 20)
struct wire_remove {
    struct grant grant;
    uint64_t watch;
    struct slice uids;
};

struct wire_copy {
    struct grant grant;
    uint64_t watch;
    uint32_t move;
    uint32_t expect;
    struct slice target;
    struct slice uids; /* pairs */
};

/* source and target: pairs, the same number of UIDs each. All of it is done, or nothing. */
struct wire_copied {
    uint32_t err;
    uint32_t code;
    uint32_t uidvalidity;
    struct slice source, target;
    struct slice text;
};

/* Bodies become messages (wire/append_row.h), all of them in one commit or none; with `replaces` the message
 * with that UID in the mailbox of `watch` is expunged in the same commit (RFC 8508), and nothing is done when
 * it is not there any more. */
struct wire_append {
    struct grant grant;
    uint64_t watch;    /* of the message to be replaced; 0: none */
    uint32_t replaces; /* its UID; 0: none */
    struct slice mailbox;
    struct slice messages;
};

/* uid: that of the first message; the others follow without gaps. */
struct wire_appended {
    uint32_t err;
    uint32_t code;
    uint32_t uidvalidity;
    uint32_t uid;
    struct slice text;
};

/* A notice: nobody waits for the answer to this request of the same link any more; a long one may end early.
 */
struct wire_cancel {
    uint32_t request;
};

/* program: imap_search_encode(). Only messages with UID up to max_uid (the session's view). */
struct wire_search {
    struct grant grant;
    uint64_t watch;
    uint32_t max_uid;
    struct slice program;
};

/* UIDs found, pairs, ascending; several packets. modseq: the highest of those found. */
struct wire_searched {
    uint32_t err;
    uint32_t code;
    uint64_t modseq;
    struct slice uids;
    struct slice text;
};

/* The messages a program finds, sorted. keys: one byte each, enum imap_sort_key of grammar/imap_search.h.
 * strict: for relevancy, the program without FUZZY; else empty. With it there may be no keys. */
#define WIRE_SORT_REVERSE 0x80
#define WIRE_STRICT_MAX   4096u
struct wire_sort {
    struct grant grant;
    uint64_t watch;
    uint32_t max_uid;
    struct slice keys;
    struct slice program;
    struct slice strict;
};

/* The same in threads: enum imap_thread_algorithm. */
struct wire_thread {
    struct grant grant;
    uint64_t watch;
    uint32_t max_uid;
    uint32_t algorithm;
    struct slice program;
};

/* SORT: UIDs in order, le32 each; with `strict` le32 of the score behind each. THREAD: varints, cut anywhere:
 * WIRE_THREAD_OPEN, WIRE_THREAD_CLOSE, or a UID plus WIRE_THREAD_FIRST, as the numbers and parentheses of the
 * THREAD response stand. Several packets. modseq: as above. */
enum { WIRE_THREAD_OPEN, WIRE_THREAD_CLOSE, WIRE_THREAD_FIRST };
struct wire_arranged {
    uint32_t err;
    uint32_t code;
    uint64_t modseq;
    struct slice list;
    struct slice text;
};

/* UIDs expunged since `modseq` (RFC 7162 section 3.2.10). */
struct wire_vanished_get {
    struct grant grant;
    uint64_t watch;
    uint64_t modseq;
};

struct wire_vanished {
    uint32_t err;
    uint32_t code;
    struct slice uids; /* pairs */
    struct slice text;
};

/* When the messages were saved whose INTERNALDATE does not say it. */
struct wire_saved_get {
    struct grant grant;
    uint64_t watch;
};

struct wire_saved {
    uint32_t err;
    uint32_t code;
    struct slice ranges; /* le32 each: first UID, last UID, unix seconds; ascending */
    struct slice text;
};

struct wire_quota_get {
    struct grant grant;
};

/* The account's own limits, 0: none; at most the administrator's. Answered with WIRE_QUOTA. */
struct wire_quota_set {
    struct grant grant;
    uint64_t bytes, messages;
};

struct wire_quota {
    uint32_t err;
    uint32_t code;
    uint64_t used_bytes, limit_bytes; /* limit 0: none */
    uint64_t used_messages, limit_messages;
    struct slice text;
};

#define WIRE_METADATA_VALUE_MAX 32768 /* octets of one annotation */

/* Annotations (RFC 5464). mailbox: empty for the server's own. every: of all mailboxes, `mailbox` is not
 * looked at (LIST, RFC 9590). entries: names in lower case, wire_strings. depth: 0 the entry, 1 and its
 * children, 2 and all below. Values longer than max_size are left out. */
struct wire_metadata_get {
    struct grant grant;
    uint32_t every;
    uint32_t depth;
    uint64_t max_size;
    struct slice mailbox;
    struct slice entries;
};

/* rows: wire_strings, three each: mailbox, entry, value; several packets. longest: of the values left out. */
struct wire_metadata_rows {
    uint32_t err;
    uint32_t code;
    uint64_t longest;
    struct slice rows;
    struct slice text;
};

/* changes: wire_strings, two each: entry, and "=value" to set or "-" to remove. All of it or nothing. */
struct wire_metadata_set {
    struct grant grant;
    struct slice mailbox;
    struct slice changes;
};

/* Who may do what with a mailbox (RFC 4314). own: only the asker's own rights are wanted. */
struct wire_acl_get {
    struct grant grant;
    uint32_t own;
    struct slice mailbox;
};

/* rights: the asker's; bits of grammar/imap_acl.h. owner: the address whose mailbox it is. entries: for each
 * identifier a string and the bits as a varint. */
struct wire_acl {
    uint32_t err;
    uint32_t code;
    uint32_t rights;
    struct slice owner;
    struct slice entries;
    struct slice text;
};

enum acl_mode { ACL_REPLACE, ACL_ADD, ACL_REMOVE, ACL_DELETE };

struct wire_acl_set {
    struct grant grant;
    uint32_t mode; /* enum acl_mode */
    uint32_t rights;
    struct slice mailbox;
    struct slice identifier;
};

/* The file of the message with this UID, whoever has its mailbox open: answered by WIRE_BODY_FILE.
 * uidvalidity: 0 is any. */
struct wire_url_open {
    struct grant grant;
    uint32_t uidvalidity;
    uint32_t uid;
    struct slice mailbox;
};

/* Whoever holds the grant wants to hear what happens to any mailbox of the account (RFC 5465). */
struct wire_mbox_listen {
    struct grant grant;
    uint32_t others; /* 1: and to those other accounts share with it, as LIST names them */
};

/* `watch` names it in the events to come; each answer counts one use, ended by WIRE_MBOX_UNSELECT. */
struct wire_mbox_listening {
    uint32_t err;
    uint32_t code;
    uint64_t watch;
    struct slice text;
};

/* store -> imap. rows: wire/event_row.h, of one commit. grant: whose session did it; none: several did, or
 * mail was delivered. lost: some events before this could not be told. */
struct wire_mbox_events {
    struct grant grant;
    uint64_t watch;
    uint32_t lost;
    struct slice rows;
};

#define WIRE_URL_MAX   4096u
#define WIRE_TOKEN_MAX 128u

/* The file of the message an authorised URL (RFC 4467) names, in whichever account. Store checks the URL: its
 * token, that it is not over, and that it is for the asker. Answered by WIRE_BODY_FILE; ERR_ABSENT for all
 * that is wrong. */
struct wire_url_fetch {
    struct grant grant;
    struct slice url;
};

/* rump: the URL of one of the asker's own messages up to and with the access. */
struct wire_url_sign {
    struct grant grant;
    struct slice rump;
};

struct wire_url_signed {
    uint32_t err;
    uint32_t code;
    struct slice token; /* hexadecimal */
    struct slice text;
};

/* URLs of the mailbox (empty: of all) that were signed until now are good no more: WIRE_RESULT. */
struct wire_url_reset {
    struct grant grant;
    struct slice mailbox;
};

#endif
