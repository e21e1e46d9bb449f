/* objectid.h: the names of mailboxes, messages and threads that never change (RFC 8474), as clients see them.
 *
 *   MAILBOXID  F<tag>-<id>-<uidvalidity>
 *   EMAILID    M<tag>-<message>             copies share it
 *   THREADID   T<hash of the first message id of the conversation>
 *
 * `tag` tells accounts apart whose mailboxes one session sees (object_tag()). All of it follows from what a
 * message or mailbox is: nothing is kept, and a rebuilt index gives the same names.
 */
#ifndef WIRE_OBJECTID_H
#define WIRE_OBJECTID_H

#include "base/buf.h"

#define OBJECTID_MAX 64 /* octets of any of them */

uint32_t object_tag(struct slice account);
void object_mailbox(struct buf *out, uint32_t tag, uint64_t mailbox, uint32_t uidvalidity);
void object_email(struct buf *out, uint32_t tag, uint64_t message);
/* `root`: facts_thread_root(); empty: a thread of its own. */
void object_thread(struct buf *out, uint32_t tag, uint64_t message, struct slice root);

#endif
