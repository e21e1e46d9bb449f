/* acl.h: rights as LIST writes them. */
#ifndef IMAP_ACL_H
#define IMAP_ACL_H

#include "imap/session.h"

/* "* MYRIGHTS mailbox rights" (RFC 4314 section 3.8, RFC 8440). */
void imap_myrights_write(struct session *s, struct slice mailbox, uint32_t rights);

#endif
