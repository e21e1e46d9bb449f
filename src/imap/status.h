/* status.h: what LIST and STATUS write of a mailbox row. */
#ifndef IMAP_STATUS_H
#define IMAP_STATUS_H

#include "imap/session.h"
#include "wire/mailbox.h"

/* "* STATUS name (…)" with the items asked for (bits of enum imap_status_item). */
void imap_status_write(struct session *s, const struct mailbox_row *row, struct slice name, uint32_t items);
/* "\Sent" or NULL. */
const char *imap_status_special_use(uint32_t special_use);

#endif
