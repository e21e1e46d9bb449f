/* capability.h: what a session is told it may use. Each is a bit, so that an account's hidden ones are one
 * number. */
#ifndef IMAP_CAPABILITY_H
#define IMAP_CAPABILITY_H

#include "imap/session.h"

enum capability {
    CAP_NONE = 0,
    CAP_SASL_IR = 1 << 0,
    CAP_LITERAL_PLUS = 1 << 1,
    CAP_ID = 1 << 2,
    CAP_ENABLE = 1 << 3,
    CAP_IDLE = 1 << 4,
    CAP_NAMESPACE = 1 << 5,
    CAP_UIDPLUS = 1 << 6,
    CAP_MOVE = 1 << 7,
    CAP_UNSELECT = 1 << 8,
    CAP_CHILDREN = 1 << 9,
    CAP_SPECIAL_USE = 1 << 10,
    CAP_CREATE_SPECIAL_USE = 1 << 11,
    CAP_LIST_EXTENDED = 1 << 12,
    CAP_LIST_STATUS = 1 << 13,
    CAP_ESEARCH = 1 << 14,
    CAP_CONDSTORE = 1 << 15,
    CAP_QRESYNC = 1 << 16,
    CAP_STATUS_SIZE = 1 << 17,
    CAP_QUOTA = 1 << 18,
    CAP_WITHIN = 1 << 19,
    CAP_PREVIEW = 1 << 20,
    CAP_APPENDLIMIT = 1 << 21
};

/* "IMAP4rev1 …" for this session as it is now: before TLS, after TLS, after login. */
void imap_capability_write(const struct session *s, struct buf *out);
/* The bits hidden from `account`. */
uint32_t imap_capability_hidden(const struct settings *settings, struct slice account);
/* May the session use it? */
bool imap_capability_has(const struct session *s, uint32_t bit);

#endif
