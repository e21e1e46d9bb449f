/* imap_acl.h: rights of access control lists as bits (RFC 4314 section 2). Pure; used by the imap role and by
 * store. */
#ifndef GRAMMAR_IMAP_ACL_H
#define GRAMMAR_IMAP_ACL_H

#include "base/buf.h"
#include "base/err.h"

enum imap_right {
    RIGHT_LOOKUP = 1,         /* l: seen by LIST, may be subscribed */
    RIGHT_READ = 2,           /* r: SELECT, STATUS, FETCH, SEARCH, COPY from it */
    RIGHT_SEEN = 4,           /* s: \Seen is set and cleared */
    RIGHT_WRITE = 8,          /* w: the other flags and keywords; shared annotations */
    RIGHT_INSERT = 16,        /* i: APPEND, COPY into it */
    RIGHT_POST = 32,          /* p: kept, no use here: mail is sent to addresses */
    RIGHT_CREATE = 64,        /* k: CREATE and RENAME below it */
    RIGHT_DELETE = 128,       /* x: DELETE, RENAME of it */
    RIGHT_DELETED_FLAG = 256, /* t: \Deleted is set and cleared */
    RIGHT_EXPUNGE = 512,      /* e */
    RIGHT_ADMIN = 1024,       /* a: the list itself */
    RIGHT_ALL = 2047
};
/* What the owner has whatever the list says. */
#define RIGHT_OWNER (RIGHT_LOOKUP | RIGHT_ADMIN)
/* One of these: a mailbox is opened read-write (RFC 4314 section 5.2). */
#define RIGHT_CHANGES (RIGHT_SEEN | RIGHT_WRITE | RIGHT_INSERT | RIGHT_DELETED_FLAG | RIGHT_EXPUNGE)

#define IMAP_RIGHTS_NEW "texk" /* for the RIGHTS= capability: those RFC 2086 did not have */

/* "lrs", the obsolete "c" (k and x) and "d" (t and e) too; false: some letter is no right. */
bool imap_rights_parse(struct slice text, uint32_t *rights) MUST_CHECK;
/* With "c" and "d" where one of theirs is set (section 2.1.1). Nothing for no right. */
void imap_rights_write(struct buf *out, uint32_t rights);
/* An identifier: an account's address in lower case (ASCII letters), or "anyone"; "-" in front of either
 * takes rights away. */
bool imap_acl_identifier_is_valid(struct slice identifier);

#define IMAP_ACL_IDENTIFIER_MAX 320 /* octets */

#endif
