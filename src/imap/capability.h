/* capability.h: what a session is told it may use. Each is a bit, so that an account's hidden ones are one
 * number. */
#ifndef IMAP_CAPABILITY_H
#define IMAP_CAPABILITY_H

#include "imap/session.h"

/* What capability.c lists is offered; a bit without a row there is not. */
#define CAP_SASL_IR               (1ull << 0)
#define CAP_LITERAL_PLUS          (1ull << 1)
#define CAP_ID                    (1ull << 2)
#define CAP_ENABLE                (1ull << 3)
#define CAP_IDLE                  (1ull << 4)
#define CAP_NAMESPACE             (1ull << 5)
#define CAP_UIDPLUS               (1ull << 6)
#define CAP_MOVE                  (1ull << 7)
#define CAP_UNSELECT              (1ull << 8)
#define CAP_CHILDREN              (1ull << 9)
#define CAP_SPECIAL_USE           (1ull << 10)
#define CAP_CREATE_SPECIAL_USE    (1ull << 11)
#define CAP_LIST_EXTENDED         (1ull << 12)
#define CAP_LIST_STATUS           (1ull << 13)
#define CAP_ESEARCH               (1ull << 14)
#define CAP_CONDSTORE             (1ull << 15)
#define CAP_QRESYNC               (1ull << 16)
#define CAP_STATUS_SIZE           (1ull << 17)
#define CAP_QUOTA                 (1ull << 18)
#define CAP_WITHIN                (1ull << 19)
#define CAP_PREVIEW               (1ull << 20)
#define CAP_APPENDLIMIT           (1ull << 21)
#define CAP_IMAP4REV2             (1ull << 22)
#define CAP_MULTIAPPEND           (1ull << 23)
#define CAP_SEARCHRES             (1ull << 24)
#define CAP_SEARCH_FUZZY          (1ull << 25)
#define CAP_SORT                  (1ull << 26)
#define CAP_SORT_DISPLAY          (1ull << 27)
#define CAP_ESORT                 (1ull << 28)
#define CAP_THREAD_REFERENCES     (1ull << 29)
#define CAP_THREAD_ORDEREDSUBJECT (1ull << 30)
#define CAP_THREAD_REFS           (1ull << 31)
#define CAP_LIST_METADATA         (1ull << 32)
#define CAP_LIST_MYRIGHTS         (1ull << 33)
#define CAP_METADATA              (1ull << 34)
#define CAP_METADATA_SERVER       (1ull << 35)
#define CAP_ACL                   (1ull << 36)
#define CAP_QUOTASET              (1ull << 38)
#define CAP_BINARY                (1ull << 39)
#define CAP_NOTIFY                (1ull << 40)
#define CAP_OBJECTID              (1ull << 41)
#define CAP_SAVEDATE              (1ull << 42)
#define CAP_REPLACE               (1ull << 43)
#define CAP_INPROGRESS            (1ull << 44)
#define CAP_PARTIAL               (1ull << 45)
#define CAP_UNAUTHENTICATE        (1ull << 46)
#define CAP_I18NLEVEL             (1ull << 47)
#define CAP_UTF8_ACCEPT           (1ull << 48)
#define CAP_COMPRESS              (1ull << 49)
#define CAP_CATENATE              (1ull << 50)
#define CAP_URLAUTH               (1ull << 51)
#define CAP_CONTEXT_SEARCH        (1ull << 52)
#define CAP_CONTEXT_SORT          (1ull << 53)
#define CAP_MULTISEARCH           (1ull << 54)
#define CAP_UIDONLY               (1ull << 55)
#define CAP_MESSAGELIMIT          (1ull << 56)

/* "IMAP4rev1 …" for this session as it is now: before TLS, after TLS, after login. */
void imap_capability_write(const struct session *s, struct buf *out);
/* The bits hidden from `account`. */
uint64_t imap_capability_hidden(const struct settings *settings, struct slice account);
/* May the session use all of them? */
bool imap_capability_has(const struct session *s, uint64_t bits);

#endif
